"""A data set on disk: images, masks, a split by part (contracts, section 2).

Labelling writes one, training and evaluation read it; nothing else is shared between them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from qc.errors import InvalidInput
from qc.frame import FORMATS, check_depth, decode, depth_of, is_deep, stored_size, to_8bit, used_bits
from qc.mixing import BLOCK
from qc.plain_yaml import parsed

IGNORE = 255
"""In a mask: nobody knows what this pixel is; it is neither trained on nor counted."""

BACKGROUND = "background"
"""What figures call 0; no class can have the name."""

SPLITS = ("train", "val", "test")

WEIGHTS = "weights"
"""A folder beside `masks`, optional: pictures of the same name and size, one channel of 8 bit, that say how far each
pixel's label is trusted, from 0 to 255. No file: all labels of the image in full."""

SOURCE = "source"
"""A column of split.csv: the source an image was gathered from (`qc data gather`), one of those in `Mixing`."""

FALSE_ALARMS = "false_alarms"
"""A column of split.csv: boxes `x y width height`, parted by `;`, where a model saw a defect and people saw none."""

QUALITY = "label_quality"
"""A column of split.csv: in [0, 1], how far the image's labels are trusted; empty is 1."""


DEPTH = "camera_bits"
"""In dataset.yaml, and a column of split.csv for what differs from it: how many bits the camera puts at the low end of
16-bit pictures (10, 12, 14), or 16 where they stand at the high end."""

LOOKED_AT = 16
"""Pictures of 16 bit by which a data set's depth is guessed that nobody told; as many as are read in some seconds."""


@dataclass(slots=True)
class Depth:
    """The depth of a data set's 16-bit pictures, guessed from several of them, once, when it is first asked for.

    One frame's brightest pixel says little: it may be a dim one, and noise decides whether it passes a power of two.
    """

    images: tuple[Path, ...]
    """PNG and TIFF files of the set, whose depth nobody told."""
    _found: int | None = None

    def __call__(self) -> int:
        """As `qc.frame.depth_of` guesses from `LOOKED_AT` pictures together, evenly over all of 16 bit; 8 without any.

        Raises:
            InvalidInput: one of them is damaged; it is named.
        """
        if self._found is None:
            deep = [image for image in self.images if is_deep(image)]
            chosen = deep[:: max(1, -(-len(deep) // LOOKED_AT))]
            used = [used_bits(decode(i.read_bytes(), name=i.name)) for i in chosen]
            self._found = depth_of(reduce(or_, used)) if used else 8
        return self._found


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a data set. Reading is lazy; a sample is a place, not a picture."""

    image: Path
    mask: Path | None
    """None: nobody labelled this image; that does not make it clean."""
    split: str
    part: str
    view: str
    group: str
    """What must never be on both sides of a split; the part where nothing else is given."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The row of split.csv, whole; with `camera_bits` where dataset.yaml tells it."""
    weight: Path | None = None
    """How far each pixel of the mask is trusted, `weights/<name>.png`; None: in full."""
    camera_bits: int | None = None
    """The camera's depth, as the data set tells it (`DEPTH`); None: nobody told."""
    guess: Depth | None = field(default=None, compare=False, repr=False)
    """What to take where nobody told; None: each picture for itself."""

    @property
    def name(self) -> str:
        """The image's file name without its ending."""
        return self.image.stem

    def pixels(self) -> NDArray[np.uint8]:
        """The picture as models see it, `H x W` or `H x W x 3`: the highest 8 bits of the camera's.

        Raises:
            InvalidInput: the file is damaged, or brighter than its `camera_bits` can be; it is named.
        """
        try:
            picture = decode(self.image.read_bytes(), name=self.image.name)
            deep = picture.dtype == np.uint16
            return to_8bit(picture, self.camera_bits, usual=self.usual_bits() if deep else None)
        except (InvalidInput, OSError) as error:
            raise InvalidInput(f"{self.image.name}: {error}") from error

    def usual_bits(self) -> int | None:
        """The depth of the data set's other pictures where nobody told this one's, else None; raises as `Depth`."""
        return self.guess() if self.guess is not None and self.camera_bits is None else None

    def labels(self, classes: Mapping[int, str]) -> NDArray[np.uint8]:
        """`H x W` class ids, 0 background, IGNORE unknown.

        Raises:
            InvalidInput: it is not labelled, the file is damaged, has not the size of its image (by that one's header)
                or an unknown class id; it is named.
        """
        if self.mask is None:
            raise InvalidInput(f"{self.image.name} is not labelled")
        try:
            width, height = stored_size(self.image)
        except (InvalidInput, OSError) as error:
            raise InvalidInput(f"{self.image.name}: {error}") from error
        return read_mask(self.mask, classes, shape=(height, width))

    def trust(self) -> NDArray[np.uint8] | None:
        """`H x W`, how far each pixel's label is trusted, 255 in full; None: all of them in full.

        Raises:
            InvalidInput: the file is damaged, or has not one channel of 8 bit in the size of the mask; it is named.
        """
        if self.weight is None or self.mask is None:
            return None
        found = cv2.imdecode(np.frombuffer(self.weight.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
        mask = cv2.imdecode(np.frombuffer(self.mask.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
        if found is None or mask is None or found.dtype != np.uint8 or found.shape != mask.shape:
            raise InvalidInput(
                f"weights/{self.weight.name} is damaged, or not one channel of 8 bit in the size of its mask"
            )
        return cast(NDArray[np.uint8], found)


@dataclass(frozen=True, slots=True)
class Mixing:
    """How often each source's images are learnt from: `mix` in dataset.yaml."""

    id: str
    """`sha256:…` of sources, weights, seed, and every sample with its hash (`mix.json`)."""
    seed: int
    per_thousand: Mapping[str, int]
    """Of each source's name; they sum to 1000."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """Images, masks and their split."""

    root: Path
    name: str
    classes: Mapping[int, str]
    samples: tuple[Sample, ...]
    mm_per_px: float | None = None
    licence: str | None = None
    source: str | None = None
    mixing: Mixing | None = None
    """None: images are learnt from wherever they came from, alike."""

    def split(self, name: str, *, labelled: bool = True) -> list[Sample]:
        """The samples of one split, in the order of split.csv; only the labelled ones unless asked otherwise."""
        return [s for s in self.samples if s.split == name and (s.mask is not None or not labelled)]

    def depth(self) -> int | None:
        """The depth of its 16-bit pictures, told or else guessed; None: it has none, or of several depths.

        Raises:
            InvalidInput: as `Depth`.
        """
        told = {sample.camera_bits or sample.usual_bits() or 8 for sample in self.samples}
        return max(told) if len(told) == 1 and max(told) > 8 else None


def read_mask(path: Path, classes: Mapping[int, str], *, shape: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """A mask file as class ids; raises InvalidInput for another type, size, or an unknown class id."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"mask {path.name} cannot be read: {error}") from error
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if mask is None:
        raise InvalidInput(f"mask {path.name} is damaged or not a PNG")
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise InvalidInput(f"mask {path.name} must have one channel of 8 bit, not {mask.shape} of {mask.dtype}")
    if shape is not None and mask.shape != shape:
        raise InvalidInput(
            f"mask {path.name} is {mask.shape[1]} x {mask.shape[0]} px but its image is {shape[1]} x {shape[0]}"
        )
    if unknown := sorted(set(np.unique(mask).tolist()) - {0, IGNORE} - set(classes)):
        raise InvalidInput(f"mask {path.name} has class ids {unknown}; dataset.yaml knows {sorted(classes)}")
    return cast(NDArray[np.uint8], mask)


def open_dataset(root: Path) -> DataSet:
    """Read the index of a data set; pictures and masks are read later, one by one.

    Raises:
        InvalidInput: a file is missing or malformed, two classes have one name or one is called `background`,
            `mm_per_px` is no positive number or `camera_bits` no depth, a split is unknown, a part or group stands on
            both sides of a split, an image is listed twice or two images share a stem (their masks would collide).
    """
    root = Path(root)
    about = _about(root / "dataset.yaml")
    rows = _rows(root / "split.csv")
    guess = _guess(root, rows, about[DEPTH])
    samples = [_sample(root, number, row, about[DEPTH], guess) for number, row in enumerate(rows, start=2)]
    _check_stems(samples)
    _check_sides(samples)
    return DataSet(
        root=root,
        name=str(about.get("name", root.name)),
        classes=about["classes"],
        samples=tuple(samples),
        mm_per_px=about.get("mm_per_px"),
        licence=about.get("licence"),
        source=about.get("source"),
        mixing=_mixing(about.get("mix"), samples),
    )


def _sample(root: Path, number: int, row: dict[str, str], depth: int | None, guess: Depth) -> Sample:
    """The image of one line of split.csv; `depth` where the line tells no other."""
    file, line = row.get("file", ""), f"split.csv line {number}"
    image = root / "images" / file
    if not file or Path(file).name != file:
        raise InvalidInput(f"{line}: {file!r} is not a plain file name")
    if image.suffix.lower() not in {e for endings in FORMATS.values() for e in endings}:
        raise InvalidInput(f"{line}: {file} is not a JPEG, PNG, BMP or TIFF")
    if not image.is_file():
        raise InvalidInput(f"{line}: images/{file} is not there")
    if row.get("split") not in SPLITS:
        raise InvalidInput(f"{line}: split must be one of {SPLITS}, not {row.get('split')!r}")
    if told := row.get(DEPTH):
        depth = check_depth(told, f"{line}: {DEPTH}")
    mask, weight = (root / folder / f"{image.stem}.png" for folder in ("masks", WEIGHTS))
    part = row.get("part") or image.stem
    return Sample(
        image=image,
        mask=mask if mask.is_file() else None,
        split=row["split"],
        part=part,
        view=row.get("view") or "",
        group=row.get("group") or part,
        columns=row if depth is None else {**row, DEPTH: str(depth)},
        weight=weight if weight.is_file() else None,
        camera_bits=depth,
        guess=guess,
    )


def _guess(root: Path, rows: Iterable[Mapping[str, str]], depth: int | None) -> Depth:
    """Of the images whose depth neither their line of split.csv nor dataset.yaml (`depth`) tells."""
    deep = (*FORMATS["PNG"], *FORMATS["TIFF"])
    untold = [row.get("file", "") for row in rows if depth is None and not row.get(DEPTH)]
    return Depth(tuple(root / "images" / file for file in untold if file.lower().endswith(deep)))


def _check_stems(samples: Iterable[Sample]) -> None:
    seen = dict[str, str]()
    for number, sample in enumerate(samples, start=2):
        if other := seen.get(sample.name):
            raise InvalidInput(f"split.csv line {number}: {sample.image.name} and {other} would share one mask")
        seen[sample.name] = sample.image.name


def _mixing(told: Any, samples: Iterable[Sample]) -> Mixing | None:
    if told is None:
        return None
    try:
        shares = {str(name): int(share) for name, share in told["per_thousand"].items()}
        found = Mixing(str(told["id"]), int(told["seed"]), shares)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise InvalidInput(
            "mix in dataset.yaml must hold id, seed and per_thousand, as qc data gather writes it"
        ) from error
    if min(shares.values(), default=0) < 1 or sum(shares.values()) != BLOCK:
        raise InvalidInput(f"mix in dataset.yaml: the shares must be at least 1 and sum to {BLOCK}, not {shares}")
    if unknown := {sample.columns.get(SOURCE, "") for sample in samples} - set(shares):
        raise InvalidInput(f"mix in dataset.yaml names no share of the source {sorted(unknown)[0]!r} of split.csv")
    return found


def _about(path: Path) -> dict[str, Any]:
    try:
        about = parsed(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    classes = about.get("classes") if isinstance(about, dict) else None
    if not isinstance(classes, dict) or not classes:
        raise InvalidInput(f"{path.name} must have classes, such as {{1: scratch}}")
    for class_id, name in classes.items():
        if not isinstance(class_id, int) or not 1 <= class_id < IGNORE:
            raise InvalidInput(
                f"{path.name}: class id {class_id!r} ({name}) must be a whole number from 1 to {IGNORE - 1}"
            )
    names = {class_id: str(name) for class_id, name in sorted(classes.items())}
    _check_names(path, names)
    depth = None if about.get(DEPTH) is None else check_depth(about[DEPTH], f"{path.name}: {DEPTH}")
    return {**about, "classes": names, "mm_per_px": _scale(path, about.get("mm_per_px")), DEPTH: depth}


def _check_names(path: Path, names: Mapping[int, str]) -> None:
    """Figures and other formats know classes by name: one that names two things would mix what is counted of them."""
    first = dict[str, int]()
    for class_id, name in names.items():
        if name == BACKGROUND:
            raise InvalidInput(
                f"{path.name}: class {class_id} is called {BACKGROUND}, which is what is no defect (0 in a mask); "
                "give it another name"
            )
        if first.setdefault(name, class_id) != class_id:
            raise InvalidInput(
                f"{path.name}: classes {first[name]} and {class_id} are both called {name!r}; give each its own name"
            )


def _scale(path: Path, told: Any) -> float | None:
    if told is None:
        return None
    try:
        scale = math.nan if isinstance(told, bool) else float(told)
    except (TypeError, ValueError):
        scale = math.nan
    if not (math.isfinite(scale) and scale > 0):
        raise InvalidInput(
            f"{path.name}: mm_per_px must be a positive number, not {told!r}; leave it out where it is not known"
        )
    return scale


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    reader = csv.DictReader(io.StringIO(text))
    if not {"file", "split"} <= set(reader.fieldnames or []):
        raise InvalidInput(f"{path.name} must have the columns file and split, not {reader.fieldnames}")
    rows = [{k: (v or "").strip() for k, v in row.items() if k is not None} for row in reader]
    if not rows:
        raise InvalidInput(f"{path.name} lists no image")
    return rows


def _check_sides(samples: Iterable[Sample]) -> None:
    """A part or group on both sides of a split would let a model be judged on what it has seen."""
    for kind in ("part", "group"):
        side = dict[str, Sample]()
        for sample in samples:
            other = side.setdefault(getattr(sample, kind), sample)
            if other.split != sample.split:
                raise InvalidInput(
                    f"{kind} {getattr(sample, kind)} is on both sides of the split: "
                    f"{other.image.name} in {other.split}, {sample.image.name} in {sample.split}"
                )
