"""From an edge folder to verdicts: the product's own tiling, calibration, measuring and policy around one runtime."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.defects import class_mask
from qc.errors import InvalidInput
from qc.frame import Frame, Pixels, decode, to_8bit
from qc.inspection import Findings, inspect
from qc.verdict import Policy, read_policy
from segmentation.first_look import open_first_look
from segmentation.looking import open_look
from segmentation.predict import as_json
from segmentation.segmenter import FrameSegmenter, from_card

SETTINGS = "edge.json"
POLICY = "policy.yaml"
SITE = "site-packages"
CONTENTS = "site-packages.sha256"
"""The packages, file by file, as `sha256sum --check` reads it."""
FORMAT = 1
"""Version of the edge folder's layout."""

NG_COLOUR, DOUBT_COLOUR = (0, 0, 255), (0, 200, 255)
"""BGR, of outlines: what counts red, what is doubtful yellow."""


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge folder at work."""

    folder: Path
    settings: Mapping[str, Any]
    """As `edge.json` has them."""
    segmenter: FrameSegmenter
    policy: Policy

    def look(self, data: bytes, name: str) -> Looked:
        """Judge the picture in `data`; raises InvalidInput where it is none."""
        view = self.names(name)[1]
        frame = Frame(decode(data, name=name), view=view, sha256=hashlib.sha256(data).hexdigest())
        return Looked(name, frame, inspect(frame, self.segmenter, self.policy, station=self.station), self.model)

    def names(self, name: str) -> tuple[str, str]:
        """The part and the view that a file name tells."""
        found = re.fullmatch(self.settings["names"], Path(name).stem)
        said = found.groupdict() if found else {}
        return said.get("part") or Path(name).stem, said.get("view") or ""

    @property
    def station(self) -> str:
        """The name under which the server knows this place."""
        return str(self.settings["station"])

    @property
    def model(self) -> str:
        """`sha256:…`"""
        return self.segmenter.model_id


@dataclass(frozen=True, slots=True)
class Looked:
    """One picture, judged."""

    name: str
    frame: Frame
    findings: Findings
    model: str

    def as_json(self) -> dict[str, Any]:
        """The words of the contract (section 3)."""
        return as_json(self.name, self.frame, self.findings, self.model)

    def said(self) -> dict[str, Any]:
        """What must be equal on every machine; scores differ in their last digits, a verdict may not."""
        return said(self.findings)

    def mask(self) -> bytes:
        """A PNG of class ids, native size: the defects at or above the model's threshold."""
        return _png(class_mask(self.findings.defects, self.findings.instances))

    def overlay(self) -> bytes:
        """A PNG of the picture with its defects outlined."""
        return _png(outlined(self.frame.pixels, self.findings))


def said(findings: Findings) -> dict[str, Any]:
    """The verdict, and the classes of the defects that count."""
    return {
        "verdict": str(findings.verdict),
        "counting": sorted(defect.class_id for defect in findings.defects if defect.counts),
    }


def outlined(pixels: Pixels, findings: Findings) -> NDArray[np.uint8]:
    """`H x W x 3`, BGR: what counts outlined in red, what is doubtful in yellow."""
    seen = to_8bit(pixels)
    picture = cv2.cvtColor(seen, cv2.COLOR_GRAY2BGR if seen.ndim == 2 else cv2.COLOR_RGB2BGR)
    for defect in reversed(findings.defects):
        rings = [np.array(ring, np.int32)[:, None] for ring in defect.outline]
        cv2.polylines(picture, rings, True, NG_COLOUR if defect.counts else DOUBT_COLOUR, 2)
    return picture.astype(np.uint8, copy=False)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise InvalidInput("the result cannot be written as a PNG")
    return data.tobytes()


def open_edge(folder: Path, *, threads: int | None = None) -> Edge:
    """The edge in `folder`, ready to look; raises InvalidInput where it is damaged, or made for another machine."""
    settings = read_settings(folder)
    here = {"python": ".".join(map(str, sys.version_info[:2])), "machine": platform.machine()}
    for name, value in here.items():
        if settings[name] != value:
            raise InvalidInput(f"this folder is made for {name} {settings[name]}, and here is {value}; export it anew")
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    runtime = settings["runtime"]
    threads = threads or settings["threads"]
    look = open_look(runtime, folder, threads=threads)
    first = open_first_look(runtime, folder, threads=threads) if "first_look" in card else None
    segmenter = from_card(card, look, runtime=runtime, first_look=first)
    return Edge(folder, settings, segmenter, read_policy(folder / POLICY))


def read_settings(folder: Path) -> dict[str, Any]:
    """`edge.json`, after its model, policy and settings were checked to be the ones that were exported."""
    path = folder / SETTINGS
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    if not isinstance(settings, dict) or settings.get("format") != FORMAT:
        raise InvalidInput(f"{path} is not of format {FORMAT}; export the folder anew")
    for name, digest in settings["files"].items():
        if not (folder / name).is_file() or sha256_of(folder / name) != digest:
            raise InvalidInput(f"{folder / name} is damaged or was altered; copy the folder again")
    return settings


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(site: Path) -> str:
    """A line for each file in `site`: its SHA-256 and its path from the folder above."""
    files = sorted(path for path in site.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return "".join(f"{sha256_of(path)}  {path.relative_to(site.parent)}\n" for path in files)
