"""Pictures for people: tiles, overlays, masks, thumbnails."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc.errors import NotFound
from server.cache import Cache
from server.pictures import TILE, level_size, shrunk, tile, top_level


def read(answer) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_tiles_of_the_highest_level_put_together_are_the_picture(line):
    told = line.send(line.picture(dark=30, width=1100, height=700)).json()
    base = f"/inspections/{told['id']}/images/0/tiles"
    top = top_level(1100, 700)
    assert top == 11
    rows = [np.hstack([read(line.get(f"{base}/{top}/{column}_{row}.jpg")) for column in range(3)]) for row in range(2)]
    whole = np.vstack(rows)
    assert whole.shape == (700, 1100)
    sent = cv2.imdecode(np.frombuffer(line.picture(dark=30, width=1100, height=700), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.abs(whole.astype(int) - sent.astype(int)).mean() < 1
    assert read(line.get(f"{base}/0/0_0.jpg")).shape == (1, 1)
    for missing in (f"{top}/3_0", f"{top}/0_2", f"{top + 1}/0_0", "-1/0_0"):
        assert line.get(f"{base}/{missing}.jpg").status_code == 404, missing
    first = line.get(f"{base}/{top}/0_0.jpg")
    assert "immutable" in first.headers["cache-control"]
    assert line.get(f"{base}/{top}/0_0.jpg", headers={"If-None-Match": first.headers["etag"]}).status_code == 304


@given(width=st.integers(1, 20_000), height=st.integers(1, 20_000))
def test_every_level_is_half_the_next_one_rounded_up(width, height):
    top = top_level(width, height)
    assert level_size(width, height, top) == (width, height)
    assert level_size(width, height, 0) == (1, 1)
    for level in range(top):
        larger = level_size(width, height, level + 1)
        assert level_size(width, height, level) == tuple(-(-side // 2) for side in larger)


def test_the_picture_is_decoded_once_for_all_of_its_tiles_and_the_oldest_go_when_room_is_short(tmp_path):
    cache, decoded = Cache(tmp_path, limit_bytes=3_000_000), []

    def look(name: str, column: int) -> bytes:
        def decode() -> np.ndarray:
            decoded.append(name)
            return np.full((1000, 1000), 90, np.uint8)

        return tile(cache, name, (1000, 1000), 10, column, 0, decode=decode)

    for name in ("aa1", "bb2", "cc3"):
        look(name, 0)
        look(name, 1)
    assert decoded == ["aa1", "bb2", "cc3"]
    assert cache.prune() <= 3_000_000
    look("cc3", 0)
    assert decoded == ["aa1", "bb2", "cc3"]
    look("aa1", 0)
    assert decoded[3:] == ["aa1"]
    with pytest.raises(NotFound):
        look("aa1", 1000 // TILE + 1)


def test_the_mask_holds_the_defects_that_count_at_native_size(line):
    told = line.send(line.picture(dark=12, doubtful=9)).json()
    mask = read(line.get(f"/inspections/{told['id']}/images/0/mask.png"))
    wanted = np.zeros((90, 120), np.uint8)
    wanted[10:22, 20:32] = 1
    np.testing.assert_array_equal(mask, wanted)


def test_the_overlay_outlines_without_covering_and_fills_on_demand(line):
    told = line.send(line.picture(dark=12)).json()
    base = f"/inspections/{told['id']}/images/0/overlay.png"
    outlined, filled = read(line.get(base)), read(line.get(base, params={"fill": True}))
    assert outlined.shape == (90, 120, 3)
    np.testing.assert_array_equal(outlined[10:22, 20:32], 20)
    assert (filled[12:20, 22:30] != 20).any()
    ring = (outlined != outlined[..., :1]).any(axis=2)
    assert ring.any()
    assert not ring[11:21, 21:31].any()
    clean = line.send(line.picture()).json()
    np.testing.assert_array_equal(read(line.get(f"/inspections/{clean['id']}/images/0/overlay.png")), 180)


def test_a_thumbnail_keeps_the_shape_of_the_picture(line):
    told = line.send(line.picture(width=800, height=400)).json()
    base = f"/inspections/{told['id']}/images/0/thumbnail.jpg"
    assert read(line.get(base)).shape == (160, 320)
    assert read(line.get(base, params={"size": 100})).shape == (50, 100)
    assert line.get(base, params={"size": 5000}).status_code == 422
    assert line.get(f"/inspections/{told['id']}/images/1/thumbnail.jpg").status_code == 404


@pytest.mark.parametrize(("shape", "side"), [((1501, 2003), 64), ((1501, 2003, 3), 160), ((90, 4001), 320)])
def test_a_thumbnail_shows_the_mean_of_what_each_of_its_pixels_stands_for(shape, side):
    rows, columns = np.indices(shape[:2])
    picture = (40 + 80 * rows / shape[0] + 100 * columns / shape[1]).astype(np.uint8)
    if len(shape) == 3:
        picture = np.stack([picture, 255 - picture, picture // 2], axis=2)
    small = shrunk(picture, side)
    assert max(small.shape[:2]) == side
    wanted = cv2.resize(picture, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - wanted).max() <= 2
