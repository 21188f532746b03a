"""The table of servers that share a database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column
from sqlmodel import Field, SQLModel

from qc.records import UtcDateTime


class ServerHome(SQLModel, table=True):
    """A data folder whose server works on this database."""

    __tablename__ = "server_home"

    home: str = Field(primary_key=True)
    """Its name (`server.home_id`), which an inspection names as its keeper."""
    address: str
    """Where its pages are, for people."""
    seen_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    """By the database's clock, when its server last said that it lives."""
