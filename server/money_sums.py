"""What a month of money and the parts of a station are added up from, a day at a time: days that are over are summed up
once and kept.

Exact at every moment, whoever writes, and whatever the clocks say: triggers of the database (migration 0012) tell of
everything that is written of a day that has a row in `moneyday`, in the writer's own transaction. Sums count while
nothing was told of their day since the moment as of which they were computed; all other days are added up from their
rows. A day's row is made first; its sums only once every transaction that may not have seen that row has ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, or_, text, update
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from labeling.records import Annotation, LabelTask, Reason, TaskState
from qc.records import Decision, Inspection, Progress
from qc.verdict import Verdict
from server import loose_scan, station_days
from server.context import Context
from server.db import Database
from server.jobs.runner import JobRun
from server.money_records import MoneyChange, MoneyDay
from server.station_days import Tally
from server.word_records import counts

KIND = "sum_up_days"
CRON = "7 * * * *"
"""When days are summed up that are over, or of which something was written since."""
OVER_AFTER = timedelta(hours=1)
"""So long after its end a day is summed up; what is written later costs that day another sum."""
DAY = timedelta(days=1)
CHANGED = select(MoneyChange.n).where(MoneyChange.product == MoneyDay.product, MoneyChange.day == MoneyDay.day)
"""What was told of a day; while there is any, what is kept of it does not count."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Parts of one product in some time, by what they have in common."""

    judged: Counter[tuple[Verdict | None, Verdict | None]] = field(default_factory=Counter)
    """(what the line was told, what the model said) -> parts."""
    failed: int = 0
    spoken: Counter[tuple[Verdict | None, bool]] = field(default_factory=Counter)
    """(what the model said, is it defective by a person's word that stands) -> parts."""
    drawn: Counter[tuple[Verdict | None, bool, float]] = field(default_factory=Counter)
    """(what the model said, is it defective by what was drawn on it, the chance with which it was drawn at random) ->
    parts without a person's word, all of whose random crops are labelled."""

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.judged + other.judged,
            self.failed + other.failed,
            self.spoken + other.spoken,
            self.drawn + other.drawn,
        )

    def as_json(self) -> dict[str, Any]:
        """For the database; `from_json` gives the same back."""
        return {
            "judged": [[*key, number] for key, number in self.judged.items()],
            "failed": self.failed,
            "spoken": [[*key, number] for key, number in self.spoken.items()],
            "drawn": [[*key, number] for key, number in self.drawn.items()],
        }

    @staticmethod
    def from_json(told: dict[str, Any]) -> Sums:
        """What `as_json` gave."""
        return Sums(
            Counter({(_verdict(line), _verdict(said)): n for line, said, n in told["judged"]}),
            told["failed"],
            Counter({(_verdict(said), bad): n for said, bad, n in told["spoken"]}),
            Counter({(_verdict(said), bad, chance): n for said, bad, chance, n in told["drawn"]}),
        )


def of(session: Session, product: str, begin: datetime, after: datetime) -> Sums:
    """A product's parts from one midnight (UTC) to another: days that are kept, and the others from their rows."""
    upto = begin
    total = Sums()
    for day, sums in _kept(session, product, begin, after):
        if day > upto:
            total += from_rows(session, product, upto, day)
        total, upto = total + sums, day + DAY
    return total + from_rows(session, product, upto, after) if upto < after else total


def from_rows(session: Session, product: str, begin: datetime, after: datetime) -> Sums:
    """A product's parts that were received from `begin` to before `after`, each looked at."""
    parts = (
        col(Inspection.product) == product,
        col(Inspection.received_at) >= begin,
        col(Inspection.received_at) < after,
    )
    judged: Counter[tuple[Verdict | None, Verdict | None]] = Counter()
    failed = 0
    kinds = col(Inspection.progress), col(Inspection.verdict), col(Inspection.model_verdict)
    counted = sql_select(*kinds, func.count(), func.min(col(Inspection.id)), func.max(col(Inspection.id)))
    ids: list[str] = []
    for progress, verdict, own, number, first, last in session.execute(counted.where(*parts).group_by(*kinds)):
        if progress == Progress.DONE:
            judged[verdict, _verdict(own) or verdict] += number
            ids += [first, last]
        failed += number if progress == Progress.FAILED else 0
    if not ids:
        return Sums(judged, failed)
    done = (*parts, col(Inspection.progress) == Progress.DONE)
    words = _words(session, done, min(ids), max(ids))
    spoken = Counter(words.values())
    drawn = Counter(found for id, found in drawn_of(session, done, min(ids), max(ids)).items() if id not in words)
    return Sums(judged, failed, spoken, drawn)


def _words(session: Session, parts: Any, first: str, last: str) -> dict[str, tuple[Verdict | None, bool]]:
    """Inspection -> (what the model said, is it defective by the word that stands).

    Args:
        first: smallest id of these parts; `last`: the largest. Ids follow time: an index gives the few words between.
    """
    columns = col(Inspection.id), col(Inspection.verdict), col(Inspection.model_verdict), col(Decision.verdict)
    spoken = sql_select(*columns).join(Decision, col(Inspection.id) == col(Decision.inspection_id))
    between = col(Decision.inspection_id).between(first, last)
    rows = session.execute(spoken.where(*parts, between, counts()).order_by(col(Decision.id)))
    return {id: (_verdict(own) or verdict, word == Verdict.NG) for id, verdict, own, word in rows}


def drawn_of(session: Session, parts: Any, first: str, last: str) -> dict[str, tuple[Verdict | None, bool, float]]:
    """Inspection -> (what the model said, is it defective by what was drawn, chance): all random crops are labelled."""
    sampled = col(LabelTask.reason) == Reason.SAMPLE, col(LabelTask.inspection_id).between(first, last)
    columns = col(Inspection.id), col(Inspection.verdict), col(Inspection.model_verdict)
    crops = sql_select(*columns, col(LabelTask.id), col(LabelTask.state), col(LabelTask.chance))
    crops = crops.join(LabelTask, col(Inspection.id) == col(LabelTask.inspection_id))
    crops = crops.where(*parts, *sampled)
    rows = list(session.execute(crops))
    waiting = {id for id, _, _, _, state, _ in rows if state != TaskState.DONE}
    standing = sql_select(col(Inspection.id), col(Annotation.drawn))
    standing = standing.join(LabelTask, col(Inspection.id) == col(LabelTask.inspection_id))
    standing = standing.join(Annotation, col(Annotation.label_task_id) == col(LabelTask.id))
    standing = standing.where(
        *parts,
        *sampled,
        col(Annotation.superseded).is_(False),
        col(Annotation.deleted).is_(False),
    )
    marks = session.execute(standing) if rows else ()
    defective = {id for id, drawn in marks if drawn and any(drawn.values())}
    found: dict[str, tuple[Verdict | None, bool, float]] = {}
    for id, verdict, own, _, _, chance in rows:
        if id not in waiting:
            least = min(chance, found[id][2]) if id in found else chance
            found[id] = (_verdict(own) or verdict, id in defective, least)
    return found


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Sum up what is over; a later run does what this one may not do yet."""
    summed = 0
    for _ in keep(context.database, now=run.clock()):
        summed += 1
        run.check()
    return {"days": summed}


def keep(database: Database, *, now: datetime) -> Iterator[tuple[str, str]]:
    """Sum up each day that is over and has no sums that count. Several processes may do it at once.

    Yields:
        (product, day), each once it is kept.
    """
    with database.read() as session:
        days = list(_without_row(session, over=now - OVER_AFTER))
    if days:
        with database.write() as session:
            for product, day in days:
                if session.get(MoneyDay, (product, day)) is None:  # another process may have been quicker
                    session.execute(_insert(database).values(product=product, day=day, version=0))
            session.commit()
    _learn_from_when(database)
    with database.read() as session:
        wanted = sql_select(col(MoneyDay.product), col(MoneyDay.day))
        wanted = wanted.where(or_(col(MoneyDay.sums).is_(None), col(MoneyDay.stations).is_(None), CHANGED.exists()))
        stale = [(product, day) for product, day in session.execute(wanted.order_by(col(MoneyDay.day)))]
    for product, day in stale:
        if _sum_up(database, product, day):
            yield product, day


def _kept(session: Session, product: str, begin: datetime, after: datetime) -> list[tuple[datetime, Sums]]:
    """Days with sums that count, in their order; asked in one statement, so as of one moment."""
    wanted = select(MoneyDay).where(
        MoneyDay.product == product,
        MoneyDay.day >= _name(begin),
        MoneyDay.day < _name(after),
        col(MoneyDay.sums).is_not(None),
        ~CHANGED.exists(),
    )
    rows = session.exec(wanted.order_by(col(MoneyDay.day)).execution_options(populate_existing=True))
    return [(_begin(row.day), Sums.from_json(row.sums)) for row in rows if row.sums is not None]


def kept_stations(session: Session, product: str, before: datetime) -> list[tuple[datetime, Tally]]:
    """Days of a product that ended by then and whose stations are kept, in their order: (midnight, how many)."""
    wanted = sql_select(col(MoneyDay.day), col(MoneyDay.stations)).where(
        col(MoneyDay.product) == product,
        col(MoneyDay.day) < _name(before),
        col(MoneyDay.stations).is_not(None),
        ~CHANGED.exists(),
    )
    rows = session.execute(wanted.order_by(col(MoneyDay.day)))
    return [(_begin(day), station_days.from_json(told)) for day, told in rows]


def _without_row(session: Session, *, over: datetime) -> Iterator[tuple[str, str]]:
    """(product, day) of days with parts that ended before `over` and have no row yet."""
    known = {(product, day) for product, day in session.execute(sql_select(col(MoneyDay.product), col(MoneyDay.day)))}
    for product in loose_scan.values(session, col(Inspection.product)):
        first = sql_select(func.min(col(Inspection.received_at))).where(Inspection.product == product)
        since = session.execute(first).scalar()
        while since is not None and _midnight(since) + DAY <= over:
            if (product, _name(since)) not in known:
                yield product, _name(since)
            day = _midnight(since) + DAY
            while (product, _name(day)) in known:  # nothing need be asked of these
                day += DAY
            since = session.execute(first.where(col(Inspection.received_at) >= day)).scalar()


def _insert(database: Database) -> Any:
    if database.dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as of_postgresql

        return of_postgresql(MoneyDay).on_conflict_do_nothing()
    return insert(MoneyDay)


def _learn_from_when(database: Database) -> None:
    """Note of new rows from which transaction on each sees them: no row may be summed up while an earlier one runs.

    A number of the future comes from another server of PostgreSQL, of which this one was restored; it is asked anew.
    """
    with database.write() as session:
        mine = _this_transaction(session)
        fresh = or_(col(MoneyDay.known_from).is_(None), col(MoneyDay.known_from) > mine)
        session.execute(update(MoneyDay).where(fresh).values(known_from=mine))
        session.commit()


def _sum_up(database: Database, product: str, day: str) -> bool:
    """Compute a day's sums as of one moment and keep them; False where that must wait or another was quicker."""
    with database.read() as session:
        if database.dialect == "postgresql":
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        row = session.get(MoneyDay, (product, day))
        if row is None or row.known_from is None or row.known_from > _oldest_running(session):
            return False
        version = row.version
        told = list(session.exec(select(MoneyChange.n).where(MoneyChange.product == product, MoneyChange.day == day)))
        begin, end = _begin(day), _begin(day) + DAY
        sums = from_rows(session, product, begin, end)
        seen = station_days.from_rows(session, product=product, begin=begin, before=end)
    with database.write() as session:
        mine = update(MoneyDay).where(
            col(MoneyDay.product) == product, col(MoneyDay.day) == day, col(MoneyDay.version) == version
        )
        found = {"sums": sums.as_json(), "stations": station_days.as_json(seen)}
        kept: Any = session.execute(mine.values(**found, version=version + 1))
        if kept.rowcount == 0:
            return False
        for first in range(0, len(told), 500):
            session.execute(delete(MoneyChange).where(col(MoneyChange.n).in_(told[first : first + 500])))
        session.commit()
    return True


def _this_transaction(session: Session) -> int:
    """Its number: whoever has a lower one may have written before. SQLite has none: one writes after the other."""
    if session.get_bind().dialect.name != "postgresql":
        return 0
    return int(session.execute(text("SELECT pg_current_xact_id()::text")).scalar_one())


def _oldest_running(session: Session) -> int:
    """Every transaction with a lower number has ended, and this session sees what it wrote."""
    if session.get_bind().dialect.name != "postgresql":
        return 0
    return int(session.execute(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")).scalar_one())


def _verdict(text: str | None) -> Verdict | None:
    return Verdict(text) if text else None


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _name(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()


def _begin(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
