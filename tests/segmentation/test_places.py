"""A class is learnt from a few pictures, and found wherever the encoder sees it, also where no defect was found."""

from __future__ import annotations

import numpy as np
import pytest

from qc.errors import InvalidInput
from segmentation.heads import average_precision
from segmentation.places import Seen, learn

CHANNELS, ROWS, COLUMNS = 24, 12, 20


def picture(random, *, shows: bool, strip: bool = False) -> Seen:
    """Cells of a surface that differs from part to part; a small spot, or a wide strip, of the class."""
    cells = random.normal(size=(CHANNELS, ROWS, COLUMNS)) + 0.3 * random.normal(size=(CHANNELS, 1, 1))
    drawn = np.zeros((ROWS, COLUMNS), np.float32)
    if shows:
        row, column = random.integers(1, ROWS - 3), random.integers(1, COLUMNS - 2)
        place = np.s_[row : row + 3, :] if strip else np.s_[row, column : column + 2]
        drawn[place] = 1.0
        cells[:3][(slice(None), *place)] += 1.5 if strip else 4.0
    return Seen(cells.astype(np.float16), drawn, np.zeros((ROWS, COLUMNS), bool))


@pytest.mark.parametrize("strip", [False, True], ids=["a spot", "a wide strip of other shade"])
def test_ten_pictures_teach_a_class_that_is_then_found_on_others(strip):
    random = np.random.default_rng(0)
    own = [picture(random, shows=True, strip=strip) for _ in range(10)]
    others = [picture(random, shows=False) for _ in range(30)]
    head = learn(own, others)
    new = [picture(random, shows=n % 4 == 0, strip=strip) for n in range(80)]
    shows = np.arange(80) % 4 == 0
    assert average_precision(np.array([head.score(one.cells) for one in new]), shows) > 0.9
    odds = head.log_odds(new[0].cells)
    assert odds[new[0].drawn > 0].mean() > odds[new[0].drawn == 0].mean() + 1.0, "it says where, too"


def test_where_nobody_looked_it_says_nothing():
    random = np.random.default_rng(1)
    head = learn([picture(random, shows=True) for _ in range(5)], [picture(random, shows=False) for _ in range(5)])
    cells = picture(random, shows=True).cells
    cells[:, :, 10:] = np.nan
    assert np.isfinite(head.log_odds(cells)).sum() == ROWS * 10
    assert np.isfinite(head.score(cells))
    cells[:] = np.nan
    assert head.score(cells) == -np.inf


def test_too_few_pictures_and_an_example_without_the_class_are_refused_in_words():
    random = np.random.default_rng(2)
    own, others = [picture(random, shows=True) for _ in range(4)], [picture(random, shows=False) for _ in range(4)]
    with pytest.raises(InvalidInput, match="3 pictures with the class"):
        learn(own[:3], others)
    with pytest.raises(InvalidInput, match="leave it out"):
        learn([*own, others[0]], others)
