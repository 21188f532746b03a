"""Label Studio's JSON: `tasks.json` beside `images/`, with masks as brush regions, which come back to the pixel.

An image without annotations is one that nobody labelled, there as here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labeling.config import label_config, labels_of
from labeling.convert import from_results, to_results
from labeling.formats.common import Builder, Passed, columns, link, lose_the_rest, pieces, plain_name, size_of, whole
from qc.dataset import SPLITS, DataSet
from qc.errors import InvalidInput


def write(data: DataSet, out: Path) -> Passed:
    """Write a data set as Label Studio's tasks, with the project's configuration; raises Conflict if `out` exists."""
    passed = Passed()
    with whole(out) as work:
        tasks = []
        for number, sample in enumerate(data.samples, start=1):
            link(sample.image, work / "images" / sample.image.name)
            image = f"/data/local-files/?d=images/{sample.image.name}"
            about = {"image": image, "file": sample.image.name, "split": sample.split, **columns(sample)}
            annotations = []
            if sample.mask is not None:
                mask = sample.labels(data.classes)
                annotations = [{"id": number, "result": to_results(mask, data.classes)}]
                passed.defects += sum(1 for class_id in data.classes for _ in pieces(mask, class_id))
            tasks.append({"id": number, "data": about, "annotations": annotations})
            passed.images += 1
        (work / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
        (work / "config.xml").write_text(label_config(data.classes.values()), encoding="utf-8")
    lose_the_rest(passed, data, data.samples, parts=True, licence=False)
    return passed


def read(folder: Path, out: Path) -> Passed:
    """Make a data set of Label Studio's export in JSON (`tasks.json`, `config.xml` and `images/`).

    Where a task has several annotations, the newest counts. Tasks without `split` go to the side of their part's hash.

    Raises:
        InvalidInput: a file is missing or makes no sense, or the configuration lacks a label.
        Conflict: `out` exists.
    """
    from labeling.freeze import side

    try:
        tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
        config = (folder / "config.xml").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{folder} needs tasks.json and config.xml: {error}") from error
    labels = labels_of(config)
    if not labels or not isinstance(tasks, list):
        raise InvalidInput(f"{folder}: tasks.json must be a list, and config.xml must name brush labels")
    classes = dict(enumerate(labels, start=1))
    passed = Passed()
    with whole(out) as work:
        builder = Builder(work, classes, name=out.name, source="Label Studio")
        for task in tasks:
            about = task.get("data") if isinstance(task, Mapping) else None
            if not isinstance(about, Mapping):
                raise InvalidInput("a task of tasks.json has no data")
            file = plain_name(about.get("file") or Path(str(about.get("image", ""))).name, what="the picture")
            image = folder / "images" / file
            height, width = size_of(image)
            drawing = _newest(task)
            mask = None
            if drawing is not None:
                mask = from_results(drawing, classes, height=height, width=width).mask
                passed.defects += sum(1 for class_id in classes for _ in pieces(mask, class_id))
            part = str(about.get("part") or image.stem)
            split = str(about.get("split") or side(part))
            if split not in SPLITS:
                raise InvalidInput(f"{file}: split must be one of {SPLITS}, not {split!r}")
            known = {key: str(about.get(key) or "") for key in ("view", "group")}
            builder.add(image, mask, split=split, part=part, **known)
            passed.images += 1
        builder.finish()
    return passed


def _newest(task: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """What was drawn last; None where nobody labelled it."""
    drawn = [a for a in task.get("annotations") or [] if isinstance(a, Mapping) and not a.get("was_cancelled")]
    if not drawn:
        return None
    return list(max(drawn, key=lambda a: str(a.get("updated_at") or "")).get("result") or [])
