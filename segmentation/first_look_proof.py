"""A first look is fitted to what people drew in train, and val settles what it may skip: no defect there is lost.

The threshold is the lowest interest of a defective val part: of its least interesting defect, drawn or found by the
network where one is drawn (a false alarm that is skipped is no loss). For the next defective part, the chance to fall
below the lowest of `n` is a Beta(1, n) variable whatever the distribution (Wilks 1941, tolerance limits); its 95 %
quantile, `1 - 0.05^(1/n)`, is the exact binomial bound of 0 lost among n. It rests on val parts that are like future
ones, and on nothing else. Parts, not defects, are counted: several defects of one part are not several proofs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import beta
from torch import nn
from torch.nn import functional as F

from qc.dataset import IGNORE, DataSet, Sample
from qc.defects import Blob, find_blobs
from qc.errors import InvalidInput
from qc.ports import Segmentation
from qc.progress import Progress
from segmentation.first_look import CELL_PX, FEATURES, SURELY, FirstLook, Floats, features, interest, widened
from segmentation.looking import Answer, Look
from segmentation.matching import SHARE, SPECK_PX
from segmentation.model import load_network
from segmentation.segmenter import FrameSegmenter, from_card
from segmentation.torch_look import torch_look

LEVEL = 0.95
LEAST_SAVED = 0.2
"""A first look that spares the network less is not worth having."""

HIDDEN = 16
STEPS, BATCH_ON, BATCH_OFF = 1500, 256, 768
FEWEST_CELLS = 30
"""Cells with a defect to learn from."""

DRAWN_PX = 8
"""A cell with fewer drawn pixels is neither learnt as one with a defect nor as one without."""

SLACK = 1e-3
"""The threshold lies so far below the least interesting defect: rounding must not lose it."""

Cells = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Judged:
    """A val frame that was looked at everywhere."""

    sample: Sample
    drawn: tuple[float, ...]
    """Interest of each drawn defect: of the most interesting cell that it lies in."""
    found: tuple[float, ...]
    """The same of what the network found there and a verdict rests on."""
    answer: NDArray[np.uint8]
    """Class ids of the defects that count and lie where somebody drew one, or may have."""
    alarms: int
    """What counts, and lies where people saw nothing."""


def settle(
    folder: Path, data: DataSet, *, most_lost: float = 0.1, seed: int = 0, progress: Progress | None = None
) -> tuple[FirstLook, dict[str, Any]]:
    """A first look for the model in `folder`, and what is known of it, for the model's card.

    Args:
        folder: a model; a first look that it has plays no part.
        data: the images of `train` teach, those of `val` settle, the drawn defects of `test`, if any, check.
        most_lost: share of defective parts of which a defect may be lost, in (0, 1), with `LEVEL` confidence.
        seed: of the fit; the same seed gives the same first look on the same machine.
        progress: told how far it is.

    Raises:
        InvalidInput: too few val parts show a defect for that bound, too little is drawn in train, or the network
            would be spared less than `LEAST_SAVED` of its work.
    """
    tell = progress or (lambda share, words: None)
    card, network = load_network(folder)
    counter = _Counting(torch_look(network))
    eyes = from_card(card, counter, runtime="torch")
    val = data.split("val")
    _refuse_few(val, data.classes, most_lost)
    hidden, out = fit(data.split("train"), data.classes, seed=seed, progress=lambda s, w: tell(0.3 * s, w))
    judged = []
    began = time.process_time()
    for number, sample in enumerate(val):
        judged.append(_judge(sample, eyes, hidden, out, data.classes))
        tell(0.3 + 0.5 * number / len(val), "looking at val everywhere")
    without, whole = counter.seconds, counter.looked
    parts: dict[str, float] = {}
    for frame in judged:
        for value in (*frame.drawn, *frame.found):
            parts[frame.sample.part] = min(value, parts.get(frame.sample.part, np.inf))
    look = FirstLook(hidden, out, min(parts.values()) - SLACK)
    counter.reset()
    seen = _second_pass(judged, replace(eyes, first_look=look), look, data.classes, tell)
    saved = 1.0 - counter.looked / whole
    if saved < LEAST_SAVED:
        raise InvalidInput(
            f"a first look that loses no defect of val would spare the network {max(saved, 0):.0%} of its work, less "
            f"than {LEAST_SAVED:.0%}; the defects do not stand out enough from this surface, serve the model as it is"
        )
    defective = len({f.sample.part for f in judged if f.drawn})
    tell(1.0, f"{saved:.0%} of the work spared")
    return look, {
        "dataset": data.name,
        "seed": seed,
        "val": {
            "images": len(judged),
            "defective_parts": defective,
            "drawn_defects": sum(len(f.drawn) for f in judged),
            "found_defects": sum(len(f.found) for f in judged),
            "lost": 0,
            "lost_parts_at_most": round(bound(0, defective), 4),
            "level": LEVEL,
            "mask_pixels_that_differ": seen["differing"],
            "false_alarms": {"everywhere": sum(f.alarms for f in judged), "with_first_look": seen["alarms"]},
        },
        "test": check(look, data.split("test"), data.classes),
        "skipped": round(seen["skipped"], 4),
        "network_work_spared": round(saved, 4),
        "cpu_seconds": {
            "network_everywhere": round(without, 2),
            "network_where_needed": round(counter.seconds, 2),
            "first_look": round(seen["first_look"], 2),
            "all": round(time.process_time() - began, 2),
        },
    }


def bound(lost: int, count: int) -> float:
    """The largest share of lost ones that `lost` of `count` leave possible (Clopper & Pearson 1934, one-sided)."""
    return 1.0 if lost >= count else float(beta.ppf(LEVEL, lost + 1, count - lost))


def check(look: FirstLook, samples: Sequence[Sample], classes: Mapping[int, str]) -> dict[str, Any] | None:
    """How many drawn defects of other parts are looked at nowhere; None where nothing is drawn."""
    drawn: list[tuple[str, bool]] = []
    for sample in samples:
        regions = _regions(sample.labels(classes))
        if regions:
            wanted = look.cells(sample.pixels())
            drawn += [(sample.part, not wanted[cells].any()) for cells in regions]
    if not drawn:
        return None
    parts, lost = {part for part, _ in drawn}, {part for part, missed in drawn if missed}
    return {
        "defective_parts": len(parts),
        "drawn_defects": len(drawn),
        "lost": sum(missed for _, missed in drawn),
        "lost_parts": len(lost),
        "lost_parts_at_most": round(bound(len(lost), len(parts)), 4),
    }


def fit(
    samples: Sequence[Sample], classes: Mapping[int, str], *, seed: int = 0, progress: Progress | None = None
) -> tuple[Floats, Floats]:
    """Weights that tell cells with a drawn defect from cells of the same frames and of clean ones without.

    Raises InvalidInput where fewer than `FEWEST_CELLS` cells show a defect.
    """
    on, off = [], []
    for number, sample in enumerate(samples):
        labels = sample.labels(classes)
        found = features(sample.pixels())
        drawn = _count((labels > 0) & (labels != IGNORE))
        near = cv2.dilate((drawn > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        on.append(found[drawn >= DRAWN_PX])
        off.append(found[~near & (_count(labels == IGNORE) == 0)])
        if progress:
            progress(0.7 * number / len(samples), "first look at train")
    x, y = (np.concatenate(rows) if rows else np.empty((0, FEATURES), np.float32) for rows in (on, off))
    if len(x) < FEWEST_CELLS or len(y) < FEWEST_CELLS:
        raise InvalidInput(
            f"the train images have {len(x)} cells of {CELL_PX} px with a drawn defect and {len(y)} without; "
            f"a first look learns from at least {FEWEST_CELLS} of each"
        )
    mean, spread = y.mean(axis=0), y.std(axis=0) + 1e-3
    hidden, out = _fitted((x - mean) / spread, (y - mean) / spread, seed)
    # Scaled once for all: the weights then take features as they are.
    hidden[:-1] /= spread[:, None]
    hidden[-1] -= mean @ hidden[:-1]
    return hidden, out


def _fitted(on: Floats, off: Floats, seed: int) -> tuple[Floats, Floats]:
    """Logistic regression on `HIDDEN` rectified units; both kinds of cells weigh as their batches are large."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(on).float(), torch.from_numpy(off).float()
    layers = nn.Linear(FEATURES, HIDDEN), nn.Linear(HIDDEN, 1)
    with torch.no_grad():
        for layer in layers:
            layer.weight.normal_(0.0, layer.in_features**-0.5, generator=generator)
            layer.bias.zero_()
    parameters = [p for layer in layers for p in layer.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-2, total_steps=STEPS)
    truth = torch.cat([torch.ones(BATCH_ON), torch.zeros(BATCH_OFF)])
    for _ in range(STEPS):
        batch = torch.cat(
            [rows[torch.randint(len(rows), (n,), generator=generator)] for rows, n in ((x, BATCH_ON), (y, BATCH_OFF))]
        )
        said = layers[1](F.relu(layers[0](batch)))[:, 0]
        loss = F.binary_cross_entropy_with_logits(said, truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    hidden, out = (
        np.concatenate([layer.weight.detach().numpy().T, layer.bias.detach().numpy()[None]]).astype(np.float32)
        for layer in layers
    )
    return hidden, out[:, 0].copy()


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


def _refuse_few(val: Sequence[Sample], classes: Mapping[int, str], most_lost: float) -> None:
    parts = {s.part for s in val if _regions(s.labels(classes))}
    if bound(0, max(len(parts), 1)) > most_lost or not parts:
        needed = next(n for n in range(1, 1_000_000) if bound(0, n) <= most_lost)
        said = f"may lose a defect of {bound(0, len(parts)):.0%} of the parts" if parts else "cannot be judged at all"
        raise InvalidInput(
            f"{len(parts)} val parts show a drawn defect; a first look that loses none of them {said} (95 %). "
            f"{needed} such parts are needed for {most_lost:.0%}; label more, or accept more with --most-lost"
        )


def _judge(sample: Sample, eyes: FrameSegmenter, hidden: Floats, out: Floats, classes: Mapping[int, str]) -> _Judged:
    pixels = sample.pixels()
    seen = eyes.segment(pixels)
    values = widened(interest(features(pixels), hidden, out))
    labels = sample.labels(classes)
    found = []
    for blob in _right(seen, labels, eyes):
        mask = np.zeros(labels.shape, np.bool_)
        mask[blob.place] = blob.pixels
        found.append(float(values[_count(mask) > 0].max()))
    drawn = [float(values[cells].max()) for cells in _regions(labels)]
    return _Judged(sample, tuple(drawn), tuple(found), _answer(seen, labels, eyes), _alarms(seen, labels, eyes))


def _second_pass(
    judged: Sequence[_Judged], eyes: FrameSegmenter, look: FirstLook, classes: Mapping[int, str], tell: Progress
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
        tell(0.8 + 0.2 * number / len(judged), "looking at val where needed")
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


def _regions(labels: NDArray[np.uint8]) -> list[Cells]:
    """The cells of each drawn defect; specks are none."""
    drawn = ((labels > 0) & (labels != IGNORE)).astype(np.uint8)
    count, regions, stats, _ = cv2.connectedComponentsWithStats(drawn, connectivity=8)
    return [_count(regions == k) > 0 for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= SPECK_PX]


def _count(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pixels of a mask in each cell, `rows x columns`."""
    height, width = mask.shape
    rows, columns = -(-height // CELL_PX), -(-width // CELL_PX)
    padded = np.pad(mask, ((0, rows * CELL_PX - height), (0, columns * CELL_PX - width)))
    counts: NDArray[np.int64] = padded.reshape(rows, CELL_PX, columns, CELL_PX).sum(axis=(1, 3))
    return counts


def in_words(proof: Mapping[str, Any]) -> str:
    """What the command prints."""
    val, test, seconds = proof["val"], proof["test"], proof["cpu_seconds"]
    now = seconds["network_where_needed"] + seconds["first_look"]
    lines = [
        f"val: {proof['skipped']:.0%} of the pixels are skipped, {proof['network_work_spared']:.0%} of the network's "
        f"work; "
        f"{seconds['network_everywhere']:.1f} s of CPU become {now:.1f} s, of which the first look takes "
        f"{seconds['first_look']:.2f} s ({seconds['first_look'] / seconds['network_everywhere']:.1%})",
        f"recall: 0 of {val['drawn_defects']} drawn and {val['found_defects']} found defects lost; of future defective "
        f"parts at most {val['lost_parts_at_most']:.1%} lose one ({val['level']:.0%}, {val['defective_parts']} parts)",
    ]
    if test:
        lines.append(
            f"test: {test['lost']} of {test['drawn_defects']} drawn defects are looked at nowhere, on "
            f"{test['lost_parts']} of {test['defective_parts']} parts (at most {test['lost_parts_at_most']:.1%})"
        )
    return "\n".join(lines)
