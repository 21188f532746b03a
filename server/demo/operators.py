"""The people at the stations: they see better than the model, not always, and not every part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LOOKS_AT = {"review": 0.95, "ng": 0.8, "ok": 0.7}
"""Share of parts of each verdict that somebody looks at; what the model lets pass is only sampled."""

WRONG = 0.02
"""Of the parts a person looks at, the share they judge wrongly."""


@dataclass(frozen=True, slots=True)
class Word:
    """What the operator says about a part."""

    verdict: str
    """ok or ng."""
    reason: str


def judge(rng: np.random.Generator, *, verdict: str, defective: bool, defects: tuple[str, ...]) -> Word | None:
    """The operator's word on a part, or None where nobody says anything.

    Nobody bothers to confirm what is plainly right: words come for parts in review and for wrong verdicts, and for
    every fourth NG part that goes to the scrap box in their hands.
    """
    if rng.random() > LOOKS_AT.get(verdict, 0.0):
        return None
    believes = "ng" if defective != (rng.random() < WRONG) else "ok"
    if verdict == "ok" and believes == "ok":
        return None
    if verdict == believes and rng.random() > 0.25:
        return None
    if believes == "ng":
        return Word("ng", ("seen: " + ", ".join(defects)) if defects else "does not look right")
    return Word("ok", "dirt or tool marks, nothing in the metal" if verdict != "ok" else "looks right")
