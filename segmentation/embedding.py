"""What the served encoder makes of each place, as a third output of the graph that answers anyway: no second pass.

The encoder's stages at stride 8 and 16 describe a place's texture and its neighbourhood (the two that the memory of
clean parts uses as well, `novelty`); the finer one is averaged to the coarser one's grid, so that a frame costs 1.2
bytes a pixel, and not 4.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segmentation.answering import Answering, scaled

FINE, COARSE = 3, 4
"""Places of the two stages among the encoder's outputs, which begin at stride 1."""


def describes(network: nn.Module) -> bool:
    """Has the network an encoder whose stages describe a place? The light one has none."""
    return all(hasattr(network, name) for name in ("encoder", "decoder", "head"))


class AnsweringWithCells(Answering):
    """As `Answering`, and third the cells: `C x h x w`, float32, of 16 px (8 px where the network is that shallow)."""

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """What `Answering.forward` says, computed from the same features."""
        return self.answer(cast(Any, self.network).encoder(scaled(picture)))

    def answer(self, features: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Log-odds, class places and cells from what the encoder says, of all of a picture or of a part."""
        network = cast(Any, self.network)
        logits = F.pixel_shuffle(network.head(network.decoder(features)), 2)[0].float()
        defects = logits[1:]
        any_defect = defects[0] if defects.shape[0] == 1 else defects.logsumexp(dim=0)
        return any_defect - logits[0], defects.argmax(dim=0).to(torch.uint8), cells(features)[0].float()


class AnsweringInside(AnsweringWithCells):
    """As `AnsweringWithCells`, for the inside of a picture: the encoder sees it all, the rest computes what is asked.

    A halo is looked at for the sake of the encoder, which sees far; the decoder needs `tiled.RIM_CELLS` of it. Which
    cells of the coarsest grid are asked for are inputs, so that one graph serves windows at every edge of a frame.
    """

    def forward(self, picture: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """What `AnsweringWithCells` says of the coarsest cells `rows` and `columns`, int64, ascending without a gap."""
        found = cast(Any, self.network).encoder(scaled(picture))
        asked = found[:1]  # the picture itself, which nobody needs any more
        for halvings, stage in enumerate(found[1:], start=1):
            steps = torch.arange(1 << (len(found) - 1 - halvings), device=rows.device)
            down, along = ((cells[:, None] * len(steps) + steps).flatten() for cells in (rows, columns))
            asked.append(stage.index_select(2, down).index_select(3, along))
        return self.answer(asked)


def cells(features: list[Tensor]) -> Tensor:
    """`B x C x h x w` of the encoder's outputs."""
    fine = features[FINE]
    if len(features) <= COARSE:
        return fine
    return torch.cat([F.avg_pool2d(fine, 2), features[COARSE]], dim=1)
