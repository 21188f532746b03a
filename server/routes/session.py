"""Logging in and out."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from server import audit, auth, first_login, oidc_accounts
from server.auth import COOKIE, IdentityDep
from server.context import Context, ContextDep
from server.db import SessionDep
from server.errors import NotAllowed, NotLoggedIn
from server.records import User

router = APIRouter(tags=["session"])


class Credentials(BaseModel):
    """A name and its password."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=256)


class Who(BaseModel):
    """Who is logged in."""

    name: str
    role: str


class NewPassword(BaseModel):
    """The password so far, and the new one."""

    old: str = Field(max_length=256)
    new: str = Field(max_length=256)


@router.post("/session")
def log_in(who: Credentials, request: Request, response: Response, context: ContextDep) -> Who:
    """Log in: sets the cookie `qc_session`. Instead of a name what a badge's reader types, with the PIN as password."""
    limit: auth.FailureLimit = request.app.state.failure_limit
    address = request.client.host if request.client else ""
    at, settings = context.now(), context.settings
    try:
        with limit.attempt(f"{address} {who.name}", now=at):
            user, by_password = _known(who, context, at)
    except NotLoggedIn:
        _keep_failure(who.name, address, context, at)
        raise
    with context.database.write() as session:
        token = auth.open_session(session, user, now=at, hours=settings.session_hours, most=settings.log_ins_at_once)
        if by_password:  # by badge it is on record already
            audit.record(session, "login", user.name, {"address": address}, by=user.name, at=at)
        session.commit()
    keep_log_in(response, request, token, hours=settings.session_hours)
    return Who(name=user.name, role=user.role)


def _known(who: Credentials, context: Context, now: datetime) -> tuple[User, bool]:
    """Whose name or badge it is, and whether it is a name with its password. Raises NotLoggedIn, NotAllowed."""
    with context.database.read() as session:
        named = session.get(User, who.name)
    if auth.verify_password(named, who.password) and named is not None:
        return named, True
    user = oidc_accounts.who_has_badge(context.database, who.name, who.password, now=now) if named is None else None
    if user is None:
        raise NotLoggedIn("the name or the password is wrong")
    return user, False


def _keep_failure(name: str, address: str, context: Context, now: datetime) -> None:
    with context.database.write() as session:
        if session.get(User, name) is not None:  # what else was typed as a name may be somebody's password
            audit.record(session, "login.failed", name, {"address": address}, by=name, at=now)
            session.commit()


def keep_log_in(response: Response, request: Request, token: str, *, hours: float) -> None:
    """Let the browser keep its log-in."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(hours * 3600),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        path="/",
    )


@router.get("/session")
def who_am_i(who: IdentityDep) -> Who:
    """Who is logged in; 401 for nobody."""
    return Who(name=who.name, role=who.role)


@router.delete("/session", status_code=204)
def log_out(request: Request, response: Response, session: SessionDep) -> None:
    """Log out."""
    if token := request.cookies.get(COOKIE):
        auth.close_session(session, token)
        session.commit()
    response.delete_cookie(COOKIE, path="/")


@router.post("/session/password", status_code=204)
def change_password(wish: NewPassword, request: Request, who: IdentityDep, context: ContextDep) -> None:
    """Change one's own password; every log-in of the account ends. Wrong old ones count as wrong log-ins do."""
    limit: auth.FailureLimit = request.app.state.failure_limit
    address = request.client.host if request.client else ""
    at = context.now()
    with context.database.read() as session:
        user = session.get(User, who.name) if who.by_cookie else None
    if user is None:
        raise NotAllowed("only an account that logged in with a password can change it")
    try:
        with limit.attempt(f"{address} {user.name}", now=at):
            if not auth.verify_password(user, wish.old):
                raise NotLoggedIn("the old password is wrong")
    except NotLoggedIn:
        _keep_failure(user.name, address, context, at)
        raise
    new = auth.hash_of(wish.new)
    with context.database.write() as session:
        audit.record(session, "account.password", user.name, {"address": address}, by=user.name, at=at)
        if (account := session.get(User, user.name)) is not None:
            auth.set_hash(session, account, new)
        session.commit()
    first_login.forget(context.settings, user.name)
