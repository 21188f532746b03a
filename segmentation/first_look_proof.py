"""What a first look may skip is settled on val: of what the network finds there, it loses nothing.

A part's interest is that of the least interesting defect which the network finds on it and which somebody drew: a false
alarm that is skipped is no loss, and what the network would not have found is none of the first look's. For the next
part on which the network finds a defect, the chance to be less interesting than the least interesting of `n` is a
Beta(1, n) variable whatever the distribution (Wilks 1941, tolerance limits); its 95 % quantile, `1 - 0.05^(1/n)`, is
the exact binomial bound of 0 lost among n. It rests on val parts that are like future ones, and on nothing else. Parts,
not defects, are counted: several defects of one part are not several proofs.

Where defects stand far out, the threshold lies lower than it must: as low as looking at `SPENT` of the clean cells in
vain allows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from qc.dataset import IGNORE, DataSet, Sample
from qc.defects import Blob, find_blobs
from qc.ports import Segmentation
from qc.progress import Progress, within
from segmentation.first_look import SURELY, FirstLook, Floats, widened
from segmentation.first_look_network import FirstLookNetwork
from segmentation.first_look_training import (
    STARTER,
    STEPS,
    NoFirstLook,
    in_cells,
    learn,
    regions,
    surely_clean,
)
from segmentation.looking import Answer, Look
from segmentation.matching import SHARE, SPECK_PX
from segmentation.model import load_network
from segmentation.segmenter import FrameSegmenter, from_card
from segmentation.torch_look import torch_look

LEVEL = 0.95
LEAST_SAVED = 0.2
"""A first look that spares the network less is not worth having."""

SPENT = 0.001
"""Share of the clean cells that may be looked at for nothing but a wider margin."""

SLACK = 1e-2
"""The threshold lies so far below the least interesting defect: rounding must not lose it."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """A frame that was looked at everywhere."""

    sample: Sample
    found: tuple[float, ...]
    """Interest of each defect that the network found where somebody drew one, and that a verdict rests on: of the most
    interesting cell that it lies in, or next to."""
    clean: Floats
    """Interest of the cells far from all that is drawn, their neighbours' included."""
    answer: NDArray[np.uint8]
    """Class ids of the defects that count and lie where somebody drew one, or may have."""
    alarms: int
    """What counts, and lies where people saw nothing."""


def settle(
    folder: Path,
    data: DataSet,
    *,
    most_lost: float = 0.1,
    begin: Path | None = STARTER,
    steps: int | None = None,
    seed: int = 0,
    most_images: int | None = None,
    progress: Progress | None = None,
) -> tuple[FirstLookNetwork, dict[str, Any]]:
    """A first look for the model in `folder`, and what is known of it, for the model's card.

    Args:
        folder: a model; a first look that it has plays no part.
        data: the images of `train` teach, those of `val` settle, those of `test`, if labelled, check.
        most_lost: share of the parts on which the model finds a defect, of which one may be lost, in (0, 1), with
            `LEVEL` confidence.
        begin, steps, seed: of learning, as `segmentation.first_look_training.learn` takes them; None: its own steps.
        most_images: of val, those with a drawn defect first, and of test; None: all.
        progress: told how far it is.

    Raises:
        NoFirstLook: the model finds defects on too few val parts for that bound, too little is drawn in train, or the
            network would be spared less than `LEAST_SAVED` of its work.
    """
    steps = STEPS if steps is None else steps
    card, network = load_network(folder)
    counter = _Counting(torch_look(network))
    eyes = from_card(card, counter, runtime="torch")
    val, test = (_some(data.split(split), data.classes, most_images) for split in ("val", "test"))
    _refuse_few(len({s.part for s in val if regions(s.labels(data.classes), SPECK_PX)}), most_lost, "show a defect")
    own = within(progress, 0.0, 0.5)
    first = learn(data.split("train"), data.classes, begin=begin, steps=steps, seed=seed, progress=own)
    began, unsettled = time.process_time(), first.look()
    judged = _look_everywhere(val, eyes, unsettled, data.classes, within(progress, 0.5, 0.25))
    without, whole = counter.seconds, counter.looked
    parts = _least(judged)
    _refuse_few(len(parts), most_lost, "show a defect that the model finds")
    threshold, clean = min(parts.values()) - SLACK, np.concatenate([frame.clean for frame in judged])
    if len(clean):
        threshold = min(threshold, float(np.quantile(clean, 1 - SPENT)))
    first.lower(threshold)
    look = first.look()
    counter.reset()
    seen = _look_where_needed(judged, replace(eyes, first_look=look), look, data.classes, within(progress, 0.75, 0.15))
    saved, cpu = 1.0 - counter.looked / whole, counter.seconds
    if saved < LEAST_SAVED:
        raise NoFirstLook(
            f"a first look that loses no defect of val would spare the network {max(saved, 0):.0%} of its work, less "
            f"than {LEAST_SAVED:.0%}; the defects do not stand out enough from this surface, serve the model as it is"
        )
    checked = _look_everywhere(test, eyes, look, data.classes, within(progress, 0.9, 0.1))
    if progress:
        progress(1.0, f"{saved:.0%} of the work spared")
    return first, {
        "dataset": data.name,
        "seed": seed,
        "steps": steps,
        "val": {
            "images": len(judged),
            **lost(judged, threshold),
            "least_interesting": round(min(parts.values()) - threshold, 4),
            "mask_pixels_that_differ": seen["differing"],
            "false_alarms": {"everywhere": sum(f.alarms for f in judged), "with_first_look": seen["alarms"]},
        },
        "test": lost(checked, 0.0) if checked else None,
        "skipped": round(seen["skipped"], 4),
        "network_work_spared": round(saved, 4),
        "cpu_seconds": {
            "network_everywhere": round(without, 2),
            "network_where_needed": round(cpu, 2),
            "first_look": round(seen["first_look"], 2),
            "all": round(time.process_time() - began, 2),
        },
    }


def bound(lost: int, count: int) -> float:
    """The largest share of lost ones that `lost` of `count` leave possible (Clopper & Pearson 1934, one-sided)."""
    return 1.0 if lost >= count else float(beta.ppf(LEVEL, lost + 1, count - lost))


def lost(judged: Sequence[_Judged], threshold: float) -> dict[str, Any]:
    """Of the defects that the network finds, and of their parts, how many a first look from `threshold` on misses."""
    found = [value for frame in judged for value in frame.found]
    parts = _least(judged)
    missed = sum(value < threshold for value in parts.values())
    return {
        "parts_with_a_found_defect": len(parts),
        "found_defects": len(found),
        "lost": sum(value < threshold for value in found),
        "lost_parts": missed,
        "lost_parts_at_most": round(bound(missed, len(parts)), 4),
        "level": LEVEL,
    }


def _least(judged: Sequence[_Judged]) -> dict[str, float]:
    """The interest of the least interesting defect found on each part that has one."""
    parts: dict[str, float] = {}
    for frame in judged:
        for value in frame.found:
            parts[frame.sample.part] = min(value, parts.get(frame.sample.part, np.inf))
    return parts


class _Counting:
    """A look that counts the pixels it was shown and the CPU seconds it took."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.reset()

    def reset(self) -> None:
        self.looked, self.seconds = 0, 0.0

    def __call__(self, window: NDArray[np.uint8]) -> Answer:
        began = time.process_time()
        said = self._look(window)
        self.seconds += time.process_time() - began
        self.looked += window.shape[0] * window.shape[1]
        return said


def _some(samples: Sequence[Sample], classes: Mapping[int, str], most: int | None) -> Sequence[Sample]:
    """All of them, or `most`: those that show a drawn defect first, in their order."""
    if most is None or len(samples) <= most:
        return samples
    return sorted(samples, key=lambda sample: not regions(sample.labels(classes), SPECK_PX))[:most]


def _refuse_few(parts: int, most_lost: float, which: str) -> None:
    if parts and bound(0, parts) <= most_lost:
        return
    needed = next(n for n in range(1, 1_000_000) if bound(0, n) <= most_lost)
    said = f"may lose a defect of {bound(0, parts):.0%} of the parts" if parts else "cannot be judged at all"
    raise NoFirstLook(
        f"{parts} val parts {which}; a first look that loses none of them {said} (95 %). "
        f"{needed} such parts are needed for {most_lost:.0%}; label more, or accept more with --most-lost"
    )


def _look_everywhere(
    samples: Sequence[Sample],
    eyes: FrameSegmenter,
    look: FirstLook,
    classes: Mapping[int, str],
    progress: Progress | None,
) -> list[_Judged]:
    judged = []
    for number, sample in enumerate(samples):
        judged.append(_judge(sample, eyes, look, classes))
        if progress:
            progress((number + 1) / len(samples), f"looking everywhere, {number + 1} of {len(samples)} pictures")
    return judged


def _judge(sample: Sample, eyes: FrameSegmenter, look: FirstLook, classes: Mapping[int, str]) -> _Judged:
    pixels = sample.pixels()
    seen = eyes.segment(pixels)
    values = widened(look.interest(pixels))
    labels = sample.labels(classes)
    found = []
    for blob in _right(seen, labels, eyes):
        mask = np.zeros(labels.shape, np.bool_)
        mask[blob.place] = blob.pixels
        if ((labels[mask] > 0) & (labels[mask] != IGNORE)).any():
            found.append(float(values[in_cells(mask) > 0].max()))
    return _Judged(
        sample, tuple(found), values[surely_clean(labels)], _answer(seen, labels, eyes), _alarms(seen, labels, eyes)
    )


def _look_where_needed(
    judged: Sequence[_Judged],
    eyes: FrameSegmenter,
    look: FirstLook,
    classes: Mapping[int, str],
    progress: Progress | None,
) -> dict[str, float]:
    """All val frames with the first look: the share skipped, its CPU seconds, what changed."""
    pixels_seen, skipped, differing, alarms, seconds = 0, 0, 0, 0, 0.0
    for number, frame in enumerate(judged):
        pixels, labels = frame.sample.pixels(), frame.sample.labels(classes)
        began = time.process_time()
        look.cells(pixels)
        seconds += time.process_time() - began
        seen = eyes.segment(pixels)
        skipped += int((seen.log_odds == np.float16(SURELY)).sum())
        pixels_seen += seen.log_odds.size
        differing += int((_answer(seen, labels, eyes) != frame.answer).sum())
        alarms += _alarms(seen, labels, eyes)
        if progress:
            progress((number + 1) / len(judged), "looking at val where needed")
    return {"skipped": skipped / pixels_seen, "first_look": seconds, "differing": differing, "alarms": alarms}


def _right(seen: Segmentation, labels: NDArray[np.uint8], eyes: FrameSegmenter) -> list[Blob]:
    """What a verdict rests on and is no false alarm: at least `SHARE` of it drawn, or unknown to people."""
    blobs = find_blobs(seen, threshold=eyes.threshold, edge=eyes.edge)
    return [b for b in blobs if (b.counts or b.close) and (labels[b.place][b.pixels] > 0).mean() >= SHARE]


def _alarms(seen: Segmentation, labels: NDArray[np.uint8], eyes: FrameSegmenter) -> int:
    blobs = find_blobs(seen, threshold=eyes.threshold, edge=eyes.edge)
    return sum(b.counts and bool((labels[b.place][b.pixels] > 0).mean() < SHARE) for b in blobs)


def _answer(seen: Segmentation, labels: NDArray[np.uint8], eyes: FrameSegmenter) -> NDArray[np.uint8]:
    answer = np.zeros(labels.shape, np.uint8)
    for blob in _right(seen, labels, eyes):
        if blob.counts:
            answer[blob.place][blob.pixels] = blob.class_id
    return answer


def in_words(proof: Mapping[str, Any]) -> str:
    """What the command prints."""
    val, test, seconds = proof["val"], proof["test"], proof["cpu_seconds"]
    now = seconds["network_where_needed"] + seconds["first_look"]
    lines = [
        f"val: {proof['skipped']:.0%} of the pixels are skipped, {proof['network_work_spared']:.0%} of the network's "
        f"work; "
        f"{seconds['network_everywhere']:.1f} s of CPU become {now:.1f} s, of which the first look takes "
        f"{seconds['first_look']:.2f} s ({seconds['first_look'] / seconds['network_everywhere']:.1%})",
        f"recall: {val['lost']} of {val['found_defects']} found defects lost; of future parts with a defect that the "
        f"model finds at most {val['lost_parts_at_most']:.1%} lose one ({val['level']:.0%}, "
        f"{val['parts_with_a_found_defect']} parts)",
    ]
    if test:
        lines.append(
            f"test: {test['lost']} of {test['found_defects']} found defects are looked at nowhere, on "
            f"{test['lost_parts']} of {test['parts_with_a_found_defect']} parts "
            f"(at most {test['lost_parts_at_most']:.1%})"
        )
    return "\n".join(lines)
