"""`qc train` over a cluster: one model, trained by several machines together, that goes on when one of them is lost.

The weights are those of one computer of the same kind, to the last bit, whatever the number of machines and whichever
of them are lost (`segmentation.together`). So the crew may be of another size after each loss. What is kept lies beside
the model to be, on this computer, as the checkpoint of `qc train` does: either command goes on where the other ended.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qc.errors import QcError, Unavailable
from qc.progress import Progress
from server.cluster.crew import Meeting, Member
from server.cluster.parcels import Parcel, pack

if TYPE_CHECKING:
    from segmentation.config import NetworkConfig, TrainConfig

PATIENCE_S = 60.0
"""How long members that have come wait for further ones: a process on a busy machine needs some seconds."""

LOSSES = 8
"""So many attempts in a row that end without a new checkpoint are no bad luck any more."""


def train_over(
    ray: Any,
    dataset: Path,
    out: Path,
    *,
    workers: int,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    start_from: Path | None = None,
    config: TrainConfig | None = None,
    network: NetworkConfig | None = None,
    teacher: Path | None = None,
    threads: int = 1,
    gpus: bool = False,
    keep_every_s: float | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """As `segmentation.train.train`, by several processes on the machines of a cluster.

    Args:
        ray: the connected module.
        dataset, start_from, teacher: on this machine; they are sent to the others.
        out: the model folder, on this machine; until it is finished `out.partial` holds the newest checkpoint.
        workers: at most so many processes, each with `threads` cores or a GPU; fewer where there is no more room.
        config: with one batch a step, as is usual, each step gets a batch for every worker; else it is as it says, and
            no more than so many work on it.
        threads: of torch, in each process; one computer's training has the same weights with as many.
        gpus: a GPU for each process.
        keep_every_s: how much work a loss may cost, in seconds; None: as `qc train`.

    Returns:
        The model's card.

    Raises:
        InvalidInput, Conflict: as `qc train`.
        Unavailable: machines are lost again and again.
    """
    from segmentation.checkpoint import partial_folder
    from segmentation.model import read_card, refuse_foreign
    from segmentation.plan import default_config

    config = config or default_config(start_from)
    if config.batches_a_step == 1:
        config = replace(config, batches_a_step=workers)
    workers = min(workers, config.batches_a_step)
    out = Path(out)
    refuse_foreign(out)
    device = "cuda" if gpus else "cpu"
    how = {
        "minutes": minutes, "steps": steps, "seed": seed, "config": config, "network": network, "device": device
    }  # fmt: skip
    sent = {"dataset": dataset, "start_from": start_from, "teacher": teacher}
    parcels = {name: [ray.put(pack(folder))] for name, folder in sent.items() if folder is not None}
    kept = partial_folder(out)
    room = {"num_cpus": 0 if gpus else threads, "num_gpus": 1 if gpus else 0}
    tried = 0
    while True:
        begin = dict(parcels)
        if kept.is_dir():
            begin["checkpoint"] = [ray.put(pack(kept))]
        attempt = _Attempt(ray, room, workers, progress)
        try:
            made = attempt.train(begin, how, threads=threads, keep_every_s=keep_every_s, kept=kept)
            break
        except _Lost as lost:
            tried = 0 if attempt.kept else tried + 1
            if tried == LOSSES:
                raise Unavailable(
                    f"{LOSSES} attempts in a row lost a machine before a checkpoint was kept ({lost}); what was kept "
                    f"lies in {kept}: mend the cluster and give the same command again"
                ) from lost
            if progress:
                progress(attempt.share, f"a machine was lost, going on without it: {lost}"[:200])
        finally:
            attempt.close()
    _put_down(made, out)
    shutil.rmtree(kept, ignore_errors=True)
    return read_card(out)


class _Lost(Exception):
    """A machine or a process of the crew is gone; its first words."""


class _Attempt:
    """A crew, from its coming together until the model is there or one of them is lost."""

    def __init__(self, ray: Any, room: Mapping[str, float], most: int, progress: Progress | None) -> None:
        self._ray, self._room, self._most, self._progress = ray, room, most, progress
        self._actors: list[Any] = []
        self.kept = False
        """A checkpoint came in."""
        self.share = 0.0

    def train(
        self,
        parcels: Mapping[str, Any],
        how: Mapping[str, Any],
        *,
        threads: int,
        keep_every_s: float | None,
        kept: Path,
    ) -> Parcel:
        """The model folder; raises _Lost, and whatever `segmentation.train.train` does."""
        from ray.exceptions import RayError, RayTaskError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray = self._ray
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        meeting = None
        try:
            members = self._together()
            meeting = ray.remote(num_cpus=0)(Meeting).options(scheduling_strategy=here).remote(len(members))
            self._actors.append(meeting)
            left = [
                member.train.remote(
                    parcels, how, meeting, rank, len(members), threads=threads, keep_every_s=keep_every_s
                )
                for rank, member in enumerate(members)
            ]
            made: Parcel | None = None
            while left:
                done, left = ray.wait(left, timeout=0.5)
                for one in done:
                    made = ray.get(one) or made
                self._hear(meeting, kept)
            assert made is not None
            return made
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, QcError):
                raise cause from None
            if not isinstance(cause, RayError):
                raise
            lost: Exception = cause
        except RayError as error:
            lost = error
        if meeting is not None:
            with contextlib.suppress(RayError):  # it was on the lost machine, with the checkpoint that it had
                self._hear(meeting, kept)
        raise _Lost((str(lost).strip() or type(lost).__name__).splitlines()[0])

    def close(self) -> None:
        """End whoever is left."""
        for actor in self._actors:
            self._ray.kill(actor)

    def _together(self) -> list[Any]:
        """Those who have come: all that were asked for, or as many as there is room for."""
        from ray.exceptions import RayError

        ray = self._ray
        member = ray.remote(**self._room)(Member).options(scheduling_strategy="SPREAD")
        coming = {}
        for _ in range(self._most):
            actor = member.remote()
            self._actors.append(actor)
            coming[actor.ready.remote()] = actor
        here: list[Any] = []
        since = time.monotonic()
        while coming and len(here) < max(1, self._places()):
            done, _ = ray.wait(list(coming), timeout=1.0)
            for one in done:
                actor = coming.pop(one)
                try:
                    ray.get(one)
                except RayError:
                    continue
                here.append(actor)
            if not here:
                since = time.monotonic()
                if self._progress and not done:
                    self._progress(self.share, "waiting for a machine with room")
            elif time.monotonic() - since > PATIENCE_S:
                break
        for actor in coming.values():
            ray.kill(actor)
        if not here:
            raise _Lost("no process came up")
        return here

    def _places(self) -> int:
        """How many members the machines that are there could hold."""
        found = self._ray.cluster_resources()
        needed = {"CPU": self._room["num_cpus"], "GPU": self._room["num_gpus"]}
        return min(int(found.get(kind, 0.0) // each) for kind, each in needed.items() if each)

    def _hear(self, meeting: Any, kept: Path) -> None:
        share, words, parcel = self._ray.get(meeting.news.remote())
        if parcel is not None:
            _put_down(parcel, kept)
            self.kept = True
        if words and self._progress:
            self.share = share
            self._progress(share, words)


def _put_down(parcel: Parcel, folder: Path) -> None:
    """Let `folder` hold what the parcel holds, at once."""
    from segmentation.model import replace_folder

    folder.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        parcel.unpack(working)
        replace_folder(working, folder)
    finally:
        shutil.rmtree(working, ignore_errors=True)
