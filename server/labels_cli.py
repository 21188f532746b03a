"""`qc data errors`: which labels are probably wrong. It needs labels and models, and stands here for that."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from segmentation.cli import DEVICE


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command below `qc data`."""
    errors = commands.add_parser(
        "errors", help="labels that are probably wrong, each as a question", description="DATASET -> questions"
    )
    errors.add_argument("dataset", type=Path, metavar="DATASET")
    errors.add_argument("--out", type=Path, required=True, metavar="QUESTIONS.jsonl")
    errors.add_argument("--folds", type=int, default=3, help="models, each learning without a share of the parts")
    errors.add_argument("--minutes", type=float, default=10.0, help="of training for each model")
    errors.add_argument("--split", choices=("train", "val", "test"), default="train")
    errors.add_argument("--most", type=int, default=200, help="questions written at most")
    errors.add_argument("--pictures", type=Path, metavar="DIR", help="also write the place of each question as a PNG")
    errors.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help=DEVICE)
    errors.add_argument("--seed", type=int, default=0)
    errors.set_defaults(run=_errors)


def _errors(args: argparse.Namespace) -> int:
    from labeling.cli import write_lines
    from labeling.formats.common import whole
    from labeling.push import png
    from qc.dataset import open_dataset
    from qc.errors import Conflict, InvalidInput
    from server import label_check

    if args.minutes <= 0:
        raise InvalidInput(f"--minutes must be positive, not {args.minutes}")
    if args.pictures is not None and args.pictures.exists():
        raise Conflict(f"{args.pictures} exists already; choose another folder for the pictures")
    data = open_dataset(args.dataset)
    samples = data.split(args.split)
    masks = {s.name: s.labels(data.classes) for s in samples}
    doubts = label_check.cross_check(
        data,
        samples,
        masks,
        count=args.folds,
        minutes=args.minutes,
        seed=args.seed,
        device=args.device,
        progress=_tell if sys.stderr.isatty() else None,
    )
    write_lines(args.out, label_check.lines(doubts, data.classes, most=args.most))
    if args.pictures is not None:
        by_name = {s.name: s for s in samples}
        with whole(args.pictures) as work:
            for number, question in enumerate(doubts.questions[: args.most]):
                shown = label_check.picture(by_name[question.image], masks[question.image], question)
                (work / f"{number:04d}.png").write_bytes(png(shown))
    print(f"{min(len(doubts.questions), args.most)} of {len(doubts.questions)} questions in {args.out}")
    if doubts.unjudged:
        print(f"not judged, too few examples: {', '.join(kind.value for kind in doubts.unjudged)}")
    return 0


def _tell(share: float, words: str) -> None:
    print(f"\r{100 * share:3.0f} %  {words:60.60}", end="", file=sys.stderr, flush=True)
