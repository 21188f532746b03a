"""`qc backup` and `qc restore`: everything that cannot be made again, from a running system and back."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path

from qc.errors import Conflict, InvalidInput
from qc.records import new_id


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `backup` and `restore`."""
    backup = commands.add_parser(
        "backup", help="copy everything that cannot be made again; the server may run", description=run_backup.__doc__
    )
    backup.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    backup.add_argument(
        "--keys",
        type=Path,
        metavar="FOLDER",
        help="encrypt it with a key of its own, kept here (not on the backup's disk); after an erasure the keys of "
        "earlier backups are destroyed",
    )
    backup.set_defaults(run=run_backup)
    restore = commands.add_parser(
        "restore", help="put a backup back as QC_HOME, which must be empty", description=run_restore.__doc__
    )
    restore.add_argument("backup", type=Path, metavar="BACKUP")
    restore.add_argument("--keys", type=Path, metavar="FOLDER", help="where the key of an encrypted backup lies")
    restore.set_defaults(run=run_restore)


def run_backup(arguments: argparse.Namespace) -> int:
    """Copy database, pictures, models and settings of QC_HOME to OUT, each with its checksum; the server may run."""
    from server.backup import backup
    from server.blobs.opening import keys_elsewhere
    from server.clock import now
    from server.encrypted_backup import encrypt
    from server.settings import read_settings

    settings, began = read_settings(), now()
    home, out, keys = settings.home.resolve(), arguments.out, arguments.keys
    if keys is not None and keys.resolve().is_relative_to(home):
        raise InvalidInput(f"{keys} is part of the installation, and would be copied; keep keys on another disk")
    if out.exists():
        raise Conflict(f"{out} exists already; name a new folder")
    plain = out if keys is None else home / f".backup.{new_id()}"  # not where it would have to be erased again
    gone: list[str] = []
    try:
        elsewhere = partial(keys_elsewhere, settings)
        made = backup(home, settings.db_url, plain, now=began, say=_say, elsewhere=elsewhere)
        if keys is not None:
            gone = encrypt(plain, out, keys, made_at=began, say=_say)
    finally:
        if keys is not None:
            shutil.rmtree(plain, ignore_errors=True)
    print(f"{made.files} files, {made.megabytes:.1f} MB: {made.inspections} inspections in {arguments.out}")
    if gone:
        print(f"keys of {len(gone)} earlier backups were destroyed, as something was erased since: {', '.join(gone)}")
    print(f"the audit trail has {made.entries} entries; the last one's seal is {made.seal or '-'}")
    if settings.blobs:
        print(f"pictures that lie in {settings.blobs} only were looked for there, and are not in the backup")
    return 0


def run_restore(arguments: argparse.Namespace) -> int:
    """Compare every checksum of BACKUP, then make it the data folder QC_HOME; nothing is left half-way.

    Where QC_DATABASE_URL names a PostgreSQL, which must be empty, the rows go there.
    """
    from server import audit_check, schema
    from server.backup import DATABASE, restore
    from server.blobs.opening import keys_elsewhere
    from server.database_move import check_empty, move
    from server.db import Database, sqlite_url
    from server.encrypted_backup import decrypt, is_encrypted
    from server.settings import read_settings

    settings = read_settings()
    home, source = settings.home.resolve(), arguments.backup
    elsewhere = partial(keys_elsewhere, settings)
    on_postgresql = settings.db_url.startswith("postgresql")
    if on_postgresql:
        with closing(Database(settings.db_url)) as there:
            check_empty(there)
    if is_encrypted(source):
        if arguments.keys is None:
            raise InvalidInput(f"{source} is encrypted; say with --keys where its key lies")
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{home.name}.") as scratch:
            _say("decrypting")
            decrypt(source, Path(scratch) / "plain", arguments.keys)
            made = restore(Path(scratch) / "plain", home, say=_say, elsewhere=elsewhere)
    else:
        made = restore(source, home, say=_say, elsewhere=elsewhere)
    database = Database(sqlite_url(home / DATABASE))  # the one that came back, whatever QC_DATABASE_URL says
    try:
        schema.upgrade(database)
        with database.read() as session:
            audit_check.verify(session)
        if on_postgresql:
            with closing(Database(settings.db_url)) as there:
                move(database, there, say=_say)
    finally:
        database.close()
    print(f"{made.inspections} inspections are back in {settings.home.resolve()}; the audit trail is whole")
    if on_postgresql:
        for file in home.glob(f"{DATABASE}*"):
            file.unlink()  # all of it is there, and equal; left here it would be taken for the installation's one day
        print("its rows are in the PostgreSQL that QC_DATABASE_URL names, compared one by one")
    elif settings.db_url != sqlite_url(home / DATABASE):
        print("QC_DATABASE_URL names another database, which was not touched; leave it out to use what came back")
    print("start the server with qc up")
    return 0


def _say(text: str) -> None:
    import sys

    print(f"qc: {text}", file=sys.stderr)
