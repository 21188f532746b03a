"""What the outside saw of the plant, for the auditor: every trigger, every answer, and what broke a promise at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from .pieces import Piece
from .world import World


@dataclass(frozen=True)
class Told:
    """What a PLC read as the result of a trigger."""

    station: str
    number: int
    since: int
    piece: Piece
    """What stood under the camera when it was told."""
    passed: bool
    """`ok` was set: the PLC lets the piece through."""
    fault: str
    inspection: str
    calm: bool
    """Nothing was wrong any more."""


@dataclass(frozen=True)
class Answer:
    """What a client or the folder was told of an order."""

    station: str
    trigger_id: str
    inspection: str
    verdict: str | None
    progress: str


@dataclass
class Record:
    """All of it."""

    world: World
    pieces: dict[str, Piece] = field(default_factory=dict)
    """Name -> piece."""
    triggers: int = 0
    told: list[Told] = field(default_factory=list)
    unanswered: int = 0
    """Triggers over which the server died or could not be reached: the PLC counts them as errors itself."""
    answers: list[Answer] = field(default_factory=list)
    dropped: dict[str, Piece] = field(default_factory=dict)
    """Pieces whose pictures were put into the inbox, by name."""
    violations: list[str] = field(default_factory=list)
    calm: bool = False
    """Nothing is wrong any more, and there was time to get over what was: from now on everything must go right."""

    def piece(self, bad_share: float = 0.3) -> Piece:
        """A new piece, perhaps a bad one."""
        number = len(self.pieces) + 1
        made = Piece(number, self.world.chance(bad_share))
        self.pieces[made.name] = made
        return made

    def violated(self, words: str) -> None:
        """A promise was broken."""
        self.violations.append(f"seed {self.world.seed}, {self.world.seconds:.3f} s: {words}")
        self.world.tell(words)
