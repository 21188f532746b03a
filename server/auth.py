"""Who sent this? Accounts with passwords and browser sessions; keys for machines.

Functions take a session; the caller commits.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Request
from sqlmodel import Session, col, delete, select

from qc.errors import Conflict, InvalidInput
from server import audit, passwords
from server.access import Role
from server.errors import NotLoggedIn, TooMany
from server.records import ApiKey, BrowserSession, User

COOKIE = "qc_session"
CSRF_HEADER = "x-qc"
"""Unsafe calls by cookie must carry this header, which a form of another site cannot set."""

MIN_PASSWORD = 8
"""Characters; NIST SP 800-63B asks for at least 8."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sent a request."""

    name: str
    role: Role
    by_cookie: bool
    """A browser's cookie, not a key."""


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def parse_role(role: str) -> Role:
    """The role of that name; raises InvalidInput naming the possible ones."""
    try:
        return Role(role)
    except ValueError as error:
        raise InvalidInput(f"there is no role {role!r}; choose one of {', '.join(Role)}") from error


def check_password(password: str) -> None:
    """Raises InvalidInput for a password that is too short or too long."""
    if not MIN_PASSWORD <= len(password) <= 256:
        raise InvalidInput(f"a password has {MIN_PASSWORD} to 256 characters, not {len(password)}")


def add_user(session: Session, name: str, role: Role, password: str, *, now: datetime) -> User:
    """A new account; raises Conflict when the name is taken, InvalidInput for a bad name or password."""
    if not name or len(name) > 64 or not name.isprintable() or name != name.strip():
        raise InvalidInput(f"{name!r} cannot be an account's name: 1 to 64 printable characters, no blanks at the ends")
    password_hash = hash_of(password)  # takes a while: before the transaction begins with its first question
    if session.get(User, name) is not None:
        raise Conflict(f"there is already an account {name}; choose another name, or change its password")
    user = User(name=name, role=role.value, password_hash=password_hash, created_at=now)
    session.add(user)
    return user


def hash_of(password: str) -> str:
    """Hash of a new password, made before a transaction begins: it takes a while. Raises InvalidInput, Unavailable."""
    check_password(password)
    return passwords.hash_of(password)


def set_hash(session: Session, user: User, password_hash: str) -> None:
    """Change a password, given as `hash_of` it, and end every log-in of the account."""
    user.password_hash = password_hash
    session.add(user)
    session.exec(delete(BrowserSession).where(col(BrowserSession.user) == user.name))


def verify_password(user: User | None, password: str) -> bool:
    """Is this the account's password? Takes as long for an account that does not exist. Raises Unavailable."""
    # an account whose provider vouches for it has no password, and takes as long
    return passwords.fits(password, (user and user.password_hash) or passwords.NOBODY) and user is not None


def create_key(session: Session, name: str, role: Role, *, now: datetime, days: float | None = None) -> str:
    """A new key, told only now. It ends after `days`, or never."""
    if days is not None and not 0 < days <= 36500:
        raise InvalidInput(f"a key lasts more than 0 and at most 36500 days, not {days}")
    key = f"qc_{secrets.token_urlsafe(32)}"
    expires = None if days is None else now + timedelta(days=days)
    session.add(ApiKey(name=name, role=role.value, key_hash=_hash(key), created_at=now, expires_at=expires))
    return key


def key_hash(key: str) -> str:
    """What is kept of a key."""
    return _hash(key)


def revoke_keys(session: Session, name: str, *, now: datetime) -> int:
    """End every key of a name; returns how many there were."""
    keys = list(session.exec(select(ApiKey).where(ApiKey.name == name, col(ApiKey.revoked_at).is_(None))))
    for key in keys:
        key.revoked_at = now
        session.add(key)
    return len(keys)


def open_session(session: Session, user: User, *, now: datetime, hours: float, most: int) -> str:
    """Log a browser in; returns the cookie's value. Sessions that are over are swept out on the way.

    Args:
        most: log-ins that the account may have at the same time; for one more the oldest ends. 0: any number.
    """
    token = secrets.token_urlsafe(32)
    session.exec(delete(BrowserSession).where(col(BrowserSession.expires_at) < now))
    if most:
        own = select(BrowserSession).where(BrowserSession.user == user.name)
        newest_first = own.order_by(col(BrowserSession.created_at).desc(), col(BrowserSession.token_hash))
        too_many = session.exec(newest_first.offset(most - 1)).all()
        for one in too_many:
            session.delete(one)
        if too_many:
            audit.record(session, "login.displaced", user.name, {"log_ins": len(too_many)}, by=user.name, at=now)
    session.add(
        BrowserSession(token_hash=_hash(token), user=user.name, created_at=now, expires_at=now + timedelta(hours=hours))
    )
    return token


def close_session(session: Session, token: str) -> None:
    """Log a browser out; an unknown one is no error."""
    session.exec(delete(BrowserSession).where(col(BrowserSession.token_hash) == _hash(token)))


def who_has_key(session: Session, key: str, *, now: datetime) -> Identity:
    """Whose key is this? Raises NotLoggedIn when it is unknown, revoked or over."""
    row = session.exec(select(ApiKey).where(ApiKey.key_hash == _hash(key))).first()
    if row is None or row.revoked_at is not None:
        raise NotLoggedIn("this key is unknown or revoked; make one with `qc key create`")
    if row.expires_at is not None and row.expires_at <= now:
        raise NotLoggedIn(f"this key ended on {row.expires_at:%Y-%m-%d}; make a new one with `qc key create`")
    return Identity(row.name, Role(row.role), by_cookie=False)


def who_has_cookie(session: Session, token: str, *, now: datetime) -> Identity:
    """Whose log-in is this? Raises NotLoggedIn when it is unknown or over."""
    row = session.get(BrowserSession, _hash(token))
    user = session.get(User, row.user) if row is not None and row.expires_at > now else None
    if user is None:
        raise NotLoggedIn("the log-in is over; log in again")
    return Identity(user.name, Role(user.role), by_cookie=True)


class FailureLimit:
    """Slows down guessing: so many failures in a window, then a wait. In memory, bounded."""

    MOST = 10_000
    """Of so many it is known how often they failed; then whoever tried longest ago is forgotten."""

    def __init__(self, failures: int, *, window_s: float = 300.0) -> None:
        self.failures = failures
        self.window = timedelta(seconds=window_s)
        self._times: dict[str, deque[datetime]] = {}
        """Whoever tried last stands last."""
        self._lock = threading.Lock()

    @contextmanager
    def attempt(self, who: str, *, now: datetime) -> Iterator[None]:
        """Around an attempt, which counts as failed from its beginning: many at once are no way around the limit.

        What ends well makes forget it and those before; what ends otherwise than in NotLoggedIn was none.

        Raises:
            TooMany: `who` failed too often, with the seconds to wait.
        """
        with self._lock:
            self._check(who, now)
            self._failed(who, now)
        try:
            yield
        except NotLoggedIn:
            raise
        except BaseException:
            with self._lock:
                if now in (times := self._times.get(who, deque())):
                    times.remove(now)
            raise
        with self._lock:
            self._times.pop(who, None)

    def check(self, who: str, *, now: datetime) -> None:
        """Raises TooMany, with the seconds to wait, when `who` failed too often."""
        with self._lock:
            self._check(who, now)

    def failed(self, who: str, *, now: datetime) -> None:
        """Count a failure."""
        with self._lock:
            self._failed(who, now)

    def _check(self, who: str, now: datetime) -> None:
        times = self._recent(who, now)
        if len(times) >= self.failures:
            wait = max(1, round((times[0] + self.window - now).total_seconds()))
            raise TooMany(f"too many wrong passwords; try again in {wait} s", retry_after_s=wait)

    def _failed(self, who: str, now: datetime) -> None:
        times = self._recent(who, now)
        self._times.pop(who, None)
        self._times[who] = times
        times.append(now)
        if len(self._times) > self.MOST:
            self._times.pop(next(iter(self._times)))

    def _recent(self, who: str, now: datetime) -> deque[datetime]:
        """What counts of the failures; none that lies ahead, as the clock was set back since."""
        times = self._times.get(who, deque())
        return deque(at for at in times if at <= now < at + self.window)


def _identity(request: Request) -> Identity:
    identity: Identity | None = getattr(request.state, "identity", None)
    if identity is None:
        raise NotLoggedIn("log in, or send a key as `Authorization: Bearer <key>`")
    return identity


IdentityDep = Annotated[Identity, Depends(_identity)]
"""Who sent the request, for a route; the guard has already checked that they may."""
