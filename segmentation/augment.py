"""What may be changed about a crop without changing what it shows: position on the table, light, noise, focus."""

from __future__ import annotations

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray


def augmenter() -> A.Compose:
    """Flips, quarter turns, brightness, contrast, gamma, sensor noise, slight blur. No scaling: size is meaning."""
    return A.Compose(
        [
            A.D4(p=1.0),
            A.OneOf(
                [
                    A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.25, p=1.0),
                    A.RandomGamma(gamma_limit=(70, 140), p=1.0),
                ],
                p=0.7,
            ),
            A.OneOf(
                [
                    A.GaussNoise(std_range=(0.01, 0.04), p=1.0),
                    A.GaussianBlur(blur_limit=(3, 3), sigma_limit=(0.3, 0.8), p=1.0),
                ],
                p=0.25,
            ),
        ]
    )


def augment(
    change: A.Compose, pixels: NDArray[np.uint8], mask: NDArray[np.uint8], seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """`H x W x 3` and `H x W`, changed alike; the same `seed` changes them in the same way."""
    change.set_random_seed(seed)
    cv2.setRNGSeed(seed % (1 << 31))
    changed = change(image=pixels, mask=mask)
    return changed["image"], changed["mask"]


def augment_with(
    change: A.Compose, pixels: NDArray[np.uint8], mask: NDArray[np.uint8], trust: NDArray[np.uint8], seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """As `augment`, with the trust in each pixel's label moved as the labels are."""
    change.set_random_seed(seed)
    cv2.setRNGSeed(seed % (1 << 31))
    changed = change(image=pixels, masks=[mask, trust])
    moved_mask, moved_trust = changed["masks"]
    return changed["image"], moved_mask, moved_trust
