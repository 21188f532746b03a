"""`qc model`: the models that the server knows, one that was trained elsewhere, and which runtime is fastest here."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `model` to the commands of `qc`."""
    parser = commands.add_parser("model", help="the models that the server knows")
    below = parser.add_subparsers(metavar="COMMAND", required=True)

    listed = below.add_parser("list", help="all models, the champion first")
    listed.set_defaults(run=_list)

    add = below.add_parser("add", help="take in a model that qc train wrote")
    add.add_argument("model", metavar="MODEL", type=Path)
    add.add_argument("--promote", action="store_true", help="let it serve from now on; the champion so far is kept")
    add.set_defaults(run=_add)

    ready = below.add_parser("ready", help="find the fastest runtime with the model's own verdicts on this machine")
    ready.add_argument("model", metavar="MODEL", type=Path)
    ready.add_argument("--out", metavar="DIR", type=Path, required=True)
    ready.add_argument(
        "--samples", metavar="DATASET", type=Path, help="compare on its val images; default: the model's own crops"
    )
    ready.add_argument("--threads", metavar="N", type=int, default=1)
    ready.set_defaults(run=_ready)


def _list(arguments: argparse.Namespace) -> int:
    from server import registry, schema
    from server.db import Database
    from server.settings import read_settings

    database = Database(read_settings().db_url)
    try:
        schema.upgrade(database)
        with database.read() as session:
            for row in registry.newest(session):
                print(f"{row.id}  {row.alias or row.state:10}  {row.created_at:%Y-%m-%d %H:%M}  {row.folder}")
    finally:
        database.close()
    return 0


def _add(arguments: argparse.Namespace) -> int:
    """Copy the model under QC_HOME and enter it; works with and without a running server."""
    from segmentation.model import model_id, read_card
    from server import audit, clock, registry, schema
    from server.db import Database
    from server.events import EventBus
    from server.settings import read_settings

    settings = read_settings()
    found = model_id(arguments.model)
    key = registry.keep(settings.home.resolve(), arguments.model, found)
    database = Database(settings.db_url)
    try:
        schema.upgrade(database)
        with database.write() as session:
            now, by = clock.now(), "qc model add"
            registry.add(session, model_id=found, folder=key, card=read_card(arguments.model), now=now)
            audit.record(session, "model", found, {"folder": key}, by=by, at=now)
            serving = registry.champion(session)
            if arguments.promote and (serving is None or serving.id != found):
                registry.promote(session, EventBus(), found, by=by, at=now, reason="promoted on the command line")
            session.commit()
    finally:
        database.close()
    print(f"{found} {'serves' if arguments.promote else 'is known; promote it on the page Models'}")
    return 0


def _ready(arguments: argparse.Namespace) -> int:
    from qc.dataset import open_dataset
    from segmentation.ready import make_ready
    from segmentation.samples import MOST_LEARNT, some_of

    data = open_dataset(arguments.samples) if arguments.samples else None
    samples = data.split("val") if data else None
    learnt = some_of(data.split("train"), MOST_LEARNT) if data else ()

    def tell(share: float, words: str) -> None:
        print(f"{100 * share:3.0f} %  {words}", file=sys.stderr)

    said = make_ready(
        arguments.model, arguments.out, samples=samples, learnt=learnt, threads=arguments.threads, progress=tell
    )
    for tried in said["tried"]:
        speed = tried.get("cpu_seconds_per_mpx")
        print(
            f"{tried['runtime']:14} {f'{speed:.3f} CPU s a Mpx' if speed else '':18} {tried['why'] or 'same verdicts'}"
        )
    print(f"{said['runtime']} serves this model fastest here")
    return 0
