"""`qc db`: the database of an installation."""

from __future__ import annotations

import argparse
import sys


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `db`."""
    db = commands.add_parser("db", help="the database").add_subparsers(metavar="COMMAND", required=True)
    move = db.add_parser("move", help="take all rows to another database", description=run_move.__doc__)
    move.add_argument(
        "target",
        metavar="URL",
        help="postgresql+psycopg://… (the password may lie in ~/.pgpass), or sqlite: QC_HOME/qc.sqlite3",
    )
    move.set_defaults(run=run_move)


def run_move(arguments: argparse.Namespace) -> int:
    """Copy every row from the present database (QC_DATABASE_URL) to URL, compare both, and say how to go on there."""
    from sqlalchemy.engine import make_url

    from qc.errors import InvalidInput
    from server.database_move import move
    from server.db import POSTGRESQL, Database, sqlite_url
    from server.serving import alone
    from server.settings import read_settings

    settings = read_settings()
    if arguments.target != "sqlite" and not arguments.target.startswith(POSTGRESQL):
        raise InvalidInput(f"name the target as {POSTGRESQL}USER@HOST/DATABASE, or as sqlite")
    own = sqlite_url(settings.home.resolve() / "qc.sqlite3")
    url = own if arguments.target == "sqlite" else arguments.target
    with alone(settings):
        source, target = Database(settings.db_url), Database(url)
        try:
            moved = move(source, target, say=lambda text: print(text, file=sys.stderr))
        finally:
            source.close()
            target.close()
    print(f"{sum(moved.values())} rows in {len(moved)} tables are there, and equal; the audit trail verifies")
    shown = make_url(url).render_as_string(hide_password=True)
    print(
        "start the server without QC_DATABASE_URL" if url == own else f"start the server with QC_DATABASE_URL={shown}"
    )
    print("the database before stays as it is; remove it when you trust the new one")
    return 0
