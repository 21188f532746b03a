"""Described defects drawn into a user's own clean pictures, as a data set to learn from (contracts, section 2)."""

from __future__ import annotations

import math
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import yaml
from numpy.typing import NDArray

from qc.dataset import DEPTH, IGNORE, DataSet, open_dataset, read_mask
from qc.errors import InvalidInput, NotFound
from qc.frame import FORMATS, Pixels, camera_bits, decode
from segmentation.render.blend import Look, blend
from segmentation.render.description import Defect, Description, read_description
from segmentation.render.kinds import make_mark
from segmentation.render.likeness import Likeness, look_at
from segmentation.render.write import new_dataset, sides_of, write_png, write_table

COLUMNS = ("file", "split", "part", "view", "group", "source", "drawn", "left_out", DEPTH)

PLACES = 12
"""Places that are tried for a defect before it is left out, because it can be seen at none of them."""

LENS_REACH = 3.5
"""Spreads of the lens after which a change has run out."""


@dataclass(frozen=True, slots=True)
class CleanPicture:
    """A picture without a defect, and where it belongs."""

    image: Path
    part: str
    view: str
    group: str
    split: str
    unknown: Path | None = None
    """Its mask, where that holds pixels that nobody knows about; nothing is drawn there."""
    camera_bits: int | None = None
    """The camera's depth, as the data set tells it."""


@dataclass(frozen=True, slots=True)
class DrawnPicture:
    """A clean picture with defects drawn into it."""

    pixels: Pixels
    """Size and depth as the clean one's."""
    mask: NDArray[np.uint8]
    """`H x W` class ids of what is visibly changed; see `blend`."""
    drawn: tuple[str, ...]
    """The class of each defect that is in it."""
    left_out: tuple[str, ...]
    """The class of each that could be seen nowhere."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What came of one run."""

    out: Path
    clean: int
    """Clean pictures, all of them in the data set."""
    drawn: int
    """Pictures with defects."""
    defects: Mapping[str, int]
    """How many of each class."""
    left_out: Mapping[str, int]
    """How many of each class could be seen nowhere."""


def draw_into(
    source: Path,
    description: Path,
    out: Path,
    *,
    copies: int = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Drawing:
    """Write a data set of the clean pictures of `source` and of `copies` of each with defects drawn into them.

    A data set keeps its split, parts, groups and class ids; its pictures with defects, and those nobody labelled, stay
    out. In a folder every picture is a part of its own, split 70 / 15 / 15. The same arguments give the same files.

    Raises:
        InvalidInput: the description (see `read_description`), a picture or the number of copies is wrong, there is
            no clean picture, or not one defect of the description can be seen in any of them.
        NotFound: `source` is not there. Conflict: `out` holds something.
    """
    if not 1 <= copies <= 1000:
        raise InvalidInput(f"copies must be from 1 to 1000, not {copies}")
    data = open_dataset(source) if (source / "split.csv").is_file() else None
    described = read_description(description, mm_per_px=data.mm_per_px if data else None)
    pictures = clean_pictures(data) if data else pictures_in(source, seed)
    classes = class_ids(described, data.classes if data else {})
    stems = {picture.image.stem for picture in pictures}
    if taken := stems & {_name(stem, copy) for stem in stems for copy in range(copies)}:
        raise InvalidInput(f"a clean picture is called {min(taken)}, as a drawn one would be; rename it")
    rows: list[dict[str, object]] = []
    defects, left_out = Counter[str](), Counter[str]()
    with new_dataset(out) as root:
        for number, picture in enumerate(pictures):
            pixels = _pixels(picture)
            like = look_at(pixels, picture.camera_bits)
            unknown = _unknown(picture, pixels.shape)
            about: dict[str, object] = {
                "part": picture.part,
                "view": picture.view,
                "group": picture.group,
                "split": picture.split,
                "source": picture.image.name,
                DEPTH: picture.camera_bits or "",
            }
            shutil.copyfile(picture.image, root / "images" / picture.image.name)
            write_png(root / "masks" / f"{picture.image.stem}.png", np.where(unknown, IGNORE, 0).astype(np.uint8))
            rows.append({**about, "file": picture.image.name})
            for copy in range(copies):
                rng = np.random.default_rng([seed, zlib.crc32(picture.image.stem.encode()), copy])
                made = draw(pixels, described, classes, like, rng, unknown=unknown)
                left_out.update(made.left_out)
                if not made.drawn:
                    continue
                name = f"{_name(picture.image.stem, copy)}.png"
                write_png(root / "images" / name, made.pixels)
                write_png(root / "masks" / name, made.mask)
                defects.update(made.drawn)
                words = {"drawn": " ".join(made.drawn), "left_out": " ".join(made.left_out)}
                rows.append({**about, "file": name, **words})
            if progress:
                progress(number + 1, len(pictures))
        if not defects:
            raise InvalidInput(
                f"not one defect of {description.name} could be seen in the {len(pictures)} clean pictures: "
                "make contrast or size larger, or correct where they may lie"
            )
        write_table(root, COLUMNS, rows)
        facts = {
            "name": out.name,
            "classes": dict(classes),
            **({"mm_per_px": described.mm_per_px} if described.mm_per_px else {}),
            **({"licence": data.licence} if data and data.licence else {}),
            "source": f"defects of {description.name} drawn into the clean pictures of "
            f"{data.name if data else source.name} (copies {copies}, seed {seed})",
        }
        (root / "dataset.yaml").write_text(yaml.safe_dump(facts, sort_keys=False), encoding="utf-8")
    return Drawing(out, len(pictures), len(rows) - len(pictures), dict(defects), dict(left_out))


def draw(
    pixels: Pixels,
    described: Description,
    classes: Mapping[int, str],
    like: Likeness,
    rng: np.random.Generator,
    *,
    unknown: NDArray[np.bool_] | None = None,
) -> DrawnPicture:
    """Draw defects into a copy of one picture, `H x W` or `H x W x 3`; at least one, if one can be seen."""
    height, width = pixels.shape[:2]
    if described.blur_px is not None:
        like = Likeness(described.blur_px, like.noise_floor, like.noise_slope, like.full)
    picture = pixels.astype(np.float32)
    mask = np.zeros((height, width), np.uint8)
    free = np.ones_like(mask, np.bool_) if unknown is None else ~unknown
    mask[~free] = IGNORE
    id_of = {name: number for number, name in classes.items()}
    light = math.radians(rng.uniform(0, 360) if described.light_deg is None else described.light_deg)
    lamp = (math.cos(light), -math.sin(light))  # rows count downwards
    counts = [int(rng.integers(d.per_image[0], d.per_image[1] + 1)) for d in described.defects]
    if not any(counts):
        counts[int(rng.integers(len(counts)))] = 1
    drawn = list[str]()
    left_out = list[str]()
    for defect, count in zip(described.defects, counts, strict=True):
        region = free & defect.region(height, width)
        for _ in range(count):
            done = _place(picture, mask, id_of[defect.name], defect, region, lamp, like, rng)
            (drawn if done else left_out).append(defect.name)
    return DrawnPicture(_stored(picture, pixels), mask, tuple(drawn), tuple(left_out))


def _place(
    picture: NDArray[np.float32],
    mask: NDArray[np.uint8],
    class_id: int,
    defect: Defect,
    region: NDArray[np.bool_],
    lamp: tuple[float, float],
    like: Likeness,
    rng: np.random.Generator,
) -> bool:
    """Try places until one shows the defect; draws it into picture and mask. False if none did."""
    for _ in range(PLACES):
        place = _somewhere(region, rng)
        if place is None:
            return False
        row, column = place
        at = column + rng.uniform(-0.5, 0.5), row + rng.uniform(-0.5, 0.5)
        mark = make_mark(defect, rng, at, (mask.shape[0], mask.shape[1]), margin=LENS_REACH * like.blur_px + 1.0)
        box = mark.box
        on_mask = mask[box.y : box.bottom, box.x : box.right]
        if ((on_mask > 0) & (on_mask != IGNORE)).any():
            continue  # one on top of another is neither
        look = Look(rng.uniform(*defect.contrast), rng.uniform(*defect.relief), lamp, defect.tint)
        seen = blend(picture, mark, look, like, region, rng)
        if seen is not None:
            on_mask[seen & region[box.y : box.bottom, box.x : box.right]] = class_id
            return True
    return False


def _somewhere(region: NDArray[np.bool_], rng: np.random.Generator) -> tuple[int, int] | None:
    """Row and column of a pixel of the region; None where it has none."""
    for row, column in rng.integers(0, region.shape, (64, 2)).tolist():
        if region[row, column]:
            return row, column
    places = np.flatnonzero(region)  # a small region: look for it, which takes memory on a large picture
    if not len(places):
        return None
    return divmod(int(places[rng.integers(len(places))]), region.shape[1])


def _stored(picture: NDArray[np.float32], clean: Pixels) -> Pixels:
    """Back to the camera's numbers."""
    pixels = cast(Pixels, np.rint(picture).astype(clean.dtype))
    if camera_bits(pixels) != camera_bits(clean):  # the depth is told by the brightest pixel, so that one stays
        brightest = np.unravel_index(int(clean.argmax()), clean.shape)
        pixels[brightest] = clean[brightest]
    return pixels


def clean_pictures(data: DataSet) -> list[CleanPicture]:
    """The labelled pictures of a data set on which nobody drew a defect; raises InvalidInput if there is none."""
    found = []
    for sample in data.samples:
        if sample.mask is None:
            continue
        labels = sample.labels(data.classes)
        if ((labels > 0) & (labels != IGNORE)).any():
            continue
        unknown = sample.mask if labels.any() else None
        place = (sample.part, sample.view, sample.group, sample.split)
        found.append(CleanPicture(sample.image, *place, unknown, sample.camera_bits))
    if not found:
        raise InvalidInput(f"{data.name} has no labelled picture without a defect; there is nothing to draw into")
    return found


def pictures_in(folder: Path, seed: int) -> list[CleanPicture]:
    """The pictures of a folder (not of folders inside), each a part of its own.

    Raises:
        NotFound: there is no such folder. InvalidInput: no picture, or two that would share a mask.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder} is not a folder of pictures or a data set")
    endings = {e for known in FORMATS.values() for e in known}
    images = sorted(p for p in folder.iterdir() if p.suffix.lower() in endings and p.is_file())
    if not images:
        raise InvalidInput(f"{folder} holds no JPEG, PNG, BMP or TIFF picture")
    if twice := [stem for stem, times in Counter(p.stem for p in images).items() if times > 1]:
        raise InvalidInput(f"{folder} has several pictures called {twice[0]}, whose masks would collide; rename one")
    return [
        CleanPicture(image, image.stem, "", image.stem, side)
        for image, side in zip(images, sides_of(len(images), seed), strict=True)
    ]


def class_ids(described: Description, known: Mapping[int, str]) -> dict[int, str]:
    """Class ids of the data set's classes and the description's; a name that both have keeps its id.

    Raises:
        InvalidInput: more classes than a mask can hold.
    """
    classes = dict(known)
    for defect in described.defects:
        if defect.name not in classes.values():
            classes[max(classes, default=0) + 1] = defect.name
    if max(classes) >= IGNORE:
        raise InvalidInput(f"a mask holds class ids up to {IGNORE - 1}; there are {max(classes)}")
    return classes


def _name(stem: str, copy: int) -> str:
    return f"{stem}_drawn{copy + 1}"


def _pixels(picture: CleanPicture) -> Pixels:
    try:
        return decode(picture.image.read_bytes(), name=picture.image.name)
    except (InvalidInput, OSError) as error:
        raise InvalidInput(f"{picture.image.name}: {error}") from error


def _unknown(picture: CleanPicture, shape: Sequence[int]) -> NDArray[np.bool_]:
    if picture.unknown is None:
        return np.zeros((shape[0], shape[1]), np.bool_)
    return np.asarray(read_mask(picture.unknown, {}, shape=(shape[0], shape[1])) == IGNORE)
