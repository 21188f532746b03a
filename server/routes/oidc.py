"""Logging in by an identity provider (OpenID Connect): away to its page, and back."""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from qc.errors import NotFound, QcError, Unavailable
from server import auth, oidc_accounts
from server.context import Context, ContextDep
from server.errors import NotLoggedIn, status_of
from server.oidc import Provider, Start
from server.routes.session import keep_log_in

log = structlog.get_logger(__name__)

router = APIRouter(tags=["session"])

COOKIE = "qc_oidc"
PLACE = "/api/v1/session/oidc"
"""The only address that gets the cookie."""
TIME_S = 600
"""So long a person may take on the provider's page, in seconds."""
LOGIN_PAGE = "/?login="
"""Where somebody lands who is not let in, with a word why."""


class Ways(BaseModel):
    """How one may log in."""

    password: bool = True
    oidc: bool
    notice: str = Field(description="What everybody is to read before; empty: nothing.")


@router.get("/session/ways")
def ways(context: ContextDep) -> Ways:
    """How one may log in: with a password, and by an identity provider where there is one; and what to read before."""
    return Ways(oidc=isinstance(context.parts.get("oidc"), Provider), notice=context.settings.login_notice)


@router.get("/session/oidc", status_code=302, response_class=RedirectResponse)
def begin(request: Request, context: ContextDep) -> RedirectResponse:
    """Begin a log-in: sends the browser to the identity provider's page."""
    page, start = _provider(context).begin()
    away = RedirectResponse(page, status_code=302)
    # Lax: the browser comes back from another site, and must bring it
    secure = request.url.scheme == "https"
    away.set_cookie(COOKIE, start.packed(), max_age=TIME_S, httponly=True, samesite="lax", secure=secure, path=PLACE)
    return away


@router.get("/session/oidc/callback", status_code=302, response_class=RedirectResponse)
def come_back(
    request: Request, context: ContextDep, code: str = "", state: str = "", error: str = ""
) -> RedirectResponse:
    """End a log-in: the browser comes back from the provider; whoever is not let in lands on the log-in page."""
    address = f"{request.client.host if request.client else ''} oidc"
    limit: auth.FailureLimit = request.app.state.failure_limit
    at, settings = context.now(), context.settings
    try:
        limit.check(address, now=at)
        if error or not code:
            raise NotLoggedIn(f"the identity provider let nobody in ({error[:80] or 'it sent no code'})")
        start = Start.unpacked(request.cookies.get(COOKIE, ""))
        person = _provider(context).finish(start, code=code, state=state)
        with context.database.write() as session:
            try:
                user = oidc_accounts.account_of(session, person, claim=settings.oidc_role_claim, now=at)
                hours, most = settings.session_hours, settings.log_ins_at_once
                token = auth.open_session(session, user, now=at, hours=hours, most=most)
            finally:
                session.commit()  # a refusal is on record, too
        inside = RedirectResponse("/", status_code=302)
        keep_log_in(inside, request, token, hours=settings.session_hours)
    except QcError as problem:
        log.warning("log-in by the identity provider", problem=problem.message)
        if isinstance(problem, NotLoggedIn):  # what anybody can make up; people behind one proxy share an address
            limit.failed(address, now=at)
        inside = RedirectResponse(f"{LOGIN_PAGE}{status_of(problem)[1]}", status_code=302)
    inside.delete_cookie(COOKIE, path=PLACE)
    return inside


def _provider(context: Context) -> Provider:
    provider = context.parts.get("oidc")
    if provider is None:
        raise NotFound("no identity provider is named here (QC_OIDC_ISSUER); log in with a password")
    if not isinstance(provider, Provider):
        raise Unavailable("the settings of the identity provider make no sense; /health says why")
    return provider
