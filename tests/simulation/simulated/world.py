"""A world of its own: virtual time, and threads that run one at a time in an order that a seed decides.

A task is a thread of a simulated program. It runs until it waits for something; then another one runs, or, when all of
them wait, time jumps to the next thing that is due. Nothing here takes real time, and the same seed gives the same
story. Tasks are greenlets: switching costs a microsecond, and only `World.park` switches.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from greenlet import GreenletExit, getcurrent, greenlet

STEP_S = 0.0003
"""Mean time that a step (a file flushed, a statement, a lock taken) takes, in virtual seconds."""
STALL = 0.0015
"""Chance that a step takes long instead: the machine swaps, the disk is busy, the thread is not scheduled."""
STALL_S = 0.6
"""Mean length of such a stall, in virtual seconds."""


class Life:
    """What dies together: one process of the simulated plant."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.tasks: list[Task] = []


class Task(greenlet):
    """A thread of a life."""

    def __init__(self, world: World, life: Life, name: str, function: Callable[[], object]) -> None:
        super().__init__(parent=world.hub)
        self.world, self.life, self.name, self.function = world, life, name, function
        self.turn = 0
        """Counts its waits, so that a timer of an earlier one is known as stale."""
        self.parked = False
        self.ended = False
        self.mourners: list[Task] = []

    def run(self, *_: object) -> None:
        try:
            self.function()
        except GreenletExit:
            pass
        except Exception as error:
            self.world.died(self, error)
        finally:
            self.ended = True
            for waiting in self.mourners:
                self.world.unpark(waiting)


class World:
    """Time, tasks, and the only dice."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.seconds = 0.0
        """Since the beginning; only goes forward."""
        self.clock_off_s = 0.0
        """How far the machine's clock is off; it may jump."""
        self.hub = getcurrent()
        self.calm = False
        """No stalls any more: the end of a story, in which everything must come right."""
        self.deaths: list[str] = []
        """Threads of a server that ended by an error nobody caught."""
        self._ready: deque[Task] = deque()
        self._timers: list[tuple[float, int, Task, int]] = []
        self._count = itertools.count()
        self._story = hashlib.blake2b(digest_size=8)
        self._stop = False

    def now(self) -> float:
        """Seconds that only go forward (`time.perf_counter`)."""
        return self.seconds

    def clock(self) -> datetime:
        """What the machine's clock shows (`server.clock.now`)."""
        return datetime(2026, 1, 5, 6, tzinfo=UTC) + timedelta(seconds=self.seconds + self.clock_off_s)

    def chance(self, probability: float) -> bool:
        """Does it happen?"""
        return self.rng.random() < probability

    def tell(self, words: str) -> None:
        """Something happened; the hash of all of it is the story's."""
        self._story.update(f"{self.seconds:.6f} {words}\n".encode())

    @property
    def story(self) -> str:
        """The same seed and the same code give the same one."""
        return self._story.hexdigest()

    def spawn(self, life: Life, name: str, function: Callable[[], object]) -> Task:
        """A new thread."""
        task = Task(self, life, name, function)
        life.tasks.append(task)
        task.parked = True
        self.unpark(task)
        return task

    def sleep(self, seconds: float) -> None:
        """Let the current task wait."""
        self.park(max(seconds, 0.0))

    def step(self) -> None:
        """A place at which others may run, and the process may be killed; outside of a task nothing."""
        if not isinstance(getcurrent(), Task):
            return
        stalls = not self.calm and self.chance(STALL)
        self.park(self.rng.expovariate(1 / (STALL_S if stalls else STEP_S)))

    def park(self, timeout: float | None = None) -> bool:
        """Wait until somebody calls `unpark`, or for `timeout` seconds; False when time was up."""
        task = getcurrent()
        assert isinstance(task, Task), "only a task of the world can wait in it"
        if task.life.dead:
            raise GreenletExit
        task.turn += 1
        task.parked = True
        if timeout is not None:
            heapq.heappush(self._timers, (self.seconds + max(timeout, 0.0), next(self._count), task, task.turn))
        return bool(self.hub.switch())

    def unpark(self, task: Task) -> None:
        """Let a task go on that waits."""
        if task.parked and not task.life.dead:
            task.parked = False
            self._ready.append(task)

    def run(self, until: float) -> None:
        """Let the world turn until a moment, or until `stop`."""
        self._stop = False
        while not self._stop:
            if self._ready:
                self._ready.rotate(-self.rng.randrange(len(self._ready)))
                task, woken = self._ready.popleft(), True
            else:
                if not self._timers or self._timers[0][0] > until:
                    self.seconds = max(self.seconds, until)
                    return
                at, _, task, turn = heapq.heappop(self._timers)
                if task.turn != turn or not task.parked or task.life.dead:
                    continue
                self.seconds, task.parked, woken = at, False, False
            if not task.life.dead and not task.ended:
                task.switch(woken)

    def stop(self) -> None:
        """End `run` after the current task has had its turn."""
        self._stop = True

    def kill(self, life: Life) -> None:
        """kill -9: no task of this life runs again; what unwinds cannot touch the world any more."""
        life.dead = True
        for task in life.tasks:
            if task:  # it has begun and not ended
                task.parent = getcurrent()  # where it goes when it has unwound
                task.throw(GreenletExit)
            task.ended = True
        self._ready = deque(task for task in self._ready if not task.life.dead)

    def died(self, task: Task, error: Exception) -> None:
        """A thread ended by an error; a real one would be gone for good as well."""
        if not task.life.dead:
            self.deaths.append(f"{task.life.name}: thread {task.name} died of {type(error).__name__}: {error}")
            self.tell(self.deaths[-1])


def this_life() -> Life:
    """The life of the current task."""
    task = getcurrent()
    assert isinstance(task, Task)
    return task.life


def is_dead() -> bool:
    """Is the current task's process dead, and this only its unwinding?"""
    task = getcurrent()
    return isinstance(task, Task) and task.life.dead
