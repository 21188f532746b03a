"""`qc golden`: parts whose verdict is known for certain, from the command line, beside a running server or without."""

from __future__ import annotations

import argparse
import getpass


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `golden` to the commands of `qc`."""
    parser = commands.add_parser("golden", help="parts whose verdict is known for certain; every new model is asked")
    below = parser.add_subparsers(metavar="COMMAND", required=True)

    listed = below.add_parser("list", help="the versions in force")
    listed.set_defaults(run=_list)

    show = below.add_parser("show", help="the parts of a version; exit 1 where it was altered")
    show.add_argument("product", metavar="PRODUCT")
    show.add_argument("--version", metavar="N", type=int)
    show.set_defaults(run=_show)

    declare = below.add_parser("declare", help="the next version: the one in force with these parts more, or fewer")
    declare.add_argument("product", metavar="PRODUCT")
    declare.add_argument("add", metavar="INSPECTION=ok|ng", nargs="*", type=_truth)
    declare.add_argument("--remove", metavar="INSPECTION", action="append", default=[])
    declare.add_argument("--reason", required=True)
    declare.set_defaults(run=_declare)


def _truth(text: str) -> tuple[str, str]:
    inspection, _, truth = text.rpartition("=")
    if not inspection or truth not in ("ok", "ng"):
        raise argparse.ArgumentTypeError(f"{text!r} is no INSPECTION=ok or INSPECTION=ng")
    return inspection, truth


def _list(arguments: argparse.Namespace) -> int:
    from server import golden
    from server.schema import opened
    from server.settings import read_settings

    with opened(read_settings()) as database, database.read() as session:
        for one in golden.in_force(session):
            told = golden.as_json(session, one)
            print(f"{one.product}  version {one.number}  {told['ok']} ok, {told['ng']} not good  {one.id}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from server import golden
    from server.schema import opened
    from server.settings import read_settings

    with opened(read_settings()) as database, database.read() as session:
        one = golden.version(session, arguments.product, arguments.version)
        print(f"{one.id}  version {one.number}, {one.at:%Y-%m-%d %H:%M} by {one.by}: {one.reason}")
        for part in golden.parts_of(session, one):
            print(f"{part.truth:3}  {part.inspection_id}  {part.part}  {part.station}")
    return 0


def _declare(arguments: argparse.Namespace) -> int:
    from qc.verdict import Verdict
    from server import clock, golden, golden_needs
    from server.blobs.opening import blobs_of
    from server.policies import check_product
    from server.schema import opened
    from server.settings import read_settings

    settings, product = read_settings(), check_product(arguments.product)
    blobs, add = blobs_of(settings), {inspection: Verdict(truth) for inspection, truth in arguments.add}
    with opened(settings) as database:
        golden.copy_pictures(database, blobs, product, add)
        with database.write() as session:
            one = golden.declare(
                session,
                blobs,
                product,
                add=add,
                remove=arguments.remove,
                reason=arguments.reason,
                by=f"qc golden ({getpass.getuser()})",
                now=clock.now(),
            )
            golden_needs.ask(session, model=None, why="declared on the command line", now=clock.now())
            session.commit()
    print(f"{one.id} is version {one.number} of the golden parts of {one.product}")
    return 0
