"""How long the other server may take: never so long that this machine could not do the rest in time."""

from __future__ import annotations

import numpy as np
import pytest

from server.remote_engine.eyes import Eyes, Far
from server.remote_engine.pace import MARGIN, REMEMBERED, Pace
from server.remote_engine.wire import NoAnswer

SHEET = np.full((140, 160, 3), 180, np.uint8)
PIXELS = 140 * 160


class Wire:
    """A server that says what the champion says, or what it is told to."""

    def __init__(self, champion) -> None:
        self.champion, self.within_s, self.planes = champion, [], None

    def ask(self, window, outputs, *, classes, within_s):
        self.within_s.append(within_s)
        if isinstance(self.planes, Exception):
            raise self.planes
        odds, place = self.champion.look(window)
        return type("Said", (), {"version": "1", "planes": self.planes or {"log_odds": odds, "class_place": place}})


class Ways:
    """The engine's side, written down."""

    def __init__(self, *, near_s: float = 0.0, far_s: float = 0.0, patience_s: float = 50.0) -> None:
        self.near, self.far, self.patience_s, self.told, self.problems = Pace(), Pace(), patience_s, [], []
        for pace, seconds in ((self.near, near_s), (self.far, far_s)):
            if seconds:
                pace.took(PIXELS, seconds / MARGIN)

    def trusts(self, far) -> bool:
        return not self.problems

    def failed(self, far, error) -> None:
        self.problems.append(error.kind)

    def answered(self, way: str) -> None:
        self.told.append(way)


def look(champion, ways: Ways, *, left_s: float | None, frames: int = 1, planes=None) -> tuple[Eyes, Wire]:
    wire = Wire(champion)
    wire.planes = planes
    far = Far(wire, ("log_odds", "class_place"), "1", "remote m 1 (p)")
    eyes = Eyes(ways, far, champion, pixels=frames * PIXELS, left_s=left_s)
    for _ in range(frames):
        eyes.segment(SHEET)
    return eyes, wire


@pytest.mark.parametrize(
    ("near_s", "far_s", "left_s", "within_s"),
    [
        (4.0, 1.0, None, 50.0),  # nobody waits: as long as the settings say
        (4.0, 1.0, 200.0, 50.0),
        (4.0, 1.0, 30.0, 26.0),  # this machine keeps the four seconds it needs
        (20.0, 0.0, 30.0, 10.0),  # nothing is known of the other one: it is tried
        (40.0, 1.0, 30.0, 30.0),  # this machine could not be in time anyway
    ],
)
def test_the_other_server_gets_what_this_machine_does_not_need(champion, near_s, far_s, left_s, within_s):
    ways = Ways(near_s=near_s, far_s=far_s)
    eyes, wire = look(champion, ways, left_s=left_s)
    assert within_s - 9 < wire.within_s[0] <= within_s
    assert (ways.told, eyes.runtime) == (["remote"], "remote m 1 (p)")


@pytest.mark.parametrize(("near_s", "far_s", "left_s"), [(20.0, 15.0, 30.0), (40.0, 41.0, 30.0), (0.0, 1.0, -1.0)])
def test_who_would_be_late_is_not_asked(champion, near_s, far_s, left_s):
    ways = Ways(near_s=near_s, far_s=far_s)
    eyes, wire = look(champion, ways, left_s=left_s)
    assert (wire.within_s, ways.told, ways.problems, eyes.runtime) == ([], ["local"], [], "onnx")
    assert ways.far.need(PIXELS) == 0  # and is tried again some day


def test_the_rest_of_the_part_is_thought_of(champion):
    _, wire = look(champion, Ways(near_s=10.0, far_s=0.5), left_s=40.0, frames=3)
    assert wire.within_s[0] <= 10 < wire.within_s[1]  # three frames are to be done, then two


@pytest.mark.parametrize(
    "planes",
    [
        NoAnswer("gone", "it is gone"),
        RuntimeError("nobody thought of this"),
        {"log_odds": np.zeros((3, 3), np.float32), "class_place": np.zeros((3, 3), np.uint8)},
    ],
)
def test_whatever_goes_wrong_this_machine_answers_and_the_rest_of_the_part_too(champion, planes):
    ways = Ways()
    eyes, wire = look(champion, ways, left_s=None, frames=2, planes=planes)
    assert (len(wire.within_s), ways.told, len(ways.problems), eyes.runtime) == (1, ["local", "local"], 1, "onnx")


def test_a_part_that_took_both_ways_names_both(champion):
    ways = Ways()
    eyes, wire = look(champion, ways, left_s=None, frames=1)
    wire.planes = NoAnswer("late", "too late")
    eyes.segment(SHEET)
    assert eyes.runtime == "onnx + remote m 1 (p)"


def test_both_ways_see_the_same(champion):
    frame = np.random.default_rng(1).integers(0, 255, (150, 170), np.uint8)
    eyes, _ = look(champion, Ways(), left_s=None, frames=0)
    seen, own = eyes.segment(frame), champion.segment(frame)
    assert np.array_equal(seen.log_odds, own.log_odds)
    assert np.array_equal(seen.class_id, own.class_id)


def test_a_pace_is_the_usual_one_and_forgets():
    pace = Pace()
    assert pace.need(1000) == 0
    for seconds in [*[1.0] * REMEMBERED, 50.0]:
        pace.took(1000, seconds)
    assert pace.need(1000) == pytest.approx(MARGIN)
    for _ in range(REMEMBERED):
        pace.forget_one()
    assert pace.need(1000) == 0
