"""An archive of pictures, looked at by every machine of a cluster, through Ray Data.

A worker reads a picture where it lies (a folder that all machines share, or an object store, `s3://…`),
looks at it and hands back what is to be kept; this program alone writes. A worker that is lost loses nothing: its
pictures are looked at again by another, and a result is written once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from qc.errors import InvalidInput, QcError
from qc.object_stores import ObjectStore, is_remote
from qc.verdict import Policy
from server.cluster.eyes import SAME, open_eyes
from server.cluster.parcels import pack

if TYPE_CHECKING:
    from segmentation.segmenter import FrameSegmenter

PICTURES_A_BLOCK = 4
"""Few, so that the last worker does not keep the others waiting, and a lost one costs little."""

IMAGE = "image"
"""What the vector of a whole picture is called; those of its defects are called 0, 1, …"""

Made = Mapping[str, bytes]
Row = dict[str, Any]


class Maker(Protocol):
    """What a worker does with a picture; sent to the workers, so it holds no model."""

    cells: bool
    """Whether it needs what the encoder makes of each place."""

    def make(self, segmenter: FrameSegmenter, name: str, data: bytes) -> Made:
        """What is kept of the picture `name` whose bytes are `data`; raises QcError."""
        ...


class Answers:
    """The files that `qc predict` writes, by the ends of their names."""

    cells = False

    def __init__(self, policy: Policy, *, scores: bool = False) -> None:
        self.policy, self.scores = policy, scores

    def make(self, segmenter: FrameSegmenter, name: str, data: bytes) -> Made:
        from segmentation.predict import Remembering, files_of

        return files_of(Remembering(segmenter), name, data, self.policy, scores=self.scores)


class Vectors:
    """The features of a picture and of its defects, float16, as those of inspections are made."""

    cells = True

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def make(self, segmenter: FrameSegmenter, name: str, data: bytes) -> Made:
        from qc.features import pooled, to_bytes
        from qc.frame import Frame, decode
        from qc.inspection import inspect
        from segmentation.predict import Remembering

        eyes = Remembering(segmenter)
        found = inspect(Frame(decode(data, name=name), view="", sha256=""), eyes, self.policy)
        if eyes.last is None or eyes.last.cells is None:
            raise InvalidInput("this model does not say what its encoder sees; one with a pretrained encoder does")
        boxes = [defect.box for defect in found.defects]
        made = pooled(eyes.last.cells, found.instances, boxes, cell_px=eyes.last.cell_px, sample=eyes.last.sample)
        named = {IMAGE: made.image, **{str(n): vector for n, vector in enumerate(made.defects)}}
        return {key: to_bytes(vector) for key, vector in named.items() if vector is not None}


class _Worker:
    """One of Ray Data's actors: a model, and a picture after the other."""

    def __init__(self, parcel: Any, runtime: str, maker: Maker) -> None:
        import ray

        self._maker = maker
        self._segmenter = open_eyes(ray.get(parcel[0]), runtime=runtime, keep_cells=maker.cells)

    def __call__(self, row: Row) -> Row:
        """`number`, `problem`, and what was made: `keys` and `contents`."""
        try:
            made = self._made(str(row["address"]))
        except (QcError, OSError, ValueError) as error:
            problem = error.message if isinstance(error, QcError) else str(error) or type(error).__name__
            return {"number": row["number"], "problem": problem, "keys": [], "contents": []}
        return {"number": row["number"], "problem": "", "keys": list(made), "contents": list(made.values())}

    def _made(self, address: str) -> Made:
        return self._maker.make(self._segmenter, address.rsplit("/", 1)[-1], read(address))


def read(address: str) -> bytes:
    """The bytes of a picture: a path, or an object in a store that `qc.object_stores` knows.

    Raises:
        NotFound, StoreAway, OSError: it is not there, or cannot be read.
    """
    if not is_remote(address):
        return Path(address).read_bytes()
    folder, _, name = address.rpartition("/")
    return ObjectStore(folder).get(name)[0]


def look_over(
    ray: Any,
    model: Path,
    addresses: Sequence[str],
    maker: Maker,
    *,
    runtime: str = SAME,
    workers: int | None = None,
    gpus: float = 0.0,
) -> Iterator[tuple[str, str, Made]]:
    """Every picture once, in the order in which they are done: its address, a problem or "", what was made of it.

    Args:
        ray: the connected module.
        model: a model folder on this machine; it is sent to the workers.
        addresses: paths or URLs that every worker can read.
        runtime: one of `server.cluster.eyes.RUNTIMES`.
        workers: so many, of one core each; None: from one up to as many as the cluster has room for, as Ray sees fit.
        gpus: of each worker, on the machines that have them; a share of one will do.
    """
    from ray.data import ActorPoolStrategy, DataContext

    if not addresses:
        raise InvalidInput("no image was given")
    DataContext.get_current().enable_progress_bars = False
    parcel = ray.put(pack(model))
    there = ray.cluster_resources()
    if gpus > there.get("GPU", 0.0):
        raise InvalidInput(f"no machine of this cluster has {gpus:g} GPUs; ray start --num-gpus says how many one has")
    room = there["GPU"] / gpus if gpus else there.get("CPU", 1)
    most = min(len(addresses), workers or max(1, int(room)))
    rows = [{"number": n, "address": address} for n, address in enumerate(addresses)]
    answers = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // PICTURES_A_BLOCK)).map(
        _Worker,
        fn_constructor_args=([parcel], runtime, maker),
        compute=ActorPoolStrategy(min_size=most if workers else 1, max_size=most),
        num_cpus=1,
        num_gpus=gpus or None,
    )
    for row in answers.iter_rows():
        made = dict(zip(row["keys"], row["contents"], strict=True))
        yield addresses[int(row["number"])], str(row["problem"]), made
