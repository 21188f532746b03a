"""A GenICam camera through a real GenTL producer: the simulated one that the package `genicam` carries."""

from __future__ import annotations

import time
from pathlib import Path

import genicam
import numpy as np
import pytest

from qc.frame import camera_bits, decode
from server.plant.config import CameraConfig, GenICamConfig
from server.plant.genicam import GenICamSource
from server.plant.pixels import as_tiff, pixels_of
from server.plant.sources import NoPicture, source_of

PRODUCER = Path(genicam.__file__).with_name("viky.cti")
SLOW = {"AcquisitionFrameRate": 20.0}


@pytest.fixture
def camera():
    """Opens cameras: `camera(device, **features)`; closes them all."""
    opened = []

    def open_one(device, trigger="free-run", **features):
        config = GenICamConfig(producer=PRODUCER, device=device, trigger=trigger, features={**SLOW, **features})
        source = source_of(CameraConfig(view="top", genicam=config))
        assert isinstance(source, GenICamSource)
        opened.append(source)
        return source

    yield open_one
    for source in opened:
        source.close()


def shot(source):
    return decode(source.picture(5.0).data)


def test_two_cameras_of_one_producer_deliver_what_they_see_now(camera):
    red, green = camera("0", Width=640), camera("VikyTL_DEV_green", PixelFormat="Mono8")
    assert red.problem() is None
    assert green.problem() is None
    first, grey = shot(red), shot(green)
    assert (first.shape, grey.shape) == ((400, 640, 3), (400, 400))
    assert first[..., 0].mean() > first[..., 1:].mean(), "the red one is red"
    time.sleep(0.5)
    assert not np.array_equal(shot(red), first), "the scene moves, and an old frame is not handed out"
    red.close()
    assert shot(green).any(), "the other one goes on"


def test_what_cannot_be_opened_or_set_says_why(camera):
    assert "no feature Gain" in camera("1", Gain=2.0).problem()
    assert "does not take Width = 'wide'" in camera("1", Width="wide").problem()
    assert "no feature TriggerSelector" in camera("1", trigger="software").problem()
    assert "Machine Vision Games Ltd. Viky (VikyTL_DEV_red) (serial number 0)" in camera("7").problem()
    missing = GenICamSource("", GenICamConfig(producer=Path("/nowhere/x.cti")))
    assert "no GenTL producer" in missing.problem()
    with pytest.raises(NoPicture, match="no GenTL producer"):
        missing.picture(0.1)


def test_a_camera_that_vanishes_is_found_again(camera, monkeypatch):
    monkeypatch.setattr("server.plant.genicam.AGAIN_S", 0.0)
    source = camera("2")
    assert source.problem() is None
    shot(source)
    source._camera.stop()  # pulled out: nothing comes any more, and it cannot be asked
    source._camera.destroy()
    with pytest.raises(NoPicture):
        source.picture(0.5)
    source.problem()
    assert source.problem() is None
    assert shot(source).shape == (400, 400, 3)


def test_pixel_formats_become_pictures():
    deep = pixels_of(np.array([0, 1, 0xFFF, 0x800], np.uint16), 2, 2, "Mono12")
    assert deep.tolist() == [[0, 16], [0xFFF0, 0x8000]]
    assert np.array_equal(decode(as_tiff(deep)), deep), "every bit is kept"
    colour = pixels_of(np.arange(12, dtype=np.uint8), 2, 2, "BGR8")
    assert colour[0].tolist() == [[2, 1, 0], [5, 4, 3]]
    assert pixels_of(np.arange(16, dtype=np.uint8), 2, 2, "RGBa8")[1, 1].tolist() == [12, 13, 14]
    for order, place in (("RG", (0, 0)), ("GR", (0, 1)), ("GB", (1, 0)), ("BG", (1, 1))):
        mosaic = np.zeros((8, 8), np.uint8)
        mosaic[place[0] :: 2, place[1] :: 2] = 200  # where the red pixels of this order lie
        seen = pixels_of(mosaic, 8, 8, f"Bayer{order}8")[2:6, 2:6].reshape(-1, 3).mean(0)
        assert seen[0] > 100 > 20 > seen[2], order
    dim = pixels_of(np.arange(0x100, 0x140, dtype=np.uint16), 8, 8, "BayerRG12")
    assert not (dim & 15).any(), "colours made between pixels have no more bits than the camera"
    assert camera_bits(dim) == 16
    with pytest.raises(NoPicture, match="YUV422"):
        pixels_of(np.zeros(8, np.uint8), 2, 2, "YUV422_8")


def test_the_file_names_what_is_wrong_with_a_camera():
    with pytest.raises(ValueError, match="free-run"):
        GenICamConfig(producer=PRODUCER, trigger="sometimes")
    with pytest.raises(ValueError, match="either a folder"):
        CameraConfig(genicam=GenICamConfig(producer=PRODUCER), folder=Path("/tmp"))
