"""`qc up` with a given network: another server of ours, as a process of its own that a test can stop and kill.

python other_server.py MODEL_FOLDER SECONDS_A_WINDOW
"""

from __future__ import annotations

import functools
import json
import sys
import time
from pathlib import Path

from segmentation.looking import open_look
from segmentation.segmenter import from_card
from server import parts, serving
from server.settings import read_settings

if __name__ == "__main__":
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    network = open_look("onnx", folder, threads=1)

    def look(window):
        time.sleep(seconds)
        return network(window)

    champion = from_card(json.loads((folder / "model.json").read_text()), look, runtime="onnx")
    needed = tuple(one for one in parts.PARTS if one[0] in ("model", "open-inference"))
    parts.start_all = functools.partial(parts.start_all, parts=needed)  # what a plant has besides would take seconds
    serving.create_app = functools.partial(serving.create_app, segmenter=champion)
    sys.exit(serving.serve(read_settings()))
