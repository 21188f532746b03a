"""Parts of a server: one that cannot be started keeps no other from starting, and is tried again until it starts."""

import threading

import pytest

from server import parts


class Started:
    """A part that does nothing but to be stopped."""

    def __init__(self):
        self.stopped = False

    def state(self):
        return {"state": "ok"}

    def stop(self):
        self.stopped = True


@pytest.fixture
def context(line, monkeypatch):
    """Of a server without parts, that tries again at once."""
    monkeypatch.setattr(parts, "AGAIN_S", 0.01)
    parts.stop_all(line.context)
    return line.context


class OnADisk:
    """Starts once its disk takes a write, after it has added its hooks."""

    def __init__(self, refusals):
        self.refusals, self.part, self.started = refusals, Started(), threading.Event()
        self.told = []

    def __call__(self, context):
        context.after_inspection.append(lambda *_: None)
        context.events.call("job", self.told.append)
        if self.refusals:
            self.refusals -= 1
            raise OSError(28, "No space left on device")
        self.started.set()
        return self.part


def test_a_part_whose_start_failed_is_started_later_in_its_place_and_its_hooks_are_called_once(context):
    hooks, press = len(context.after_inspection), OnADisk(refusals=3)
    parts.start_all(context, (("press", press), ("folder", lambda _: Started())))
    assert list(context.parts) == ["press", "folder"]
    assert press.started.wait(30)
    context.again._thread.join(30)
    assert list(context.parts) == ["press", "folder"]
    assert context.parts["press"] is press.part
    assert len(context.after_inspection) == hooks + 1
    context.events.publish("job", {"id": "1"})
    assert len(press.told) == 1
    parts.stop_all(context)
    assert press.part.stopped


def test_until_then_it_is_shown_as_failed_and_nothing_is_tried_after_a_stop(context, monkeypatch):
    monkeypatch.setattr(parts, "AGAIN_S", 3600.0)
    press = OnADisk(refusals=1)
    parts.start_all(context, (("press", press),))
    said = context.parts["press"].state()
    assert said["state"] == "failed"
    assert "No space left on device" in said["message"]
    parts.stop_all(context)
    assert not press.started.is_set()
    assert not context.again._thread.is_alive()
