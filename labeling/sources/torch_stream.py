"""The stream for PyTorch's DataLoader: `DataLoader(TorchStream(...), batch_size=None, num_workers=N)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from labeling.sources.items import Item
from labeling.sources.mix import Mix
from labeling.sources.stream import Share, batches


class TorchStream(IterableDataset[Any]):
    """Batches of one rank, the same whatever the number of workers. For object stores start workers by `spawn`."""

    def __init__(
        self,
        mix: Mix,
        *,
        batch: int,
        make: Callable[[list[Item]], Any],
        start: int = 0,
        stop: int | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """`make` turns the items of a batch into tensors, in the worker; the rest as `batches`."""
        super().__init__()
        self._mix, self._batch, self._make = mix, batch, make
        self._start, self._stop, self._rank, self._ranks = start, stop, rank, ranks

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        share = Share(self._rank, self._ranks, number, workers)
        for items in batches(self._mix, batch=self._batch, start=self._start, stop=self._stop, share=share):
            yield self._make(items)
