"""What a model that never saw an image says about each thing drawn on it, as a few numbers.

Beside each number stands what it would be if the label were wrong: the same shape laid elsewhere, moved, joined with
its neighbour, or called by another name. `labeling.errors` compares the two; nothing here knows how many are wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.drawings import Bits, Mask, aside, distance, join, thickness
from qc.dataset import IGNORE
from qc.defects import find_blobs
from qc.errors import InvalidInput
from qc.geometry import Box
from qc.ports import Segmentation

SPECK_PX = 4
"""Smaller drawn regions are slips of a brush; nobody is asked about them."""

LIMIT = 8.0
"""Log-odds are cut at plus and minus this (1 in 3000): beyond, a network's numbers mean nothing."""

TOLERANCE_PX = 2
"""People draw a pixel or two beside the edge; the support of a defect is looked for that far around it."""

FOUND = 0.1
"""A predicted blob of which this share is drawn, or that covers this share of what is drawn, is about that defect."""

FARTHEST_PX = 64
"""A defect drawn farther off than this is one that is missing and one that should not be there."""

NEAREST_PX = 16
"""A drawing is looked for as far off as it is long, but at least so far: a hand slips by as much on a small one."""

IMAGINED = 8
"""Wrong labels imagined for each drawn defect and kind: enough to average over, few enough to be quick."""

FADES_PX = 8
"""Around a defect a network's answer falls to that for plain surface within about so many pixels."""

PLACES = 4
"""Shapes laid elsewhere on each image."""

VOTES = 10.0
"""A defect's pixels are one opinion, not thousands: their votes for classes weigh as much as ten."""

Part = tuple[int, Box, Bits]
Floats = NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Shape:
    """The outline of a drawn defect, free of its place."""

    class_id: int
    pixels: Bits


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn defect, and what the model thinks of it. All numbers in log-odds."""

    class_id: int
    box: Box
    pixels: Bits
    """`box.height x box.width`."""
    support: float
    """How sure the model is of anything there."""
    gain: float
    """How much surer it would be if the drawing were moved by `move`."""
    move: tuple[int, int]
    overlap: float
    """Intersection over union of the drawing with itself, moved."""
    split: float
    """How deep the valley is between the two surest places inside; 0 if there is only one."""
    gap: float
    """Share of the pixels that lie in that valley."""
    other: float
    """For the likeliest other class, against the drawn one; -inf where there is one class only."""
    other_class: int | None
    gain_if_moved: tuple[float, ...]
    other_if_renamed: tuple[tuple[int, float], ...]
    """(class that it might be called by mistake, `other` then)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A blob that the model predicts."""

    class_id: int
    box: Box
    pixels: Bits
    support: float
    known: int | None
    """Class id of the drawn defect it lies on; None where nothing is drawn."""


@dataclass(frozen=True, slots=True)
class Measured:
    """All evidence about one image."""

    image: str
    part: str
    drawn: tuple[Drawn, ...]
    seen: tuple[Seen, ...]
    elsewhere: tuple[tuple[int, int, float], ...] = field(default=())
    """(class id, area in px, support) of shapes laid where nothing is drawn."""
    joined: tuple[tuple[int, int, float], ...] = field(default=())
    """(class id, area in px, split) of neighbours joined into one, and of what stands alone with itself."""


def components(mask: Mask) -> list[Part]:
    """What is drawn: (class id, box, pixels) of each connected region (8 neighbours) of a class; specks left out."""
    found = []
    for class_id in (int(c) for c in np.unique(mask) if c not in (0, IGNORE)):
        number, labels, stats, _ = cv2.connectedComponentsWithStats((mask == class_id).astype(np.uint8), connectivity=8)
        for k in range(1, number):
            x, y, w, h, area = (int(v) for v in stats[k])
            if area >= SPECK_PX:
                found.append((class_id, Box(x, y, w, h), labels[y : y + h, x : x + w] == k))
    return found


def counted(mask: Mask, classes: Mapping[int, str]) -> dict[str, int]:
    """Class name to the number of drawn defects; classes that are not drawn, or not known, are left out."""
    return dict(Counter(classes[class_id] for class_id, _, _ in components(mask) if class_id in classes))


def shapes(masks: Sequence[Mask]) -> list[Shape]:
    """Everything drawn in a set of labels, to be laid elsewhere."""
    return [Shape(class_id, pixels) for mask in masks for class_id, _, pixels in components(mask)]


def measure(
    seen: Segmentation,
    mask: Mask,
    *,
    image: str,
    part: str,
    library: Sequence[Shape],
    random: np.random.Generator,
    threshold: float = 0.5,
) -> Measured:
    """Compare one image's labels with the answer of a model that did not learn from this part.

    Args:
        seen: the answer, `H x W`.
        mask: `H x W` class ids as drawn; IGNORE is nobody's word and is never asked about.
        library: `shapes` of all labels; what a defect of this set may look like.
        random: for the labels that are imagined wrong.
        threshold: the model's; where a blob ends.

    Raises:
        InvalidInput: the answer and the labels have different sizes.
    """
    if seen.log_odds.shape != mask.shape:
        raise InvalidInput(f"{image}: the model's answer is {seen.log_odds.shape}, the labels are {mask.shape}")
    odds = np.clip(seen.log_odds.astype(np.float32), -LIMIT, LIMIT)
    parts = components(mask)
    occupied = cv2.dilate((mask > 0).astype(np.uint8), _disc(TOLERANCE_PX)) > 0
    classes = sorted({shape.class_id for shape in library} | {class_id for class_id, _, _ in parts})
    drawn = tuple(_drawn(odds, seen.class_id, mask, part_, classes, random) for part_ in parts)
    return Measured(
        image=image,
        part=part,
        drawn=drawn,
        seen=tuple(_seen(seen, odds, mask, threshold)),
        elsewhere=tuple(_elsewhere(odds, occupied, library, random)),
        joined=tuple(_joined(odds, occupied, parts, random)),
    )


def support(odds: NDArray[np.float32], pixels: Bits) -> float:
    """How sure a model is of something among these pixels: the mean of the surest quarter, at least `SPECK_PX`."""
    values = np.sort(odds[pixels])[::-1]
    return float(values[: max(SPECK_PX, len(values) // 4)].mean()) if len(values) else -LIMIT


def _disc(radius: int) -> Mask:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _drawn(
    odds: NDArray[np.float32],
    class_map: Mask,
    mask: Mask,
    drawn: Part,
    classes: Sequence[int],
    random: np.random.Generator,
) -> Drawn:
    class_id, box, pixels = drawn
    reach = int(np.clip(max(box.width, box.height), NEAREST_PX, FARTHEST_PX))
    window = _around(odds, box, reach, fill=-LIMIT)
    others = _around(mask, box, reach, fill=0) > 0
    others[reach:-reach, reach:-reach] &= ~pixels
    window[others] = -LIMIT  # what the model sees there belongs to another drawing
    place = np.zeros(window.shape, bool)
    place[reach:-reach, reach:-reach] = pixels
    near = cv2.dilate(place.astype(np.uint8), _disc(TOLERANCE_PX)) > 0
    gains = np.where(_within(box, mask.shape, reach), _gains(window, pixels), -np.inf)
    best = np.unravel_index(int(gains.argmax()), gains.shape)
    move = (int(best[1]) - reach, int(best[0]) - reach)
    split, gap = valley(np.where(pixels, window[reach:-reach, reach:-reach], -np.inf))
    own = _votes(odds, class_map, box, pixels, classes)
    renamed = [(c, _for_other(own, classes, c)) for c in classes if c != class_id]
    other, other_class = _for_other(own, classes, class_id), None
    if len(classes) > 1:
        other_class = max((c for c in classes if c != class_id), key=lambda c: own[classes.index(c)])
    return Drawn(
        class_id=class_id,
        box=box,
        pixels=pixels,
        support=support(window, near & ~others),
        gain=float(gains[best] - gains[reach, reach]),
        move=move,
        overlap=_overlap(pixels, move),
        split=split,
        gap=gap,
        other=other,
        other_class=other_class,
        gain_if_moved=_gains_if_moved(gains, pixels, reach, random),
        other_if_renamed=tuple(renamed),
    )


def _around(plane: NDArray[Number], box: Box, margin: int, *, fill: float) -> NDArray[Number]:
    """A copy of the box and `margin` pixels around it; `fill` beyond the image."""
    height, width = plane.shape
    out = np.full((box.height + 2 * margin, box.width + 2 * margin), fill, plane.dtype)
    x, y = box.x - margin, box.y - margin
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(box.right + margin, width), min(box.bottom + margin, height)
    out[top - y : bottom - y, left - x : right - x] = plane[top:bottom, left:right]
    return out


def _gains(window: NDArray[np.float32], pixels: Bits) -> NDArray[np.float32]:
    """Mean log-odds under the drawing for every move within the window, `(2 reach + 1)` squared."""
    template = pixels.astype(np.float32)
    return np.asarray(cv2.matchTemplate(window, template, cv2.TM_CCORR), np.float32) / float(pixels.sum())


def _within(box: Box, size: tuple[int, ...], reach: int) -> Bits:
    """For every move of up to `reach`, `(2 reach + 1)` squared: does the box stay on an image of this height, width?"""
    rows, columns = np.arange(-reach, reach + 1)[:, None], np.arange(-reach, reach + 1)[None]
    down = (box.y + rows >= 0) & (box.bottom + rows <= size[0])
    return np.asarray(down & (box.x + columns >= 0) & (box.right + columns <= size[1]), bool)


def _gains_if_moved(gains: Floats, pixels: Bits, reach: int, random: np.random.Generator) -> tuple[float, ...]:
    """What the gain would be had the drawing been moved at random, by half its width or more.

    Args:
        gains: of every move, -inf for those off the image; nobody draws there.
    """
    least = min(max(2.0, 0.5 * thickness(pixels)), reach - 1.0)
    angle = random.uniform(0, 2 * np.pi, IMAGINED)
    length = random.uniform(least, reach, IMAGINED)
    rows = np.rint(reach + length * np.sin(angle)).astype(int)
    columns = np.rint(reach + length * np.cos(angle)).astype(int)
    there = gains[rows, columns]
    return tuple((gains.max() - there[np.isfinite(there)]).tolist())


def _overlap(pixels: Bits, move: tuple[int, int]) -> float:
    dx, dy = abs(move[0]), abs(move[1])
    height, width = pixels.shape
    if dx >= width or dy >= height:
        return 0.0
    flip_x, flip_y = (1 if move[0] >= 0 else -1), (1 if move[1] >= 0 else -1)
    turned = pixels[::flip_y, ::flip_x]
    common = int((turned[dy:, dx:] & turned[: height - dy, : width - dx]).sum())
    return common / (2 * int(pixels.sum()) - common)


def valley(odds: NDArray[np.floating]) -> tuple[float, float]:
    """How far one must go down from the second peak to walk to the first, and the share of pixels below that.

    Args:
        odds: `H x W`, -inf outside the drawing.

    Returns:
        Depth in log-odds, 0 if there is one peak only, in steps of 1; peaks of less than a twentieth of the area do
        not count. And the share of the drawing's pixels that lie lower than where the two part.
    """
    inside = np.isfinite(odds)
    least = max(SPECK_PX, 0.05 * float(inside.sum()))
    deepest, gap = 0.0, 0.0
    for level in np.arange(-LIMIT, LIMIT, 1.0).tolist():
        above = odds >= level
        number, labels, stats, _ = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=8)
        large = [k for k in range(1, number) if stats[k, cv2.CC_STAT_AREA] >= least]
        if len(large) < 2:
            continue
        peaks = sorted((float(odds[labels == k].max()) for k in large), reverse=True)
        if peaks[1] - level > deepest:
            deepest, gap = peaks[1] - level, 1.0 - float(above.sum()) / float(inside.sum())
    return deepest, gap


def _votes(odds: NDArray[np.float32], class_map: Mask, box: Box, pixels: Bits, classes: Sequence[int]) -> Floats:
    """Share of the votes for each class within the drawing; sure pixels weigh more."""
    place = np.s_[box.y : box.bottom, box.x : box.right]
    weight = 1.0 / (1.0 + np.exp(-odds[place][pixels].astype(np.float64)))
    votes = np.bincount(class_map[place][pixels], weights=weight, minlength=256)[list(classes)]
    return votes / max(float(votes.sum()), 1e-9)


def _for_other(votes: Floats, classes: Sequence[int], called: int) -> float:
    """Log-odds of the likeliest class but `called`, against it."""
    rest = [float(v) for c, v in zip(classes, votes, strict=True) if c != called]
    if not rest:
        return -np.inf
    own = float(votes[classes.index(called)])
    return float(np.log((VOTES * max(rest) + 0.5) / (VOTES * own + 0.5)))


def _seen(seen: Segmentation, odds: NDArray[np.float32], mask: Mask, threshold: float) -> list[Seen]:
    """The model's blobs; those that lie mostly where nobody knows are left out."""
    found = []
    near = cv2.dilate(((mask > 0) & (mask != IGNORE)).astype(np.uint8), _disc(TOLERANCE_PX)) > 0
    for blob in find_blobs(seen, threshold=threshold, min_area_px=SPECK_PX):
        below = mask[blob.place][blob.pixels]
        if 2 * int((below == IGNORE).sum()) > len(below):
            continue
        drawn = below[(below > 0) & (below != IGNORE)]
        touches = float((near[blob.place] & blob.pixels).sum()) >= FOUND * len(below)
        known = int(np.bincount(drawn).argmax()) if len(drawn) else None
        if known is None and touches:
            continue  # at the edge of a drawing, on neither side
        if known is not None and len(drawn) < FOUND * len(below) and not touches:
            known = None
        found.append(Seen(blob.class_id, blob.box, blob.pixels, support(odds[blob.place], blob.pixels), known))
    return found


def _elsewhere(
    odds: NDArray[np.float32], occupied: Bits, library: Sequence[Shape], random: np.random.Generator
) -> list[tuple[int, int, float]]:
    """Shapes of other defects, laid where nothing is drawn."""
    found = list[tuple[int, int, float]]()
    height, width = odds.shape
    for _ in range(PLACES if library else 0):
        shape = library[int(random.integers(len(library)))]
        h, w = shape.pixels.shape
        if h > height or w > width:
            continue
        y, x = int(random.integers(height - h + 1)), int(random.integers(width - w + 1))
        box = Box(x, y, w, h)
        place = np.pad(shape.pixels, TOLERANCE_PX)
        near = cv2.dilate(place.astype(np.uint8), _disc(TOLERANCE_PX)) > 0
        if (_around(occupied, box, TOLERANCE_PX, fill=0).astype(bool) & near).any():
            continue
        window = _around(odds, box, TOLERANCE_PX, fill=-LIMIT)
        found.append((shape.class_id, int(shape.pixels.sum()), support(window.astype(np.float32), near)))
    return found


def _joined(
    odds: NDArray[np.float32], occupied: Bits, parts: Sequence[Part], random: np.random.Generator
) -> list[tuple[int, int, float]]:
    """Each drawing joined with its nearest neighbour of the same class, as a hasty person would.

    Where a class is drawn once on the image, the drawing has no neighbour: it stands beside itself once more.
    """
    found = []
    for k, (class_id, box, pixels) in enumerate(parts):
        rest = [p for p in parts[k + 1 :] if p[0] == class_id]
        if rest:
            other = min(rest, key=lambda p: distance(box, p[1]))
            whole, joint = join((box, pixels), (other[1], other[2]))
            window = odds[whole.y : whole.bottom, whole.x : whole.right]
        elif [p[0] for p in parts].count(class_id) > 1:
            continue  # joined from its neighbour's side
        else:
            moved = aside(box, pixels, occupied, random)
            if moved is None:
                continue
            whole, joint = join((box, pixels), (moved, pixels))
            window = _twice(odds, box, pixels, moved)
        found.append((class_id, int(joint.sum()), valley(np.where(joint, window, -np.inf))[0]))
    return found


def _twice(odds: NDArray[np.float32], box: Box, pixels: Bits, moved: Box) -> NDArray[np.float32]:
    """What the model would say around both boxes, had it seen at the second what it sees at the first."""
    near = cv2.dilate(np.pad(pixels, FADES_PX).astype(np.uint8), _disc(FADES_PX)) > 0
    own = np.where(near, _around(odds, box, FADES_PX, fill=-LIMIT), -LIMIT)
    whole = box.around(moved)
    window = _around(odds, whole, FADES_PX, fill=-LIMIT)
    y, x = moved.y - whole.y, moved.x - whole.x
    place = window[y : y + own.shape[0], x : x + own.shape[1]]
    np.maximum(place, own, out=place)
    return window[FADES_PX:-FADES_PX, FADES_PX:-FADES_PX]
