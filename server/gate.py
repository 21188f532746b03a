"""The gate: has the challenger proved itself beside the champion, on the same production parts?

The truth of a part is what a person said of it. Only parts on which the two disagree can tell which is better, and each
of them is asked about (`GET /models/shadow/disagreements`): so that nobody picks which count, the gate stays shut while
more than a tenth of them is unanswered. Two wagers must be won (`segmentation.eprocess`; both may be looked at after
every part): that the challenger is right more often than the champion, and that it does not let more defective parts
pass, to within a margin. For the second, all parts that people called not good count, agreed on or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from qc.errors import Conflict
from qc.records import Decision, Inspection
from qc.verdict import Verdict
from segmentation.eprocess import Evidence, Wager, gain
from server import registry
from server.context import Context
from server.watch_records import ShadowVerdict

ESCAPE_MARGIN = 0.05
"""Escapes of a defective part that the challenger may, at the worst, have more than the champion: less needs more proof
than a plant has defective parts in a month (about 90 without a miss of its own prove 5 %)."""

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
            f"{self.champion_escapes} pass (not worse by {ESCAPE_MARGIN:.0%}: evidence "
            f"{self.escapes.highest:.3g} of the {1 / self.escapes.alpha:.3g} needed)"
        )
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


def standing(session: Session) -> Standing:
    """Where the challenger stands now; raises Conflict when there is none."""
    champion, challenger = registry.champion(session), registry.challenger(session)
    if champion is None or challenger is None:
        raise Conflict(
            "there is no challenger beside the champion; train one, or name one by POST /models/{id}/challenge"
        )
    pairs = _telling(session, champion.id, challenger.id)
    words = _words(session, champion.id, challenger.id)
    better, escapes = Wager(), Wager(margin=ESCAPE_MARGIN)
    missed = [0, 0]
    for row in sorted((row for row in pairs if row.inspection_id in words), key=lambda r: words[r.inspection_id].id):
        bad = words[row.inspection_id].verdict == Verdict.NG
        passed = passes(row.champion_verdict), passes(row.verdict)
        better.see(gain(bad, not passed[0], not passed[1]))
        if bad:
            missed = [missed[0] + passed[0], missed[1] + passed[1]]
            escapes.see(int(passed[0]) - int(passed[1]))
    apart = [row for row in pairs if passes(row.champion_verdict) != passes(row.verdict)]
    return Standing(
        champion=champion.id,
        challenger=challenger.id,
        shadowed=_number(session, champion.id, challenger.id),
        disagreements=len(apart),
        answered=sum(row.inspection_id in words for row in apart),
        better=better.evidence(),
        escapes=escapes.evidence(),
        champion_escapes=missed[0],
        challenger_escapes=missed[1],
        defective=escapes.parts,
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
    decided = select(Decision.inspection_id)
    if unanswered:
        wanted = wanted.where(col(ShadowVerdict.inspection_id).not_in(decided))
    rows = list(session.exec(wanted.limit(limit)))
    words = {
        word.inspection_id: word
        for word in session.exec(
            select(Decision)
            .where(col(Decision.inspection_id).in_([row.inspection_id for row, _ in rows]))
            .order_by(col(Decision.id))
        )
    }
    return [(row, inspection, words.get(row.inspection_id)) for row, inspection in rows]


def after_decision(context: Context, session: Session, shadowed: str) -> None:
    """A person's word came in: where it opens the gate, and the settings let the server act, the challenger serves.

    The champion so far looks on from then on: should it prove to be the better one after all, it comes back by the same
    gate. Runs in the transaction of the decision; the promotion is one with it.
    """
    settings = context.settings
    if settings.gate != "production" or not settings.auto_promote:
        return
    challenger = registry.challenger(session)
    if challenger is None or session.get(ShadowVerdict, (shadowed, challenger.id)) is None:
        return
    now = standing(session)
    if now.open:
        registry.promote(session, context.events, now.challenger, by="server", at=context.now(), reason=now.words())
        registry.challenge(session, context.events, now.champion)


def _telling(session: Session, champion: str, challenger: str) -> list[ShadowVerdict]:
    """What both said of the parts that can tell something: they disagree on them, or a person decided them."""
    apart = (col(ShadowVerdict.champion_verdict) == Verdict.OK) != (col(ShadowVerdict.verdict) == Verdict.OK)
    decided = col(ShadowVerdict.inspection_id).in_(select(Decision.inspection_id))
    both = select(ShadowVerdict).where(ShadowVerdict.model == challenger, ShadowVerdict.champion == champion)
    return list(session.exec(both.where(or_(apart, decided)).order_by(col(ShadowVerdict.inspection_id))))


def _number(session: Session, champion: str, challenger: str) -> int:
    both = select(func.count()).where(col(ShadowVerdict.model) == challenger, col(ShadowVerdict.champion) == champion)
    return int(session.exec(both).one())


def _words(session: Session, champion: str, challenger: str) -> dict[str, Decision]:
    """Inspection id -> the word that stands, of the parts that both looked at."""
    both = select(ShadowVerdict.inspection_id).where(
        ShadowVerdict.model == challenger, ShadowVerdict.champion == champion
    )
    wanted = select(Decision).where(col(Decision.inspection_id).in_(both)).order_by(col(Decision.id))
    return {word.inspection_id: word for word in session.exec(wanted)}
