"""What reading a part's code costs at 12 Mpx, and how small and faint it may be: `python tests/bench/part_codes.py`.

Codes of 16 characters drawn into brushed metal at three angles, each read in a box of 800 x 800 px, and some in the
whole picture. CPU time of one thread, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict

import cv2
import numpy as np
import zxingcpp

from qc.errors import InvalidInput
from qc.frame import Frame
from server.codes import CodeRules, serial_of

SERIAL = "SN-20261122-0042"
ANGLES = (0, 17, 45)
BOX = (2900, 1700, 800, 800)


def sheet(rng: np.random.Generator) -> np.ndarray:
    """12 Mpx of brushed metal."""
    grain = cv2.GaussianBlur(rng.normal(0, 60, (750, 1000)).astype(np.float32), (0, 0), sigmaX=15, sigmaY=0.6)
    return np.tile(150 + grain + rng.normal(0, 4, grain.shape).astype(np.float32), (4, 4))


def draw(picture: np.ndarray, kind: str, module_px: int, angle: float, contrast: float) -> Frame:
    """The picture with a code inside the box."""
    code = np.asarray(zxingcpp.create_barcode(SERIAL, zxingcpp.barcode_format_from_str(kind)).to_image(scale=module_px))
    side = int(1.5 * max(code.shape))
    turn = cv2.getRotationMatrix2D((code.shape[1] / 2, code.shape[0] / 2), angle, 1)
    turn[:, 2] += side / 2 - np.array([code.shape[1], code.shape[0]]) / 2
    turned = cv2.warpAffine(code, turn, (side, side), borderValue=255).astype(np.float32) / 255
    drawn = picture.copy()
    drawn[1750 : 1750 + side, 2950 : 2950 + side] += contrast * (turned - 0.8)
    return Frame(np.clip(drawn, 0, 255).astype(np.uint8), "", "")


def look(frame: Frame, rules: CodeRules) -> tuple[bool, float]:
    """Was it read right, and the milliseconds that it took."""
    begun = time.thread_time()
    try:
        read = serial_of([frame], rules, station="bench")
    except InvalidInput:
        read = ""
    took = 1000 * (time.thread_time() - begun)
    assert read in ("", SERIAL), f"misread as {read}"
    return read == SERIAL, took


def main() -> None:
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--repeats", type=int, default=2)
    repeats = wanted.parse_args().repeats
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = defaultdict(list)
    print("code         module px  contrast  read in the box  read in all of 12 Mpx")
    for kind in ("DataMatrix", "QRCode"):
        for module_px in (2, 3, 4, 6):
            for contrast in (120, 40, 20):
                read = {"box": 0, "whole": 0}
                for angle in ANGLES:
                    for repeat in range(repeats):
                        frame = draw(sheet(rng), kind, module_px, angle, contrast)
                        found, took = look(frame, CodeRules(box=BOX))
                        read["box"] += found
                        times["box, found" if found else "box, nothing found"].append(took)
                        if repeat == 0:
                            found, took = look(frame, CodeRules())
                            read["whole"] += found
                            times["whole picture"].append(took)
                all_of = len(ANGLES)
                print(
                    f"{kind:12} {module_px:9} {contrast:9}  {read['box']:6} of {all_of * repeats}"
                    f" {read['whole']:12} of {all_of}",
                    flush=True,
                )
    for what, ms in times.items():
        print(f"{what}: median {statistics.median(ms):.0f} ms, longest {max(ms):.0f} ms, of {len(ms)} looks")


if __name__ == "__main__":
    main()
