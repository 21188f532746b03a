"""Domain error -> status code: the one table, and the one shape of an error answer.

Every error answer is `{"error": {"code", "message", "details"}}`; the message may be shown to a person. Below /v2 it is
as the Open Inference Protocol has it: `{"error": "message"}`, and 400 for whatever is wrong with a request.
"""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException

from qc.errors import Conflict, InvalidInput, NotFound, QcError, Unavailable
from server.access import is_protocol

log = structlog.get_logger(__name__)


class NotLoggedIn(QcError):
    """Nobody we know sent this; log in or send a key."""


class NotAllowed(QcError):
    """We know who sent this, and they may not."""


class TooLarge(InvalidInput):
    """More bytes than we take."""


class TooMany(QcError):
    """Too often in too short a time; wait."""


STATUS: tuple[tuple[type[QcError], int, str], ...] = (
    (TooLarge, 413, "too_large"),
    (InvalidInput, 422, "invalid_input"),
    (NotFound, 404, "not_found"),
    (Conflict, 409, "conflict"),
    (Unavailable, 503, "unavailable"),
    (NotLoggedIn, 401, "not_logged_in"),
    (NotAllowed, 403, "not_allowed"),
    (TooMany, 429, "too_many"),
    (QcError, 500, "failed"),
)
"""Branch of the error tree, status code, code in the answer; the first that fits counts."""

_HTTP_CODES = {401: "not_logged_in", 403: "not_allowed", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


DATABASE_AWAY: tuple[type[Exception], ...] = (OperationalError, InterfaceError, NoConnection)
"""What SQLAlchemy raises when a database is not there, is locked for too long, or has no room left."""


def database_away(error: Exception, *, path: str) -> JSONResponse:
    """The answer while the database is away: the same call may work in a moment."""
    log.error("the database is away", path=path, problem=str(getattr(error, "orig", None) or error))
    return answer_to(Unavailable("the database does not answer; try again in a moment", retry_after_s=1), path=path)


def status_of(error: QcError) -> tuple[int, str]:
    """Status code and code word of an error."""
    return next((status, code) for branch, status, code in STATUS if isinstance(error, branch))


def answer(
    status: int, code: str, message: str, details: Any = None, *, path: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """An error answer in the one shape, or in the protocol's where `path` belongs to that."""
    if is_protocol(path):
        return JSONResponse({"error": message}, status_code=400 if status in (413, 422) else status, headers=headers)
    body = {"error": {"code": code, "message": message, "details": jsonable_encoder(details or {})}}
    return JSONResponse(body, status_code=status, headers=headers)


def answer_to(error: QcError, *, path: str) -> JSONResponse:
    """The answer to an error of ours."""
    status, code = status_of(error)
    headers = {"Retry-After": str(error.details["retry_after_s"])} if "retry_after_s" in error.details else None
    return answer(status, code, error.message, error.details, path=path, headers=headers)


def install(app: FastAPI) -> None:
    """Make every error leave `app` in the one shape."""

    @app.exception_handler(QcError)
    async def ours(request: Request, error: QcError) -> JSONResponse:
        return answer_to(error, path=request.url.path)

    async def away(request: Request, error: Exception) -> JSONResponse:
        return database_away(error, path=request.url.path)

    for kind in DATABASE_AWAY:
        app.add_exception_handler(kind, away)

    @app.exception_handler(DataError)  # PostgreSQL says so in its own words
    @app.exception_handler(OverflowError)
    async def unstorable(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, OverflowError) and "SQLite" not in str(error):
            return await unforeseen(request, error)
        told = "a value of this request is one that no database holds, such as a whole number of more than 64 bits"
        return answer_to(InvalidInput(told), path=request.url.path)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        places = [
            {"where": ".".join(str(p) for p in mistake["loc"]), "message": mistake["msg"]} for mistake in error.errors()
        ]
        message = "; ".join(f"{place['where']}: {place['message']}" for place in places[:5])
        told = message or "the request makes no sense"
        return answer(422, "invalid_input", told, {"mistakes": places}, path=request.url.path)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, QcError):  # raised by ours while the framework read the body
            return answer_to(error.__cause__, path=request.url.path)
        code = _HTTP_CODES.get(error.status_code, "invalid_input" if error.status_code < 500 else "failed")
        message = str(error.detail) if error.detail else code
        if error.status_code == 404 and error.detail == "Not Found":
            message = f"there is nothing at {request.url.path}"
        return answer(error.status_code, code, message, path=request.url.path, headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        log.error("unforeseen", path=request.url.path, exc_info=error)
        told = "the server made a mistake; the log holds it under this request's id"
        return answer(500, "failed", told, path=request.url.path)
