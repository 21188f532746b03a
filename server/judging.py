"""One inspection, judged and recorded in one transaction. The inspector decides when; this is what."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray
from sqlmodel import Session, col, select

from qc.defects import Defect
from qc.errors import NotFound, QcError, Unavailable
from qc.frame import Frame
from qc.inspection import Findings, inspect
from qc.ports import BlobStore, Segmenter
from qc.records import Exposure, Inspection, Progress
from qc.verdict import Policy, Verdict, worst
from server import audit, features, modes
from server.context import Context, Decode
from server.db import after_commit, at_the_end
from server.features_records import Suggestion
from server.gate_records import StationMode
from server.inspections import exposures_of, get_inspection, in_short
from server.modes import Mode
from server.orders import Rows, nobody
from server.policies import Rules
from server.sparse_png import sparse_png
from server.tracing import traced
from server.watch_records import CameraLook

log = structlog.get_logger(__name__)

First = Callable[[Inspection, Sequence[Exposure]], None]


@dataclass(frozen=True, slots=True)
class Said:
    """What a quick head says of a defect."""

    n: int
    """Which image."""
    defect: int
    """Place in the image's defects."""
    head: str
    """Its id."""
    name: str
    """Its class."""
    probability: float
    moved: bool
    """It sends a part to review that the model calls ok."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be recorded about an inspection."""

    verdict: Verdict
    score: float
    """The worst of its images', in [0, 1]."""
    model: str
    findings: tuple[Findings, ...]
    """One for each image."""
    runtime: str = "torch"
    """What computed the model (`segmentation.runtimes`)."""
    suggestions: tuple[Said, ...] = ()
    """What quick heads say of its defects."""


@dataclass(frozen=True, slots=True)
class MadeBy:
    """By what a verdict was made, besides the model: enough to make it again years later."""

    policy: str
    """SHA-256 of the product's file; the file itself is kept under `policy_key`."""
    runtime: str
    """What computed the model, with its version."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a model said of a part, and what made it."""

    judgement: Judgement
    segmenter: Segmenter
    rules: Rules


def made_by(segmenter: Segmenter, rules: Rules, blobs: BlobStore) -> MadeBy:
    """What is to be recorded of how a verdict was made; the product's file is kept as it is now, once."""
    blobs.keep(policy_key(rules.sha256), rules.text.encode())
    return MadeBy(rules.sha256, runtime_of(segmenter))


def policy_key(sha256: str) -> str:
    """Where the text of a product's file is kept by which verdicts were made."""
    return f"policies/{sha256[:2]}/{sha256}.yaml"


def runtime_of(segmenter: Segmenter) -> str:
    """What computes a model, with version and processor: another one may differ in the last bits of a score."""
    names = str(getattr(segmenter, "runtime", "torch")).split(" + ")  # two where both engines answered frames of it
    return " + ".join(name if name.startswith("remote ") else _with_version(name) for name in names)


def _with_version(name: str) -> str:
    package = next((p for p in ("openvino", "onnxruntime", "torch") if name.startswith(p[:4])), "torch")
    return f"{name} ({package} {_version(package)}, {platform.machine()})"


@cache
def _version(package: str) -> str:
    return version(package)


@traced("model.look")
def judge(frames: list[Frame], segmenter: Segmenter, policy: Policy, *, station: str) -> Judgement:
    """Look at every image of a part; the part's verdict is the worst of its views'."""
    findings = tuple(inspect(frame, segmenter, policy, station=station) for frame in frames)
    return Judgement(
        verdict=worst(found.verdict for found in findings),
        score=max(found.score for found in findings),
        model=segmenter.model_id,
        findings=findings,
        runtime=str(getattr(segmenter, "runtime", "torch")),
    )


def frames_of(exposures: list[Exposure], blobs: BlobStore, decode: Decode) -> list[Frame]:
    """The stored pictures of an inspection, decoded anew; raises Unavailable for one that is not what was received."""
    return [Frame(decode(received(exposure, blobs)), exposure.view, exposure.sha256) for exposure in exposures]


def received(exposure: Exposure, blobs: BlobStore) -> bytes:
    """A stored picture's bytes; raises Unavailable where they are not what was received."""
    data = blobs.get(exposure.original_key)
    if hashlib.sha256(data).hexdigest() != exposure.sha256:
        raise Unavailable(f"the stored picture {exposure.original_key} is damaged: its SHA-256 differs")
    return data


def store_instances(found: Findings, inspection_id: str, n: int, blobs: BlobStore) -> str | None:
    """Store which pixel belongs to which defect, as a 16-bit PNG; None when there is no defect."""
    if not found.defects:
        return None
    png = sparse_png(found.instances, [(defect.box.y, defect.box.bottom) for defect in found.defects])
    key = f"instances/{inspection_id[-2:]}/{inspection_id}-{n}.png"
    blobs.put(key, png)
    return key


def read_instances(exposure: Exposure, blobs: BlobStore) -> NDArray[np.uint16]:
    """`H x W`: 0 background, else 1 + the place of the pixel's defect in `exposure.defects`."""
    if exposure.instances_key is None:
        return np.zeros((exposure.height, exposure.width), np.uint16)
    stored = cv2.imdecode(np.frombuffer(blobs.get(exposure.instances_key), np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise Unavailable(f"the stored mask {exposure.instances_key} is damaged")
    return stored.astype(np.uint16, copy=False)


def defect_json(defect: Defect) -> dict[str, Any]:
    """A defect as it is stored."""
    return {**defect.as_json(), "counts": defect.counts, "outline": [list(map(list, r)) for r in defect.outline]}


@traced("verdict.record")
def record_judgement(
    context: Context,
    inspection_id: str,
    judgement: Judgement,
    keys: list[str | None],
    *,
    elapsed_ms: Callable[[], float],
    looks: Sequence[CameraLook] = (),
    made_by: MadeBy | None = None,
    first: First = nobody,
    stored: Rows | None = None,
) -> Inspection | None:
    """Verdict, defects, audit entry and whatever hooks want, in one transaction. None: it was already judged.

    The line is told what its station's mode allows (`server.modes`); the model's own word is kept beside.

    Args:
        elapsed_ms: asked once the database is ours, since that may take its time; raises where it is too late by then.
        first: told once it is committed, before anybody else.
        stored: its rows, so that they need not be read again; they belong to nobody else from now on.
    """
    with context.database.write() as session:
        inspection = _write(
            context,
            session,
            inspection_id,
            judgement,
            keys,
            elapsed_ms=elapsed_ms,
            looks=looks,
            made_by=made_by,
            first=first,
            stored=stored,
        )
        if inspection is not None:
            session.commit()
        return inspection


def rehearse(
    context: Context, rows: Rows, judgement: Judgement, *, looks: Sequence[CameraLook], made_by: MadeBy
) -> None:
    """Store a part and record its verdict as `record_judgement` does, in a transaction that is rolled back."""
    with context.database.write() as session:
        session.add(rows.inspection)
        session.flush()
        session.add_all(rows.exposures)
        session.flush()
        _write(
            context,
            session,
            rows.inspection.id,
            judgement,
            [None] * len(rows.exposures),
            elapsed_ms=lambda: 0.0,
            looks=looks,
            made_by=made_by,
            first=nobody,
            stored=rows,
        )
        at_the_end(session)
        session.rollback()


def _write(
    context: Context,
    session: Session,
    inspection_id: str,
    judgement: Judgement,
    keys: list[str | None],
    *,
    elapsed_ms: Callable[[], float],
    looks: Sequence[CameraLook],
    made_by: MadeBy | None,
    first: First,
    stored: Rows | None,
) -> Inspection | None:
    """What `record_judgement` says, up to the commit."""
    mode = _mode_to_judge(session, inspection_id)
    if mode is None:
        return None
    inspection, exposures = _rows(session, inspection_id) if stored is None else _attached(session, stored)
    after_commit(session, lambda: first(inspection, exposures))
    for exposure, found, key in zip(exposures, judgement.findings, keys, strict=True):
        exposure.instances_key, exposure.score, exposure.verdict = key, found.score, found.verdict
        exposure.defects = [defect_json(defect) for defect in found.defects]
    inspection.progress = Progress.DONE
    inspection.verdict, inspection.score = judgement.verdict, judgement.score
    inspection.model, inspection.elapsed_ms = judgement.model, round(elapsed_ms(), 1)
    if made_by is not None:
        inspection.policy, inspection.runtime = made_by.policy, made_by.runtime
    modes.hold_back(inspection, mode)
    session.add_all(looks)
    _keep_features(session, inspection, exposures, judgement)
    _seal(session, inspection, exposures, at=context.now())
    _run_hooks(context, session, inspection, exposures)
    context.events.on_commit(session, "inspection", in_short(inspection, images=len(exposures)))
    return inspection


def record_failure(
    context: Context,
    inspection_id: str,
    error: Exception,
    *,
    elapsed_ms: float,
    looks: Sequence[CameraLook] = (),
    first: First = nobody,
) -> Inspection | None:
    """It could not be inspected: a person should look, so the verdict is `review`. None: it was already judged.

    A station with a decide-by time has a line that waits for nobody: there it is `ng`, but for a camera's fault.

    Args:
        error: why; a camera fault is told as `CameraFault`.
        looks: what its pictures told about their cameras.
        first: told once it is committed, before anybody else.
    """
    problem = error.message if isinstance(error, QcError) else f"{type(error).__name__}: {error}"
    with context.database.write() as session:
        mode = _mode_to_judge(session, inspection_id)
        if mode is None:
            return None
        inspection, exposures = _rows(session, inspection_id)
        inspection.progress, inspection.problem = Progress.FAILED, problem[:1000]
        inspection.elapsed_ms = round(elapsed_ms, 1)
        in_time = context.settings.decide_by_of(inspection.station) is not None and not isinstance(error, CameraFault)
        inspection.verdict = Verdict.NG if in_time else Verdict.REVIEW
        modes.hold_back(inspection, mode)
        session.add_all(looks)
        after_commit(session, lambda: first(inspection, exposures))
        _seal(session, inspection, exposures, at=context.now())
        _run_hooks(context, session, inspection, exposures)
        context.events.on_commit(session, "inspection", in_short(inspection, images=len(exposures)))
        session.commit()
        return inspection


def _mode_to_judge(session: Session, inspection_id: str) -> Mode | None:
    """The mode in which an inspection's station works, its row locked against other servers until the transaction ends;
    None: it was judged before. One statement, as a line waits for it. Raises NotFound."""
    of_it = select(Inspection.progress, StationMode.mode).outerjoin(
        StationMode, col(StationMode.station) == Inspection.station
    )
    wanted = of_it.where(Inspection.id == inspection_id).with_for_update(of=col(Inspection.id))
    found = session.connection().execute(wanted).first()
    if found is None:
        raise NotFound(f"there is no inspection {inspection_id}")
    progress, mode = found
    if progress != Progress.RECEIVED:
        return None
    return Mode.DECIDE if mode is None else Mode(mode)


def _rows(session: Session, inspection_id: str) -> tuple[Inspection, list[Exposure]]:
    return get_inspection(session, inspection_id), exposures_of(session, inspection_id)


def _attached(session: Session, stored: Rows) -> tuple[Inspection, list[Exposure]]:
    session.add_all([stored.inspection, *stored.exposures])
    return stored.inspection, stored.exposures


def verdict_body(inspection: Inspection, exposures: list[Exposure]) -> dict[str, object]:
    """What the audit trail keeps of a verdict, made from the rows; `audit.verify` makes it again and compares."""
    told: dict[str, object] = {
        "part": inspection.part,
        "station": inspection.station,
        "product": inspection.product,
        "progress": str(inspection.progress),
        "verdict": str(inspection.verdict),
        "score": inspection.score,
        "model": inspection.model,
        "images": [exposure.sha256 for exposure in exposures],
    }
    if inspection.mode != Mode.DECIDE:  # entries from before there were modes stay as they are
        told |= {"mode": inspection.mode, "model_verdict": inspection.model_verdict}
    if inspection.policy is not None:
        told |= {"policy": inspection.policy, "runtime": inspection.runtime}
    return told


class CameraFault(Unavailable):
    """The camera failed, so that nothing can be said about the part."""


def _keep_features(session: Session, inspection: Inspection, exposures: list[Exposure], judgement: Judgement) -> None:
    found = [one.features for one in judgement.findings]
    if not judgement.suggestions and all(one is None for one in found):
        return
    try:
        with session.begin_nested():
            made_by = {"encoder": judgement.model, "runtime": judgement.runtime}
            features.keep(session, inspection, exposures, found, **made_by, new=True)
            for said in judgement.suggestions:
                session.add(
                    Suggestion(
                        inspection_id=inspection.id,
                        n=said.n,
                        defect=said.defect,
                        head_id=said.head,
                        name=said.name,
                        probability=said.probability,
                        moved=said.moved,
                    )
                )
    except Exception as error:  # a verdict must not be lost because its features could not be kept
        log.error("features could not be kept", inspection=inspection.id, exc_info=error)


def _run_hooks(context: Context, session: Session, inspection: Inspection, exposures: list[Exposure]) -> None:
    for hook in context.after_inspection:
        try:
            with session.begin_nested():
                hook(session, inspection, exposures)
        except Exception as error:  # a verdict must not be lost because a label task could not be opened
            log.error("a hook after the inspection failed", inspection=inspection.id, exc_info=error)


def _seal(session: Session, inspection: Inspection, exposures: list[Exposure], *, at: datetime) -> None:
    audit.record(session, "verdict", inspection.id, verdict_body(inspection, exposures), by="server", at=at)
