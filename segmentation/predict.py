"""Images -> masks and JSON, exactly as the contract says (section 3)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.defects import class_mask
from qc.durable import write_whole
from qc.errors import InvalidInput, NotFound, QcError
from qc.frame import FORMATS, Frame, decode
from qc.inspection import Findings, inspect
from qc.ports import Segmentation, Segmenter
from qc.progress import Progress
from qc.verdict import Policy


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run."""

    done: int
    problems: tuple[str, ...]
    """One sentence for every image that could not be looked at."""


class Remembering:
    """A segmenter that keeps its last answer, so that the scores can be written beside the verdict."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.model_id, self.classes = segmenter.model_id, segmenter.classes
        self.threshold, self.edge = segmenter.threshold, segmenter.edge
        self._segmenter = segmenter
        self.last: Segmentation | None = None

    def segment(self, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Segmentation:
        self.last = self._segmenter.segment(pixels)
        return self.last


def predict(
    segmenter: Segmenter,
    paths: Sequence[Path],
    out: Path,
    *,
    policy: Policy | None = None,
    mm_per_px: float | None = None,
    scores: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Look at every image and write `out/<name>.png`, `out/<name>.json`, and `out/<name>.score.png` if asked for.

    A bad image is reported and the others are still done. One image is in memory at a time.

    Args:
        paths: image files, or folders whose images are taken (not those of folders inside).
        policy: what makes a verdict; the default policy of `qc.verdict` otherwise.
        mm_per_px: calibration, where the policy has none.

    Raises:
        NotFound: a path is not there. InvalidInput: no image at all, or two whose results would have the same name.
    """
    images = list(find_images(paths))
    refuse_collisions(images)
    out.mkdir(parents=True, exist_ok=True)
    policy = rules(policy, mm_per_px)
    eyes = Remembering(segmenter)
    problems = []
    for number, path in enumerate(images):
        if progress:
            progress(number / len(images), path.name)
        try:
            files = files_of(eyes, path.name, path.read_bytes(), policy, scores=scores)
        except (QcError, OSError) as error:
            problems.append(f"{path}: {error}")
            continue
        keep(files, path.stem, out)
    if progress:
        progress(1.0, f"{len(images) - len(problems)} images")
    return Outcome(len(images) - len(problems), tuple(problems))


def rules(policy: Policy | None, mm_per_px: float | None) -> Policy:
    """The policy, or that of a product without one; calibrated, where it is not."""
    policy = policy or Policy(product="")
    if mm_per_px is not None and policy.mm_per_px is None:
        policy = Policy(policy.product, policy.classes, policy.default, policy.zones, mm_per_px)
    return policy


def files_of(eyes: Remembering, name: str, data: bytes, policy: Policy, *, scores: bool = False) -> dict[str, bytes]:
    """What is written of one image, by the end of its name: `.png`, `.json`, and `.score.png` if asked for.

    Args:
        eyes: forget the image when it is done.
        name: of the file whose bytes are `data`.

    Raises:
        InvalidInput: it is no image, damaged, or too large.
    """
    frame = Frame(decode(data, name=name), view="", sha256=sha256(data).hexdigest())
    findings = inspect(frame, eyes, policy)
    files = {".png": _png(class_mask(findings.defects, findings.instances), name)}
    if scores and eyes.last is not None:
        files[".score.png"] = _png(score_picture(eyes.last), name)
    eyes.last = None
    files[".json"] = json.dumps(as_json(name, frame, findings, eyes.model_id), indent=1).encode()
    return files


def keep(files: Mapping[str, bytes], stem: str, out: Path) -> None:
    """Write what `files_of` made into the folder `out`; the JSON comes last, so that it says that all is there."""
    for ending, data in files.items():
        write_whole(out / f"{stem}{ending}", data)


def as_json(name: str, frame: Frame, findings: Findings, model: str) -> dict[str, Any]:
    """The words of the contract."""
    return {
        "image": name,
        "width": frame.width,
        "height": frame.height,
        "model": model,
        "verdict": str(findings.verdict),
        "score": round(findings.score, 6),
        "defects": [d.as_json() for d in findings.defects],
    }


def score_picture(seen: Segmentation) -> NDArray[np.uint8]:
    """`H x W`: 255 times the probability that a pixel is defective, rounded."""
    levels = np.float32(255) / (1 + np.exp(-_HALVES.astype(np.float32)))
    table = np.rint(np.nan_to_num(levels)).astype(np.uint8)
    return table[seen.log_odds.view(np.uint16)]


with np.errstate(over="ignore"):
    _HALVES = np.clip(np.nan_to_num(np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)), -80, 80)
"""Every number that half precision has: a table of 65536 answers is faster than 200 million exponentials."""


def find_images(paths: Iterable[Path]) -> Iterable[Path]:
    """The image files among `paths` and in the folders among them, by name; raises NotFound, InvalidInput."""
    endings = {e for known in FORMATS.values() for e in known}
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in endings and p.is_file())
            if not inside:
                raise InvalidInput(f"{path} holds no JPEG, PNG, BMP or TIFF")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise NotFound(f"{path} is not there")
    if not found:
        raise InvalidInput("no image was given")
    return found


def refuse_collisions(images: Iterable[Path]) -> None:
    """Two images whose results would have the same name raise InvalidInput."""
    seen: dict[str, Path] = {}
    for path in images:
        for name in (path.stem, path.stem.removesuffix(".score")):
            other = seen.get(name)
            if other is not None and (name == path.stem or other.stem != path.stem):
                raise InvalidInput(
                    f"{other} and {path} would write the same result {name}.json; predict them into two folders"
                )
        seen[path.stem] = path


def _png(pixels: NDArray[np.uint8], name: str) -> bytes:
    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise InvalidInput(f"the results of {name} cannot be written as a PNG")
    return data.tobytes()
