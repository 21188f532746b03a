"""Where else a class may be that is drawn on a few images: all others of a data set, likeliest first.

The class is learnt on the features of a model that need never have seen it (`places`): seconds where a training takes
minutes. What comes out is an order, for a person who looks for the next images worth labelling; it is no verdict.
"""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.dataset import IGNORE, DataSet, Sample, read_mask
from qc.errors import InvalidInput, QcError
from qc.geometry import Box
from qc.ports import Segmenter
from qc.progress import Progress
from segmentation.heads import average_precision
from segmentation.places import FEWEST, Floats, PlaceHead, Seen, learn
from segmentation.segmenter import FrameSegmenter

EXAMPLES = 50
"""Images with the class that are learnt from, at most: what more of them cost is a look at each."""
OTHERS = 60
"""Images without the class that are learnt from, at most: enough for what a surface looks like (`places`)."""


@dataclass(frozen=True, slots=True)
class Found:
    """An image, and how much it looks like the class."""

    sample: Sample
    score: float
    """Orders images, higher is likelier: the log of the mean odds of its places. No calibrated chance."""
    box: Box
    """The place that looks most like the class, in pixels of the image."""
    shows: bool | None
    """Is the class drawn on it already? None: nobody labelled the image."""


@dataclass(frozen=True, slots=True)
class Search:
    """What came of one search."""

    found: tuple[Found, ...]
    """Every image that was looked at, likeliest first."""
    examples: int
    """Images with the class that it was learnt from."""
    others: int
    """Images without it that it was learnt from."""
    learning_s: float
    """Wall seconds until the class was learnt, looking at those images included."""
    looking_s: float
    """Wall seconds for all the others."""
    problems: tuple[str, ...]
    """One sentence for every image that could not be looked at."""

    @property
    def image_ap(self) -> float | None:
        """Of the images that are labelled but were not learnt from; None unless some show the class and some do not."""
        known = [(one.score, one.shows) for one in self.found if one.shows is not None]
        if len({shows for _, shows in known}) < 2:
            return None
        return average_precision(np.array([score for score, _ in known]), np.array([shows for _, shows in known]))


def everywhere(segmenter: FrameSegmenter) -> FrameSegmenter:
    """The model as a search needs it: it looks at every place and hands on its cells; nobody asks for a verdict."""
    return replace(segmenter, keep_cells=True, first_look=None, novelty=None, image_score=None)


def find(
    segmenter: Segmenter,
    data: DataSet,
    name: str,
    *,
    split: str | None = None,
    examples: int = EXAMPLES,
    others: int = OTHERS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Search:
    """Learn a class from the train images on which it is drawn, and look for it on all images not learnt from.

    A bad image among those looked at is reported and the others are still done. In memory are the cells of the images
    learnt from, 1.2 bytes a pixel, and one image.

    Args:
        segmenter: as `everywhere` makes it.
        name: the class, as dataset.yaml calls it.
        split: look at this one only; None: at all.
        examples, others: images with and without the class to learn from, at most; `FEWEST` or more.
        seed: which ones, where there are more.

    Raises:
        InvalidInput: an unknown class, too few images with or without it, a model without cells, nothing to look at,
            or an image to learn from is damaged.
    """
    class_id = class_called(name, data.classes)
    if min(examples, others) < FEWEST:
        raise InvalidInput(f"{min(examples, others)} images are too few to learn from; allow {FEWEST} or more")
    began = time.perf_counter()
    if progress:
        progress(0.0, "reading labels")
    having, lacking = pictures(data, class_id, examples, others, seed)
    _enough(name, len(having), len(lacking))
    learnt = {sample.image for sample in (*having, *lacking)}
    rest = [s for s in data.samples if s.image not in learnt and split in (None, s.split)]
    if not rest:
        where = "data set" if split is None else f"{split} split"
        raise InvalidInput(f"the {where} has no image besides those that {name} is learnt from; there is none to find")
    done, total = 0, len(learnt) + len(rest)

    def look(sample: Sample) -> Sample:
        nonlocal done
        if progress:
            progress(done / total, sample.image.name)
        done += 1
        return sample

    own = [seen(look(sample), data.classes, segmenter, class_id) for sample in having]
    without = [seen(look(sample), data.classes, segmenter, class_id) for sample in lacking]
    head = learn(own, without, seed=seed)
    turned = time.perf_counter()
    found, problems = [], []
    for sample in rest:
        try:
            found.append(asked(look(sample), data.classes, segmenter, head, class_id))
        except (QcError, OSError) as error:
            problems.append(str(error))
    if progress:
        progress(1.0, f"{len(found)} images")
    found.sort(key=lambda one: (-one.score, one.sample.image.name))
    ended = time.perf_counter()
    return Search(tuple(found), len(own), len(without), turned - began, ended - turned, tuple(problems))


def class_called(name: str, classes: Mapping[int, str]) -> int:
    """The id of a class; raises InvalidInput that names the classes there are."""
    for class_id, known in classes.items():
        if known == name:
            return class_id
    raise InvalidInput(f"dataset.yaml has no class {name!r}; it has {', '.join(classes.values())}")


def _enough(name: str, having: int, lacking: int) -> None:
    if having < FEWEST:
        raise InvalidInput(
            f"{name} is drawn on {having} images of the train split, too few to learn from; draw it on {FEWEST} or more"
        )
    if lacking < FEWEST:
        raise InvalidInput(
            f"{lacking} labelled images of the train split are without {name}, too few to tell it apart from; label "
            f"{FEWEST} or more (a clean image has a mask of zeros)"
        )


def drawn_on(sample: Sample, classes: Mapping[int, str], class_id: int) -> bool | None:
    """Is the class drawn on the image? None where nobody said what any of it shows; raises InvalidInput."""
    if sample.mask is None:
        return None
    labels = sample.labels(classes)
    return None if (labels == IGNORE).all() else bool((labels == class_id).any())


def pictures(data: DataSet, class_id: int, number: int, others: int, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Train images with the class, of as many parts as there are, and some without it; at most so many of each."""
    train = data.split("train")
    having: list[tuple[int, Sample]] = []
    lacking: list[Sample] = []
    of_part = Counter[str]()
    for k in np.random.default_rng(seed).permutation(len(train)):
        sample = train[int(k)]
        shows = drawn_on(sample, data.classes, class_id)
        if shows:
            having.append((of_part[sample.part], sample))
            of_part[sample.part] += 1
        elif shows is False:
            lacking.append(sample)
    having.sort(key=lambda one: one[0])  # one of each part, then a second one of each
    return [sample for _, sample in having[:number]], lacking[:others]


def seen(sample: Sample, classes: Mapping[int, str], segmenter: Segmenter, class_id: int) -> Seen:
    """An image's cells, and where the class is drawn on it.

    Raises:
        InvalidInput: as `cells_of`; or the image is not labelled, or damaged, or its mask has another size.
    """
    if sample.mask is None:
        raise InvalidInput(f"{sample.image.name} is not labelled")
    pixels = sample.pixels()
    labels = read_mask(sample.mask, classes, shape=(pixels.shape[0], pixels.shape[1]))
    cells, cell_px = cells_of(pixels, segmenter)
    grid = (cells.shape[1], cells.shape[2])
    drawn = covered(labels == class_id, cell_px, grid)
    return Seen(cells, drawn, covered(labels == IGNORE, cell_px, grid) > 0)


def cells_of(pixels: NDArray[np.uint8], segmenter: Segmenter) -> tuple[NDArray[np.float16], int]:
    """`C x h x w` of a picture, and the side of a cell in pixels; raises InvalidInput where a model gives none."""
    said = segmenter.segment(pixels)
    if said.cells is None:
        raise InvalidInput(
            "this model has no encoder that describes places, as a light network has none; take a pretrained one, such "
            "as the starter model"
        )
    return said.cells, said.cell_px


def covered(mask: NDArray[np.bool_], cell_px: int, grid: tuple[int, int]) -> Floats:
    """Share of each cell's pixels that lie in the mask, `H x W` to `h x w`; beyond the image there is nothing."""
    rows, columns = grid
    whole = np.zeros((rows * cell_px, columns * cell_px), np.float32)
    whole[: mask.shape[0], : mask.shape[1]] = mask
    return np.asarray(whole.reshape(rows, cell_px, columns, cell_px).mean(axis=(1, 3)), np.float32)


def asked(sample: Sample, classes: Mapping[int, str], segmenter: Segmenter, head: PlaceHead, class_id: int) -> Found:
    """How much one image looks like the class, and where most; raises InvalidInput for a damaged image or mask."""
    pixels = sample.pixels()
    cells, cell_px = cells_of(pixels, segmenter)
    box = surest(head.log_odds(cells), cell_px, height=pixels.shape[0], width=pixels.shape[1])
    return Found(sample, head.score(cells), box, drawn_on(sample, classes, class_id))


def surest(log_odds: Floats, cell_px: int, *, height: int, width: int) -> Box:
    """The cell with the highest log-odds, and what hangs together with it at half of them or more.

    Args:
        log_odds: `h x w` of cells of `cell_px` pixels; one of them at least is a number.
        height, width: of the image, in pixels. The last cells may reach beyond it; their box is moved inside.
    """
    row, column = np.unravel_index(np.nanargmax(log_odds), log_odds.shape)
    peak = log_odds[row, column]
    alike = (log_odds >= (peak / 2 if peak > 0 else peak)).astype(np.uint8)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(alike, connectivity=8)
    left, top, across, down = (int(v) * cell_px for v in stats[pieces[row, column], :4])
    across, down = min(across, width), min(down, height)
    return Box(min(left, width - across), min(top, height - down), across, down)


def as_csv(search: Search) -> str:
    """One line an image, likeliest first, with a line of names above.

    `labelled` and `drawn` (is the class drawn on it already?) are yes or no, `drawn` empty where nobody labelled it;
    `x`, `y`, `width`, `height` are the box in pixels.
    """
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(["file", "part", "split", "labelled", "drawn", "score", "x", "y", "width", "height"])
    words = {None: "", True: "yes", False: "no"}
    for one in search.found:
        about = one.sample
        labelled = words[one.shows is not None]
        told = [about.image.name, about.part, about.split, labelled, words[one.shows], f"{one.score:.4f}"]
        lines.writerow([*told, *one.box.as_list()])
    return out.getvalue()


def in_words(name: str, search: Search) -> str:
    """What was learnt from, how long it took, and what labelled images say of the order: for a person."""
    told = (
        f"{name}: learnt from {search.examples} images with it and {search.others} without in "
        f"{search.learning_s:.1f} s; {len(search.found)} others looked at in {search.looking_s:.1f} s"
    )
    if search.image_ap is None:
        return told
    showing = sum(one.shows is True for one in search.found)
    known = sum(one.shows is not None for one in search.found)
    return f"{told}\n{known} of them are labelled, {name} is drawn on {showing}: image AP {search.image_ap:.3f}"
