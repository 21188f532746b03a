"""What a picture tells about lamp, lens and mount."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from qc import camera_dirt
from qc.camera import LEARN, Fault, Look, Watch, absolute, edges, gross, look, moved_back, place


def metal(seed: int, *, height: int = 240, width: int = 320, noise: float = 2.0) -> np.ndarray:
    """A bright sheet with two holes and an edge, always in the same place, and a new texture on every part."""
    rng = np.random.default_rng(seed)
    sheet = np.full((height, width), 130, np.float32)
    cv2.circle(sheet, (90, 80), 22, 30, -1)
    cv2.circle(sheet, (230, 160), 30, 30, -1)
    sheet[:, 300:] = 25
    texture = cv2.GaussianBlur(rng.normal(0, 1, sheet.shape).astype(np.float32), (0, 0), 1.2)
    sheet = sheet + 25 * texture + rng.normal(0, noise, sheet.shape).astype(np.float32)
    return np.clip(sheet, 0, 255).astype(np.uint8)


def moved(picture: np.ndarray, right: float, down: float) -> np.ndarray:
    shift = np.array([[1, 0, right], [0, 1, down]], np.float32)
    size = (picture.shape[1], picture.shape[0])
    return cv2.warpAffine(picture, shift, size, borderMode=cv2.BORDER_REFLECT_101)


def test_black_and_white_are_known_at_once_and_a_grey_sheet_is_neither():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 5, (100, 100), dtype=np.uint8)
    assert absolute(look(noise))[0] == Fault.BLACK
    assert absolute(look(np.full((100, 100, 3), 255, np.uint8)))[0] == Fault.WHITE
    assert absolute(look(np.full((100, 100), 180, np.uint8))) is None
    assert absolute(look(metal(1))) is None


def test_a_dim_picture_of_twelve_bit_is_not_black():
    assert absolute(look(metal(1).astype(np.uint16) * 16)) is None
    assert absolute(look(np.zeros((50, 60), np.uint16)))[0] == Fault.BLACK


def test_pictures_of_two_parts_have_two_fingerprints_and_the_same_picture_one():
    assert look(metal(1)).fingerprint == look(metal(1)).fingerprint
    assert look(metal(1)).fingerprint != look(metal(2)).fingerprint


def test_a_dimmer_lamp_moves_the_level_by_its_logarithm():
    bright = look(metal(1))
    dim = look((metal(1) * 0.85).astype(np.uint8))
    assert dim.level - bright.level == pytest.approx(math.log(0.85), abs=0.01)


def test_defocus_takes_sharpness_away_and_a_dimmer_lamp_hardly_does():
    sharp = look(metal(1)).sharpness
    assert look(cv2.GaussianBlur(metal(1), (0, 0), 1.0)).sharpness < sharp - 0.3
    assert look((metal(1) * 0.85).astype(np.uint8)).sharpness == pytest.approx(sharp, abs=0.05)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (10, 0), (-6, 9), (3, -12)])
def test_a_shift_is_measured_to_a_pixel_on_another_part(right, down):
    column, row = place(edges(metal(1)), edges(moved(metal(2), right, down)))
    assert column * 320 == pytest.approx(right, abs=1.0)
    assert row * 320 == pytest.approx(down, abs=1.0)


def test_moving_a_picture_back_lays_it_on_its_reference():
    there = edges(moved(metal(2), 10, -8))
    back = moved_back(there, *place(edges(metal(1)), there))
    column, row = place(edges(metal(1)), back)
    assert abs(column) * 320 < 0.7
    assert abs(row) * 320 < 0.7


def test_a_place_without_edges_is_unknown():
    flat = edges(np.full((100, 100), 90, np.uint8))
    assert all(math.isnan(number) for number in place(flat, flat))


def looks(number: int, rng: np.random.Generator, **away: float) -> list[Look]:
    """Looks as of a camera whose measures vary by their usual amount; `away` moves a measure."""
    spread = {"level": 0.1, "sharpness": 0.15, "column": 0.007, "row": 0.007}
    values = {name: rng.normal(away.get(name, 0.0), sd, number) for name, sd in spread.items()}
    return [Look(str(n), 0.0, 255.0, **{name: float(values[name][n]) for name in spread}) for n in range(number)]


def learnt(rng: np.random.Generator) -> Watch:
    watch = Watch()
    for one in looks(LEARN, rng):
        watch = watch.moved(one)
    return watch


@pytest.mark.parametrize(
    ("away", "words"),
    [({"level": -0.16}, "darker"), ({"sharpness": -0.3}, "less sharp"), ({"column": 0.01}, "to the right")],
)
def test_a_small_lasting_change_is_found_within_fifty_parts_and_says_since_when(away, words):
    rng = np.random.default_rng(5)
    watch, number = learnt(rng), 0
    for one in looks(200, rng):
        watch = watch.moved(one)
    assert watch.alarms() == {}
    for one in looks(50, rng, **away):
        watch, number = watch.moved(one), number + 1
        if watch.alarms():
            break
    ((measure, (told, ago)),) = watch.alarms().items()
    assert measure in away
    assert words in told
    assert number / 2 <= ago <= number + 10


def test_a_camera_that_is_well_raises_no_alarm_in_ten_thousand_parts():
    rng = np.random.default_rng(6)
    watch = learnt(rng)
    for one in looks(10_000, rng):
        watch = watch.moved(one)
        assert watch.alarms() == {}
        assert gross(one, watch.reference) is None


def speck(picture: np.ndarray, strength: float) -> np.ndarray:
    """Something out of focus on the lens, left of the middle and below it."""
    y, x = np.ogrid[: picture.shape[0], : picture.shape[1]]
    away = ((x - 150) ** 2 + (y - 170) ** 2) / 8**2
    return (picture * (1 - strength * np.exp(-away / 2))).astype(np.uint8)


def ground(number: int = camera_dirt.LEARN) -> camera_dirt.Ground:
    found = camera_dirt.Ground()
    for seed in range(number):
        found = found.moved(camera_dirt.cells(metal(seed)))
    return found


@pytest.mark.parametrize(("strength", "gross"), [(0.12, False), (0.6, True)])
def test_a_spot_at_the_same_place_of_every_part_is_found_with_its_place_and_outlives_a_restart(strength, gross):
    clean, number = ground(), 0
    kept = camera_dirt.from_bytes(camera_dirt.to_bytes(clean), clean.mean.shape)
    assert np.array_equal(kept.mean, clean.mean)
    assert np.array_equal(kept.spread, clean.spread)
    assert camera_dirt.from_bytes(camera_dirt.to_bytes(clean), (12, 15)).number == 0, "of another size of picture"
    dirty = kept
    while dirty.spot() is None and number < 50:
        dirty, number = dirty.moved(camera_dirt.cells(speck(metal(1000 + number), strength))), number + 1
    spot = dirty.spot()
    assert spot is not None
    assert (spot.column, spot.row) == (pytest.approx(150 / 320, abs=0.07), pytest.approx(170 / 240, abs=0.09))
    assert spot.size < 0
    assert number / 2 <= spot.parts <= number
    assert (dirty.gross(camera_dirt.cells(speck(metal(2000), strength))) is not None) == gross
    assert dirty.gross(camera_dirt.cells(metal(2001))) is None, "it was wiped off"


def test_defects_here_and_there_a_dimmer_lamp_and_clean_parts_are_no_dirt():
    rng, seen = np.random.default_rng(3), ground()
    for n in range(150):
        part = metal(3000 + n)
        y, x = rng.integers(20, 200, 2)
        part[y : y + 12, x : x + 12] = 20
        seen = seen.moved(camera_dirt.cells((part * (1.0 if n < 75 else 0.8)).astype(np.uint8)))
        assert seen.spot() is None


def test_a_camera_that_was_moved_is_not_called_dirty():
    seen = ground()
    for n in range(30):
        seen = seen.moved(camera_dirt.cells(moved(metal(4000 + n), 40, 0)))
    assert seen.spot() is None


def test_a_single_picture_far_from_the_usual_is_at_fault_and_says_what_to_check():
    watch = learnt(np.random.default_rng(7))
    assert gross(Look("", 0, 255, 0.0, 0.0, 0.0, 0.0), watch.reference) is None
    for away, fault, word in [
        ({"level": -0.9}, Fault.EXPOSURE, "lamp"),
        ({"level": 0.9}, Fault.EXPOSURE, "brighter"),
        ({"sharpness": -1.4}, Fault.BLURRED, "focus"),
        ({"column": 0.2}, Fault.SHIFTED, "mount"),
    ]:
        values = {"level": 0.0, "sharpness": 0.0, "column": 0.0, "row": 0.0} | away
        found, told = gross(Look("", 0, 255, **values), watch.reference)
        assert found == fault
        assert word in told


def test_before_enough_is_learnt_nothing_is_compared():
    watch = Watch()
    for one in looks(20, np.random.default_rng(8)):
        watch = watch.moved(one)
    assert gross(Look("", 0, 255, -5.0, -5.0, 0.5, 0.5), watch.reference) is None
