"""Long work says how far it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Progress = Callable[[float, str], None]
"""Called with the share done, in [0, 1], and a few words."""


def within(progress: Progress | None, start: float, size: float) -> Progress | None:
    """`progress` for a stretch of the whole: what is told as 0 is told on as `start`, 1 as `start + size`."""
    return None if progress is None else lambda share, words: progress(start + size * share, words)


@contextlib.contextmanager
def bar(what: str) -> Iterator[Progress]:
    """A progress bar with the time left, on standard error; silent lines where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn(what),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task("", total=1.0)
        yield lambda share, words: bars.update(task, completed=share, description=words)
