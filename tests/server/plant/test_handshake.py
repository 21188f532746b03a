"""Every trigger ends in exactly one result, in time, and nothing but an inspection that went well is an ok."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from qc.verdict import Verdict
from server.plant.handshake import (
    WORDS,
    Fault,
    Inputs,
    Phase,
    Reply,
    Rules,
    State,
    able,
    answered,
    cleaned,
    doubted,
    heard,
    lost,
    next_event,
    passed,
    signals,
)

RULES = Rules(decide_by_s=2.0, recipes={1: "bar", 2: "hinge"})
LOW = Inputs(trigger=False, acknowledge=False, recipe=1, part="P-7")
TRIGGER, ACKNOWLEDGE = replace(LOW, trigger=True), replace(LOW, acknowledge=True)


def ready() -> State:
    state, job = heard(able(State(), True), LOW, RULES, 0.0)
    assert (state.phase, job) == (Phase.NOT_READY, None), "a picture of a trigger that nobody heard may lie about"
    state = cleaned(state)
    assert state.phase == Phase.READY
    return state


def triggered(now: float = 1.0, inputs: Inputs = TRIGGER):
    return heard(ready(), inputs, RULES, now)


def test_a_part_goes_through():
    state, job = triggered()
    assert (job.number, job.part, job.product, job.due) == (1, "P-7", "bar", 3.0)
    assert signals(state).busy
    assert not signals(state).ready
    state = answered(state, Reply(1, 1, "P-7", verdict=Verdict.OK), 1.4)
    shown = signals(state)
    assert (shown.results_ready, shown.ok, shown.ng, shown.error, shown.busy) == (True, True, False, False, False)
    state, _ = heard(state, replace(TRIGGER, acknowledge=True), RULES, 1.5)
    shown = signals(state)
    assert (shown.results_ready, shown.ok, shown.old, shown.ready) == (False, False, True, False)
    state, _ = heard(state, LOW, RULES, 1.6)
    assert signals(state).ready


@pytest.mark.parametrize("verdict", [Verdict.NG, Verdict.REVIEW])
def test_what_is_not_ok_is_ng_for_the_gate(verdict):
    state = answered(triggered()[0], Reply(1, 1, verdict=verdict), 1.1)
    assert (signals(state).ok, signals(state).ng, signals(state).review) == (False, True, verdict == Verdict.REVIEW)


def test_a_late_answer_is_an_error_and_changes_nothing_any_more():
    state = passed(triggered()[0], 3.0)
    assert (state.reply.fault, signals(state).ng, signals(state).error) == (Fault.LATE, True, True)
    assert answered(state, Reply(1, 1, verdict=Verdict.OK), 3.1) == state
    at_the_last_moment = answered(triggered()[0], Reply(1, 1, verdict=Verdict.OK), 3.0)
    assert at_the_last_moment.reply.fault == Fault.LATE


def test_each_break_of_the_order_has_its_code():
    busy, _ = triggered()
    low_again, _ = heard(busy, LOW, RULES, 1.1)
    overrun, job = heard(low_again, TRIGGER, RULES, 1.2)
    assert job is None
    assert (overrun.reply.fault, overrun.reply.since, overrun.reply.number) == (Fault.OVERRUN, 1, 2)
    assert answered(overrun, Reply(1, 1, verdict=Verdict.OK), 1.3) == overrun, "whose result would that be?"

    early, _ = heard(low_again, ACKNOWLEDGE, RULES, 1.2)
    assert early.reply.fault == Fault.EARLY_ACKNOWLEDGE
    done = answered(low_again, Reply(1, 1, verdict=Verdict.OK), 1.2)
    pressed, _ = heard(done, TRIGGER, RULES, 1.3)
    assert (pressed.reply.fault, pressed.reply.since, pressed.reply.number) == (Fault.UNACKNOWLEDGED, 2, 2)
    for inputs, fault in (
        (replace(TRIGGER, recipe=9), Fault.UNKNOWN_RECIPE),
        (replace(TRIGGER, part="gr\xfcn"), Fault.BAD_PART),
        (replace(TRIGGER, part="\x07"), Fault.BAD_PART),
    ):
        refused, job = heard(ready(), inputs, RULES, 1.0)
        assert (refused.reply.fault, job) == (fault, None)
    down, job = heard(able(ready(), False), TRIGGER, RULES, 1.0)
    assert (down.reply.fault, job) == (Fault.NOT_READY, None)
    assert WORDS.keys() == set(Fault)


def test_an_acknowledge_that_stays_up_does_not_swallow_the_next_result():
    stuck, _ = heard(ready(), ACKNOWLEDGE, RULES, 0.5)
    assert signals(stuck).ready, "nothing was outstanding"
    busy, _ = heard(stuck, replace(TRIGGER, acknowledge=True), RULES, 1.0)
    done = answered(busy, Reply(1, 1, verdict=Verdict.OK), 1.1)
    kept, _ = heard(done, replace(TRIGGER, acknowledge=True), RULES, 1.2)
    assert signals(kept).results_ready


def test_after_a_restart_signals_must_fall_before_a_part_is_taken():
    high, job = heard(cleaned(able(State(number=4), True)), TRIGGER, RULES, 0.0)
    assert (high.phase, job, high.number) == (Phase.NOT_READY, None, 4)
    assert not signals(cleaned(high)).ready, "while the PLC is not understood, its cameras may be triggered"
    assert signals(cleaned(heard(high, LOW, RULES, 0.1)[0])).ready


def test_after_a_cut_wire_what_it_triggered_meanwhile_is_waited_for_and_put_aside():
    cut = lost(ready())
    assert not signals(cut).ready
    assert cleaned(cut) == cut, "pictures of triggers that are not heard may still come"
    back, _ = heard(cut, LOW, RULES, 7.0)
    assert (signals(back).ready, back.pulse_at) == (False, 7.0)
    assert signals(cleaned(back)).ready


def test_a_trigger_that_rose_while_the_wire_was_cut_gets_its_error():
    again, job = heard(lost(ready()), TRIGGER, RULES, 1.0)
    assert (job, again.reply.fault, again.reply.number) == (None, Fault.NOT_READY, 1)
    held = lost(triggered()[0])
    same, job = heard(held, TRIGGER, RULES, 1.2)
    assert (same.number, job, same.phase) == (1, None, Phase.BUSY), "it was up before: that is no new one"


def test_a_result_that_came_while_the_wire_was_cut_is_acknowledged_as_any_other():
    done = answered(lost(triggered()[0]), Reply(1, 1, verdict=Verdict.OK), 1.5)
    assert done.phase == Phase.RESULT, "it is read after reconnecting"
    acknowledged, _ = heard(done, ACKNOWLEDGE, RULES, 2.0)
    assert acknowledged.phase == Phase.NOT_READY
    fallen, _ = heard(acknowledged, LOW, RULES, 2.1)
    assert not signals(fallen).ready, "what was triggered meanwhile may still come"
    assert signals(cleaned(fallen)).ready


def test_a_picture_that_nobody_triggered_takes_readiness_away_until_it_is_put_aside():
    doubtful = doubted(ready(), 5.0)
    assert (signals(doubtful).ready, doubtful.pulse_at) == (False, 5.0)
    early, job = heard(doubtful, TRIGGER, RULES, 5.1)
    assert (job, early.reply.fault) == (None, Fault.NOT_READY)
    assert signals(cleaned(doubtful)).ready
    busy, _ = triggered()
    assert doubted(busy, 5.0) == busy, "a part at hand may have one"


def test_after_an_error_the_station_is_ready_only_once_it_is_tidied_up():
    late = passed(triggered()[0], 3.0)
    acknowledged, _ = heard(late, ACKNOWLEDGE, RULES, 3.1)
    fallen, _ = heard(acknowledged, LOW, RULES, 3.2)
    assert not signals(fallen).ready, "the picture of the late part may lie about"
    assert signals(cleaned(fallen)).ready
    assert cleaned(late) == late, "its picture may still come"


def test_a_plc_without_a_sign_of_life_is_away():
    rules = replace(RULES, silent_s=1.0)
    state = cleaned(heard(able(State(), True), replace(LOW, life=1), rules, 5.0)[0])
    assert next_event(state, rules) == 6.0
    away = passed(state, 6.0, rules)
    assert not signals(away).ready
    same, _ = heard(away, replace(LOW, life=1), rules, 6.5)
    assert not signals(same).ready, "the same number is no life"
    back, _ = heard(away, replace(LOW, life=2), rules, 6.5)
    assert signals(back).ready


class AnyPlc(RuleBasedStateMachine):
    """A PLC that does anything in any order, beside a station whose camera, model and clock do as they like."""

    @initialize()
    def start(self):
        self.state, self.now = cleaned(heard(able(State(), True), LOW, RULES, 0.0)[0]), 0.0
        self.results: dict[int, list[Reply]] = {}
        self.risen: dict[int, float] = {}
        self.jobs = []

    def keep(self, state: State) -> None:
        if state.reply is not None and state.reply is not self.state.reply:
            for number in range(state.reply.since, state.reply.number + 1):
                self.results.setdefault(number, []).append(state.reply)
        for number in range(self.state.number + 1, state.number + 1):
            self.risen[number] = self.now
        self.state = state

    @rule(trigger=st.booleans(), acknowledge=st.booleans(), recipe=st.integers(0, 3), part=st.text(max_size=3))
    def writes(self, trigger, acknowledge, recipe, part):
        state, job = heard(self.state, Inputs(trigger, acknowledge, recipe, part), RULES, self.now)
        self.keep(state)
        if job is not None:
            self.jobs.append(job)

    @rule(trigger=st.booleans())
    def writes_as_it_should(self, trigger):
        shown = signals(self.state)
        inputs = Inputs(trigger and shown.ready, shown.results_ready, 1, "P-1")
        state, job = heard(self.state, inputs, RULES, self.now)
        self.keep(state)
        if job is not None:
            self.jobs.append(job)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), verdict=st.sampled_from(Verdict), fault=st.sampled_from([Fault.NONE, Fault.NO_PICTURE]))
    def answer(self, data, verdict, fault):
        job = data.draw(st.sampled_from(self.jobs))
        self.jobs.remove(job)
        verdict = verdict if fault == Fault.NONE else Verdict.NG
        self.keep(answered(self.state, Reply(job.number, job.number, job.part, fault, verdict), self.now))

    @rule(yes=st.booleans())
    def camera(self, yes):
        self.keep(able(self.state, yes))

    @rule()
    def tidy(self):
        self.keep(cleaned(self.state))

    @rule()
    def picture_without_trigger(self):
        self.keep(doubted(self.state, self.now))

    @rule()
    def wire_cut(self):
        self.keep(lost(self.state))

    @rule(seconds=st.sampled_from([0.01, 0.5, 2.5]))
    def time(self, seconds):
        self.now += seconds
        self.keep(passed(self.state, self.now, RULES))

    @invariant()
    def every_trigger_has_one_result_in_time(self):
        for number, at in self.risen.items():
            found = self.results.get(number, [])
            assert len(found) <= 1
            if not found:
                assert self.state.job is not None
                assert self.state.job.number == number
                assert self.now < at + RULES.decide_by_s

    @invariant()
    def ok_is_only_what_was_found_ok(self):
        shown = signals(self.state)
        assert not (shown.ok and (shown.ng or shown.error or not shown.results_ready))
        if shown.ok:
            assert self.state.reply.verdict == Verdict.OK
            assert self.state.reply.fault == Fault.NONE
        assert shown.results_ready == (shown.ok or shown.ng)
        assert sum((shown.ready, shown.busy, shown.results_ready)) <= 1


AnyPlc.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
test_no_order_of_signals_breaks_it = AnyPlc.TestCase
