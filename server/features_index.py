"""Nearest defects in memory: exact by one product of a matrix, or by FAISS above a size where that is too slow.

Vectors are centred and scaled by what is usual among all of them, so that no feature counts for its unit, and
compared by their angle: a scratch that is seen more strongly is still the same kind of scratch.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qc.features import Vector
from server.features import Key

FAISS_FROM = 300_000
"""Vectors from which on FAISS searches, where it is installed: exact search of so many takes a tenth of a second."""
SCALED_AGAIN = 2.0
"""What is usual is learnt anew when there are so many times more vectors than when it was learnt."""
LINKS = 32
"""Of each vector in the graph of FAISS; twice as many need twice the memory and find hardly more."""
LEAST_LEARNT = 32
"""Below so many vectors nothing is known of what is usual; they are compared as they are."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Near:
    """A neighbour."""

    key: Key
    similarity: float
    """Cosine of the angle, in [-1, 1]; 1 is the same."""


class FeatureIndex:
    """The defects of one encoder. Safe to use from several threads."""

    def __init__(self, *, faiss_from: int = FAISS_FROM) -> None:
        self._lock = threading.Lock()
        self._faiss_from = faiss_from
        self._keys: list[Key] = []
        self._place: dict[Key, int] = {}
        self._raw: Floats = np.zeros((0, 0), np.float32)
        self._unit: Floats = np.zeros((0, 0), np.float32)
        self._gone: set[int] = set()
        self._learnt = 0
        self._mean: Floats = np.zeros(0, np.float32)
        self._scale: Floats = np.ones(0, np.float32)
        self._graph: object | None = None
        self._in_graph = 0

    def __len__(self) -> int:
        return len(self._keys) - len(self._gone)

    def add(self, keys: Sequence[Key], vectors: Sequence[Vector] | Floats) -> None:
        """Take vectors in; one whose key is known replaces it."""
        if not len(keys):
            return
        new = np.asarray(vectors, np.float32)
        with self._lock:
            self._forget(keys)
            first = len(self._keys)
            self._room(first + len(keys), new.shape[1])
            self._raw[first : first + len(keys)] = new
            for place, key in enumerate(keys, start=first):
                self._keys.append(key)
                self._place[key] = place
            if len(self._keys) > max(SCALED_AGAIN * self._learnt, LEAST_LEARNT):
                self._learn()
            else:
                self._unit[first : len(self._keys)] = self._scaled(new)

    def remove(self, inspection_id: str) -> None:
        """Forget all of an inspection; at once, also in memory."""
        with self._lock:
            self._forget([key for key in self._place if key[0] == inspection_id])

    def vector(self, key: Key) -> Vector | None:
        """The vector as it came, or None."""
        with self._lock:
            place = self._place.get(key)
            return None if place is None else self._raw[place].copy()

    def vectors(self, keys: Sequence[Key]) -> Floats:
        """Vectors that are here, row by row; raises KeyError for one that is not."""
        with self._lock:
            return self._raw[[self._place[key] for key in keys]]

    def nearest(self, vector: Vector, count: int, *, but: Key | None = None) -> list[Near]:
        """The `count` most alike, most alike first.

        Args:
            vector: of the same encoder.
            but: left out, such as the defect that is asked about.
        """
        with self._lock:
            number = len(self._keys)
            if number == 0 or count < 1:
                return []
            asked = self._scaled(np.asarray(vector, np.float32)[None])[0]
            spare = len(self._gone) + 1
            places, alike = self._search(asked, min(count + spare, number))
            found = []
            for place, similarity in zip(places.tolist(), alike.tolist(), strict=True):
                if place in self._gone or self._keys[place] == but:
                    continue
                found.append(Near(self._keys[place], float(min(max(similarity, -1.0), 1.0))))
            return found[:count]

    def _search(self, asked: Floats, count: int) -> tuple[NDArray[np.intp], Floats]:
        number = len(self._keys)
        if number >= self._faiss_from and importlib.util.find_spec("faiss") is not None:
            import faiss

            if self._graph is None:
                self._graph = faiss.IndexHNSWFlat(self._unit.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
                self._in_graph = 0
            self._graph.add(np.ascontiguousarray(self._unit[self._in_graph : number]))  # type: ignore[attr-defined]
            self._in_graph = number
            alike, places = self._graph.search(asked[None], count)  # type: ignore[attr-defined]
            there = places[0] >= 0
            return places[0][there], alike[0][there]
        alike = self._unit[:number] @ asked
        top = np.argpartition(alike, number - count)[number - count :] if count < number else np.arange(number)
        top = top[np.argsort(-alike[top], kind="stable")]
        return top, alike[top]

    def _forget(self, keys: Sequence[Key]) -> None:
        for key in keys:
            place = self._place.pop(key, None)
            if place is not None:
                self._raw[place] = 0.0
                self._unit[place] = 0.0
                self._gone.add(place)
        if len(self._gone) > max(1000, len(self._keys) // 4):
            self._tidy()

    def _tidy(self) -> None:
        """Close the gaps."""
        kept = [place for place in range(len(self._keys)) if place not in self._gone]
        self._raw, self._unit = self._raw[kept], self._unit[kept]
        self._keys = [self._keys[place] for place in kept]
        self._place = {key: place for place, key in enumerate(self._keys)}
        self._gone, self._graph = set(), None

    def _room(self, number: int, length: int) -> None:
        if self._raw.shape[1] != length:
            self._raw, self._unit = np.zeros((number, length), np.float32), np.zeros((number, length), np.float32)
            self._mean, self._scale = np.zeros(length, np.float32), np.ones(length, np.float32)
        if len(self._raw) < number:
            more = np.zeros((max(number, 2 * len(self._raw)) - len(self._raw), length), np.float32)
            self._raw, self._unit = np.concatenate([self._raw, more]), np.concatenate([self._unit, more])

    def _learn(self) -> None:
        """What is usual, from all that is here; everything is scaled by it."""
        number = len(self._keys)
        here = np.ones(number, bool)
        here[list(self._gone)] = False
        if number >= LEAST_LEARNT:
            self._mean = self._raw[:number][here].mean(axis=0)
            self._scale = self._raw[:number][here].std(axis=0) + np.float32(1e-6)
        self._learnt, self._graph = number, None
        self._unit[:number] = self._scaled(self._raw[:number])
        self._unit[:number][~here] = 0.0

    def _scaled(self, rows: Floats) -> Floats:
        standard = (rows - self._mean) / self._scale
        length = np.linalg.norm(standard, axis=1, keepdims=True)
        scaled: Floats = (standard / np.maximum(length, 1e-9)).astype(np.float32)
        return scaled
