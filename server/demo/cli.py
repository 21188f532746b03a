"""`qc demo`: the demonstration line, run as a process of its own against any server."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from qc.arguments import count


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `demo` to the console command."""
    parser = commands.add_parser(
        "demo",
        help="run the demonstration line against a server",
        description="An imaginary plant: renders parts, posts them, follows recommendations, labels in Label Studio.",
    )
    add = parser.add_argument
    add(
        "--url",
        default=os.environ.get("QC_DEMO_URL", "http://127.0.0.1:8000"),
        help="the server (http://127.0.0.1:8000)",
    )
    add("--key", default=os.environ.get("QC_DEMO_KEY", ""), help="a key of role machine; or QC_DEMO_KEY")
    add("--studio-url", default=os.environ.get("QC_DEMO_STUDIO_URL", ""), help="Label Studio (the server's own)")
    add("--studio-token", default=os.environ.get("QC_DEMO_STUDIO_TOKEN", ""), help="a token for it (its own)")
    add("--rate", type=_positive, default=8.0, metavar="N", help="parts a minute, at most (8)")
    add("--parts", type=count, default=None, metavar="N", help="stop after so many parts (never)")
    add("--seed", type=_not_negative, default=0, metavar="S", help="another seed is another plant (0)")
    add("--width", type=count, default=1024, metavar="PX", help="width of a picture (1024)")
    add("--height", type=count, default=768, metavar="PX", help="height of a picture (768)")
    add("--history", type=count, default=10_000, metavar="N", help="parts in the history of the process (10000)")
    add("--no-labels", action="store_true", help="nobody works in Label Studio")
    add("--no-process", action="store_true", help="pictures only: no process, no recommendations")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the line until Ctrl-C."""
    from qc.errors import InvalidInput
    from server.demo.config import DemoConfig
    from server.demo.line import run as run_line

    if not arguments.key:
        raise InvalidInput("qc demo needs --key or QC_DEMO_KEY: make one with qc key create --role machine")
    return run_line(
        DemoConfig(
            url=arguments.url,
            key=arguments.key,
            home=Path(os.environ.get("QC_HOME", "var")).resolve(),
            studio_url=arguments.studio_url,
            studio_token=arguments.studio_token,
            parts_per_minute=arguments.rate,
            parts=arguments.parts,
            seed=arguments.seed,
            width=arguments.width,
            height=arguments.height,
            history_parts=arguments.history,
            labels=not arguments.no_labels,
            process=not arguments.no_process,
        )
    )


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 6000:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 6000, not {text}")
    return number


def _not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {number}")
    return number
