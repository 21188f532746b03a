"""`qc outbound secret` and `qc outbound check`: what `outbound.yaml` needs, and whether it makes sense."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def register(commands: Commands) -> None:
    """Add `outbound`."""
    outbound = commands.add_parser("outbound", help="who is told what: webhooks and MQTT (QC_HOME/outbound.yaml)")
    below = outbound.add_subparsers(metavar="WHAT", required=True)
    secret = below.add_parser("secret", help="print a new secret for a webhook, on the last line")
    secret.set_defaults(run=_secret)
    check = below.add_parser("check", help="does QC_HOME/outbound.yaml make sense? Prints who is told what")
    check.set_defaults(run=_check)


def _secret(_: argparse.Namespace) -> int:
    import base64
    import secrets

    print("Put this into outbound.yaml and into the receiver; it is kept nowhere else.")
    print("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
    return 0


def _check(_: argparse.Namespace) -> int:
    from qc.errors import NotFound
    from server.outbound.config import FILE, read_config
    from server.settings import read_settings

    home = read_settings().home.resolve()
    config = read_config(home / FILE)
    if config is None:
        raise NotFound(f"there is no {home / FILE}; server/outbound/README.md shows one")
    for name, address in config.addresses.items():
        print(f"{name}: {address.shown}: {', '.join(address.tell)}")
    return 0
