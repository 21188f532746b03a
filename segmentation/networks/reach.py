"""How far a network looks, found by asking it."""

from __future__ import annotations

import copy

import torch
from torch import nn

from qc.errors import InvalidInput


def reach(network: nn.Module, stride: int) -> int:
    """How far the network looks: the largest distance, in pixels, from a stride-aligned block to a pixel it depends on.

    Found by asking: in a copy whose weights are all positive and whose activations let everything through, the
    gradient of the block's answers is positive exactly at the pixels they depend on. Both axes are asked.
    """
    probe = copy.deepcopy(network).cpu().double().eval()
    for module in list(probe.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU | nn.ReLU6):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.BatchNorm2d):
                activation = getattr(child, "act", None)  # timm puts the activation inside the norm
                setattr(module, name, nn.Identity())
                if activation is not None and not isinstance(activation, nn.Identity | nn.ReLU | nn.ReLU6):
                    raise InvalidInput(f"the reach of a network with {type(activation).__name__} cannot be probed")
    with torch.no_grad():
        for weight in probe.parameters():
            weight.fill_(1.0 / max(1, weight[0].numel()))
    longest = 128 * stride
    distances = []
    for vertical in (False, True):
        shape = (1, 3, longest, stride) if vertical else (1, 3, stride, longest)
        picture = torch.ones(shape, dtype=torch.float64, requires_grad=True)
        middle = longest // 2
        block = slice(middle, middle + stride)
        answer = probe(picture)
        (answer[:, :, block] if vertical else answer[..., block]).sum().backward()
        assert picture.grad is not None
        seen = picture.grad.abs().sum(dim=(0, 1, 3 if vertical else 2)).nonzero()[:, 0]
        distances += [middle - int(seen.min()), int(seen.max()) - (middle + stride - 1)]
    if max(distances) >= longest // 2 - stride:
        raise InvalidInput("the network looks further than its reach can be probed")
    return max(distances)
