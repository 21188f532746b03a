"""A model looks at the golden parts: the challenger before it may serve, the champion every shift.

A durable job. A champion is asked as it serves, each about the products that it serves; a challenger is loaded for it.
It waits while a part waits for its verdict. What the model gets wrong is stored; a champion that errs beyond the bounds
of the product's file raises an alarm.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from qc.errors import Conflict, Unavailable
from qc.frame import Frame
from qc.ports import BlobStore, Segmenter
from qc.verdict import Verdict
from segmentation.records import ModelVersion
from server import alarms, audit, gate, gate_jobs, golden, golden_needs, judging, registry
from server.context import Context, Decode
from server.golden_records import GoldenLook, GoldenPart, GoldenSet
from server.jobs.runner import JobRun
from server.policies import Rules

ALARM = "golden"
IDLE_S = 0.05
"""Between two looks whether the line needs the machine."""

LoadModel = Callable[[Context, ModelVersion], Segmenter]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a model said of one golden part."""

    place: int
    truth: str
    verdict: str
    score: float

    @property
    def wrong(self) -> str:
        """`escape`: it is not good and would pass; `false_reject`: it is ok and would not pass; empty: right."""
        passed = self.verdict == Verdict.OK
        if passed == (self.truth == Verdict.OK):
            return ""
        return "escape" if passed else "false_reject"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "place": self.place,
            "truth": self.truth,
            "verdict": self.verdict,
            "score": self.score,
            "wrong": self.wrong,
        }


def job(context: Context, run: JobRun, load: LoadModel | None = None) -> dict[str, Any]:
    """Look at the golden parts of every product; each version is stored as soon as it is through.

    Args:
        load: how a model that does not serve is loaded; None: from its folder, on one thread.
    """
    wanted = run.arguments.get("model")
    with context.database.read() as session:
        row = registry.get(session, wanted) if wanted else None
        if not golden.in_force(session):
            return {"waits": "no product has golden parts"}
    if row is None:
        told = look_as_served(context, run, why=str(run.arguments["why"]))
        with context.database.write() as session:
            if gate_jobs.ask_missing(context, session):  # challengers, too, by the products' files as they are now
                session.commit()
        return {"model": context.need_champion().serving().model_id, "products": told}
    segmenter = (load or load_model)(context, row)
    told = look_at_all(context, run, segmenter, why=str(run.arguments["why"]))
    with context.database.write() as session:
        gate.act_for(context, session, segmenter.model_id)
        session.commit()
    return {"model": segmenter.model_id, "products": told}


def look_at_all(context: Context, run: JobRun, segmenter: Segmenter, *, why: str) -> dict[str, str]:
    """Let a model look at every product's golden parts, and store what it said; product -> words."""
    sets = _in_force(context)
    told = {}
    for n, (one, parts) in enumerate(sets):
        run.report(n / len(sets), f"{one.product}: {len(parts)} golden parts")
        told[one.product] = golden_needs.words(_looked(context, run, one, parts, segmenter, why=why))
    return told


def look_as_served(context: Context, run: JobRun, *, why: str) -> dict[str, str]:
    """Let the champion of each product look at its golden parts, all of them if stations have models of their own;
    product -> words. Raises Unavailable, after all others have looked, where one cannot be loaded."""
    sets = _in_force(context)
    told, missing = {}, None
    for n, (one, parts) in enumerate(sets):
        run.report(n / len(sets), f"{one.product}: {len(parts)} golden parts")
        try:
            serving = _serving(context, one, parts)
        except Unavailable as error:
            missing = error
            continue
        kept = [_looked(context, run, one, parts, segmenter, why=why) for segmenter in serving]
        told[one.product] = "; ".join(golden_needs.words(look) for look in kept)
    if missing is not None:
        raise missing
    return told


def _in_force(context: Context) -> list[tuple[GoldenSet, list[GoldenPart]]]:
    with context.database.read() as session:
        return [(one, golden.parts_of(session, one)) for one in golden.in_force(session)]


def _serving(context: Context, one: GoldenSet, parts: list[GoldenPart]) -> list[Segmenter]:
    """The models that serve a product at the stations of its golden parts; raises Unavailable."""
    champion = context.need_champion()
    found = [champion.serving(one.product, station) for station in sorted({part.station for part in parts})]
    return list({segmenter.model_id: segmenter for segmenter in found}.values())


def _looked(
    context: Context, run: JobRun, one: GoldenSet, parts: list[GoldenPart], segmenter: Segmenter, *, why: str
) -> GoldenLook:
    """A model looks at a product's golden parts, and what it said is stored; an alarm, where it serves and errs."""
    run.check()
    rules = context.policies.rules(one.product)
    seen = look(parts, segmenter, rules, context.blobs, context.decode, before_each=lambda: _give_way(context, run))
    with context.database.write() as session:
        kept = record(context, session, one, segmenter.model_id, rules, seen, why=why)
        if not kept.passed and segmenter.model_id in _ids_serving(context, one, parts):
            _alarm(context, session, one, parts, kept)
        session.commit()
    return kept


def _ids_serving(context: Context, one: GoldenSet, parts: list[GoldenPart]) -> set[str]:
    """Models that serve the product; those that are not loaded judge nothing."""
    try:
        return {segmenter.model_id for segmenter in _serving(context, one, parts)}
    except Unavailable:
        return set()


def look(
    parts: list[GoldenPart],
    segmenter: Segmenter,
    rules: Rules,
    blobs: BlobStore,
    decode: Decode,
    *,
    before_each: Callable[[], None] = lambda: None,
) -> list[Seen]:
    """A model's verdict on every part; raises Conflict where a picture is not the one that was declared."""
    seen = []
    for part in parts:
        before_each()
        judgement = judging.judge(frames_of(part, blobs, decode), segmenter, rules.policy, station=part.station)
        seen.append(Seen(part.place, part.truth, str(judgement.verdict), judgement.score))
    return seen


def frames_of(part: GoldenPart, blobs: BlobStore, decode: Decode) -> list[Frame]:
    """The pictures of a golden part, each compared with its hash."""
    frames = []
    for picture in part.pictures:
        data = blobs.get(str(picture["key"]))
        if hashlib.sha256(data).hexdigest() != picture["sha256"]:
            raise Conflict(f"a picture of golden part {part.part} was altered; restore it from a backup")
        frames.append(Frame(decode(data), str(picture["view"]), str(picture["sha256"])))
    return frames


def record(
    context: Context, session: Session, one: GoldenSet, model: str, rules: Rules, seen: list[Seen], *, why: str
) -> GoldenLook:
    """Store what a model said of a version, with its audit entry; the caller commits."""
    escapes, rejects = (sum(each.wrong == kind for each in seen) for kind in ("escape", "false_reject"))
    kept = GoldenLook(
        golden_set=one.id,
        model=model,
        policy=rules.sha256,
        why=why,
        at=context.now(),
        results=[each.as_json() for each in seen],
        escapes=escapes,
        false_rejects=rejects,
        passed=escapes <= rules.gate.golden_escapes and rejects <= rules.gate.golden_false_rejects,
    )
    session.add(kept)
    session.flush()
    body = {"set": one.id, "model": model, "why": why, "escapes": escapes, "false_rejects": rejects}
    audit.record(session, "golden look", kept.id, body | {"passed": kept.passed}, by="server", at=kept.at)
    return kept


def load_model(context: Context, row: ModelVersion) -> Segmenter:
    """A model that does not serve, on one thread, as the line needs the others."""
    from segmentation.model import load_segmenter

    folder = context.settings.home.resolve() / row.folder
    segmenter = load_segmenter(folder, device=context.settings.device, threads=1)
    if segmenter.model_id != row.id:
        raise Unavailable(f"the folder of {row.id} now holds {segmenter.model_id}; restore it, or choose another model")
    return segmenter


def _give_way(context: Context, run: JobRun) -> None:
    """Wait while a part waits for its verdict."""
    while context.inspector is not None and context.inspector.busy:
        run.check()
        time.sleep(IDLE_S)
    run.check()


def _alarm(context: Context, session: Session, one: GoldenSet, parts: list[GoldenPart], kept: GoldenLook) -> None:
    """The champion errs on what is known for certain: the model, its file, or the machine is not what it was."""
    at = {part.place: part for part in parts}
    wrong = [at[each["place"]] for each in kept.results if each["wrong"]]
    alarms.raise_once(
        session,
        context.events,
        kind=ALARM,
        station=wrong[0].station if wrong else "",
        what=one.product,
        message=f"{one.product}: the model that serves is {golden_needs.words(kept)}",
        since=kept.at,
        now=kept.at,
        before=[],
        after=[part.inspection_id for part in wrong[: alarms.SHOWN]],
        figures={"look": kept.id, "model": kept.model, "escapes": kept.escapes, "false_rejects": kept.false_rejects},
    )
