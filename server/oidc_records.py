"""Tables of log-ins that rest on something else than a password: another's word, or a badge with its PIN."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column
from sqlmodel import Field, SQLModel

from qc.records import UtcDateTime


class OutsideAccount(SQLModel, table=True):
    """A person whom an identity provider (OpenID Connect) knows, and the account that is theirs here."""

    issuer: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    """The provider's own name for the person; it never changes and is never given to another."""
    user: str = Field(foreign_key="user_account.name", unique=True)
    logged_in_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class Badge(SQLModel, table=True):
    """A station badge: what its reader types, and the PIN that goes with it."""

    code_hash: str = Field(primary_key=True)
    """SHA-256 of what the reader types, in hexadecimal: a badge is copied easily anyway, the PIN is the secret."""
    user: str = Field(foreign_key="user_account.name", index=True)
    pin_hash: str
    """Argon2id, with its parameters and salt."""
    failures: int = 0
    """Wrong PINs since the last right one; too many, and the badge is blocked for good."""
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
