"""The last good part beside the one on screen: the right one, and black where the two are alike."""

from __future__ import annotations

import cv2
import numpy as np

from server.access import Role


def sheet(seed: int, *, moved: int = 0, scratch: bool = False) -> bytes:
    """Blotches that all parts of a product share, moved to the right, with a scratch or without; 900 x 1200 px."""
    shared = np.random.default_rng(7).normal(0, 40, (225, 315)).astype(np.float32)
    grey = 150 + cv2.resize(shared, (1260, 900), interpolation=cv2.INTER_CUBIC)[:, 30 - moved : 1230 - moved]
    grey = grey + np.random.default_rng(seed).normal(0, 2, grey.shape)
    if scratch:
        cv2.line(grey, (300, 200), (340, 230), 255.0, 3)
    return bytes(cv2.imencode(".png", np.clip(grey, 105, 255).astype(np.uint8))[1])


def send(line, picture: bytes, part: str, **more) -> dict:
    return line.send(picture, part=part, **more).json()


def good(line, part: dict):
    return line.get(f"/inspections/{part['id']}/images/0/good").json()


def difference(line, part: dict, other: dict, **box) -> tuple[np.ndarray, str]:
    options = {"good": other["inspection_id"], "good_n": other["n"], **box}
    answer = line.get(f"/inspections/{part['id']}/images/0/difference.png", params=options)
    assert answer.status_code == 200, answer.text
    return cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_GRAYSCALE), answer.headers["QC-Laid"]


def test_it_is_the_last_one_that_a_person_confirmed_else_the_last_that_the_model_let_pass(line):
    small = [line.picture(mark=n) for n in range(8)]
    first, second, third = (send(line, small[n], f"P-{n}") for n in range(3))
    send(line, line.picture(dark=20), "P-bad")
    send(line, small[4], "P-else", station="S-2")
    last = send(line, small[5], "P-5")
    assert good(line, first) is None, "nothing came before it"
    assert (good(line, last)["part"], good(line, last)["confirmed_by"]) == ("P-2", "")
    line.post(f"/inspections/{third['id']}/decision", Role.OPERATOR, json={"verdict": "ng"})
    assert good(line, last)["part"] == "P-1", "a part that a person called not good is none"
    line.post(f"/inspections/{first['id']}/decision", Role.OPERATOR, json={"verdict": "ok"})
    assert (good(line, last)["part"], good(line, last)["confirmed_by"]) == ("P-0", "operator key")
    assert good(line, send(line, line.picture(width=200), "P-6")) is None, "another size is another camera"
    assert second["verdict"] == "ok"


def test_what_both_share_is_black_although_one_lay_elsewhere_and_what_one_has_shines(line):
    send(line, sheet(1), "P-1")
    part = send(line, sheet(2, moved=9, scratch=True), "P-2")
    found, laid = difference(line, part, good(line, part))
    assert laid == "registered"
    assert found.shape == (900, 1200)
    scratch = found[205:225, 305:335]
    assert scratch.max() > 120
    around = found[300:800, 60:1100]
    assert np.median(around) < 30, "the blotches are the part's own"
    window, _ = difference(line, part, good(line, part), x=280, y=180, width=100, height=80)
    assert window.shape == (80, 100)
    assert np.abs(window.astype(int) - found[180:260, 280:380]).max() <= 12


def test_where_nothing_proves_how_they_lie_it_is_said(line):
    send(line, line.picture(mark=1), "P-1")
    part = send(line, line.picture(mark=9, doubtful=10), "P-2")
    found, laid = difference(line, part, good(line, part))
    assert laid == "as it lay"
    assert found[52:58, 62:68].min() == 255
    assert found[20:40, 20:40].max() == 0
    path = f"/inspections/{part['id']}/images/0/difference.png"
    for wrong, status in (({"good": "none", "good_n": 0}, 404), ({"good": part["id"], "good_n": 0, "x": 9999}, 422)):
        assert line.get(path, params=wrong).status_code == status
