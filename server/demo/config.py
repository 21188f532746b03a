"""What a demonstration line is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PROCESS = "seat-bar"
"""The process's name on the server, and the product's."""


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """One demonstration line."""

    url: str
    """The server's address, without `/api/v1`."""
    key: str = field(repr=False)
    """A key of role machine."""
    home: Path
    """Where the line keeps its own things: `home/demo`."""
    studio_url: str = ""
    """Label Studio's address; empty: the one that the server's `/health` names."""
    studio_token: str = field(default="", repr=False)
    """An access token for it; empty: that of the server's own Label Studio, when its data folder is `home` too."""
    parts_per_minute: float = 8.0
    """How fast the line runs, at most; a busy server makes it slower, never faster."""
    parts: int | None = None
    """How many parts to make; None: until stopped."""
    seed: int = 0
    """Another seed is another plant with other parts."""
    width: int = 1024
    """Of each picture, px."""
    height: int = 768
    history_parts: int = 10_000
    """Parts in the history that the process model is fitted to."""
    seconds_per_label: float = 4.0
    """How long the imaginary labeller takes for one task, in seconds."""
    labels: bool = True
    """Work in Label Studio."""
    process: bool = True
    """Simulate the 50 steps and ask for recommendations."""

    @property
    def folder(self) -> Path:
        """Where the line keeps its own things; made when missing."""
        folder = self.home / "demo"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
