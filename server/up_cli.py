"""`qc up`: the server; `qc openapi`: its description."""

from __future__ import annotations

import argparse
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `up` and `openapi`."""
    up = commands.add_parser("up", help="start the server", description="Start the server; QC_… variables set it up.")
    up.add_argument("--demonstration", action="store_true", help="and a demonstration line that sends it parts")
    up.set_defaults(run=run_up)
    openapi = commands.add_parser("openapi", help="write the description of the REST interface")
    openapi.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    openapi.set_defaults(run=run_openapi)


def run_up(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from server.serving import serve
    from server.settings import read_settings

    return serve(read_settings(), demonstration=arguments.demonstration)


def run_openapi(arguments: argparse.Namespace) -> int:
    """Write the OpenAPI description."""
    import json
    import tempfile

    from qc.durable import write_whole
    from server.app import create_app
    from server.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        description = create_app(Settings(home=Path(folder))).openapi()
    write_whole(arguments.out, json.dumps(description, indent=1) + "\n")
    return 0
