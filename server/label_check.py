"""Wrong labels of a data set: models that learn from some parts judge the labels of the others."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from labeling.drawings import Mask
from labeling.errors import Doubts, find_errors
from labeling.evidence import Measured, Shape, measure, shapes
from labeling.folds import folds
from labeling.formats.common import link
from labeling.push import png
from labeling.questions import Question
from qc.dataset import DEPTH, DataSet, Sample
from qc.errors import Conflict
from qc.frame import to_8bit
from qc.ports import Segmentation, Segmenter
from qc.progress import Progress
from segmentation.segmenter import looking_everywhere

if TYPE_CHECKING:
    from segmentation.config import NetworkConfig

Look = Callable[[Sample, Segmenter, Segmentation], None]
Clock = Callable[[], float]

IDENTITY = "identity.txt"
"""In the folder of the models: of what labels and settings they are."""

AROUND_PX = 96
"""Shown around a doubt on every side."""


def cross_check(
    data: DataSet,
    samples: Sequence[Sample],
    masks: Mapping[str, Mask],
    *,
    count: int,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    network: NetworkConfig | None = None,
    device: str = "cpu",
    threads: int | None = None,
    keep: Path | None = None,
    look: Look | None = None,
    progress: Progress | None = None,
    clock: Clock = time.monotonic,
) -> Doubts:
    """Train `count` models, each without a share of the parts, and question the labels of that share.

    With `steps` the same labels and seed give the same questions on the same machine.

    Args:
        samples: the labelled images to look at.
        masks: image name to `H x W` class ids: the labels that are learnt from and questioned.
        minutes, steps: of each model's training; neither: until it learns no more.
        network: None chooses it by the size of the defects.
        keep: a folder of our own for the models; the same call goes on from there after it was killed, and begins anew
            if labels, pictures or settings have changed. It stays.
        look: is shown every answer, for comparisons.
        progress: told how far it is.
        clock: what `minutes` are measured by; see `segmentation.train.train`.

    Raises:
        InvalidInput: too few parts with defects for so many models.
    """
    from segmentation.model import load_segmenter

    side = folds(samples, count=count, defective=[_defective(masks[s.name]) for s in samples])
    library = shapes([masks[s.name] for s in samples])
    random, measured = np.random.default_rng(seed), list[Measured]()
    chosen: dict[str, Any] = {"count": count, "minutes": minutes, "steps": steps, "seed": seed, "device": device}
    chosen["network"] = None if network is None else asdict(network)
    with _place(keep, _identity(data, samples, masks, chosen)) as place:
        for fold in range(count):
            ours = [s for s, k in zip(samples, side, strict=True) if k == fold]
            others = [s for s, k in zip(samples, side, strict=True) if k != fold]
            model = place / f"{fold}" / "model"
            if not model.exists():
                _write(place / f"{fold}" / "data", data, others, masks)
                _learn(
                    model,
                    minutes=minutes,
                    steps=steps,
                    seed=seed,
                    network=network,
                    device=device,
                    progress=_part(progress, f"model {fold + 1} of {count} learns: ", fold / count, 0.9 / count),
                    clock=clock,
                )
            segmenter = load_segmenter(model, device=device, threads=threads)
            if progress is not None:
                progress((fold + 0.9) / count, f"model {fold + 1} of {count} looks at {len(ours)} images")
            measured += judge(segmenter, ours, masks, library=library, random=random, look=look)
    return find_errors(measured)


def judge(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    masks: Mapping[str, Mask],
    *,
    library: Sequence[Shape],
    random: np.random.Generator,
    look: Look | None = None,
) -> list[Measured]:
    """What a model that learnt from none of these parts says of their labels; one picture is in memory at a time."""
    measured = []
    for sample in samples:
        seen = looking_everywhere(segmenter).segment(sample.pixels())
        measured.append(
            measure(
                seen,
                masks[sample.name],
                image=sample.name,
                part=sample.part,
                library=library,
                random=random,
                threshold=segmenter.edge,
            )
        )
        if look is not None:
            look(sample, segmenter, seen)
    return measured


def _learn(model: Path, **choices: Any) -> None:
    """Train on the data set beside the model, without a word about what is fewer than in the whole set."""
    from segmentation.train import train

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        train(model.parent / "data", model, **choices)


def _part(progress: Progress | None, words: str, begin: float, length: float) -> Progress | None:
    """Tells of one part of the whole, `length` of it from `begin` on."""
    if progress is None:
        return None
    return lambda share, said: progress(begin + length * share, words + said)


@contextmanager
def _place(keep: Path | None, identity: str) -> Iterator[Path]:
    """Where the models lie: `keep`, emptied unless they are of this identity, or a folder that goes afterwards."""
    if keep is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    of = keep / IDENTITY
    if not of.is_file() or of.read_text(encoding="utf-8") != identity:
        if keep.exists() and not of.is_file() and any(keep.iterdir()):
            raise Conflict(f"{keep} holds something else; choose another folder for the models")
        shutil.rmtree(keep, ignore_errors=True)
        keep.mkdir(parents=True)
        of.write_text(identity, encoding="utf-8")
    yield keep


def _identity(data: DataSet, samples: Sequence[Sample], masks: Mapping[str, Mask], settings: Mapping[str, Any]) -> str:
    """The same for the same pictures, labels, groups, classes and settings."""
    from segmentation.samples import sha256_of

    rows = [
        [s.name, s.part, s.view, s.group, sha256_of(s.image), hashlib.sha256(masks[s.name].tobytes()).hexdigest()]
        for s in samples
    ]
    told = {"classes": dict(data.classes), "settings": dict(settings), "samples": rows}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _defective(mask: Mask) -> bool:
    return bool(((mask > 0) & (mask != 255)).any())


def _write(root: Path, data: DataSet, samples: Sequence[Sample], masks: Mapping[str, Mask]) -> None:
    """A data set to learn from; the learning holds back parts of its own to judge itself by."""
    shutil.rmtree(root, ignore_errors=True)
    (root / "masks").mkdir(parents=True)
    rows = [f"file,split,part,view,group,{DEPTH}"]
    for sample in samples:
        link(sample.image, root / "images" / sample.image.name)
        (root / "masks" / f"{sample.name}.png").write_bytes(png(masks[sample.name]))
        depth = sample.columns.get(DEPTH, "")
        rows.append(f"{sample.image.name},train,{sample.part},{sample.view},{sample.group},{depth}")
    (root / "split.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    about = {"name": data.name, "classes": dict(data.classes)}
    (root / "dataset.yaml").write_text(yaml.safe_dump(about, allow_unicode=True), encoding="utf-8")


def as_json(question: Question, classes: Mapping[int, str]) -> dict[str, Any]:
    """A question as one line of a file."""
    named = {None: None} | dict(classes)
    return {
        "image": question.image,
        "part": question.part,
        "kind": question.kind.value,
        "bbox": question.box.as_list(),
        "drawn": named.get(question.drawn_class),
        "proposed": named.get(question.proposed_class),
        "certainty": round(question.certainty, 4),
        "harm": round(question.harm, 4),
        "priority": round(question.priority, 4),
        "also": [kind.value for kind in question.also],
        "question": question.sentence(dict(classes)),
    }


def lines(doubts: Doubts, classes: Mapping[int, str], *, most: int | None = None) -> list[str]:
    """The questions as lines of JSON, most worth asking first."""
    return [json.dumps(as_json(q, classes)) for q in doubts.questions[:most]]


def picture(sample: Sample, mask: Mask, question: Question) -> NDArray[np.uint8]:
    """The place of a question, RGB: what is drawn outlined in orange, what the model would draw in blue."""
    pixels = to_8bit(sample.pixels())
    height, width = pixels.shape[:2]
    window = question.box.grown(AROUND_PX, width=width, height=height)
    place = np.s_[window.y : window.bottom, window.x : window.right]
    shown = np.ascontiguousarray(pixels[place] if pixels.ndim == 3 else np.repeat(pixels[place][..., None], 3, axis=2))
    proposed = np.zeros((height, width), np.uint8)
    if question.proposal is not None:
        box = question.box
        proposed[box.y : box.bottom, box.x : box.right] = question.proposal
    drawn = ((mask[place] > 0) & (mask[place] != 255)).astype(np.uint8)
    for region, colour in ((drawn, (213, 94, 0)), (proposed[place], (0, 114, 178))):
        rings, _ = cv2.findContours(region, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(shown, rings, -1, colour, 1)
    return shown
