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
    at = context.now()
    limit.check(f"{address} {who.name}", now=at)
    with context.database.read() as session:
        user = session.get(User, who.name)
    by_password, known = auth.verify_password(user, who.password), user
    if not by_password:
        user = _by_badge(who, context, at) if user is None else None
    if user is None:
        limit.failed(f"{address} {who.name}", now=at)
        if known is not None:  # what else was typed as a name may be somebody's password
            with context.database.write() as session:
                audit.record(session, "login.failed", known.name, {"address": address}, by=known.name, at=at)
                session.commit()
        raise NotLoggedIn("the name or the password is wrong")
    limit.succeeded(f"{address} {who.name}")
    with context.database.write() as session:
        token = auth.open_session(session, user, now=at, hours=context.settings.session_hours)
        if by_password:  # by badge it is on record already
            audit.record(session, "login", user.name, {"address": address}, by=user.name, at=at)
        session.commit()
    keep_log_in(response, request, token, hours=context.settings.session_hours)
    return Who(name=user.name, role=user.role)


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


def _by_badge(who: Credentials, context: Context, now: datetime) -> User | None:
    """Whose badge the name is, with its PIN as the password; None: nobody's, or it is wrong."""
    with context.database.read() as session:
        if not oidc_accounts.is_badge(session, who.name):
            return None
    with context.database.write() as session:
        user = oidc_accounts.who_has_badge(session, who.name, who.password, now=now)
        session.commit()
        return session.get(User, user.name) if user is not None else None


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
    limit.check(f"{address} {user.name}", now=at)
    right, new = auth.verify_password(user, wish.old), auth.hash_of(wish.new)  # slow, so not while others wait to write
    if not right:
        limit.failed(f"{address} {user.name}", now=at)
    with context.database.write() as session:
        kind = "account.password" if right else "login.failed"
        audit.record(session, kind, user.name, {"address": address}, by=user.name, at=at)
        if right and (account := session.get(User, user.name)) is not None:
            auth.set_hash(session, account, new)
        session.commit()
    if not right:
        raise NotLoggedIn("the old password is wrong")
    first_login.forget(context.settings, user.name)
