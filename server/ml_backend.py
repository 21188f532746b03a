"""The serving model behind Label Studio's own protocol: live proposals for any picture that a labeller opens.

A picture of ours is read from the blob store; one that somebody else put into Label Studio is fetched from there. The
last answers are kept, so that the second click on a picture costs nothing.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from labeling.live import hints, outlined, proposals
from labeling.records import LabelTask
from labeling.studio import KEY
from qc.errors import InvalidInput, NotFound
from qc.frame import Pixels, to_8bit
from qc.geometry import Box
from qc.ports import Segmentation, Segmenter
from qc.records import Exposure
from segmentation.segmenter import looking_everywhere
from server.context import Context
from server.errors import NotLoggedIn
from server.studio_service import ML_USER, service, webhook_secret

CONTEXT_PX = 128
"""Of the frame around a crop that the model sees, so that its answer is that of the whole frame, about."""

REMEMBERED = 8
"""Answers kept: a labeller works on one picture, and a few labellers at once."""

REMEMBERED_BYTES = 256 * 2**20
"""Of answers kept, at most: 3 bytes a pixel, so that one huge foreign picture pushes the others out."""

MOST_TASKS = 50
"""Tasks in one request; Label Studio sends one when a picture is opened."""


class Memory:
    """The model's last answers, by model and picture. One frame is computed at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[tuple[str, str], Segmentation] = OrderedDict()

    def answer(self, model: Segmenter, key: str, pixels: Pixels, cut: Box) -> Segmentation:
        """The answer for `cut` of these pixels."""
        with self._lock:
            place = model.model_id, key
            if place not in self._answers:
                seen = looking_everywhere(model).segment(pixels)  # a person may point where it need not look
                window = np.s_[cut.y : cut.bottom, cut.x : cut.right]
                self._answers[place] = Segmentation(seen.log_odds[window].copy(), seen.class_id[window].copy())
            self._answers.move_to_end(place)
            answer = self._answers[place]
            while len(self._answers) > REMEMBERED or self._bytes() > REMEMBERED_BYTES:
                self._answers.popitem(last=False)
            return answer

    def _bytes(self) -> int:
        return sum(a.log_odds.nbytes + a.class_id.nbytes for a in self._answers.values())


MEMORY = Memory()


def check_secret(context: Context, authorization: str) -> None:
    """Raise NotLoggedIn unless HTTP basic authentication carries our secret."""
    kind, _, coded = authorization.partition(" ")
    try:
        user, _, password = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user = password = ""
    wanted = webhook_secret(context.settings.home.resolve())
    right = hmac.compare_digest(password.encode(), wanted.encode())
    if kind.lower() != "basic" or user != ML_USER or not right:
        raise NotLoggedIn("the model's secret is wrong; restart the server to register it with Label Studio again")


def predict(context: Context, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One answer for each task of Label Studio's request: proposals, or the mask of what a person points at.

    A picture that cannot be read gives an empty answer, so that the others are still answered.

    Raises:
        InvalidInput: the request is not what Label Studio sends.
        Unavailable: no model serves yet.
    """
    tasks = body.get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, Mapping) for task in tasks):
        raise InvalidInput("the request must have a list of tasks")
    if len(tasks) > MOST_TASKS:
        raise InvalidInput(f"{len(tasks)} tasks at once; ask for at most {MOST_TASKS}")
    params = body.get("params")
    asked = params.get("context") if isinstance(params, Mapping) else None
    model = context.need_champion().serving()
    return [_one(context, model, task, asked if isinstance(asked, Mapping) else None) for task in tasks]


def _one(
    context: Context, model: Segmenter, task: Mapping[str, Any], asked: Mapping[str, Any] | None
) -> dict[str, Any]:
    classes = dict(model.classes)
    try:
        key, pixels, cut, urgency = _picture(context, task)
    except (InvalidInput, NotFound):
        return {"result": [], "score": 0.0, "model_version": model.model_id}
    seen = MEMORY.answer(model, key, pixels, cut)
    height, width = seen.log_odds.shape
    if asked is not None:
        pointed = hints(asked, width=width, height=height)
        result = outlined(seen, pointed, classes, threshold=model.edge)
    else:
        result = proposals(seen, classes, threshold=model.threshold, edge=model.edge)
    score = urgency if urgency is not None else max((r.get("score", 0.0) for r in result), default=0.0)
    return {"result": result, "score": round(float(score), 4), "model_version": model.model_id}


def _picture(context: Context, task: Mapping[str, Any]) -> tuple[str, Pixels, Box, float | None]:
    """What to look at: a name for it, its pixels with surroundings, the part of them that is asked about, urgency."""
    data = task.get("data")
    if not isinstance(data, Mapping):
        raise InvalidInput("a task has no data")
    key = data.get(KEY)
    with context.database.read() as session:
        ours = session.get(LabelTask, key) if isinstance(key, str) else None
        exposure = session.get(Exposure, (ours.inspection_id, ours.n)) if ours is not None else None
    if ours is None or exposure is None:
        address = data.get("image")
        if not isinstance(address, str):
            raise InvalidInput("a task has no image")
        pixels = context.decode(service(context).studio().fetch(address), name=address)
        return f"studio {address}", pixels, Box(0, 0, pixels.shape[1], pixels.shape[0]), None
    frame = to_8bit(context.decode(context.blobs.get(exposure.original_key)))  # depth is judged on the whole frame
    crop = ours.crop
    wide = crop.grown(CONTEXT_PX, width=exposure.width, height=exposure.height)
    window: Pixels = np.ascontiguousarray(frame[wide.y : wide.bottom, wide.x : wide.right])
    return f"task {ours.id}", window, crop.shifted(dx=-wide.x, dy=-wide.y), ours.urgency
