"""Every value of a column, or the newest row of each, without reading the whole table: from one value to the next.

PostgreSQL and SQLite both read a whole table (or index) for `DISTINCT`; a recursive query asks an index for the next
larger value as often as there are values, which are few here (stations, products, kinds).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func
from sqlalchemy import select as sql_select
from sqlmodel import Session


def values(session: Session, column: Any) -> list[Any]:
    """Every value of a column but NULL, in the order of the database. The column must lead an index."""
    walk = _walk(column)
    return [value for (value,) in session.execute(sql_select(walk.c.value).where(walk.c.value.is_not(None)))]


def newest_of_each(session: Session, column: Any, newest: Any) -> dict[Any, Any]:
    """Value of `column` -> the largest `newest` of its rows. An index must begin with both, in this order."""
    walk = _walk(column)
    last = sql_select(func.max(newest)).where(column == walk.c.value).scalar_subquery()
    found = session.execute(sql_select(walk.c.value, last).where(walk.c.value.is_not(None)))
    return {value: largest for value, largest in found}


def _walk(column: Any) -> Any:
    first = sql_select(func.min(column).label("value")).cte("value_after_value", recursive=True)
    later = sql_select(func.min(column)).where(column > first.c.value).scalar_subquery()
    return first.union_all(sql_select(later).where(first.c.value.is_not(None)))
