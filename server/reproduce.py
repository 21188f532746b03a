"""A verdict of last year, made again from its record: the pictures, the model, the product's file, and the runtime.

Each is looked up by the hash that the audit trail has of it. With the same runtime, score and defects must come out to
the last bit; with another one what differs is said, and that the runtime is another one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from qc.errors import Conflict, NotFound
from qc.frame import Frame, decode
from qc.ports import BlobStore, Segmenter
from qc.records import Exposure, Inspection, Progress
from segmentation.records import ModelVersion
from server import judging
from server.audit import AuditEntry, canonical
from server.inspections import exposures_of, get_inspection
from server.models_in_use import Load
from server.policies import Rules, parse_rules


@dataclass(frozen=True, slots=True)
class Reproduced:
    """What came of it."""

    inspection: str
    same_runtime: bool
    differences: list[str] = field(default_factory=list)
    """Each in one sentence; empty: to the last bit."""

    @property
    def exact(self) -> bool:
        """Verdict, score and every defect came out as they were recorded."""
        return not self.differences


def reproduce(session: Session, blobs: BlobStore, home: Path, load: Load, inspection_id: str) -> Reproduced:
    """Judge an inspection again as it was judged.

    Raises:
        NotFound: there is no such inspection, or something that it was made by is gone; it says what.
        Conflict: it was not judged by a model, or its record, a picture, the model or the file was altered.
    """
    inspection, exposures = get_inspection(session, inspection_id), exposures_of(session, inspection_id)
    if inspection.progress != Progress.DONE or inspection.model is None:
        raise Conflict(f"inspection {inspection_id} was not judged by a model: {inspection.problem or 'it waits'}")
    check_record(session, inspection, exposures)
    frames = [_frame(exposure, blobs) for exposure in exposures]
    rules = _rules(inspection, blobs)
    segmenter = _model(session, home, load, inspection.model)
    runtime = judging.runtime_of(segmenter)
    again = judging.judge(frames, segmenter, rules.policy, station=inspection.station)
    differences = []
    if runtime != inspection.runtime:
        differences.append(f"the runtime is {runtime}, where it was {inspection.runtime}")
    if str(again.verdict) != str(inspection.said):
        differences.append(f"the verdict is {again.verdict}, where it was {inspection.said}")
    if again.score != inspection.score:
        differences.append(f"the score is {again.score!r}, where it was {inspection.score!r}")
    for exposure, found in zip(exposures, again.findings, strict=True):
        differences += _compare(exposure, [judging.defect_json(defect) for defect in found.defects])
    return Reproduced(inspection_id, runtime == inspection.runtime, differences)


def check_record(session: Session, inspection: Inspection, exposures: list[Exposure]) -> None:
    """Does the row still say what the audit trail says? Raises Conflict, or NotFound without an entry."""
    wanted = select(AuditEntry).where(AuditEntry.kind == "verdict", AuditEntry.subject == inspection.id)
    entry = session.exec(wanted.order_by(col(AuditEntry.n).desc()).limit(1)).first()
    if entry is None:
        raise NotFound(f"the audit trail has no verdict of inspection {inspection.id}")
    if canonical(judging.verdict_body(inspection, exposures)) != entry.body:
        raise Conflict(
            f"inspection {inspection.id} is not what entry {entry.n} of the audit trail says it was", n=entry.n
        )


def _frame(exposure: Exposure, blobs: BlobStore) -> Frame:
    if not exposure.original_key:
        raise NotFound(f"picture {exposure.n} was kept for its time and is gone (QC_KEEP_OK_DAYS, QC_KEEP_NG_DAYS)")
    data = blobs.get(exposure.original_key)
    if hashlib.sha256(data).hexdigest() != exposure.sha256:
        raise Conflict(f"picture {exposure.n} was altered: it is not the one with SHA-256 {exposure.sha256}")
    return Frame(decode(data), exposure.view, exposure.sha256)


def _rules(inspection: Inspection, blobs: BlobStore) -> Rules:
    import yaml

    if inspection.policy is None:
        raise NotFound(f"inspection {inspection.id} is from before product files were kept; it cannot be made again")
    data = blobs.get(judging.policy_key(inspection.policy))
    if hashlib.sha256(data).hexdigest() != inspection.policy:
        raise Conflict(f"the product's file with SHA-256 {inspection.policy} was altered; restore it from a backup")
    text = data.decode("utf-8")
    return parse_rules(yaml.safe_load(text) or {}, text, where=f"{inspection.product}.yaml")


def _model(session: Session, home: Path, load: Load, model_id: str) -> Segmenter:
    row = session.get(ModelVersion, model_id)
    if row is None:
        raise NotFound(f"the model {model_id} is not in the registry; restore it from a backup")
    segmenter = load(home / row.folder)
    if segmenter.model_id != model_id:
        raise Conflict(f"the folder of {model_id} now holds {segmenter.model_id}; restore it from a backup")
    return segmenter


def _compare(exposure: Exposure, again: list[dict[str, Any]]) -> list[str]:
    """Where an image's defects differ from the recorded ones."""
    was = exposure.defects
    if len(was) != len(again):
        return [f"image {exposure.n} shows {len(again)} defects, where there were {len(was)}"]
    found = []
    for place, (old, new) in enumerate(zip(was, again, strict=True)):
        names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        if names:
            first = names[0]
            found.append(
                f"defect {place} of image {exposure.n}: {first} is {new.get(first)!r}, where it was {old.get(first)!r}"
            )
    return found
