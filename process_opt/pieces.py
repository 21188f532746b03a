"""Tables in .csv and .parquet files, whole or some rows at a time: a large history need not lie in memory twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from process_opt.process import MACHINE
from qc.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

FIXED = ("part", "batch", "disposition", "scrapped_at", "assignment")
"""Columns of every history beside those of its settings, readings and machines."""
PIECE = 50_000
"""Rows read at once: 135 columns of them take 54 MB."""


def read_table(path: Path) -> pd.DataFrame:
    """The table in a .csv or .parquet file, unchecked; raises InvalidInput where it cannot be read."""
    import pandas as pd

    return pd.concat(list(read_pieces(path)), ignore_index=True)


def read_pieces(path: Path, size: int = PIECE) -> Iterator[pd.DataFrame]:
    """The rows of a .csv or .parquet file in their order, `size` at a time; at least one table, which may be empty.

    Raises:
        InvalidInput: the file is of another kind, or cannot be read; also on the way, where the damage lies later.
    """
    path = Path(path)
    kinds = {".parquet": _parquet, ".csv": _csv}
    if path.suffix.lower() not in kinds:
        raise InvalidInput(f"{path.name} must be a .csv or .parquet file")
    try:
        yield from kinds[path.suffix.lower()](path, size)
    except Exception as error:  # pandas and pyarrow raise many kinds, all meaning the file is unreadable
        raise InvalidInput(
            f"{path.name} cannot be read: {str(error).splitlines()[0] if str(error) else error!r}"
        ) from error


def _csv(path: Path, size: int) -> Iterator[pd.DataFrame]:
    import pandas as pd

    head = pd.read_csv(path, nrows=0)
    texts = [c for c in map(str, head.columns) if c in FIXED or c.endswith(f".{MACHINE}")]
    empty = True
    with pd.read_csv(path, dtype={c: str for c in texts}, low_memory=False, chunksize=size) as pieces:
        for piece in pieces:
            empty = False
            yield piece
    if empty:
        yield head


def _parquet(path: Path, size: int) -> Iterator[pd.DataFrame]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows == 0:
            yield file.read().to_pandas()
        for piece in file.iter_batches(batch_size=size):
            yield piece.to_pandas()
