"""The folder layout of MVTec AD: `train/good`, `test/good`, `test/<class>`, `ground_truth/<class>/<name>_mask.png`.

The layout is for methods that learn from good parts alone: it has no place for defective training images, for several
classes on one image, for parts, or for what nobody knows. What is lost is counted.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from labeling.formats.common import ENDINGS, Builder, Passed, link, lose_the_rest, pieces, plain_name, size_of, whole
from labeling.push import png
from qc.dataset import IGNORE, DataSet, Sample
from qc.errors import InvalidInput

COMBINED = "combined"
"""MVTec's name for images with defects of several kinds."""


def write(data: DataSet, out: Path) -> Passed:
    """Write a data set in MVTec's layout; its val and test images become `test`. Raises Conflict if `out` exists."""
    passed, written = Passed(), list[Sample]()
    with whole(out) as work:
        for sample in data.samples:
            if sample.mask is None:
                passed.lose("images without labels left out")
                continue
            mask = sample.labels(data.classes)
            classes = [c for c in np.unique(mask).tolist() if c not in (0, IGNORE)]
            if sample.split == "train" and classes:
                passed.lose("defective training images left out: this layout learns from good parts")
                continue
            passed.lose("images with pixels that nobody knows, which count as good here", int((mask == IGNORE).any()))
            folder = "good" if not classes else COMBINED if len(classes) > 1 else _folder(data.classes[classes[0]])
            passed.lose("images with several classes, joined as `combined`", int(folder == COMBINED))
            side = "train" if sample.split == "train" else "test"
            link(sample.image, work / side / folder / sample.image.name)
            if classes:
                target = work / "ground_truth" / folder / f"{sample.name}_mask.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                drawn = (mask > 0) & (mask != IGNORE)
                target.write_bytes(png(np.where(drawn, 255, 0).astype(np.uint8)))
            passed.lose("images of val, which count as test here", int(sample.split == "val"))
            passed.images += 1
            written.append(sample)
            passed.defects += sum(1 for c in classes for _ in pieces(mask, c))
    lose_the_rest(passed, data, written, parts=False, licence=False)
    return passed


def _folder(name: str) -> str:
    """A class as a folder's name."""
    safe = "".join(ch if ch.isalnum() or ch in "-_" else "_" for ch in name)
    return f"{safe}_" if safe in ("good", COMBINED) else plain_name(safe, what="the class")


def read(folder: Path, out: Path) -> Passed:
    """Make a data set of a folder in MVTec's layout; class ids follow the names in order of the alphabet.

    Each image is a part of its own, since the layout does not say otherwise; two with one name in different folders
    get the folder's name before theirs.

    Raises:
        InvalidInput: no `train` or `test`, or a defective image without a mask of its size. Conflict: `out` exists.
    """
    found = [
        (side, kind.name, image)
        for side in ("train", "test")
        if (folder / side).is_dir()
        for kind in sorted(p for p in (folder / side).iterdir() if p.is_dir())
        for image in sorted(p for p in kind.iterdir() if p.suffix.lower() in ENDINGS)
    ]
    if not found:
        raise InvalidInput(f"{folder} has no images in train/ or test/; is it in MVTec's layout?")
    classes = {k: name for k, name in enumerate(sorted({kind for _, kind, _ in found if kind != "good"}), start=1)}
    if not classes:
        raise InvalidInput(f"{folder} has good images only; a data set needs at least one class")
    ids = {name: class_id for class_id, name in classes.items()}
    stems = [image.stem for _, _, image in found]
    twice = {stem for stem in stems if stems.count(stem) > 1}
    passed = Passed()
    with whole(out) as work:
        builder = Builder(work, classes, name=out.name, source="MVTec's layout")
        for side, kind, image in found:
            mask = np.zeros(size_of(image), np.uint8)
            if kind != "good":
                drawn = _truth(folder / "ground_truth" / kind, image, mask.shape)
                mask[drawn] = ids[kind]
                passed.defects += sum(1 for _ in pieces(mask, ids[kind]))
            stem = f"{side}_{kind}_{image.stem}" if image.stem in twice else image.stem
            builder.add(image, mask, split=side, stem=stem)
            passed.images += 1
        builder.finish()
    passed.lose("images without a part, each now a part of its own", passed.images)
    return passed


def _truth(folder: Path, image: Path, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    for name in (f"{image.stem}_mask.png", f"{image.stem}.png"):
        if (folder / name).is_file():
            mask = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)
            if mask is None or mask.shape != shape:
                raise InvalidInput(f"the mask {name} is damaged or has another size than {image.name}")
            return np.asarray(mask > 127)
    raise InvalidInput(f"{image.parent.name}/{image.name} has no mask in ground_truth/{folder.name}")
