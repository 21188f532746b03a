"""DataSet -> crops to learn from, at native resolution, drawn by defect and not by pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.dataset import IGNORE, SOURCE, Mixing, Sample
from qc.errors import InvalidInput
from qc.frame import to_8bit
from qc.geometry import Box
from qc.mixing import BLOCK, turns
from segmentation.augment import augment, augment_with, augmenter
from segmentation.columns import false_alarms, label_quality
from segmentation.tile_reader import Pictures, Readable
from segmentation.trust import Trust

CACHE_BYTES = 3_000_000_000
"""Decoded pictures and masks that are kept in memory; of larger data sets, crops are read (`tile_reader`)."""

SPECK_PX = 16
"""A blemish of fewer pixels is drawn less often, in proportion: it may be a slip of the labeller's brush."""


@dataclass(frozen=True, slots=True)
class Blemish:
    """One connected region of one class on one training image."""

    sample: int
    """Index of the image."""
    class_id: int
    box: Box
    area_px: int


@dataclass(frozen=True, slots=True)
class Index:
    """What the training images show."""

    blemishes: tuple[Blemish, ...]
    clean: tuple[int, ...]
    """Indices of the images of which something is known, and no defect."""
    pixels: Mapping[int, int]
    """Class id to its number of pixels; 0 for a class that nobody drew."""
    false_alarms: tuple[tuple[int, Box], ...] = ()
    """Index of the image, and where on it a model saw what people said is none."""


def index(samples: Sequence[Sample], classes: Mapping[int, str]) -> Index:
    """Look through the masks of `samples` once; raises InvalidInput naming a mask or a field that does not fit.

    A false alarm on which somebody drew a defect after all is none.
    """
    blemishes, clean, pixels, alarms = [], [], dict.fromkeys(classes, 0), []
    for number, sample in enumerate(samples):
        mask = sample.labels(classes)
        present = [c for c in classes if (mask == c).any()]
        if not present and (mask == 0).any():
            clean.append(number)
        for class_id in present:
            own = (mask == class_id).astype(np.uint8)
            pixels[class_id] += int(own.sum())
            count, _, stats, _ = cv2.connectedComponentsWithStats(own, connectivity=8)
            for x, y, width, height, area in stats[1:count].tolist():
                blemishes.append(Blemish(number, class_id, Box(x, y, width, height), area))
        height, width = mask.shape
        for box in false_alarms(sample):
            if not (min(box.x, box.y) >= 0 and box.right <= width and box.bottom <= height):
                raise InvalidInput(
                    f"{sample.image.name}: the false alarm {box.as_list()} lies outside of its {width} x {height} px"
                )
            seen = mask[box.y : box.bottom, box.x : box.right]
            if not ((seen > 0) & (seen != IGNORE)).any():
                alarms.append((number, box))
    return Index(tuple(blemishes), tuple(clean), pixels, tuple(alarms))


def rgb(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Any frame as `H x W x 3` of 8 bit; grey is repeated."""
    small = to_8bit(pixels)
    return np.repeat(small[..., None], 3, axis=2) if small.ndim == 2 else small


class _Pool:
    """The images of one source, and what is drawn among them."""

    def __init__(self, name: str, members: Sequence[int], classes: Mapping[int, str], found: Index) -> None:
        if not members:
            raise InvalidInput(f"the source {name} has no labelled image to learn from; gather without it")
        own = set(members)
        blemishes = [b for b in found.blemishes if b.sample in own]
        self.members = members
        self.clean = [n for n in found.clean if n in own]
        self.false_alarms = [(n, box) for n, box in found.false_alarms if n in own]
        self.by_class = {c: bs for c in classes if (bs := [b for b in blemishes if b.class_id == c])}
        self.weight = {c: _normalised([min(1.0, b.area_px / SPECK_PX) for b in bs]) for c, bs in self.by_class.items()}
        # Rare classes are drawn more often than they occur, though not as often as the frequent ones.
        self.class_weight = _normalised([len(bs) ** 0.5 for bs in self.by_class.values()])


class Crops:
    """Batches of crops. Batch number `n` of a seed is always the same, whoever asks for it and when."""

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: Mapping[int, str],
        found: Index,
        *,
        crop_px: int,
        batch: int,
        defect_share: float,
        seed: int,
        hard_share: float = 0.0,
        beside: Path | None = None,
        mixing: Mixing | None = None,
    ) -> None:
        """`beside`: where decoded copies lie while they are needed (`tile_reader.Pictures`).

        With `mixing` the source of each crop follows from its place in the stream of all batches: in every thousand
        crops each source has exactly its share. Within a source crops are drawn as they are without.
        """
        if not samples:
            raise InvalidInput("there is no labelled image to learn from")
        self._samples, self._classes = samples, classes
        self._crop, self._batch, self._share, self._seed = crop_px, batch, defect_share, seed
        self._hard_share, self._mixing = hard_share, mixing
        self._quality = [label_quality(s) for s in samples]
        self._trust = Trust(samples)
        self._pictures = Pictures(samples, classes, memory_bytes=CACHE_BYTES, beside=beside)
        self._change = augmenter()
        of_source: dict[str, list[int]] = {name: [] for name in (mixing.per_thousand if mixing else [""])}
        for number, sample in enumerate(samples):
            of_source[sample.columns[SOURCE] if mixing else ""].append(number)
        self._pools = [_Pool(name, members, classes, found) for name, members in of_source.items()]

    def draw(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
        """Batch `number`: `B x C x C x 3` pixels, `B x C x C` class ids (IGNORE outside of the image), and trust.

        Trust is `B`, one number an image; or `B x C x C` where the data set weighs pixels.
        """
        random = np.random.default_rng([self._seed, number])
        shape = self._batch, self._crop, self._crop
        pixels, masks = np.empty((*shape, 3), np.uint8), np.empty(shape, np.uint8)
        quality = np.empty(shape[:1] if self._trust.is_full else shape, np.float32)
        for place in range(self._batch):
            pool = self._pools[self._turn(number * self._batch + place)]
            crop, mask, trust, sample = self._one(random, pool, on_defect=(place + 0.5) / self._batch < self._share)
            seed = int(random.integers(1 << 31))
            if trust is None:
                pixels[place], masks[place] = augment(self._change, crop, mask, seed)
                quality[place] = self._quality[sample]
            else:
                pixels[place], masks[place], weight = augment_with(self._change, crop, mask, trust, seed)
                quality[place] = self._quality[sample] * (weight / np.float32(255))
        return pixels, masks, quality

    def _turn(self, position: int) -> int:
        """Whose turn it is at a position of the stream of crops."""
        if self._mixing is None:
            return 0
        block, place = divmod(position, BLOCK)
        return int(turns(self._mixing.seed, [*self._mixing.per_thousand.values()], block)[place])

    def _one(
        self, random: np.random.Generator, pool: _Pool, *, on_defect: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8] | None, int]:
        """A crop, its class ids, the trust in them where pixels are weighed, and the index of its image."""
        if on_defect and pool.by_class:
            class_id = int(random.choice(list(pool.by_class), p=pool.class_weight))
            weight = pool.weight[class_id]
            blemish = pool.by_class[class_id][int(random.choice(len(weight), p=weight))]
            sample = blemish.sample
            x, y = self._around(random, blemish.box)
            if not self._shows(blemish, x, y):  # a long slanting scratch leaves most of its box empty
                x, y = self._around(random, self._one_pixel(random, blemish))
        elif pool.false_alarms and self._hard_share and random.random() < self._hard_share:
            sample, box = pool.false_alarms[int(random.integers(len(pool.false_alarms)))]
            x, y = self._around(random, box)
        else:
            clean = pool.clean
            if clean and random.random() < 0.5:
                sample = clean[int(random.integers(len(clean)))]
            else:
                sample = pool.members[int(random.integers(len(pool.members)))]
            height, width = self._pictures.open(sample)[1].shape
            x = int(random.integers(min(0, width - self._crop), max(1, width - self._crop + 1)))
            y = int(random.integers(min(0, height - self._crop), max(1, height - self._crop + 1)))
        pixels, mask = self._pictures.open(sample)
        trust = None
        if not self._trust.is_full:
            height, width = mask.shape
            trust = self._trust.cut(sample, _inside(x, width, self._crop), _inside(y, height, self._crop), self._crop)
        return *cut(pixels, mask, x, y, self._crop), trust, sample

    def _shows(self, blemish: Blemish, x: int, y: int) -> bool:
        """Does a crop that begins there, or is moved inside from there, hold a pixel of the blemish, or one like it?"""
        mask = self._pictures.open(blemish.sample)[1]
        left, top = (max(_inside(start, n, self._crop), 0) for start, n in ((x, mask.shape[1]), (y, mask.shape[0])))
        return bool((mask[top : top + self._crop, left : left + self._crop] == blemish.class_id).any())

    def _one_pixel(self, random: np.random.Generator, blemish: Blemish) -> Box:
        """A random pixel of its class in a blemish's box."""
        box, mask = blemish.box, self._pictures.open(blemish.sample)[1]
        places = np.flatnonzero(mask[box.y : box.bottom, box.x : box.right] == blemish.class_id)
        row, column = divmod(int(random.choice(places)), box.width)
        return Box(box.x + column, box.y + row, 1, 1)

    def _around(self, random: np.random.Generator, box: Box) -> tuple[int, int]:
        """Where a crop begins that holds a random pixel of the box at a random place: the middle teaches nothing."""
        x = int(random.integers(box.x, box.right)) - int(random.integers(self._crop))
        y = int(random.integers(box.y, box.bottom)) - int(random.integers(self._crop))
        return x, y


def _normalised(weights: list[float]) -> NDArray[np.float64]:
    values = np.asarray(weights, np.float64)
    return values / values.sum() if len(values) else values


def cut(
    pixels: Readable, mask: NDArray[np.uint8], x: int, y: int, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A square of `size` px at `(x, y)`, moved inside where it can be.

    Where the image is smaller than the square, it is continued by reflection and the mask by IGNORE.
    """
    height, width = mask.shape
    x, y = _inside(x, width, size), _inside(y, height, size)
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + size, width), min(y + size, height)
    crop, drawn = rgb(pixels[top:bottom, left:right]), mask[top:bottom, left:right]
    edges = top - y, y + size - bottom, left - x, x + size - right
    if not any(edges):
        return crop, drawn
    return (
        cv2.copyMakeBorder(crop, *edges, cv2.BORDER_REFLECT).astype(np.uint8, copy=False),
        cv2.copyMakeBorder(drawn, *edges, cv2.BORDER_CONSTANT, value=(IGNORE,)).astype(np.uint8, copy=False),
    )


def _inside(start: int, length: int, size: int) -> int:
    """`start`, moved so that the square lies within the image, or the image within the square."""
    low, high = sorted((0, length - size))
    return min(max(start, low), high)
