"""Training looks at crops of a few hundred pixels in frames of many megapixels: the crop is read, not the frame.

Pictures are kept decoded in memory as long as there is room. Beyond, a TIFF that is stored uncompressed, in tiles or
in strips is read where the crop lies. Any other picture (JPEG, PNG, BMP; a TIFF in one piece) cannot be read in part:
it is decoded once, and a decoded copy lies on disk, mapped into memory. Masks are kept in the same way. All copies are
in one file without a name: when the run ends, however it ends, the space is free again. Where the disk is full too,
what is left is decoded for each crop.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from qc.dataset import Sample
from qc.errors import InvalidInput
from qc.frame import MAX_PIXELS, depth_of, used_bits

DISK_BYTES = 100_000_000_000
"""Decoded copies on disk; never more than half of what is free there."""

WHOLE_SEGMENT_SHARE = 0.5
"""A TIFF whose tile or strip holds more of the picture than this is not worth reading in part."""

_GREY, _RGB = 1, 2  # TIFF 6.0, PhotometricInterpretation


class Readable(Protocol):
    """A picture of 8 bit of which any part can be read: an array in memory or on disk, or a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`H x W` or `H x W x 3`."""
        ...

    def __getitem__(self, place: tuple[slice, slice], /) -> NDArray[np.uint8]:
        """Rows and columns."""
        ...


class Pictures:
    """The pictures and masks of samples, each readable in part, and the same however they are kept."""

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: Mapping[int, str],
        *,
        memory_bytes: int,
        disk_bytes: int = DISK_BYTES,
        beside: Path | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            samples: labelled images.
            classes: class id to name.
            memory_bytes: decoded pictures kept in memory; at least one is.
            disk_bytes: decoded copies kept on disk.
            beside: a folder on the disk for the copies; None: the system's for large temporary files.
        """
        self._samples, self._classes, self._memory_left = samples, classes, memory_bytes
        self._copies = _Copies(disk_bytes, beside)
        self._kept: dict[int, tuple[Readable, NDArray[np.uint8]]] = {}
        self._last: tuple[int, tuple[Readable, NDArray[np.uint8]]] | None = None

    def open(self, number: int) -> tuple[Readable, NDArray[np.uint8]]:
        """Picture and mask of sample `number`.

        Raises:
            InvalidInput: one of them is damaged, or they differ in size; the message names the file.
        """
        if number in self._kept:
            return self._kept[number]
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        sample = self._samples[number]
        mask = sample.labels(self._classes)
        picture: Readable | None = None
        if self._memory_left < 4 * mask.nbytes:
            picture = open_tiff(sample.image, sample.camera_bits, usual=sample.usual_bits)
        if picture is None:
            picture = sample.pixels()
        size = mask.nbytes + (picture.nbytes if isinstance(picture, np.ndarray) else 0)
        if size <= self._memory_left or not self._kept:
            self._memory_left -= size
            self._kept[number] = picture, mask
            return picture, mask
        copies = [self._copies.keep(a) if isinstance(a, np.ndarray) else a for a in (picture, mask)]
        if all(c is not None for c in copies):
            self._kept[number] = cast(tuple[Readable, NDArray[np.uint8]], tuple(copies))
            return self._kept[number]
        self._last = number, (picture, mask)
        return picture, mask


class _Copies:
    """Arrays one after another in one file without a name, of which parts are read."""

    def __init__(self, most_bytes: int, beside: Path | None) -> None:
        self._most, self._beside, self._end = most_bytes, beside, 0
        self._file: Any = None
        self._mapped: NDArray[np.uint8] = np.empty(0, np.uint8)

    def keep(self, array: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """The array, on disk; None where there is no room for it."""
        start, stop = self._end, self._end + array.nbytes
        try:
            if self._file is None:
                self._open()
            if stop > len(self._mapped):
                return None
            self._file.seek(start)
            self._file.write(np.ascontiguousarray(array).data)
            self._file.flush()
        except OSError:  # no room, or a disk that fails: what lies on it is still good, and nothing more is put there
            self._most = 0
            self._mapped = self._mapped[:start]
            return None
        self._end = stop
        return self._mapped[start:stop].reshape(array.shape)

    def _open(self) -> None:
        """The file has its largest size from the start and takes no room where nothing is written."""
        folder = self._beside or _large_files()
        most = min(self._most, shutil.disk_usage(folder).free // 2)
        self._file = tempfile.TemporaryFile(dir=folder, prefix="qc-decoded-")  # noqa: SIM115 - open as long as this is
        weakref.finalize(self, self._file.close)
        if most:
            self._file.truncate(most)
            self._mapped = np.memmap(self._file, np.uint8, "r", shape=(most,))


def _large_files() -> Path:
    """Where large temporary files belong; `/tmp` may lie in memory, `/var/tmp` does not."""
    disk = Path("/var/tmp")
    try:
        with tempfile.TemporaryFile(dir=disk):
            return disk
    except OSError:
        return Path(tempfile.gettempdir())


class TiffTiles:
    """A TIFF of 8 or 16 bit, grey or RGB, of which only the tiles or strips asked for are read."""

    def __init__(
        self, path: Path, page: Any, told: int | None = None, usual: Callable[[], int | None] | None = None
    ) -> None:
        """`told` and `usual` as `open_tiff` has them; raises InvalidInput as that does."""
        self._path, self._page = path, page
        self.shape: tuple[int, ...] = page.shape
        self._dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
        tiled = bool(page.is_tiled)
        self._across = page.tilewidth if tiled else page.imagewidth
        self._down = page.tilelength if tiled else page.rowsperstrip
        self._columns = -(-page.imagewidth // self._across)
        self._offsets, self._counts = tuple(page.dataoffsets), tuple(page.databytecounts)
        self._plain = bool(page.is_memmappable)
        self._shift = 0
        if self._dtype.itemsize == 2:
            self._shift = depth_of(self._used(), told, usual=usual() if usual else None) - 8

    def __getitem__(self, place: tuple[slice, slice], /) -> NDArray[np.uint8]:
        """Rows and columns, without steps, with 8 bit a channel, as `qc.frame.to_8bit` gives them."""
        (top, bottom, _), (left, right, _) = (s.indices(n) for s, n in zip(place, self.shape[:2], strict=True))
        found = self._read(top, max(top, bottom), left, max(left, right))
        return found if found.dtype == np.uint8 else (found >> self._shift).astype(np.uint8)

    def _read(self, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        if self._plain:
            mapped = np.memmap(self._path, self._dtype, "r", offset=self._offsets[0], shape=self.shape)
            return np.array(mapped[top:bottom, left:right], self._dtype.newbyteorder("="))
        found = np.zeros((bottom - top, right - left, *self.shape[2:]), self._dtype.newbyteorder("="))
        with self._path.open("rb") as file:
            for row in range(top // self._down, -(-bottom // self._down)):
                for column in range(left // self._across, -(-right // self._across)):
                    y, x = row * self._down, column * self._across
                    segment = self._segment(file, row * self._columns + column)
                    if segment is None:
                        continue
                    own = segment[max(top - y, 0) : bottom - y, max(left - x, 0) : right - x]
                    down, along = max(y - top, 0), max(x - left, 0)
                    found[down : down + own.shape[0], along : along + own.shape[1]] = own
        return found

    def _segment(self, file: Any, number: int) -> NDArray[Any] | None:
        """A tile or strip, `h x w` or `h x w x 3`, cut off where the picture ends; None where nothing is stored."""
        file.seek(self._offsets[number])
        data = file.read(self._counts[number])
        if len(data) < self._counts[number]:
            raise InvalidInput(f"{self._path.name}: the TIFF is truncated; fetch the file again")
        segment, _, shape = self._page.decode(data, number)
        if segment is None:
            return None
        cut = segment[0, : shape[1], : shape[2]]
        return cast(NDArray[Any], cut if len(self.shape) == 3 else cut[..., 0])

    def _used(self) -> int:
        """`qc.frame.used_bits` of the whole picture, band by band."""
        step, used = max(self._down, 256), 0
        for top in range(0, self.shape[0], step):
            used |= used_bits(self._read(top, min(top + step, self.shape[0]), 0, self.shape[1]))
        return used


def open_tiff(
    path: Path, told: int | None = None, *, usual: Callable[[], int | None] | None = None
) -> TiffTiles | None:
    """The TIFF at `path`, to be read in part; None for what must be decoded whole, or is no TIFF at all.

    What is damaged, or does not fit its depth, is left to `qc.dataset.Sample.pixels`, which says so.

    Args:
        told: the camera's depth, as somebody told it.
        usual: asked for that of pictures like this one, where it is of 16 bit and nobody told it.
    """
    import tifffile

    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    try:
        with tifffile.TiffFile(path) as file:
            if len(file.pages) != 1:
                return None
            page: Any = file.pages[0]
            if not _readable_in_part(page) or path.stat().st_size < max(
                o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)
            ):
                return None
            page.decode  # noqa: B018 - made while the file is open, used when it no longer is
            opened = TiffTiles(path, page, told, usual)
        opened[0:1, 0:1]
    except Exception:  # tifffile and its codecs raise whatever they meet; `decode` has the words for it
        return None
    return opened


def _readable_in_part(page: Any) -> bool:
    height, width = int(page.imagelength), int(page.imagewidth)
    segment = page.tilelength * page.tilewidth if page.is_tiled else page.rowsperstrip * width
    return (
        page.dtype in (np.uint8, np.uint16)
        and page.bitspersample in (8, 16)
        and (int(page.photometric), page.samplesperpixel) in ((_GREY, 1), (_RGB, 3))
        and int(page.planarconfig) == 1
        and page.shape[:2] == (height, width)
        and 0 < height * width <= MAX_PIXELS
        and (page.is_memmappable or segment <= WHOLE_SEGMENT_SHARE * height * width)
    )
