"""What is used of the library Aravis (GigE Vision and USB3 Vision), by its C interface.

Debian has it as `libaravis-0.8-0`. Every function that may fail takes a place for a GError as its last argument.
"""

from __future__ import annotations

import ctypes
from ctypes import CDLL, POINTER, byref, c_char_p, c_double, c_int, c_size_t, c_uint, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

from qc.errors import Unavailable

LIBRARY, OBJECTS, BASE = "libaravis-0.8.so.0", "libgobject-2.0.so.0", "libglib-2.0.so.0"

SUCCESS = 0
"""Status of a buffer that came whole."""
CHECK_RANGES = 1
"""Policy: a value that the camera's description does not allow is an error. Without it Aravis writes it unseen."""


class AravisError(Exception):
    """What Aravis says of a camera that does not do as it is told, or is gone."""


class _GError(ctypes.Structure):
    _fields_ = (("domain", c_uint32), ("code", c_int), ("message", c_char_p))


_ERROR = POINTER(_GError)

_FAILING: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "arv_camera_new": (c_void_p, (c_char_p,)),
    "arv_camera_create_stream": (c_void_p, (c_void_p, c_void_p, c_void_p)),
    "arv_camera_get_payload": (c_uint, (c_void_p,)),
    "arv_camera_get_integer": (ctypes.c_int64, (c_void_p, c_char_p)),
    "arv_camera_set_string": (None, (c_void_p, c_char_p, c_char_p)),
    "arv_camera_set_integer": (None, (c_void_p, c_char_p, ctypes.c_int64)),
    "arv_camera_set_float": (None, (c_void_p, c_char_p, c_double)),
    "arv_camera_set_boolean": (None, (c_void_p, c_char_p, c_int)),
    "arv_camera_execute_command": (None, (c_void_p, c_char_p)),
    "arv_camera_is_feature_available": (c_int, (c_void_p, c_char_p)),
    "arv_camera_start_acquisition": (None, (c_void_p,)),
    "arv_camera_stop_acquisition": (None, (c_void_p,)),
}
"""Name -> result, arguments without the GError."""

_PLAIN: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "arv_camera_set_range_check_policy": (None, (c_void_p, c_int)),
    "arv_update_device_list": (None, ()),
    "arv_get_n_devices": (c_uint, ()),
    "arv_get_device_id": (c_char_p, (c_uint,)),
    "arv_buffer_new_allocate": (c_void_p, (c_size_t,)),
    "arv_buffer_get_status": (c_int, (c_void_p,)),
    "arv_buffer_get_image_width": (c_int, (c_void_p,)),
    "arv_buffer_get_image_height": (c_int, (c_void_p,)),
    "arv_buffer_get_image_pixel_format": (c_uint32, (c_void_p,)),
    "arv_buffer_get_data": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "arv_stream_push_buffer": (None, (c_void_p, c_void_p)),
    "arv_stream_try_pop_buffer": (c_void_p, (c_void_p,)),
    "arv_stream_timeout_pop_buffer": (c_void_p, (c_void_p, c_uint64)),
    "arv_stream_get_statistics": (None, (c_void_p, POINTER(c_uint64), POINTER(c_uint64), POINTER(c_uint64))),
}


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it came over the wire."""

    data: bytes
    width: int
    height: int
    pixel_format: int
    """Its number in the PFNC."""


class Library:
    """Aravis, loaded."""

    def __init__(self) -> None:
        self._aravis, self._objects, self._base = CDLL(LIBRARY), CDLL(OBJECTS), CDLL(BASE)
        for name, (result, arguments) in _PLAIN.items():
            function = getattr(self._aravis, name)
            function.restype, function.argtypes = result, arguments
        for name, (result, arguments) in _FAILING.items():
            function = getattr(self._aravis, name)
            function.restype, function.argtypes = result, (*arguments, POINTER(_ERROR))
        self._objects.g_object_unref.argtypes, self._objects.g_object_unref.restype = (c_void_p,), None
        self._base.g_error_free.argtypes, self._base.g_error_free.restype = (_ERROR,), None

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function; raises AravisError with Aravis's words where it fails."""
        function = getattr(self._aravis, f"arv_{name}")
        if f"arv_{name}" in _PLAIN:
            return function(*arguments)
        error = _ERROR()
        result = function(*arguments, byref(error))
        if error:
            words = (error.contents.message or b"").decode(errors="replace")
            self._base.g_error_free(error)
            raise AravisError(words)
        return result

    def devices(self) -> list[str]:
        """The ids of the cameras that answer now; looking takes up to a second."""
        self.call("update_device_list")
        found = [self.call("get_device_id", n) for n in range(self.call("get_n_devices"))]
        return [name.decode(errors="replace") for name in found if name]

    def forget(self, thing: int) -> None:
        """Give up a camera, a stream or a buffer."""
        self._objects.g_object_unref(thing)

    def frame(self, buffer: int) -> Frame:
        """What a buffer holds."""
        size = c_size_t()
        start = self.call("buffer_get_data", buffer, byref(size))
        return Frame(
            ctypes.string_at(start, size.value),
            self.call("buffer_get_image_width", buffer),
            self.call("buffer_get_image_height", buffer),
            self.call("buffer_get_image_pixel_format", buffer),
        )

    def failures(self, stream: int) -> tuple[int, int]:
        """Frames of a stream that were lost or damaged on their way; those that found no buffer."""
        done, failed, starved = c_uint64(), c_uint64(), c_uint64()
        self.call("stream_get_statistics", stream, byref(done), byref(failed), byref(starved))
        return failed.value, starved.value


@cache
def library() -> Library:
    """Aravis, loaded once.

    Raises:
        Unavailable: it is not installed.
    """
    try:
        return Library()
    except OSError as error:
        raise Unavailable(
            f"Aravis is not installed ({error}); install libaravis-0.8-0, or use genicam with a vendor's producer"
        ) from error
