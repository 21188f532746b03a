"""`qc head`: a class learnt from a few examples, on the features of the model that serves."""

from __future__ import annotations

import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `head` to the commands of `qc`."""
    parser = commands.add_parser("head", help="a class learnt from a few examples, beside the model")
    below = parser.add_subparsers(metavar="COMMAND", required=True)

    learn = below.add_parser("learn", help="learn a class from a few defects; the server suggests it from then on")
    learn.add_argument("name", metavar="CLASS")
    learn.add_argument(
        "examples",
        metavar="INSPECTION/DEFECT",
        nargs="*",
        help="defects counted from 0 over all images of the part; none: what people labelled so",
    )
    learn.add_argument("--to-review", action="store_true", help="it may send parts to a person that the model calls ok")
    learn.set_defaults(run=_learn)

    listed = below.add_parser("list", help="all heads, the newest first")
    listed.set_defaults(run=_list)

    retire = below.add_parser("retire", help="let a head be silent")
    retire.add_argument("id", metavar="ID")
    retire.set_defaults(run=_retire)


def _learn(arguments: argparse.Namespace) -> int:
    from qc.errors import InvalidInput
    from server import clock, features, features_heads, features_search, schema
    from server.db import Database
    from server.models_in_use import find_champion
    from server.settings import read_settings

    settings = read_settings()
    database = Database(settings.db_url)
    try:
        schema.upgrade(database)
        with database.read() as session:
            serving = find_champion(settings)(session)
            keys = []
            for told in arguments.examples:
                inspection, _, number = told.partition("/")
                if not number.isdecimal():
                    raise InvalidInput(f"{told!r} names no defect; write INSPECTION/DEFECT, such as 0199…/0")
                keys.append(features_heads.place_of(session, inspection, int(number)))
            encoder = features.encoder_of(session, keys) if keys else serving[0] if serving else ""
            learnt = features_heads.learn(session, arguments.name, encoder=encoder, examples=keys)
        with database.write() as session:
            by, now = "qc head learn", clock.now()
            row = features_heads.keep(session, learnt, to_review=arguments.to_review, by=by, now=now)
            features_search.ask_once(session, row.name, by=by, now=now)
            session.commit()
            told_figures = row.figures
    finally:
        database.close()
    print(
        f"{row.id} knows {row.name} from {told_figures['examples']} examples beside {told_figures['others']} others; "
        f"on examples left out: average precision {told_figures['average_precision']:.2f}, finds "
        f"{told_figures['recall']:.0%}, with {told_figures['false_alarms']:.1%} of the others"
    )
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from server import features_heads, schema
    from server.db import Database
    from server.settings import read_settings

    database = Database(read_settings().db_url)
    try:
        schema.upgrade(database)
        with database.read() as session:
            for row in features_heads.newest(session):
                state = "retired" if row.retired_at else "serves"
                print(
                    f"{row.id}  {row.name:20}  {state:8}  AP {row.figures['average_precision']:.2f}  {row.encoder[:19]}"
                )
    finally:
        database.close()
    return 0


def _retire(arguments: argparse.Namespace) -> int:
    from server import clock, features_heads, schema
    from server.db import Database
    from server.settings import read_settings

    database = Database(read_settings().db_url)
    try:
        schema.upgrade(database)
        with database.write() as session:
            row = features_heads.retire(session, arguments.id, by="qc head retire", now=clock.now())
            session.commit()
    finally:
        database.close()
    print(f"{row.name} is silent from now on")
    return 0
