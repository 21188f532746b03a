"""What cannot be put back: a setting that acts one way only stands at its limit where nothing is done."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel
from process_opt.process import parse_process
from process_opt.recommend import recommend

MIDDLE = 50.0
FARTHEST = 3.0

PROCESS = parse_process(
    {
        "name": "ground",
        "currency": "EUR",
        "part": {"value": 40.0, "scrap": 1.5, "escape": -100.0},
        "conformance": ["end.length"],
        "steps": [
            {"name": "saw", "cost": 0.3, "measurements": {"length": {"gauge_sd": 0.05}}},
            {"name": "grind", "cost": 0.3, "setup_cost": 0.2,
             "settings": {"depth": {"low": 0.0, "high": FARTHEST, "nominal": 0.0, "change_cost": 0.1}}},
            {"name": "end", "cost": 0.3, "measurements": {
                "length": {"gauge_sd": 0.05, "lower": MIDDLE - 0.5, "upper": MIDDLE + 0.5}}},
        ],
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> ProcessModel:
    """Half of the parts were ground by a random depth, half by what people saw."""
    rng = np.random.default_rng(1)
    n = 900
    length = MIDDLE + rng.standard_normal(n)
    seen = length + 0.05 * rng.standard_normal(n)
    dithered = rng.random(n) < 0.5
    depth = np.where(dithered, np.abs(0.8 * rng.standard_normal(n)), seen - MIDDLE + 0.1 * rng.standard_normal(n))
    depth = np.clip(depth, 0.0, FARTHEST)
    ended = length - depth + 0.05 * rng.standard_normal(n)
    table = pd.DataFrame(
        {
            "part": [f"H{i}" for i in range(n)],
            "disposition": "finished",
            "assignment": np.where(dithered, "dither", "operator"),
            "saw.length": seen,
            "grind.depth": depth,
            "end.length": ended + 0.05 * rng.standard_normal(n),
        }
    )
    return fit(PROCESS, parse_history(table, PROCESS))


def asked(model: ProcessModel, length: float) -> dict[str, object]:
    return recommend(model, {"part": "P", "at": "grind", "observed": {"saw.length": length}})


@pytest.mark.parametrize("much", [1.0, 1.9])
def test_what_is_too_long_is_ground_as_far_as_parts_were_ground_before(model: ProcessModel, much: float) -> None:
    answer = asked(model, MIDDLE + much)
    assert answer["decision"] == "correct"
    assert answer["settings"] == {"grind.depth": pytest.approx(much, abs=0.15)}
    assert answer["p_conform"] > 0.98
    assert "Beyond" not in str(answer["reason"])


def test_what_is_too_short_cannot_be_put_back(model: ProcessModel) -> None:
    answer = asked(model, MIDDLE - 1.5)
    assert answer["decision"] == "scrap"
    assert answer["settings"] == {}
