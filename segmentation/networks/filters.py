"""Filters that a light network starts from: bright and dark lines, and edges, in the directions of the compass."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SIDE_PX = 6
"""Even, so that a filter has the same distance to all four pixels of the cell of 2 x 2 in its middle."""

SIGMA_PX = 1.0
"""A line answers most strongly at a spread of `width / (2 sqrt 3)` (Lindeberg 1998, gamma 3/4, puts it a little
higher): lines of two to four pixels. Thinner ones are as wide as the lens makes them, wider ones have edges."""


def lines_and_edges() -> Tensor:
    """`16 x 1 x 6 x 6`: bright lines in four directions, dark lines in the same, edges in eight.

    Lines are second, edges first derivatives of a Gaussian across the direction, as in Freeman and Adelson 1991, "The
    design and use of steerable filters", table III (G2) and table I (G1), here sampled at spread `SIGMA_PX`. Each has
    the mean 0, so that it does not answer to brightness, and the norm 1. Turned by 90 degrees or mirrored the set is
    the same set.
    """
    ticks = torch.arange(SIDE_PX, dtype=torch.float64) - (SIDE_PX - 1) / 2
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    bell = torch.exp(-(x**2 + y**2) / (2 * SIGMA_PX**2))
    across = [x * math.cos(turn) + y * math.sin(turn) for turn in (k * math.pi / 4 for k in range(8))]
    lines = [(1 - (u / SIGMA_PX) ** 2) * bell for u in across[:4]]
    edges = [u * bell for u in across]
    filters = torch.stack([*lines, *(-line for line in lines), *edges])[:, None]
    filters = filters - filters.mean(dim=(2, 3), keepdim=True)
    return (filters / filters.pow(2).sum(dim=(2, 3), keepdim=True).sqrt()).float()
