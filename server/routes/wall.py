"""The wall screen's figures."""

from __future__ import annotations

from fastapi import APIRouter

from server import wall
from server.context import ContextDep
from server.db import SessionDep

router = APIRouter(tags=["watching"])


@router.get("/wall")
def wall_screen(session: SessionDep, context: ContextDep) -> wall.Wall:
    """Lines and stations at a glance: rates, what is not as usual, the trend against its limits, open calls."""
    return wall.look(context, session)
