"""Where a place in one view of a station lies in its other views, learnt once and kept.

The cameras of a station stand still and its fixture holds parts alike, so that what was found on one part holds for
the next, about. It serves to show a person the same place in another view; labels are carried by registrations of
their own (`labeling.carry`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any

import numpy as np

from labeling.align import Floats
from labeling.registration import Registration, register
from qc.errors import NotFound
from qc.frame import Pixels
from qc.ports import BlobStore
from qc.records import Exposure

TRIES = 5
"""Parts on which a pair of views is tried; smooth ones have nothing to register by."""

RENEWED = timedelta(days=7)
"""So often a pair is learnt anew: cameras are bumped, fixtures are changed."""


class Places:
    """What is known of the views of one station."""

    def __init__(self, blobs: BlobStore, station: str) -> None:
        self._blobs = blobs
        self._key = f"views/{hashlib.sha256(station.encode()).hexdigest()[:24]}.json"
        try:
            self._pairs: dict[str, dict[str, Any]] = json.loads(blobs.get(self._key))
        except NotFound:
            self._pairs = {}

    def between(self, first: Exposure, second: Exposure) -> tuple[Floats, float] | None:
        """From (x, y) of the first view to the second's, and how far that may be off in px; None if not known."""
        for one, two, back in ((first, second, False), (second, first, True)):
            known = self._pairs.get(_pair(one, two))
            if known is not None and known["matrix"] is not None:
                matrix = np.array(known["matrix"], np.float64)
                laid = np.asarray(np.linalg.inv(matrix), np.float64) if back else matrix
                return laid, float(known["spread_px"])
        return None

    def unknown(self, exposures: Sequence[Exposure], now: datetime) -> list[tuple[Exposure, Exposure]]:
        """Pairs of an inspection's views that should be learnt, or learnt anew."""
        views = [e.view for e in exposures]
        named = sorted((e for e in exposures if e.view and views.count(e.view) == 1), key=lambda e: e.view)
        return [pair for pair in combinations(named, 2) if self._due(_pair(*pair), now)]

    def _due(self, pair: str, now: datetime) -> bool:
        known = self._pairs.get(pair)
        if known is None:
            return True
        if now - datetime.fromisoformat(known["at"]) > RENEWED:
            return True
        return known["matrix"] is None and int(known["tried"]) < TRIES

    def learn(self, first: Exposure, second: Exposure, pixels: tuple[Pixels, Pixels], now: datetime) -> bool:
        """Register two views of a part and remember the answer, also that there is none; True if there is one.

        What was known stays where another part says nothing: a smooth part is no proof that a camera moved.
        """
        pair, answer = _pair(first, second), register(*pixels)
        before = self._pairs.get(pair)
        if isinstance(answer, Registration):
            found = {"matrix": answer.matrix.tolist(), "spread_px": answer.spread_px}
        else:
            found = {"matrix": None if before is None else before["matrix"]}
            found["spread_px"] = None if before is None else before["spread_px"]
        tried = 1 if before is None or isinstance(answer, Registration) else int(before["tried"]) + 1
        self._pairs[pair] = found | {"tried": tried, "at": now.isoformat()}
        self._blobs.put(self._key, json.dumps(self._pairs, indent=1).encode())
        return isinstance(answer, Registration)


def _pair(first: Exposure, second: Exposure) -> str:
    """Two views in this order; of another size they are other views."""
    sizes = [[e.view, e.width, e.height] for e in (first, second)]
    return json.dumps(sizes)
