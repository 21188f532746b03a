"""A crop of a large file is the crop of the whole picture, however the file is stored and wherever it is kept."""

import os
import weakref
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tifffile

from qc.dataset import open_dataset
from qc.errors import InvalidInput
from qc.frame import decode, to_8bit
from segmentation import data as reading
from segmentation.data import Crops, index
from segmentation.tile_reader import Pictures, TiffTiles, open_tiff

PLACES = [np.s_[0:40, 0:50], np.s_[100:101, 7:300], np.s_[250:301, 350:411], np.s_[30:30, 2:9], np.s_[0:301, 0:411]]
KINDS = {
    "uncompressed": {},
    "strips": {"rowsperstrip": 16, "compression": "zlib"},
    "tiles": {"tile": (64, 48)},
    "compressed tiles": {"tile": (64, 48), "compression": "zlib", "predictor": True},
    "big-endian tiles": {"tile": (64, 48), "byteorder": ">"},
    "big-endian": {"byteorder": ">"},
}


def picture(kind, seed=0):
    random = np.random.default_rng(seed)
    shape = (301, 411, 3) if kind == "RGB" else (301, 411)
    if kind == "12 bit":
        found = random.integers(0, 200, shape, np.uint16)
        found[150, 200] = 4000  # one bright pixel says how deep the camera is
        return found
    return random.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("stored", KINDS)
@pytest.mark.parametrize("kind", ["grey", "RGB", "12 bit"])
def test_a_part_of_a_tiff_is_the_part_of_the_whole(tmp_path, stored, kind):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(kind), photometric="rgb" if kind == "RGB" else "minisblack", **KINDS[stored])
    opened, whole = open_tiff(path), to_8bit(decode(path.read_bytes()))
    assert isinstance(opened, TiffTiles)
    assert opened.shape == whole.shape
    for place in PLACES:
        assert opened[place].dtype == np.uint8
        assert np.array_equal(opened[place], whole[place])


def test_of_a_tiled_tiff_only_the_tiles_asked_for_are_read(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture("grey"), tile=(64, 48), compression="zlib")
    opened, asked = open_tiff(path), []
    real = TiffTiles._segment
    monkeypatch.setattr(TiffTiles, "_segment", lambda own, file, n: asked.append(n) or real(own, file, n))
    opened[70:130, 50:60]
    assert asked == [9 + 1, 18 + 1]


def test_what_cannot_be_read_in_part_is_left_to_the_decoder(tmp_path):
    one_strip, two_pages, floats = (tmp_path / f"{n}.tif" for n in ("one", "two", "floats"))
    tifffile.imwrite(one_strip, picture("grey"), compression="zlib", rowsperstrip=301)
    tifffile.imwrite(two_pages, np.zeros((2, 64, 64), np.uint8))
    tifffile.imwrite(floats, np.zeros((64, 64), np.float32))
    cut_off = tmp_path / "cut.tif"
    tifffile.imwrite(cut_off, picture("grey"))
    cut_off.write_bytes(cut_off.read_bytes()[:-100])
    no_tiff, png = tmp_path / "no.tif", tmp_path / "a.png"
    no_tiff.write_bytes(b"hello")
    cv2.imwrite(str(png), picture("grey"))
    assert [open_tiff(p) for p in (one_strip, two_pages, floats, cut_off, no_tiff, png)] == [None] * 6


@pytest.fixture(scope="module")
def mixed(scratches, tmp_path_factory):
    """The drawn scratches as PNG, JPEG, tiled and plain TIFF."""
    root = tmp_path_factory.mktemp("mixed")
    (root / "masks").symlink_to(scratches / "masks")
    (root / "images").mkdir()
    (root / "dataset.yaml").write_text((scratches / "dataset.yaml").read_text())
    rows = (scratches / "split.csv").read_text().splitlines()
    written = [rows[0]]
    for number, row in enumerate(rows[1:]):
        name, rest = row.split(".png", 1)
        pixels = cv2.imread(str(scratches / "images" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        ending = (".png", ".jpg", ".tif", ".tiff")[number % 4]
        path = root / "images" / (name + ending)
        if ending == ".tif":
            tifffile.imwrite(path, pixels, tile=(32, 32))
        elif ending == ".tiff":
            tifffile.imwrite(path, pixels)
        else:
            cv2.imwrite(str(path), pixels)
        written.append(name + ending + rest)
    (root / "split.csv").write_text("\n".join(written) + "\n")
    return open_dataset(root)


def batches(data, count=6):
    samples = data.split("train")
    found = index(samples, data.classes)
    crops = Crops(samples, data.classes, found, crop_px=64, batch=8, defect_share=0.5, seed=0)
    return [crops.draw(n) for n in range(count)]


@pytest.mark.parametrize(("memory", "disk"), [(0, 10**9), (200_000, 10**9), (0, 300_000), (0, 0)])
def test_batches_are_the_same_wherever_the_pictures_are_kept(mixed, monkeypatch, memory, disk):
    expected = batches(mixed)
    monkeypatch.setattr(reading, "CACHE_BYTES", memory)
    real = Pictures.__init__
    monkeypatch.setattr(Pictures, "__init__", lambda own, *a, **k: real(own, *a, **{**k, "disk_bytes": disk}))
    for a, b in zip(expected, batches(mixed), strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_large_picture_is_decoded_once_and_a_tiff_never_whole(mixed, monkeypatch, tmp_path):
    samples, decoded = mixed.split("train"), []
    real = type(samples[0]).pixels
    monkeypatch.setattr(type(samples[0]), "pixels", lambda own: decoded.append(own.image.suffix) or real(own))
    pictures = Pictures(samples, mixed.classes, memory_bytes=0, beside=tmp_path)
    for _ in range(3):
        for number in range(len(samples)):
            pictures.open(number)
    assert sorted(decoded) == sorted(s.image.suffix for s in samples if s.image.suffix in (".png", ".jpg"))


def test_decoded_copies_leave_nothing_behind_and_need_no_name(mixed, tmp_path):
    pictures = Pictures(mixed.split("train"), mixed.classes, memory_bytes=0, beside=tmp_path)
    for number in range(8):
        pictures.open(number)
    assert list(tmp_path.iterdir()) == []
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    gone = weakref.ref(pictures)
    del pictures
    assert gone() is None
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) < before


def test_a_full_disk_is_no_reason_to_stop(mixed, tmp_path):
    """What has no room is decoded for each crop; what lies on disk stays as it is."""
    samples = mixed.split("train")
    with_room = Pictures(samples, mixed.classes, memory_bytes=10**9)
    little = Pictures(samples, mixed.classes, memory_bytes=0, disk_bytes=200_000, beside=tmp_path)
    for number in [*range(len(samples)), *range(len(samples))]:
        for a, b in zip(with_room.open(number), little.open(number), strict=True):
            assert np.array_equal(a[0:160, 0:200], b[0:160, 0:200])


def test_a_mask_of_another_size_is_named_for_a_tiff_too(mixed, tmp_path):
    sample = next(s for s in mixed.split("train") if s.image.suffix == ".tif")
    mask = tmp_path / sample.mask.name
    cv2.imwrite(str(mask), np.zeros((10, 12), np.uint8))
    with pytest.raises(InvalidInput, match=rf"{sample.name}\.png is 12 x 10 px but its image is 200 x 160"):
        Pictures([replace(sample, mask=mask)], mixed.classes, memory_bytes=0).open(0)
