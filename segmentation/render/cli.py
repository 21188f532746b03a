"""`qc render`: imaginary parts with known defects, as a data set."""

from __future__ import annotations

import argparse
from pathlib import Path


def register(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add `render` to the console command."""
    parser = commands.add_parser(
        "render",
        help="render imaginary metal parts with known defects as a data set",
        description="Render imaginary metal parts, several views each, with the true masks, split by part.",
    )
    parser.add_argument("--parts", type=_at_least_one, required=True, metavar="N", help="how many parts")
    parser.add_argument("--out", type=Path, required=True, metavar="DATASET", help="a folder that does not exist yet")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the same seed gives the same pictures (0)")
    parser.add_argument("--width", type=int, default=1024, metavar="PX", help="width of a picture (1024)")
    parser.add_argument("--height", type=int, default=768, metavar="PX", help="height of a picture (768)")
    parser.add_argument(
        "--views", type=_names, default=("left", "top", "right"), metavar="A,B", help="views (left,top,right)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render; the bar goes to standard error."""
    from rich.console import Console
    from rich.progress import Progress

    from segmentation.render.write import render_dataset

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rendering parts", total=args.parts)
        render_dataset(
            args.out,
            args.parts,
            seed=args.seed,
            views=args.views,
            width=args.width,
            height=args.height,
            progress=lambda done, total: bar.update(task, completed=done),
        )
    print(f"{args.parts} parts, {args.parts * len(args.views)} pictures in {args.out}")
    return 0


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or not all(name.replace("-", "").replace("_", "").isalnum() for name in names):
        raise argparse.ArgumentTypeError(f"must be names separated by commas, not {text!r}")
    return names
