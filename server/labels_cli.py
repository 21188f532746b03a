"""`qc data errors`, `qc data ask`: labels that are probably wrong, and asking people about them."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from segmentation.cli import DEVICE


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands below `qc data`."""
    errors = commands.add_parser(
        "errors",
        help="labels that are probably wrong, each as a question",
        description="DATASET -> questions. A run that was interrupted is continued by the same command.",
    )
    errors.add_argument("dataset", type=Path, metavar="DATASET")
    errors.add_argument("--out", type=Path, required=True, metavar="QUESTIONS.jsonl")
    errors.add_argument("--folds", type=int, default=3, help="models, each learning without a share of the parts")
    length = errors.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="of training for each model (default 10)")
    length.add_argument("--steps", type=int, help="an exact number for each model: the same seed, the same questions")
    errors.add_argument(
        "--network", choices=("pretrained", "light"), default="pretrained", help="light: for thin defects, in less time"
    )
    errors.add_argument("--split", choices=("train", "val", "test"), default="train")
    errors.add_argument("--most", type=int, default=200, help="questions written at most")
    errors.add_argument("--pictures", type=Path, metavar="DIR", help="also write the place of each question as a PNG")
    errors.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help=DEVICE)
    errors.add_argument("--seed", type=int, default=0)
    errors.set_defaults(run=_errors)

    ask = commands.add_parser(
        "ask",
        help="questions of `errors` or `conflicts` become label tasks",
        description="QUESTIONS.jsonl -> label tasks of the inspections whose labels are doubted, for people to answer",
    )
    ask.add_argument("questions", type=Path, metavar="QUESTIONS.jsonl")
    ask.add_argument("dataset", type=Path, metavar="DATASET", help="the frozen set that they are about")
    ask.add_argument("--most", type=int, default=20, help="asked at most, in the order of the file")
    ask.set_defaults(run=_ask)


def _errors(args: argparse.Namespace) -> int:
    from labeling.cli import write_lines
    from labeling.formats.common import whole
    from labeling.push import png
    from qc.dataset import open_dataset
    from qc.errors import Conflict, InvalidInput
    from segmentation.config import NETWORKS
    from server import label_check

    if args.minutes is not None and args.minutes <= 0:
        raise InvalidInput(f"--minutes must be positive, not {args.minutes}")
    minutes = 10.0 if args.minutes is None and args.steps is None else args.minutes
    if args.pictures is not None and args.pictures.exists():
        raise Conflict(f"{args.pictures} exists already; choose another folder for the pictures")
    data = open_dataset(args.dataset)
    samples = data.split(args.split)
    masks = {s.name: s.labels(data.classes) for s in samples}
    keep = args.out.with_name(f"{args.out.name}.partial")
    doubts = label_check.cross_check(
        data,
        samples,
        masks,
        count=args.folds,
        minutes=minutes,
        steps=args.steps,
        seed=args.seed,
        network=None if args.network == "pretrained" else NETWORKS[args.network],
        device=args.device,
        keep=keep,
        progress=_tell if sys.stderr.isatty() else None,
    )
    write_lines(args.out, label_check.lines(doubts, data.classes, most=args.most))
    if args.pictures is not None:
        by_name = {s.name: s for s in samples}
        with whole(args.pictures) as work:
            for number, question in enumerate(doubts.questions[: args.most]):
                shown = label_check.picture(by_name[question.image], masks[question.image], question)
                (work / f"{number:04d}.png").write_bytes(png(shown))
    shutil.rmtree(keep)
    print(f"{min(len(doubts.questions), args.most)} of {len(doubts.questions)} questions in {args.out}")
    if doubts.unjudged:
        print(f"not judged, too few examples: {', '.join(kind.value for kind in doubts.unjudged)}")
    return 0


def _ask(args: argparse.Namespace) -> int:
    from qc.errors import InvalidInput
    from server import clock, label_questions
    from server.schema import opened
    from server.settings import read_settings

    if args.most < 1:
        raise InvalidInput(f"--most must be at least 1, not {args.most}")
    questions, settings = label_questions.read_questions(args.questions), read_settings()
    with opened(settings) as database, database.write() as session:
        asked = label_questions.ask(
            session, args.dataset, questions, most=args.most, studio=settings.label_studio, now=clock.now()
        )
        session.commit()
    print(asked.sentence())
    return 0


def _tell(share: float, words: str) -> None:
    print(f"\r{100 * share:3.0f} %  {words:60.60}", end="", file=sys.stderr, flush=True)
