"""How much of what a plant needs: parts a day times views times megapixels -> cores, disk, network."""

from __future__ import annotations

from dataclasses import dataclass

from qc.errors import InvalidInput

MPX_A_CORE_SECOND = {"torch": 0.85, "onnx": 2.72, "openvino": 3.85}
"""Megapixels that one core looks at in a second, with the pretrained network at the same verdicts: measured by
`tests/bench/inference_speed.py MODEL --mpx 24 --samples ksdd` (one thread of a server's core, nothing beside it)."""

BUSY = 0.6
"""Share of the time that the cores may be busy in the busiest hour. Parts do not come evenly: with random
arrivals and one server the mean wait is BUSY / (1 - BUSY) / 2 = 0.75 times the time of one inspection (Pollaczek and
Khinchine, equal times), and grows without bound towards 1."""


@dataclass(frozen=True, slots=True)
class Plant:
    """What a plant makes."""

    parts_a_day: float
    views: int
    """Images of one part."""
    mpx: float
    """Megapixels of one image."""
    hours: float = 16.0
    """In which a day's parts come."""
    peak: float = 1.5
    """Parts of the busiest hour over those of a mean one."""
    mb_a_mpx: float = 0.25
    """10^6 bytes of a stored megapixel. 0.24 was measured for JPEG of quality 90 of a metal surface at 12 Mpx; others
    take more. Yours: size of a picture over its megapixels."""
    keep_days: float = 365.0
    """How long pictures are kept (QC_KEEP_OK_DAYS, QC_KEEP_NG_DAYS)."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What that takes."""

    part_s: float
    """Core seconds of one part."""
    cores: float
    """Of inspecting, in the busiest hour, at most `BUSY`. Training comes on top: one core at least, in the pauses."""
    disk_gb: float
    """10^9 bytes of pictures, after `keep_days`; the backup takes as much again."""
    network_mbit: float
    """10^6 bits a second from the cameras, in the busiest hour."""


def needs(plant: Plant, *, runtime: str = "openvino") -> Needs:
    """Cores, disk and network for a plant.

    part_s = views x mpx / speed; cores = parts a second in the busiest hour x part_s / BUSY;
    disk = parts a day x views x mpx x mb_a_mpx x keep_days; network = parts a second x views x mpx x mb_a_mpx x 8.

    Raises:
        InvalidInput: a quantity is not above 0, or nobody measured this runtime.
    """
    quantities = (plant.parts_a_day, plant.views, plant.mpx, plant.hours, plant.peak, plant.mb_a_mpx, plant.keep_days)
    if not all(quantity > 0 for quantity in quantities) or plant.hours > 24:
        raise InvalidInput("every quantity of a plant must be above 0, and a day has at most 24 hours")
    if runtime not in MPX_A_CORE_SECOND:
        raise InvalidInput(f"the runtime is one of {', '.join(MPX_A_CORE_SECOND)}, not {runtime}")
    area = plant.views * plant.mpx
    part_s = area / MPX_A_CORE_SECOND[runtime]
    a_second = plant.parts_a_day * plant.peak / (plant.hours * 3600)
    return Needs(
        part_s=part_s,
        cores=a_second * part_s / BUSY,
        disk_gb=plant.parts_a_day * area * plant.mb_a_mpx * plant.keep_days / 1000,
        network_mbit=a_second * area * plant.mb_a_mpx * 8,
    )
