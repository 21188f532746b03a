"""A data folder's name, by which servers on one database know what each of them took in."""

from __future__ import annotations

from pathlib import Path

from qc.durable import write_whole
from qc.records import new_id

FILE = "home-id"


def home_id(home: Path) -> str:
    """The name of the data folder `home`; it gets one when it has none, and keeps it, also in a backup."""
    file = home / FILE
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        write_whole(file, new_id().encode())
        return file.read_text(encoding="utf-8")
