"""A product or a station may have a model of its own; everything else has the champion."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from qc.ports import Segmentation
from server import registry
from server.access import Role
from server.models_in_use import Champion, find_assigned


class Fake:
    """Sees nothing, under any name."""

    classes, threshold, edge = {1: "pit"}, 0.5, 0.5

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id

    def segment(self, pixels):
        return Segmentation(np.full(pixels.shape, -9, np.float16), np.ones(pixels.shape, np.uint8))


def wait_for(true, *, patience=30):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def several(line):
    """A line with three models in the registry, and a champion that can load them."""
    context = line.context
    with context.database.write() as session:
        for name in ("all", "bar", "bench", "broken"):
            registry.add(session, model_id=f"sha256:{name}", folder=f"models/{name}", card={}, now=context.now())
        session.commit()

    def load(folder: Path) -> Fake:
        if folder.name == "broken":
            raise OSError("the disk is gone")
        return Fake(f"sha256:{folder.name}")

    champion = Champion(
        context.database,
        find=lambda session: ("sha256:all", Path("models/all")),
        load=load,
        assigned=find_assigned(context.settings),
    )
    context.champion.stop()
    context.champion = context.inspector._champion = champion
    assert champion.wait(20)
    yield line
    champion.stop()


def assign(line, model, status=201, **place):
    answer = line.post(f"/models/sha256:{model}/assign", json=place)
    assert answer.status_code == status, answer.text
    line.context.champion.changed()
    return answer.json()


def judges(line, product="", station="S-9") -> str | None:
    try:
        return line.context.champion.serving(product, station).model_id.removeprefix("sha256:")
    except Exception as error:
        return str(error)


def test_product_and_station_together_go_before_the_station_and_that_before_the_product(several):
    assert judges(several, "seat-bar", "S-1") == "all"
    assign(several, "bar", product="seat-bar")
    wait_for(lambda: judges(several, "seat-bar", "S-1") == "bar")
    assign(several, "bench", station="S-1")
    wait_for(lambda: judges(several, "seat-bar", "S-1") == "bench")
    assert judges(several, "seat-bar", "S-2") == "bar"
    assign(several, "all", product="seat-bar", station="S-1")
    wait_for(lambda: judges(several, "seat-bar", "S-1") == "all")
    assert judges(several, "other", "S-1") == "bench"
    items = several.get("/models/assignments").json()["items"]
    assert [(own["product"], own["station"]) for own in items] == [("", "S-1"), ("seat-bar", ""), ("seat-bar", "S-1")]


def test_a_part_is_judged_by_its_products_own_model(several):
    assign(several, "bar", product="seat-bar")
    wait_for(lambda: judges(several, "seat-bar") == "bar")
    assert several.send(several.picture(mark=1), product="seat-bar").json()["model"] == "sha256:bar"
    assert several.send(several.picture(mark=2)).json()["model"] == "sha256:all"


def test_no_other_model_steps_in_for_one_that_cannot_be_loaded(several):
    assign(several, "broken", product="seat-bar")
    wait_for(lambda: "not loaded" in judges(several, "seat-bar"))
    part = several.send(several.picture(mark=1), product="seat-bar").json()
    assert (part["verdict"], part["progress"]) == ("review", "failed")
    assert judges(several, "other") == "all"


def test_rolling_back_gives_the_model_before_and_then_the_champion_of_all(several):
    assign(several, "bar", product="seat-bar")
    assign(several, "bench", product="seat-bar")
    assert assign(several, "bench", status=409, product="seat-bar")
    back = several.post("/models/assignments/rollback", json={"product": "seat-bar"}).json()
    assert back["champion"] == "sha256:bar"
    assert several.post("/models/assignments/rollback", json={"product": "seat-bar"}).json() is None
    assert several.post("/models/assignments/rollback", json={"product": "seat-bar"}).status_code == 404
    several.context.champion.changed()
    wait_for(lambda: judges(several, "seat-bar") == "all")


def test_an_assignment_names_a_place_and_is_for_engineers(several):
    assign(several, "bar", status=422)
    place = {"product": "x"}
    assert several.post("/models/sha256:bar/assign", Role.OPERATOR, json=place).status_code == 403
    assert several.post("/models/sha256:none/assign", json=place).status_code == 404
