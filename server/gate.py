"""The gate: has the challenger proved itself beside the champion, on the same production parts?

The truth of a part is what a person said of it. Only parts on which the two disagree can tell which is better, and each
of them is asked about (`GET /models/shadow/disagreements`): so that nobody picks which count, the gate stays shut while
more than a tenth of them is unanswered. Two wagers must be won (`segmentation.eprocess`; both may be looked at after
every part): that the challenger is right more often than the champion, and that it does not let more defective parts
pass, to within a margin. For the second, all parts that people called not good count, agreed on or not; and of those
that both let pass, which nobody is asked about, the ones that were drawn at random and labelled (`QC_LABEL_AT_RANDOM`),
each for as many as its chance says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from labeling.records import LabelTask, Reason
from qc.errors import Conflict
from qc.records import Decision, Inspection, made_at
from qc.verdict import Verdict
from segmentation.eprocess import Evidence, Wager, gain
from segmentation.records import ModelState
from server import audit, gate_bounds, money_sums, registry
from server.context import Context
from server.gate_bounds import Bound
from server.gate_records import GateApproval
from server.gate_rules import GateRules
from server.watch_records import ShadowVerdict
from server.word_records import counts

UNANSWERED = 0.1
"""Share of disagreements that may lack a person's word."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where champion and challenger stand."""

    champion: str
    challenger: str
    shadowed: int
    """Parts that both looked at."""
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
        told = (
            f"beside the champion on {self.shadowed} production parts: {self.better.words()}; it let "
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


def standing(session: Session, *, margin: float = GateRules().escapes) -> Standing:
    """Where the challenger stands now; raises Conflict when there is none.

    Args:
        margin: of escapes, see `server.gate_rules.GateRules.escapes`.
    """
    champion, challenger = registry.champion(session), registry.challenger(session)
    if champion is None or challenger is None:
        raise Conflict(
            "there is no challenger beside the champion; train one, or name one by POST /models/{id}/challenge"
        )
    pairs = _telling(session, champion.id, challenger.id)
    words = _words(session, champion.id, challenger.id)
    better, escapes = Wager(), Wager(margin=margin)
    missed = [0, 0]
    audited = _audited(session, champion.id, challenger.id, words)
    left = iter([*audited, None])
    next_one = next(left)
    for row in sorted((row for row in pairs if row.inspection_id in words), key=lambda r: words[r.inspection_id].id):
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
    apart = [row for row in pairs if passes(row.champion_verdict) != passes(row.verdict)]
    return Standing(
        champion=champion.id,
        challenger=challenger.id,
        shadowed=_number(session, champion.id, challenger.id),
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
    session: Session, *, unanswered: bool, limit: int
) -> list[tuple[ShadowVerdict, Inspection, Decision | None]]:
    """Parts on which champion and challenger disagree, newest first, and a person's word where there is one."""
    challenger = registry.challenger(session)
    if challenger is None:
        return []
    champion_passes = col(ShadowVerdict.champion_verdict) == Verdict.OK
    wanted = (
        select(ShadowVerdict, Inspection)
        .join(Inspection, col(Inspection.id) == col(ShadowVerdict.inspection_id))
        .where(ShadowVerdict.model == challenger.id, champion_passes != (col(ShadowVerdict.verdict) == Verdict.OK))
        .order_by(col(ShadowVerdict.inspection_id).desc())
    )
    decided = select(Decision.inspection_id).where(counts())
    if unanswered:
        wanted = wanted.where(col(ShadowVerdict.inspection_id).not_in(decided))
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


def proof(context: Context, session: Session) -> Proof:
    """Where the challenger stands with everything that is asked of it; raises Conflict when there is none.

    A model that served before comes back by the wagers and its golden parts alone: it was measured and approved then,
    and a rollback must not wait for a faster champion to be matched.
    """
    rules = gate_bounds.rules_in_force(context)
    now = standing(session, margin=rules.escapes)
    challenger = registry.get(session, now.challenger)
    returns = challenger.state == ModelState.RETIRED
    words = _words(session, now.champion, now.challenger)
    truths = {inspection: word.verdict == Verdict.NG for inspection, word in words.items()}
    if returns:
        found = [gate_bounds.golden_bound(context, session, now.challenger)]
    else:
        found = gate_bounds.bounds(context, session, now.champion, now.challenger, truths)
    if context.settings.gate == "production" or returns:
        won = now.open
    else:
        won = bool((challenger.decision or {}).get("promote"))
    return Proof(
        standing=now,
        bounds=tuple(found),
        needs_approval=rules.approval_required and not returns,
        approval=_approval(session, now),
        proved=won and gate_bounds.open_(found),
    )


def approve(context: Context, session: Session, *, approved: bool, reason: str, by: str) -> Proof:
    """A named person lets the proved challenger serve, or declines it; the caller commits.

    Raises:
        Conflict: there is no challenger, or it has not proved itself yet.
    """
    now = proof(context, session)
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
    )
    session.add(row)
    session.flush()
    body = {"challenger": row.challenger, "champion": row.champion, "approved": approved, "reason": reason}
    audit.record(session, "approval", row.id, body | {"words": row.words}, by=by, at=at)
    if not approved:
        registry.reject(session, context.events, row.challenger)
        return now
    act(context, session)
    return now


def act(context: Context, session: Session) -> None:
    """Let the challenger serve where everything is proved and the settings, or a named person, let it.

    The champion so far looks on from then on: should it prove to be the better one after all, it comes back by the same
    gate. Runs in the transaction of what completed the proof; the promotion is one with it.
    """
    if registry.challenger(session) is None or registry.champion(session) is None:
        return
    now = proof(context, session)
    if not now.open:
        return
    by = "server"
    if now.needs_approval and now.approval is not None:
        by = now.approval.by
    elif not _decides_alone(context, session):
        return
    told = now.standing
    registry.promote(session, context.events, told.challenger, by=by, at=context.now(), reason=now.words())
    registry.challenge(session, context.events, told.champion)


def look_back(context: Context, session: Session, before: str) -> None:
    """After a promotion: the champion so far looks on beside its successor, unless another challenger does, so that it
    comes back by itself should the successor do worse in production. The caller commits."""
    if context.settings.auto_promote and registry.challenger(session) is None:
        registry.challenge(session, context.events, before)


def _decides_alone(context: Context, session: Session) -> bool:
    """May the challenger serve without a person's word, once it is proved? With the held-back gate only a model that
    served before may, by what is seen in production."""
    challenger = registry.challenger(session)
    back = challenger is not None and challenger.state == ModelState.RETIRED
    return context.settings.auto_promote and (context.settings.gate == "production" or back)


def after_decision(context: Context, session: Session, shadowed: str) -> None:
    """A person's word came in: where the challenger looked at the part too, see whether that completes its proof."""
    challenger = registry.challenger(session)
    if challenger is None or not (context.settings.gate == "production" or _decides_alone(context, session)):
        return
    if session.get(ShadowVerdict, (shadowed, challenger.id)) is not None:
        act(context, session)


def _approval(session: Session, now: Standing) -> GateApproval | None:
    of_pair = select(GateApproval).where(
        GateApproval.challenger == now.challenger, GateApproval.champion == now.champion
    )
    return session.exec(of_pair.order_by(col(GateApproval.id).desc()).limit(1)).first()


def _telling(session: Session, champion: str, challenger: str) -> list[ShadowVerdict]:
    """What both said of the parts that can tell something: they disagree on them, or a person decided them."""
    apart = (col(ShadowVerdict.champion_verdict) == Verdict.OK) != (col(ShadowVerdict.verdict) == Verdict.OK)
    decided = col(ShadowVerdict.inspection_id).in_(select(Decision.inspection_id).where(counts()))
    both = select(ShadowVerdict).where(ShadowVerdict.model == challenger, ShadowVerdict.champion == champion)
    return list(session.exec(both.where(or_(apart, decided)).order_by(col(ShadowVerdict.inspection_id))))


def _audited(
    session: Session, champion: str, challenger: str, words: Mapping[str, Decision]
) -> list[tuple[datetime, float]]:
    """The parts that both let pass, nobody decided, and a label of the random share calls defective: when that was
    known, and with which chance it was drawn; oldest first."""
    both = select(ShadowVerdict.inspection_id).where(
        ShadowVerdict.model == challenger,
        ShadowVerdict.champion == champion,
        ShadowVerdict.champion_verdict == Verdict.OK,
        ShadowVerdict.verdict == Verdict.OK,
    )
    first, last = session.exec(
        select(func.min(ShadowVerdict.inspection_id), func.max(ShadowVerdict.inspection_id)).where(
            ShadowVerdict.model == challenger, ShadowVerdict.champion == champion
        )
    ).one()
    drawn = money_sums.drawn_of(session, [col(Inspection.id).in_(both)], first or "", last or "")
    chances = {id: chance for id, (_, defective, chance) in drawn.items() if defective and id not in words}
    closed = select(LabelTask.inspection_id, func.max(LabelTask.closed_at)).where(
        col(LabelTask.inspection_id).in_(chances), LabelTask.reason == Reason.SAMPLE
    )
    known = session.exec(closed.group_by(col(LabelTask.inspection_id)))
    return sorted((moment, chances[id]) for id, moment in known if moment is not None)


def _number(session: Session, champion: str, challenger: str) -> int:
    both = select(func.count()).where(col(ShadowVerdict.model) == challenger, col(ShadowVerdict.champion) == champion)
    return int(session.exec(both).one())


def _words(session: Session, champion: str, challenger: str) -> dict[str, Decision]:
    """Inspection id -> the word that stands, of the parts that both looked at."""
    both = select(ShadowVerdict.inspection_id).where(
        ShadowVerdict.model == challenger, ShadowVerdict.champion == champion
    )
    wanted = select(Decision).where(col(Decision.inspection_id).in_(both), counts()).order_by(col(Decision.id))
    return {word.inspection_id: word for word in session.exec(wanted)}
