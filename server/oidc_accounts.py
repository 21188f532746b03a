"""Log-ins that rest on no password: accounts of people whom a provider knows, and station badges with their PIN.

Functions take a session, and the caller commits, but where they say otherwise.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlmodel import Session, col, delete, select

from qc.errors import Conflict, InvalidInput
from server import audit, passwords
from server.access import Role
from server.db import Database
from server.errors import NotAllowed
from server.oidc import Person, need_role
from server.oidc_records import Badge, OutsideAccount
from server.records import BrowserSession, User

NO_PASSWORD = ""
"""No password has this hash: such an account logs in through its provider alone."""

PIN_DIGITS = (4, 12)
MAX_WRONG_PINS = 10
"""Wrong PINs one after the other by which a badge is blocked: a thief guesses one of a thousand PINs of four digits."""
BADGE_ROLES = (Role.OPERATOR, Role.LEADER, Role.LABELLER)
"""Who may have a badge: four digits shall open neither models nor accounts."""


def account_of(session: Session, person: Person, *, claim: str, now: datetime) -> User:
    """The account of a person whom a provider knows, made at the first log-in; its role is what the provider says now.

    What comes of it is in the audit trail, a refusal as well; so commit after a NotAllowed, too.

    Args:
        claim: where the provider says roles, for the message.

    Raises:
        NotAllowed: the provider gives no role that is known here; what the account had open is closed.
        Conflict: there is a local account, or another person's, of that name. It is never taken over.
    """
    known = session.get(OutsideAccount, (person.issuer, person.subject))
    user = session.get(User, known.user) if known is not None else None
    told = {"issuer": person.issuer, "subject": person.subject, "roles": list(person.roles)}
    try:
        role = need_role(person, claim)
    except NotAllowed:
        if user is not None:
            session.exec(delete(BrowserSession).where(col(BrowserSession.user) == user.name))
        audit.record(session, "login.refused", person.name[:64], told, by=person.name[:64], at=now)
        raise
    if user is None:
        user = _new_account(session, person, role, now)
    known = known or OutsideAccount(issuer=person.issuer, subject=person.subject, user=user.name, logged_in_at=now)
    known.logged_in_at, user.role = now, role.value
    session.add(user)
    session.flush()  # the account before the row that names it
    session.add(known)
    audit.record(session, "login.outside", user.name, {**told, "role": role.value}, by=user.name, at=now)
    return user


def _new_account(session: Session, person: Person, role: Role, now: datetime) -> User:
    name = person.name
    if not name or len(name) > 64 or not name.isprintable() or name != name.strip():
        raise InvalidInput(f"{name[:80]!r} cannot be an account's name; choose another claim by QC_OIDC_NAME_CLAIM")
    if session.get(User, name) is not None:
        raise Conflict(f"there is an account {name} already, which is not this person's; rename one of them")
    return User(name=name, role=role.value, password_hash=NO_PASSWORD, created_at=now)


def give_badge(session: Session, user: User, code: str, pin: str, *, now: datetime) -> None:
    """A badge for an account; what the reader typed before for it, and a badge that it had, are of no use any more.

    Raises:
        InvalidInput: the code or the PIN makes no sense, or the account may do too much for a PIN.
    """
    if not 4 <= len(code) <= 64 or not code.isprintable() or code != code.strip():
        raise InvalidInput("a badge's reader types 4 to 64 printable characters; read the badge instead of typing")
    low, high = PIN_DIGITS
    if not low <= len(pin) <= high or not (pin.isascii() and pin.isdigit()) or len(set(pin)) == 1:
        raise InvalidInput(f"a PIN has {low} to {high} digits, which are not all the same")
    if user.role not in BADGE_ROLES:
        raise InvalidInput(f"{user.name} is {user.role}: a PIN is too little for that; badges are for {_and_so_on()}")
    if session.get(User, code) is not None:
        raise Conflict("what the badge's reader types is the name of an account; take another badge")
    session.exec(delete(Badge).where((col(Badge.user) == user.name) | (col(Badge.code_hash) == _hash(code))))
    session.add(Badge(code_hash=_hash(code), user=user.name, pin_hash=passwords.hash_of(pin), created_at=now))
    audit.record(session, "badge.given", user.name, {}, by="server", at=now)


def take_badges(session: Session, user: str, *, now: datetime) -> int:
    """End an account's badges and its log-ins; returns how many badges there were."""
    badges = list(session.exec(select(Badge).where(Badge.user == user)))
    for badge in badges:
        session.delete(badge)
    if badges:
        session.exec(delete(BrowserSession).where(col(BrowserSession.user) == user))
        audit.record(session, "badge.taken", user, {}, by="server", at=now)
    return len(badges)


def who_has_badge(database: Database, code: str, pin: str, *, now: datetime) -> User | None:
    """Whose badge is this? None: nobody's, or the PIN is wrong. Wrong PINs are counted, and that is committed here.

    A PIN is compared while nobody waits to write, which takes a while; only then it counts. So of many that are tried
    at the same time none opens a badge that the others have blocked.

    Raises:
        NotAllowed: the badge is blocked, after too many wrong PINs or since its account may do too much now.
        Unavailable: too many log in at this moment.
    """
    with database.read() as session:
        badge = session.get(Badge, _hash(code))
        if badge is None:
            return None
        _need_open(session, badge)
    right = passwords.fits(pin, badge.pin_hash)
    with database.write() as session:
        known, badge = badge.pin_hash, session.get(Badge, _hash(code))
        if badge is None or badge.pin_hash != known:  # taken away, or given anew meanwhile
            return None
        user = _need_open(session, badge)
        badge.failures = 0 if right else badge.failures + 1
        session.add(badge)
        if badge.failures == MAX_WRONG_PINS:
            audit.record(session, "badge.blocked", user.name, {"wrong_pins": badge.failures}, by="server", at=now)
        if right:
            audit.record(session, "login.badge", user.name, {}, by=user.name, at=now)
        session.commit()
        return user if right else None


def _need_open(session: Session, badge: Badge) -> User:
    """The badge's account; raises NotAllowed where the badge opens it no more."""
    user = session.get_one(User, badge.user)
    if badge.failures >= MAX_WRONG_PINS or user.role not in BADGE_ROLES:
        raise NotAllowed(f"this badge is blocked; an administrator gives a new one (qc user badge {user.name})")
    return user


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _and_so_on() -> str:
    return " and ".join(role.value for role in BADGE_ROLES)
