"""The handshake between a PLC and a station, as a pure state machine: no clock, no wire, no camera.

    PLC                              station
    trigger  rises          ->       ready falls, busy rises
                            <-       busy falls, results_ready rises with ok, or with ng
    acknowledge rises       ->       results_ready, ok, ng, error fall
    trigger, acknowledge fall ->     ready rises

Every trigger ends in exactly one result. Whatever breaks the order ends in `error` with a code, and then `ng` is set,
too: a part is let through on `ok` and on nothing else. Signals are levels; trigger and acknowledge count when they
rise. Names follow what machine-vision controllers offer.

Times are seconds of any clock that only goes forward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from qc.verdict import Verdict


class Phase(StrEnum):
    """Where the station stands."""

    NOT_READY = "not ready"
    """It cannot take a part: it starts, camera or model are away, the PLC is silent, or its signals have not fallen."""
    READY = "ready"
    BUSY = "busy"
    RESULT = "result"
    """A result waits for its acknowledge."""


class Fault(IntEnum):
    """Codes of `error`, as the PLC reads them."""

    NONE = 0
    LATE = 1
    NO_PICTURE = 2
    FAILED = 3
    REFUSED = 4
    UNKNOWN_RECIPE = 5
    BAD_PART = 6
    NO_CODE = 7
    NOT_READY = 10
    OVERRUN = 11
    UNACKNOWLEDGED = 12
    EARLY_ACKNOWLEDGE = 13
    ABORTED = 14


WORDS: Mapping[Fault, str] = {
    Fault.NONE: "",
    Fault.LATE: "no verdict by the decide-by time",
    Fault.NO_PICTURE: "the camera delivered no picture, or a faulty one",
    Fault.FAILED: "the part could not be inspected",
    Fault.REFUSED: "the server takes no part now: no model serves, or too many parts wait",
    Fault.UNKNOWN_RECIPE: "no product belongs to this recipe; see the station's recipes in plant.yaml",
    Fault.BAD_PART: "the part's name is not printable ASCII text",
    Fault.NO_CODE: "no code on the part could be read, or two that say different things",
    Fault.NOT_READY: "the trigger came while the station was not ready",
    Fault.OVERRUN: "a second trigger came before the first one's result",
    Fault.UNACKNOWLEDGED: "a trigger came before the last result was acknowledged",
    Fault.EARLY_ACKNOWLEDGE: "acknowledge rose before there was a result",
    Fault.ABORTED: "the job was given up on request (Stop, Abort)",
}
"""What each code means, for people."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the PLC says."""

    trigger: bool = True
    acknowledge: bool = True
    """Both count as set until the PLC has said otherwise, so that a station that starts waits for them to fall."""
    recipe: int = 0
    part: str = ""
    """The part's name; empty: the station makes one."""
    life: int = 0
    """A number that the PLC changes all the time, where it is asked for signs of life."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a trigger, or of two where the PLC overran the first."""

    number: int
    """The trigger it answers, counted from 1."""
    since: int
    """The first trigger it answers: `number`, or the one that was overrun."""
    part: str = ""
    fault: Fault = Fault.NONE
    verdict: Verdict = Verdict.NG
    inspection: str = ""
    score: float = 0.0
    """0 to 1, higher is worse."""
    defects: int = 0
    elapsed_ms: float = 0.0
    """From the trigger to the result."""

    @property
    def ok(self) -> bool:
        """May the part pass?"""
        return self.verdict == Verdict.OK and self.fault == Fault.NONE


@dataclass(frozen=True, slots=True)
class Job:
    """A part to be inspected now."""

    number: int
    part: str
    product: str
    started: float
    due: float


@dataclass(frozen=True, slots=True)
class Rules:
    """What does not change while a station runs."""

    decide_by_s: float
    """From trigger to result, in seconds."""
    recipes: Mapping[int, str]
    """Recipe index -> product; empty: every index is the installation's default product."""
    silent_s: float = 0.0
    """Without a change of `life` for so long the PLC counts as away; 0: it need not show signs of life."""


@dataclass(frozen=True, slots=True)
class State:
    """A station at one moment."""

    phase: Phase = Phase.NOT_READY
    inputs: Inputs = Inputs()
    number: int = 0
    """Triggers seen so far, those before a restart included."""
    job: Job | None = None
    """What is being inspected, in `BUSY`."""
    reply: Reply | None = None
    """The newest result; it stays readable after its acknowledge, marked old."""
    able: bool = False
    """Camera and model are there."""
    clean: bool = False
    """No picture that belongs to no part lies about, or may still come; after an error one may."""
    cut: bool = True
    """The wire is cut, or has not been there yet: what the PLC says and triggers meanwhile is not heard."""
    pulse_at: float = float("-inf")
    """When the cameras may last have been triggered, heard or not."""
    alive: bool = True
    heard_at: float = 0.0
    """When `life` last changed."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What the PLC reads."""

    ready: bool
    busy: bool
    results_ready: bool
    ok: bool
    ng: bool
    review: bool
    """A person should look; `ng` is set as well."""
    error: bool
    old: bool
    """What the result registers hold was acknowledged, or is from before a restart."""


def signals(state: State) -> Signals:
    """The levels of a state."""
    reply, shown = state.reply, state.phase == Phase.RESULT and state.reply is not None
    ok = shown and reply is not None and reply.ok
    return Signals(
        ready=state.phase == Phase.READY,
        busy=state.phase == Phase.BUSY,
        results_ready=shown,
        ok=ok,
        ng=shown and not ok,
        review=shown and reply is not None and reply.verdict == Verdict.REVIEW and reply.fault == Fault.NONE,
        error=shown and reply is not None and reply.fault != Fault.NONE,
        old=not shown and reply is not None,
    )


def heard(state: State, inputs: Inputs, rules: Rules, now: float) -> tuple[State, Job | None]:
    """The PLC wrote something. Returns the new state, and the part to inspect if one was triggered."""
    before = state.inputs
    triggered = inputs.trigger and not before.trigger
    acknowledged = inputs.acknowledge and not before.acknowledge
    changed = inputs.life != before.life
    back = state.cut and not inputs.trigger and not inputs.acknowledge
    state = replace(
        state,
        inputs=inputs,
        cut=state.cut and not back,
        pulse_at=now if back or triggered else state.pulse_at,
        alive=state.alive or changed,
        heard_at=now if changed or not rules.silent_s else state.heard_at,
    )
    if acknowledged and not (triggered and state.phase == Phase.BUSY):  # that is an overrun, which answers both
        state = _acknowledge(state)
    if triggered:
        return _trigger(state, rules, now)
    return _settle(state), None


def answered(state: State, reply: Reply, now: float) -> State:
    """The inspection of trigger `reply.number` has ended; too late, or overrun meanwhile, it changes nothing."""
    if state.job is None or state.job.number != reply.number:
        return state
    if now >= state.job.due:
        return passed(state, now)
    return replace(state, phase=Phase.RESULT, job=None, reply=reply, clean=state.clean and reply.fault == Fault.NONE)


def passed(state: State, now: float, rules: Rules | None = None) -> State:
    """Time has passed: what is due is late, and a PLC that was silent for too long is away."""
    if state.job is not None and now >= state.job.due:
        state = _fail(state, Fault.LATE, since=state.job.number, elapsed_s=now - state.job.started)
    if rules is not None and rules.silent_s and now - state.heard_at >= rules.silent_s:
        state = replace(state, alive=False)
    return _settle(state)


def lost(state: State) -> State:
    """The wire is cut. A part at hand goes on; no other is taken before the PLC has let its signals fall again.

    What it said last stays known: an acknowledge that rose meanwhile is one, and a trigger that did came too early.
    """
    return _settle(replace(state, cut=True, clean=False))


def aborted(state: State, now: float) -> State:
    """Somebody gives the part at hand up: it is an error, and a picture of it may still come."""
    if state.job is None:
        return state
    return _fail(state, Fault.ABORTED, since=state.job.number, elapsed_s=now - state.job.started)


def able(state: State, yes: bool) -> State:
    """Camera and model are there, or not."""
    return _settle(replace(state, able=yes))


def cleaned(state: State) -> State:
    """What lay about has been put aside; only while nothing is outstanding, since a picture may still come."""
    return _settle(replace(state, clean=True)) if wants_cleaning(state) else state


def wants_cleaning(state: State) -> bool:
    """Is it time to put aside what lies about?"""
    return state.phase == Phase.NOT_READY and not state.clean and not state.cut


def doubted(state: State, now: float) -> State:
    """A picture lies there that nobody triggered: its trigger was not heard, or a camera sends what it likes."""
    return _settle(replace(state, clean=False, pulse_at=now)) if state.phase == Phase.READY else state


def next_event(state: State, rules: Rules) -> float | None:
    """When `passed` should be called next, on the clock of `now`; None: nothing is due."""
    times = [state.job.due] if state.job is not None else []
    if rules.silent_s and state.alive:
        times.append(state.heard_at + rules.silent_s)
    return min(times) if times else None


def _trigger(state: State, rules: Rules, now: float) -> tuple[State, Job | None]:
    number = state.number + 1
    busy, phase = state.job, state.phase
    state = replace(state, number=number)
    if busy is not None:
        return _fail(state, Fault.OVERRUN, since=busy.number, elapsed_s=now - busy.started), None
    if phase == Phase.RESULT:
        return _fail(state, Fault.UNACKNOWLEDGED), None
    if phase == Phase.NOT_READY:
        return _fail(state, Fault.NOT_READY), None
    recipe, part = state.inputs.recipe, state.inputs.part
    if rules.recipes and recipe not in rules.recipes:
        return _fail(state, Fault.UNKNOWN_RECIPE), None
    if part and not (part.isascii() and part.isprintable() and part.strip()):
        return _fail(state, Fault.BAD_PART), None
    job = Job(number, part, rules.recipes.get(recipe, ""), now, now + rules.decide_by_s)
    return replace(state, phase=Phase.BUSY, job=job), job


def _acknowledge(state: State) -> State:
    if state.phase == Phase.RESULT:
        return replace(state, phase=Phase.NOT_READY)
    if state.job is not None:
        return _fail(state, Fault.EARLY_ACKNOWLEDGE, since=state.job.number)
    return state  # nothing is outstanding: no part is at stake


def _fail(state: State, fault: Fault, *, since: int | None = None, elapsed_s: float = 0.0) -> State:
    reply = Reply(
        state.number,
        state.number if since is None else since,
        part=state.inputs.part if state.inputs.part.isascii() and state.inputs.part.isprintable() else "",
        fault=fault,
        elapsed_ms=1000 * elapsed_s,
    )
    return replace(state, phase=Phase.RESULT, job=None, reply=reply, clean=False)


def _settle(state: State) -> State:
    """Ready or not, while nothing is outstanding."""
    if state.phase not in (Phase.READY, Phase.NOT_READY):
        return state
    fallen = not state.inputs.trigger and not state.inputs.acknowledge
    possible = state.able and state.alive and state.clean and not state.cut
    ready = possible and fallen
    if state.phase == Phase.READY and possible:
        ready = not state.inputs.trigger  # an acknowledge that rises for nothing does not take readiness away
    return replace(state, phase=Phase.READY if ready else Phase.NOT_READY)
