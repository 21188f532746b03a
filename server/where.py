"""Where a model serves: everywhere, or a product, a station, or a product at a station that has a model of its own.

Each part belongs to one of them: product and station together go before the station, and that before the product.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple


class Where(NamedTuple):
    """Parts that one model serves; of `EVERYWHERE`, those that no other one has of its own."""

    product: str = ""
    """Empty: whatever the product."""
    station: str = ""
    """Empty: at every station."""

    @property
    def words(self) -> str:
        """As a person says it."""
        return " at ".join(name for name in self if name) or "everywhere"


EVERYWHERE = Where()


def where_of(own: Container[tuple[str, str]], product: str, station: str) -> Where:
    """To which of those with a model of their own the parts of a product at a station belong."""
    for one in (Where(product, station), Where("", station), Where(product, "")):
        if one != EVERYWHERE and one in own:
            return one
    return EVERYWHERE
