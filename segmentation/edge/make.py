"""`qc export MODEL --edge`: a folder that inspects on an IPC, written only after it gave the model's verdicts there.

It is tried as it will run: in a process of its own, which sees nothing but the folder, on the pictures as files.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from qc.dataset import Sample
from qc.errors import Conflict, InvalidInput
from qc.frame import decode
from qc.plain_yaml import parsed
from qc.progress import Progress
from qc.verdict import parse_policy, read_policy
from segmentation.edge.eyes import CONTENTS, FORMAT, POLICY, SETTINGS, SITE, Edge, contents, sha256_of
from segmentation.edge.packing import folder_bytes, pack, pinned
from segmentation.edge.program import EXPECTED, SAMPLES
from segmentation.edge.spool import Spool
from segmentation.export import refuse_memory
from segmentation.model import CARD, first_look_network, load_network, refuse_foreign, replace_folder
from segmentation.parity import Picture
from segmentation.runtimes import write, write_first_look
from segmentation.samples import carried
from segmentation.samples import write as write_pictures
from segmentation.segmenter import from_card
from segmentation.torch_look import torch_look

START = "inspect.sh"

LAUNCHER = '''"""Starts the program of this folder, which needs nothing but the Python that reads this line."""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER / "site-packages")]

from segmentation.edge.program import main  # noqa: E402

sys.exit(main(FOLDER))
'''

SHELL = """#!/bin/sh
# -I -S: this folder and Python's own library, nothing that happens to be installed on this machine; -B: write nothing.
exec "${PYTHON:-python3}" -I -S -B "$(dirname "$(readlink -f "$0")")/edge.py" "$@"
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how an edge inspects; `edge.json`."""

    station: str = "edge"
    """The name under which the server knows it."""
    policy: Path | None = None
    """The product's rules, zones and calibration; None: every defect is ng."""
    mm_per_px: float | None = None
    """Calibration, where the policy has none."""
    names: str = "(?P<part>.+)"
    """What a file name (without its ending) tells: a regular expression with groups `part` and `view`."""
    watch: str = ""
    """The folder in which pictures arrive."""
    server: str = ""
    """Where to report, such as `https://qc.example:8000`."""
    spool: str = "../edge-spool"
    """Where everything is kept, from the edge folder; outside of it, so that a new folder may replace an old one."""
    threads: int | None = None
    """CPU threads for one picture; None: all."""


def export_edge(
    folder: Path,
    out: Path,
    *,
    runtime: str,
    samples: Sequence[Picture],
    place: Place | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write an edge folder; returns what `edge.json` says.

    Args:
        folder: the model.
        out: created; an edge folder that is there is replaced.
        runtime: `openvino` (x86) or `onnx` (others).
        samples: pictures on which the folder must give the model's verdicts.
        place: where it will inspect.

    Raises:
        InvalidInput: nothing to compare on, or a model with a memory of clean parts, or a mistake in `place`.
        Conflict: a verdict differs, or the program does not run; nothing is written.
    """
    place = place or Place()
    if not samples:
        raise InvalidInput("an export needs images to compare the verdicts on; give some")
    _check(place)
    refuse_foreign(out)
    card, network = load_network(folder)
    refuse_memory(folder, card, asks="an edge")
    first = first_look_network(folder, card)
    torch_eyes = from_card(
        card, torch_look(network), runtime="torch", first_look=None if first is None else first.look()
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    tell = progress or (lambda share, words: None)
    try:
        tell(0.0, "writing the network")
        write(runtime, network, torch_eyes.stride, working)
        shutil.copyfile(folder / CARD, working / CARD)
        if first is not None:
            write_first_look(runtime, first, working)
        (working / POLICY).write_text(_policy(place), encoding="utf-8")
        tell(0.2, "copying what inspects")
        versions = pack(runtime, working / SITE)
        (working / CONTENTS).write_text(contents(working / SITE), encoding="utf-8")
        (working / "versions.txt").write_text(pinned(versions), encoding="utf-8")
        (working / "edge.py").write_text(LAUNCHER, encoding="utf-8")
        (working / START).write_text(SHELL, encoding="utf-8")
        (working / START).chmod(0o755)
        about = _settings(card, runtime, place)
        own = Edge(working, about, torch_eyes, read_policy(working / POLICY))
        _carry(own, carried(folder))
        about["files"] = {
            str(path.relative_to(working)): sha256_of(path)
            for path in sorted(working.rglob("*"))
            if path.is_file() and SITE not in path.parts
        }
        _write_settings(working, about)
        about["compared_with_the_model"] = compared = _compare(own, samples, tell)
        if compared["verdicts_that_differ"]:
            raise Conflict(
                f"{compared['verdicts_that_differ']} of {compared['images']} verdicts of the edge are not the model's; "
                "nothing was written",
                **compared,
            )
        about["bytes"] = folder_bytes(working)
        _write_settings(working, about)
        replace_folder(working, out)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    tell(1.0, "done")
    return about


def _check(place: Place) -> None:
    """Raises InvalidInput for what the program would stumble over."""
    try:
        groups = set(re.compile(place.names).groupindex)
    except re.error as error:
        raise InvalidInput(f"{place.names!r} is no regular expression: {error}") from error
    if unknown := groups - {"part", "view"}:
        raise InvalidInput(f"file names can tell part and view, not {sorted(unknown)}")
    if not place.station:
        raise InvalidInput("the station must have a name; give --station NAME")


def _policy(place: Place) -> str:
    """The policy as the edge keeps it: without what only the server needs, with the calibration."""
    content: dict[str, Any] = {"product": ""}
    if place.policy is not None:
        read_policy(place.policy)  # says where a mistake is
        content = parsed(place.policy.read_text(encoding="utf-8"))
    content = {name: value for name, value in content.items() if name not in ("gate", "money")}
    if place.mm_per_px is not None:
        content.setdefault("mm_per_px", place.mm_per_px)
    parse_policy(content)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _settings(card: Mapping[str, Any], runtime: str, place: Place) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "model": card["id"],
        "runtime": runtime,
        "python": ".".join(map(str, sys.version_info[:2])),
        "machine": platform.machine(),
        "station": place.station,
        "names": place.names,
        "watch": place.watch,
        "server": place.server,
        "spool": place.spool,
        "threads": place.threads,
    }


def _write_settings(folder: Path, about: Mapping[str, Any]) -> None:
    (folder / SETTINGS).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _carry(own: Edge, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """Put pictures, and what the model says of them, into the folder: `inspect.sh check` compares on the IPC itself."""
    write_pictures(own.folder, pictures)
    said = {path.name: own.look(path.read_bytes(), path.name).said() for path in _pictures(own.folder)}
    (own.folder / SAMPLES / EXPECTED).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def _pictures(folder: Path) -> list[Path]:
    return sorted((folder / SAMPLES).glob("*.png"))


def _compare(own: Edge, samples: Sequence[Picture], tell: Progress) -> dict[str, Any]:
    """The edge as it will run, in a process that sees nothing but its folder, beside the model: what differs."""
    with tempfile.TemporaryDirectory() as scratch:
        both = [*_pictures(own.folder), *_as_files(samples, Path(scratch))]
        files = list({sha256_of(path): path for path in reversed(both)}.values())[::-1]  # a picture is compared once
        spool = Spool(Path(scratch) / "spool")
        run_edge(own.folder, ["--spool", str(spool.folder), "look", *map(str, files)])
        found = {(line["image"], line["sha256"]): line for line in spool.inspections.read()}
        differ = pixels = 0
        for number, path in enumerate(files):
            data = path.read_bytes()
            looked, line = own.look(data, path.name), found[path.name, sha256(data).hexdigest()]
            differ += looked.said() != {name: line.get(name) for name in looked.said()}
            mask = (spool.folder / "results" / Path(line["picture"]).with_suffix(".png").name).read_bytes()
            pixels += int((decode(mask) != decode(looked.mask())).sum())
            tell(0.4 + 0.6 * (number + 1) / len(files), "comparing verdicts")
        times = [line["elapsed_ms"] for line in found.values()]
    return {
        "images": len(files),
        "verdicts_that_differ": differ,
        "mask_pixels_that_differ": pixels,
        "median_ms": round(float(np.median(times)), 1),
    }


def _as_files(samples: Sequence[Picture], folder: Path) -> list[Path]:
    """Pictures as a camera leaves them."""
    paths = []
    for number, picture in enumerate(samples):
        if isinstance(picture, Sample):
            paths.append(picture.image)
            continue
        paths.append(folder / f"sample-{number}.png")
        stored = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(str(paths[-1]), stored):
            raise InvalidInput(f"sample {number} cannot be written as a PNG")
    return paths


def run_edge(folder: Path, arguments: Sequence[str]) -> str:
    """Run the program of an edge folder with nothing else in reach; what it printed.

    Raises:
        Conflict: it failed.
    """
    done = subprocess.run(
        [folder / START, *arguments],
        env={"PATH": os.defpath, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = (done.stderr.strip() or done.stdout.strip() or "without a word").splitlines()[-1]
        raise Conflict(f"the edge's program does not run: {why}; nothing was written")
    return done.stdout
