"""The steps of a retraining once its labels are frozen: plain functions of folders, for whoever runs pipelines.

The server's own jobs (`server.retraining`), Ray jobs and Flyte workflows (`server.pipelines`) call the same ones. Each
leaves its artefact by a rename and does nothing where that is there, so that it may be repeated.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qc.dataset import open_dataset
from server.data_checks import check_dataset, counts_of, refuse_unfit

Report = Callable[[float | None, str], None]
"""Takes the share done of the whole retraining (0..1) and what is being done."""

SPLIT = "test"
"""On which side champion and challenger meet: training never sees it, while it chooses its threshold on `val`."""

FIRST_LOOK_IMAGES = 200
"""Of val, and of test, at most: every one is looked at everywhere, which takes a processor up to ten seconds."""

MOST_LOST, MOST_LOST_ANEW = 0.1, 0.96
"""Share of the parts with a defect of which the first look may lose one, with 95 % confidence, for a model's first one
(29 val parts) and for the successor of one that has one (a single part)."""


def check_data(dataset: Path, out: Path, *, last: Path | None = None, report: Report) -> str:
    """Is the data fit to train on? What was found, in words.

    Args:
        dataset: a frozen data set.
        out: the file for what was found, JSON.
        last: that of the training before, to compare with.
        report: told the share done.

    Raises:
        InvalidInput: it is not fit; the reason in words.
    """
    report(0.08, "checking the data")
    checked = check_dataset(dataset, last=counts_of(last) if last else None)
    _write(out, checked.as_json())
    report(0.09, f"checked the data: {checked.words()}"[:500])
    refuse_unfit(checked)
    return checked.words()


def train_challenger(
    dataset: Path,
    champion: Path,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    device: str = "cpu",
    seed: int = 0,
    trainer: Callable[..., Any] | None = None,
    report: Report,
) -> Path:
    """Train on from the champion; a training that was cut off is continued. Returns `out`, the model folder.

    Where enough val parts show a defect, the challenger gets a first look of its own.

    Args:
        dataset, champion: folders.
        minutes, steps: as `segmentation.train.train` has them; so many steps give the same weights each time.
        trainer: takes what that function takes; None: that function.
    """
    from segmentation.train import train

    if out.exists():
        return out
    everywhere = out.with_name(f"{out.name}-looks-everywhere")
    report(0.1, "training the challenger")
    if not everywhere.exists():
        (trainer or train)(
            dataset,
            everywhere,
            minutes=minutes,
            steps=steps,
            device=device,
            seed=seed,
            start_from=champion,
            progress=lambda share, what: report(0.1 + 0.7 * share, f"training the challenger: {what}"),
        )
    _look_first(dataset, champion, everywhere, out, seed, report)
    return out


def _look_first(dataset: Path, champion: Path, everywhere: Path, out: Path, seed: int, report: Report) -> None:
    """The trained model `everywhere` becomes `out`, with a first look if it can have one.

    Where the champion has one, any number of val parts that lose nothing will do, for looking everywhere again would
    make the line wait. What it costs in recall counts on the parts on which both are compared next, and in production
    in the random share that people label: whole pictures, where the model saw nothing.
    """
    from segmentation.first_look import FILE
    from segmentation.first_look_proof import in_words, settle
    from segmentation.first_look_training import STARTER, NoFirstLook
    from segmentation.model import read_card, with_first_look

    card = read_card(champion)
    own = champion / FILE if "first_look" in card else None
    try:
        look, proof = settle(
            everywhere,
            open_dataset(dataset),
            begin=own or STARTER,
            most_lost=MOST_LOST_ANEW if own else MOST_LOST,
            seed=seed,
            most_images=FIRST_LOOK_IMAGES,
            progress=lambda share, what: report(0.8 + 0.1 * share, f"where it need not look: {what}"),
        )
    except NoFirstLook as why:
        report(0.9, f"the challenger looks everywhere: {why}"[:500])
        os.replace(everywhere, out)
        return
    with_first_look(everywhere, look, out, about=proof)
    shutil.rmtree(everywhere)
    report(0.9, in_words(proof)[:500])


def compare_both(
    dataset: Path, champion: Path, challenger: Path, out: Path, *, device: str = "cpu", report: Report
) -> dict[str, Any]:
    """Who is better on parts neither was trained on, and why; as JSON, also in the file `out`."""
    from segmentation.challenge import compare
    from segmentation.model import load_segmenter

    if out.is_file():
        told: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return told
    report(0.9, "comparing the challenger with the champion")
    first, second = (load_segmenter(folder, device=device) for folder in (champion, challenger))
    data = open_dataset(dataset)
    split = SPLIT if data.split(SPLIT) else "val"
    told = compare(
        first,
        second,
        data,
        split=split,
        progress=lambda share, what: report(0.9 + 0.09 * share, f"comparing with the champion: {what}"),
    ).as_json()
    if split != SPLIT:
        told["reason"] += "; no labelled part is held back from both yet: these also settled the challenger's threshold"
    _write(out, _plain(told))
    return _plain(told)


def _write(out: Path, content: dict[str, Any]) -> None:
    working = out.with_suffix(".part")
    working.write_text(json.dumps(content), encoding="utf-8")
    os.replace(working, out)


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    """As JSON that every database and browser reads: a figure that could not be computed is null, not NaN."""
    plain: dict[str, Any] = json.loads(json.dumps(told), parse_constant=lambda _: None)
    return plain
