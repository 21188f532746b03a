"""`qc backup` and `qc restore`: everything that cannot be made again, from a running system and back."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `backup` and `restore`."""
    backup = commands.add_parser(
        "backup", help="copy everything that cannot be made again; the server may run", description=run_backup.__doc__
    )
    backup.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    backup.set_defaults(run=run_backup)
    restore = commands.add_parser(
        "restore", help="put a backup back as QC_HOME, which must be empty", description=run_restore.__doc__
    )
    restore.add_argument("backup", type=Path, metavar="BACKUP")
    restore.set_defaults(run=run_restore)


def run_backup(arguments: argparse.Namespace) -> int:
    """Copy database, pictures, models and settings of QC_HOME to OUT, each with its checksum; the server may run."""
    from server.backup import backup
    from server.blobs.opening import keys_elsewhere
    from server.clock import now
    from server.settings import read_settings

    settings = read_settings()
    elsewhere = partial(keys_elsewhere, settings)
    made = backup(settings.home.resolve(), settings.db_url, arguments.out, now=now(), say=_say, elsewhere=elsewhere)
    print(f"{made.files} files, {made.megabytes:.1f} MB: {made.inspections} inspections in {arguments.out}")
    print(f"the audit trail has {made.entries} entries; the last one's seal is {made.seal or '-'}")
    if settings.blobs:
        print(f"pictures that lie in {settings.blobs} only were looked for there, and are not in the backup")
    return 0


def run_restore(arguments: argparse.Namespace) -> int:
    """Compare every checksum of BACKUP, then make it the data folder QC_HOME; nothing is left half-way."""
    from server import audit_check, schema
    from server.backup import restore
    from server.blobs.opening import keys_elsewhere
    from server.db import Database
    from server.settings import read_settings

    settings = read_settings()
    made = restore(arguments.backup, settings.home.resolve(), say=_say, elsewhere=partial(keys_elsewhere, settings))
    database = Database(settings.db_url)
    try:
        schema.upgrade(database)
        with database.read() as session:
            audit_check.verify(session)
    finally:
        database.close()
    print(f"{made.inspections} inspections are back in {settings.home.resolve()}; the audit trail is whole")
    print("start the server with qc up")
    return 0


def _say(text: str) -> None:
    import sys

    print(f"qc: {text}", file=sys.stderr)
