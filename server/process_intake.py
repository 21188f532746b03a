"""What comes in about parts in the making, from wherever: requests for recommendations, and what came of parts.

REST, MQTT, OPC UA, Modbus and tables end here, so that both are checked, recorded and told alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from process_opt.model import ProcessModel
from qc.errors import InvalidInput
from server import permission, process_camera, process_learning, process_shared
from server import process_service as service
from server.context import Context

MOST_AT_ONCE = 1000
"""Requests of one list; a longer one would keep the caller waiting for minutes."""


LONGEST = 128
"""Characters of the name of a part or a batch: as many as an inspection's part may have, and an erasure can name."""


class Asked(BaseModel):
    """A part in the making: `at` is the next step to run, `observed` whatever is known of earlier steps."""

    model_config = ConfigDict(extra="allow")

    part: str = Field(examples=["P-1"])
    at: str = Field(examples=["s20-heat"])
    batch: str | None = None
    machines: dict[str, str] | None = Field(default=None, examples=[{"s20-heat": "H2"}])
    """Which machine ran or will run a step, where the process names several."""
    observed: dict[str, Any] = Field(default_factory=dict, examples=[{"s01-draw.force": 14.2}])
    decided: dict[str, Any] = Field(default_factory=dict, examples=[{"s30-furnace.temperature": 842.0}])
    """Settings of steps still to come that stand already; those that the batch shares are filled in."""


class CameOf(BaseModel):
    """What was done with a part and what came of it."""

    model_config = ConfigDict(extra="forbid")

    part: str
    batch: str | None = None
    machines: dict[str, str] | None = None
    disposition: str
    """`finished` or `scrapped`."""
    scrapped_at: str | None = None
    assignment: str = ""
    """Who chose the settings: `operator`, `dither`, `recommendation`, or empty for unknown."""
    observed: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of outcomes."""

    accepted: int
    """New ones."""
    duplicates: int
    """Told before; then the first word stands."""
    reworked_without_permission: list[str]
    """Parts of which rework was told that nobody had approved."""


def models_of(context: Context) -> service.Models:
    """The process models in memory; made at the first request that needs one."""
    if context.process_models is None:
        context.process_models = service.Models(context.settings.home.resolve())
    return context.process_models


def advise(context: Context, name: str, asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """What to do with parts; asked, answered and told are kept. One mistake refuses all.

    Raises:
        InvalidInput: a request makes no sense, or there are too many.
        NotFound: there is no such process.
    """
    model = model_of(context, name)
    _check_number(asked)
    requests = as_known(context, name, model, [a.model_dump(exclude_unset=True) for a in asked])
    answers = _each(requests, lambda r: service.answer(model, r))
    now = context.now()
    with context.database.write() as session:
        for sent, told in zip(requests, answers, strict=True):
            service.remember(session, name, sent, told, now=now)
            context.events.on_commit(session, "recommendation", {**told, "process": name})
        session.commit()
    return answers


def take_outcomes(context: Context, name: str, sent: Sequence[CameOf], *, by: str) -> Taken:
    """What was done and what came of it. A part's outcome counts once; the model learns from it soon after.

    Raises:
        InvalidInput: an outcome makes no sense, or there are too many; nothing is kept.
        NotFound: there is no such process.
    """
    line = model_of(context, name)
    _check_number(sent)
    contents = seen(context, line, _each([c.model_dump() for c in sent], _named))
    checked = _each(contents, lambda c: service.check_outcome(line, c))
    now, accepted, unasked = context.now(), 0, list[str]()
    with context.database.write() as session:
        for content in checked:
            stored = service.store_outcome(session, name, content, now=now)
            if stored is not None:
                accepted += 1
                told = {"id": stored.id, "process": name, "part": stored.part, "disposition": content["disposition"]}
                context.events.on_commit(session, "outcome", told)
                if not permission.keep_rework(session, name, line.process, content, stored.id, by=by, now=now):
                    unasked.append(stored.part)
        if accepted:
            process_learning.ask(session, name, now=now)
        session.commit()
    return Taken(accepted, len(checked) - accepted, unasked)


def as_known(context: Context, name: str, model: ProcessModel, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Requests with what cameras read of the parts, and the settings that stand already for their batches."""
    asked = seen(context, model, _each(asked, _named))
    if not model.process.shared:
        return asked
    with context.database.read() as session:
        return process_shared.with_decided(session, name, model.process, asked)


def seen(context: Context, model: ProcessModel, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With what cameras read of the parts filled in."""
    if not any(m.source for _, m in model.process.measurements.values()):
        return asked
    with context.database.read() as session:
        return process_camera.complete(session, model.process, asked)


def model_of(context: Context, name: str) -> ProcessModel:
    """The model that serves a process; raises NotFound."""
    with context.database.read() as session:
        version = service.current(session, name)
    return models_of(context).of(version)


def _check_number(sent: Sequence[object]) -> None:
    if len(sent) > MOST_AT_ONCE:
        raise InvalidInput(f"at most {MOST_AT_ONCE} in one list, not {len(sent)}; send them in several")


def _named(one: dict[str, Any]) -> dict[str, Any]:
    """The same, if the names of its part and batch can be kept; an empty one is refused where it is read."""
    for what in ("part", "batch"):
        name = one.get(what)
        if isinstance(name, str) and name and (len(name) > LONGEST or not name.isprintable() or name.isspace()):
            raise InvalidInput(f"{what} must be 1 to {LONGEST} printable characters, not {name[:80]!r}")
    return one


def _each(requests: list[dict[str, Any]], do: Callable[[dict[str, Any]], dict[str, Any]]) -> list[dict[str, Any]]:
    """Do it for each; a mistake in a list says which one."""
    done = []
    for place, request in enumerate(requests):
        try:
            done.append(do(request))
        except InvalidInput as error:
            if len(requests) == 1:
                raise
            raise InvalidInput(f"item {place} of the list: {error.message}", **error.details) from error
    return done
