"""TrainConfig: every choice of a training run, frozen, printed into the model's card."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from qc.errors import InvalidInput

LIGHT = "light"
"""The encoder of a network of our own that keeps stride 2 and has no weights to start from (`networks/light.py`)."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The shape of a network."""

    encoder: str = "tf_efficientnet_lite0"
    """An encoder of timm whose ImageNet weights come in a package (see `networks.IMAGENET`), or `LIGHT`."""
    depth: int = 4
    """How often the picture is halved: 3, 4 or 5. Deeper sees more context and needs a larger halo."""
    decoder_channels: tuple[int, ...] = (48, 32, 24)
    """Channels from the coarsest step of the decoder to stride 2; `depth - 1` numbers."""

    def __post_init__(self) -> None:
        if self.depth not in (3, 4, 5):
            raise InvalidInput(f"depth must be 3, 4 or 5, not {self.depth}")
        if len(self.decoder_channels) != self.depth - 1:
            raise InvalidInput(
                f"depth {self.depth} needs {self.depth - 1} decoder_channels, not {self.decoder_channels}"
            )

    @property
    def stride(self) -> int:
        """The coarsest step of the network, in pixels."""
        return 1 << self.depth


NETWORKS = {
    "pretrained": NetworkConfig(),
    "light": NetworkConfig(encoder=LIGHT, decoder_channels=(48, 24, 16)),
}
"""By the names that `qc train --network` knows."""

BEGINNINGS = ("starter", "imagenet")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How a network learns. Reaches on one core in 10 minutes what the README's table says."""

    crop_px: int = 256
    """Side of a training crop, in native pixels; a multiple of 32."""
    batch: int = 8
    """Crops of a batch."""
    batches_a_step: int = 1
    """Batches whose mean gradient makes one step. Several processes (`segmentation.together`) share them, one process
    computes them one after the other; the result is the same."""
    defect_share: float = 0.6
    """Share of crops that are placed on a defect; the others fall anywhere, half of them on clean frames."""
    hard_share: float = 0.3
    """Of the crops not placed on a defect, the share placed on a confirmed false alarm, where any is named."""
    learning_rate: float = 2e-3
    """Of AdamW, at its highest, for the decoder."""
    encoder_rate: float = 0.35
    """The encoder's learning rate as a share of the decoder's: it already knows edges and textures."""
    weight_decay: float = 1e-2
    ema_steps: int = 60
    """Time constant of the moving average of the weights, in steps."""
    loss: str = "instance_focal + dice"
    """Names of `segmentation.losses.LOSSES`, with factors: `focal + 0.5 centre_line`."""
    focal_gamma: float = 2.0
    """Focusing strength of the focal losses: 0 or at least 1."""
    instance_power: float = 0.5
    """Of `instance_focal`: 1 makes a pinhole weigh as much as a stain, 0 as much as its pixels."""
    ignore_band_px: int = 0
    """Pixels on either side of a drawn edge that are not learnt from; 0 learns from all."""
    warm_up: float = 0.04
    """Share of the run over which the learning rate rises."""
    cool_down: float = 0.6
    """Share of the run, at its end, over which the learning rate falls to zero."""
    begin: str = "starter"
    """What a network that continues no other begins from: `starter`, the starter model as far as it fits, because it
    has seen marks on metal already, or `imagenet`. The light network has a starter of its own, and without it it begins
    from filters for lines and edges."""
    frozen_stages: int = 2
    """How many of the encoder's first stages stay as they came, weights and statistics: nothing flows back through
    them, and they are the ones with the most pixels. Edges look the same on every surface."""

    def __post_init__(self) -> None:
        if self.crop_px < 32 or self.crop_px % 32:
            raise InvalidInput(f"crop_px must be a positive multiple of 32, not {self.crop_px}")
        if self.batch < 2:
            raise InvalidInput(f"batch must be at least 2, not {self.batch}")
        if self.batches_a_step < 1:
            raise InvalidInput(f"batches_a_step must be at least 1, not {self.batches_a_step}")
        if not 0 <= self.defect_share <= 1:
            raise InvalidInput(f"defect_share must lie in [0, 1], not {self.defect_share}")
        if not 0 <= self.hard_share <= 1:
            raise InvalidInput(f"hard_share must lie in [0, 1], not {self.hard_share}")
        if self.focal_gamma < 0 or 0 < self.focal_gamma < 1:
            raise InvalidInput(f"focal_gamma must be 0 or at least 1, not {self.focal_gamma}")
        if self.begin not in BEGINNINGS:
            raise InvalidInput(f"begin must be one of {BEGINNINGS}, not {self.begin!r}")
        if not 0 <= self.frozen_stages <= 4:
            raise InvalidInput(f"frozen_stages must lie in [0, 4], not {self.frozen_stages}")
        if not 0 <= self.instance_power <= 1:
            raise InvalidInput(f"instance_power must lie in [0, 1], not {self.instance_power}")
        if self.ignore_band_px < 0:
            raise InvalidInput(f"ignore_band_px must be at least 0, not {self.ignore_band_px}")
        from segmentation.losses import parse_loss  # needs torch, which whoever only inspects has not

        parse_loss(self.loss)


def network_config(values: dict[str, Any]) -> NetworkConfig:
    """From the JSON of a model card; raises InvalidInput for an unknown name."""
    if unknown := set(values) - {f.name for f in fields(NetworkConfig)}:
        raise InvalidInput(f"the model's network has unknown settings {sorted(unknown)}; it needs a newer version")
    values = dict(values)
    if "decoder_channels" in values:
        values["decoder_channels"] = tuple(values["decoder_channels"])
    return NetworkConfig(**values)


def train_config(values: dict[str, Any]) -> TrainConfig:
    """From JSON, such as `qc tune` writes; raises InvalidInput for an unknown name or a value that makes no sense."""
    if unknown := set(values) - {f.name for f in fields(TrainConfig)}:
        raise InvalidInput(
            f"training has no settings {sorted(unknown)}; it has {[f.name for f in fields(TrainConfig)]}"
        )
    try:
        return TrainConfig(**values)
    except TypeError as error:
        raise InvalidInput(f"a setting of training has the wrong type: {error}") from error


def as_json(config: NetworkConfig | TrainConfig) -> dict[str, Any]:
    """The plain values of a configuration."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
