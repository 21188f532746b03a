"""`qc up`: the server; `qc openapi`: its description; `qc audit verify`: is the trail whole."""

from __future__ import annotations

import argparse
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `up`, `openapi` and `audit`."""
    up = commands.add_parser("up", help="start the server", description="Start the server; QC_… variables set it up.")
    up.add_argument("--demonstration", action="store_true", help="and a demonstration line that sends it parts")
    up.set_defaults(run=run_up)
    openapi = commands.add_parser("openapi", help="write the description of the REST interface")
    openapi.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    openapi.set_defaults(run=run_openapi)
    audit = commands.add_parser("audit", help="the audit trail").add_subparsers(metavar="COMMAND", required=True)
    verify = audit.add_parser("verify", help="exit 0 and the number of entries, or 1 and the first that was altered")
    verify.set_defaults(run=run_verify)


def run_up(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from server.serving import serve
    from server.settings import read_settings

    return serve(read_settings(), demonstration=arguments.demonstration)


def run_openapi(arguments: argparse.Namespace) -> int:
    """Write the OpenAPI description."""
    import json
    import tempfile

    from server.app import create_app
    from server.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        description = create_app(Settings(home=Path(folder))).openapi()
    beside = arguments.out.with_name(f".{arguments.out.name}.new")
    beside.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    beside.replace(arguments.out)
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Check the audit trail."""
    from server import audit_check, schema
    from server.db import Database
    from server.settings import read_settings

    database = Database(read_settings().db_url)
    try:
        schema.upgrade(database)
        with database.read() as session:
            number, seal = audit_check.verify(session)
    finally:
        database.close()
    print(f"{number} entries, none altered; the last one's seal is {seal}")
    return 0
