"""What a label is worth: the seam of a defect is nobody's, and some labels are better than others."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from qc.dataset import IGNORE
from qc.errors import InvalidInput


def ignore_band(target: Tensor, px: int) -> Tensor:
    """The same labels with IGNORE along the edges of defects, where two people never draw the same.

    Outside, background within `px` of a defect becomes unknown. Inside, so does the rim of what is thicker than
    `2 px`; thin defects keep all of their pixels, or a scratch of three pixels' width would vanish.

    Args:
        target: `B x H x W`, int64 class ids.
        px: width of the band on either side, in pixels; 0 changes nothing.

    Returns:
        A new `B x H x W` int64.

    Source:
        "Void" borders of PASCAL VOC (Everingham et al. 2010); keeping thin parts by a morphological opening is ours.
    """
    if px < 0:
        raise InvalidInput(f"a band cannot be {px} px wide")
    if px == 0:
        return target
    defect = ((target > 0) & (target != IGNORE)).float()[:, None]
    unknown = (target == IGNORE).float()[:, None]
    # Unknown pixels may be more of the same defect, so they do not gnaw at it.
    core = 1 - _grown(1 - defect.maximum(unknown), px)
    thick = _grown(core, px) * defect
    rim = (thick > 0) & (core == 0)
    halo = (_grown(defect, px) > 0) & (defect == 0)
    return target.masked_fill((rim | halo)[:, 0], IGNORE)


def quality_weights(target: Tensor, quality: Tensor, *, least: float = 0.05) -> Tensor:
    """`B x H x W` weights from how far each label is trusted.

    Args:
        target: `B x H x W`, int64 class ids.
        quality: in [0, 1]: `B` (one number an image: agreement of its labellers, a score of its review) or
            `B x H x W` (pixel by pixel, such as the probability that STAPLE gives the label).
        least: in [0, 1]; what the worst label still weighs.

    Returns:
        `max(quality, least)` on every labelled pixel, 0 on IGNORE. Give it as `weight` to any loss here.

    Raises:
        InvalidInput: a quality outside of [0, 1], or a shape that fits neither.

    Source:
        Weights by the probability of the label as in STAPLE, Warfield et al. 2004, doi:10.1109/TMI.2004.828354.
    """
    if quality.shape not in (target.shape, target.shape[:1]) or not 0 <= least <= 1:
        raise InvalidInput(f"quality is {tuple(quality.shape)} but target is {tuple(target.shape)}")
    if quality.numel() and (float(quality.min()) < 0 or float(quality.max()) > 1):
        raise InvalidInput("the quality of a label lies in [0, 1]")
    every = quality.float() if quality.shape == target.shape else quality.float()[:, None, None].expand(target.shape)
    return every.clamp(min=least) * (target != IGNORE)


def _grown(x: Tensor, px: int) -> Tensor:
    """The largest value within `px` pixels, diagonals included."""
    return F.max_pool2d(x, 2 * px + 1, 1, px)
