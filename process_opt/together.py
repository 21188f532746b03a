"""Settings that the parts of a batch share: which stand already, and which nobody can choose for one part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from process_opt.process import Process
from process_opt.request import Question


@dataclass(frozen=True, slots=True)
class Together:
    """What an answer about one part of a batch says of the settings that are not that part's alone."""

    batch: str | None
    decided: dict[str, float]
    """Settings of steps still to come that stood when it was asked."""
    open: tuple[str, ...]
    """Settings that the plan moves, that are one for the whole batch, and that nobody decided yet."""

    @property
    def reason(self) -> str:
        """One sentence for each, with a space before it; empty where there is nothing to say."""
        out = ""
        if self.decided:
            out += f" Taken as decided already: {', '.join(self.decided)}."
        if self.open and self.batch:
            names = ", ".join(self.open)
            out += f" One for all parts of batch {self.batch}, so decide on the batch first: {names}."
        return out

    def as_json(self) -> dict[str, Any]:
        """For the answer; nothing where the process shares nothing and nothing was decided."""
        out: dict[str, Any] = {}
        if self.decided:
            out["decided"] = self.decided
        if self.open:
            out["shared"] = list(self.open)
        return out


def of_the_batch(process: Process, question: Question, settings: Mapping[str, float]) -> Together:
    """What is not the part's alone.

    Args:
        settings: that the answer names.
    """
    open_ = tuple(name for name in settings if name in process.shared and name not in question.decided)
    return Together(question.batch, dict(question.decided), open_)


def still_shared(process: Process, at: int) -> tuple[str, ...]:
    """Settings of steps from place `at` on that the parts of a batch share."""
    return tuple(name for name, (k, setting) in process.settings.items() if setting.shared and k >= at)
