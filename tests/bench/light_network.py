"""The light network beside the one with ImageNet weights: work, speed, what each learns in equal CPU minutes::

    OMP_NUM_THREADS=1 .venv/bin/python tests/bench/light_network.py ../shared/data/ksdd --minutes 2 --out FILE

Two data sets, split by part: rendered scratches (made here), and the one that is named. Each network learns for
--minutes of processor time on one core: what a step costs it is measured first, so that other work on the machine
takes nothing from either. Both are judged on val, which also settled threshold and calibration, so recall flatters a
little. Speed: whole frames, tiled, in torch and in OpenVINO, float32, processor time. `--teacher` adds a light network
that learns from the other one as well; the minutes of its teacher are not counted, those of asking it are.
"""

from __future__ import annotations

import segmentation  # noqa: F401  # isort: skip - first, it lets smp import torchvision beside a CPU torch

import argparse
import json
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from qc.dataset import open_dataset
from segmentation.config import NETWORKS, TrainConfig
from segmentation.evaluate import evaluate
from segmentation.model import load_network, load_segmenter, read_card
from segmentation.networks import Network
from segmentation.render import render_part
from segmentation.render.write import new_dataset, part_seed, write_png, write_table
from segmentation.runtimes import open_look, write
from segmentation.segmenter import FrameSegmenter, from_card
from segmentation.train import train

FIGURES = ("image_ap", "defect_recall_at_0.1", "defect_recall_at_1", "pixel_f1", "mean_iou")
PROBED_STEPS = 6
"""From these the price of a step is taken; the first two, which load kernels and pictures, left out."""


def scratches(out: Path, *, parts: int, seed: int) -> Path:
    """One view of each of `parts` parts, scratched or not by turns; the last half judges."""
    rows = []
    with new_dataset(out) as folder:
        for number in range(parts):
            planted = ("scratch",) * (number % 2)
            (view,) = render_part(
                part_seed(seed, number), views=("left",), width=768, height=512, defects=planted
            ).views
            name = f"part{number:04d}"
            write_png(folder / "images" / f"{name}.png", view.pixels)
            write_png(folder / "masks" / f"{name}.png", view.mask)
            rows.append({"file": f"{name}.png", "split": "val" if number >= parts // 2 else "train", "part": name})
        write_table(folder, ("file", "split", "part"), rows)
        about = {"name": "rendered scratches", "classes": {1: "scratch"}}
        (folder / "dataset.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
    return out


class Probed(Exception):
    """Enough steps were seen."""


def seconds_a_step(dataset: Path, folder: Path, **choices: Any) -> float:
    """Processor time of one step."""
    seen: list[float] = []

    def watch(share: float, words: str) -> None:
        seen.append(time.process_time())
        if len(seen) == PROBED_STEPS:
            raise Probed

    try:
        train(dataset, folder, steps=1000, progress=watch, **choices)
    except Probed:
        return float(statistics.median(np.diff(seen[1:]).tolist()))
    raise RuntimeError("the run ended before its price was known")


def learn(dataset: Path, out: Path, minutes: float, *, sizes: bool, **choices: Any) -> dict[str, Any]:
    """Train for so many minutes of processor time; figures on val, if asked for also by length (a second look)."""
    price = seconds_a_step(dataset, out.with_name(out.name + "-probed"), **choices)
    steps = max(2, round(60 * minutes / price))
    figures = train(dataset, out, steps=steps, **choices)["figures"]
    row = {"seconds_a_step": round(price, 3), "steps": steps, **{name: figures[name] for name in FIGURES}}
    if sizes:
        row["by_size"] = evaluate(load_segmenter(out, threads=1), open_dataset(dataset), split="val")["by_size"]
    return row


def gflop_per_mpx(network: Network) -> float:
    """Of a square of 512 px; a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.eval()(torch.zeros(1, 3, 512, 512))
    return float(counter.get_total_flops()) / 512**2 / 1e3


def speed(eyes: FrameSegmenter, frame: NDArray[np.uint8], times: int = 3) -> float:
    """Megapixels per second of processor time; the best of a few, after one that does not count."""
    best = float("inf")
    for number in range(times + 1):
        began = time.process_time()
        eyes.segment(frame)
        best = min(best, time.process_time() - began) if number else best
    return frame.size / 1e6 / best


def measured(model: Path, frame: NDArray[np.uint8], folder: Path) -> dict[str, float]:
    """Work, reach and speed of a model."""
    card, network = load_network(model)
    row = {"gflop_per_mpx": gflop_per_mpx(network), "reach_px": card["reach_px"]}
    row["torch_mpx_per_s"] = speed(load_segmenter(model, threads=1), frame)
    folder.mkdir()
    write("openvino", network, load_segmenter(model).stride, folder)
    row["openvino_mpx_per_s"] = speed(
        from_card(card, open_look("openvino", folder, threads=1), runtime="openvino"), frame
    )
    return row


def say(name: str, rows: dict[str, dict[str, Any]]) -> None:
    """A table of who reached what."""
    print(f"\n{name}")
    for who, row in rows.items():
        figures = "  ".join(
            f"{figure} {row[figure]['value']:.2f} ({row[figure]['low']:.2f}-{row[figure]['high']:.2f})"
            for figure in FIGURES
            if row[figure]["value"] is not None
        )
        print(f"{who:12} {row['steps']} steps of {row['seconds_a_step']} s  {figures}")
        lengths = [
            f"{size['from_px']:g} px and more {size['defect_recall_at_1']['value']:.2f} of {size['defects']}"
            for size in row.get("by_size", [])
        ]
        if lengths:
            print(f"{'':12} recall at 1 by length: {', '.join(lengths)}")


def main() -> None:
    """Print the tables, keep them in --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, nargs="?", help="beside the rendered scratches")
    parser.add_argument("--minutes", type=float, default=2.0, help="of processor time for each training (2)")
    parser.add_argument("--parts", type=int, default=96, help="rendered parts; 0 leaves them out (96)")
    parser.add_argument("--networks", nargs="+", default=sorted(NETWORKS, reverse=True), choices=sorted(NETWORKS))
    parser.add_argument("--rate", type=float, help="highest learning rate of the light network; its own")
    parser.add_argument("--teacher", action="store_true", help="a light network that asks the other one, too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mpx", type=float, default=6.0, help="of the frame for the speed; 0 leaves it out (6)")
    parser.add_argument("--out", type=Path, required=True, help="JSON")
    chosen = parser.parse_args()
    if chosen.teacher and "pretrained" not in chosen.networks:
        parser.error("--teacher needs the pretrained network, which teaches")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    report: dict[str, Any] = {"minutes": chosen.minutes, "seed": chosen.seed, "rate": chosen.rate}
    with tempfile.TemporaryDirectory() as work:
        made = scratches(Path(work) / "scratches", parts=chosen.parts, seed=chosen.seed) if chosen.parts else None
        datasets = [d for d in (made, chosen.dataset) if d]
        for dataset in datasets:
            rows = report[open_dataset(dataset).name] = {}
            for name in chosen.networks:
                config = TrainConfig(**({"learning_rate": chosen.rate} if chosen.rate and name == "light" else {}))
                choices = {"seed": chosen.seed, "config": config, "network": NETWORKS[name], "sizes": dataset == made}
                rows[name] = learn(dataset, Path(work) / f"{dataset.name}-{name}", chosen.minutes, **choices)
            if chosen.teacher:
                choices |= {"network": NETWORKS["light"], "teacher": Path(work) / f"{dataset.name}-pretrained"}
                rows["taught"] = learn(dataset, Path(work) / f"{dataset.name}-taught", chosen.minutes, **choices)
            say(f"{open_dataset(dataset).name}, val, {chosen.minutes:g} CPU minutes each", rows)
            chosen.out.write_text(json.dumps(report, indent=1) + "\n")
        if chosen.mpx and datasets:
            side = int((chosen.mpx * 1e6) ** 0.5)
            (view,) = render_part(1, views=("left",), width=1024, height=1024).views
            frame = np.tile(view.pixels, (side // 1024 + 1,) * 2)[:side, :side].copy()
            print(f"\n{frame.size / 1e6:.1f} Mpx, one thread")
            report["speed"] = {}
            for name in chosen.networks:
                model = Path(work) / f"{datasets[0].name}-{name}"
                row = report["speed"][name] = measured(model, frame, Path(work) / f"runtime-{name}")
                stride = read_card(model)["network"]["depth"]
                print(f"{name:12} stride {1 << stride}  " + "  ".join(f"{k} {v:.2f}" for k, v in row.items()))
            chosen.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
