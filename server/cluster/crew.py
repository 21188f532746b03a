"""Processes on several machines that train one model together (`segmentation.together.Crew`), over Ray alone.

They hand each other tensors through Ray's object store; a meeting, of which there is one for each attempt, passes the
tickets on. So nothing but Ray's own ports has to be open between the machines, and whoever waits for somebody that is
lost is told by Ray.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.cluster.parcels import Parcel, pack, unpacked

if TYPE_CHECKING:
    from torch import Tensor


class Meeting:
    """Where a crew meets: an actor that hands on what each brought once all have come. It computes nothing."""

    def __init__(self, ranks: int) -> None:
        self._ranks = ranks
        self._rounds: dict[int, tuple[dict[int, Any], asyncio.Event]] = {}
        self._news: tuple[float, str] = (0.0, "")
        self._kept: Parcel | None = None
        self._fetched = asyncio.Event()
        self._fetched.set()

    async def meet(self, number: int, rank: int, brought: Any) -> list[Any]:
        """What everybody brought to the `number`-th meeting, by rank; answers when the last has come."""
        table, complete = self._rounds.setdefault(number, ({}, asyncio.Event()))
        table[rank] = brought
        if len(table) == self._ranks:
            del self._rounds[number]
            complete.set()
        await complete.wait()
        return [table[each] for each in range(self._ranks)]

    async def tell(self, share: float, words: str) -> None:
        """How far rank 0 is."""
        self._news = (share, words)

    async def keep(self, parcel: Parcel) -> None:
        """Rank 0's checkpoint; answers once the one before was fetched, so that none is made in vain."""
        await self._fetched.wait()
        self._fetched.clear()
        self._kept = parcel

    async def news(self) -> tuple[float, str, Parcel | None]:
        """How far it is, and the checkpoint that was not fetched yet."""
        kept, self._kept = self._kept, None
        self._fetched.set()
        return *self._news, kept


class _Crew:
    """One of them, as `segmentation.train` sees it."""

    def __init__(self, meeting: Any, rank: int, ranks: int, keep_every_s: float | None) -> None:
        self._meeting, self.rank, self.ranks, self.keep_every_s = meeting, rank, ranks, keep_every_s
        self._met = 0
        self._held: Any = None
        """Ticket of the tensor that others fetch; all have it when they have agreed on the next step."""

    def agreed(self, words: list[float]) -> list[float]:
        """What rank 0 says."""
        return list(self._meet(words if self.rank == 0 else None)[0])

    def gathered(self, own: Tensor) -> list[Tensor]:
        """Everybody's tensor, by rank; they travel as arrays on the processor."""
        import numpy as np
        import ray
        import torch

        self._held = ray.put(own.detach().cpu().numpy())
        tickets = self._meet([self._held])
        return [
            own if rank == self.rank else torch.from_numpy(np.array(ray.get(one[0]))).to(own.device)
            for rank, one in enumerate(tickets)
        ]

    def kept(self, folder: Path) -> None:
        """Sent away at once: this machine may be lost."""
        import ray

        ray.get(self._meeting.keep.remote(pack(folder)))

    def _meet(self, brought: Any) -> list[Any]:
        import ray

        self._met += 1
        found: list[Any] = ray.get(self._meeting.meet.remote(self._met, self.rank, brought))
        return found


class Member:
    """An actor: one process of the crew."""

    def ready(self) -> bool:
        """It is there."""
        return True

    def train(
        self, parcels: Mapping[str, Any], how: Mapping[str, Any], meeting: Any, rank: int, ranks: int, **also: Any
    ) -> Parcel | None:
        """Train with the others, from the checkpoint if there is one.

        Args:
            parcels: lists of one reference each: `dataset`, and maybe `start_from`, `teacher`, `checkpoint`.
            how: further arguments of `segmentation.train.train`.
            meeting: the `Meeting` of this attempt.
            rank, ranks: which one, of how many.
            also: `threads`, of torch; `keep_every_s` as in `segmentation.together.Crew`.

        Returns:
            The model folder, of rank 0; None of the others.
        """
        import ray
        import torch

        from segmentation.checkpoint import partial_folder
        from segmentation.train import train

        torch.set_num_threads(int(also["threads"]))
        crew = _Crew(meeting, rank, ranks, also["keep_every_s"])
        there = {name: unpacked(ray.get(boxed[0])) for name, boxed in parcels.items() if name != "checkpoint"}

        def say(share: float, words: str) -> None:
            meeting.tell.remote(share, words)

        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "model"
            if "checkpoint" in parcels:
                ray.get(parcels["checkpoint"][0]).unpack(partial_folder(out))
            train(
                there["dataset"],
                out,
                start_from=there.get("start_from"),
                teacher=there.get("teacher"),
                crew=crew,
                progress=None if rank else say,
                **how,
            )
            return None if rank else pack(out)
