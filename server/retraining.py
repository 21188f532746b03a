"""One retraining, stage by stage: freeze the labels, train a challenger, compare it with the champion.

Runs in a child process (`server.jobs.child`), because training takes all of a processor. Each stage leaves its artefact
in the job's own folder by a rename, and is skipped where the artefact is: whatever kills the process, the next attempt
goes on behind the last finished stage, and inside the training behind its last checkpoint. What follows the freezing is
in `server.retraining_steps`, plain functions of folders, which other pipelines run as well (`server.pipelines`)::

    QC_HOME/retraining/<job>/dataset/          the frozen labels, mixed with the base
    QC_HOME/retraining/<job>/data-check.json   is the data fit to train on (`server.data_checks`)
    QC_HOME/retraining/<job>/model/            the challenger
    QC_HOME/retraining/<job>/comparison-<champion>.json   who is better on parts neither was trained on, and why
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from qc.dataset import open_dataset
from server import clock
from server.blobs.opening import open_blobs
from server.db import Database
from server.jobs.child import Report
from server.retrain_asking import labels_of
from server.retraining_steps import check_data, compare_both, train_challenger

BASE_PARTS = 40
"""Imaginary parts in the base, three views each: with the first twenty labels there would otherwise be too few clean
surfaces and too few of each class for a training to keep what the starter model knows."""
BASE_UNTIL_PARTS = 200
"""From so many labelled parts on, the plant's own pictures are enough and the base is left out."""
BASE_SEED = 20_26


def retrain(arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """All stages; returns `{"model_id", "model", "comparison", "dataset"}`, paths being absolute.

    Args:
        arguments: `home`, `database_url`, `blobs` (the setting), `work` (the job's folder), `champion` (its folder),
            `champion_id`, `classes`, `minutes`, `device`, `threads`, `seed`, `labelled_parts`, `places` (products at
            stations whose labels are learnt from; None: all labels), `name` (of the data set, None: its folder's) and
            `last_check` (what was found in the data of the retraining before, a file; None: there was none).
        report: told the share done and what is being done.
    """
    import torch

    from segmentation.model import model_id

    torch.set_num_threads(int(arguments["threads"]))
    work = Path(arguments["work"])
    work.mkdir(parents=True, exist_ok=True)
    classes = {int(k): str(v) for k, v in arguments["classes"].items()}
    dataset = _freeze(arguments, work / "dataset", classes, report)
    last = arguments["last_check"]
    checked = check_data(dataset, check_file(work), last=Path(last) if last else None, report=report)
    champion, device = Path(arguments["champion"]), str(arguments["device"])
    model = train_challenger(
        dataset,
        champion,
        work / "model",
        minutes=float(arguments["minutes"]),
        device=device,
        seed=int(arguments["seed"]),
        report=report,
    )
    against = str(arguments["champion_id"]).removeprefix("sha256:")[:16]
    comparison = compare_both(
        dataset, champion, model, work / f"comparison-{against}.json", device=device, report=report
    )
    return {
        "model_id": model_id(model),
        "model": str(model),
        "comparison": comparison,
        "dataset": str(dataset),
        "data": checked,
    }


def check_file(work: Path) -> Path:
    """What was found in the data of a retraining, in the job's folder."""
    return work / "data-check.json"


def _freeze(arguments: dict[str, Any], out: Path, classes: dict[int, str], report: Report) -> Path:
    from labeling.freeze import freeze

    if out.exists():
        return out
    home = Path(arguments["home"])
    base = None
    if int(arguments["labelled_parts"]) < BASE_UNTIL_PARTS:
        base = _base(home / "datasets" / "base", classes, report)
    report(0.05, "gathering the labels")
    places = arguments["places"]
    database = Database(arguments["database_url"])
    try:
        with database.patient() as session:
            freeze(
                session,
                open_blobs(home, str(arguments["blobs"])),
                out,
                classes=classes,
                base=base,
                which=() if places is None else (labels_of(places),),
                name=arguments["name"],
                now=clock.now(),
            )
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


def clear(home: Path, job: str) -> None:
    """Remove all that a retraining left, which was called off: pictures, masks and what was learnt from them."""
    shutil.rmtree(home / "retraining" / job, ignore_errors=True)


def tidy(home: Path, *, keep: int = 5) -> None:
    """Remove the pictures of old retrainings; manifests, comparisons and kept models stay."""
    runs = sorted((f for f in (home / "retraining").glob("*") if f.is_dir()), reverse=True)
    for run in runs[keep:]:
        for pictures in (run / "dataset" / "images", run / "dataset" / "masks", run / "model"):
            shutil.rmtree(pictures, ignore_errors=True)
