from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote

import cv2
import numpy as np
import pytest
from sqlmodel import select

from qc.part_settings import PartSettings, Shows
from qc.ports import Segmentation
from server import audit
from server.access import Role
from server.audit import AuditEntry
from server.audit_check import verify

PIT = Shows(visible={"left": 0.9, "right": 0.9}, elsewhere=0.9, recall=0.95, strays=0.05, per_part=0.1)


class AllRound:
    """Calls dark spots pits, and learnt that they show in both views."""

    model_id = "sha256:all-round"
    classes: Mapping[int, str] = {1: "pit"}
    threshold = edge = 0.5

    def segment(self, pixels) -> Segmentation:
        log_odds = np.where(pixels < 60, 5.0, np.where(pixels < 100, -1.0, -9.0)).astype(np.float16)
        return Segmentation(log_odds, np.ones(pixels.shape, np.uint8))

    part_settings = PartSettings(("left", "right"), {"pit": PIT}, repeats=0.05, alike=0.5, real=0.5)


@pytest.fixture
def all_round(tmp_path, run_line):
    with run_line(tmp_path / "home", AllRound(), camera_checks=False) as line:
        yield line


def sheet(random: int = 1, *, right: int = 0, dark: tuple[int, int] | None = None, doubtful: bool = False) -> bytes:
    """A piece of metal with structure, pushed to the right, with a spot at (x, y) of the metal."""
    metal = cv2.GaussianBlur(np.random.default_rng(random).normal(0, 60, (560, 660)).astype(np.float32), (0, 0), 2.0)
    grey = np.clip(180 + 2.5 * metal, 130, 250).astype(np.uint8)
    if dark:
        x, y = dark
        grey[y : y + 12, x : x + 12] = 80 if doubtful else 20
    shown = np.roll(grey, right, axis=1)[:512, 20:640].copy()
    shown[0, 0] = 200 + right + (7 if dark else 0)
    return bytes(cv2.imencode(".png", shown)[1])


def test_a_part_joins_what_several_stations_saw_of_it_at_different_times(line):
    first = line.send(line.picture(), part="P-7", station="S-1", view=["left"]).json()
    second = line.send(line.picture(dark=12, mark=1), part="P-7", station="S-2", view=["right"]).json()
    shown = line.get("/parts/P-7").json()
    assert shown["verdict"] == "ng"
    assert [(v["inspection_id"], v["station"], v["verdict"]) for v in shown["views"]] == [
        (first["id"], "S-1", "ok"),
        (second["id"], "S-2", "ng"),
    ]
    assert shown["defects"][0]["sightings"] == [{"view": 1, "defect": 0, "by_place": True}]
    assert shown["defects"][0]["class"] == "pit"
    assert shown["rule"] == "worst view"
    assert "the model has not learnt which view shows what" in shown["reason"]


def test_a_view_that_is_silent_where_it_should_have_shown_the_defect_takes_doubt_away(all_round):
    line = all_round
    both = [line.picture(doubtful=12), line.picture(mark=3)]
    alone = line.send(*both, part="P-1", view=["left", "right"]).json()
    assert alone["verdict"] == "review"
    shown = line.get("/parts/P-1").json()
    assert shown["verdict"] == "ok"
    assert shown["rule"] == "all views"
    assert "not in right" in shown["reason"]
    line.send(line.picture(doubtful=12, mark=5), line.picture(doubtful=14, mark=6), part="P-2", view=["left", "right"])
    assert line.get("/parts/P-2").json()["verdict"] == "ng"


def test_two_views_that_lie_on_each_other_show_one_defect_and_say_so(all_round):
    line = all_round
    spot = (300, 200)
    line.send(sheet(dark=spot, right=0), sheet(dark=spot, right=9), part="P-3", view=["left", "right"])
    shown = line.get("/parts/P-3").json()
    assert [len(d["sightings"]) for d in shown["defects"]] == [2]
    assert all(s["by_place"] for s in shown["defects"][0]["sightings"])
    line.send(sheet(dark=(120, 350), right=1), sheet(dark=spot, right=9), part="P-4", view=["left", "right"])
    assert [d["silent"] for d in line.get("/parts/P-4").json()["defects"]] in ([[1], [0]], [[0], [1]])


def test_a_missing_view_is_named_and_leaves_more_unseen(all_round):
    line = all_round
    line.send(line.picture(mark=1), part="P-5", view=["left"])
    line.send(line.picture(mark=2), line.picture(mark=3), part="P-6", view=["left", "right"])
    one, both = (line.get(f"/parts/{part}").json() for part in ("P-5", "P-6"))
    assert one["missing"] == ["right"]
    assert "right is missing" in one["reason"]
    assert both["missing"] == []
    assert one["chance"] > both["chance"]


def test_a_part_is_no_ok_while_a_view_could_not_be_judged_and_newer_looks_replace_older_ones(line):
    dark = bytes(cv2.imencode(".png", np.zeros((480, 640), np.uint8))[1])
    assert line.send(dark, part="P-8", view=["left"]).json()["verdict"] == "review"
    shown = line.get("/parts/P-8").json()
    assert shown["verdict"] == "review"
    assert shown["views"][0]["fault"] == "black"
    assert "left could not be judged" in shown["reason"]
    line.send(line.picture(mark=4), part="P-8", view=["left"])
    again = line.get("/parts/P-8").json()
    assert again["verdict"] == "ok"
    assert again["replaced"] == 1
    assert len(again["views"]) == 1


def test_a_verdict_on_which_a_line_acts_stands_in_the_audit_trail(line):
    line.send(line.picture(dark=12), part="P-9", view=["left"])
    assert line.get("/parts/P-9", Role.MACHINE).status_code == 200
    assert line.post("/parts/P-9/verdict", Role.LABELLER).status_code == 403
    said = line.post("/parts/P-9/verdict", Role.MACHINE)
    assert said.status_code == 201
    with line.context.database.read() as session:
        (entry,) = session.exec(select(AuditEntry).where(AuditEntry.kind == "part verdict"))
        told = json.loads(entry.body)
        assert (told["part"], told["verdict"], told["reason"]) == ("P-9", "ng", said.json()["reason"])
        assert entry.by == "machine key"
        assert entry.n in {one.n for one in audit.naming(session, "P-9", [])}  # so that an erasure reaches it
        verify(session)


def test_a_part_with_a_slash_in_its_name_has_an_address_and_its_rules_hold(line):
    for part in ("LOT/9", "LOT/verdict"):
        line.send(line.picture(mark=len(part)), part=part, view=["left"])
        quoted = f"/parts/{quote(part, safe='')}"
        assert line.get(quoted).json()["part"] == part
        assert line.client.get(f"/api/v1{quoted}").status_code == 401
        assert line.client.head(f"/api/v1{quoted}").status_code == 401
        assert line.client.post(f"/api/v1{quoted}/verdict").status_code == 401
        assert line.post(f"{quoted}/verdict", Role.LABELLER).status_code == 403
        assert line.post(f"{quoted}/verdict", Role.MACHINE).json()["part"] == part


def test_a_persons_word_stands_beside_the_verdict_and_an_unknown_part_is_not_found(line):
    seen = line.send(line.picture(doubtful=12), part="P-10", view=["left"]).json()
    line.post(f"/inspections/{seen['id']}/decision", json={"verdict": "ok", "reason": "dust"})
    assert line.get("/parts/P-10").json()["decision"]["reason"] == "dust"
    missing = line.get("/parts/nobody")
    assert missing.status_code == 404
    assert "nobody" in missing.json()["error"]["message"]
