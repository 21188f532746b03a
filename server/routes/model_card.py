"""A model's card: what it is, what it learnt from, how it was trained, and what computed it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from qc.errors import InvalidInput, NotFound
from server import model_history, registry
from server.context import Context, ContextDep
from server.db import SessionDep
from server.models_in_use import ready_folder

router = APIRouter(tags=["models"])


class RuntimeJson(BaseModel):
    """One of the ways in which this machine could compute a model, beside what torch says of the same frames."""

    runtime: str
    serves: bool
    accepted: bool
    why: str
    """Why it was refused, or not even tried; empty where it was accepted."""
    seconds_per_mpx: float | None
    """Of one processor core."""
    frames: int
    """That were compared; 0 for torch, which the others are compared with, and for what was not tried."""
    verdicts_that_differ: int


class ChapterJson(BaseModel):
    """One thing that happened to a model, as the audit trail has it."""

    at: datetime
    what: Literal[
        "training", "challenge", "challenge ended", "approval", "declined", "promotion", "assignment", "rollback",
        "rejection",
    ]  # fmt: skip
    by: str
    product: str
    """Where; empty, as `station`: everywhere."""
    station: str
    reason: str


class CardJson(BaseModel):
    """The card without its figures, which stand in `GET /models`, and without the hashes of single files."""

    id: str
    name: str
    threshold: float
    """Score from which a defect counts where no product's file says otherwise."""
    reach_px: int
    """How far around a pixel the network looks."""
    input: str
    network: dict[str, Any]
    training: dict[str, Any]
    """The settings of the run, its steps, seconds, seed, device, and what it warned of."""
    data: dict[str, Any]
    """Name, licence, source and counts of what it learnt from."""
    limits: dict[str, Any]
    """What it was not shown, or too little of (`segmentation.limits`); empty for a model of an older version."""
    first_look: dict[str, Any]
    """Where it need not look, and what that costs (`segmentation.first_look_proof`); empty: it looks everywhere."""
    versions: dict[str, str]
    """Of what computed the weights."""
    runtimes: list[RuntimeJson]
    """What may compute it here, the fastest first; empty where it was never made ready on this machine."""
    history: list[ChapterJson]
    """What became of it, the oldest first: who let it serve where, and why."""


@router.get("/models/{id}/card")
def model_card(id: str, session: SessionDep, context: ContextDep) -> CardJson:
    """What the model's folder says of it; 404 where the folder is gone."""
    from segmentation.model import CARD, read_card  # torch is not needed before somebody asks

    row = registry.get(session, id)
    folder = context.settings.home / row.folder
    if not (folder / CARD).is_file():
        raise NotFound(f"the folder of {id} is gone, and its card with it; its figures are still in GET /models")
    card = read_card(folder)
    return CardJson(
        id=id,
        name=str(card.get("name") or ""),
        threshold=float(card["threshold"]),
        reach_px=int(card["reach_px"]),
        input=str(card.get("input") or ""),
        network=dict(card["network"]),
        training=dict(card.get("training") or {}),
        data=registry.without_files(dict(card.get("dataset") or {})),
        limits=dict(card.get("limits") or {}),
        first_look={k: v for k, v in dict(card.get("first_look") or {}).items() if k not in ("file", "sha256")},
        versions={name: str(version) for name, version in dict(card.get("versions") or {}).items()},
        runtimes=_runtimes(context, folder, id),
        history=[ChapterJson.model_validate(asdict(one)) for one in model_history.history(session, id)],
    )


def _runtimes(context: Context, folder: Path, model_id: str) -> list[RuntimeJson]:
    from segmentation.ready import tried

    try:
        serving, rows = tried(folder, ready_folder(context.settings, model_id))
    except InvalidInput:  # made ready elsewhere, for an earlier version, or never: there is nothing to tell
        return []
    told = [
        RuntimeJson(
            runtime=row["runtime"],
            serves=row["runtime"] == serving,
            accepted=row["accepted"],
            why=row["why"],
            seconds_per_mpx=row.get("cpu_seconds_per_mpx"),
            frames=row.get("parity", {}).get("images", 0),
            verdicts_that_differ=row.get("parity", {}).get("verdicts_that_differ", 0),
        )
        for row in rows
    ]
    return sorted(told, key=lambda one: (one.seconds_per_mpx is None, one.seconds_per_mpx or 0.0))
