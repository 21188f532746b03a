"""`qc data …`: versions of data sets and other tools' formats. What is heavy is imported when it runs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qc.durable import write_whole

if TYPE_CHECKING:
    from labeling.views import PieceQuestion
    from labeling.visibility import CarriedQuestion

FORMATS = ("coco", "mvtec", "yolo", "label-studio")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this package's commands."""
    data = commands.add_parser("data", help="versions of data sets; COCO, MVTec, YOLO and Label Studio in and out")
    below = data.add_subparsers(required=True, metavar="WHAT")

    freeze = below.add_parser("freeze", help="write the hash of every file; the set must not change from then on")
    freeze.add_argument("dataset", type=Path, metavar="DATASET")
    freeze.set_defaults(run=_freeze)

    check = below.add_parser("check", help="is a frozen set what it was?")
    check.add_argument("dataset", type=Path, metavar="DATASET")
    check.set_defaults(run=_check)

    diff = below.add_parser("diff", help="what changed from one version to another")
    diff.add_argument("before", type=Path, metavar="BEFORE")
    diff.add_argument("after", type=Path, metavar="AFTER")
    diff.set_defaults(run=_diff)

    export = below.add_parser("export", help="write a data set for another tool, and say what it has no place for")
    export.add_argument("dataset", type=Path, metavar="DATASET")
    export.add_argument("--format", choices=FORMATS, required=True)
    export.add_argument("--out", type=Path, required=True, metavar="DIR")
    export.set_defaults(run=_export)

    bring = below.add_parser("import", help="make a data set of another tool's folder")
    bring.add_argument("folder", type=Path, metavar="DIR")
    bring.add_argument("--format", choices=FORMATS, required=True)
    bring.add_argument("--out", type=Path, required=True, metavar="DATASET")
    bring.set_defaults(run=_import)

    conflicts = below.add_parser("conflicts", help="pieces whose views are labelled as if they were different pieces")
    conflicts.add_argument("dataset", type=Path, metavar="DATASET")
    conflicts.add_argument("--split", choices=("train", "val", "test"), help="this side only")
    conflicts.add_argument("--unaligned", action="store_true", help="do not register views: presence, class, size only")
    conflicts.add_argument("--out", type=Path, metavar="QUESTIONS.jsonl", help="one question a line; default: in words")
    conflicts.set_defaults(run=_conflicts)


def _freeze(args: argparse.Namespace) -> int:
    from labeling.manifest import write_manifest
    from qc.dataset import open_dataset

    open_dataset(args.dataset)
    print(write_manifest(args.dataset, now=datetime.now(UTC)))
    return 0


def _check(args: argparse.Namespace) -> int:
    from labeling.manifest import check, read_manifest
    from qc.errors import Conflict

    wrong = check(args.dataset)
    if wrong:
        raise Conflict(f"{args.dataset} is not what was frozen: {'; '.join(wrong[:5])} ({len(wrong)} differences)")
    print(read_manifest(args.dataset)["id"])
    return 0


def _diff(args: argparse.Namespace) -> int:
    from labeling.manifest import diff

    print("\n".join(diff(args.before, args.after).sentences()))
    return 0


def _export(args: argparse.Namespace) -> int:
    from qc.dataset import open_dataset

    print("\n".join(_module(args.format).write(open_dataset(args.dataset), args.out).sentences()))
    return 0


def _import(args: argparse.Namespace) -> int:
    print("\n".join(_module(args.format).read(args.folder, args.out).sentences()))
    return 0


def _module(name: str):  # type: ignore[no-untyped-def]  # a module has no type of its own
    from labeling.formats import coco, mvtec, studio_json, yolo

    return {"coco": coco, "mvtec": mvtec, "yolo": yolo, "label-studio": studio_json}[name]


def _conflicts(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from labeling.conflicts import find_conflicts
    from labeling.views import PieceQuestion
    from qc.dataset import open_dataset

    data = open_dataset(args.dataset)
    samples = data.samples if args.split is None else data.split(args.split)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("comparing views")
        found = find_conflicts(
            data,
            samples,
            align=not args.unaligned,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if args.out is None:
        for q in found.questions:
            print(f"{q.certainty:.2f}  {q.sentence(data.classes)}")
    else:
        lines = [
            json.dumps(_piece(q, data.classes) if isinstance(q, PieceQuestion) else _carried(q, data.classes))
            for q in found.questions
        ]
        write_lines(args.out, lines)
        print(f"{len(lines)} questions in {args.out}")
    print(found.summary() if not args.unaligned else "presence, class and size compared; nothing was registered")
    return 0


def _piece(q: PieceQuestion, names: Mapping[int, str]) -> dict[str, object]:
    return {
        "part": q.part,
        "kind": q.kind.value,
        "compared": "presence, class and size",
        "certainty": round(q.certainty, 4),
        "priority": round(q.priority, 4),
        "classes": [names[c] for c in q.classes],
        "images": q.images,
        "doubted": q.doubted,
        "question": q.sentence(names),
    }


def _carried(q: CarriedQuestion, names: Mapping[int, str]) -> dict[str, object]:
    return {
        "part": q.part,
        "kind": q.fate.value,
        "compared": "label carried over",
        "certainty": round(q.certainty, 4),
        "priority": round(q.certainty, 4),
        "visible": round(q.visible, 4),
        "classes": [names[c] for c in (q.class_id, q.other_class) if c is not None],
        "images": [q.image, q.doubted],
        "doubted": [q.doubted],
        "box": q.box.as_list(),
        "there": q.there.as_list(),
        "question": q.sentence(names),
    }


def write_lines(path: Path, lines: list[str]) -> None:
    """A text file that appears whole or not at all."""
    write_whole(path, "".join(f"{line}\n" for line in lines))
