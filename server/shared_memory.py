"""Pixels in files of memory, which another process maps as they are, without a copy."""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qc.frame import Pixels

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_NOWHERE = ctypes.c_void_p(-1).value

_files: dict[int, int] = {}
"""Where a file's pages begin -> its descriptor, of those that are kept."""


def mapped(fd: int, size: int, *, keep: bool = False) -> memoryview:
    """A view of a file in memory: whoever writes to it gets a copy of that page. Raises OSError.

    Python's own `mmap` holds a descriptor for as long as the view lives, and a server has few of them.

    Args:
        keep: hold one all the same, so that `file_of` can hand the file on; where there is none left, do without.
    """
    start = _LIBC.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, fd, 0)
    if start == _NOWHERE:
        raise OSError(ctypes.get_errno(), "a picture's memory cannot be had")
    view = (ctypes.c_ubyte * size).from_address(start)
    if keep:
        try:
            _files[start] = os.dup(fd)
        except OSError:  # too many open files: it is copied where it has to be handed on
            keep = False
    weakref.finalize(view, _let_go, start, size, keep)
    return memoryview(view)


def _let_go(start: int, size: int, kept: bool) -> None:
    if kept:
        os.close(_files.pop(start))
    _LIBC.munmap(start, size)


def file_of(pixels: Pixels) -> int | None:
    """The kept file that holds exactly these pixels, as its owner's descriptor; None: there is none."""
    fd = _files.get(pixels.__array_interface__["data"][0])
    if fd is None or not pixels.flags.c_contiguous or os.fstat(fd).st_size != pixels.nbytes:
        return None
    return fd


def copied(array: NDArray[Any]) -> int:
    """A new file in memory with a copy of the array; the caller closes the descriptor."""
    fd = os.memfd_create("pixels", os.MFD_CLOEXEC)
    try:
        rest = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        while rest:
            rest = rest[os.write(fd, rest) :]
    except BaseException:
        os.close(fd)
        raise
    return fd


def array_of(fd: int, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """What a file in memory holds, without a copy; it lives on without the descriptor. Raises OSError."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if os.fstat(fd).st_size != size:
        raise OSError(f"{os.fstat(fd).st_size} bytes came for an array of {size}")
    return np.frombuffer(mapped(fd, size), dtype).reshape(shape)
