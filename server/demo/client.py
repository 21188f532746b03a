"""The server as the line sees it: HTTP with a key, and patience."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from qc.errors import Conflict, InvalidInput, NotFound, QcError, Unavailable

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 20.0
"""A server that comes back after a restart is noticed at most this much later."""


FAILURES = 6
"""Answers of 500 to one request before it is given up: unlike a restart (502 to 504, or no answer), a fault in the
server does not pass by waiting, and the next part may meet another fate."""


class Stopped(QcError):
    """The line was told to stop while it waited."""


class Fault(QcError):
    """The server fails on one request, whatever the line does."""


class Server:
    """Calls the server, again and again while it does not answer: restarts and 429 are waited out, a 500 for a while.

    Every call that changes something may be repeated without harm: inspections carry a trigger id, outcomes a part, and
    a decision repeated is the same decision.
    """

    def __init__(
        self, url: str, key: str, *, stop: threading.Event, say: Callable[[str], None], timeout_s: float = 120.0
    ) -> None:
        self.stop = stop
        self._say = say
        self._lost = False
        self._http = httpx.Client(
            base_url=url.rstrip("/") + "/api/v1",
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(timeout_s, connect=5.0),
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def wait_until_ready(self) -> dict[str, Any]:
        """The server's health, once it can inspect; raises Stopped."""
        return dict(self.call("GET", "/health"))

    def inspect(
        self,
        pictures: Mapping[str, bytes],
        *,
        part: str,
        station: str,
        product: str,
        trigger_id: str,
        process: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Post the pictures of a part (view name to JPEG bytes); the inspection."""
        data = {
            "part": part,
            "station": station,
            "product": product,
            "trigger_id": trigger_id,
            "view": list(pictures),
            **({"process": json.dumps(dict(process))} if process else {}),
        }
        files = [("image", (f"{view}.jpg", picture, "image/jpeg")) for view, picture in pictures.items()]
        return dict(self.call("POST", "/inspections", data=data, files=files))

    def decide(self, inspection_id: str, verdict: str, reason: str) -> None:
        """The operator's word."""
        self.call("POST", f"/inspections/{inspection_id}/decision", json={"verdict": verdict, "reason": reason})

    def processes(self) -> list[str]:
        """Names of the processes that the server knows."""
        return [str(item["name"]) for item in self.call("GET", "/processes")["items"]]

    def recommend(self, process: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """What to do with a part."""
        return dict(self.call("POST", f"/processes/{process}/recommendations", json=dict(request)))

    def report(self, process: str, outcomes: Sequence[Mapping[str, Any]]) -> None:
        """What was done and what came of it."""
        self.call("POST", f"/processes/{process}/outcomes", json=[dict(o) for o in outcomes])

    def summary(self, process: str) -> dict[str, Any]:
        """The money so far."""
        return dict(self.call("GET", f"/processes/{process}/summary"))

    def call(self, method: str, path: str, **content: Any) -> Any:
        """One call; the decoded answer.

        Raises:
            Stopped: the line was told to stop while waiting for the server.
            Unavailable: the key is refused; waiting would not help.
            InvalidInput, NotFound, Conflict: the server says what is wrong with the request.
            Fault: the server fails on this request time and again.
        """
        wait, failures = FIRST_WAIT_S, 0
        while True:
            try:
                answer = self._http.request(method, path, **content)
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                if answer.status_code < 400:
                    self._found()
                    return answer.json() if answer.content else None
                if answer.status_code not in (408, 425, 429) and answer.status_code < 500:
                    self._found()
                    raise _refusal(answer)
                trouble = f"it answers {answer.status_code}: {_message(answer)}"
                failures += answer.status_code == 500
                if failures >= FAILURES:
                    self._lost = False
                    raise Fault(f"the server fails on {method} {path} time and again: {_message(answer)}")
            if not self._lost:
                self._say(f"waiting for the server ({trouble})")
                self._lost = True
            if self.stop.wait(wait * random.uniform(0.8, 1.2)):
                raise Stopped("stopped while waiting for the server")
            wait = min(2.0 * wait, LONGEST_WAIT_S)

    def _found(self) -> None:
        if self._lost:
            self._say("the server answers again")
        self._lost = False


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]


def _refusal(answer: httpx.Response) -> QcError:
    message = _message(answer)
    if answer.status_code in (401, 403):
        return Unavailable(f"the server refuses the key: {message}; make one with: qc key create --role machine")
    kind = {404: NotFound, 409: Conflict}.get(answer.status_code, InvalidInput)
    return kind(f"the server refuses {answer.request.method} {answer.request.url.path}: {message}")
