"""What a model learnt about the views of a part: in which view each class shows, and what its answers are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qc.defects import logit, probability
from qc.errors import InvalidInput

FORMAT = 1

SLOPES = ("found_slope", "found_at", "repeat_slope", "repeat_at")

MOST_SURE = 9.0
"""Log-odds beyond which no answer is believed (one in 8000): nobody has validated a model further."""

SURELY = 1e-3
"""How near to 0 or 1 scores are told apart where only their order of magnitude counts."""


@dataclass(frozen=True, slots=True)
class Shows:
    """How one class shows and is found. All are shares in [0, 1] but `per_part`."""

    visible: Mapping[str, float]
    """By view: of the defects of the class that some view shows, the share that this one shows."""
    elsewhere: float
    """The same for a view that is not named: over all views."""
    recall: float
    """Of the defects that a view shows, the share that the model answers there, however doubtfully."""
    strays: float
    """Share of pictures on which the model answers the class where nothing is."""
    per_part: float
    """Defects of the class that a part has on average."""

    def found(self, view: str) -> float:
        """The chance that a defect of the class is answered in a view: it shows there, and the model sees it."""
        return self.visible.get(view, self.elsewhere) * self.recall


@dataclass(frozen=True, slots=True)
class PartSettings:
    """What the verdict of a part rests on; learnt by `segmentation.part_views`."""

    views: tuple[str, ...]
    """The views that parts had; one of them that is not there is missing."""
    classes: Mapping[str, Shows]
    """By class name."""
    repeats: float
    """Chance in (0, 1) that what is answered wrongly in one view is answered in another, too: the same grain."""
    alike: float
    """Correlation in [0, 1] of how sure the views are of one and the same spot; 1: a second view says nothing new."""
    real: float
    """Share in (0, 1) of the answers that are defects."""
    found_slope: float = 0.0
    """By how much the log-odds of being answered in another view, too, rise with `sureness`, for a defect: what is
    faint in its surest view is often not answered elsewhere. 0: not at all."""
    found_at: float = 0.0
    """The sureness at which the chance is that of `Shows.found`."""
    repeat_slope: float = 0.0
    """The same for what is no defect: a stain of which a view is sure shows elsewhere, too; noise does not."""
    repeat_at: float = 0.0
    """The sureness at which the chance is `repeats`."""
    scale: float = 1.0
    """With `offset`: `scale * logit(score) + offset` are the calibrated log-odds that an answer is a defect."""
    offset: float = 0.0

    def log_odds(self, score: float) -> float:
        """Calibrated log-odds that an answer of this score is a defect, within `MOST_SURE`."""
        certain = probability(-MOST_SURE)
        raw = self.scale * logit(min(max(score, certain), 1 - certain)) + self.offset
        return min(max(raw, -MOST_SURE), MOST_SURE)

    def sureness(self, score: float) -> float:
        """`log_odds`, but of scores no nearer to 0 or 1 than `SURELY`: there they differ by more than they say."""
        return self.log_odds(min(max(score, SURELY), 1 - SURELY))

    def score(self, log_odds: float) -> float:
        """The score whose calibrated log-odds these are: the inverse of `log_odds`."""
        return probability((log_odds - self.offset) / self.scale)


def to_json(settings: PartSettings) -> dict[str, Any]:
    """As a model folder keeps it."""
    return {
        "format": FORMAT,
        "views": list(settings.views),
        "classes": {
            name: {
                "visible": {view: round(share, 5) for view, share in shows.visible.items()},
                "elsewhere": round(shows.elsewhere, 5),
                "recall": round(shows.recall, 5),
                "strays": round(shows.strays, 5),
                "per_part": round(shows.per_part, 5),
            }
            for name, shows in settings.classes.items()
        },
        **{n: round(getattr(settings, n), 5) for n in ("repeats", "alike", "real", *SLOPES, "scale", "offset")},
    }


def from_json(said: object) -> PartSettings:
    """The inverse of `to_json`; raises InvalidInput for what is damaged or from another version."""
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        found = said.get("format") if isinstance(said, dict) else None
        raise InvalidInput(f"what the model knows of views is of format {found}; make it again with qc part-views")
    try:
        settings = PartSettings(
            views=tuple(str(view) for view in said["views"]),
            classes={
                str(name): Shows(
                    visible={str(v): _share(n) for v, n in about["visible"].items()},
                    elsewhere=_share(about["elsewhere"]),
                    recall=_share(about["recall"]),
                    strays=_share(about["strays"]),
                    per_part=_number(about["per_part"], 0.0, math.inf),
                )
                for name, about in said["classes"].items()
            },
            repeats=_share(said["repeats"]),
            alike=_share(said["alike"]),
            real=_share(said["real"]),
            found_slope=_number(said["found_slope"], 0.0, 100.0),
            found_at=_number(said["found_at"], -100.0, 100.0),
            repeat_slope=_number(said["repeat_slope"], 0.0, 100.0),
            repeat_at=_number(said["repeat_at"], -100.0, 100.0),
            scale=_number(said["scale"], 1e-3, 1e3),
            offset=_number(said["offset"], -100.0, 100.0),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"what the model knows of views is damaged: {error}; make it again") from error
    if not (0 < settings.repeats < 1 and 0 < settings.real < 1):
        raise InvalidInput("what the model knows of views is damaged: a chance is 0 or 1; make it again")
    return settings


def _share(value: Any) -> float:
    return _number(value, 0.0, 1.0)


def _number(value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{value!r} is not within {low:g} and {high:g}")
    return float(value)
