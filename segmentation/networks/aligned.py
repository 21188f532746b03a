"""What one network can take over from another that is deeper or shallower."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

STEP = re.compile(r"decoder\.steps\.(\d+)\.")


def aligned(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of `weights` that have a place of the same shape in `own`, under the names they have there.

    Encoders are counted from the picture. So are steps of the decoder here, where names count them from the coarsest:
    the last step is the last in both networks. Heads belong to classes and are left out.
    """
    shift = _steps(own) - _steps(weights)
    found = {}
    for name, values in weights.items():
        here = STEP.sub(lambda step: f"decoder.steps.{int(step[1]) + shift}.", name)
        if not here.startswith("head.") and here in own and own[here].shape == values.shape:
            found[here] = values
    return found


def _steps(weights: Mapping[str, Tensor]) -> int:
    return 1 + max((int(step[1]) for step in map(STEP.match, weights) if step), default=-1)
