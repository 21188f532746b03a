"""Vectors of images and defects, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from qc.errors import InvalidInput
from qc.features import from_bytes, pooled, to_bytes
from qc.geometry import Box


def cells_of(height, width, *, channels=2):
    """Cells that say where they are: row, then column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, *[rows * 0] * (channels - 2)]).astype(np.float16)


def test_a_defect_is_the_mean_of_the_cells_it_touches_weighted_by_its_pixels_there():
    instances = np.zeros((64, 64), np.uint16)
    instances[20, 10:22] = 1  # row of cells 1; 6 pixels in column 0, 6 in column 1
    instances[40:44, 50] = 2  # within one cell: row 2, column 3
    found = pooled(cells_of(4, 4), instances, [Box(10, 20, 12, 1), Box(50, 40, 1, 4)], cell_px=16)
    assert found.defects[0].tolist() == [1.0, 0.5]
    assert found.defects[1].tolist() == [2.0, 3.0]
    assert found.image.tolist() == [1.5, 1.5]


def test_where_nobody_looked_nothing_is_said():
    cells = cells_of(4, 4)
    cells[:, 2:] = np.nan
    instances = np.zeros((64, 64), np.uint16)
    instances[60, 60] = 1
    found = pooled(cells, instances, [Box(60, 60, 1, 1)], cell_px=16)
    assert found.defects == (None,)
    assert found.image.tolist() == [0.5, 1.5]
    cells[:] = np.nan
    assert pooled(cells, instances, [], cell_px=16).image is None


def test_a_vector_comes_back_to_half_precision_and_a_damaged_one_is_refused():
    vector = np.array([0.1, -3.25, 1e6], np.float32)
    back = from_bytes(to_bytes(vector))
    assert back[:2] == pytest.approx(vector[:2], rel=1e-3)
    assert np.isfinite(back).all()
    for damaged in (b"", b"abc"):
        with pytest.raises(InvalidInput):
            from_bytes(damaged)
