"""COCO's detection format: `annotations/instances_<split>.json` beside `<split>/` with the pictures.

Masks are written as run lengths, so that they come back to the pixel. COCO has no word for "not labelled": such images
are left out. What nobody knows (255) becomes a crowd region of the category `ignore`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from labeling.formats.common import (
    Builder,
    Mask,
    Passed,
    columns,
    link,
    lose_the_rest,
    pieces,
    plain_name,
    size_of,
    whole,
)
from qc.dataset import IGNORE, SPLITS, DataSet, Sample
from qc.errors import InvalidInput

UNKNOWN = "ignore"
"""Category of what nobody knows."""


def write(data: DataSet, out: Path) -> Passed:
    """Write a data set as COCO; raises Conflict if `out` exists."""
    passed, written = Passed(), list[Sample]()
    with whole(out) as work:
        (work / "annotations").mkdir()
        for split in SPLITS:
            samples = data.split(split, labelled=False)
            images, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
            for sample in samples:
                if sample.mask is None:
                    passed.lose("images without labels left out")
                    continue
                mask = sample.labels(data.classes)
                height, width = mask.shape
                number = len(images) + 1
                images.append(
                    {"id": number, "file_name": sample.image.name, "width": width, "height": height, **columns(sample)}
                )
                for class_id in [*data.classes, IGNORE]:
                    for (x, y, w, h), pixels in pieces(mask, class_id):
                        annotations.append(
                            {
                                "id": len(annotations) + 1,
                                "image_id": number,
                                "category_id": class_id,
                                "segmentation": run_lengths(pixels, x, y, height, width),
                                "bbox": [x, y, w, h],
                                "area": int(pixels.sum()),
                                "iscrowd": int(class_id == IGNORE),
                            }
                        )
                        passed.defects += class_id != IGNORE
                passed.images += 1
                written.append(sample)
                link(sample.image, work / split / sample.image.name)
            if images:
                categories = [{"id": c, "name": name, "supercategory": "defect"} for c, name in data.classes.items()]
                categories.append({"id": IGNORE, "name": UNKNOWN, "supercategory": "none"})
                document = {
                    "info": {"description": data.name},
                    "licenses": [{"id": 1, "name": data.licence or ""}],
                    "images": images,
                    "annotations": annotations,
                    "categories": categories,
                }
                (work / "annotations" / f"instances_{split}.json").write_text(json.dumps(document), encoding="utf-8")
    lose_the_rest(passed, data, written, parts=True, licence=True)
    return passed


def run_lengths(pixels: NDArray[np.bool_], x: int, y: int, height: int, width: int) -> dict[str, Any]:
    """COCO's uncompressed run lengths of a region of a `height x width` image, column by column, zeros first."""
    mask = np.zeros((height, width), bool)
    mask[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    flat = mask.ravel(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0], ends, [flat.size]])
    counts = np.diff(edges).tolist()
    return {"size": [height, width], "counts": [0, *counts] if flat[0] else counts}


def read(folder: Path, out: Path) -> Passed:
    """Make a data set of a COCO folder: polygons, run lengths plain or compressed, and crowd regions.

    Pictures are looked for in `<split>/`, `<split>2017/` and `images/`. `part`, `view` and `group` are taken where an
    image has them; otherwise each image is a part of its own, which is said in the result.

    Raises:
        InvalidInput: no annotation file, or one that makes no sense. Conflict: `out` exists.
    """
    files = {split: folder / "annotations" / f"instances_{split}.json" for split in SPLITS}
    documents = {split: _document(path) for split, path in files.items() if path.is_file()}
    if not documents:
        raise InvalidInput(f"{folder} has no annotations/instances_train.json, _val.json or _test.json")
    names = _categories(documents)
    ids = {name: k for k, name in enumerate(sorted(n for n in set(names.values()) if n != UNKNOWN), start=1)}
    if kept := {c: n for c, n in names.items() if n != UNKNOWN and 1 <= c < IGNORE}:
        ids = {n: c for c, n in kept.items()} if len(kept) == len(ids) else ids
    passed = Passed()
    with whole(out) as work:
        builder = Builder(work, {c: n for n, c in ids.items()}, name=out.name, source="COCO")
        for split, document in documents.items():
            by_image: dict[int, list[Mapping[str, Any]]] = {}
            for annotation in document["annotations"]:
                by_image.setdefault(int(annotation["image_id"]), []).append(annotation)
            for image in document["images"]:
                path = _picture(folder, split, image)
                mask = np.zeros(size_of(path), np.uint8)
                for annotation in by_image.get(int(image["id"]), []):
                    name = names.get(int(annotation["category_id"]))
                    if name is None:
                        raise InvalidInput(
                            f"{path.name}: category {annotation['category_id']} is not among the categories"
                        )
                    mask[_region(annotation, mask)] = IGNORE if name == UNKNOWN else ids[name]
                    passed.defects += name != UNKNOWN
                if "part" not in image:
                    passed.lose("images without a part, each now a part of its own")
                known = {key: str(image.get(key) or "") for key in ("part", "view", "group")}
                builder.add(path, mask, split=split, **known)
                passed.images += 1
        builder.finish()
    return passed


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        lists = all(isinstance(document[key], list) for key in ("images", "annotations", "categories"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path.name} is not a COCO file: {error}") from error
    if not lists:
        raise InvalidInput(f"{path.name} is not a COCO file: images, annotations and categories must be lists")
    return dict(document)


def _categories(documents: Mapping[str, Mapping[str, Any]]) -> dict[int, str]:
    """Category id to name over all files; raises InvalidInput where they contradict each other."""
    names: dict[int, str] = {}
    for split, document in documents.items():
        for category in document["categories"]:
            number, name = int(category["id"]), str(category["name"])
            if names.setdefault(number, name) != name:
                raise InvalidInput(
                    f"category {number} is {names[number]!r} in one file and {name!r} in that of {split}"
                )
    return names


def _picture(folder: Path, split: str, image: Mapping[str, Any]) -> Path:
    name = plain_name(image.get("file_name"), what="the picture")
    for place in (folder / split, folder / f"{split}2017", folder / "images"):
        if (place / name).is_file():
            return place / name
    raise InvalidInput(f"the picture {name} is neither in {split}/ nor in images/")


def _region(annotation: Mapping[str, Any], like: Mask) -> NDArray[np.bool_]:
    """Where an annotation is, `H x W`."""
    found = annotation.get("segmentation")
    region: NDArray[np.bool_] = np.zeros(like.shape, bool)
    if isinstance(found, dict):
        size, counts = found.get("size"), found.get("counts")
        if size != list(like.shape):
            raise InvalidInput(f"annotation {annotation.get('id')} is for {size}, its picture is {list(like.shape)}")
        runs = decompress(counts) if isinstance(counts, str) else counts
        if not isinstance(runs, list) or sum(runs) != like.size or min(runs, default=0) < 0:
            raise InvalidInput(f"annotation {annotation.get('id')}: its runs do not fill the picture")
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        return np.asarray(flat.reshape(like.shape, order="F"))
    if not isinstance(found, list):
        raise InvalidInput(f"annotation {annotation.get('id')} has no segmentation")
    for ring in found:
        points = np.asarray(ring, np.float64).reshape(-1, 2)
        rows, cols = polygon(points[:, 1] - 0.5, points[:, 0] - 0.5, like.shape)
        region[rows, cols] = True
    return region


def decompress(text: str) -> list[int]:
    """COCO's compressed run lengths: groups of five bits, lowest first, each count given as the step from that two
    before it (from the fourth on)."""
    runs, place = list[int](), 0
    while place < len(text):
        value, shift, more = 0, 0, True
        while more:
            if place >= len(text):
                raise InvalidInput("compressed run lengths end too early")
            bits = ord(text[place]) - 48
            value |= (bits & 0x1F) << shift
            more, shift, place = bool(bits & 0x20), shift + 5, place + 1
            if not more and bits & 0x10:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs
