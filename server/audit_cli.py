"""`qc audit`: is the trail whole, is it the one that was signed, and does a verdict come out again as it was?"""

from __future__ import annotations

import argparse
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `audit` to the commands of `qc`."""
    audit = commands.add_parser("audit", help="the audit trail").add_subparsers(metavar="COMMAND", required=True)
    verify = audit.add_parser("verify", help="exit 0 and the number of entries, or 1 and the first that was altered")
    verify.add_argument("--checkpoints", metavar="FILE", type=Path, help="and compare it with the signed checkpoints")
    verify.add_argument("--key", metavar="KEY", help="the public key that must have signed them (`qc audit key`)")
    verify.set_defaults(run=run_verify)
    sign = audit.add_parser("sign", help="add a signed checkpoint to a file that is kept elsewhere")
    sign.add_argument("--checkpoints", metavar="FILE", type=Path, required=True)
    sign.set_defaults(run=run_sign)
    key = audit.add_parser("key", help="print the public key of this installation's checkpoints")
    key.set_defaults(run=run_key)
    again = audit.add_parser("reproduce", help="make a verdict again from its record; exit 1 where it differs")
    again.add_argument("inspection", metavar="INSPECTION")
    again.set_defaults(run=run_reproduce)


def run_verify(arguments: argparse.Namespace) -> int:
    """Check the trail, and its checkpoints where some are given."""
    from server import audit_check, checkpoint
    from server.schema import opened
    from server.settings import read_settings

    with opened(read_settings()) as database, database.read() as session:
        number, seal = audit_check.verify(session)
        told = ""
        if arguments.checkpoints is not None:
            agreed = checkpoint.check(session, checkpoint.read(arguments.checkpoints), key=arguments.key)
            told = f"; it agrees with {agreed} signed checkpoints"
    print(f"{number} entries, none altered; the last one's seal is {seal}{told}")
    return 0


def run_sign(arguments: argparse.Namespace) -> int:
    """Sign the trail as it stands."""
    from server import checkpoint, clock
    from server.schema import opened
    from server.settings import read_settings

    settings = read_settings()
    with opened(settings) as database, database.read() as session:
        one = checkpoint.sign(session, checkpoint.signing_key(settings.home.resolve()), now=clock.now())
    checkpoint.append(arguments.checkpoints, one)
    print(f"signed {one.n} entries")
    return 0


def run_key(arguments: argparse.Namespace) -> int:
    """Print the public key."""
    from server import checkpoint
    from server.settings import read_settings

    print(checkpoint.public_key(read_settings().home.resolve()))
    return 0


def run_reproduce(arguments: argparse.Namespace) -> int:
    """Judge a part again as it was judged."""
    from server import reproduce
    from server.blobs.opening import blobs_of
    from server.models_in_use import loader
    from server.schema import opened
    from server.settings import read_settings

    settings = read_settings()
    home = settings.home.resolve()
    with opened(settings) as database, database.read() as session:
        blobs = blobs_of(settings)
        made = reproduce.reproduce(session, blobs, home, loader(settings), arguments.inspection)
    for difference in made.differences:
        print(difference)
    if made.exact:
        print("verdict, score and every defect came out as they were recorded, to the last bit")
    return 0 if made.exact else 1
