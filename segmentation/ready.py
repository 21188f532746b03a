"""A model made ready for this machine: the fastest runtime whose verdicts are the model's own.

Every runtime is written, timed and compared on the model's validation frames with what torch says (the parity
gate). One that changes a verdict, or the defects that count, is refused, however fast; one that asks the network only
where 8 bit may see something (`segmentation.screening`) also where 8 bit is off by too much. What was found is kept in
`ready.json`, so that a person can see why this one serves.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.dataset import IGNORE, Sample
from qc.errors import Conflict, InvalidInput
from qc.frame import to_8bit
from qc.progress import Progress
from segmentation.first_look import exactly, open_first_look
from segmentation.first_look_network import FirstLookNetwork
from segmentation.looking import SCREENED, Look
from segmentation.model import first_look_network, load_network, load_segmenter, read_card, read_novelty, replace_folder
from segmentation.parity import LARGEST_STEP, Picture, compare_all, pixels_of, refusal
from segmentation.runtimes import CALIBRATION_PX, EXACT, RUNTIMES, open_look, write, write_first_look
from segmentation.samples import carried
from segmentation.screening import LEAST_MARGIN, Errors, Screen, errors_on, screened
from segmentation.segmenter import FrameSegmenter, from_card
from segmentation.tiled import look_at, window_inside
from segmentation.torch_look import torch_look

CARD = "ready.json"

FORMAT = 4
"""Of what is written: from 2 on the graphs say what the encoder makes of each place, too; from 3 on they compute only
the cells that are asked about; from 4 on a screen is tried."""

MOST_WINDOWS = 64
"""Ranges of 8-bit arithmetic are read from so many windows at most, and runtimes are timed on them."""

FRAMES_FOR_ROUNDING = 50
"""A runtime that rounds (bf16, int8) needs at least so many frames to show that no verdict changes."""

WRITING = 0.3
"""The share of the whole that writing for every runtime is told to be; the rest is comparing."""

DECIDES = 10.0
"""Interest beyond this, either way, is that of a place that every runtime looks at, or none does."""

TIMED_SECONDS = 1.0
"""How long each runtime is timed, of its own CPU time, after a first look that does not count."""


def make_ready(
    folder: Path,
    out: Path,
    *,
    samples: Sequence[Picture] | None = None,
    learnt: Sequence[Picture] = (),
    runtimes: Sequence[str] = RUNTIMES,
    threads: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Find the fastest runtime for the model in `folder`, and write it with its proof into `out`.

    Args:
        folder: the model.
        out: created; replaced if it is there.
        samples: images or frames to compare verdicts on; None: those the model folder carries.
        learnt: images that the model learnt from; 8-bit ranges are read from them, as far as there are any, because
            more of them show defects, and because what proves a runtime should not have made it.
        runtimes: the ones to try, of `segmentation.runtimes.RUNTIMES`; torch is always there to fall back on.
        threads: CPU threads for one frame.
        progress: told how far it is.

    Returns:
        What `ready.json` says: the model, the runtime chosen, and for each one tried its CPU seconds per megapixel,
        what was compared, and why it was refused if it was.

    Raises:
        InvalidInput: an unknown runtime, or nothing to compare on. Conflict: `out` holds something else.
    """
    if unknown := set(runtimes) - set(RUNTIMES):
        raise InvalidInput(f"runtimes are {RUNTIMES}, not {sorted(unknown)}")
    if out.exists() and any(out.iterdir()) and not (out / CARD).is_file():
        raise Conflict(f"{out} is there and holds something else; choose another folder")
    frames: Sequence[Picture] = carried(folder) if samples is None else samples
    if not frames:
        raise InvalidInput("verdicts must be compared on some frames; give samples of the model's validation parts")
    card, network = load_network(folder)
    own = from_card(card, torch_look(network, threads=threads), runtime="torch")
    windows = telling_windows(learnt or frames, own.stride)
    tried: list[dict[str, Any]] = [_timed("torch", own.look, windows)]
    out.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        own_first_look = first_look_network(folder, card)
        looks: dict[str, Look] = {}
        for name in (r for r in runtimes if r != "torch"):
            if why := _not_tried(name, frames, own_first_look):
                tried.append({"runtime": name, "accepted": False, "why": why})
                continue
            if progress:
                progress(WRITING * len(looks) / len(runtimes), f"writing it for {name}")
            write(name, network, own.stride, working, windows, cells=True)
            looks[name] = open_look(name, working, threads=threads)
        apart = _first_looks(own_first_look, looks, working, frames, threads)
        others = {name: from_card(card, look, runtime=name) for name, look in looks.items()}
        errors = None
        if SCREENED in others:
            others[SCREENED], errors = _with_margin(others[SCREENED], working, frames, threads)
        tell = None if progress is None else _rest_of(progress)
        for name, parity in compare_all(own, others, frames, tell).items():
            why = refusal(parity, exact=name in EXACT)
            cost = _timed(name, looks[name], windows)
            if name in apart:
                parity["largest_interest_difference"] = round(apart[name], 6)
                why = why or (
                    f"its first look differs by up to {apart[name]:.3g}" if apart[name] > LARGEST_STEP else ""
                )
            if name == SCREENED and errors is not None:
                parity["screen"] = errors.as_json()
                why = why or errors.refusal
                cost = _with_screen(cost, errors, others[name], windows)
            tried.append({**cost, "accepted": not why, "why": why, "parity": parity})
        best = min((t for t in tried if t["accepted"]), key=lambda t: float(t["cpu_seconds_per_mpx"]))
        said = {"format": FORMAT, "model": card["id"], "runtime": best["runtime"], "threads": threads, "tried": tried}
        (working / CARD).write_text(json.dumps({**said, "machine": machine()}, indent=1) + "\n", encoding="utf-8")
        replace_folder(working, out)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    if progress:
        progress(1.0, f"{best['runtime']} serves")
    return said


def _not_tried(name: str, frames: Sequence[Picture], first_look: FirstLookNetwork | None) -> str:
    """Why a runtime is not even tried; empty if it is."""
    if name == SCREENED:
        return "the model has a first look of its own" if first_look is not None else ""
    if name in EXACT or len(frames) >= FRAMES_FOR_ROUNDING:
        return ""
    why = f"it rounds, and {len(frames)} frames are too few to show that no verdict changes"
    return f"{why}; give {FRAMES_FOR_ROUNDING}"


def _with_margin(
    eyes: FrameSegmenter, folder: Path, frames: Sequence[Picture], threads: int
) -> tuple[FrameSegmenter, Errors]:
    """`eyes` behind a screen whose margin is what its errors on the frames ask for."""
    errors = errors_on(screened(eyes, folder, margin=LEAST_MARGIN, threads=threads), map(pixels_of, frames))
    return screened(eyes, folder, margin=errors.margin, threads=threads), errors


def _with_screen(
    exact: dict[str, Any], errors: Errors, eyes: FrameSegmenter, windows: Sequence[NDArray[np.uint8]]
) -> dict[str, Any]:
    """What clean surface costs: 8 bit everywhere, and float32, which costs `exact`, where 8 bit sees something in vain.

    Not what the frames cost: a model carries crops round defects, and most of what a line shows is clean.
    """
    assert isinstance(eyes.first_look, Screen)
    glance = _timed(SCREENED, eyes.first_look.look, windows)["cpu_seconds_per_mpx"]
    spent = glance + errors.work(eyes) * exact["cpu_seconds_per_mpx"]
    return {**exact, "cpu_seconds_per_mpx": round(spent, 4), "of_these_in_8_bit": glance}


def _first_looks(
    network: FirstLookNetwork | None,
    runtimes: Iterable[str],
    folder: Path,
    frames: Sequence[Picture],
    threads: int,
) -> dict[str, float]:
    """The first look written for each of `runtimes`, and how far its interest is from torch's on the frames.

    What is far above or below 0 may differ more, as it decides nothing.
    """
    if network is None:
        return {}
    for name in runtimes:
        write_first_look(name, network, folder)
    own = network.look(threads=threads)
    others = {exactly(name): open_first_look(name, folder, threads=threads) for name in runtimes}
    apart = dict.fromkeys(others, 0.0)
    for picture in frames:
        pixels = to_8bit(pixels_of(picture))
        said = np.clip(own.interest(pixels), -DECIDES, DECIDES)
        for name, other in others.items():
            differs = np.abs(np.clip(other.interest(pixels), -DECIDES, DECIDES) - said)
            apart[name] = max(apart[name], float(differs.max()))
    return {name: apart[exactly(name)] for name in runtimes}


def _rest_of(progress: Progress) -> Progress:
    return lambda share, words: progress(WRITING + (1 - WRITING) * share, words)


def is_ready(folder: Path, ready: Path) -> bool:
    """Whether `ready` holds the model in `folder`, made ready on a machine like this one."""
    try:
        _read(folder, ready)
    except InvalidInput:
        return False
    return True


def open_ready(
    folder: Path, ready: Path, *, threads: int | None = None, runtime: str = "", at_once: int = 1
) -> FrameSegmenter:
    """The model in `folder` with the runtime that `make_ready` chose, or another one that it accepted.

    Args:
        threads, at_once: as in `segmentation.looking.open_look`; torch computes one window at a time.

    Raises:
        InvalidInput: `ready` is of another model, of another machine, or damaged; or that runtime was not accepted.
    """
    card, said = _read(folder, ready)
    chosen = runtime or str(said["runtime"])
    found = {str(one["runtime"]): one for one in said.get("tried", ())}
    if chosen != said["runtime"] and not found.get(chosen, {}).get("accepted"):
        raise InvalidInput(f"{chosen} may not compute this model here: {found.get(chosen, {}).get('why', 'not tried')}")
    if chosen == "torch":
        return load_segmenter(folder, threads=threads)
    look = open_look(chosen, ready, threads=threads, at_once=at_once)
    first_look = open_first_look(chosen, ready, threads=threads) if "first_look" in card else None
    eyes = from_card(card, look, runtime=chosen, novelty=read_novelty(folder, card), first_look=first_look)
    if chosen != SCREENED:
        return eyes
    margin = float(found[SCREENED]["parity"]["screen"]["margin"])
    return screened(eyes, ready, margin=margin, threads=threads, at_once=at_once)


def tried(folder: Path, ready: Path) -> tuple[str, list[dict[str, Any]]]:
    """The runtime that `make_ready` chose for the model in `folder`, and each it tried, as it says them.

    Raises:
        InvalidInput: `ready` is of another model, of another machine, or damaged.
    """
    _, said = _read(folder, ready)
    return str(said["runtime"]), list(said.get("tried", ()))


def _read(folder: Path, ready: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's card and what `make_ready` wrote; raises InvalidInput where they do not belong together."""
    card = read_card(folder)
    try:
        said = json.loads((ready / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{ready} cannot be read: {error}") from error
    if said.get("format") != FORMAT or said.get("model") != card["id"] or said.get("machine") != machine():
        raise InvalidInput(f"{ready} was made for another model, machine or version; make it ready again")
    return card, said


def machine() -> str:
    """A short word for what decides which runtime is fastest here: processor and versions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        processor = next((li.split(":", 1)[1].strip() for li in lines if li.startswith(("model name", "flags"))), "")
    except OSError:
        processor = platform.processor()
    said = [platform.machine(), processor, *(version(p) for p in ("torch", "onnxruntime", "openvino"))]
    return hashlib.sha256("|".join(said).encode()).hexdigest()[:12]


def telling_windows(frames: Sequence[Picture], stride: int) -> list[NDArray[np.uint8]]:
    """`H x W x 3` each, at most `MOST_WINDOWS` of at most `CALIBRATION_PX`: round a defect that somebody drew, if any.

    Half of them show defects, as far as there are so many: 8-bit ranges read from clean surface alone cut off what the
    network says of a defect.
    """
    places = [(frame, _drawn(frame)) for frame in frames]
    drawn, others = ([p for p in places if (p[1] is None) == clean] for clean in (False, True))
    defects = min(len(drawn), max(MOST_WINDOWS // 2, MOST_WINDOWS - len(others)))
    windows = []
    for frame, place in [*drawn[:defects], *others[: MOST_WINDOWS - defects]]:
        pixels = pixels_of(frame)
        window = window_inside(pixels.shape, CALIBRATION_PX, stride, place)
        windows.append(look_at(to_8bit(pixels), window))
    return windows


def _drawn(frame: Picture) -> tuple[int, int] | None:
    """Row and column of a pixel in the midst of those that somebody drew on this image; None if there are none."""
    if not isinstance(frame, Sample) or frame.mask is None:
        return None
    mask = cv2.imread(str(frame.mask), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise InvalidInput(f"mask {frame.mask.name} is damaged or not there")
    rows, columns = np.nonzero((mask > 0) & (mask != IGNORE))
    return (int(rows[len(rows) // 2]), int(columns[len(rows) // 2])) if len(rows) else None


def _timed(name: str, look: Callable[[NDArray[np.uint8]], Any], windows: Sequence[NDArray[np.uint8]]) -> dict[str, Any]:
    look(windows[0])
    began, px, number = time.process_time(), 0, 0
    while time.process_time() - began < TIMED_SECONDS:
        window = windows[number % len(windows)]
        look(window)
        px, number = px + window.shape[0] * window.shape[1], number + 1
    seconds = (time.process_time() - began) / (px / 1e6)
    return {"runtime": name, "accepted": True, "why": "", "cpu_seconds_per_mpx": round(seconds, 4)}
