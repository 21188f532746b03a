"""`qc docs`: the documentation site; `qc plan`: cores, disk and network of a plant."""

from __future__ import annotations

import argparse
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `docs` and `plan`."""
    docs = commands.add_parser("docs", help="build the documentation site", description=run_docs.__doc__)
    docs.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the site; replaced if it is one")
    docs.set_defaults(run=run_docs)
    plan = commands.add_parser("plan", help="cores, disk and network that a plant needs", description=run_plan.__doc__)
    add = plan.add_argument
    add("--parts-a-day", type=float, required=True, metavar="N")
    add("--views", type=int, required=True, metavar="N", help="images of one part")
    add("--mpx", type=float, required=True, metavar="N", help="megapixels of one image")
    add("--hours", type=float, default=16.0, metavar="H", help="in which a day's parts come (16)")
    add("--peak", type=float, default=1.5, metavar="X", help="busiest hour over a mean one (1.5)")
    add("--mb-a-mpx", type=float, default=0.25, metavar="MB", help="of a stored megapixel (0.25: JPEG)")
    add("--keep-days", type=float, default=365.0, metavar="D", help="pictures are kept (365)")
    add("--runtime", choices=("torch", "onnx", "openvino"), default="openvino", help="what computes (openvino)")
    plan.set_defaults(run=run_plan)


def run_docs(arguments: argparse.Namespace) -> int:
    """Build the documentation site into FOLDER: it opens without a web server; only its search needs one."""
    from server.docs.build import build

    print(f"{build(arguments.out)} pages; open {arguments.out / 'index.html'}")
    return 0


def run_plan(arguments: argparse.Namespace) -> int:
    """Say what a plant needs, by measured figures; the formulas stand on the documentation's planning page."""
    from server.docs.planning import Plant, needs

    told = needs(
        Plant(
            parts_a_day=arguments.parts_a_day,
            views=arguments.views,
            mpx=arguments.mpx,
            hours=arguments.hours,
            peak=arguments.peak,
            mb_a_mpx=arguments.mb_a_mpx,
            keep_days=arguments.keep_days,
        ),
        runtime=arguments.runtime,
    )
    print(f"one part       {told.part_s:.1f} core seconds")
    print(f"cores          {told.cores:.1f} for inspecting in the busiest hour; training comes on top")
    print(
        f"disk           {told.disk_gb:,.0f} GB of pictures after {arguments.keep_days:g} days, "
        "and as much for the backup"
    )
    print(f"network        {told.network_mbit:.1f} Mbit/s from the cameras in the busiest hour")
    return 0
