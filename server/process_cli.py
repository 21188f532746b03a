"""`qc process register NAME MODEL`: the running server serves the model under NAME from the next request on."""

from __future__ import annotations

import argparse
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `register` to the subcommands of `qc process`."""
    parser = commands.add_parser("register", help="serve a process model under a name")
    parser.add_argument("name", metavar="NAME", help="what people and machines call the process")
    parser.add_argument("model", metavar="MODEL", type=Path, help="folder that qc process fit wrote")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Copy the model under QC_HOME and enter it; works with and without a running server."""
    from process_opt.model import load_model
    from server import audit, clock, process_service, schema
    from server.db import Database
    from server.settings import read_settings

    settings = read_settings()
    model_id, key = process_service.take_in(settings.home.resolve(), arguments.name, arguments.model)
    report = process_service.plain(load_model(arguments.model).report())
    database = Database(settings.db_url)
    try:
        schema.upgrade(database)
        with database.write() as session:
            now = clock.now()
            process_service.register(session, arguments.name, model_id, key, now=now, report=report)
            audit.record(session, "process", arguments.name, {"model": model_id}, by="qc process register", at=now)
            session.commit()
    finally:
        database.close()
    print(f"{arguments.name} is served by {model_id}")
    return 0
