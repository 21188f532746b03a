"""Accounts and keys as an administrator sees and changes them. Functions take a session; the caller commits.

Each change is an entry of the audit trail, by whoever made it. Passwords, PINs and keys never are.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, col, delete, select

from qc.errors import Conflict, InvalidInput, NotFound
from server import audit, auth, oidc_accounts
from server.access import Role
from server.oidc_records import Badge, OutsideAccount
from server.records import ApiKey, BrowserSession, User


def accounts(session: Session) -> list[User]:
    """Every account, by name."""
    return list(session.exec(select(User).order_by(col(User.name))))


def with_badge(session: Session) -> frozenset[str]:
    """Names of the accounts that have a badge."""
    return frozenset(session.exec(select(Badge.user)))


def account(session: Session, name: str) -> User:
    """The account; raises NotFound."""
    user = session.get(User, name)
    if user is None:
        raise NotFound(f"there is no account {name}")
    return user


def add(session: Session, name: str, role: Role, password: str, *, by: str, now: datetime) -> User:
    """A new account of a person; raises as `auth.add_user`, and InvalidInput for a machine."""
    if role is Role.MACHINE:
        raise InvalidInput("a machine has a key, not an account")
    user = auth.add_user(session, name, role, password, now=now)
    audit.record(session, "account.added", name, {"role": role.value}, by=by, at=now)
    return user


def change_role(session: Session, name: str, role: Role, *, by: str, now: datetime) -> User:
    """What an account may do from now on; its log-ins end, and a badge that would open too much is taken away.

    Raises:
        NotFound: there is no such account.
        InvalidInput: the role is a machine's.
        Conflict: nobody would be left to administer.
    """
    user = account(session, name)
    if role is Role.MACHINE:
        raise InvalidInput("a machine has a key, not an account")
    if user.role == role.value:
        return user
    _need_another_admin(session, user)
    before, user.role = user.role, role.value
    session.add(user)
    session.exec(delete(BrowserSession).where(col(BrowserSession.user) == name))
    if role not in oidc_accounts.BADGE_ROLES:
        oidc_accounts.take_badges(session, name, now=now)
    audit.record(session, "account.role", name, {"before": before, "role": role.value}, by=by, at=now)
    return user


def new_password(session: Session, name: str, password: str, *, by: str, now: datetime) -> None:
    """Another password for an account; its log-ins end. Raises NotFound, InvalidInput."""
    password_hash = auth.hash_of(password)  # takes a while: before the transaction begins with its first question
    auth.set_hash(session, account(session, name), password_hash)
    audit.record(session, "account.password", name, {}, by=by, at=now)


def remove(session: Session, name: str, *, by: str, now: datetime) -> None:
    """Remove an account with its log-ins and its badge; what the person said stays under the name.

    Raises:
        NotFound: there is no such account.
        Conflict: it is one's own, or nobody would be left to administer.
    """
    user = account(session, name)
    if name == by:
        raise Conflict("nobody removes the account they are logged in with; let another administrator do it")
    _need_another_admin(session, user)
    for table in (BrowserSession, Badge, OutsideAccount):
        session.exec(delete(table).where(col(table.user) == name))
    session.flush()
    session.delete(user)
    audit.record(session, "account.removed", name, {"role": user.role}, by=by, at=now)


def keys(session: Session) -> list[ApiKey]:
    """Every key, the newest first."""
    return list(session.exec(select(ApiKey).order_by(col(ApiKey.created_at).desc(), col(ApiKey.id))))


def add_key(session: Session, name: str, role: Role, days: float | None, *, by: str, now: datetime) -> str:
    """A new key, told only now; raises InvalidInput."""
    if not name.strip() or not name.isprintable():
        raise InvalidInput("a key needs a name, so that people know what it is for")
    made = auth.create_key(session, name.strip(), role, now=now, days=days)
    audit.record(session, "key.added", name.strip(), {"role": role.value, "days": days}, by=by, at=now)
    return made


def revoke_key(session: Session, id: str, *, by: str, now: datetime) -> ApiKey:
    """End a key; ending one that has ended changes nothing. Raises NotFound."""
    key = session.get(ApiKey, id)
    if key is None:
        raise NotFound(f"there is no key {id}")
    if key.revoked_at is None:
        key.revoked_at = now
        session.add(key)
        audit.record(session, "key.revoked", key.name, {"key": id}, by=by, at=now)
    return key


def _need_another_admin(session: Session, user: User) -> None:
    others = select(User.name).where(User.role == Role.ADMIN.value, User.name != user.name)
    if user.role == Role.ADMIN.value and session.exec(others).first() is None:
        raise Conflict(f"{user.name} is the only administrator; make another one first")
