"""Accounts of people and keys of machines, for administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from server import first_login, people
from server.access import Role
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep
from server.oidc_accounts import NO_PASSWORD
from server.records import ApiKey, User

router = APIRouter(tags=["people"])

PersonRole = Literal["operator", "leader", "labeller", "engineer", "admin"]


class PersonJson(BaseModel):
    """A person's account."""

    name: str
    role: str
    created_at: datetime
    badge: bool = Field(description="Logs in by a station badge, too.")
    company: bool = Field(description="An identity provider vouches for it: it has no password here.")


class PersonPage(BaseModel):
    """Every account, by name."""

    items: list[PersonJson]


class NewPerson(BaseModel):
    """An account to be made."""

    name: str = Field(min_length=1, max_length=64)
    role: PersonRole
    password: str = Field(min_length=8, max_length=256)


class PersonChange(BaseModel):
    """What shall be different; what is left out stays."""

    role: PersonRole | None = None
    password: str | None = Field(default=None, min_length=8, max_length=256)


class KeyJson(BaseModel):
    """A key, without the key itself: that is told once, when it is made."""

    id: str
    name: str
    role: str
    created_at: datetime
    expires_at: datetime | None = Field(description="null: until revoked.")
    revoked_at: datetime | None


class KeyPage(BaseModel):
    """Every key, the newest first."""

    items: list[KeyJson]


class NewKey(BaseModel):
    """A key to be made."""

    name: str = Field(min_length=1, max_length=64, description="What it is for; shown where it acted.")
    role: Role
    days: float | None = Field(default=None, gt=0, le=36500, description="It ends after so many days; null: never.")


class MadeKey(BaseModel):
    """A new key, told only now."""

    key: str


@router.get("/people")
def list_people(session: SessionDep) -> PersonPage:
    """Who may log in, and as what."""
    badges = people.with_badge(session)
    return PersonPage(items=[_person(user, badges) for user in people.accounts(session)])


@router.post("/people", status_code=201)
def add_person(wish: NewPerson, session: SessionDep, who: IdentityDep, context: ContextDep) -> PersonJson:
    """A new account."""
    made = people.add(session, wish.name, Role(wish.role), wish.password, by=who.name, now=context.now())
    answer = _person(made, frozenset())
    session.commit()
    return answer


@router.patch("/people/{name}")
def change_person(
    name: str, wish: PersonChange, session: SessionDep, who: IdentityDep, context: ContextDep
) -> PersonJson:
    """Another role, or another password; either ends the account's log-ins."""
    if wish.password is not None:
        people.new_password(session, name, wish.password, by=who.name, now=context.now())
    if wish.role is not None:
        people.change_role(session, name, Role(wish.role), by=who.name, now=context.now())
    answer = _person(people.account(session, name), people.with_badge(session))
    session.commit()
    if wish.password is not None:
        first_login.forget(context.settings, name)
    return answer


@router.delete("/people/{name}", status_code=204)
def remove_person(name: str, session: SessionDep, who: IdentityDep, context: ContextDep) -> None:
    """Remove an account; what the person said stays under the name."""
    people.remove(session, name, by=who.name, now=context.now())
    session.commit()


@router.get("/keys")
def list_keys(session: SessionDep) -> KeyPage:
    """Every key there ever was."""
    return KeyPage(items=[_key(key) for key in people.keys(session)])


@router.post("/keys", status_code=201)
def add_key(wish: NewKey, session: SessionDep, who: IdentityDep, context: ContextDep) -> MadeKey:
    """A new key; it is shown once."""
    made = people.add_key(session, wish.name, wish.role, wish.days, by=who.name, now=context.now())
    session.commit()
    return MadeKey(key=made)


@router.delete("/keys/{id}")
def revoke_key(id: str, session: SessionDep, who: IdentityDep, context: ContextDep) -> KeyJson:
    """End a key."""
    answer = _key(people.revoke_key(session, id, by=who.name, now=context.now()))
    session.commit()
    return answer


def _person(user: User, badges: frozenset[str]) -> PersonJson:
    told = user.model_dump(include={"name", "role", "created_at"})
    return PersonJson(**told, badge=user.name in badges, company=user.password_hash == NO_PASSWORD)


def _key(key: ApiKey) -> KeyJson:
    return KeyJson(**key.model_dump(include=set(KeyJson.model_fields)))
