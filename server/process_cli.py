"""`qc process register NAME MODEL`: the running server serves the model under NAME from the next request on.

`qc process add-camera PROCESS.yaml HISTORY --out JOINED`: a history with what cameras read of its parts.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `register` and `add-camera` to the subcommands of `qc process`."""
    parser = commands.add_parser("register", help="serve a process model under a name")
    parser.add_argument("name", metavar="NAME", help="what people and machines call the process")
    parser.add_argument("model", metavar="MODEL", type=Path, help="folder that qc process fit wrote")
    parser.set_defaults(run=run)
    camera = commands.add_parser("add-camera", help="fill a history with what the inspections of its parts found")
    camera.add_argument("process", metavar="PROCESS.yaml", type=Path)
    camera.add_argument("history", metavar="HISTORY", type=Path, help=".csv or .parquet")
    camera.add_argument("--out", metavar="JOINED", type=Path, required=True, help=".csv or .parquet")
    camera.set_defaults(run=add_camera)


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


def add_camera(arguments: argparse.Namespace) -> int:
    """Write the history again with the cameras' readings; what it says itself stands."""
    from process_opt.history import parse_history
    from process_opt.pieces import read_table
    from process_opt.process import read_process
    from qc.errors import InvalidInput
    from server import process_camera, schema
    from server.db import Database
    from server.settings import read_settings

    process = read_process(arguments.process)
    if not any(m.source for _, m in process.measurements.values()):
        raise InvalidInput(
            f"{arguments.process.name} has no measurement with from: {{station: ..., class: ..., what: ...}}"
        )
    if arguments.out.suffix.lower() not in (".csv", ".parquet"):
        raise InvalidInput(f"{arguments.out.name} must end in .csv or .parquet")
    table = read_table(arguments.history)
    if "part" not in table:
        raise InvalidInput(f"{arguments.history.name} lacks the column part")
    database = Database(read_settings().db_url)
    try:
        schema.upgrade(database)
        with database.read() as session:
            joined, count = process_camera.fill(session, process, table)
    finally:
        database.close()
    for name in process.conformance:
        if name not in joined:
            raise InvalidInput(
                f"no inspection gives {name} for any part of {arguments.history.name}; is the station right?"
            )
    parse_history(joined, process, where=arguments.history.name)
    process_camera.write_table(joined, arguments.out)
    print(f"{arguments.out}: {count} readings of cameras added to {len(joined)} parts")
    return 0
