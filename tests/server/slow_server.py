"""`qc up` with a model that takes its time, so that a test can kill the server in the middle of an inspection.

python slow_server.py SECONDS
"""

from __future__ import annotations

import functools
import sys
import time

import numpy as np

from qc.ports import Segmentation
from server import serving
from server.settings import read_settings


class Slow:
    """Calls what is darker than 60 of 255 a pit, after a while."""

    model_id, classes, threshold = "sha256:slow", {1: "pit"}, 0.5
    edge = 0.5

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def segment(self, pixels):
        time.sleep(self.seconds)
        log_odds = np.where(pixels < 60, 5.0, -9.0).astype(np.float16)
        return Segmentation(log_odds, np.ones(pixels.shape, np.uint8))


if __name__ == "__main__":
    serving.create_app = functools.partial(serving.create_app, segmenter=Slow(float(sys.argv[1])))
    sys.exit(serving.serve(read_settings()))
