"""Homographies that somebody measured: how the views of a part lie on each other (`views.yaml` in the data set)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from qc.errors import InvalidInput
from qc.plain_yaml import parsed

Floats = NDArray[np.float64]

GIVEN_FILE = "views.yaml"

GIVEN_SPREAD_PX = 2.0
"""How far a given homography is believed to be off where the file does not say."""


@dataclass(frozen=True, slots=True)
class Given:
    """Homographies from pictures to a plane that all views of a part share."""

    views: Mapping[str, Floats] = field(default_factory=dict)
    images: Mapping[str, Floats] = field(default_factory=dict)
    """By file name without ending; before `views`."""
    spread_px: float = GIVEN_SPREAD_PX

    def between(self, first: tuple[str, str], second: tuple[str, str]) -> Floats | None:
        """From one (image, view) to another; None unless both are known."""
        one, two = self._plane(*first), self._plane(*second)
        if one is None or two is None:
            return None
        matrix = np.linalg.inv(two) @ one
        return np.asarray(matrix / matrix[2, 2])

    def _plane(self, image: str, view: str) -> Floats | None:
        return self.images.get(image, self.views.get(view))


def read_given(root: Path) -> Given:
    """The homographies of a data set; none where it has no `views.yaml`.

    The file::

        views:                        # from pixels (x, y) of a view to one plane that all views share, in any unit
          top:  [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
          left: [[0.99, 0.02, 14.0], [-0.02, 0.99, 3.5], [0, 0, 1]]
        images: {part7_left: [[...], [...], [...]]}      # optional: single pictures
        spread_px: 1.5                                   # optional: how far they are off (2)

    Raises:
        InvalidInput: it says something else; the message names the place.
    """
    path = root / GIVEN_FILE
    if not path.is_file():
        return Given()
    try:
        content = parsed(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path.name} cannot be read: {error}") from error
    if not isinstance(content, dict) or (unknown := set(map(str, content)) - {"views", "images", "spread_px"}):
        raise InvalidInput(
            f"{path.name} must have views, and may have images and spread_px; not {unknown or content!r}"
        )
    spread = content.get("spread_px", GIVEN_SPREAD_PX)
    if isinstance(spread, bool) or not isinstance(spread, int | float) or not 0 < spread < math.inf:
        raise InvalidInput(f"{path.name}: spread_px must be a positive number, not {spread!r}")
    return Given(
        _matrices(content.get("views") or {}, f"{path.name}: views"),
        _matrices(content.get("images") or {}, f"{path.name}: images"),
        float(spread),
    )


def _matrices(content: Any, where: str) -> dict[str, Floats]:
    if not isinstance(content, dict):
        raise InvalidInput(f"{where} must map names to 3 x 3 matrices, not {content!r}")
    found = {}
    for name, rows in content.items():
        try:
            matrix = np.array(rows, np.float64)
        except (TypeError, ValueError):
            matrix = np.zeros(0)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
            raise InvalidInput(f"{where}.{name} must be three rows of three numbers that can be inverted, not {rows!r}")
        found[str(name)] = matrix
    return found
