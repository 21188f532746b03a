"""A part is looked at while it is being stored, and has no verdict before it is safe."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from conftest import DarkSpots
from sqlmodel import select

from qc.errors import Unavailable
from qc.records import Inspection, Progress

LONG_S = 60
"""Long enough for any machine; nothing here waits for so long where all is well."""


class Watched(DarkSpots):
    """Says when it has looked."""

    def __init__(self) -> None:
        self.looked = threading.Event()

    def segment(self, pixels):
        found = super().segment(pixels)
        self.looked.set()
        return found


class Broken(DarkSpots):
    """Cannot look at anything dark."""

    def segment(self, pixels):
        if pixels.max() < 10:
            raise ValueError("nothing to see")
        return super().segment(pixels)


@pytest.fixture(scope="module")
def model():
    return Watched()


@pytest.fixture(scope="module")
def served(run_line, tmp_path_factory, model):
    with run_line(tmp_path_factory.mktemp("home"), model) as line:
        yield line


def rows(line) -> dict[str, Progress]:
    """Part -> how far it is, as the database has it."""
    with line.context.database.read() as session:
        return {row.part: row.progress for row in session.exec(select(Inspection))}


def test_the_model_looks_while_the_disk_is_at_work_and_its_verdict_waits_until_the_part_is_safe(
    served, model, monkeypatch
):
    blobs, before = served.context.blobs, []
    really = blobs.keep

    def keep(key, data):
        if key.startswith("originals/"):
            before.append((model.looked.wait(LONG_S), "P-1" in rows(served)))
        really(key, data)

    model.looked.clear()
    monkeypatch.setattr(blobs, "keep", keep)
    told = served.send(served.picture(dark=12, mark=1), part="P-1").json()
    assert before == [(True, False)], "it was looked at before it was stored, and had no row then"
    assert told["verdict"] == "ng"
    assert rows(served)["P-1"] == Progress.DONE


def test_a_part_that_cannot_be_stored_has_no_verdict_and_its_trigger_is_free(served, model, monkeypatch):
    blobs = served.context.blobs

    def refuse(key, data):
        assert model.looked.wait(LONG_S)
        raise Unavailable("the disk is full")

    model.looked.clear()
    with monkeypatch.context() as full:
        full.setattr(blobs, "keep", refuse)
        refused = served.send(served.picture(mark=2), part="P-2", trigger_id="T-2")
    assert refused.status_code == 503
    assert "P-2" not in rows(served)
    again = served.send(served.picture(mark=2), part="P-2", trigger_id="T-2")
    assert (again.status_code, again.json()["verdict"]) == (201, "ok")


def test_a_trigger_that_comes_twice_at_once_is_looked_at_once_also_where_the_first_one_cannot_be_stored(
    served, monkeypatch
):
    blobs, both, refused = served.context.blobs, threading.Event(), []
    really = blobs.keep

    def refuse_once(key, data):
        if key.startswith("originals/") and not refused:
            refused.append(key)
            assert both.wait(LONG_S)
            raise Unavailable("the disk is full")
        really(key, data)

    monkeypatch.setattr(blobs, "keep", refuse_once)
    with ThreadPoolExecutor(2) as senders:
        sent = [senders.submit(served.send, served.picture(mark=3), part="P-3", trigger_id="T-3") for _ in range(2)]
        both.set()
        codes = sorted(one.result(LONG_S).status_code for one in sent)
    assert codes == [201, 503]
    assert rows(served)["P-3"] == Progress.DONE


def test_a_black_picture_is_a_camera_fault_also_where_the_model_cannot_look_at_it(run_line, tmp_path):
    black = bytes(cv2.imencode(".png", np.zeros((90, 120), np.uint8))[1])
    with run_line(tmp_path / "home", Broken()) as line:
        told = line.send(black).json()
        assert told["verdict"] == "review"
        assert told["problem"].startswith("camera fault"), told["problem"]
