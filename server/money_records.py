"""Tables of sums that are kept day by day (a month's money, the parts of each station), and of what was written of such
a day later.

Both follow from other tables: `qc db move` leaves them out, and they are made anew there.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index
from sqlmodel import Field, SQLModel

DERIVED = {"derived": True}
"""For `Table.info`: the rows follow from those of other tables."""


class MoneyDay(SQLModel, table=True):
    """A day (UTC) of a product of which sums are kept, or will be. While its row is there, triggers of the database
    write a `MoneyChange` for whatever is written of the day (migration 0012)."""

    __table_args__ = {"info": DERIVED}

    product: str = Field(primary_key=True)
    day: str = Field(primary_key=True)
    """`2026-11-03`."""
    known_from: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    """PostgreSQL: the first transaction that surely sees this row; SQLite: 0. None: not asked yet."""
    version: int = 0
    """Rises with each new `sums`."""
    sums: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    """As `server.money_sums.Sums.as_json` gives them; None: not computed yet."""
    stations: list[Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    """`[station, verdict, parts]`, each pair once; None: not computed yet."""


class MoneyChange(SQLModel, table=True):
    """Something was written of a day: its sums count no more while this row is there."""

    __table_args__ = (Index("ix_moneychange_day", "product", "day"), {"sqlite_autoincrement": True, "info": DERIVED})

    n: int | None = Field(default=None, primary_key=True)
    product: str
    day: str
