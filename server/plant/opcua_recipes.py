"""Recipes of a station as OPC 40100-1 sees them: which there are, which are prepared, and which one a job runs by.

A recipe of ours is a number that stands for a product; nothing has to be loaded for it, so that all are prepared from
the start. Preparing one makes it the one that a job without RecipeId and ProductId runs by.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_INDEX = 65535
"""The last index of a recipe."""


class Recipes:
    """What one station can be asked for; it outlives a server that ended."""

    def __init__(self, recipes: Mapping[int, str], default: str) -> None:
        """
        Args:
            recipes: index -> product; empty: every index is the default product.
            default: that product.
        """
        self.all: dict[int, str] = dict(recipes) or {0: default}
        self._any = not recipes
        self.prepared = set(self.all)
        self._chosen: int | None = None

    def find(self, *ids: str) -> int | None:
        """The recipe that the ids name, as far as they are given; None: there is none, or they contradict."""
        wished = {int(one) for one in ids if re.fullmatch("[0-9]{1,5}", one)}
        if len(wished) != 1 or any(one and not re.fullmatch("[0-9]{1,5}", one) for one in ids):
            return None
        index = wished.pop()
        return index if self.product(index) is not None else None

    def product(self, index: int) -> str | None:
        """What a recipe inspects; None: there is no such recipe."""
        if self._any:
            return self.all[0] if index <= MAX_INDEX else None
        return self.all.get(index)

    def prepare(self, index: int) -> None:
        """Jobs may run by it; one that names neither recipe nor product does."""
        self.prepared.add(0 if self._any else index)
        self._chosen = index

    def unprepare(self, index: int) -> None:
        """No job runs by it any more."""
        self.prepared.discard(0 if self._any else index)
        if self._chosen == index:
            self._chosen = None

    def listed(self, recipe: str, product: str, prepared: bool | None) -> list[int]:
        """Recipes with this id and this product, where given, and prepared, or not, where asked."""
        return [
            index
            for index, name in self.all.items()
            if recipe in ("", str(index)) and product in ("", name) and prepared in (None, index in self.prepared)
        ]

    def for_job(self, recipe: str, product: str) -> int | None:
        """The recipe that a job runs by; None: there is none, it is not prepared, or recipe and product contradict."""
        if not recipe and not product:
            only = next(iter(self.prepared)) if len(self.prepared) == 1 else None
            return only if self._chosen is None else self._chosen
        if self._any:
            index = self.find(recipe) if recipe else 0
            return index if self.prepared and product in ("", self.all[0]) else None
        return next(iter(self.listed(recipe, product, True)), None)
