"""The wall screen: what a station does, what is not as usual, and who waits."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from qc.drift import GROUP, LEARN, Charts
from server.access import Role
from server.wall import trend_of


def stations(line) -> dict[str, dict]:
    return {one["name"]: one for each in line.get("/wall").json()["lines"] for one in each["stations"]}


def test_an_hours_parts_are_counted_and_the_worst_of_what_holds_is_said(line):
    assert line.get("/wall").json()["lines"] == []
    for n, dark in enumerate((0, 0, 20)):
        line.send(line.picture(dark=dark, mark=n), part=f"P-{n}", station="brush")
    doubtful = line.send(line.picture(mark=5), line.picture(mark=6), part="P-4", station="polish").json()
    told = stations(line)
    assert {name: (one["hour"], one["ng"], one["state"]) for name, one in told.items()} == {
        "brush": (3, 1, "running"),
        "polish": (1, 0, "running"),
    }
    line.post(f"/inspections/{doubtful['id']}/call", Role.OPERATOR, json={"question": "a dent?"})
    wall = line.get("/wall", Role.OPERATOR).json()
    assert stations(line)["polish"]["state"] == "call"
    assert [(call["part"], call["question"], call["station"]) for call in wall["calls"]] == [
        ("P-4", "a dent?", "polish")
    ]


def test_a_camera_at_fault_goes_before_whatever_else(run_line, tmp_path):
    with run_line(tmp_path / "home", lines={"line 1": ["polish", "brush"]}) as line:
        line.send(line.picture(), station="brush")
        line.send(_black(), part="P-2", station="other")
        [named, others] = line.get("/wall").json()["lines"]
        assert (named["name"], [one["name"] for one in named["stations"]]) == ("line 1", ["polish", "brush"])
        assert named["stations"][0]["state"] == "never"
        [other] = others["stations"]
        assert (others["name"], other["state"]) == ("", "fault")
        assert [camera["fault"] for camera in other["cameras"]] == ["black"]


def _black() -> bytes:
    return bytes(cv2.imencode(".png", np.zeros((200, 300), np.uint8))[1])


def test_the_trend_has_limits_once_the_usual_is_known_and_says_which_rule_is_broken():
    charts = Charts()
    for n in range(LEARN - 1):
        charts = charts.moved(n % 20 == 0, 0.1)
    assert trend_of(charts).learnt == LEARN - 1
    assert trend_of(charts).points == []
    charts = charts.moved(False, 0.1)
    for n in range(2 * GROUP):
        charts = charts.moved(n % 20 == 0 or n >= GROUP + 10, 0.1)
    trend = trend_of(charts)
    assert trend.usual == pytest.approx(0.05)
    assert (trend.lower, trend.upper) == (0.0, pytest.approx(0.05 + 3 * (0.05 * 0.95 / GROUP) ** 0.5))
    assert [round(point * GROUP) for point in trend.points] == [3, 40]
    assert "more than 3 standard deviations above" in trend.rule
