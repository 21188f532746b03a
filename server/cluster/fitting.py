"""`qc process fit` over a cluster: its passes over a long history are shared out, and their sums added here."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from qc.errors import QcError, Unavailable

if TYPE_CHECKING:
    from process_opt.estimate import Data, Estimate

T = TypeVar("T")

REMEMBERED = 4
"""Histories whose shares stay on the cluster: a fit passes over the few rows of its beginning, then over all."""


class Machines:
    """A cluster as `process_opt.hands.Hands`: what a lost machine had to do is done by another."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._work = ray.remote(num_cpus=1, max_retries=-1)(_worked)
        self._sent: dict[int, tuple[Data, list[Any]]] = {}

    def each(self, work: Callable[[Estimate, Data], T], estimate: Estimate, data: Data) -> Iterator[T]:
        """What `work` makes of each share, in their order; raises Unavailable where the cluster is gone."""
        from ray.exceptions import RayError, RayTaskError

        ray = self._ray
        now = ray.put(estimate)
        tickets = [self._work.remote(work, now, share) for share in self._shares(data)]
        for ticket in tickets:
            try:
                made: T = pickle.loads(ray.get(ticket))
            except RayTaskError as error:
                if isinstance(error.cause, QcError):
                    raise error.cause from None
                raise
            except RayError as error:
                raise Unavailable(f"the cluster is gone in the middle of the fit ({error}); fit again") from error
            yield made

    def _shares(self, data: Data) -> list[Any]:
        """Tickets of the shares, sent once."""
        if id(data) not in self._sent:
            while len(self._sent) >= REMEMBERED:
                del self._sent[next(iter(self._sent))]
            self._sent[id(data)] = data, [self._ray.put(share) for share in data.shares()]
        return self._sent[id(data)][1]


def _worked(work: Callable[[Estimate, Data], Any], estimate: Estimate, share: Data) -> bytes:
    """On some machine. Pickled here, since arrays straight from Ray's store cannot be added to."""
    return pickle.dumps(work(estimate, share))
