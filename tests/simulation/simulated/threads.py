"""`threading`, `time` and `concurrent.futures` as a world has them: same names, virtual time, one task at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from types import SimpleNamespace
from typing import Any

from greenlet import getcurrent

from .world import Task, World, is_dead, this_life


class Event:
    """As `threading.Event`."""

    def __init__(self, world: World) -> None:
        self._world, self._set = world, False
        self._waiting: list[Task] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            self._world.unpark(task)

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            task = getcurrent()
            assert isinstance(task, Task)
            self._waiting.append(task)
            self._world.park(timeout)
            if task in self._waiting:
                self._waiting.remove(task)
        return self._set


class Lock:
    """As `threading.Lock`; before it is taken, others may run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._held = False
        self._waiting: deque[Task] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self._world.step()
        until = None if timeout < 0 else self._world.now() + timeout
        while self._held:
            if not blocking or (until is not None and self._world.now() >= until):
                return False
            task = getcurrent()
            assert isinstance(task, Task), "outside of the world a lock must be free"
            self._waiting.append(task)
            self._world.park(None if until is None else until - self._world.now())
            if task in self._waiting:
                self._waiting.remove(task)
        self._held = True
        return True

    def release(self) -> None:
        self._held = False
        if self._waiting:
            self._world.unpark(self._waiting.popleft())

    def locked(self) -> bool:
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Thread:
    """As `threading.Thread`; it belongs to the life of whoever starts it."""

    def __init__(
        self,
        world: World,
        target: Callable[..., object],
        name: str = "",
        args: tuple[object, ...] = (),
        daemon: bool | None = None,
    ) -> None:
        self._world, self._target, self.name, self._args = world, target, name, args
        self._task: Task | None = None

    def start(self) -> None:
        self._task = self._world.spawn(this_life(), self.name, lambda: self._target(*self._args))

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.ended

    def join(self, timeout: float | None = None) -> None:
        until = None if timeout is None else self._world.now() + timeout
        while self.is_alive() and (until is None or self._world.now() < until):
            task = getcurrent()
            assert isinstance(task, Task)
            assert self._task is not None
            self._task.mourners.append(task)
            self._world.park(None if until is None else until - self._world.now())


class Future:
    """As `concurrent.futures.Future`."""

    def __init__(self, world: World) -> None:
        self._world, self._finished = world, Event(world)
        self._result: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Any], object]] = []
        self.began = False

    def done(self) -> bool:
        return self._finished.is_set()

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        if self.done():
            function(self)
        else:
            self._callbacks.append(function)

    def cancel(self) -> bool:
        if self.began:
            return False
        self.finish(None, CancelledError())
        return True

    def result(self, timeout: float | None = None) -> Any:
        if not self._finished.wait(timeout):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._result

    def finish(self, result: object, error: BaseException | None) -> None:
        if is_dead():
            return
        self._result, self._error = result, error
        self._finished.set()
        self._world.step()  # who waits may go on before the callbacks are called
        for function in self._callbacks:
            function(self)


class Pool:
    """As `concurrent.futures.ThreadPoolExecutor`."""

    def __init__(self, world: World, max_workers: int = 1, thread_name_prefix: str = "") -> None:
        self._world, self._shut = world, False
        self._jobs: deque[tuple[Future, Callable[..., object], tuple[object, ...]]] = deque()
        self._more = Event(world)
        self._workers = [Thread(world, self._work, f"{thread_name_prefix}-{n}") for n in range(max_workers)]
        for worker in self._workers:
            worker.start()

    def submit(self, function: Callable[..., object], *arguments: object) -> Future:
        if self._shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = Future(self._world)
        self._jobs.append((future, function, arguments))
        self._more.set()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._shut = True
        while cancel_futures and self._jobs:
            self._jobs.pop()[0].cancel()
        self._more.set()
        if wait:
            for worker in self._workers:
                worker.join()

    def _work(self) -> None:
        while True:
            while not self._jobs:
                if self._shut:
                    return
                self._more.clear()
                self._more.wait()
            future, function, arguments = self._jobs.popleft()
            future.began = True
            try:
                result = function(*arguments)
            except Exception as error:
                future.finish(None, error)
            else:
                future.finish(result, None)


def threading_of(world: World) -> SimpleNamespace:
    """What modules use of `threading`."""
    return SimpleNamespace(
        Event=lambda: Event(world),
        Lock=lambda: Lock(world),
        Thread=lambda **options: Thread(world, **options),
    )


def time_of(world: World) -> SimpleNamespace:
    """What modules use of `time`."""
    return SimpleNamespace(
        perf_counter=world.now,
        monotonic=world.now,
        sleep=world.sleep,
        time=lambda: world.clock().timestamp(),
    )
