"""Stations: where parts are looked at."""

from __future__ import annotations

from fastapi import APIRouter

from server import inspections
from server.context import ContextDep
from server.db import SessionDep
from server.schemas import StationOut

router = APIRouter(tags=["stations"])


@router.get("/stations")
def stations(session: SessionDep, context: ContextDep) -> list[StationOut]:
    """Every station that sent something, and how its parts were judged."""
    return inspections.stations(session, now=context.now())
