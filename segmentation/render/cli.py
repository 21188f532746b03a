"""`qc render`: imaginary parts with known defects, or known defects in real pictures, as a data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from qc.arguments import count


def register(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add `render` to the console command."""
    parser = commands.add_parser(
        "render",
        help="render imaginary metal parts, or draw defects into your own clean pictures, as a data set",
        description="Render imaginary metal parts, several views each, with the true masks, split by part; or, with "
        "--into, draw described defects into pictures of your own good parts.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--parts", type=count, metavar="N", help="how many imaginary parts")
    what.add_argument(
        "--into", type=Path, metavar="CLEAN", help="a folder of good pictures, or a data set (its clean pictures)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DATASET", help="a folder that does not exist yet")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the same seed gives the same pictures (0)")
    imaginary = parser.add_argument_group("imaginary parts")
    imaginary.add_argument("--width", type=int, metavar="PX", help="width of a picture (1024)")
    imaginary.add_argument("--height", type=int, metavar="PX", help="height of a picture (768)")
    imaginary.add_argument("--views", type=_names, metavar="A,B", help="views (left,top,right)")
    own = parser.add_argument_group("your own clean pictures")
    own.add_argument(
        "--defects",
        type=Path,
        metavar="YAML",
        help="what the defects look like; segmentation/render/defects_example.yaml explains every field",
    )
    own.add_argument("--copies", type=count, metavar="N", help="pictures with defects for each clean one (1)")
    parser.set_defaults(run=lambda args: run(args, parser))


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Render; the bar goes to standard error."""
    if args.seed < 0:
        parser.error(f"--seed must be at least 0, not {args.seed}")
    if args.into is None:
        _refuse(parser, args, ("defects", "copies"), "goes with --into")
        return _imaginary(args)
    _refuse(parser, args, ("width", "height", "views"), "goes with --parts")
    if args.defects is None:
        parser.error("--into needs --defects, a description of what to draw")
    return _into(args)


def _refuse(parser: argparse.ArgumentParser, args: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    for name in names:
        if getattr(args, name) is not None:
            parser.error(f"--{name} {why}")


def _imaginary(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from segmentation.render.write import render_dataset

    views = args.views or ("left", "top", "right")
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rendering parts", total=args.parts)
        render_dataset(
            args.out,
            args.parts,
            seed=args.seed,
            views=views,
            width=1024 if args.width is None else args.width,
            height=768 if args.height is None else args.height,
            progress=lambda done, total: bar.update(task, completed=done),
        )
    print(f"{args.parts} parts, {args.parts * len(views)} pictures in {args.out}")
    return 0


def _into(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from segmentation.render.into import draw_into

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("drawing defects", total=None)
        done = draw_into(
            args.into,
            args.defects,
            args.out,
            copies=args.copies or 1,
            seed=args.seed,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    counted = ", ".join(f"{number} {name}" for name, number in done.defects.items())
    print(f"{done.clean} clean pictures and {done.drawn} with defects ({counted}) in {done.out}")
    if done.left_out:
        lost = ", ".join(f"{number} {name}" for name, number in done.left_out.items())
        print(f"left out, because they could not be seen where they were to lie: {lost}")
    return 0


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or not all(name.replace("-", "").replace("_", "").isalnum() for name in names):
        raise argparse.ArgumentTypeError(f"must be names separated by commas, not {text!r}")
    return names
