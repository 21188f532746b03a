"""A person who outlines defects in the real Label Studio, through its SDK, all day."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError

from qc.errors import InvalidInput, NotFound
from qc.geometry import Box
from segmentation.render import CLASSES
from server.demo.drawing import Tools, draw, read_tools, sloppy
from server.demo.truth import Truth

FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 30.0
"""Label Studio needs a minute for its very first start."""

AT_ONCE = 20
"""Open tasks fetched in one go."""

OPEN = json.dumps(
    {
        "filters": {
            "conjunction": "and",
            "items": [{"filter": "filter:tasks:completed_at", "operator": "empty", "type": "Datetime", "value": True}],
        }
    }
)
"""Label Studio's filter for tasks that nobody has finished."""


@dataclass(frozen=True, slots=True)
class Task:
    """An open task as Label Studio lists it."""

    id: int
    data: Mapping[str, Any]


class Labeller:
    """Works through the open tasks of every project that shows pictures of this line."""

    def __init__(self, url: str, token: str, truth: Truth, *, seed: int, say: Callable[[str], None]) -> None:
        self._http = httpx.Client(timeout=60, follow_redirects=True)
        self._studio: Any = LabelStudio(base_url=url, api_key=token, httpx_client=self._http)  # type: ignore[no-untyped-call]
        self._truth = truth
        self._rng = np.random.default_rng([seed, 47])
        self._say = say
        self._not_mine = set[int]()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def work(self, stop: threading.Event, *, seconds_per_task: float) -> None:
        """Label until `stop`; while Label Studio does not answer, wait and try again."""
        wait, lost = FIRST_WAIT_S, False
        while not stop.is_set():
            try:
                done = self.look_for_work(stop, seconds_per_task=seconds_per_task)
            except (ApiError, httpx.HTTPError) as error:
                if isinstance(error, ApiError) and error.status_code in (401, 403):
                    self._say("the labeller gives up: Label Studio refuses the token")
                    return
                if not lost:
                    self._say(f"the labeller waits for Label Studio ({type(error).__name__})")
                lost = True
                stop.wait(wait)
                wait = min(2 * wait, LONGEST_WAIT_S)
                continue
            wait, lost = FIRST_WAIT_S, False
            if not done:
                stop.wait(seconds_per_task)

    def look_for_work(self, stop: threading.Event, *, seconds_per_task: float) -> int:
        """Finish up to `AT_ONCE` open tasks of each project, one by one; how many were finished."""
        done = 0
        for project in self._studio.projects.list():
            try:
                tools = read_tools(project.label_config or "")
            except InvalidInput:
                continue  # a project of somebody else's, for something else
            page = self._studio.tasks.list(project=project.id, query=OPEN, fields="all", page_size=AT_ONCE)
            mine = (t for t in page if not t.is_labeled and t.id not in self._not_mine)
            for task in [Task(int(t.id), dict(t.data or {})) for t in itertools.islice(mine, AT_ONCE)]:
                if stop.wait(seconds_per_task):
                    return done
                done += self.label(task, tools, seconds=seconds_per_task)
        return done

    def label(self, task: Task, tools: Tools, *, seconds: float) -> bool:
        """Draw what is really on one task's picture; False where the line does not know the picture."""
        try:
            seen = whereabouts(task.data)
            mask = self._truth.mask(seen[0])
        except (NotFound, InvalidInput) as error:
            self._not_mine.add(task.id)
            self._say(f"the labeller leaves task {task.id} to others: {error}")
            return False
        box = seen[1] or Box(0, 0, mask.shape[1], mask.shape[0])
        drawn = sloppy(mask[box.y : box.bottom, box.x : box.right], self._rng)
        self._studio.annotations.create(
            id=task.id, result=draw(drawn, CLASSES, tools), lead_time=seconds, was_cancelled=False
        )
        found = [CLASSES[int(c)] for c in np.unique(drawn) if c]
        self._say(f"the labeller finishes task {task.id}: {', '.join(found) or 'nothing there'}")
        return True


def whereabouts(data: Mapping[str, Any]) -> tuple[str, Box | None]:
    """Which picture a task shows (SHA-256 of the camera's bytes) and which crop of it; raises InvalidInput."""
    sha256, crop = data.get("sha256"), data.get("crop")
    if not isinstance(sha256, str):
        raise InvalidInput("its data name no picture")
    if crop is None:
        return sha256, None
    if isinstance(crop, str):
        try:
            crop = json.loads(crop)
        except ValueError as error:
            raise InvalidInput(f"its crop is not a box: {crop!r}") from error
    if not (isinstance(crop, list) and len(crop) == 4 and all(isinstance(n, int) for n in crop)):
        raise InvalidInput(f"its crop is not a box: {crop!r}")
    return sha256, Box(*crop)
