"""How fast crops come from 24 Mpx files, and how long training waits for them::

    OMP_NUM_THREADS=1 .venv/bin/python tests/bench/loader.py --mpx 24 --files 8

For each kind of file a data set is written that does not fit the memory cache (which is set to nothing here, so that
every crop is read as it would be from a data set larger than memory). Crops per second: by decoding the whole file for
every crop, as without `segmentation.tile_reader`; and by ours, the first batches, which meet each file for the first
time, apart. Then steps of the default network on a CPU, with batches cut ahead in a second thread as `qc train` does
it: the share of the time that training waited. `same` says that both readings gave the same crops.
"""

from __future__ import annotations

import segmentation  # noqa: F401  # isort: skip - first, it lets smp import torchvision beside a CPU torch

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import tifffile
import torch
import yaml

from qc.dataset import DataSet, Sample, open_dataset
from segmentation import data as reading
from segmentation import tile_reader
from segmentation.config import NetworkConfig, TrainConfig
from segmentation.data import Crops, index
from segmentation.losses import training_loss
from segmentation.networks import build

KINDS = {
    "JPEG": (".jpg", None),
    "PNG": (".png", None),
    "TIFF, uncompressed": (".tif", {}),
    "TIFF, tiles of 256": (".tif", {"tile": (256, 256)}),
    "TIFF, tiles, zlib": (".tif", {"tile": (256, 256), "compression": "zlib"}),
    "TIFF, one zlib strip": (".tif", {"compression": "zlib", "rowsperstrip": 1 << 30}),
}


def write(root: Path, kind: str, files: int, mpx: float) -> DataSet:
    """Grey noise with ten bright lines in each file; all of them train."""
    height, width = int((mpx * 1e6 / 1.5) ** 0.5), int((mpx * 1e6 * 1.5) ** 0.5)
    ending, options = KINDS[kind]
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    random, rows = np.random.default_rng(0), ["file,split"]
    for number in range(files):
        small = random.normal(130, 20, (height // 2 + 1, width // 2 + 1)).astype(np.float32)
        pixels = np.clip(cv2.resize(small, (width, height)), 0, 255).astype(np.uint8)
        mask = np.zeros((height, width), np.uint8)
        for _ in range(10):
            x, y = int(random.integers(50, width - 50)), int(random.integers(50, height - 50))
            cv2.line(pixels, (x - 30, y), (x + 30, y + 8), 240, 3)
            cv2.line(mask, (x - 30, y), (x + 30, y + 8), 1, 3)
        path = root / "images" / f"{number:03}{ending}"
        if options is None:
            cv2.imwrite(str(path), pixels)
        else:
            tifffile.imwrite(path, pixels, **options)
        cv2.imwrite(str(root / "masks" / f"{number:03}.png"), mask)
        rows.append(f"{path.name},train")
    (root / "split.csv").write_text("\n".join(rows) + "\n")
    (root / "dataset.yaml").write_text(yaml.safe_dump({"name": kind, "classes": {1: "scratch"}}))
    return open_dataset(root)


class Whole:
    """As it was: nothing kept, the file and its mask are decoded for every crop."""

    def __init__(self, samples: list[Sample], classes: dict[int, str], **_: object) -> None:
        self._samples, self._classes = samples, classes

    def open(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return reading.to_8bit(self._samples[number].pixels()), self._samples[number].labels(self._classes)


def make_crops(data: DataSet, found: reading.Index, config: TrainConfig, how: type) -> Crops:
    reading.CACHE_BYTES, reading.Pictures = 0, how
    return Crops(
        data.split("train"),
        data.classes,
        found,
        crop_px=config.crop_px,
        batch=config.batch,
        defect_share=config.defect_share,
        seed=0,
    )


def timed(crops: Crops, first: int, count: int) -> tuple[float, list[np.ndarray]]:
    """Crops per second of batches `first` and on, and their pixels."""
    began = time.perf_counter()
    drawn = [crops.draw(n)[0] for n in range(first, first + count)]
    return sum(map(len, drawn)) / (time.perf_counter() - began), drawn


def waiting(crops: Crops, config: TrainConfig, first: int, steps: int) -> tuple[float, float]:
    """Share of the time that training waits for crops, and seconds a step."""
    torch.manual_seed(0)
    net = build(NetworkConfig(), 1).to(memory_format=torch.channels_last).train()
    optimiser, waited = torch.optim.AdamW(net.parameters(), lr=1e-4), 0.0
    with ThreadPoolExecutor(1) as ahead:
        batch = ahead.submit(crops.draw, first)
        batch.result()
        began = time.perf_counter()
        for step in range(first, first + steps):
            asked = time.perf_counter()
            pixels, target, _ = batch.result()
            waited += time.perf_counter() - asked
            batch = ahead.submit(crops.draw, step + 1)
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1.0
            loss = training_loss(net(x), torch.from_numpy(target).long(), config, None)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        whole = time.perf_counter() - began
    return waited / whole, whole / steps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mpx", type=float, default=24.0)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--beside", type=Path, help="folder for the files; default: where large temporary files belong")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config, ours = TrainConfig(), tile_reader.Pictures
    print(
        f"{arguments.files} files of {arguments.mpx:g} Mpx, crops of {config.crop_px} px, {config.batch} a batch\n"
        f"{'':22}{'whole file':>12}{'ours, first':>13}{'ours, then':>12}{'same':>6}{'step':>8}{'waits':>8}   (crops/s)"
    )
    for kind in arguments.kinds:
        with tempfile.TemporaryDirectory(dir=arguments.beside or tile_reader._large_files()) as folder:
            data = write(Path(folder) / "data", kind, arguments.files, arguments.mpx)
            found = index(data.split("train"), data.classes)
            before, expected = timed(make_crops(data, found, config, Whole), 0, 2)
            crops = make_crops(data, found, config, ours)
            first, drawn = timed(crops, 0, 2)
            timed(crops, 2, 2)
            then, _ = timed(crops, 4, 6)
            same = all(np.array_equal(a, b) for a, b in zip(expected, drawn, strict=True))
            share, seconds = waiting(crops, config, 10, arguments.steps)
        print(
            f"{kind:22}{before:12.1f}{first:13.1f}{then:12.1f}{'yes' if same else 'NO':>6}{seconds:6.2f} s{share:8.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
