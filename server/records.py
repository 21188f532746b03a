"""Tables of people, keys and log-ins. Secrets are stored only as hashes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column
from sqlmodel import Field, SQLModel

from qc.records import UtcDateTime, new_id


class User(SQLModel, table=True):
    """A person's account."""

    __tablename__ = "user_account"  # "user" is a reserved word of PostgreSQL

    name: str = Field(primary_key=True)
    role: str
    """One of `server.access.Role`."""
    password_hash: str
    """Argon2id, with its parameters and salt."""
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class ApiKey(SQLModel, table=True):
    """A key of a machine or program."""

    id: str = Field(default_factory=new_id, primary_key=True)
    name: str
    role: str
    key_hash: str = Field(unique=True)
    """SHA-256 of the key in hexadecimal; the key has 256 random bits, so a slow hash would add nothing."""
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    expires_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    """None: until revoked."""
    revoked_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))


class BrowserSession(SQLModel, table=True):
    """One log-in of one browser."""

    token_hash: str = Field(primary_key=True)
    """SHA-256 of the cookie's 256 random bits, in hexadecimal."""
    user: str = Field(foreign_key="user_account.name", index=True)
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    expires_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
