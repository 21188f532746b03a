"""What tests compare of a stream's items; a module of its own, as processes that are begun anew must find it."""

from __future__ import annotations

from collections.abc import Iterable

from labeling.sources.items import Item


def named(items: Iterable[Item]) -> list[tuple[int, str, str]]:
    """Position, source and file of each."""
    return [(item.position, item.source, item.entry.file) for item in items]
