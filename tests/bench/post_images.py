"""Post every image of one split of a data set to a running server, as a camera would, and say how it judged.

    .venv/bin/python tests/bench/post_images.py DATASET --key KEY [--url URL] [--split val] [--station NAME]

Prints, beside the truth of the masks: how many parts with and without a defect were called ok, review and ng, the
time from request to answer, and the megapixels a second. Trigger ids come from the file names, so that a second
run gets the first run's answers and stores nothing twice.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
from rich.progress import track

from qc.dataset import IGNORE, Sample, open_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--key", required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--split", default="val")
    parser.add_argument("--station", default="bench")
    arguments = parser.parse_args()
    data = open_dataset(arguments.dataset)
    samples = data.split(arguments.split)
    verdicts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    seconds, megapixels = [], 0.0
    with httpx.Client(
        base_url=arguments.url, headers={"Authorization": f"Bearer {arguments.key}"}, timeout=120
    ) as server:
        for sample in track(samples, description=f"{data.name} {arguments.split}"):
            begun = time.perf_counter()
            inspection = post(server, sample, station=arguments.station)
            seconds.append(time.perf_counter() - begun)
            megapixels += sum(image["width"] * image["height"] for image in inspection["images"]) / 1e6
            labels = sample.labels(data.classes)
            verdicts[bool(((labels > 0) & (labels != IGNORE)).any())][inspection["verdict"]] += 1
    for defective, counts in verdicts.items():
        shown = "  ".join(f"{name} {counts[name]:4d}" for name in ("ok", "review", "ng"))
        print(f"{'with a defect' if defective else 'clean':14s} {sum(counts.values()):4d}:  {shown}")
    p50, p95 = np.percentile(seconds, [50, 95])
    print(f"request to answer: p50 {p50:.3f} s, p95 {p95:.3f} s; {megapixels / sum(seconds):.2f} Mpx a second")


def post(server: httpx.Client, sample: Sample, *, station: str) -> dict:
    """One inspection; raises with the server's own words where it refuses."""
    answer = server.post(
        "/api/v1/inspections",
        files={"image": (sample.image.name, sample.image.read_bytes())},
        data={"part": sample.part, "station": station, "view": sample.view, "trigger_id": sample.name},
    )
    if answer.is_error:
        raise SystemExit(f"{sample.image.name}: {answer.status_code} {answer.text}")
    return answer.json()


if __name__ == "__main__":
    main()
