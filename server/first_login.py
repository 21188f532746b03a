"""The first account: made at the first start, its random password kept for its owner until they change it."""

from __future__ import annotations

import secrets
from pathlib import Path

from sqlmodel import Session, select

from qc.durable import write_whole
from server import auth
from server.access import Role
from server.clock import now
from server.records import User
from server.settings import Settings

NAME = "admin"


def file(settings: Settings) -> Path:
    """Where the first password is kept, readable by its owner only."""
    return settings.folder(".") / "first-login.txt"


def ensure(session: Session, settings: Settings) -> None:
    """Make the first account where there is none yet, and commit."""
    if session.exec(select(User)).first() is not None:
        return
    password = secrets.token_urlsafe(12)
    # before the commit: an account whose password nobody knows would be worse than a stray file
    write_whole(file(settings), f"{NAME} {password}\n", mode=0o600)
    auth.add_user(session, NAME, Role.ADMIN, password, now=now())
    session.commit()


def read(settings: Settings) -> tuple[str, str] | None:
    """Name and password of the first account, as long as it still has its first password."""
    try:
        name, _, password = file(settings).read_text().strip().partition(" ")
    except FileNotFoundError:
        return None
    return name, password


def forget(settings: Settings, name: str) -> None:
    """The account's password was changed: the kept one is of no use any more."""
    if (first := read(settings)) and first[0] == name:
        file(settings).unlink(missing_ok=True)
