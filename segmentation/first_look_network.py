"""The small network of a first look: frame in, interest of every cell of 32 px out.

Lines and edges are looked for in grey two pixels apart, by few filters; what they say is put together at strides 8 and
16, where surroundings of a hundred pixels cost next to nothing. 3.3 GFLOP per megapixel (a multiplication and an
addition are two) are a seventh of what the network with ImageNet weights takes, nearly all of it in convolutions as
dense as a processor likes them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from qc.errors import InvalidInput
from segmentation.first_look import CELL_PX, FirstLook, Floats
from segmentation.networks.filters import SIDE_PX, lines_and_edges

FORMAT = 2
"""Of the file; 1 was another kind of first look, of hand-made features."""

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601)."""

CHANNELS = (16, 32, 48, 64)
"""At strides 2, 4, 8 and 16."""

SPREADS = (1, 2, 1, 2)
"""Distance, in cells of 16 px, between what the filters of the last steps look at."""

RARE = -3.0
"""At the start nothing is interesting: the first steps need not learn that defects are rare."""


class Step(nn.Module):
    """A convolution, its norm, and a rectifier; what comes in is added where it has the same shape."""

    def __init__(self, inside: int, outside: int, side: int, *, stride: int = 1, spread: int = 1) -> None:
        super().__init__()
        padding = (side - stride) // 2 if side % 2 == 0 else spread * (side // 2)
        self.conv = nn.Conv2d(inside, outside, side, stride, padding, dilation=spread, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outside)
        self.act = nn.ReLU()
        self.adds = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        """`B x inside x H x W` -> `B x outside x H / stride x W / stride`."""
        changed: Tensor = self.norm(self.conv(x))
        found: Tensor = self.act(changed + x if self.adds else changed)
        return found

    def fold(self) -> None:
        """Let the convolution do what its norm does; for looking only."""
        self.conv = fuse_conv_bn_eval(self.conv, cast(nn.BatchNorm2d, self.norm))
        self.norm = nn.Identity()


class FirstLookNetwork(nn.Module):
    """`B x H x W x 3`, uint8, RGB, sides multiples of `CELL_PX` -> interest, `B x H / CELL_PX x W / CELL_PX`."""

    def __init__(self) -> None:
        super().__init__()
        at = CHANNELS
        lines = Step(1, at[0], SIDE_PX, stride=2)
        with torch.no_grad():
            lines.conv.weight.copy_(lines_and_edges()[: at[0]])
        self.steps = nn.Sequential(
            lines,
            Step(at[0], at[1], 3, stride=2),
            Step(at[1], at[2], 3, stride=2),
            Step(at[2], at[2], 3),
            Step(at[2], at[3], 3, stride=2),
            *(Step(at[3], at[3], 3, spread=spread) for spread in SPREADS),
        )
        self.head = nn.Conv2d(at[3], 1, 1)
        self.luma: Tensor
        self.register_buffer("luma", torch.tensor(LUMA).reshape(1, 3, 1, 1), persistent=False)
        nn.init.constant_(_bias(self.head), RARE)

    def forward(self, picture: Tensor) -> Tensor:
        """The highest of the four places of 16 px in each cell; `picture` as the camera gave it, 0 to 255."""
        grey = F.conv2d(picture.permute(0, 3, 1, 2).float(), self.luma) / 32.0 - 4.0
        interest: Tensor = F.max_pool2d(self.head(self.steps(grey)), CELL_PX // 16)[:, 0]
        return interest

    def lower(self, by: float) -> None:
        """Make every place less interesting, by so much."""
        with torch.no_grad():
            _bias(self.head).sub_(by)

    def folded(self) -> FirstLookNetwork:
        """A copy for looking: each convolution does what its norm did."""
        net = copy.deepcopy(self).eval()
        for step in net.steps:
            cast(Step, step).fold()
        return net

    def look(self, *, threads: int | None = None, device: str = "cpu") -> FirstLook:
        """At work in torch; `threads` as in `segmentation.torch_look.torch_look`."""
        net = self.folded().to(device)

        def glance(window: NDArray[np.uint8]) -> Floats:
            if threads is not None and torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            with torch.inference_mode():
                said: Floats = net(torch.from_numpy(window[None]).to(device))[0].cpu().numpy()
            return said

        return FirstLook(glance)


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def save(network: FirstLookNetwork, path: Path) -> None:
    """Write it as safetensors, as `stored_form` says."""
    metadata = {"first_look": json.dumps({"format": FORMAT, "cell_px": CELL_PX})}
    save_file(stored_form(network), path, metadata=metadata)
    path.chmod(0o644)


def stored_form(network: FirstLookNetwork) -> dict[str, Tensor]:
    """Its weights as a file holds them: all but the head, which the threshold is in, in half precision."""
    return {
        name: (w if name.startswith("head.") or not w.is_floating_point() else w.half()).detach().contiguous().clone()
        for name, w in network.state_dict().items()
    }


def as_stored(network: FirstLookNetwork) -> FirstLookNetwork:
    """The network as it will be after `save` and `load`: what is settled must be what serves."""
    return _with_weights(stored_form(network))


def load(path: Path) -> FirstLookNetwork:
    """From a file; raises InvalidInput for what is damaged or from another version."""
    try:
        with safe_open(path, "pt") as file:
            said = json.loads((file.metadata() or {}).get("first_look", "{}"))
        held: Mapping[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidInput(f"{path} is damaged: {error}") from error
    if said.get("format") != FORMAT or said.get("cell_px") != CELL_PX:
        raise InvalidInput(f"the first look is of format {said.get('format')}; make it again with qc first-look")
    try:
        return _with_weights(held)
    except RuntimeError as error:
        raise InvalidInput(f"the first look is damaged: {error}") from error


def _with_weights(held: Mapping[str, Tensor]) -> FirstLookNetwork:
    network = FirstLookNetwork()
    network.load_state_dict({name: w.float() if w.is_floating_point() else w for name, w in held.items()})
    return network.eval()
