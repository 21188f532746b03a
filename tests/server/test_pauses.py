"""What outlives a long walk of the garbage collector is not walked over again; what is newer is."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest

from server import pauses


class Circle:
    """Refers to itself, so that only a collector finds out that nobody else does."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def nothing_is_frozen():
    assert gc.get_freeze_count() == 0
    yield
    assert gc.get_freeze_count() == 0


def test_what_outlived_a_long_walk_is_left_alone_and_newer_circles_are_collected():
    with pauses.kept_short(long_s=0.0):
        old = Circle()
        gc.collect()
        assert gc.get_freeze_count() > 1000
        new, gone = Circle(), weakref.ref(old)
        new_gone = weakref.ref(new)
        del old, new
        gc.collect()
        assert new_gone() is None
        assert gone() is not None
    gc.collect()
    assert gone() is None


def test_nothing_is_left_alone_after_a_short_walk_or_one_over_new_objects():
    with pauses.kept_short(long_s=3600.0):
        gc.collect()
        assert gc.get_freeze_count() == 0
    with pauses.kept_short(long_s=0.0):
        gc.collect(1)
        assert gc.get_freeze_count() == 0


def test_threads_wait_for_their_turn_for_a_shorter_time_while_it_lasts():
    usual = sys.getswitchinterval()
    with pauses.kept_short():
        assert sys.getswitchinterval() == pytest.approx(pauses.SWITCH_S)
    assert sys.getswitchinterval() == pytest.approx(usual)
