"""The state machines of OPC 40100-1 as pure functions: no clock, no wire. Names are the specification's.

::

    VisionStateMachine            Preoperational --auto, or SelectModeAutomatic--> Operational
                                  Operational, Preoperational --a problem--> Error --it is gone--> back, by itself
                                  Preoperational, Operational, Error --Halt--> Halted
                                  Halted, Operational, Error --Reset--> Preoperational, until SelectModeAutomatic
    AutomaticModeStateMachine     Initialized --a recipe is prepared, camera and model are there--> Ready
    (while Operational)           Ready --StartSingleJob--> SingleExecution --done, Stop or Abort--> Ready
                                  Ready --no recipe, or a picture that is nobody's--> Initialized

A station that starts goes to Operational by itself. After a job it stays in SingleExecution until the next part can
come. A job outlives Halt and Reset: its result is told as any other, since every trigger has one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from server.plant.handshake import Phase


class Vision(StrEnum):
    """States of the VisionStateMachine."""

    PREOPERATIONAL = "Preoperational"
    HALTED = "Halted"
    ERROR = "Error"
    OPERATIONAL = "Operational"


class Automatic(StrEnum):
    """States of the AutomaticModeStateMachine."""

    INITIALIZED = "Initialized"
    READY = "Ready"
    SINGLE = "SingleExecution"


@dataclass(frozen=True, slots=True)
class Position:
    """Where both state machines stand."""

    vision: Vision = Vision.PREOPERATIONAL
    automatic: Automatic | None = None
    """None: it is not active, as the system is not Operational."""
    waits: bool = False
    """A client has reset it: it becomes Operational when SelectModeAutomatic says so, not by itself."""
    leaving: str = "Auto"
    """How it will leave SingleExecution: by itself, or by Stop or Abort."""


@dataclass(frozen=True, slots=True)
class Step:
    """One transition of one of the machines."""

    machine: type[Vision] | type[Automatic]
    before: str
    after: str
    suffix: str
    """What the specification adds to the transition's name: `Auto`, `Stop`, `Abort`, `Recipe`, or nothing."""

    @property
    def transition(self) -> str:
        """The transition's name in the specification."""
        return f"{self.before}To{self.after}{self.suffix}"


Moved = tuple[Position, list[Step]]


def looked(position: Position, phase: Phase, problem: str | None, *, starting: bool, prepared: bool) -> Moved:
    """What the station shows now. Returns the new position, and how it came there.

    Args:
        problem: why it cannot take a part; None: it can.
        starting: the problem is only that it has just started.
        prepared: there is a recipe that a job can run by.
    """
    steps: list[Step] = []
    if position.vision == Vision.ERROR and problem is None:
        back = Vision.PREOPERATIONAL if position.waits else Vision.OPERATIONAL
        position = _to(position, back, "Auto", steps)
    elif position.vision in (Vision.PREOPERATIONAL, Vision.OPERATIONAL) and problem is not None and not starting:
        position = _to(position, Vision.ERROR, "Auto", steps)
    elif position.vision == Vision.PREOPERATIONAL and problem is None and not position.waits:
        position = _to(position, Vision.OPERATIONAL, "Auto", steps)
    if position.vision != Vision.OPERATIONAL:
        return position, steps
    return _within(position, phase, prepared, "Auto", steps), steps


def prepared(position: Position, phase: Phase, *, yes: bool) -> Moved:
    """A client has prepared a recipe, or taken the last one away."""
    steps: list[Step] = []
    return _within(position, phase, yes, "Recipe", steps), steps


def started(position: Position) -> Moved:
    """A job begins. Only in Ready: `may_start` says so."""
    steps: list[Step] = []
    return _automatic(position, Automatic.SINGLE, "", steps), steps


def may_start(position: Position) -> bool:
    """Is it ready for a job?"""
    return position.automatic == Automatic.READY


def commanded(position: Position, command: str) -> Moved | None:
    """Reset, Halt or SelectModeAutomatic; None: not in this state."""
    steps: list[Step] = []
    vision = position.vision
    if command == "Halt" and vision != Vision.HALTED:
        return _to(position, Vision.HALTED, "", steps), steps
    if command == "Reset" and vision != Vision.PREOPERATIONAL:
        return replace(_to(position, Vision.PREOPERATIONAL, "", steps), waits=True), steps
    if command == "SelectModeAutomatic" and vision == Vision.PREOPERATIONAL:
        return replace(_to(position, Vision.OPERATIONAL, "", steps), waits=False), steps
    return None


def leaving(position: Position, how: str) -> Position:
    """The job at hand is ended by Stop or Abort: it becomes Ready by that, as soon as the next part can come."""
    return replace(position, leaving=how) if position.automatic == Automatic.SINGLE else position


def _within(position: Position, phase: Phase, is_prepared: bool, suffix: str, steps: list[Step]) -> Position:
    now = position.automatic
    if phase == Phase.READY and is_prepared:
        if now == Automatic.SINGLE:
            return _automatic(position, Automatic.READY, position.leaving, steps)
        return _automatic(position, Automatic.READY, suffix, steps) if now == Automatic.INITIALIZED else position
    if now == Automatic.READY and phase != Phase.BUSY:
        return _automatic(position, Automatic.INITIALIZED, suffix, steps)
    if now == Automatic.SINGLE and phase == Phase.READY:  # ready, but for a recipe: there is but one way out
        return _automatic(
            _automatic(position, Automatic.READY, position.leaving, steps), Automatic.INITIALIZED, suffix, steps
        )
    return position


def _automatic(position: Position, state: Automatic, suffix: str, steps: list[Step]) -> Position:
    assert position.automatic is not None
    steps.append(Step(Automatic, position.automatic, state, suffix))
    return replace(position, automatic=state, leaving="Auto")


def _to(position: Position, state: Vision, suffix: str, steps: list[Step]) -> Position:
    steps.append(Step(Vision, position.vision, state, suffix))
    return replace(position, vision=state, automatic=Automatic.INITIALIZED if state == Vision.OPERATIONAL else None)
