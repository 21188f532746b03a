"""What the inspection brought in a month: parts, escapes and false rejects with intervals, reviews saved, parts
recovered, and money against the state before. Every formula stands in `FORMULAS`, and goes out with the figures; parts
are added up day by day (`money_sums.py`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlmodel import Session, col, select

from labeling.priority import estimate
from process_opt.records import Outcome, Recommendation
from qc.errors import InvalidInput
from qc.records import Inspection
from qc.verdict import Verdict
from server import loose_scan, money_sums, process_money, process_service, process_set_ups
from server.context import Context
from server.gate_rules import Costs
from server.money_sums import Sums
from server.process_service import Models

LEVEL = 0.95
"""Of the intervals."""

FORMULAS = {
    "parts": "inspections of the month (UTC) that a model judged; what failed is counted apart",
    "escapes": "wrong = ok by the model, not good by a person. Sum over parts with a person's word (each counts once) "
    "+ sum over the parts that were drawn at random and labelled, each divided by the chance with which it was drawn "
    "(Horvitz and Thompson 1952, eq. 6). A wrong verdict counts here also where a person caught it in time",
    "false_rejects": "as escapes, for parts that are not good by the model and ok by a person",
    "interval": "95 %: the parts with a person's word are certain; the share of wrong ones among the others by Clopper "
    "and Pearson, with (sum of weights)² / (sum of weights²) as the number of drawn parts, times the number of others",
    "reviews": "parts on which the line was told `review`, so that a person had to look",
    "reviews_saved": "before.reviews x parts - reviews",
    "recovered": "parts that followed their recommendation and were finished within specification, by outcomes of the "
    "month of the process with the product's name",
    "cost": "escapes x escape + false_rejects x false_reject + reviews x review, by the product's file",
    "cost_before": "parts x (before.escapes x escape + before.false_rejects x false_reject + before.reviews x review)",
    "saved": "cost_before - cost; its interval takes escapes and false rejects at their ends together, so that it is "
    "rather too wide",
}


@dataclass(frozen=True, slots=True)
class Wrong:
    """How many verdicts of one kind were wrong."""

    known: int
    """By a person's word."""
    sampled: int
    """Parts drawn at random, labelled, and without another word."""
    sampled_wrong: int
    others: int
    """Parts of this verdict without a person's word, for which the drawn ones stand."""
    estimate: float | None
    """None: no part of the others was drawn at random, so that nothing can be said of them."""
    low: float
    high: float
    """At most all of them, where nothing is known of the others."""


@dataclass(frozen=True, slots=True)
class Money:
    """Amounts in the product's currency."""

    currency: str
    cost: float | None
    """None: escapes or false rejects are not known."""
    cost_before: float | None
    """None: the product's file does not say how it was."""
    saved: float | None
    saved_low: float | None
    saved_high: float | None


@dataclass(frozen=True, slots=True)
class Month:
    """A product's month."""

    product: str
    month: str
    parts: int
    failed: int
    """Inspections that no model judged: camera faults and errors."""
    ok: int
    ng: int
    reviews: int
    """By what the line was told; the verdicts of modes shadow and advise are among these."""
    escapes: Wrong
    false_rejects: Wrong
    reviews_saved: float | None
    recovered: int
    recovered_worth: float
    """Realised, less what they would have been worth scrapped, in the processes' currency."""
    money: Money | None
    """None: the product's file says nothing of `money`."""


def month_of(text: str) -> tuple[datetime, datetime]:
    """First moment of a month such as `2026-11`, and of the next one, UTC; raises InvalidInput."""
    try:
        begin = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        after = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    except ValueError as error:  # also of the last month that a calendar has: its end is none
        raise InvalidInput(f"a month is written as 2026-11, not {text!r}") from error
    return begin, after


def products(session: Session) -> list[str]:
    """Every product that was ever inspected."""
    return sorted(loose_scan.values(session, col(Inspection.product)))


def report(context: Context, session: Session, models: Models, *, product: str, month: str) -> Month:
    """A product's month; raises InvalidInput for a month that is none."""
    begin, after = month_of(month)
    found = money_sums.of(session, product, begin, after)
    told, said = Counter[Verdict | None](), Counter[Verdict | None]()
    for (line, model), number in found.judged.items():
        told[line] += number
        said[model] += number
    escapes = _wrong_of(found, Verdict.OK, total=said[Verdict.OK])
    rejects = _wrong_of(found, Verdict.NG, total=said[Verdict.NG])
    judged, reviews = sum(told.values()), told[Verdict.REVIEW]
    recovered, worth = _recovered(session, models, product, begin, after)
    costs = context.policies.rules(product).costs
    before = costs.before if costs else None
    return Month(
        product=product,
        month=month,
        parts=judged,
        failed=found.failed,
        ok=told[Verdict.OK],
        ng=told[Verdict.NG],
        reviews=reviews,
        escapes=escapes,
        false_rejects=rejects,
        reviews_saved=before.reviews * judged - reviews if before else None,
        recovered=recovered,
        recovered_worth=round(worth, 2),
        money=_money(costs, judged, escapes, rejects, reviews) if costs else None,
    )


def _wrong_of(found: Sums, verdict: Verdict, *, total: int) -> Wrong:
    """How many of the model's verdicts of one kind were wrong; `ok` is when the part is defective, `ng` when not."""
    words = Counter({bad: number for (said, bad), number in found.spoken.items() if said == verdict})
    drawn = Counter({(bad, chance): n for (said, bad, chance), n in found.drawn.items() if said == verdict})
    return wrong(words, drawn, wrong_when=verdict == Verdict.OK, total=total)


def wrong(words: Counter[bool], drawn: Counter[tuple[bool, float]], *, wrong_when: bool, total: int) -> Wrong:
    """How many verdicts of one kind were wrong (see `FORMULAS`).

    Args:
        words: is it defective, by a person's word -> parts.
        drawn: (is it defective, by what was drawn on it, the chance with which it was drawn at random) -> parts
            without a person's word.
        wrong_when: the truth that makes them wrong: True, defective; False, not.
        total: how many parts have that verdict.
    """
    known = words[wrong_when]
    others = total - words.total()
    seen = [(defective == wrong_when, chance) for (defective, chance), n in sorted(drawn.items()) for _ in range(n)]
    if not others:
        return Wrong(known, 0, 0, 0, float(known), float(known), float(known))
    if not seen:
        return Wrong(known, 0, 0, others, None, float(known), float(known + others))
    missed = [float(each) for each, _ in seen]
    chances = [chance for _, chance in seen]
    mean = estimate(missed, chances, total=others).value
    weights = [1 / chance for chance in chances]
    number = sum(weights) ** 2 / sum(weight**2 for weight in weights)
    share = sum(weight * each for weight, each in zip(weights, missed, strict=True)) / sum(weights)
    low, high = clopper_pearson(share * number, number)
    return Wrong(
        known=known,
        sampled=len(seen),
        sampled_wrong=int(sum(missed)),
        others=others,
        estimate=known + mean * others,
        low=known + min(low, mean) * others,
        high=known + max(high, mean) * others,
    )


def clopper_pearson(hits: float, number: float, level: float = LEVEL) -> tuple[float, float]:
    """The interval of a share of which `hits` of `number` were seen; both may be fractions (weighted counts).

    Source:
        Clopper and Pearson 1934, Biometrika 26; for weighted counts Korn and Graubard 1998, Survey Methodology 24.
    """
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = 0.0 if hits <= 0 else float(beta.ppf(tail, hits, number - hits + 1))
    high = 1.0 if hits >= number else float(beta.ppf(1 - tail, hits + 1, number - hits))
    return low, high


def _money(costs: Costs, parts: int, escapes: Wrong, rejects: Wrong, reviews: int) -> Money:
    def cost(escaped: float, rejected: float) -> float:
        return escaped * costs.escape + rejected * costs.false_reject + reviews * costs.review

    known = escapes.estimate is not None and rejects.estimate is not None
    now = cost(escapes.estimate or 0.0, rejects.estimate or 0.0) if known else None
    was, b = None, costs.before
    if b is not None:
        was = parts * (b.escapes * costs.escape + b.false_rejects * costs.false_reject + b.reviews * costs.review)
    return Money(
        currency=costs.currency,
        cost=_cents(now),
        cost_before=_cents(was),
        saved=_cents(was - now) if was is not None and now is not None else None,
        saved_low=_cents(was - cost(escapes.high, rejects.high)) if was is not None else None,
        saved_high=_cents(was - cost(escapes.low, rejects.low)) if was is not None else None,
    )


def _recovered(session: Session, models: Models, product: str, begin: datetime, after: datetime) -> tuple[int, float]:
    """Parts that were saved by following advice, and what that was worth against scrapping them."""
    number, worth = 0, 0.0
    for version in process_service.all_current(session):
        if version.name != product:
            continue
        process = models.of(version).process
        wanted = select(Outcome).where(
            Outcome.process == version.name,
            col(Outcome.received_at) >= begin,
            col(Outcome.received_at) < after,
        )
        outcomes = list(session.exec(wanted))
        shared = process_set_ups.sharing(session, version.name, process, [o.content for o in outcomes])
        for outcome in outcomes:
            asked = select(Recommendation).where(
                Recommendation.process == version.name, Recommendation.part == outcome.part
            )
            rows = list(session.exec(asked.order_by(col(Recommendation.id))))
            if not rows or not process_money.was_followed(process, rows, outcome.content):
                continue
            books = process_money.account(process, rows, outcome.content, shared)
            if books.fate == "in" and books.realised is not None:
                number += 1
                worth += books.realised - books.if_scrapped
    return number, worth


def _cents(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 2)
