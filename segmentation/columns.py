"""Columns of split.csv beyond the contract's that training understands: confirmed false alarms, and quality of labels.

    file,split,part,false_alarms,label_quality
    a.png,train,p1,10 20 6 5; 300 41 12 12,
    b.png,train,p2,,0.6

`false_alarms`: boxes `x y width height`, parted by `;`, where a model saw a defect and a person said there is none.
`label_quality`: in [0, 1], how far this image's labels are trusted; empty is 1.
"""

from __future__ import annotations

from qc.dataset import FALSE_ALARMS, QUALITY, Sample
from qc.errors import InvalidInput
from qc.geometry import Box


def false_alarms(sample: Sample) -> tuple[Box, ...]:
    """Where people confirmed that nothing is; raises InvalidInput naming the field."""
    boxes = []
    for field in sample.columns.get(FALSE_ALARMS, "").split(";"):
        if not field.strip():
            continue
        try:
            x, y, width, height = (int(n) for n in field.split())
            boxes.append(Box(x, y, width, height))
        except (ValueError, InvalidInput) as error:
            raise InvalidInput(
                f"{sample.image.name}: {FALSE_ALARMS} must hold boxes `x y width height` in whole pixels, "
                f"parted by `;`, not {field.strip()!r}"
            ) from error
    return tuple(boxes)


def label_quality(sample: Sample) -> float:
    """How far the image's labels are trusted, in [0, 1]; raises InvalidInput naming the field."""
    field = sample.columns.get(QUALITY, "").strip()
    try:
        quality = float(field) if field else 1.0
    except ValueError:
        quality = float("nan")
    if not 0 <= quality <= 1:
        raise InvalidInput(f"{sample.image.name}: {QUALITY} must lie in [0, 1], not {field!r}")
    return quality
