"""The largest frame that is read, 200 Mpx: decoded, tiled, joined, measured and judged, and what memory that takes."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json
import resource

import cv2
import numpy as np

from qc.frame import Frame, decode
from qc.inspection import inspect
from qc.verdict import Policy
from segmentation.segmenter import FrameSegmenter


def dark(window):
    odds = np.where(window[..., 0] < 80, 8.0, -8.0).astype(np.float32)
    return [odds, np.zeros(odds.shape, np.uint8)]


metal = np.full((10_000, 20_000), 140, np.uint8)
cv2.line(metal, (400, 5000), (19_600, 5000), 20, 6)
metal[9_990:9_996, 19_990:19_996] = 20
frame = Frame(decode(cv2.imencode(".png", metal, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()), "top", "")
eyes = FrameSegmenter(look=dark, classes={1: "scratch"}, reach=200, stride=32)
found = inspect(frame, eyes, Policy(product="plate"))
boxes = [[d.box.x, d.box.y, d.box.width, d.box.height] for d in found.defects]
told = {"verdict": found.verdict, "lengths": [d.length_px for d in found.defects], "boxes": boxes}
print(json.dumps(told | {"kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""
"""A scratch from end to end, through fourteen tiles, and six pixels in the last corner; the network is a threshold."""


def test_a_frame_of_200_mpx_is_judged_whole():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["verdict"] == "ng"
    (left, top, width, height), corner = sorted(told["boxes"])
    assert (left, top) == (397, 4997), "a line of 6 px begins 3 px before its first point"
    assert (width, height) == (19_207, 7), "one scratch, not one for each tile"
    assert corner == [19_990, 9_990, 6, 6]
    assert abs(max(told["lengths"]) - 19_200) < 20
    assert told["kilobytes"] < 4e6, "20 bytes a pixel are enough for the picture, the answer and what is measured"
