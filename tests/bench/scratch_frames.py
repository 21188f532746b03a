"""Hair-thin scratches on frames of 12 Mpx, on textures never trained on: recall at 0.1 false alarms a frame::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python tests/bench/scratch_frames.py --minutes 6 --frames 20 --out FILE

Half an hour on two free cores. Frames of 4000 x 3000 px are rendered with the finish `--unseen`; the scratches of
`hair_scratches.yaml` (4-60 px long, 0.6-1.8 px wide before the lens) are drawn into them, 12 to 20 a frame, and only
where an eye can see them (`segmentation.render.blend`). Dust, lint and the other harmless marks of the renderer stay.
Three are judged by the same code, one core each: the model folders given (the starter model, if none; it was trained
on imaginary parts of every finish, so that to it only these parts are new), `qc train` for `--minutes` on pictures of
the *other* finishes with scratches of the same description, and the strong recipe, same pictures, same minutes (of the
processor, so that other work on the machine takes nothing from either).

`recall` is that at the lowest score with at most 0.1 false alarms a frame, by length along the curve as drawn in the
mask, with a 95 % interval over the frames; a90 and a90/95 are those of detection at that score (`segmentation.pod`).
"""

from __future__ import annotations

import segmentation  # isort: skip - first, it lets smp import torchvision beside a CPU torch

import argparse
import json
import multiprocessing
import queue
import tempfile
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from strong_recipe import train_recipe

from qc.dataset import open_dataset
from segmentation.evaluate import image_facts
from segmentation.metrics import RESAMPLES, Figures, collect, recall_at, share_interval
from segmentation.model import load_segmenter
from segmentation.pod import probability_of_detection
from segmentation.render import SURFACES, VIEWS, draw_into, read_description, render_part
from segmentation.render.into import class_ids, draw
from segmentation.render.likeness import look_at
from segmentation.render.write import new_dataset, write_png, write_table
from segmentation.train import train

DESCRIPTION = Path(__file__).with_name("hair_scratches.yaml")
STARTER = Path(segmentation.__file__).parent / "starter"
ALARMS = 0.1
"""False alarms a frame."""

SHORT_PX = 6
"""The shortest scratch that the product promises to find."""

BANDS = ((0, 6), (6, 8), (8, 12), (12, 20), (20, 40), (40, 10_000))
PER_FRAME = (12, 20)
LEARN_FROM, LEARN_SEED, JUDGE_SEED = (1024, 768), 52_000, 91_000
"""Pictures to learn from are of this size, px; the seeds lie further apart than there are pictures."""

SHARE_LEARNING = 0.4
"""Of a bar that learns and then looks."""


def clean(number: int, seed: int, finishes: tuple[str, ...], size: tuple[int, int]) -> np.ndarray:
    """One view of an imaginary part without a defect, `H x W`, with its share of dirt."""
    view = VIEWS[number % len(VIEWS)]
    finish = finishes[number % len(finishes)]
    part = render_part(seed + number, views=(view,), width=size[0], height=size[1], surface=finish, defects=())
    return part.views[0].pixels


def frames_to_judge(out: Path, count: int, size: tuple[int, int], unseen: str) -> None:
    """A data set whose split `test` holds the frames."""
    described = read_description(DESCRIPTION)
    described = replace(described, defects=tuple(replace(d, per_image=PER_FRAME) for d in described.defects))
    classes, rows = class_ids(described, {}), []
    with new_dataset(out) as root:
        for number in range(count):
            pixels = clean(number, JUDGE_SEED, (unseen,), size)
            made = draw(pixels, described, classes, look_at(pixels), np.random.default_rng([JUDGE_SEED, number]))
            name = f"frame{number:03d}.png"
            write_png(root / "images" / name, made.pixels)
            write_png(root / "masks" / name, made.mask)
            rows.append({"file": name, "split": "test", "part": name})
        write_table(root, ("file", "split", "part"), rows)
        (root / "dataset.yaml").write_text(yaml.safe_dump({"name": f"scratches on {unseen}", "classes": classes}))


def pictures_to_learn_from(folder: Path, count: int, unseen: str) -> Path:
    """Clean pictures of the other finishes, and as many with scratches, as `qc render --into` makes them."""
    finishes = tuple(s for s in SURFACES if s != unseen)
    (folder / "clean").mkdir()
    for number in range(count):
        write_png(folder / "clean" / f"part{number:03d}.png", clean(number, LEARN_SEED, finishes, LEARN_FROM))
    return draw_into(folder / "clean", DESCRIPTION, folder / "learn").out


def judge(who: str, model: Path | None, learn: Path, frames: Path, minutes: float, told: Any) -> dict[str, Any]:
    """Learn, if there is something to learn, and look at every frame; runs in a process of its own."""
    torch.set_num_threads(1)
    told.put((who, "learns" if model is None else "looks", 0.0))
    began = time.process_time()

    def learns(share: float, _: str) -> None:
        told.put((who, "learns", share))

    if who == "strong recipe":
        eyes = train_recipe(open_dataset(learn), minutes=minutes, progress=learns)
    elif model is None:
        with tempfile.TemporaryDirectory() as folder:
            train(learn, Path(folder) / "model", minutes=minutes, clock=time.process_time, progress=learns)
            eyes = load_segmenter(Path(folder) / "model", threads=1)
    else:
        eyes = load_segmenter(model, threads=1)
    cpu = time.process_time()
    learnt = cpu - began
    found = image_facts(
        eyes, open_dataset(frames), split="test", progress=lambda share, _: told.put((who, "looks", share))
    )
    return {"figures": collect(found), "learning_s": learnt, "cpu_s_a_frame": (time.process_time() - cpu) / len(found)}


def lowest_score(f: Figures) -> float:
    """A defect counts as found above this score: the surest false alarm that is one too many."""
    allowed = int(ALARMS * len(f.image_part) + 1e-9)
    return float(f.alarm_score[allowed]) if len(f.alarm_score) > allowed else -0.5


def report(f: Figures, seed: int = 0) -> dict[str, Any]:
    """Recall by length, and the curve of detection, at `ALARMS`."""
    weights = np.random.default_rng(seed).multinomial(f.parts, np.full(f.parts, 1 / f.parts), size=RESAMPLES)
    weights = np.concatenate([np.ones((1, f.parts)), weights])
    long_enough = f.defect_length_px >= SHORT_PX
    bands = {f"{SHORT_PX} px and more": long_enough, "all": np.ones(len(long_enough), bool)}
    for low, high in BANDS:
        name = f"{low}-{high} px" if high < 1000 else f"{low} px and more"
        bands[name] = (f.defect_length_px >= low) & (f.defect_length_px < high)
    limit = lowest_score(f)
    pod = probability_of_detection(f.defect_length_px, f.defect_found_at > limit)
    recalls = {
        name: {
            **share_interval([recall_at(f, w, ALARMS, of=of) for w in weights], len(np.unique(f.defect_part[of]))),
            "scratches": int(of.sum()),
        }
        for name, of in bands.items()
    }
    return {
        "recall": recalls,
        "score": limit,
        "a50_px": pod.a50,
        "a90_px": pod.a90,
        "a90_95_px": pod.a90_95,
        "note": pod.note,
    }


def show(reports: dict[str, dict[str, Any]]) -> None:
    """The table."""
    print(f"{'recall at 0.1 false alarms a frame':38}" + "".join(f"{who:>26}" for who in reports))
    first = next(iter(reports.values()))["recall"]
    for name, row in first.items():
        cells = ("{value} ({low}-{high})".format(**r["recall"][name]) for r in reports.values())
        print(f"{name + ', ' + str(row['scratches']):38}" + "".join(f"{cell:>26}" for cell in cells))
    for name in ("a50_px", "a90_px", "a90_95_px", "cpu_s_a_frame"):
        cells = (r[name] if r[name] is None else f"{r[name]:.1f}" for r in reports.values())
        print(f"{name:38}" + "".join(f"{cell!s:>26}" for cell in cells))
    for who, r in reports.items():
        if r["note"]:
            print(f"{who}: {r['note']}")


def main() -> None:
    """Make the frames, let all learn and look, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="*", help="model folders; the starter model if there is none")
    parser.add_argument(
        "--minutes", type=float, default=6.0, help="of the processor to learn, each; 0: only the model folders"
    )
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--size", type=int, nargs=2, default=(4000, 3000), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--pictures", type=int, default=120, help="clean pictures to learn from")
    parser.add_argument("--unseen", choices=SURFACES, default="machined")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="keep the frames here, as a data set")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch, multiprocessing.Manager() as manager:
        folder = Path(scratch)
        frames = args.keep or folder / "frames"
        frames_to_judge(frames, args.frames, tuple(args.size), args.unseen)
        learn = pictures_to_learn_from(folder, args.pictures, args.unseen) if args.minutes else folder
        who: dict[str, Path | None] = {"strong recipe": None, "ours": None} if args.minutes else {}
        who |= {f"{m.resolve().name} as given": m for m in args.models or [STARTER]}
        told = manager.Queue()
        with ProcessPoolExecutor(args.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            jobs = {
                name: pool.submit(judge, name, model, learn, frames, args.minutes, told) for name, model in who.items()
            }
            follow(jobs, told)
            done = {name: job.result() for name, job in jobs.items()}
    reports = {name: {**report(d.pop("figures")), **d} for name, d in done.items()}
    show(reports)
    if args.out:
        chosen = {"unseen": args.unseen, "frames": args.frames, "size": list(args.size), "minutes": args.minutes}
        args.out.write_text(json.dumps({**chosen, "reports": reports}, indent=1) + "\n")


def follow(jobs: dict[str, Future[dict[str, Any]]], told: Any) -> None:
    """A bar for each, until all are done."""
    columns = (TextColumn("{task.description:40}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns) as bars:
        bar = {name: bars.add_task(f"{name}: waits", total=1.0, start=False) for name in jobs}
        learnt: set[str] = set()
        while not all(job.done() for job in jobs.values()):
            try:
                name, doing, share = told.get(timeout=1.0)
            except queue.Empty:
                continue
            bars.start_task(bar[name])
            if doing == "learns":
                learnt.add(name)
                done = SHARE_LEARNING * share
            else:
                start = SHARE_LEARNING if name in learnt else 0.0
                done = start + (1 - start) * share
            bars.update(bar[name], completed=done, description=f"{name}: {doing}")


if __name__ == "__main__":
    main()
