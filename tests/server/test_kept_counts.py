"""What is counted from very many rows is told at once, however long counting takes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated

import pytest
from annotated_types import Gt
from pydantic import TypeAdapter

from server.kept_counts import KeptCounts


class Rows:
    """Rows of which there are ever more; counting them takes two seconds of a clock of its own."""

    def __init__(self) -> None:
        self.number, self.now = 1, 0.0
        self.counts, self.fails = 0, False
        self.may_end = threading.Event()
        self.may_end.set()

    def count(self, _session: object) -> int:
        found, self.counts = self.number, self.counts + 1
        assert self.may_end.wait(30)
        self.now += 2.0
        if self.fails:
            raise OSError("the database is away")
        return found


@pytest.fixture
def asking(database):
    """Asks a `KeptCounts` of a twentieth of the time for the count of such rows, of which so many are few."""

    def make(rows: Rows, *, few: int):
        sums = KeptCounts(few=few, share=0.05, clock=lambda: rows.now)
        return lambda: sums.told("all", rows.number, rows.number, database, rows.count)

    return make


def counted_beside() -> None:
    """Wait for the threads that count."""
    for thread in threading.enumerate():
        if thread.name == "kept-counts":
            thread.join(30)


def test_few_rows_are_counted_whenever_there_are_new_ones(asking):
    rows = Rows()
    ask = asking(rows, few=2)
    assert (ask(), ask(), rows.counts) == (1, 1, 1)
    rows.number = 2
    assert (ask(), ask(), rows.counts) == (2, 2, 2)


def test_many_rows_are_counted_beside_and_the_last_count_is_told(asking):
    rows = Rows()
    ask = asking(rows, few=1)
    assert ask() == 1
    rows.number, rows.now = 2, rows.now + 37.9
    assert ask() == 1
    counted_beside()
    assert rows.counts == 1, "it rests nineteen times as long as it took"
    rows.now += 0.2
    rows.may_end.clear()
    assert (ask(), ask()) == (1, 1), "nobody waits for it"
    rows.may_end.set()
    counted_beside()
    assert (ask(), rows.counts) == (2, 2), "and it was counted once"


def test_a_count_that_fails_beside_is_tried_again_after_a_rest(asking):
    rows = Rows()
    ask = asking(rows, few=1)
    assert ask() == 1
    rows.number, rows.fails, rows.now = 2, True, rows.now + 100
    assert ask() == 1
    counted_beside()
    rows.fails = False
    assert ask() == 1
    counted_beside()
    assert (ask(), rows.counts) == (1, 2)
    rows.now += 100
    assert ask() == 1
    counted_beside()
    assert ask() == 2


def test_what_was_counted_with_rows_that_are_erased_is_told_no_more(database):
    rows = Rows()
    counts = KeptCounts(few=0, share=0.05, clock=lambda: rows.now)

    def ask() -> int:
        return counts.told("all", rows.number, rows.number, database, rows.count)

    rows.number = 5
    assert ask() == 5
    rows.number, rows.now = 6, rows.now + 100
    rows.may_end.clear()
    assert ask() == 5, "the sixth is being counted"
    rows.number = 2
    counts.forget()
    rows.may_end.set()
    assert ask() == 2, "counted while somebody waits"
    counted_beside()
    assert ask() == 2, "what was begun before the erasure is not kept"


def test_what_took_long_is_told_at_once_after_a_start_and_counted_beside(database, tmp_path):
    rows = Rows()

    def started(form: TypeAdapter[int] | None) -> Callable[[], int]:
        counts = KeptCounts(tmp_path, few=0, clock=lambda: rows.now)
        return lambda: counts.told(("all", "bar"), rows.number, rows.number, database, rows.count, form=form)

    assert started(TypeAdapter(int))() == 1
    rows.number = 7
    ask = started(TypeAdapter(int))
    assert ask() == 1, "from the file"
    counted_beside()
    assert (ask(), rows.counts) == (7, 2)
    large = TypeAdapter(Annotated[int, Gt(100)])
    assert started(large)() == 7, "a version that tells something else counts, and waits"
    assert rows.counts == 3
    assert started(None)() == 7, "what has no form is kept nowhere"
    assert rows.counts == 4
