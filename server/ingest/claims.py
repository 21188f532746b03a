"""Claims: which files are being handed over, written down beforehand, so that a crash doubles and loses nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import select

from qc.durable import write_whole
from qc.records import Inspection
from server.db import Database

FOLDER = ".claims"


@dataclass(frozen=True, slots=True)
class Claim:
    """The files of one part on their way from the inbox into the product."""

    place: Path
    """The claim's own file."""
    station: str
    part: str
    files: Mapping[str, str]
    """Path below the inbox -> SHA-256 of its content."""

    @property
    def trigger_id(self) -> str:
        """The same files with the same content are the same trigger."""
        return f"inbox:{self.place.stem}"


def write(inbox: Path, station: str, part: str, files: Mapping[str, str]) -> Claim:
    """Write a claim down; it survives a power cut."""
    told = json.dumps({"station": station, "part": part, "files": dict(sorted(files.items()))}, sort_keys=True)
    place = inbox / FOLDER / f"{hashlib.sha256(told.encode()).hexdigest()}.json"
    write_whole(place, told)
    return Claim(place, station, part, files)


def unfinished(inbox: Path) -> Iterator[Claim]:
    """The claims that a stop in the middle left behind; one that was not written to its end never counted."""
    for place in sorted((inbox / FOLDER).glob("*.json")):
        told = json.loads(place.read_text(encoding="utf-8"))
        yield Claim(place, told["station"], told["part"], told["files"])


def is_stored(database: Database, claim: Claim) -> bool:
    """Is its inspection in the database?"""
    wanted = select(Inspection.id).where(Inspection.station == claim.station, Inspection.trigger_id == claim.trigger_id)
    with database.read() as session:
        return session.exec(wanted).first() is not None


def drop(claim: Claim) -> None:
    """Forget a claim."""
    claim.place.unlink(missing_ok=True)
