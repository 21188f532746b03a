"""Two models that looked at the same parts, and what people said of these: the evidence of a gate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlmodel import Session

from qc.records import Inspection, Progress
from qc.verdict import Verdict
from server import auth, gate, gate_jobs, registry
from server.access import Role
from server.deciding import decide
from server.gate_records import Measured
from server.jobs.runner import Kind, Runner
from server.watch_records import ShadowVerdict
from server.where import EVERYWHERE, Where

OLD, NEW = "sha256:old", "sha256:new"

BETTER = [("ng", "ng")] * 90 + [("ok", "ng")] * 12
"""Verdicts of champion and challenger on defective parts: enough for the challenger."""
WORSE = [("ng", "ng"), ("ng", "ng"), ("ng", "ng"), ("ok", "ng")] * 30
"""The lot has changed: the champion lets every fourth defect pass that the challenger finds."""


def enter(line, session: Session, *models: str) -> None:
    """Models in the registry; the first of them serves everywhere."""
    for model in models:
        registry.add(session, model_id=model, folder="models/none", card={}, now=line.context.now())
    registry.promote(session, line.context.events, models[0], by="test", at=line.context.now(), reason="first")


def looked_at(
    line,
    session: Session,
    said: Sequence[tuple[str, str]],
    truth: Sequence[str],
    *,
    champion: str = OLD,
    challenger: str = NEW,
    where: Where = EVERYWHERE,
) -> list[str]:
    """Parts with the verdicts of both and a person's word on each, oldest first."""
    ids = []
    for n, ((old, new), word) in enumerate(zip(said, truth, strict=True)):
        row = Inspection(
            part=f"P-{champion[-3:]}-{n}",
            station=where.station or "S-1",
            product=where.product or "default",
            progress=Progress.DONE,
            verdict=Verdict(old),
            model=champion,
            score=0.5,
            received_at=line.context.now(),
        )
        session.add(row)
        session.flush()
        seen = ShadowVerdict(
            inspection_id=row.id,
            model=challenger,
            champion=champion,
            champion_verdict=Verdict(old),
            verdict=Verdict(new),
            score=0.5,
            defects=0,
            elapsed_ms=5.0,
            at=line.context.now(),
            for_product=where.product,
            for_station=where.station,
        )
        session.add(seen)
        session.flush()
        decide(line.context, session, row.id, Verdict(word), "", by="eva")
        ids.append(row.id)
    return ids


def measured(line, session: Session, *, time: float = 1.0, memory: float = 1.0, pair: tuple[str, str] = (NEW, OLD)):
    """Challenger and champion were measured; the challenger costs so many times as much."""
    cost = {"cpu_s_per_mpx": 1.0, "memory_mb": 100.0, "pictures": 8}
    worse = {"cpu_s_per_mpx": time, "memory_mb": 100.0 * memory, "pictures": 8}
    figures = {"champion": cost, "challenger": worse}
    session.add(Measured(challenger=pair[0], champion=pair[1], at=line.context.now(), figures=figures))
    session.flush()


def log_in(line, name: str = "eva") -> dict[str, str]:
    """An engineer logs in as a person; what the browser's unsafe calls bear."""
    with line.context.database.write() as session:
        auth.add_user(session, name, Role.ENGINEER, "a long enough password", now=line.context.now())
        session.commit()
    answer = line.client.post("/api/v1/session", json={"name": name, "password": "a long enough password"})
    assert answer.status_code == 200, answer.text
    return {"X-QC": "1"}


def weigh(line) -> None:
    """Do the jobs that people's words asked for: do these complete a challenger's proof?"""
    kinds = {gate.WEIGH: Kind(partial(gate_jobs.weigh, line.context))}
    runner = Runner(line.context.database.write, kinds, clock=line.context.now)
    while runner.run_one():
        pass
