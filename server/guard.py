"""What stands before every call: who is it, may they, is it too large.

Plain ASGI, so that it acts before a body is read.
"""

from __future__ import annotations

import time
from functools import partial
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qc.errors import NotFound, QcError
from qc.records import new_id
from server import access, auth, tracing
from server.errors import DATABASE_AWAY, NotAllowed, NotLoggedIn, TooLarge, answer_to, database_away

if TYPE_CHECKING:
    from server.context import Context

log = structlog.get_logger(__name__)

SAFE = ("GET", "HEAD", "OPTIONS")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
}
"""Inline styles are allowed because the component library of the frontend sets them; scripts are not."""


class Guard:
    """Request id, identity, roles, sizes, security headers, one log line and the figures of every request."""

    def __init__(self, app: ASGIApp, *, context: Context) -> None:
        self.app, self.context, self.metrics = app, context, context.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, request_id = time.perf_counter(), 500, new_id()
        path, method = scope["path"], scope["method"]
        rule = access.template(method, path)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request=request_id)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if access.guarded(path):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        limit = self._limit(method, rule)
        try:
            await self._check(scope, method, path, rule, limit)
        except QcError as error:
            await answer_to(error, path=path)(scope, receive, sending)
        except DATABASE_AWAY as error:
            await database_away(error, path=path)(scope, receive, sending)
        else:
            with tracing.request(method, rule or "other", Headers(scope=scope)):
                await self.app(scope, _counting(receive, limit), sending)
                tracing.note(status=status, request=request_id)
        finally:
            seconds = time.perf_counter() - started
            self.metrics.request(method, rule or "other", status, seconds)
            level = log.warning if status == 500 else log.info  # a 503 is an answer: not ready yet, try again
            who = scope.get("state", {}).get("identity")
            level("request", method=method, path=path, status=status, ms=round(1000 * seconds, 1), by=who and who.name)

    def _limit(self, method: str, rule: str | None) -> int:
        settings = self.context.settings
        pictures = method == "POST" and rule is not None and (rule == "/inspections" or rule.endswith("/infer"))
        megabytes = settings.max_upload_mb if pictures else settings.max_request_mb
        return megabytes * 1_000_000

    async def _check(self, scope: Scope, method: str, path: str, rule: str | None, limit: int) -> None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            raise TooLarge(f"the request has {length} bytes; at most {limit} are taken here", limit_bytes=limit)
        if not access.guarded(path):
            return
        if rule is not None and rule.startswith(access.OWN_SECRET):
            return
        identity = await self._who(headers)
        scope.setdefault("state", {})["identity"] = identity
        scope["state"]["is_still_known"] = partial(self._is_still_known, headers)
        asked = "GET" if method == "HEAD" else method
        if rule is None:
            if identity is None:
                raise NotLoggedIn("log in, or send a key as `Authorization: Bearer <key>`")
            raise NotFound(f"there is nothing at {path}")
        if (asked, rule) not in access.RULES:
            return  # the router says 405 and which methods there are
        allowed = access.RULES[asked, rule]
        if allowed is None:
            return
        if identity is None:
            raise NotLoggedIn("log in, or send a key as `Authorization: Bearer <key>`")
        if identity.role not in allowed:
            raise NotAllowed(f"{identity.name} is {identity.role}; this needs {' or '.join(sorted(allowed))}")
        if identity.by_cookie and asked not in SAFE and headers.get(auth.CSRF_HEADER) != "1":
            raise NotAllowed("a browser must send the header X-QC: 1 with this call")

    async def _who(self, headers: Headers) -> auth.Identity | None:
        """The sender, or None for nobody; raises NotLoggedIn for a key that is wrong. A stale cookie is nobody."""
        kind, _, key = headers.get("authorization", "").partition(" ")
        if kind:
            if kind.lower() != "bearer" or not key.strip():
                raise NotLoggedIn("the Authorization header must be `Bearer <key>`")
            return await run_in_threadpool(self._key, key.strip())
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(auth.COOKIE)
        except CookieError:
            cookie = None
        return await run_in_threadpool(self._cookie, cookie.value) if cookie else None

    async def _is_still_known(self, headers: Headers) -> bool:
        """Whether the sender would be let in again; for answers that last."""
        try:
            return await self._who(headers) is not None
        except NotLoggedIn:
            return False

    def _key(self, key: str) -> auth.Identity:
        with self.context.database.read() as session:
            return auth.who_has_key(session, key, now=self.context.now())

    def _cookie(self, token: str) -> auth.Identity | None:
        with self.context.database.read() as session:
            try:
                return auth.who_has_cookie(session, token, now=self.context.now())
            except NotLoggedIn:
                return None


def _counting(receive: Receive, limit: int) -> Receive:
    """A body without a stated length is cut off at the limit, too."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > limit:
                raise TooLarge(f"the request has more than the {limit} bytes taken here", limit_bytes=limit)
        return message

    return counted
