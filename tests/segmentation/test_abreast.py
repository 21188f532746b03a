"""Side by side, in order, never more at once than asked for, and not past the first that fails."""

import threading

import pytest

from segmentation.abreast import in_order


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_comes_out_is_in_order_and_no_more_are_at_work_than_asked_for(count):
    working, most, lock, met = 0, 0, threading.Lock(), threading.Barrier(count)

    def work(n):
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        met.wait(timeout=20)  # breaks where fewer are at work
        with lock:
            working -= 1
        return n * n

    assert list(in_order(work, range(12), count)) == [n * n for n in range(12)]
    assert most == count


def test_who_takes_slowly_is_not_run_ahead_of():
    begun = []
    squares = in_order(lambda n: begun.append(n) or n, range(100), 2)
    assert [next(squares), next(squares)] == [0, 1]
    assert len(begun) <= 4
    squares.close()
    assert len(begun) <= 4


def test_what_one_raises_is_raised_and_the_next_are_left():
    def work(n):
        if n == 1:
            raise ValueError("broken")
        return n

    taken = in_order(work, range(50), 2)
    assert next(taken) == 0
    with pytest.raises(ValueError, match="broken"):
        next(taken)
    assert list(in_order(work, [2, 3], 2)) == [2, 3]
