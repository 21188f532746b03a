"""Real DataMatrix and QR codes, drawn into pictures of real size, give the part its name, or say clearly why not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
import zxingcpp

from qc.frame import Frame
from server.codes import CodeRules, Unreadable, serial_of
from server.plant.handshake import Fault

SERIAL = "SN-20261122-0042"
DATAMATRIX, QR = zxingcpp.BarcodeFormat.DataMatrix, zxingcpp.BarcodeFormat.QRCode


def brushed(height, width, *, seed=0):
    """A sheet of brushed metal; the same 500 x 500 px again and again."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 60, (500, 500)).astype(np.float32), (0, 0), sigmaX=15, sigmaY=0.6)
    grain += 150 + rng.normal(0, 3, grain.shape).astype(np.float32)
    return np.tile(grain, (-(-height // 500), -(-width // 500)))[:height, :width].copy()


def mark(sheet, text, *, at=(100, 100), kind=DATAMATRIX, module_px=6, angle=0.0, contrast=120, light_on_dark=False):
    """Puts a code on a sheet; returns its outer side in pixels."""
    code = np.asarray(zxingcpp.create_barcode(text, kind).to_image(scale=module_px, add_quiet_zones=True))
    side = int(1.5 * max(code.shape))
    turn = cv2.getRotationMatrix2D((code.shape[1] / 2, code.shape[0] / 2), angle, 1)
    turn[:, 2] += side / 2 - np.array([code.shape[1], code.shape[0]]) / 2
    turned = cv2.warpAffine(code, turn, (side, side), borderValue=255).astype(np.float32) / 255
    x, y = at
    sheet[y : y + side, x : x + side] += contrast * ((1 - turned if light_on_dark else turned) - 0.8)
    return side


def frame(sheet, view=""):
    return Frame(np.clip(sheet, 0, 255).astype(np.uint8), view, "")


def read(sheet, **rules):
    return serial_of([frame(sheet)], CodeRules(**rules), station="S-1")


@pytest.mark.parametrize("kind", [DATAMATRIX, QR])
def test_a_code_anywhere_in_twelve_megapixels_is_found(kind):
    sheet = brushed(3000, 4000)
    mark(sheet, SERIAL, at=(2900, 1700), kind=kind, angle=17)
    assert read(sheet) == SERIAL


@pytest.mark.parametrize(
    "drawn",
    [
        {"angle": 45},
        {"angle": 200, "kind": QR},
        {"module_px": 2},
        {"module_px": 2, "kind": QR},
        {"module_px": 3, "contrast": 40},
        {"module_px": 4, "contrast": 40, "kind": QR},
        {"light_on_dark": True},
    ],
    ids=str,
)
def test_turned_small_faint_and_inverted_codes_are_read_where_one_looks_for_them(drawn):
    sheet = brushed(900, 1200)
    mark(sheet, SERIAL, at=(500, 300), **drawn)
    assert read(sheet, box=(450, 250, 600, 600)) == SERIAL


@pytest.mark.parametrize("kind", [DATAMATRIX, QR])
def test_a_scratch_through_a_code_is_made_up_for_and_a_hole_in_it_is_an_error(kind):
    sheet = brushed(800, 800)
    side = mark(sheet, SERIAL, kind=kind, module_px=10)
    middle = 100 + side // 2
    scratched, torn = sheet.copy(), sheet.copy()
    cv2.line(scratched, (middle - 90, middle - 60), (middle + 90, middle + 90), 230.0, 5)
    assert read(scratched) == SERIAL
    cv2.circle(torn, (middle, middle), 55, 150.0, -1)
    with pytest.raises(Unreadable, match="in the picture of S-1"):
        read(torn)


def test_two_different_codes_are_an_error_and_twice_the_same_is_one():
    sheet = brushed(500, 900)
    mark(sheet, SERIAL, at=(50, 20))
    mark(sheet, SERIAL, at=(500, 20), kind=QR)
    assert read(sheet) == SERIAL
    mark(other := brushed(500, 900), SERIAL)
    mark(other, "SN-20261122-0043", at=(500, 100))
    with pytest.raises(Unreadable, match=r"'SN-20261122-0042' and 'SN-20261122-0043'; only one part"):
        read(other)
    views = [frame(sheet, "top"), frame(other, "left")]
    with pytest.raises(Unreadable, match="only one part"):
        serial_of(views, CodeRules(), station="S-1")
    assert serial_of(views, CodeRules(view="top"), station="S-1") == SERIAL
    with pytest.raises(Unreadable, match="no such picture"):
        serial_of(views, CodeRules(view="right"), station="S-1")


def test_what_is_no_serial_number_is_passed_over():
    sheet = brushed(500, 900)
    mark(sheet, SERIAL)
    mark(sheet, "https://example.com/manual", at=(500, 80), kind=QR, module_px=5)
    pattern = re.compile(r"SN-(\d{8}-\d{4})")
    assert read(sheet, serial=pattern) == "20261122-0042"
    assert read(sheet, kinds=("datamatrix",)) == SERIAL
    with pytest.raises(Unreadable, match=r"say 'SN-20261122-0042', 'https://example.com/manual', and none"):
        read(sheet, serial=re.compile(r"\d{6}"))
    with pytest.raises(Unreadable, match="no datamatrix or qr code was read"):
        read(brushed(500, 900))
    with pytest.raises(Unreadable, match="correct it in"):
        read(sheet, box=(5000, 0, 10, 10))


def picture(text, *, n=0, **drawn) -> bytes:
    """A part's picture that the predictable segmenter calls ok."""
    sheet = np.full((500, 500), 200, np.float32)
    sheet[0, 0] += n
    if text:
        mark(sheet, text, contrast=75, **drawn)  # no darker than what the segmenter takes for a doubt
    return bytes(cv2.imencode(".png", np.clip(sheet, 0, 255).astype(np.uint8))[1])


@pytest.fixture
def marked_line(tmp_path, run_line):
    home = tmp_path / "home"
    home.mkdir()
    wanted = {"S-1": {"serial": r"SN-(\d{8}-\d{4})", "over_file_name": True}}
    (home / "codes.yaml").write_text(yaml.safe_dump({"stations": wanted}))
    with run_line(home) as line:
        yield line


def test_a_part_without_a_name_gets_it_from_its_code_and_one_with_a_name_keeps_it(marked_line):
    line = marked_line
    named = line.send(picture(SERIAL), part="", trigger_id="t-1")
    assert (named.status_code, named.json()["part"]) == (201, "20261122-0042")
    again = line.send(picture(SERIAL), part="", trigger_id="t-1")
    assert (again.status_code, again.json()["id"]) == (200, named.json()["id"])
    assert line.send(picture(SERIAL, n=1), part="P-7").json()["part"] == "P-7"
    unread = line.send(picture("", n=2), part="")
    assert unread.status_code == 422
    assert "no datamatrix or qr code was read in the picture of S-1" in unread.json()["error"]["message"]
    elsewhere = line.send(picture(SERIAL, n=3), part="", station="S-2")
    assert "part must be 1 to 128" in elsewhere.json()["error"]["message"]
    assert line.get("/inspections").json()["items"][0]["part"] == "P-7", "what has no name is not kept"
    told = line.get("/health").json()["components"]["codes"]
    assert (told["state"], told["read"], told["unreadable"]) == ("ok", 1, 1)


def test_a_file_in_the_inbox_is_named_by_its_code(marked_line):
    inbox = marked_line.context.settings.folder("inbox") / "S-1"
    inbox.mkdir()
    (inbox / ".frame_0001.png").write_bytes(picture(SERIAL))
    (inbox / ".frame_0001.png").rename(inbox / "frame_0001.png")
    end = time.monotonic() + 20
    while not (found := marked_line.get("/inspections").json()["items"]):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert found[0]["part"] == "20261122-0042"


def test_a_file_that_makes_no_sense_stops_parts_without_a_name_and_no_others(tmp_path, run_line):
    home = tmp_path / "home"
    home.mkdir()
    (home / "codes.yaml").write_text("stations: {S-1: {serial: '(['}}")
    with run_line(home) as line:
        refused = line.send(line.picture(), part="")
        assert refused.status_code == 503
        assert "codes.yaml, stations.S-1.serial: '([' is no regular expression" in refused.json()["error"]["message"]
        assert line.send(line.picture()).status_code == 201
        assert line.get("/health").json()["components"]["codes"]["state"] == "failed"


def test_a_plc_gets_the_part_that_was_read_or_an_error_and_ng(tmp_path, run_line):
    home, camera, pictures = tmp_path / "home", tmp_path / "camera", tmp_path / "pictures"
    for each in (home, camera, pictures):
        each.mkdir()
    station = {
        "decide_by_s": 60,
        "cameras": [{"folder": str(camera)}],
        "modbus": {"port": 0},
        "picture_within_s": 0.3,
        "picture_early_s": 30,
    }
    (home / "plant.yaml").write_text(yaml.safe_dump({"stations": {"press": station}}))
    (home / "codes.yaml").write_text("stations: {press: {}}")
    parts = []
    for n, text in enumerate((SERIAL, "")):
        (pictures / f"{n}.png").write_bytes(picture(text, n=n))
        parts.append({"part": "", "copy": [[str(pictures / f"{n}.png"), str(camera / f"{n}.png")]]})
    plc = Path(__file__).with_name("plant") / "plc.py"
    with run_line(home) as line:
        port = line.context.parts["plant"].wires["press"].port
        command = [sys.executable, plc, str(port), json.dumps({"parts": parts})]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    read, unread = [json.loads(told) for told in done.stdout.splitlines()[1:]]
    assert (read["part"], read["ok"], read["code"]) == (SERIAL, True, Fault.NONE)
    assert (unread["ok"], unread["ng"], unread["error"], unread["code"]) == (False, True, True, Fault.NO_CODE)
