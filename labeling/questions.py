"""A question to a person about a label that may be wrong. Nothing here ever changes a label."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from qc.geometry import Box


class Kind(StrEnum):
    """In which way a label may be wrong."""

    MISSING = "missing"
    """There is a defect that nobody drew."""
    SPURIOUS = "spurious"
    """Something is drawn where there is no defect."""
    SHIFTED = "shifted"
    """A defect is drawn beside where it is."""
    MERGED = "merged"
    """Several defects are drawn as one."""
    WRONG_CLASS = "wrong class"
    """The defect is there, but of another class."""


@dataclass(frozen=True, slots=True)
class Question:
    """One doubt about one defect of one image. Lengths in image pixels."""

    image: str
    part: str
    kind: Kind
    box: Box
    """Around what is drawn, and what the model would draw instead."""
    drawn_class: int | None
    """Class id as it stands; None where nothing is drawn."""
    proposed_class: int | None
    """Class id that the model would give; None where it sees nothing."""
    certainty: float
    """Chance in [0, 1] that the label is wrong in this way (see `labeling.errors`)."""
    harm: float
    """Share in [0, 1] of the defect's pixels that would be taught wrongly; 1 for a wrong class."""
    proposal: NDArray[np.bool_] | None
    """`box.height x box.width`: where the defect should be drawn; None where nothing should be."""
    move: tuple[int, int] = (0, 0)
    """How far what is drawn should go, to the right and down."""
    also: tuple[Kind, ...] = ()
    """Other ways in which the same label may be wrong, likelier first."""

    @property
    def priority(self) -> float:
        """How sure times how harmful, in [0, 1]; the queue is ordered by it."""
        return self.certainty * self.harm

    def sentence(self, classes: dict[int, str]) -> str:
        """The question in words."""
        drawn = classes.get(self.drawn_class or 0, "defect")
        seen = classes.get(self.proposed_class or 0, "defect")
        where = f"at ({self.box.x}, {self.box.y})"
        return {
            Kind.MISSING: f"Is there a {seen} {where} that nobody drew?",
            Kind.SPURIOUS: f"Is the {drawn} drawn {where} really there?",
            Kind.SHIFTED: f"Does the {drawn} drawn {where} belong {_way(self.move)}?",
            Kind.MERGED: f"Is the {drawn} drawn {where} several defects?",
            Kind.WRONG_CLASS: f"Is the {drawn} drawn {where} a {seen}?",
        }[self.kind]


def _way(move: tuple[int, int]) -> str:
    dx, dy = move
    across = f"{abs(dx)} px to the {'right' if dx > 0 else 'left'}" if dx else ""
    along = f"{abs(dy)} px {'down' if dy > 0 else 'up'}" if dy else ""
    return " and ".join(words for words in (across, along) if words) or "elsewhere"
