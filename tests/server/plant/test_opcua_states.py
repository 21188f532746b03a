"""The state machines of OPC 40100-1 go by transitions that the standard knows, whatever happens in whatever order."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from server.plant import opcua_states as states
from server.plant.handshake import Phase
from server.plant.opcua_recipes import Recipes
from server.plant.opcua_states import Automatic, Position, Vision
from server.plant.opcua_types import model

KNOWN = set(re.findall(r'BrowseName="1:(\w+To\w+)"', model()))
"""Transitions of both state machines, from the standard's own file."""
LOOKS = st.tuples(st.just("look"), st.sampled_from(Phase), st.sampled_from([None, "gone"]), st.booleans())
WISHES = st.tuples(st.sampled_from(["Reset", "Halt", "SelectModeAutomatic", "Start", "Stop", "Abort"]))
HAPPENS = st.lists(st.one_of(LOOKS, WISHES), max_size=30)


def go(position, what):
    if what[0] == "look":
        _, phase, problem, prepared = what
        return states.looked(position, phase, problem, starting=False, prepared=prepared)
    if what[0] == "Start":
        return states.started(position) if states.may_start(position) else (position, [])
    if what[0] in ("Stop", "Abort"):
        return states.leaving(position, what[0]), []
    return states.commanded(position, what[0]) or (position, [])


@given(HAPPENS)
def test_every_step_is_a_transition_of_the_standard_from_where_the_machine_stood(story):
    position = Position()
    for what in story:
        before, (position, steps) = position, go(position, what)
        stands = {Vision: before.vision, Automatic: before.automatic}
        for step in steps:
            assert step.transition in KNOWN
            assert stands[step.machine] in (step.before, None)
            stands[step.machine] = step.after
        assert stands[Vision] == position.vision
        assert (position.automatic is None) == (position.vision != Vision.OPERATIONAL)


def test_a_job_begins_in_ready_alone_and_ends_by_what_ended_it():
    position, _ = states.looked(Position(), Phase.READY, None, starting=False, prepared=True)
    assert states.may_start(position)
    running, _ = states.started(position)
    assert not states.may_start(running)
    busy, steps = states.looked(running, Phase.NOT_READY, None, starting=False, prepared=True)
    assert (busy, steps) == (running, [])
    for how in ("Auto", "Stop", "Abort"):
        ended, (step,) = states.looked(states.leaving(running, how), Phase.READY, None, starting=False, prepared=True)
        assert step.transition == f"SingleExecutionToReady{how}"
        assert states.may_start(ended)


def test_a_reset_system_waits_for_its_mode_also_after_an_error():
    ready, _ = states.looked(Position(), Phase.READY, None, starting=False, prepared=True)
    reset, _ = states.commanded(ready, "Reset")
    failed, _ = states.looked(reset, Phase.NOT_READY, "gone", starting=False, prepared=True)
    back, _ = states.looked(failed, Phase.READY, None, starting=False, prepared=True)
    assert (failed.vision, back.vision) == (Vision.ERROR, Vision.PREOPERATIONAL)
    chosen, _ = states.commanded(back, "SelectModeAutomatic")
    assert (chosen.vision, chosen.automatic) == (Vision.OPERATIONAL, Automatic.INITIALIZED)


def test_a_job_runs_by_one_prepared_recipe_or_none():
    recipes = Recipes({1: "bar", 2: "hinge", 3: "bar"}, "default")
    assert [recipes.for_job(*wish) for wish in (("2", ""), ("", "bar"), ("1", "hinge"), ("9", ""), ("", ""))] == [
        2,
        1,
        None,
        None,
        None,
    ]
    recipes.prepare(3)
    assert recipes.for_job("", "") == 3
    recipes.unprepare(3)
    assert (recipes.for_job("", ""), recipes.for_job("3", "")) == (None, None)
    recipes.unprepare(1)
    assert recipes.for_job("", "") == 2, "there is but one"
    whatever = Recipes({}, "default")
    assert [whatever.for_job(*wish) for wish in (("", ""), ("7", ""), ("", "default"), ("x", ""), ("", "bar"))] == [
        0,
        7,
        0,
        None,
        None,
    ]
