"""Who sums over the parts of a history: this process, or several machines.

A share's sums are the same wherever they are computed, and they are added in the order of the shares. So a fit is the
same, to the last bit, whoever took part, where all are of one kind (processor, libraries, threads).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from process_opt.estimate import Data, Estimate

T = TypeVar("T")


class Hands(Protocol):
    """Those who work on the shares of a history."""

    def each(self, work: Callable[[Estimate, Data], T], estimate: Estimate, data: Data) -> Iterator[T]:
        """What `work`, a module's own function, makes of each share of `data`, in their order."""
        ...


class _Here:
    """This process, one share after the other."""

    def each(self, work: Callable[[Estimate, Data], T], estimate: Estimate, data: Data) -> Iterator[T]:
        return (work(estimate, share) for share in data.shares())


HERE = _Here()
