"""What a station's verdicts would have cost, by people's words: the proof for a step up, and the day's account.

A part's cost is what its verdict costs where a person's word shows it wrong (`money` of its product's file: `escape`,
`false_reject`), `review` where the model itself asked for a person, and 0 where it was right. The proof is a wager
(`segmentation.eprocess`) on the mean cost of a part being less than the limit: valid at every look, however often one
looks, and shut while more than a tenth of the parts lacks a word, so that nobody picks which count.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlmodel import Session, col, select

from qc.errors import Conflict, InvalidInput
from qc.records import Decision, Inspection, Progress
from qc.verdict import Verdict
from segmentation.eprocess import Wager
from server.context import Context
from server.gate_records import StationMode
from server.gate_rules import Costs
from server.word_records import counts

UNANSWERED = 0.1
"""Share of the parts that may lack a person's word, as at the gate (`server.gate.UNANSWERED`)."""

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a station has shown since it works in its mode."""

    parts: int
    """Judged there since."""
    answered: int
    """Of these, with a person's word."""
    cost_a_part: float | None
    """Mean cost of the answered ones; None without any."""
    limit_a_part: float | None
    """What is to be proved; None: nobody set a limit."""
    e_value: float
    """The wager's highest purse; proof at `needed`."""
    needed: float
    proved: bool
    words: str


@dataclass(frozen=True, slots=True)
class DayCost:
    """What the wrong verdicts on a day's parts cost at a station."""

    amount: float
    """Of several currencies that of the largest sum: they are not added to each other."""
    currency: str
    since: datetime
    """The first of them was judged then; the day's beginning where there is none."""
    wrong: list[str]
    """Inspections, whatever their currency."""
    uncounted: tuple[str, ...] = ()
    """Products with wrong verdicts among them whose file does not say what these cost, sorted."""


def cost_of(costs: Costs, inspection: Inspection, word: Decision) -> float:
    """What the model's verdict on one part costs, by a person's word."""
    if inspection.said == Verdict.REVIEW or inspection.said is None:
        return costs.review
    return costs.of_wrong(truth_is_defective=word.verdict == Verdict.NG, passed=inspection.said == Verdict.OK)


def gather(context: Context, session: Session, row: StationMode) -> Evidence:
    """The evidence of a station in its mode.

    Raises:
        Conflict: a product's file says nothing of money, or the parts there are of several currencies.
    """
    rows = _parts(session, row.station, since=row.since)
    words = _words(session, row.station, since=row.since)
    ordered = sorted((one for one in rows if one.id in words), key=lambda one: words[one.id].id)
    costs = {one.product: costs_of(context, one.product) for one in ordered}
    if len(currencies := sorted({each.currency for each in costs.values()})) > 1:
        raise Conflict(
            f"parts at {row.station} are of several currencies ({', '.join(currencies)}), and a limit is of one: "
            "let their products' files name the same under `money`"
        )
    worst = max((max(each.worst, each.review) for each in costs.values()), default=0.0)
    limit = _limit_a_part(row, rows, context.now())
    spent = [cost_of(costs[one.product], one, words[one.id]) for one in ordered]
    wager, share = Wager(), None
    if limit is not None and worst > 0:
        share = min(limit / worst, 0.999)
        wager = Wager(margin=share)
        for each in spent:
            wager.see(-each / worst)
    shown = wager.evidence()
    enough = len(rows) > 0 and len(rows) - len(ordered) <= UNANSWERED * len(rows)
    proved = share is not None and shown.proved and enough
    mean = sum(spent) / len(spent) if spent else None
    currency = next(iter(currencies), "")
    told = f"{len(ordered)} of {len(rows)} parts have a person's word"
    if mean is not None:
        told += f"; their verdicts cost {mean:.4g} {currency} a part"
    if limit is None:
        told += "; set limit_a_day or limit_a_part to have something to prove"
    else:
        told += (
            f", to be proved: less than {limit:.4g} (evidence {shown.highest:.3g} of the {1 / shown.alpha:.3g} needed)"
        )
    if not enough:
        told += "; decide the others first"
    return Evidence(
        parts=len(rows),
        answered=len(ordered),
        cost_a_part=mean,
        limit_a_part=limit,
        e_value=shown.highest,
        needed=1 / shown.alpha,
        proved=proved,
        words=told,
    )


def cost_of_day(context: Context, session: Session, row: StationMode, moment: datetime) -> DayCost:
    """What wrong verdicts cost at a station, on parts of the day (UTC) of a moment, and since it works in its mode."""
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = max(midnight, row.since)
    words = _words(session, row.station, since=since)
    amounts, wrong, uncounted = defaultdict[str, float](float), list[str](), set[str]()
    first = since
    for one in _parts(session, row.station, since=since, before=midnight + timedelta(days=1)):
        if one.id not in words or one.said == Verdict.REVIEW:
            continue
        try:
            costs = costs_of(context, one.product)
        except (Conflict, InvalidInput):  # a person's word is taken all the same
            if (words[one.id].verdict == Verdict.NG) == (one.said == Verdict.OK):
                uncounted.add(one.product)
            continue
        each = cost_of(costs, one, words[one.id])
        if each > 0:
            first = one.received_at if not wrong else first
            amounts[costs.currency] += each
            wrong.append(one.id)
    currency, amount = max(amounts.items(), key=lambda pair: pair[1], default=("", 0.0))
    return DayCost(amount, currency, first, wrong, tuple(sorted(uncounted)))


def costs_of(context: Context, product: str) -> Costs:
    """What verdicts cost; raises Conflict where the product's file does not say."""
    costs = context.policies.rules(product).costs
    if costs is None:
        raise Conflict(
            f"the file of product {product} says nothing of `money`: add what an escape and a false reject cost"
        )
    return costs


def _limit_a_part(row: StationMode, rows: list[Inspection], now: datetime) -> float | None:
    """The declared limit; else the day's limit over the parts of a day, as they came since."""
    if row.limit_a_part is not None:
        return row.limit_a_part
    if row.limit_a_day is None or not rows:
        return None
    days = max((now - row.since).total_seconds() / DAY_S, 1.0)
    return row.limit_a_day / max(len(rows) / days, 1.0)


def _parts(session: Session, station: str, *, since: datetime, before: datetime | None = None) -> list[Inspection]:
    """Judged at the station, oldest first; what failed is not the model's verdict."""
    wanted = select(Inspection).where(
        Inspection.station == station,
        Inspection.progress == Progress.DONE,
        col(Inspection.received_at) >= since,
    )
    if before is not None:
        wanted = wanted.where(col(Inspection.received_at) < before)
    return list(session.exec(wanted.order_by(col(Inspection.id))))


def _words(session: Session, station: str, *, since: datetime) -> dict[str, Decision]:
    """Inspection -> the word that stands."""
    wanted = (
        select(Decision)
        .join(Inspection, col(Inspection.id) == col(Decision.inspection_id))
        .where(Inspection.station == station, col(Inspection.received_at) >= since, counts())
        .order_by(col(Decision.id))
    )
    return {word.inspection_id: word for word in session.exec(wanted)}
