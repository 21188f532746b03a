"""A 12-bit camera whose pictures come by REST: its product's file tells its depth, and noise no longer does."""

import cv2
import numpy as np
import pytest

RULES = "product: deep\nclasses: {}\ncamera_bits: {S-1: {top: 12}, S-2: {top: 10}}\n"


@pytest.fixture
def deep(line):
    (line.context.policies.folder / "deep.yaml").write_text(RULES, encoding="utf-8")

    def send(brightest: int, station: str) -> dict:
        pixels = np.full((96, 128), 480, np.uint16)
        pixels[40:60, 30:50] = 300
        pixels[0, 0] = brightest
        data = bytes(cv2.imencode(".png", pixels)[1])
        return line.send(data, part=f"P-{brightest}", station=station, view="top", product="deep").json()

    return send


def test_a_pixel_about_a_power_of_two_changes_no_verdict_where_the_depth_is_told(deep):
    under, over = deep(1020, "S-1"), deep(1030, "S-1")
    assert under["progress"] == over["progress"] == "done"
    assert under["score"] == over["score"]
    assert under["images"][0]["defects"] == over["images"][0]["defects"]


def test_a_picture_that_its_camera_cannot_have_taken_goes_to_a_person_with_the_reason(deep):
    told = deep(1030, "S-2")
    assert (told["verdict"], told["progress"]) == ("review", "failed")
    assert "camera_bits says that the camera gives 10 bits" in told["problem"]
