"""Windows of a frame looked at side by side: each by itself on its own processor cores, so that none waits for another.

Threads that share one window meet again after each of its layers, and the slowest is waited for every time; where
other work wants the cores, too, that is most of what they do. Windows side by side meet once, at the frame's end.
Their memory adds up.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def in_order(work: Callable[[In], Out], things: Sequence[In], count: int) -> Iterator[Out]:
    """`work` of each thing, in their order, `count` of them at once; at most so many wait to be taken.

    However many frames are under way, the process looks at `count` windows at once: memory does not depend on them.
    """
    if count == 1:
        yield from map(work, things)
        return
    begun: deque[Future[Out]] = deque()
    try:
        for thing in things:
            begun.append(_threads(count).submit(work, thing))
            if len(begun) > count:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for one in begun:
            one.cancel()


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="window")


os.register_at_fork(after_in_child=_threads.cache_clear)  # a child has none of its parent's threads
