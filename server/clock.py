"""What time it is."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The time now, in UTC with its zone; a `qc.ports.Clock`."""
    return datetime.now(UTC)
