"""All that was seen of a part, at every station and time, as `qc.part_places` wants it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from labeling.registration import Refusal, register
from qc.defects import CLOSE, Defect, logit
from qc.errors import NotFound, QcError
from qc.geometry import Box
from qc.part_places import Between, Lies, Look
from qc.part_settings import PartSettings
from qc.records import Decision, Exposure, Inspection, Progress
from segmentation.records import ModelVersion
from server.context import Context
from server.inspections import camera_faults
from server.models_in_use import STARTER
from server.retention import GONE
from server.word_records import counts

MOST_INSPECTIONS = 100
"""Of a part that was inspected more often, the newest count."""

MOST_PAIRS = 28
"""Pairs of pictures that are laid on each other for one part, as many as eight views have; it takes a second each. What
is beyond is compared by presence."""

KEPT_PAIRS = 2000
"""Registrations that are remembered; each is a few hundred bytes."""

CERTAIN = 1e-6
"""Stored scores are rounded; nearer to 0 or 1 than this they are so near."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is known of a part."""

    part: str
    product: str
    inspections: tuple[Inspection, ...]
    """Oldest first."""
    looks: tuple[Look, ...]
    """The newest one of each station and view; in the order in which they were taken."""
    exposures: tuple[Exposure, ...]
    """One for each look."""
    replaced: int
    """Older looks, in whose place newer ones count."""
    waiting: int
    """Inspections that are not judged yet."""
    decision: Decision | None
    """The newest word of a person on any of its inspections."""


def newest_of(session: Session, part: str) -> str | None:
    """Id of the newest inspection of a part."""
    wanted = select(Inspection.id).where(Inspection.part == part).order_by(col(Inspection.id).desc()).limit(1)
    return session.exec(wanted).first()


def gather(session: Session, part: str, *, threshold: float) -> Gathered:
    """What was seen of a part; raises NotFound for one that nobody inspected."""
    newest = select(Inspection).where(Inspection.part == part).order_by(col(Inspection.id).desc())
    rows = list(session.exec(newest.limit(MOST_INSPECTIONS)))[::-1]
    if not rows:
        raise NotFound(f"no part {part} was inspected")
    ids = [row.id for row in rows]
    faults = {(look.inspection_id, look.n): look.fault for look in camera_faults(session, ids)}
    exposures: dict[str, list[Exposure]] = {}
    wanted = select(Exposure).where(col(Exposure.inspection_id).in_(ids)).order_by(col(Exposure.n))
    for exposure in session.exec(wanted):
        exposures.setdefault(exposure.inspection_id, []).append(exposure)
    kept: dict[tuple[str, str, int], tuple[Look, Exposure]] = {}
    seen = 0
    for moment, row in enumerate(rows):
        for exposure in exposures.get(row.id, []) if row.progress != Progress.RECEIVED else []:
            fault = faults.get((row.id, exposure.n)) or ("not judged" if row.progress == Progress.FAILED else None)
            place = row.station, exposure.view, 0 if exposure.view else exposure.n
            kept.pop(place, None)  # so that the newest also stands last
            kept[place] = _look(exposure, fault, moment, threshold), exposure
            seen += 1
    said = select(Decision).where(col(Decision.inspection_id).in_(ids), counts()).order_by(col(Decision.id).desc())
    return Gathered(
        part=part,
        product=rows[-1].product,
        inspections=tuple(rows),
        looks=tuple(look for look, _ in kept.values()),
        exposures=tuple(exposure for _, exposure in kept.values()),
        replaced=seen - len(kept),
        waiting=sum(row.progress == Progress.RECEIVED for row in rows),
        decision=session.exec(said.limit(1)).first(),
    )


def _look(exposure: Exposure, fault: str | None, moment: int, threshold: float) -> Look:
    return Look(
        name=f"{exposure.inspection_id}/{exposure.n}",
        view=exposure.view,
        width=exposure.width,
        height=exposure.height,
        defects=() if fault else tuple(_defect(told, threshold) for told in exposure.defects),
        fault=fault,
        moment=moment,
    )


def _defect(told: dict[str, Any], threshold: float) -> Defect:
    """A stored defect; of older rows `close` was not kept, so it is made anew."""
    score = min(max(float(told["score"]), CERTAIN), 1 - CERTAIN)
    length_mm, length_px = told.get("length_mm"), float(told["length_px"])
    return Defect(
        class_id=int(told["class_id"]),
        class_name=str(told["class"]),
        score=score,
        box=Box(*told["bbox"]),
        area_px=int(told["area_px"]),
        length_px=length_px,
        width_px=float(told["width_px"]),
        counts=bool(told["counts"]),
        close=logit(score) >= logit(threshold) - CLOSE,
        outline=tuple(tuple((int(x), int(y)) for x, y in ring) for ring in told.get("outline") or ()),
        mm_per_px=float(length_mm) / length_px if length_mm and length_px else None,
    )


@dataclass(frozen=True, slots=True)
class Known:
    """The model by which a part is judged."""

    model: str
    threshold: float
    settings: PartSettings | None
    """What it learnt about views; None: nothing."""


def known(context: Context, session: Session, model: str | None) -> Known:
    """The model that judged a part last; the serving one where that is gone or none did."""
    serving = context.need_champion()
    if context.segmenter is not None:
        own = context.segmenter
        return Known(own.model_id, own.threshold, getattr(own, "part_settings", None))
    row = session.get(ModelVersion, model) if model else None
    folder = context.settings.home.resolve() / row.folder if row else None
    if folder is None or not folder.is_dir():
        in_use = serving.in_use()
        folder = in_use[1] if in_use else STARTER
    return _read(folder, (folder / "model.json").stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read(folder: Path, changed: int) -> Known:
    from segmentation.model import read_card, read_part_views

    card = read_card(folder)
    return Known(str(card["id"]), float(card["threshold"]), read_part_views(folder, card))


class Registrations:
    """How pictures lie on each other, found once and remembered. For any thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], Lies | None] = OrderedDict()
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        """One at a time: the line's own work goes before, and two who ask for one part need its answer once."""

    def of_part(self, looks: Sequence[Look], exposures: Sequence[Exposure], context: Context) -> Between:
        """A function that says how two looks of one part lie on each other; pictures are read when it must look."""
        pictures = {look.name: exposure for look, exposure in zip(looks, exposures, strict=True)}
        asked = 0

        def between(one: Look, two: Look) -> Lies | None:
            nonlocal asked
            asked += 1
            return self._find(pictures[one.name], pictures[two.name], context) if asked <= MOST_PAIRS else None

        return between

    def _find(self, one: Exposure, two: Exposure, context: Context) -> Lies | None:
        pair = one.sha256, two.sha256
        with self._lock:
            if pair in self._known:
                self._known.move_to_end(pair)
                return self._known[pair]
        if GONE in (one.original_key, two.original_key):
            return None
        with self._looking:
            with self._lock:
                if pair in self._known:
                    return self._known[pair]
            return self._lay(pair, one, two, context)

    def _lay(self, pair: tuple[str, str], one: Exposure, two: Exposure, context: Context) -> Lies | None:
        try:
            pictures = [context.decode(context.blobs.get(each.original_key)) for each in (one, two)]
            answer = register(*pictures)
        except QcError:  # a picture that cannot be read any more lies nowhere; the part is judged all the same
            return None
        found = None if isinstance(answer, Refusal) else Lies(answer.matrix, answer.spread_px)
        with self._lock:
            self._known[pair] = found
            while len(self._known) > KEPT_PAIRS:
                self._known.popitem(last=False)
        return found
