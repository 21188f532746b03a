"""One retraining, stage by stage: freeze the labels, train a challenger, compare it with the champion.

Runs in a child process (`server.jobs.child`), because training takes all of a processor. Each stage leaves its artefact
in the job's own folder by a rename, and is skipped where the artefact is: whatever kills the process, the next attempt
goes on behind the last finished stage, and inside the training behind its last checkpoint::

    QC_HOME/retraining/<job>/dataset/          the frozen labels, mixed with the base
    QC_HOME/retraining/<job>/data-check.json   is the data fit to train on (`server.data_checks`)
    QC_HOME/retraining/<job>/model/            the challenger
    QC_HOME/retraining/<job>/comparison-<champion>.json   who is better on parts neither was trained on, and why
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from qc.dataset import open_dataset
from server import clock
from server.blobs.opening import open_blobs
from server.data_checks import check_dataset, counts_of, refuse_unfit
from server.db import Database
from server.jobs.child import Report

BASE_PARTS = 40
"""Imaginary parts in the base, three views each: with the first twenty labels there would otherwise be too few clean
surfaces and too few of each class for a training to keep what the starter model knows."""
BASE_UNTIL_PARTS = 200
"""From so many labelled parts on, the plant's own pictures are enough and the base is left out."""
BASE_SEED = 20_26
SPLIT = "test"
"""On which side champion and challenger meet: training never sees it, while it chooses its threshold on `val`."""


def retrain(arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """All stages; returns `{"model_id", "model", "comparison", "dataset"}`, paths being absolute.

    Args:
        arguments: `home`, `database_url`, `blobs` (the setting), `work` (the job's folder), `champion` (its folder),
            `champion_id`, `classes`, `minutes`, `device`, `threads`, `seed`, `labelled_parts`.
        report: told the share done and what is being done.
    """
    import torch

    from segmentation.model import model_id

    torch.set_num_threads(int(arguments["threads"]))
    work = Path(arguments["work"])
    work.mkdir(parents=True, exist_ok=True)
    classes = {int(k): str(v) for k, v in arguments["classes"].items()}
    dataset = _freeze(arguments, work / "dataset", classes, report)
    checked = _check(arguments, dataset, work / "data-check.json", report)
    model = _train(arguments, dataset, work / "model", report)
    against = str(arguments["champion_id"]).removeprefix("sha256:")[:16]
    comparison = _compare(arguments, dataset, model, work / f"comparison-{against}.json", report)
    return {
        "model_id": model_id(model),
        "model": str(model),
        "comparison": comparison,
        "dataset": str(dataset),
        "data": checked,
    }


def _freeze(arguments: dict[str, Any], out: Path, classes: dict[int, str], report: Report) -> Path:
    from labeling.freeze import freeze

    if out.exists():
        return out
    home = Path(arguments["home"])
    base = None
    if int(arguments["labelled_parts"]) < BASE_UNTIL_PARTS:
        base = _base(home / "datasets" / "base", classes, report)
    report(0.05, "gathering the labels")
    database = Database(arguments["database_url"])
    try:
        with database.patient() as session:
            freeze(session, open_blobs(home, str(arguments["blobs"])), out, classes=classes, base=base, now=clock.now())
    finally:
        database.close()
    return out


def _base(folder: Path, classes: dict[int, str], report: Report) -> Path | None:
    """Rendered parts to mix in, made once; None where the renderer draws defects that this product does not know."""
    from segmentation.render import render_dataset

    if not (folder / "dataset.yaml").is_file():
        report(0.0, "rendering the base, once")
        render_dataset(folder, BASE_PARTS, seed=BASE_SEED)
    known = set(open_dataset(folder).classes.values())
    return folder if known <= set(classes.values()) else None


def _check(arguments: dict[str, Any], dataset: Path, out: Path, report: Report) -> str:
    """Is the data fit to train on? What was found, in words; beside the last training's, where there is one."""
    report(0.08, "checking the data")
    earlier = sorted(file for file in out.parent.parent.glob("*/data-check.json") if file != out)
    last = counts_of(earlier[-1]) if earlier else None  # ids of jobs sort by time
    checked = check_dataset(dataset, last=last)
    working = out.with_suffix(".part")
    working.write_text(json.dumps(checked.as_json()), encoding="utf-8")
    os.replace(working, out)
    report(0.09, f"checked the data: {checked.words()}"[:500])
    refuse_unfit(checked)
    return checked.words()


def _train(arguments: dict[str, Any], dataset: Path, out: Path, report: Report) -> Path:
    from segmentation.train import train

    if out.exists():
        return out
    report(0.1, "training the challenger")
    train(
        dataset,
        out,
        minutes=float(arguments["minutes"]),
        device=str(arguments["device"]),
        seed=int(arguments["seed"]),
        start_from=Path(arguments["champion"]),
        progress=lambda share, what: report(0.1 + 0.8 * share, f"training the challenger: {what}"),
    )
    return out


def _compare(arguments: dict[str, Any], dataset: Path, model: Path, out: Path, report: Report) -> dict[str, Any]:
    from segmentation.challenge import compare
    from segmentation.model import load_segmenter

    if out.is_file():
        told: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return told
    report(0.9, "comparing the challenger with the champion")
    device = str(arguments["device"])
    champion, challenger = (load_segmenter(f, device=device) for f in (Path(arguments["champion"]), model))
    data = open_dataset(dataset)
    split = SPLIT if data.split(SPLIT) else "val"
    told = compare(
        champion,
        challenger,
        data,
        split=split,
        progress=lambda share, what: report(0.9 + 0.09 * share, f"comparing with the champion: {what}"),
    ).as_json()
    if split != SPLIT:
        told["reason"] += "; no labelled part is held back from both yet: these also settled the challenger's threshold"
    working = out.with_suffix(".part")
    working.write_text(json.dumps(_plain(told)), encoding="utf-8")
    os.replace(working, out)
    return _plain(told)


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    """As JSON that every database and browser reads: a figure that could not be computed is null, not NaN."""
    plain: dict[str, Any] = json.loads(json.dumps(told), parse_constant=lambda _: None)
    return plain


def tidy(home: Path, *, keep: int = 5) -> None:
    """Remove the pictures of old retrainings; manifests, comparisons and kept models stay."""
    runs = sorted((f for f in (home / "retraining").glob("*") if f.is_dir()), reverse=True)
    for run in runs[keep:]:
        for pictures in (run / "dataset" / "images", run / "dataset" / "masks", run / "model"):
            shutil.rmtree(pictures, ignore_errors=True)
