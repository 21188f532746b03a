"""What a station keeps is on the disk before anybody relies on it, and is whole after a restart."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qc.verdict import Verdict
from server.plant.handshake import Fault, Reply, State
from server.plant.memory import Entry, keep, note, noted, remembered


@pytest.fixture
def flushed(monkeypatch) -> list[Path]:
    """What is flushed to the disk, files and folders, in this order."""
    found, really = [], os.fsync

    def fsync(handle: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
        really(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_the_last_result_is_the_same_after_a_restart_and_names_its_part(tmp_path):
    told = Reply(4, 3, "P-4", Fault.OVERRUN, Verdict.NG, "01J", 0.75, 2, 12.5)
    keep(tmp_path / "press.json", State(number=4, reply=told))
    assert remembered(tmp_path / "press.json") == State(number=4, reply=told)


def test_a_file_of_a_release_that_kept_no_part_is_read(tmp_path):
    keep(tmp_path / "press.json", State(number=4, reply=Reply(4, 4, "P-4")))
    kept = json.loads((tmp_path / "press.json").read_text())
    del kept["reply"]["part"]
    (tmp_path / "press.json").write_text(json.dumps(kept))
    assert remembered(tmp_path / "press.json") == State(number=4, reply=Reply(4, 4, ""))


def test_a_number_survives_a_power_cut_so_that_none_is_used_twice(tmp_path, flushed):
    keep(tmp_path / "press.json", State(number=1))
    assert flushed[-1] == tmp_path, "the renaming is on the disk, too"


def test_the_first_entry_for_the_trail_survives_a_power_cut_with_its_file(tmp_path, flushed):
    entries = [Entry("press", {"part": "P-1"}), Entry("press", {"part": "P-2"})]
    for entry in entries:
        note(tmp_path / "press.json", [entry])
    file = tmp_path / "press.untold"
    assert flushed == [file, tmp_path, file]
    assert [entry.body for entry in noted(tmp_path / "press.json")] == [entry.body for entry in entries]
