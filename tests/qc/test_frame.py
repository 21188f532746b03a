"""What a camera sends is read exactly, or refused with a sentence that says why."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from qc.errors import InvalidInput
from qc.frame import decode, is_deep, picture_size, stored_size, to_8bit


def encoded(pixels: np.ndarray, ending: str) -> bytes:
    if ending == ".tif":
        file = io.BytesIO()
        tifffile.imwrite(file, pixels)
        return file.getvalue()
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return cv2.imencode(ending, bgr)[1].tobytes()


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(7).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def test_a_file_s_size_is_told_by_its_header_alone(tmp_path):
    for name in ("a.png", "a.jpg", "a.bmp", "a.tif"):
        data = encoded(noise(37, 53, 3), name[1:])
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        assert stored_size(tmp_path / name) == picture_size(data) == (53, 37)
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(InvalidInput, match="empty"):
        stored_size(tmp_path / "b.png")


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (37, 53, 3)])
def test_lossless_pictures_come_back_to_the_pixel(ending, shape):
    pixels = noise(*shape)

    assert np.array_equal(decode(encoded(pixels, ending)), pixels)


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("shape", [(37, 53), (37, 53, 3)])
def test_sixteen_bit_stay_sixteen_bit(ending, shape):
    pixels = noise(*shape, dtype=np.uint16)

    assert np.array_equal(decode(encoded(pixels, ending)), pixels)


@pytest.mark.parametrize("shape", [(64, 48), (64, 48, 3)])
def test_a_jpeg_is_read_grey_or_colour_as_it_was_written(shape):
    pixels = cv2.GaussianBlur(noise(*shape), (0, 0), 4)

    read = decode(encoded(pixels, ".jpg"))

    assert read.shape == pixels.shape
    assert np.abs(read.astype(int) - pixels).mean() < 5


def test_a_planar_tiff_is_interleaved():
    pixels = noise(31, 41, 3)
    file = io.BytesIO()
    tifffile.imwrite(file, np.moveaxis(pixels, 2, 0), photometric="rgb", planarconfig="separate")

    assert np.array_equal(decode(file.getvalue()), pixels)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".tif"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_truncated_picture_is_refused(ending, kept):
    data = encoded(noise(80, 90, 3), ending)

    with pytest.raises(InvalidInput, match=r"truncated|damaged"):
        decode(data[: int(len(data) * kept)])


def test_a_picture_under_a_wrong_name_is_refused():
    with pytest.raises(InvalidInput, match=r"called \.png but holds a JPEG"):
        decode(encoded(noise(8, 8), ".jpg"), name="part.png")


@pytest.mark.parametrize("data", [b"", b"MZ\x90\x00 not a picture", b"%PDF-1.7", b"GIF89a" + bytes(40)])
def test_what_is_not_a_picture_is_refused(data):
    with pytest.raises(InvalidInput, match=r"empty|not a JPEG, PNG, BMP or TIFF"):
        decode(data)


def test_a_bomb_is_refused_by_its_header():
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )

    with pytest.raises(InvalidInput, match="200000000"):
        picture_size(bomb)


def test_several_pictures_in_one_file_are_refused():
    file = io.BytesIO()
    tifffile.imwrite(file, noise(3, 3, 20, 30), photometric="minisblack")
    with pytest.raises(InvalidInput, match=r"9 pictures"):
        decode(file.getvalue())


@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN"), (0.5, "floating point")])
def test_floating_point_pixels_are_refused(value, said):
    file = io.BytesIO()
    tifffile.imwrite(file, np.full((8, 9), value, np.float32))

    with pytest.raises(InvalidInput, match=said):
        decode(file.getvalue())


def test_a_picture_is_not_turned_by_its_exif_note():
    pixels = np.zeros((20, 40), np.uint8)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees"
    Image.fromarray(pixels).save(file, "JPEG", exif=exif)

    assert decode(file.getvalue()).shape == (20, 40)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([".jpg", ".png", ".bmp", ".tif"]), st.data())
def test_damaged_bytes_give_a_picture_or_a_clear_refusal(ending, data):
    picture = bytearray(encoded(noise(16, 24), ending))
    for place, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(picture) - 1), st.integers(0, 255)), max_size=8)
    ):
        picture[place] = byte

    try:
        pixels = decode(bytes(picture))
    except InvalidInput:
        return
    assert pixels.dtype in (np.uint8, np.uint16)


@pytest.mark.parametrize(("brightest", "shown"), [(1023, 255), (4095, 255), (65535, 255), (200, 200)])
def test_the_cameras_depth_is_taken_from_its_brightest_pixel(brightest, shown):
    assert to_8bit(np.array([[0, brightest]], np.uint16)).tolist() == [[0, shown]]


@pytest.mark.parametrize("brightest", [0x100, 0x3FF, 0x400, 0xFFF])
def test_a_12_bit_frame_at_the_high_end_keeps_its_ground_whatever_its_brightest_pixel(brightest):
    ground = 0xC8
    shown = to_8bit(np.array([[ground, brightest]], np.uint16) << 4)
    assert shown.tolist() == [[ground >> 4, brightest >> 4]]


def test_a_depth_that_is_told_does_not_follow_the_brightest_pixel():
    for brightest in (300, 1023, 1024, 4095):
        assert to_8bit(np.array([[200, brightest]], np.uint16), 12)[0, 0] == 200 >> 4
    with pytest.raises(InvalidInput, match="up to 4095"):
        to_8bit(np.array([[200, 4096]], np.uint16), 12)


def test_the_usual_depth_holds_unless_a_pixel_is_brighter():
    assert to_8bit(np.array([[200, 300]], np.uint16), usual=12)[0, 0] == 200 >> 4
    assert to_8bit(np.array([[200, 16383]], np.uint16), usual=12)[0, 0] == 200 >> 6


@pytest.mark.parametrize(("ending", "how"), [(".png", np.uint16), (".tif", np.uint16), (".png", np.uint8)])
def test_a_files_depth_is_read_from_its_header(tmp_path, ending, how):
    path = tmp_path / f"a{ending}"
    path.write_bytes(encoded(noise(8, 8).astype(how), ending))
    assert is_deep(path) == (how == np.uint16)
    path.write_bytes(path.read_bytes()[:20])
    assert not is_deep(path)
