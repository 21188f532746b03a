"""Seen before, and what was it? The defects most like one, with what was said of them. Functions take the session."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlmodel import Session, col, select

from qc.errors import NotFound
from qc.records import Exposure, Inspection
from qc.verdict import Verdict
from server import features
from server.features import Key
from server.features_index import FeatureIndex, Near
from server.features_records import Feature, Suggestion
from server.inspections import newest_decision
from server.process_values import Values, told_of


@dataclass(frozen=True, slots=True)
class Similar:
    """A defect that looks like the one asked about."""

    inspection_id: str
    n: int
    defect: int
    """Place on its image, 0 and up."""
    similarity: float
    """Cosine, in [-1, 1]; 1 is the same."""
    part: str
    station: str
    view: str
    received_at: datetime
    model_class: str
    score: float
    label: str | None
    """What a person drew there: a class; empty for nothing; None where nobody drew."""
    verdict: Verdict | None
    """Of its part, by the model."""
    decision: Verdict | None
    """A person's word on its part, if any."""
    reason: str
    """Why that was decided."""
    bbox: list[int]
    width: int
    """Of its image, px; as `height`."""
    height: int
    picture: bool
    """Is the picture still there?"""
    process: Values = field(default_factory=dict)
    """How its part was made, as far as processes told."""


def similar(session: Session, index: FeatureIndex, key: Key, *, encoder: str, count: int) -> list[Similar]:
    """The `count` defects of other parts most like one, most alike first.

    Raises:
        NotFound: nothing is kept of what the serving model's encoder saw of it.
    """
    found = features.vectors(session, [key], encoder=encoder)
    if key not in found:
        raise NotFound(
            "nothing is kept of what this model's encoder saw of this defect; the features of earlier parts are made "
            "anew after a change of the model (see the jobs)"
        )
    part = session.get(Inspection, key[0])
    near = index.nearest(found[key], 4 * count + 16, but=key)
    told: list[Similar] = []
    for one in near:
        shown = _shown(session, one)
        if shown is not None and (part is None or shown.part != part.part):
            told.append(shown)
        if len(told) == count:
            break
    made = told_of(session, {one.part for one in told})
    return [replace(one, process=made.get(one.part, {})) for one in told]


def suggestions(session: Session, key: Key) -> list[Suggestion]:
    """What quick heads said of a defect, surest first."""
    wanted = select(Suggestion).where(
        Suggestion.inspection_id == key[0], Suggestion.n == key[1], Suggestion.defect == key[2]
    )
    return list(session.exec(wanted.order_by(col(Suggestion.probability).desc())))


def _shown(session: Session, near: Near) -> Similar | None:
    """None for what was erased meanwhile."""
    inspection_id, n, defect = near.key
    inspection, exposure = session.get(Inspection, inspection_id), session.get(Exposure, (inspection_id, n))
    feature = session.get(Feature, near.key)
    if inspection is None or exposure is None or feature is None or defect >= len(exposure.defects):
        return None
    decision = newest_decision(session, inspection_id)
    return Similar(
        inspection_id=inspection_id,
        n=n,
        defect=defect,
        similarity=round(near.similarity, 4),
        part=inspection.part,
        station=inspection.station,
        view=exposure.view,
        received_at=inspection.received_at,
        model_class=feature.kind,
        score=feature.score,
        label=feature.label,
        verdict=inspection.verdict,
        decision=decision.verdict if decision else None,
        reason=decision.reason if decision else "",
        bbox=[int(v) for v in exposure.defects[defect]["bbox"]],
        width=exposure.width,
        height=exposure.height,
        picture=bool(exposure.original_key),
    )
