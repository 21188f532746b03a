"""Where the spread of finished parts comes from: the share of each step in the variance of every deciding reading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from process_opt.belief import believe
from process_opt.model import ProcessModel
from process_opt.outlook import go_forward

MATERIAL, GAUGE = "as parts come in", "the gauge's error"


@dataclass(frozen=True, slots=True)
class Spread:
    """How far finished parts lie apart when every setting stays nominal and no rework is done."""

    reading: str
    """`step.measurement` that decides."""
    sd: float
    """Standard deviation of the reading, on the model's scale: for a number, in its unit."""
    shares: tuple[tuple[str, float], ...]
    """Name of a step (or `MATERIAL`, `GAUGE`) and its share of the variance, in [0, 1]; the largest first."""


def spreads(model: ProcessModel) -> list[Spread]:
    """For every deciding reading. What the steps' weights are not known by is left out: it is no spread of parts."""
    belief = believe(model, {}, 0)
    ran = np.array([[0.0 if step.optional else 1.0] for step in model.process.steps])
    carry, _, _ = go_forward(model, belief, np.zeros((len(model.process.settings), 1)), ran)
    names = list(model.process.measurements)
    out = []
    for reading in model.process.conformance:
        last, _ = model.process.measurements[reading]
        place = names.index(reading)
        c = model.layout.coordinate[place]
        response = np.zeros((model.layout.d, model.size))
        response[c] = 1.0
        found = {GAUGE: float(model.gauge[place])}
        for k in range(last, -1, -1):
            if ran[k]:
                added = np.einsum("in,ij,jn->n", response, model.motions[k].noise, response)
                found[model.process.steps[k].name] = float(added.mean())
            response = np.einsum("in,ijn->jn", response, carry[k, :, :, 0])
        found[MATERIAL] = float(np.einsum("in,ijn,jn->n", response, belief.cov, response).mean())
        total = sum(found.values())
        shares = sorted(((name, value / total) for name, value in found.items()), key=lambda s: (-s[1], s[0]))
        out.append(Spread(reading, float(np.sqrt(total) * model.layout.scale[c]), tuple(shares)))
    return out
