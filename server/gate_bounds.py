"""The bounds beside the two wagers: golden parts, time and memory, calibration, escapes of each class and size.

A bound holds, or is broken, or nobody can tell yet; each says which in words and numbers. The champion of a product is
asked for what that product's file asks. That of a station, or of all, may have to serve any product, also one whose own
champion is rolled back: of several products' files the strictest counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from labeling.records import Annotation, LabelTask
from qc.dataset import IGNORE
from qc.errors import NotFound
from qc.ports import BlobStore
from qc.records import Inspection
from qc.verdict import Verdict
from segmentation.eprocess import ALPHA, Wager
from server import gate_cost, golden_needs
from server.context import Context
from server.gate_rules import GateRules
from server.rivals import Rivals
from server.watch_records import ShadowVerdict
from server.where import Where

FEW_DECIDED = 100
"""Parts with known truth below which nothing is said of calibration: ten bins of ten."""
BINS = 10
AT_ONCE = 500
"""Parts asked for in one statement."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One bound and whether it holds."""

    name: str
    holds: bool | None
    """None: nobody can tell yet."""
    blocks: bool
    """Does it keep the challenger from serving?"""
    words: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, "holds": self.holds, "blocks": self.blocks, "words": self.words}


@dataclass(frozen=True, slots=True)
class Pair:
    """A part that both looked at and whose truth a person told."""

    inspection_id: str
    defective: bool
    champion_passes: bool
    challenger_passes: bool
    champion_score: float
    challenger_score: float


def rules_in_force(context: Context, product: str = "") -> GateRules:
    """Those of a product's file; without a product the strictest of all products' files."""
    if product:
        return context.policies.rules(product).gate
    found = [context.policies.rules(name).gate for name in context.policies.products()] or [GateRules()]
    return GateRules(
        approval_required=any(rules.approval_required for rules in found),
        golden_escapes=min(rules.golden_escapes for rules in found),
        golden_false_rejects=min(rules.golden_false_rejects for rules in found),
        escapes=min(rules.escapes for rules in found),
        latency=min(rules.latency for rules in found),
        memory=min(rules.memory for rules in found),
        calibration=min(rules.calibration for rules in found),
    )


def bounds(
    context: Context, session: Session, rivals: Rivals, rules: GateRules, truths: dict[str, bool]
) -> list[Bound]:
    """Every bound.

    Args:
        truths: inspection -> is it defective, by a person's word.
    """
    champion, challenger = rivals.champion.id, rivals.challenger.id
    pairs = pairs_of(session, rivals, truths)
    return [
        golden_bound(context, session, challenger, rivals.where.product),
        *cost_bounds(session, champion, challenger, rules),
        calibration_bound(pairs, rules.calibration),
        *escape_bounds(groups_of(session, context.blobs, pairs), rules.escapes),
    ]


def golden_bound(context: Context, session: Session, challenger: str, product: str = "") -> Bound:
    """Did it get the golden parts of a product right, or without one of every product? Holds where there are none."""
    missed = golden_needs.missing(session, context, challenger, product=product or None)
    return Bound("golden parts", not missed, bool(missed), "; ".join(missed) or "all within the products' files")


def cost_bounds(session: Session, champion: str, challenger: str, rules: GateRules) -> list[Bound]:
    """Time and memory against the champion's; both block until they were measured."""
    try:
        cost = gate_cost.known(session, challenger, champion)
    except NotFound as error:
        return [Bound(name, None, True, error.message) for name in ("time", "memory")]
    old, new = cost["champion"], cost["challenger"]
    return [
        _ratio("time", new.cpu_s_per_mpx, old.cpu_s_per_mpx, rules.latency, "CPU s of a megapixel"),
        _ratio("memory", new.memory_mb, old.memory_mb, rules.memory, "MiB"),
    ]


def calibration_bound(pairs: Sequence[Pair], bound: float) -> Bound:
    """Are its scores as honest as the champion's, on the same parts? Says nothing before `FEW_DECIDED`."""
    if len(pairs) < FEW_DECIDED:
        told = f"{len(pairs)} of the {FEW_DECIDED} decided parts from which on something can be said"
        return Bound("calibration", None, False, told)
    truth = np.array([pair.defective for pair in pairs], np.float64)
    old = calibration_error(np.array([pair.champion_score for pair in pairs]), truth)
    new = calibration_error(np.array([pair.challenger_score for pair in pairs]), truth)
    holds = new <= old + bound
    return Bound("calibration", holds, not holds, f"error {new:.3f} against {old:.3f} (at most {old + bound:.3f})")


def calibration_error(scores: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """How far scores are from how often they are right, on average: bins of equally many parts.

    Args:
        scores: in [0, 1].
        truth: 1 where the part is defective, else 0.

    Source:
        Nixon et al. 2019, arXiv:1904.01685 (adaptive calibration error), for two classes.
    """
    edges = np.quantile(scores, np.linspace(0, 1, BINS + 1)[1:-1])
    place = np.searchsorted(edges, scores, side="right")  # equal scores share a bin
    bins = [place == n for n in range(BINS)]
    gaps = [abs(float(scores[b].mean() - truth[b].mean())) * int(b.sum()) for b in bins if b.any()]
    return float(sum(gaps) / len(scores))


def escape_bounds(groups: dict[str, list[Pair]], margin: float) -> list[Bound]:
    """For each class and size: no more escapes than the champion, by the same wager as over all.

    Where a group has so many parts that a model without a miss of its own would have proved it, it must be proved.
    Where it has fewer, it blocks only if the challenger is proved to let more of them pass.
    """
    enough = enough_parts(margin)
    found = []
    for name, pairs in sorted(groups.items()):
        fine, worse = Wager(margin=margin), Wager()
        for pair in pairs:
            gain = int(pair.champion_passes) - int(pair.challenger_passes)
            fine.see(gain)
            worse.see(-gain)
        old, new = sum(p.champion_passes for p in pairs), sum(p.challenger_passes for p in pairs)
        told = f"{new} of {len(pairs)} pass where the champion let {old} pass"
        if worse.evidence().proved:
            found.append(Bound(f"escapes: {name}", False, True, f"{told}: proved to be worse"))
        elif fine.evidence().proved:
            found.append(Bound(f"escapes: {name}", True, False, f"{told}: proved not to be worse by {margin:.0%}"))
        elif len(pairs) >= enough:
            found.append(Bound(f"escapes: {name}", False, True, f"{told}: not proved on {len(pairs)} parts"))
        else:
            found.append(Bound(f"escapes: {name}", None, False, f"{told}: {enough} parts are needed to tell"))
    return found


@lru_cache
def enough_parts(margin: float) -> int:
    """Parts of a group after which a challenger that never differs from the champion is proved not worse."""
    wager, parts = Wager(margin=margin, alpha=ALPHA), 0
    while not wager.evidence().proved:
        wager.see(0)
        parts += 1
    return parts


def belongs(where: Where) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """What a challenger said as the one of there."""
    return col(ShadowVerdict.for_product) == where.product, col(ShadowVerdict.for_station) == where.station


def seen_by_both(rivals: Rivals) -> tuple[ColumnElement[bool], ...]:
    """What the challenger said of the parts that its champion judged there."""
    both = col(ShadowVerdict.model) == rivals.challenger.id, col(ShadowVerdict.champion) == rivals.champion.id
    return *both, *belongs(rivals.where)


def pairs_of(session: Session, rivals: Rivals, truths: dict[str, bool]) -> list[Pair]:
    """The parts that both looked at and whose truth is known, oldest first."""
    said = col(ShadowVerdict.champion_verdict), col(ShadowVerdict.verdict)
    both = (
        sql_select(col(ShadowVerdict.inspection_id), *said, col(Inspection.score), col(ShadowVerdict.score))
        .join(Inspection, col(Inspection.id) == col(ShadowVerdict.inspection_id))
        .where(*seen_by_both(rivals))
        .order_by(col(ShadowVerdict.inspection_id))
    )
    # by their ids: joined as a whole, a database reads the scores of all parts that there ever were
    ids = sorted(truths)
    shares = (ids[first : first + AT_ONCE] for first in range(0, len(ids), AT_ONCE))
    of_share = (session.execute(both.where(col(ShadowVerdict.inspection_id).in_(share))) for share in shares)
    return [
        Pair(
            inspection_id=id,
            defective=truths[id],
            champion_passes=champion == Verdict.OK,
            challenger_passes=challenger == Verdict.OK,
            champion_score=float(champion_score or 0.0),
            challenger_score=challenger_score,
        )
        for rows in of_share
        for id, champion, challenger, champion_score, challenger_score in rows
    ]


def groups_of(session: Session, blobs: BlobStore, pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """Class and size -> the defective parts that show such a defect, by what people drew.

    Small and large are parted by the median of a class's largest defects; a part counts in every group it shows.
    """
    defective = {pair.inspection_id: pair for pair in pairs if pair.defective}
    drawn: dict[str, dict[str, float]] = {}
    wanted = (
        select(Annotation, LabelTask)
        .join(LabelTask, col(LabelTask.id) == col(Annotation.label_task_id))
        .where(
            col(LabelTask.inspection_id).between(min(defective, default=""), max(defective, default="")),
            col(Annotation.superseded).is_(False),
            col(Annotation.deleted).is_(False),
        )
    )
    for annotation, task in session.exec(wanted):
        if task.inspection_id not in defective or not blobs.exists(annotation.mask_key):
            continue
        for class_name, size in _sizes(blobs, annotation).items():
            of_part = drawn.setdefault(class_name, {})
            of_part[task.inspection_id] = max(size, of_part.get(task.inspection_id, 0.0))
    groups: dict[str, list[Pair]] = {}
    for class_name, sizes in drawn.items():
        middle = float(np.median(list(sizes.values())))
        for inspection_id, size in sorted(sizes.items()):
            name = f"{class_name}, {'large' if size > middle else 'small'} (median {middle:.0f} px)"
            groups.setdefault(name, []).append(defective[inspection_id])
    return groups


def _sizes(blobs: BlobStore, annotation: Annotation) -> dict[str, float]:
    """Class -> the longer side of its largest drawn defect, px."""
    mask = cv2.imdecode(np.frombuffer(blobs.get(annotation.mask_key), np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None:
        return {}
    found = {}
    for class_id in (int(c) for c in np.unique(mask) if c not in (0, IGNORE)):
        stats = cv2.connectedComponentsWithStats((mask == class_id).astype(np.uint8))[2][1:]
        name = annotation.classes.get(str(class_id), str(class_id))
        found[name] = float(stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max())
    return found


def _ratio(name: str, new: float, old: float, limit: float, unit: str) -> Bound:
    ratio = new / old if old > 0 else (1.0 if new <= 0 else float("inf"))
    told = f"{new:g} {unit} against {old:g}, {ratio:.2f} times (at most {limit:g})"
    return Bound(name, ratio <= limit, ratio > limit, told)


def open_(found: Iterable[Bound]) -> bool:
    """Does none of them keep the challenger from serving?"""
    return not any(bound.blocks for bound in found)
