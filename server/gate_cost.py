"""What a model costs on this machine: CPU time and memory, beside the champion's on the same pictures.

Each model is measured in a process of its own, so that neither pays for the other; on one thread and by CPU time, so
that whatever else runs here counts for neither. Both are computed by torch: the challenger is made ready for a faster
runtime (`server.ready_job`) only once it serves. Both look everywhere: a first look, which spares what depends on the
picture, is settled by itself and judged by what it loses, and a challenger that cannot have one is not refused for it.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from qc.errors import NotFound
from qc.records import Exposure, Inspection, Progress
from server import golden
from server.context import Context
from server.gate_records import Measured
from server.jobs.child import Report

PICTURES = 4
"""Looked at by both; more would only be slower, as the smallest of several times counts."""
SIDE_PX = 1024
"""So much of each side of a picture is looked at: cost grows with the area, and 200 Mpx would take minutes."""
ROUNDS = 3
"""Each picture is looked at so many times, and the fastest counts: what disturbs a measurement only adds to it."""
TO_MB = 1024.0 if sys.platform != "darwin" else 1024.0**2
"""`ru_maxrss` is in KiB on Linux and in bytes on macOS."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one model costs here."""

    cpu_s_per_mpx: float
    memory_mb: float
    """What its process grew by, in 2^20 bytes, from before the model was loaded to its peak."""
    pictures: int


def measure(arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """The child's work: one model on some pictures; returns a `Cost`."""
    import torch

    from qc.frame import decode
    from segmentation.model import load_segmenter
    from server.blobs.opening import open_blobs

    torch.set_num_threads(1)
    blobs = open_blobs(Path(arguments["home"]), str(arguments["blobs"]))
    frames = [decode(blobs.get(key))[:SIDE_PX, :SIDE_PX] for key in arguments["pictures"]]
    before = resident_mb()
    model = replace(load_segmenter(Path(arguments["model"]), device="cpu", threads=1), first_look=None)
    model.segment(frames[0])  # the first look sets things up
    spent = 0.0
    for n, pixels in enumerate(frames):
        report(n / len(frames), "measuring")
        times = []
        for _ in range(ROUNDS):
            started = time.process_time()
            model.segment(pixels)
            times.append(time.process_time() - started)
        spent += min(times)
    megapixels = sum(pixels.shape[0] * pixels.shape[1] for pixels in frames) / 1e6
    grown = max(peak_mb() - before, 0.0)
    return asdict(Cost(round(spent / megapixels, 5), round(grown, 1), len(frames)))


def resident_mb() -> float:
    """Memory of this process now, in 2^20 bytes; where the system does not tell, its peak so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError):
        return peak_mb()
    return pages * resource.getpagesize() / 2**20


def peak_mb() -> float:
    """The most memory that this process ever had, in 2^20 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / TO_MB


def some_pictures(context: Context, session: Session) -> list[str]:
    """Blob keys of the pictures to measure on: golden ones first, as they stay the same, then the newest parts'."""
    keys = [
        str(picture["key"])
        for one in golden.in_force(session)
        for part in golden.parts_of(session, one)
        for picture in part.pictures
    ]
    newest = (
        select(Exposure.original_key)
        .join(Inspection, col(Inspection.id) == col(Exposure.inspection_id))
        .where(Inspection.progress == Progress.DONE, Exposure.original_key != "")
        .order_by(col(Inspection.id).desc())
        .limit(PICTURES)
    )
    keys += list(session.exec(newest))
    return [key for key in dict.fromkeys(keys) if context.blobs.exists(key)][:PICTURES]


def known(session: Session, challenger: str, champion: str) -> dict[str, Cost]:
    """`champion` and `challenger` -> their cost, as measured side by side; raises NotFound where it was not."""
    row = session.get(Measured, (challenger, champion))
    if row is None:
        raise NotFound("the challenger was not measured beside the champion on this machine yet")
    return {name: Cost(**figures) for name, figures in row.figures.items()}
