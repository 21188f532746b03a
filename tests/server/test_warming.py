"""A model has looked at a tile before it serves, its network too, where its first look sees nothing of interest."""

from __future__ import annotations

import numpy as np
import pytest

from segmentation.first_look import CELL_PX, FirstLook
from segmentation.segmenter import FrameSegmenter
from server import models_in_use
from server.settings import Settings
from server.warming import warm

BLIND = FirstLook(lambda window: np.full([side // CELL_PX for side in window.shape[:2]], -1, np.float32))


@pytest.mark.parametrize("first_look", [None, BLIND])
def test_the_network_has_looked(first_look):
    seen = []

    def look(window):
        seen.append(window.shape)
        return np.full(window.shape[:2], -9, np.float32), np.zeros(window.shape[:2], np.uint8)

    warm(FrameSegmenter(look, {1: "scratch"}, 16, 16, first_look=first_look))
    assert seen


def test_a_model_that_cannot_look_does_not_serve(monkeypatch):
    def broken(self, pixels):
        raise RuntimeError("no kernel for this machine")

    monkeypatch.setattr(FrameSegmenter, "segment", broken)
    with pytest.raises(RuntimeError, match="no kernel"):
        models_in_use.loader(Settings(runtimes=False))(models_in_use.STARTER)
