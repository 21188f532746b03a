"""Other systems that this installation is connected with, and a button for each that tries it."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from server import connections
from server.context import ContextDep

router = APIRouter(tags=["connections"])


class ConnectionJson(BaseModel):
    """Another system."""

    name: str
    kind: str = Field(description="database, pictures, label-studio, identity, engine, mlflow, webhook or mqtt.")
    to: str = Field(description="Where it is, without secrets.")


class ConnectionPage(BaseModel):
    """Those that are configured."""

    items: list[ConnectionJson]


class TriedJson(BaseModel):
    """How a trial ended."""

    ok: bool
    problem: str = Field(description="Empty where it answered.")
    elapsed_ms: float


@router.get("/connections")
def list_connections(context: ContextDep) -> ConnectionPage:
    """Every other system, by name."""
    found = connections.connections(context)
    return ConnectionPage(items=[ConnectionJson(name=one.name, kind=one.kind, to=one.to) for one in found])


@router.post("/connections/{name}/test")
def try_connection(name: str, context: ContextDep) -> TriedJson:
    """Ask it now, with what is configured."""
    return TriedJson.model_validate(connections.try_one(context, name), from_attributes=True)
