"""Context: what one running server holds; `server.app` makes it, everybody else is handed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import Depends, Request
from sqlmodel import Session

from qc.errors import Unavailable
from qc.frame import Pixels
from qc.ports import BlobStore, Clock, Segmenter
from qc.records import Decision, Exposure, Inspection
from server.cache import Cache
from server.db import Database
from server.events import Calls, EventBus
from server.kept_counts import KeptCounts
from server.metrics import Metrics
from server.policies import Policies
from server.settings import Settings

if TYPE_CHECKING:
    from server.camera_health import Cameras
    from server.decoding.pool import Decoders
    from server.drift import Drift
    from server.features_service import FeatureService
    from server.inspecting import Inspector
    from server.model_workers.pool import Workers
    from server.models_in_use import Champion
    from server.parts import Again
    from server.process_service import Models
    from server.remote_engine.engine import Engine


class Part(Protocol):
    """Something that runs beside the requests: a watcher, the job runner, a supervised child."""

    def state(self) -> dict[str, Any]:
        """For /health: `state` (ok, starting, degraded, off, failed), `message`, and figures. Quick; never raises."""
        ...

    def stop(self) -> None:
        """End, within a few seconds."""
        ...


AfterInspection = Callable[[Session, Inspection, list[Exposure]], None]
"""Runs in the transaction that records a verdict, before its commit. An exception is logged and undoes only what the
hook itself did; the verdict stays."""

AfterDecision = Callable[[Session, Inspection, list[Exposure], Decision], None]
"""Runs in the transaction that records a person's decision, before its commit."""

Hooks = tuple[list[AfterInspection], list[AfterDecision], Calls]
"""Whom parts asked to be called."""


class Decode(Protocol):
    """Makes a picture's bytes pixels, as `qc.frame.decode` does; raises what it raises, and Unavailable."""

    def __call__(self, data: bytes, *, name: str = "") -> Pixels: ...


def _too_early(data: bytes, *, name: str = "") -> Pixels:
    raise Unavailable("the server is still starting; try again in a few seconds")


@dataclass
class Context:
    """What one running server holds."""

    settings: Settings
    database: Database
    blobs: BlobStore
    events: EventBus
    now: Clock
    policies: Policies
    cache: Cache
    """Zoom tiles and thumbnails: what can be made again."""
    metrics: Metrics = field(default_factory=Metrics)
    decode: Decode = _too_early
    """For whatever somebody sent: in a limited process (`server.decoding`), never in this one."""
    segmenter: Segmenter | None = None
    """A model given once and for all, instead of the champion of the registry."""
    decoders: Decoders | None = None
    """Processes that somebody else has started, instead of some of its own."""
    demonstration: bool = False
    """A demonstration line runs beside the server."""
    after_inspection: list[AfterInspection] = field(default_factory=list)
    """Parts add theirs when they start."""
    after_decision: list[AfterDecision] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)
    """Name -> running part, in the order of starting."""
    again: Again | None = None
    """Goes on trying to start the parts that could not be started."""
    champion: Champion | None = None
    engine: Engine | None = None
    """Another server that computes the champion; None where the settings name none."""
    workers: Workers | None = None
    """Processes in which the champion looks at parts; None: in this one."""
    inspector: Inspector | None = None
    cameras: Cameras | None = None
    """Watches over cameras; None where the settings switch that off."""
    drift: Drift | None = None
    features: FeatureService | None = None
    """Searches what the encoder saw; None where the settings switch that off."""
    counts: KeptCounts = field(default_factory=KeptCounts)
    """What pages tell of very many rows."""
    process_models: Models | None = None
    """Process models in memory; `server.process_intake.models_of` makes it."""

    def hooks(self) -> Hooks:
        """Whom parts asked to be called, so far."""
        return self.after_inspection.copy(), self.after_decision.copy(), self.events.calls()

    def hooks_again(self, before: Hooks) -> None:
        """Only those are called who were to be called then."""
        self.after_inspection[:], self.after_decision[:], calls = before
        self.events.calls_again(calls)

    def need_champion(self) -> Champion:
        """The serving model's holder; raises Unavailable before start-up is through."""
        if self.champion is None:
            raise Unavailable("the server is still starting; try again in a few seconds")
        return self.champion

    def need_inspector(self) -> Inspector:
        """The inspector; raises Unavailable before start-up is through."""
        if self.inspector is None:
            raise Unavailable("the server is still starting; try again in a few seconds")
        return self.inspector


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(_context)]
"""The context, for a route."""
