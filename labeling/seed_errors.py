"""Labels spoilt on purpose, so that one can count how many of the errors are found.

Five ways in which people go wrong: a defect is not drawn, something harmless is drawn, a drawing is beside the defect,
neighbours are drawn as one, the class is another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labeling.drawings import Bits, Mask, distance, join, thickness
from labeling.evidence import components
from labeling.questions import Kind
from qc.errors import InvalidInput
from qc.geometry import Box

NEIGHBOURS_PX = 200.0
"""Only defects as close as this are taken for one by anybody."""

TRIES = 50
"""Places tried before a drawing is left as it is."""


@dataclass(frozen=True, slots=True)
class Seeded:
    """One error that was put in."""

    image: str
    kind: Kind
    box: Box
    """Around what was drawn before and after, in image pixels."""


def seed_errors(
    masks: Mapping[str, Mask], *, share: float, random: np.random.Generator, kinds: Sequence[Kind] = tuple(Kind)
) -> tuple[dict[str, Mask], list[Seeded]]:
    """Spoil a share of all drawn defects, each at most once and in turn in each of the five ways that is possible.

    What a drawing is moved by lies between one and three times its thickness, at least 4 px; what is added is the shape
    of another defect of the set, on any image.

    Args:
        masks: image name to `H x W` class ids.
        share: of the drawn defects, in (0, 1].
        kinds: whose turn comes first, second, ...; of a set with few defects the last ones are never reached.

    Returns:
        New masks, and what was done, at most `share` of the defects (fewer where nothing was possible).

    Raises:
        InvalidInput: the share is out of its range.
    """
    if not 0 < share <= 1:
        raise InvalidInput(f"the share of spoilt labels must lie in (0, 1], not {share}")
    spoilt = {name: mask.copy() for name, mask in masks.items()}
    drawn = [(name, *part) for name, mask in masks.items() for part in components(mask)]
    classes = sorted({class_id for _, class_id, _, _ in drawn})
    order = [drawn[k] for k in random.permutation(len(drawn))]
    wanted, done = round(share * len(drawn)), list[Seeded]()
    while order and len(done) < wanted:
        kind = kinds[len(done) % len(kinds)]
        for wish in (kind, *[k for k in kinds if k is not kind]):
            seeded = _seed(wish, order, spoilt, drawn, classes, random)
            if seeded is not None:
                done.append(seeded)
                order = [d for d in order if not (d[0] == seeded.image and d[2].touches(seeded.box))]
                break
        else:
            break
    return spoilt, done


Item = tuple[str, int, Box, Bits]


def _seed(
    kind: Kind,
    order: list[Item],
    masks: dict[str, Mask],
    drawn: list[Item],
    classes: list[int],
    random: np.random.Generator,
) -> Seeded | None:
    """One error of this kind on the first defect that allows it."""
    if kind is Kind.SPURIOUS:
        return _add(masks, drawn, random)
    for name, class_id, box, pixels in order:
        mask = masks[name]
        if kind is Kind.MISSING:
            _paint(mask, box, pixels, 0)
            return Seeded(name, kind, box)
        if kind is Kind.WRONG_CLASS and len(classes) > 1:
            _paint(mask, box, pixels, int(random.choice([c for c in classes if c != class_id])))
            return Seeded(name, kind, box)
        if kind is Kind.SHIFTED:
            moved = _free_move(mask, box, pixels, random)
            if moved is not None:
                _paint(mask, box, pixels, 0)
                _paint(mask, moved, pixels, class_id)
                return Seeded(name, kind, box.around(moved))
        if kind is Kind.MERGED:
            rest = [d for d in order if d[0] == name and d[1] == class_id and d[2] != box]
            near = min(rest, key=lambda d: distance(box, d[2]), default=None)
            if near is not None and distance(box, near[2]) <= NEIGHBOURS_PX:
                whole, joint = join((box, pixels), (near[2], near[3]))
                _paint(mask, whole, joint, class_id)
                return Seeded(name, kind, whole)
    return None


def _add(masks: dict[str, Mask], drawn: list[Item], random: np.random.Generator) -> Seeded | None:
    names = list(masks)
    for _ in range(TRIES):
        _, class_id, _, pixels = drawn[int(random.integers(len(drawn)))]
        name = names[int(random.integers(len(names)))]
        height, width = masks[name].shape
        h, w = pixels.shape
        if h > height or w > width:
            continue
        box = Box(int(random.integers(width - w + 1)), int(random.integers(height - h + 1)), w, h)
        if not _place(masks[name], box).any():
            _paint(masks[name], box, pixels, class_id)
            return Seeded(name, Kind.SPURIOUS, box)
    return None


def _free_move(mask: Mask, box: Box, pixels: Bits, random: np.random.Generator) -> Box | None:
    """The box, moved within the image and off every other drawing; None where there is no room."""
    height, width = mask.shape
    others = mask.copy()
    _paint(others, box, pixels, 0)
    for _ in range(TRIES):
        length = max(4.0, random.uniform(1.0, 3.0) * thickness(pixels))
        angle = random.uniform(0.0, 2 * np.pi)
        dx, dy = round(length * np.cos(angle)), round(length * np.sin(angle))
        moved = box.shifted(dx=dx, dy=dy)
        inside = moved.x >= 0 and moved.y >= 0 and moved.right <= width and moved.bottom <= height
        if inside and not _place(others, moved)[pixels].any():
            return moved
    return None


def _place(mask: Mask, box: Box) -> Mask:
    return mask[box.y : box.bottom, box.x : box.right]


def _paint(mask: Mask, box: Box, pixels: NDArray[np.bool_], class_id: int) -> None:
    _place(mask, box)[pixels] = class_id
