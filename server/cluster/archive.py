"""What `qc cluster predict` and `qc cluster embed` write: an archive's answers, or its features."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qc.errors import InvalidInput
from qc.object_stores import is_remote
from qc.progress import Progress
from qc.verdict import Policy
from server.cluster.eyes import SAME
from server.cluster.looking import IMAGE, Answers, Vectors, look_over

TABLE_ROWS = 4096
"""Vectors that are written at once."""


def addresses_of(places: Sequence[str]) -> list[str]:
    """Pictures among `places`: files, folders (their pictures), and objects of a store (`s3://…`), one picture each.

    Raises:
        NotFound, InvalidInput: as `qc predict`.
    """
    from segmentation.predict import find_images

    found: list[str] = []
    for place in places:
        found += [place] if is_remote(place) else [str(p.resolve()) for p in find_images([Path(place)])]
    return found


def predict_over(
    ray: Any,
    model: Path,
    places: Sequence[str],
    out: Path,
    *,
    policy: Policy | None = None,
    mm_per_px: float | None = None,
    scores: bool = False,
    runtime: str = SAME,
    workers: int | None = None,
    gpus: float = 0.0,
    progress: Progress | None = None,
) -> tuple[int, tuple[str, ...]]:
    """As `segmentation.predict.predict`, on all machines of a cluster.

    Returns:
        How many pictures were looked at, and a sentence for each that could not be.
    """
    from segmentation.predict import keep, refuse_collisions, rules

    addresses = addresses_of(places)
    refuse_collisions([Path(a) for a in addresses])
    out.mkdir(parents=True, exist_ok=True)
    maker = Answers(rules(policy, mm_per_px), scores=scores)
    problems, done = [], 0
    answers = look_over(ray, model, addresses, maker, runtime=runtime, workers=workers, gpus=gpus)
    for address, problem, made in answers:
        if problem:
            problems.append(f"{address}: {problem}")
        else:
            keep(made, Path(address).stem, out)
            done += 1
        if progress:
            progress((done + len(problems)) / len(addresses), Path(address).name)
    return done, tuple(problems)


def embed_over(
    ray: Any,
    model: Path,
    places: Sequence[str],
    out: Path,
    *,
    runtime: str = SAME,
    workers: int | None = None,
    gpus: float = 0.0,
    progress: Progress | None = None,
) -> tuple[int, tuple[str, ...]]:
    """The features of pictures and of the defects on them, into one Parquet file.

    Its columns: `picture` (address), `defect` (null for the picture as a whole, else the place of the defect in what
    `qc predict` says), `encoder` (the model's id), `vector` (fixed-size list of float16). It is there when all is done.

    Returns:
        How many pictures were looked at, and a sentence for each that could not be.
    """
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    from segmentation.model import model_id
    from segmentation.predict import rules

    addresses, encoder = addresses_of(places), model_id(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    working = out.with_name(f".{out.name}.{os.getpid()}")
    problems, done = [], 0
    rows: list[tuple[str, int | None, bytes]] = []
    writer: Any = None

    def write() -> None:
        nonlocal writer
        values = np.frombuffer(b"".join(vector for *_, vector in rows), "<f2")
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(values), len(values) // len(rows))
        table = pa.table(
            {
                "picture": pa.array([picture for picture, *_ in rows]),
                "defect": pa.array([defect for _, defect, _ in rows], pa.int32()),
                "encoder": pa.array([encoder] * len(rows)),
                "vector": vectors,
            }
        )
        writer = writer or parquet.ParquetWriter(working, table.schema)
        writer.write_table(table)
        rows.clear()

    try:
        maker = Vectors(rules(None, None))
        answers = look_over(ray, model, addresses, maker, runtime=runtime, workers=workers, gpus=gpus)
        for address, problem, made in answers:
            if problem:
                problems.append(f"{address}: {problem}")
            else:
                rows += [(address, None if key == IMAGE else int(key), vector) for key, vector in made.items()]
                done += 1
            if len(rows) >= TABLE_ROWS:
                write()
            if progress:
                progress((done + len(problems)) / len(addresses), Path(address).name)
        if rows:
            write()
        if writer is None:
            raise InvalidInput(f"no picture could be looked at; the first: {problems[0]}")
        writer.close()
        os.replace(working, out)
    finally:
        working.unlink(missing_ok=True)
    return done, tuple(problems)
