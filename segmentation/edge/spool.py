"""What an edge has inspected, kept until somebody can be told: pictures, and journals that only grow.

A line of a journal is one JSON object. `before` is the hash of the line before it, `hash` that of its own content with
`before`, so that a line cannot be altered, or left out in the middle, unnoticed. A picture is on the disk before the
line that names it. A program that is killed leaves at most a torn last line, which the next writer takes away: what it
was about was not recorded, and is inspected (or sent, with the same trigger) again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qc.durable import write_whole
from qc.errors import Conflict, InvalidInput

START = "0" * 64
"""`before` of a journal's first line."""


class Journal:
    """Lines in a file; one writer at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """All whole lines, oldest first; raises InvalidInput where one was altered or is missing."""
        return self._read()[0]

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """The right to add lines; raises Conflict where another program has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Conflict(f"{self.path} is being written by another program; wait for it, or stop it") from error
            lines, size = self._read()
            os.truncate(self.path, size)  # a torn line of a program that was killed
            yield Writer(file.fileno(), lines)

    def _read(self) -> tuple[list[dict[str, Any]], int]:
        """The whole lines and how many bytes they are."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return [], 0
        size = data.rfind(b"\n") + 1
        lines, before = [], START
        for number, text in enumerate(data[:size].splitlines(), start=1):
            try:
                line = json.loads(text)
                right = line["before"] == before and line["hash"] == _hash(line)
            except (ValueError, KeyError, TypeError):
                right = False
            if not right:
                raise InvalidInput(f"line {number} of {self.path} was altered or damaged; keep the spool for an expert")
            lines.append(line)
            before = line["hash"]
        return lines, size


class Writer:
    """Adds lines to a journal."""

    def __init__(self, file: int, lines: list[dict[str, Any]]) -> None:
        self._file, self.lines = file, lines

    def add(self, content: Mapping[str, Any]) -> None:
        """Once this returns, the line survives a power cut."""
        line = {**content, "before": self.lines[-1]["hash"] if self.lines else START}
        line["hash"] = _hash(line)
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        while text:
            text = text[os.write(self._file, text) :]
        os.fsync(self._file)
        self.lines.append(line)


def _hash(line: Mapping[str, Any]) -> str:
    content = {k: v for k, v in line.items() if k != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


class Spool:
    """The folder that grows beside an edge folder, and stays when that is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inspections = Journal(folder / "inspections.jsonl")
        self.reports = Journal(folder / "reports.jsonl")

    def keep(self, kind: str, name: str, data: bytes) -> Path:
        """Store bytes as `kind/name`, whole or not at all; once this returns they survive a power cut."""
        path = self.folder / kind / name
        write_whole(path, data)
        return path

    def waiting(self) -> list[dict[str, Any]]:
        """Inspections that nobody was told yet, oldest first."""
        told = {line["trigger_id"] for line in self.reports.read()}
        return [line for line in self.inspections.read() if line["trigger_id"] not in told]
