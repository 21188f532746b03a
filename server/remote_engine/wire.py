"""The protocol from the client's side: a window out, planes back, within a time that holds for the whole of it.

Source: KServe's Open Inference Protocol (`inference_rest.md`) and Triton's binary tensor data extension. Servers that
say that they do not have it (MLServer) are asked in JSON, and may answer so.
"""

from __future__ import annotations

import asyncio
import json
import math
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput, Unavailable
from server.open_inference.tensors import DATATYPES, HEADER_LENGTH

T = TypeVar("T")

Kind = Literal["late", "gone", "busy", "wrong"]
"""Too slow; not to be reached, or in trouble; refuses for now; answers what makes no sense."""

HEAD_BYTES = 1 << 16
"""Room for the words of an answer beside its numbers."""

BYTES_A_NUMBER = 40
"""At most, of a number written as JSON. What is longer than that is cut off before it fills the memory."""

KEPT_S = 2.0
"""An unused connection is kept so long: less than servers keep it, so that none is asked on that they just closed."""

BINARY = "binary_tensor_data"
"""What a server names among its extensions that takes and gives tensors as bytes."""

DATATYPE = {"log_odds": ("FP32", "FP16"), "class_place": ("UINT8",), "cells": ("FP32", "FP16")}
"""What each output may come as; half precision is what some servers compute with."""


class NoAnswer(Unavailable):
    """The other server gave no answer that can be used."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class About:
    """What a model says of itself."""

    platform: str
    """What computes it, in the server's words: `onnxruntime_onnx`, `qc_openvino`, ..."""
    version: str
    """The only version it tells of; empty where it tells of none, or of several."""
    outputs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Said:
    """An answer."""

    version: str
    """Of the model that answered; empty where the server does not say."""
    planes: dict[str, NDArray[Any]]
    """By output: `log_odds` float32 `H x W`, `class_place` uint8 `H x W`, `cells` float32 `C x h x w`."""


class Wire:
    """A model on another server. May be used from several threads at once; `close` it."""

    def __init__(self, url: str, model: str, *, key: str = "") -> None:
        """
        Args:
            url: of the server, `http://host:port` or https; what stands before `/v2`.
            model: its name there.
            key: sent as `Authorization: Bearer`; empty: nothing is sent.

        Raises:
            InvalidInput: this is no address.
        """
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise InvalidInput(f"{url[:200]!r} is no address of a server ({error}); write http://host:port") from error
        if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
            raise InvalidInput(f"{url[:200]!r} is no address of a server; write http://host:port")
        self._server = f"{url.rstrip('/')}/v2"
        self._path = f"{self._server}/models/{quote(model, safe='')}"
        self._closed = False
        self._binary = True
        """Does the server take tensors as bytes? Until it says that it does not."""
        head = {"Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="remote-engine-wire", daemon=True)
        self._thread.start()
        self._client = httpx.AsyncClient(
            headers=head,
            timeout=None,  # `_within` holds for the whole of a call
            trust_env=False,  # no proxy between a line and its engine
            verify=ssl.create_default_context() if parsed.scheme == "https" else False,
            limits=httpx.Limits(keepalive_expiry=KEPT_S),
        )

    def about(self, *, within_s: float) -> About:
        """What the model says of itself, if it is ready; raises NoAnswer."""

        async def ask() -> About:
            await self._send("GET", f"{self._path}/ready")
            _, body = await self._send("GET", self._path)
            about = read_about(body)
            try:
                _, server = await self._send("GET", self._server)
            except NoAnswer:  # not every server tells of itself; what it takes shows when it is asked
                return about
            self._binary = takes_bytes(server)
            return about

        return self._within(ask, within_s)

    def ask(self, window: NDArray[np.uint8], outputs: Sequence[str], *, classes: int, within_s: float) -> Said:
        """What the model says of a window.

        Args:
            window: `H x W x 3`, RGB.
            outputs: which to ask for, of `DATATYPE`.
            classes: how many places a class can have.
            within_s: from now until the last byte of the answer, in seconds.

        Raises:
            NoAnswer: it is late, gone, busy, or its answer makes no sense.
        """
        if within_s <= 0:
            raise NoAnswer("late", "no time was left to ask the other server")
        height, width = window.shape[:2]
        head, body = in_bytes(window, outputs) if self._binary else in_words(window, outputs)
        most = HEAD_BYTES + BYTES_A_NUMBER * (2 * height * width + height * width * ("cells" in outputs))
        headers, answer = self._within(lambda: self._send("POST", f"{self._path}/infer", body, head, most), within_s)
        return read_answer(answer, headers.get(HEADER_LENGTH), outputs, (height, width), classes=classes)

    def give_up(self) -> None:
        """Whatever is being asked right now gets no answer."""

        def cancel() -> None:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()

        self._loop.call_soon_threadsafe(cancel)

    def close(self) -> None:
        """Hang up; what is still being asked is given up."""
        self._closed = True
        self.give_up()
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def _within(self, work: Callable[[], Awaitable[T]], seconds: float) -> T:
        """Done in the loop's thread, cut off when its time is over: a sender that drips bytes gains nothing by it."""

        async def do() -> T:
            async with asyncio.timeout(seconds):
                return await work()

        if self._closed:
            raise NoAnswer("gone", "the line to the other server is closed; the server stops")
        asked = asyncio.run_coroutine_threadsafe(do(), self._loop)
        try:
            return asked.result(seconds + 1.0)
        except (TimeoutError, CancelledError) as error:
            asked.cancel()
            raise NoAnswer("late", f"the other server had not answered after {seconds:.2g} s") from error

    async def _send(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        head: Mapping[str, str] | None = None,
        most: int = HEAD_BYTES,
    ) -> tuple[httpx.Headers, bytearray]:
        try:
            async with self._client.stream(method, url, content=body, headers=dict(head or {})) as answer:
                if "content-encoding" in answer.headers:
                    raise NoAnswer("wrong", "the other server sent a compressed answer, which nobody asked for")
                received = bytearray()
                async for piece in answer.aiter_raw():
                    received += piece
                    if len(received) > most:
                        raise NoAnswer("wrong", f"the other server's answer is longer than {most} bytes")
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise NoAnswer("gone", f"the other server cannot be reached ({why})") from error
        if answer.status_code in (429, 503):
            raise NoAnswer("busy", f"the other server is busy ({_words(received)})")
        if answer.status_code != 200:
            raise NoAnswer("gone", f"the other server refused with {answer.status_code} ({_words(received)})")
        return answer.headers, received


def in_bytes(window: NDArray[np.uint8], outputs: Sequence[str]) -> tuple[dict[str, str], bytes]:
    """Headers and body of a request with binary tensors; `window` is `H x W x 3`."""
    given = _given(window) | {"parameters": {"binary_data_size": window.nbytes}}
    wanted = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    text = json.dumps({"inputs": [given], "outputs": wanted}).encode()
    head = {HEADER_LENGTH: str(len(text)), "Content-Type": "application/octet-stream"}
    return head, text + np.ascontiguousarray(window).tobytes()


def in_words(window: NDArray[np.uint8], outputs: Sequence[str]) -> tuple[dict[str, str], bytes]:
    """The same in JSON, about four times as long."""
    given = _given(window) | {"data": window.ravel().tolist()}
    told = {"inputs": [given], "outputs": [{"name": name} for name in outputs]}
    return {"Content-Type": "application/json"}, json.dumps(told, separators=(",", ":")).encode()


def _given(window: NDArray[np.uint8]) -> dict[str, Any]:
    return {"name": "picture", "shape": [1, *window.shape], "datatype": "UINT8"}


def takes_bytes(body: bytearray) -> bool:
    """Does a server take binary tensors, by its metadata? One that does not tell of extensions is taken to."""
    try:
        extensions = json.loads(body).get("extensions")
    except (ValueError, AttributeError, RecursionError):
        return True
    return not isinstance(extensions, list) or BINARY in extensions


def read_about(body: bytearray) -> About:
    """A model's metadata; raises NoAnswer where they are none."""
    try:
        told = json.loads(body)
        versions = told.get("versions") or []
        return About(
            platform=str(told.get("platform", "")),
            version=str(versions[0]) if len(versions) == 1 else "",
            outputs=frozenset(str(one["name"]) for one in told["outputs"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NoAnswer("wrong", f"the other server's words on the model make no sense ({error!r})") from error


def read_answer(
    body: bytearray, header_length: str | None, outputs: Sequence[str], window: tuple[int, int], *, classes: int
) -> Said:
    """An inference response as planes.

    Args:
        body: as it came; the planes look into it, nothing is copied.
        header_length: what the header `Inference-Header-Content-Length` says, or None without one.
        outputs: what was asked for.
        window: height and width of what was sent, in pixels.
        classes: how many places a class can have.

    Raises:
        NoAnswer: an output is missing, of another shape or type, or not finite; the message says which.
    """
    try:
        length = len(body) if header_length is None else int(header_length)
        told = json.loads(body[:length])
        version = str(told.get("model_version") or "")
        planes: dict[str, NDArray[Any]] = {}
        whole, place = memoryview(body), length
        for one in told["outputs"]:
            name, size = str(one["name"]), (one.get("parameters") or {}).get("binary_data_size")
            piece = None if size is None else whole[place : place + int(size)]
            place += 0 if size is None else int(size)
            if name in outputs:
                planes[name] = _plane(name, one, piece)
    except NoAnswer:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise NoAnswer("wrong", f"the other server's answer makes no sense ({error!r})") from error
    _check(planes, outputs, window, classes)
    return Said(version, planes)


def _plane(name: str, told: Mapping[str, Any], piece: memoryview | None) -> NDArray[Any]:
    datatype, shape = told["datatype"], tuple(int(n) for n in told["shape"])
    if datatype not in DATATYPE[name]:
        raise NoAnswer("wrong", f"the other server's {name} is {datatype}, not {DATATYPE[name][0]}")
    kind = np.dtype(DATATYPES[datatype])
    if piece is None:
        values = np.asarray(told["data"])
        if kind.kind == "u" and (values.min() < 0 or values.max() > np.iinfo(kind).max):
            raise NoAnswer("wrong", f"the other server's {name} goes from {values.min()} to {values.max()}")
        values = values.astype(kind)
    elif len(piece) == math.prod(shape) * kind.itemsize:
        values = np.frombuffer(piece, kind)
    else:
        raise NoAnswer("wrong", f"the other server's {name} of shape {list(shape)} came as {len(piece)} bytes")
    values = values.reshape(shape)
    while values.ndim > (3 if name == "cells" else 2) and values.shape[0] == 1:
        values = values[0]
    return values if datatype == "UINT8" else values.astype(np.float32)


def _check(planes: Mapping[str, NDArray[Any]], outputs: Sequence[str], window: tuple[int, int], classes: int) -> None:
    for name in outputs:
        if name not in planes:
            raise NoAnswer("wrong", f"the other server's answer has no {name}")
        shape = planes[name].shape
        if name != "cells" and shape != window:
            raise NoAnswer("wrong", f"the other server's {name} has shape {list(shape)}, not {list(window)}")
        if name == "cells" and not any(shape[1:] == tuple(-(-n // px) for n in window) for px in (8, 16)):
            raise NoAnswer("wrong", f"the other server's cells have shape {list(shape)} for a window {list(window)}")
        if not np.isfinite(planes[name]).all():
            raise NoAnswer("wrong", f"the other server's {name} holds numbers that are not finite")
    if "class_place" in planes and int(planes["class_place"].max()) >= classes:
        raise NoAnswer("wrong", f"the other server tells of class {planes['class_place'].max()}; there are {classes}")


def _words(body: bytearray) -> str:
    """What a refusal says, short."""
    return bytes(body[:200]).decode("utf-8", "replace")
