"""Who may come in over OPC UA, and stay: whoever has a key of the role machine, or admin.

The library asks in the event loop that serves all clients, so a question to the database there would hold up all
results while the database is away. So the keys that hold are read by a thread of its own, every second: that long a key
that was just made is not known yet, and one that was just revoked still is. Each request of a session asks whether its
key still holds: what is revoked, or over, ends the sessions that it opened. (Notifications that a client had asked for
before are still sent, as many as it has publish requests open.)
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from asyncua.crypto.permission_rules import SimpleRoleRuleset, User, UserRole
from asyncua.server.user_managers import UserManager
from sqlmodel import col, select

from server import auth
from server.access import Role
from server.context import Context
from server.records import ApiKey

log = structlog.get_logger(__name__)

LOOK_S = 1.0
"""Between two looks at the keys, in seconds."""
ENTITLED = (Role.MACHINE, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class _Known:
    """A key that has not been revoked."""

    name: str
    role: str
    expires_at: datetime | None


@dataclass
class Visitor(User):
    """Somebody who has come in."""

    key: str = ""
    """Hash of the key."""


class Doors(UserManager):
    """Lets in who has a key; `stop` it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._keys: dict[str, _Known] = {}
        """By the hash of the key."""
        self._is_away = False
        self._stop = threading.Event()
        self._look()
        self._thread = threading.Thread(target=self._run, name="opcua-doors", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join(timeout=5)

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        """The user, or None: then the session is refused. Answers from memory."""
        key = auth.key_hash(password) if password else ""
        who = self._keys.get(key)
        problem = self._problem(who)
        if who is None or problem is not None:
            log.warning("refused over OPC UA", name=username, key=who and who.name, problem=problem)
            return None
        return Visitor(role=UserRole.User, name=who.name, key=key)

    def is_still_known(self, visitor: Visitor) -> bool:
        """Would they be let in again? Answers from memory."""
        return self._problem(self._keys.get(visitor.key)) is None

    def _problem(self, who: _Known | None) -> str | None:
        if who is None:
            return "there was no key, or it is unknown or revoked; make one with `qc key create --role machine`"
        if who.expires_at is not None and who.expires_at <= self._context.now():
            return f"this key ended on {who.expires_at:%Y-%m-%d}; make a new one with `qc key create --role machine`"
        if who.role not in ENTITLED:
            return f"a key of the role {who.role} may not come in over OPC UA; make one with the role machine"
        return None

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        try:
            with self._context.database.read() as session:
                rows = session.exec(select(ApiKey).where(col(ApiKey.revoked_at).is_(None))).all()
                self._keys = {row.key_hash: _Known(row.name, row.role, row.expires_at) for row in rows}
            self._is_away = False
        except Exception as error:  # a database that is away: the keys that were known before hold on
            if not self._is_away:
                log.error("the keys for OPC UA cannot be read", problem=str(error))
            self._is_away = True


class Rights(SimpleRoleRuleset):
    """What visitors may do: what the library lets its users do, for as long as their keys hold."""

    def __init__(self, doors: Doors) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._doors = doors

    def check_validity(self, user: User, action_type_id: Any, body: Any) -> bool:
        """Asked at each request of a session."""
        if not super().check_validity(user, action_type_id, body):  # type: ignore[no-untyped-call]
            return False
        if isinstance(user, Visitor) and self._doors.is_still_known(user):
            return True
        log.warning("refused over OPC UA", key=user.name, problem="its key was revoked, or is over")
        return False
