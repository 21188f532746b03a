"""The options of `qc export MODEL --edge`. What is heavy is imported when it runs."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qc.progress import Progress
    from segmentation.parity import Picture

MOST_BYTES = 300_000_000
"""What an edge folder should take at most; more is said, and written all the same."""


def add_options(export: argparse.ArgumentParser) -> None:
    """Add what concerns an edge folder alone."""
    edge = export.add_argument_group("edge", "with --edge: where and how the folder will inspect (edge.json)")
    edge.add_argument("--runtime", choices=("openvino", "onnx"), help="default: openvino on x86, onnx on others")
    edge.add_argument("--policy", type=Path, metavar="FILE", help="the product's rules; default: every defect is ng")
    edge.add_argument("--mm-per-px", type=float, help="calibration, where the policy has none")
    edge.add_argument("--station", default="edge", help="the name under which the server knows it; edge")
    edge.add_argument("--watch", default="", metavar="DIR", help="the folder on the IPC in which pictures arrive")
    edge.add_argument("--server", default="", metavar="URL", help="where to report")
    edge.add_argument("--spool", default="../edge-spool", metavar="DIR", help="where it keeps all; ../edge-spool")
    edge.add_argument(
        "--names",
        default="(?P<part>.+)",
        metavar="REGEX",
        help="what a file name tells, such as '(?P<part>.+)_(?P<view>left|right)'",
    )
    edge.add_argument("--threads", type=int, help="CPU threads for one picture; default: all of the IPC")


def export_folder(
    args: argparse.Namespace, samples: Sequence[Picture], bar: Callable[[str], AbstractContextManager[Progress]]
) -> int:
    """Write it, and say how large it is."""
    from segmentation.edge.make import Place, export_edge

    intel = platform.machine().lower() in ("x86_64", "amd64", "i686")
    place = Place(
        station=args.station,
        policy=args.policy,
        mm_per_px=args.mm_per_px,
        names=args.names,
        watch=args.watch,
        server=args.server,
        spool=args.spool,
        threads=args.threads,
    )
    runtime = args.runtime or ("openvino" if intel else "onnx")
    with bar("export") as progress:
        about = export_edge(args.model, args.out, runtime=runtime, samples=samples, place=place, progress=progress)
    compared = about["compared_with_the_model"]
    print(f"{args.out}: {runtime}, {compared['images']} verdicts compared, none differs")
    print(f"{about['bytes'] / 1e6:.0f} MB; {compared['median_ms']:.0f} ms for a picture in the median")
    if about["bytes"] > MOST_BYTES:
        print(f"note: that is more than {MOST_BYTES / 1e6:.0f} MB")
    print(f"copy it to the IPC (Python {about['python']}) and try: ./{args.out.name}/inspect.sh check")
    return 0
