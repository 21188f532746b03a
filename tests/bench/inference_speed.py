"""Megapixels per CPU second of one network, computed our way and others', on the same frame in the same run::

    OMP_NUM_THREADS=1 .venv/bin/python tests/bench/inference_speed.py [MODEL] --mpx 24 --samples DATASET [--surface]

The frame is a rendered part, or with `--surface` the data set's own surface with one defective picture in it.

Ours: whole frames tiled with an exact halo, by every runtime that passes the parity gate on the data set's validation
images, `openvino-screened` among them, which computes in float32 where 8 bit may see something; where the model has a
first look (`qc first-look`), each once more with it. Others, in torch: MONAI's sliding window
(gaussian, overlap 0.5), SAHI's slicing (overlap 0.2, where it is installed; `area.py` says how), and a loop over tiles
without overlap, which is fast and wrong at every seam. `peak` is the share of what a large convolution reaches in
float32, in the same run.
"""

from __future__ import annotations

import segmentation  # isort: skip - first, it lets smp import torchvision beside a CPU torch

import argparse
import importlib.util
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from area import sahi_looks
from monai.inferers import sliding_window_inference
from surface import surface
from torch.utils.flop_counter import FlopCounterMode

from qc.dataset import open_dataset
from segmentation.first_look import SURELY, open_first_look
from segmentation.looking import SCREENED
from segmentation.model import first_look_network, load_network
from segmentation.parity import compare_all, pixels_of, refusal
from segmentation.ready import FRAMES_FOR_ROUNDING, telling_windows
from segmentation.render import render_part
from segmentation.runtimes import EXACT, RUNTIMES, open_look, write, write_first_look
from segmentation.samples import MOST_LEARNT, carried, some_of
from segmentation.screening import LEAST_MARGIN, errors_on, screened
from segmentation.segmenter import FrameSegmenter, from_card
from segmentation.torch_look import torch_look

WINDOW = 512
"""Side of the others' tiles, in pixels."""

STRIDE = 32
"""Sides that every network takes are multiples of it, in pixels."""


def frame(mpx: float) -> np.ndarray:
    """A grey frame of one rendered part with its defects and its dirt, three wide by two high."""
    height = int((mpx * 1e6 / 1.5) ** 0.5)
    (view, *_) = render_part(1, width=height * 3 // 2, height=height, defects=("scratch", "pit")).views
    return np.ascontiguousarray(view.pixels if view.pixels.ndim == 2 else view.pixels[..., 0])


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def as_batch(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.repeat(pixels[None, None], 3, axis=1)).float() / 127.5 - 1


def naive(network: torch.nn.Module, pixels: np.ndarray) -> None:
    """Tiles side by side; what lies beyond each is unknown to it. Those at the far sides are smaller."""
    for y in range(0, pixels.shape[0], WINDOW):
        for x in range(0, pixels.shape[1], WINDOW):
            tile = pixels[y : y + WINDOW, x : x + WINDOW]
            tile = np.pad(tile, [(0, -side % STRIDE) for side in tile.shape], mode="edge")
            network(as_batch(tile).to(memory_format=torch.channels_last))


def flops_per_mpx(network: torch.nn.Module) -> float:
    """Of the network on a square of 512 px, scaled to a megapixel; a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, WINDOW, WINDOW))
    return counter.get_total_flops() / (WINDOW * WINDOW / 1e6)


def peak_flops() -> float:
    """What a large convolution reaches here in float32, per CPU second."""
    layer = torch.nn.Conv2d(256, 256, 3, padding=1).to(memory_format=torch.channels_last)
    x = torch.zeros(1, 256, 128, 128).to(memory_format=torch.channels_last)
    layer(x)
    return 5 * 2 * 9 * 256 * 256 * 128 * 128 / cpu_seconds(lambda: [layer(x) for _ in range(5)])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=Path(segmentation.__file__).parent / "starter")
    parser.add_argument("--mpx", type=float, default=24.0)
    parser.add_argument("--samples", type=Path, help="a data set whose val images the verdicts are compared on")
    parser.add_argument("--surface", action="store_true", help="look at a frame of the data set's own surface")
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    card, network = load_network(arguments.model)
    network = network.eval().to(memory_format=torch.channels_last)
    own = from_card(card, torch_look(network, threads=1), runtime="torch")
    first = first_look_network(arguments.model, card)
    data = open_dataset(arguments.samples) if arguments.samples else None
    height = int((arguments.mpx * 1e6 / 1.5) ** 0.5)
    pixels = surface(data, height, height * 3 // 2) if data and arguments.surface else frame(arguments.mpx)
    mpx = pixels.size / 1e6
    frames = data.split("val") if data else carried(arguments.model)
    learnt = some_of(data.split("train"), MOST_LEARNT) if data else frames
    with torch.inference_mode():
        work, peak = flops_per_mpx(network), peak_flops()
        print(f"{mpx:.1f} Mpx; {work / 1e9:.1f} GFLOP a Mpx; a large convolution reaches {peak / 1e9:.0f} GFLOP/s")
        others = {
            "MONAI sliding window": lambda: sliding_window_inference(
                as_batch(pixels), (WINDOW, WINDOW), 4, network, overlap=0.5, mode="gaussian"
            ),
            "loop without overlap": lambda: naive(network, pixels),
        }
        if importlib.util.find_spec("sahi") is None:
            print("SAHI is not installed; see the top of area.py")
        else:
            others["SAHI slicing"] = lambda: sahi_looks(own)(pixels)
        seconds = {name: cpu_seconds(run) for name, run in others.items()}
    monai = seconds["MONAI sliding window"]

    def say(name: str, taken: float, gate: str) -> None:
        share = work * mpx / taken / peak
        print(
            f"{name:24} {mpx / taken:7.2f} Mpx/s  {monai / taken:6.2f} x MONAI  {share:5.2f} of peak  {gate}",
            flush=True,
        )

    for name, taken in seconds.items():
        say(name, taken, "")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.runtimes:
            eyes, gate = ready(name, card, network, own, Path(folder), frames, learnt)
            eyes.segment(pixels)  # in service each frame has these windows, and only the first pays for their memory
            say(f"ours, {name}", cpu_seconds(lambda eyes=eyes: eyes.segment(pixels)), gate)
            if first is None or name == SCREENED:
                continue
            if name == "torch":
                first_look = first.look(threads=1)
            else:
                write_first_look(name, first, Path(folder))
                first_look = open_first_look(name, Path(folder), threads=1)
            sparing = from_card(card, eyes.look, runtime=name, first_look=first_look)
            looked = sparing.segment(pixels).log_odds != np.float16(SURELY)
            taken = cpu_seconds(lambda eyes=sparing: eyes.segment(pixels))
            say(f"{name}, first look", taken, f"{looked.mean():.1%} of the frame looked at; {gate}")
    print(f"largest memory of the run: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def ready(
    name: str,
    card: dict,
    network: torch.nn.Module,
    own: FrameSegmenter,
    folder: Path,
    frames: list,
    learnt: list,
) -> tuple[FrameSegmenter, str]:
    """A runtime at work, and what the parity gate says of it."""
    if name == "torch":
        return own, ""
    write(name, network, own.stride, folder, telling_windows(learnt, own.stride), cells=True)  # as `qc ready` does
    eyes = from_card(card, open_look(name, folder, threads=1), runtime=name)
    errors = None
    if name == SCREENED:
        pixels = [pixels_of(frame) for frame in frames]
        errors = errors_on(screened(eyes, folder, margin=LEAST_MARGIN, threads=1), pixels)
        eyes = screened(eyes, folder, margin=errors.margin, threads=1)
    parity = compare_all(own, {name: eyes}, frames)[name]
    why = refusal(parity, exact=name in EXACT) or (errors.refusal if errors else "")
    asked_for = name not in (*EXACT, SCREENED) and len(frames) < FRAMES_FOR_ROUNDING
    few = f" ({FRAMES_FOR_ROUNDING} are asked for)" if asked_for else ""
    off = f", 8 bit off by {errors.typical:.2f}" if errors else ""
    return eyes, f"gate on {len(frames)} frames{few}: {why or 'same verdicts'}{off}"


if __name__ == "__main__":
    main()
