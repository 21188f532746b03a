"""How the installation is, for people and for Prometheus."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from server import health
from server.context import ContextDep

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """How the installation is."""

    status: str
    """`ok`; `degraded`: it inspects, but something needs a look; `starting` or `failed`: it cannot inspect."""
    champion: str | None
    """`sha256:…` of the model that judges."""
    components: dict[str, dict[str, Any]]
    """Each with `state` (ok, starting, degraded, off, failed) and, where something is wrong, `message`."""


@router.get("/health", responses={503: {"model": Health, "description": "Not able to inspect (yet)."}})
def how_are_you(context: ContextDep, response: Response) -> Health:
    """200 once able to inspect, 503 before; names the champion and the state of every component."""
    able, answer = health.look(context)
    response.status_code = 200 if able else 503
    return Health(**answer)


@router.get("/metrics", response_class=Response)
def metrics(context: ContextDep) -> Response:
    """Figures in Prometheus's text format."""
    health.measure(context)
    return Response(context.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
