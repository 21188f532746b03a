"""`qc packages`: what the installation is made of, and what is known against it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.packages import Package


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `packages` to the commands of `qc`."""
    packages = commands.add_parser("packages", help="what the installation is made of, and what is known against it")
    below = packages.add_subparsers(metavar="COMMAND", required=True)
    bill = below.add_parser("bill", help="write a bill of materials (SBOM, CycloneDX 1.6)")
    bill.add_argument("--out", metavar="FILE", type=Path, required=True)
    bill.set_defaults(run=run_bill)
    check = below.add_parser("check", help="ask OSV for known weaknesses; exit 1 where there are any")
    check.add_argument("--osv", metavar="URL", default="", help="another database that speaks OSV's interface")
    check.add_argument("--accept", metavar="ID", action="append", default=[], help="a weakness that was looked into")
    check.set_defaults(run=run_check)


def run_bill(arguments: argparse.Namespace) -> int:
    """Write what is installed."""
    import json
    from importlib.metadata import version

    from qc.durable import write_whole
    from qc.errors import InvalidInput
    from server import clock, packages

    found = _all()
    told = packages.bill(found, version=version("qc-line"), at=clock.now())
    try:
        write_whole(arguments.out, json.dumps(told, indent=1) + "\n")
    except OSError as error:
        raise InvalidInput(f"{arguments.out} cannot be written: {error.strerror}") from error
    print(f"{len(found)} packages are in {arguments.out}")
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Say what is known against what is installed."""
    from server import packages

    found = _all()
    known = packages.known_against(found, osv=arguments.osv or packages.OSV)
    left = {purl: [id for id in ids if id not in arguments.accept] for purl, ids in sorted(known.items())}
    for purl, ids in left.items():
        if ids:
            print(f"{purl}: {', '.join(ids)}")
    weak = sum(bool(ids) for ids in left.values())
    besides = " besides those accepted" if arguments.accept else ""
    print(f"{weak} of {len(found)} packages have known weaknesses{besides}")
    return 1 if weak else 0


def _all() -> list[Package]:
    from server import packages
    from server.settings import ROOT

    return packages.installed() + packages.locked(ROOT / "frontend" / "package-lock.json")
