"""The gate: has the challenger proved itself beside the champion, on the same production parts?

The truth of a part is what a person said of it. Only parts on which the two disagree can tell which is better, and each
of them is asked about (`GET /models/shadow/disagreements`): so that nobody picks which count, the gate stays shut while
more than a tenth of them is unanswered. Two wagers must be won (`segmentation.eprocess`; both may be looked at after
every part): that the challenger is right more often than the champion, and that it does not let more defective parts
pass, to within a margin. For the second, all parts that people called not good count, agreed on or not; and of those
that both let pass, which nobody is asked about, the ones that were drawn at random and labelled (`QC_LABEL_AT_RANDOM`),
each for as many as its chance says.

A product or a station with a champion of its own has a gate of its own: its challenger is judged on the parts that
belong there, asked for what its product's file asks, and serves there alone (`server.rivals`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, or_
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from labeling.records import LabelTask, Reason
from qc.errors import Conflict
from qc.records import Decision, Inspection, made_at
from qc.verdict import Verdict
from segmentation.eprocess import Evidence, Wager, gain
from server import audit, gate_bounds, money_sums, registry, rivals
from server.context import Context
from server.gate_bounds import Bound
from server.gate_records import GateApproval
from server.gate_rules import GateRules
from server.jobs import queue
from server.rivals import Rivals
from server.watch_records import ShadowVerdict
from server.where import EVERYWHERE, Where
from server.word_records import counts

UNANSWERED = 0.1
"""Share of disagreements that may lack a person's word."""

WEIGH = "weigh_challenger"
"""The job that lets a challenger serve once its proof is complete."""


class Said(NamedTuple):
    """What both said of a part. Tens of thousands of them are read at once: a row of the table each would be slow."""

    inspection_id: str
    champion_verdict: Verdict
    verdict: Verdict


class Word(NamedTuple):
    """What a person said of a part."""

    id: str
    verdict: Verdict
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """Where champion and challenger stand."""

    where: Where
    champion: str
    challenger: str
    shadowed: int
    """Parts that both looked at there."""
    disagreements: int
    """On which one would pass the part and the other would not."""
    answered: int
    """Of these, those that a person decided."""
    better: Evidence
    escapes: Evidence
    champion_escapes: int
    challenger_escapes: int
    defective: int
    """Parts that people called not good."""
    margin: float
    """Escapes of a defective part that it may, at the worst, have more than the champion."""
    audited: int = 0
    """Of the defective parts, those that both let pass and only the random share of labels found."""

    @property
    def open(self) -> bool:
        """May the challenger serve?"""
        return self.better.proved and self.escapes.proved and self._answered_enough

    @property
    def _answered_enough(self) -> bool:
        return self.disagreements - self.answered <= UNANSWERED * self.disagreements

    def words(self) -> str:
        """The decision in words and numbers."""
        parts = "production parts" + ("" if self.where == EVERYWHERE else f" of {self.where.words}")
        told = (
            f"beside the champion on {self.shadowed} {parts}: {self.better.words()}; it let "
            f"{self.challenger_escapes} of {self.defective} defective parts pass where the champion let "
            f"{self.champion_escapes} pass (not worse by {self.margin:.0%}: evidence "
            f"{self.escapes.highest:.3g} of the {1 / self.escapes.alpha:.3g} needed)"
        )
        if self.audited:
            told += f", {self.audited} of them found among parts drawn at random, which stand for the others"
        if not self._answered_enough:
            left = self.disagreements - self.answered
            told += f"; {left} of {self.disagreements} disagreements lack a person's word, decide them first"
        return told

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "product": self.where.product,
            "station": self.where.station,
            "champion": self.champion,
            "challenger": self.challenger,
            "shadowed": self.shadowed,
            "disagreements": self.disagreements,
            "answered": self.answered,
            "defective": self.defective,
            "champion_escapes": self.champion_escapes,
            "challenger_escapes": self.challenger_escapes,
            "e_better": self.better.highest,
            "e_escapes": self.escapes.highest,
            "needed": 1.0 / self.better.alpha,
            "open": self.open,
            "words": self.words(),
        }


def passes(verdict: Verdict) -> bool:
    """Would the line let the part through?"""
    return verdict == Verdict.OK


def standing(session: Session, where: Where = EVERYWHERE, *, margin: float = GateRules().escapes) -> Standing:
    """Where the challenger stands now; raises Conflict when there is none.

    Args:
        margin: of escapes, see `server.gate_rules.GateRules.escapes`.
    """
    pair = need(session, where)
    return _standing(session, pair, _words(session, pair), margin=margin)


def need(session: Session, where: Where) -> Rivals:
    """Champion and challenger there; raises Conflict when there is no challenger."""
    if (pair := rivals.at(session, where)) is not None:
        return pair
    beside = "the champion" if where == EVERYWHERE else f"the champion of {where.words}"
    raise Conflict(f"there is no challenger beside {beside}; train one, or name one by POST /models/{{id}}/challenge")


def _standing(session: Session, pair: Rivals, words: Mapping[str, Word], *, margin: float) -> Standing:
    rows = _telling(session, pair)
    better, escapes = Wager(), Wager(margin=margin)
    missed = [0, 0]
    audited = _audited(session, pair, words)
    left = iter([*audited, None])
    next_one = next(left)
    for row in sorted((row for row in rows if row.inspection_id in words), key=lambda r: words[r.inspection_id].id):
        word = words[row.inspection_id]
        while next_one is not None and next_one[0] < (made_at(word.id) or word.at):
            escapes.see(0, stands_for=1 / next_one[1])
            next_one = next(left)
        bad = word.verdict == Verdict.NG
        passed = passes(row.champion_verdict), passes(row.verdict)
        better.see(gain(bad, not passed[0], not passed[1]))
        if bad:
            missed = [missed[0] + passed[0], missed[1] + passed[1]]
            escapes.see(int(passed[0]) - int(passed[1]))
    while next_one is not None:
        escapes.see(0, stands_for=1 / next_one[1])
        next_one = next(left)
    apart = [row for row in rows if passes(row.champion_verdict) != passes(row.verdict)]
    return Standing(
        where=pair.where,
        champion=pair.champion.id,
        challenger=pair.challenger.id,
        shadowed=_number(session, pair),
        disagreements=len(apart),
        answered=sum(row.inspection_id in words for row in apart),
        better=better.evidence(),
        escapes=escapes.evidence(),
        champion_escapes=missed[0] + len(audited),
        challenger_escapes=missed[1] + len(audited),
        defective=escapes.parts,
        margin=margin,
        audited=len(audited),
    )


def disagreements(
    session: Session, where: Where = EVERYWHERE, *, unanswered: bool, limit: int
) -> list[tuple[ShadowVerdict, Inspection, Decision | None]]:
    """Parts on which champion and challenger disagree, newest first, and a person's word where there is one."""
    pair = rivals.at(session, where)
    if pair is None:
        return []
    apart = (col(ShadowVerdict.champion_verdict) == Verdict.OK) != (col(ShadowVerdict.verdict) == Verdict.OK)
    wanted = (
        select(ShadowVerdict, Inspection)
        .join(Inspection, col(Inspection.id) == col(ShadowVerdict.inspection_id))
        .where(ShadowVerdict.model == pair.challenger.id, *gate_bounds.belongs(where), apart)
        .order_by(col(ShadowVerdict.inspection_id).desc())
    )
    if unanswered:
        word = select(Decision.id).where(Decision.inspection_id == ShadowVerdict.inspection_id, counts())
        wanted = wanted.where(~word.exists())
    rows = list(session.exec(wanted.limit(limit)))
    words = {
        word.inspection_id: word
        for word in session.exec(
            select(Decision)
            .where(col(Decision.inspection_id).in_([row.inspection_id for row, _ in rows]), counts())
            .order_by(col(Decision.id))
        )
    }
    return [(row, inspection, words.get(row.inspection_id)) for row, inspection in rows]


@dataclass(frozen=True, slots=True)
class Proof:
    """All that the gate asks of the challenger, and whether it may serve now."""

    standing: Standing
    bounds: tuple[Bound, ...]
    needs_approval: bool
    approval: GateApproval | None
    """What a person last said of this pair."""
    proved: bool
    """Everything but the approval."""

    @property
    def open(self) -> bool:
        """May it serve?"""
        return self.proved and (not self.needs_approval or bool(self.approval and self.approval.approved))

    def words(self) -> str:
        """The whole decision in words and numbers."""
        told = [self.standing.words()]
        told += [f"{bound.name}: {bound.words}" for bound in self.bounds]
        if self.approval is not None:
            word = "approved" if self.approval.approved else "declined"
            told.append(f"{word} by {self.approval.by}: {self.approval.reason}")
        elif self.needs_approval:
            told.append("a named person must approve")
        return "; ".join(told)


def proof(context: Context, session: Session, where: Where = EVERYWHERE) -> Proof:
    """Where the challenger stands with everything that is asked of it; raises Conflict when there is none.

    A model that served before comes back by the wagers and its golden parts alone: it was measured and approved then,
    and a rollback must not wait for a faster champion to be matched.
    """
    pair = need(session, where)
    rules = gate_bounds.rules_in_force(context, where.product)
    words = _words(session, pair)
    now = _standing(session, pair, words, margin=rules.escapes)
    if pair.returns:
        found = [gate_bounds.golden_bound(context, session, now.challenger, where.product)]
    else:
        truths = {inspection: word.verdict == Verdict.NG for inspection, word in words.items()}
        found = gate_bounds.bounds(context, session, pair, rules, truths)
    won = now.open if _by_production(context, pair) else bool((pair.challenger.decision or {}).get("promote"))
    return Proof(
        standing=now,
        bounds=tuple(found),
        needs_approval=rules.approval_required and not pair.returns,
        approval=_approval(session, now),
        proved=won and gate_bounds.open_(found),
    )


def approve(
    context: Context, session: Session, where: Where = EVERYWHERE, *, approved: bool, reason: str, by: str
) -> Proof:
    """A named person lets the proved challenger serve, or declines it; the caller commits.

    Raises:
        Conflict: there is no challenger, or it has not proved itself yet.
    """
    registry.alone(session)
    now = proof(context, session, where)
    if approved and not now.proved:
        raise Conflict(f"the challenger has not proved itself yet: {now.words()}")
    at = context.now()
    row = GateApproval(
        challenger=now.standing.challenger,
        champion=now.standing.champion,
        approved=approved,
        by=by,
        at=at,
        reason=reason,
        words=now.words(),
        for_product=where.product,
        for_station=where.station,
    )
    session.add(row)
    session.flush()
    body = {"challenger": row.challenger, "champion": row.champion, "approved": approved, "reason": reason}
    place = {} if where == EVERYWHERE else where._asdict()
    audit.record(session, "approval", row.id, body | place | {"words": row.words}, by=by, at=at)
    if not approved:
        rivals.decline(session, context.events, need(session, where), by=by, at=at, reason=reason)
        return now
    act(context, session, where)
    return now


def act(context: Context, session: Session, where: Where = EVERYWHERE) -> bool:
    """Let the challenger serve there where everything is proved and the settings, or a named person, let it: does it?

    The champion so far looks on from then on: should it prove to be the better one after all, it comes back by the same
    gate. The caller commits; the proof is read in the transaction that promotes.
    """
    registry.alone(session)
    pair = rivals.at(session, where)
    if pair is None:
        return False
    now = proof(context, session, where)
    by = _who_lets(context, pair, now)
    if by is None:
        return False
    rivals.promote(session, context.events, pair, by=by, at=context.now(), reason=now.words())
    return True


def would_act(context: Context, session: Session, where: Where) -> bool:
    """Would `act` let the challenger serve there now?"""
    pair = rivals.at(session, where)
    return pair is not None and _who_lets(context, pair, proof(context, session, where)) is not None


def act_for(context: Context, session: Session, challenger: str) -> None:
    """A model was measured, or has looked at the golden parts: see wherever it looks on whether that completes its
    proof."""
    for pair in rivals.all_pairs(session, challenger=challenger):
        act(context, session, pair.where)


def look_back(context: Context, session: Session, before: str, where: Where = EVERYWHERE) -> None:
    """After a person's promotion: the champion so far looks on beside its successor, unless another challenger does, so
    that it comes back by itself should the successor do worse in production. The caller commits."""
    if context.settings.auto_promote:
        rivals.look_back(session, context.events, before, where=where, by="server", at=context.now())


def _by_production(context: Context, pair: Rivals) -> bool:
    """Is it production that proves this challenger? Its retraining compared it with one champion on the parts of one
    place, so that it says nothing of another place, nor of whoever serves there since."""
    compared = (pair.challenger.decision or {}).get("champion") or {}
    elsewhere = pair.where != rivals.made_for(pair.challenger)
    return (
        context.settings.gate == "production"
        or pair.returns
        or elsewhere
        or compared.get("model", pair.champion.id) != pair.champion.id
    )


def _who_lets(context: Context, pair: Rivals, now: Proof) -> str | None:
    """Who lets the challenger serve: the person who approved it, or the server; None: nobody does yet."""
    if not now.open:
        return None
    if now.needs_approval and now.approval is not None:
        return now.approval.by
    return "server" if _decides_alone(context, pair) else None


def _decides_alone(context: Context, pair: Rivals) -> bool:
    """May the challenger serve without a person's word, once it is proved? With the held-back gate only by what is seen
    in production, and at the end of its retraining (`server.retrain_job`)."""
    return context.settings.auto_promote and _by_production(context, pair)


def after_decision(context: Context, session: Session, shadowed: str) -> None:
    """A person's word came in: where a challenger looked at the part too, ask whether that completes its proof. The
    person does not wait for the answer: it takes all that people said, and what they drew."""
    for seen in session.exec(select(ShadowVerdict).where(ShadowVerdict.inspection_id == shadowed)).all():
        where = Where(seen.for_product, seen.for_station)
        pair = rivals.at(session, where)
        if pair is None or pair.challenger.id != seen.model:
            continue
        if context.settings.gate == "production" or _decides_alone(context, pair):
            key = ":".join((WEIGH, *where))
            queue.enqueue(session, WEIGH, where._asdict(), now=context.now(), key=key, again=True)


def _approval(session: Session, now: Standing) -> GateApproval | None:
    of_pair = select(GateApproval).where(
        GateApproval.challenger == now.challenger,
        GateApproval.champion == now.champion,
        GateApproval.for_product == now.where.product,
        GateApproval.for_station == now.where.station,
    )
    return session.exec(of_pair.order_by(col(GateApproval.id).desc()).limit(1)).first()


def _telling(session: Session, pair: Rivals) -> list[Said]:
    """What both said of the parts that can tell something: they disagree on them, or a person decided them."""
    apart = (col(ShadowVerdict.champion_verdict) == Verdict.OK) != (col(ShadowVerdict.verdict) == Verdict.OK)
    decided = col(ShadowVerdict.inspection_id).in_(select(Decision.inspection_id).where(counts()))
    columns = col(ShadowVerdict.inspection_id), col(ShadowVerdict.champion_verdict), col(ShadowVerdict.verdict)
    both = sql_select(*columns).where(*gate_bounds.seen_by_both(pair))
    rows = session.execute(both.where(or_(apart, decided)).order_by(col(ShadowVerdict.inspection_id)))
    return [Said(*row) for row in rows]


def _audited(session: Session, pair: Rivals, words: Mapping[str, Word]) -> list[tuple[datetime, float]]:
    """The parts that both let pass, nobody decided, and a label of the random share calls defective: when that was
    known, and with which chance it was drawn; oldest first."""
    seen = gate_bounds.seen_by_both(pair)
    passed = ShadowVerdict.champion_verdict == Verdict.OK, ShadowVerdict.verdict == Verdict.OK
    both = select(ShadowVerdict.inspection_id).where(*seen, *passed)
    first, last = session.exec(
        select(func.min(ShadowVerdict.inspection_id), func.max(ShadowVerdict.inspection_id)).where(*seen)
    ).one()
    drawn = money_sums.drawn_of(session, [col(LabelTask.inspection_id).in_(both)], first or "", last or "")
    chances = {id: chance for id, (_, defective, chance) in drawn.items() if defective and id not in words}
    closed = select(LabelTask.inspection_id, func.max(LabelTask.closed_at)).where(
        col(LabelTask.inspection_id).in_(chances), LabelTask.reason == Reason.SAMPLE
    )
    known = session.exec(closed.group_by(col(LabelTask.inspection_id)))
    return sorted((moment, chances[id]) for id, moment in known if moment is not None)


def _number(session: Session, pair: Rivals) -> int:
    return int(session.exec(select(func.count()).where(*gate_bounds.seen_by_both(pair))).one())


def _words(session: Session, pair: Rivals) -> dict[str, Word]:
    """Inspection id -> the word that stands, of the parts that both looked at."""
    both = select(ShadowVerdict.inspection_id).where(*gate_bounds.seen_by_both(pair))
    columns = col(Decision.inspection_id), col(Decision.id), col(Decision.verdict), col(Decision.at)
    wanted = sql_select(*columns).where(col(Decision.inspection_id).in_(both), counts()).order_by(col(Decision.id))
    return {inspection: Word(*word) for inspection, *word in session.execute(wanted)}
