"""A camera that gives a picture over HTTP when asked.

The whole of its answer has one time, and a size: a camera that drips bytes, or never ends, is given up, as is one whose
picture nobody waits for any more.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import wait
from urllib.parse import urlsplit

import httpx

from qc.frame import MAX_BYTES
from server.orders import Picture
from server.plant import address
from server.plant.sources import AGAIN_S, NoPicture, Repetitions, Wanted, always

SLICE_S = 0.02
"""Between two questions whether anybody still wants the picture, in seconds."""
LOOK_S = 1.0
"""For so long a camera that did not answer is asked whether it is there again, in seconds."""
GRACE_S = 1.0
"""Beyond its time, until an answer that was cut off is given up, in seconds."""


class UrlSource:
    """One camera; a `server.plant.sources.Source`."""

    unasked = False
    lost = 0
    """Each is asked for; one that does not come is the part's error."""

    def __init__(self, view: str, url: str, *, repeats: bool = False) -> None:
        self.view, self._url = view, url
        self._shown = address.shown(url)
        self._repetitions = Repetitions(allowed=repeats)
        self._client = httpx.AsyncClient(follow_redirects=False, timeout=None)  # `_get` has one time for everything
        self._problem: str | None = None
        self._tried = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"url-{view}", daemon=True)
        self._thread.start()

    def arm(self) -> None:
        """Each picture is asked for; none lies about."""

    def stored(self) -> None:
        """There is nothing to clear away."""

    def picture(self, within_s: float, wanted: Wanted = always) -> Picture:
        data = self._ask(within_s, wanted)
        self._repetitions.check(data, f"the camera {self._shown}")
        return Picture(data, urlsplit(self._url).path.rsplit("/", 1)[-1][:255], self.view)

    def surplus(self) -> int:
        return 0

    def lying(self) -> int:
        return 0

    def problem(self) -> str | None:
        if self._problem is not None and time.monotonic() - self._tried > AGAIN_S:
            try:
                self._ask(LOOK_S, always)
            except NoPicture:
                return self._problem
        return self._problem

    def close(self) -> None:
        """Hang up."""
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def _ask(self, within_s: float, wanted: Wanted) -> bytes:
        self._tried = time.monotonic()
        asked = asyncio.run_coroutine_threadsafe(self._get(within_s), self._loop)
        late = False
        while not late and not wait([asked], SLICE_S).done:
            if not wanted():
                asked.cancel()
                raise NoPicture("nobody waits for the picture any more")
            late = time.monotonic() > self._tried + within_s + GRACE_S
        try:
            data = asked.result(0)
        except TimeoutError as error:
            asked.cancel()
            raise self._no_picture(f"it had not answered to the end within {within_s:.2f} s") from error
        except NoPicture as error:
            raise self._no_picture(error.message) from error
        except httpx.HTTPError as error:
            raise self._no_picture(str(error) or type(error).__name__) from error
        self._problem = None
        return data

    async def _get(self, within_s: float) -> bytes:
        received = bytearray()
        async with asyncio.timeout(within_s), self._client.stream("GET", self._url) as answer:
            if not answer.is_success:  # httpx's own words would repeat the address
                raise NoPicture(f"it answered {answer.status_code} {answer.reason_phrase}")
            async for piece in answer.aiter_bytes():
                received += piece
                if len(received) > MAX_BYTES:
                    raise NoPicture(f"its answer is longer than {MAX_BYTES} bytes")
        return bytes(received)

    def _no_picture(self, why: str) -> NoPicture:
        self._problem = f"the camera {self._shown} gave no picture: {why}"
        return NoPicture(self._problem)
