"""Files that tell of a part, besides blobs: cache, frozen sets, models' samples, inbox, logs. All may be run again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labeling.manifest import after_erasure
from qc.durable import write_whole
from server.ingest.claims import FOLDER as CLAIMS


def forget_pictures(cache: Path, sha256: str) -> None:
    """Zoom tiles and thumbnails of a picture."""
    shutil.rmtree(cache / sha256[:2] / sha256, ignore_errors=True)


def was_in_dataset(dataset: Path, inspections: set[str]) -> bool:
    """Does a frozen set hold pictures of these inspections?"""
    manifest = _manifest(dataset)
    return any(frame.get("inspection") in inspections for frame in manifest.get("frames", []))


def forgotten(data: dict[str, Any], inspections: set[str], hashes: set[str]) -> dict[str, Any]:
    """What a model's card says of its data, without the pictures of these inspections, which it lists by their name in
    a frozen set and their SHA-256; `erased` says how many are gone. Equal to `data` where there are none."""
    told, gone = dict(data), 0
    for side in ("train_files", "val_files"):
        files = data.get(side) or {}
        kept = {
            name: hashed
            for name, hashed in files.items()
            if Path(name).stem.rpartition("_")[0] not in inspections and hashed.get("image") not in hashes
        }
        if len(kept) != len(files):
            told[side], gone = kept, gone + len(files) - len(kept)
    return told | {"erased": int(data.get("erased") or 0) + gone} if gone else data


def forget_in_card(model: Path, inspections: set[str], hashes: set[str]) -> None:
    """The same in the folder of a model; its id does not depend on it."""
    file = model / "model.json"
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    data = dict(card.get("dataset") or {})
    if (left := forgotten(data, inspections, hashes)) != data:
        write_whole(file, json.dumps(card | {"dataset": left}, indent=1))


def forget_in_datasets(home: Path, inspections: set[str], part: str) -> None:
    """Pictures, masks, rows and manifest entries in the frozen sets of retrainings. Their ids stay and say so."""
    for dataset in sorted((home / "retraining").glob("*/dataset")):
        for kind in ("images", "masks"):
            for file in (dataset / kind).glob("*"):
                if file.stem.rpartition("_")[0] in inspections:
                    file.unlink(missing_ok=True)
        if not was_in_dataset(dataset, inspections):
            continue
        table = dataset / "split.csv"
        if table.is_file():
            with table.open(newline="", encoding="utf-8") as reading:
                rows = list(csv.DictReader(reading))
                columns = list(rows[0]) if rows else []
            kept = [row for row in rows if Path(row["file"]).stem.rpartition("_")[0] not in inspections]
            out = io.StringIO(newline="")
            writer = csv.DictWriter(out, columns)
            writer.writeheader()
            writer.writerows(kept)
            write_whole(table, out.getvalue())
        manifest = _manifest(dataset)
        before = len(manifest["frames"])
        manifest["frames"] = [f for f in manifest["frames"] if f.get("inspection") not in inspections]
        manifest["files"] = {
            name: digest
            for name, digest in manifest.get("files", {}).items()
            if Path(name).stem.rpartition("_")[0] not in inspections
        }
        if table.name in manifest["files"]:
            manifest["files"][table.name] = hashlib.sha256(table.read_bytes()).hexdigest()
        manifest["erased"] = manifest.get("erased", 0) + before - len(manifest["frames"])
        write_whole(dataset / "manifest.json", json.dumps(after_erasure(manifest), indent=1))


def forget_samples(home: Path, models: list[str]) -> None:
    """The crops that models carry for comparing exports: nobody knows of which part each is, so that all of them go."""
    for model in models:
        name = model.removeprefix("sha256:")
        if re.fullmatch(r"[0-9a-f]{64}", name):
            shutil.rmtree(home / "models" / name / "samples", ignore_errors=True)


def forget_files(home: Path, part: str) -> None:
    """Files of the part that were rejected, kept after they were taken, or are on their way in."""
    for root in (home / "rejected", home / "inbox"):
        for file in _below(root):
            names = file.relative_to(root).parts
            stem = names[-1].partition(".")[0].partition("__")[0]
            if part in (*names[:-1], stem) or (CLAIMS in names and _claims(file, part)):
                file.unlink(missing_ok=True)


def blot_out_in_logs(logs: Path, part: str) -> None:
    """Write over the part's name in every log, wherever it stands by itself."""
    # behind an escaped end of a line comes a new word, too, although its own last character is a letter
    _blot_out(logs, rb"(?:(?<![\w-])|(?<=\\[nrt]))" + _spelt(part) + rb"(?![\w-])")


def blot_out_person_in_logs(logs: Path, name: str) -> None:
    """Write over a person's name in every log, where it says who did something or which account was asked about; a name
    such as `operator` is a word of its own elsewhere."""
    _blot_out(logs, rb"(?:(?<=: \")|(?<=/people/))" + _spelt(name) + rb"(?=[\"/])")


def rename_in_datasets(home: Path, name: str, pseudonym: str) -> None:
    """In the manifests of frozen sets: who drew, and who wrote the label book."""
    for dataset in sorted((home / "retraining").glob("*/dataset")):
        manifest = _manifest(dataset)
        if (told := _renamed(manifest, name, pseudonym)) != manifest:
            write_whole(dataset / "manifest.json", json.dumps(after_erasure(told), indent=1))


def _renamed(told: Any, name: str, pseudonym: str) -> Any:
    if isinstance(told, list):
        return [_renamed(each, name, pseudonym) for each in told]
    if isinstance(told, dict):
        return {
            key: pseudonym if key == "by" and value == name else _renamed(value, name, pseudonym)
            for key, value in told.items()
        }
    return told


def _spelt(name: str) -> bytes:
    """A pattern for a name in a log. Our lines are JSON, in which letters beyond ASCII, quotes and backslashes are
    escaped; other programs write plainly."""
    spelt = {name, json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1]}
    return b"(?:" + b"|".join(re.escape(one.encode()) for one in sorted(spelt)) + b")"


def _blot_out(logs: Path, pattern: bytes) -> None:
    """Write over what is found, in place: the writer of a log goes on at its end meanwhile."""
    for file in _below(logs):
        with file.open("r+b") as log:
            content = log.read()
            for place in re.finditer(pattern, content):
                log.seek(place.start())
                log.write(b"*" * len(place.group()))


def _claims(file: Path, part: str) -> bool:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # half written, or just gone: it never counted
        return False
    return bool(isinstance(told, dict) and told.get("part") == part)


def _below(root: Path) -> Iterator[Path]:
    return (file for file in sorted(root.rglob("*")) if file.is_file() and not file.is_symlink())


def _manifest(dataset: Path) -> dict[str, Any]:
    try:
        told = json.loads((dataset / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
