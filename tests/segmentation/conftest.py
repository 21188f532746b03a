"""A tiny data set of drawn scratches on grey metal, and a tiny model trained on it once for the whole package."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from segmentation.config import TrainConfig


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


def metal(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Brushed grey metal: noise drawn out along the rows."""
    noise = cv2.GaussianBlur(random.normal(0, 30, (height, width)).astype(np.float32), (31, 1), 8)
    return np.clip(130 + noise, 0, 255).astype(np.uint8)


def scratch(random: np.random.Generator, pixels: np.ndarray, mask: np.ndarray, class_id: int = 1) -> None:
    """A bright line about 60 px long and 3 px wide, in both the picture and the mask."""
    height, width = mask.shape
    x, y = (int(random.integers(40, side - 40)) for side in (width, height))
    angle = random.uniform(0, np.pi)
    end = (int(x + 30 * np.cos(angle)), int(y + 30 * np.sin(angle)))
    start = (int(x - 30 * np.cos(angle)), int(y - 30 * np.sin(angle)))
    cv2.line(pixels, start, end, 235, 3)
    cv2.line(mask, start, end, class_id, 3)


def write_dataset(root: Path, *, parts: int = 12, val: int = 3, classes=None, size=(160, 200), seed: int = 0) -> Path:
    """`parts` parts of two views; the last `val` parts judge; every other part is clean."""
    random = np.random.default_rng(seed)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    rows = ["file,split,part,view"]
    for part in range(parts):
        for view in ("left", "right"):
            pixels, mask = metal(random, *size), np.zeros(size, np.uint8)
            if part % 2 == 0:
                scratch(random, pixels, mask)
            name = f"p{part:02d}_{view}"
            cv2.imwrite(str(root / "images" / f"{name}.png"), pixels)
            cv2.imwrite(str(root / "masks" / f"{name}.png"), mask)
            rows.append(f"{name}.png,{'val' if part >= parts - val else 'train'},part{part:02d},{view}")
    (root / "split.csv").write_text("\n".join(rows) + "\n")
    about = {"name": "drawn scratches", "classes": classes or {1: "scratch"}}
    (root / "dataset.yaml").write_text(yaml.safe_dump(about))
    return root


SMALL = TrainConfig(crop_px=96, batch=4, begin="imagenet")
"""From ImageNet, because the starter model knows scratches before anything is learnt."""


@pytest.fixture(scope="session")
def scratches(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "scratches")


@pytest.fixture(scope="session")
def model(scratches, tmp_path_factory) -> Path:
    """Trained for a few seconds."""
    from segmentation.train import train

    out = tmp_path_factory.mktemp("models") / "scratch"
    train(scratches, out, steps=45, seed=1, config=SMALL)
    return out


@pytest.fixture(scope="session")
def drawn_metal():
    """The function that draws clean metal of some height and width."""
    return lambda height, width, seed=0: metal(np.random.default_rng(seed), height, width)


@pytest.fixture(scope="session")
def drawn_dataset():
    """The function that writes such a data set."""
    return write_dataset
