"""Is what JSON or YAML gave a number that can be worked with?"""

from __future__ import annotations

import math
from typing import TypeGuard


def is_finite(value: object) -> TypeGuard[int | float]:
    """A number, neither NaN nor infinite, also once it is a float: a whole number of 400 digits is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
