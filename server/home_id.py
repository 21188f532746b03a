"""A data folder's name, by which servers on one database know what each of them took in."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from qc.durable import flush_folder, write_whole
from qc.records import new_id

FILE = "home-id"


def home_id(home: Path) -> str:
    """The name of the data folder `home`; it gets one when it has none, and keeps it, also in a backup.

    Whoever asks gets the same, also where several ask at the same time for the first time: a part that was taken in
    under a name that did not last would be nobody's, and never judged after a restart.
    """
    file = home / FILE
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        name = new_id()
        proposed = file.with_name(f"{FILE}.{name}")
        write_whole(proposed, name)
        try:
            with suppress(FileExistsError):  # somebody was faster: that name holds
                os.link(proposed, file)
        finally:
            proposed.unlink(missing_ok=True)
        flush_folder(home)
        return file.read_text(encoding="utf-8").strip()
