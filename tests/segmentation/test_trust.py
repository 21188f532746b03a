"""Where people did not quite agree, a pixel teaches less; where they did, nothing changes."""

import shutil

import cv2
import numpy as np
import pytest
import torch

from qc.dataset import IGNORE, WEIGHTS, open_dataset
from qc.errors import InvalidInput
from segmentation.config import TrainConfig
from segmentation.data import Crops, index
from segmentation.losses import training_loss
from segmentation.train import train
from segmentation.trust import Trust


def weighed(scratches, folder, make):
    """A copy of a data set with `weights/`, each made of its mask."""
    shutil.copytree(scratches, folder)
    (folder / WEIGHTS).mkdir()
    for path in (folder / "masks").iterdir():
        values = make(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        cv2.imwrite(str(folder / WEIGHTS / path.name), values.astype(np.uint8))
    return open_dataset(folder)


def drawn(dataset, number=3):
    samples = dataset.split("train")
    found = index(samples, dataset.classes)
    return Crops(samples, dataset.classes, found, crop_px=64, batch=8, defect_share=0.5, seed=0).draw(number)


def test_full_trust_is_no_other_batch_and_no_other_model(scratches, tmp_path):
    plain = open_dataset(scratches)
    full = weighed(scratches, tmp_path / "full", lambda mask: np.full_like(mask, 255))
    assert Trust(full.split("train")).is_full
    for a, b in zip(drawn(plain), drawn(full), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.array_equal(a, b)
    for data, out in ((scratches, tmp_path / "one"), (tmp_path / "full", tmp_path / "two")):
        train(data, out, steps=2, seed=0, config=TrainConfig(crop_px=64, batch=2))
    assert (tmp_path / "one/weights.safetensors").read_bytes() == (tmp_path / "two/weights.safetensors").read_bytes()


def test_trust_moves_as_the_labels_do(scratches, tmp_path):
    """Of the same pixels and labels, half trusted where a defect is drawn, in full elsewhere."""
    pixels, masks, _ = drawn(open_dataset(scratches))
    data = weighed(scratches, tmp_path / "half", lambda mask: np.where(mask == 1, 128, 255))
    weighed_pixels, weighed_masks, quality = drawn(data)
    assert np.array_equal(pixels, weighed_pixels)
    assert np.array_equal(masks, weighed_masks)
    assert quality.shape == masks.shape
    assert np.allclose(quality[masks == 1], 128 / 255)
    assert (quality[masks == 0] == 1).all()
    assert (quality[masks == IGNORE] == 1).all(), "outside of the image nothing is known, and nothing weighed"
    assert (masks == 1).any()


def test_a_pixel_that_is_not_trusted_hardly_teaches(scratches, tmp_path):
    data = weighed(scratches, tmp_path / "none", lambda mask: np.where(mask == 1, 0, 255))
    _, masks, quality = drawn(data)
    logits = torch.zeros(*masks.shape, 2).permute(0, 3, 1, 2).requires_grad_()
    target = torch.from_numpy(masks).long()
    slopes = []
    for trust in (None, torch.from_numpy(quality)):
        (slope,) = torch.autograd.grad(training_loss(logits, target, TrainConfig(loss="focal"), trust), logits)
        slopes.append(float(slope.abs().sum(dim=1)[target == 1].sum() / slope.abs().sum()))
    assert slopes[1] < 0.1 * slopes[0]


@pytest.mark.parametrize("damage", ["size", "bytes"])
def test_a_damaged_file_is_named(scratches, tmp_path, damage):
    data = weighed(scratches, tmp_path / "bad", lambda mask: np.full_like(mask, 200))
    sample = data.split("train")[0]
    if damage == "size":
        cv2.imwrite(str(sample.weight), np.zeros((3, 3), np.uint8))
    else:
        sample.weight.write_bytes(b"x")
    with pytest.raises(InvalidInput, match=f"weights/{sample.name}.png is damaged"):
        Trust(data.split("train"))
