"""The engine: watches over another server that computes the champion, and says who answers, why, and since when.

A thread of low priority compares the other server's answers with the champion's own when a champion is installed, asks
for one window of the fingerprint every few seconds from then on, and for all of it after a failure. The line never
waits for it.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from qc.errors import QcError, Unavailable
from qc.frame import Frame
from qc.ports import Segmentation, Segmenter
from segmentation.looking import DescribingLook
from segmentation.parity import Picture
from segmentation.segmenter import FrameSegmenter
from server.context import Context
from server.open_inference.models import version_of
from server.remote_engine.eyes import AsChampion, Eyes, Far, Pixels
from server.remote_engine.pace import Pace
from server.remote_engine.proof import Proof, compare, same, windows_of
from server.remote_engine.wire import About, NoAnswer, Wire

log = structlog.get_logger(__name__)

Samples = Callable[[Path], Sequence[Picture]]
"""The pictures on which answers are compared, of the model in a folder."""

NICENESS = 15
"""Priority of the thread below that of the line."""

BEAT_S = 10.0
"""Between two windows of the fingerprint while the other server answers."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""After a failure it is asked again so much later, twice as long after each further one."""

QUIET_S = 60.0
"""Who has answered for so long begins again with the first pause."""

TICK_S = 1.0
"""How often a change of champions is looked for."""

GIVES_WAY_S = 2.0
"""The comparison lets the line go first before each window, but not for longer: where the line never rests, the other
server is needed most."""


class Engine:
    """Holds the other server. A `server.context.Part`."""

    def __init__(self, context: Context, wire: Wire, *, model: str, patience_s: float, samples: Samples) -> None:
        """
        Args:
            context: of the server; its champion is there already.
            wire: to the other server.
            model: the model's name there.
            patience_s: how long it may take for one frame, in seconds, where no station's time is shorter.
            samples: what to compare on.
        """
        self._context, self._wire, self._model, self._samples = context, wire, model, samples
        self.patience_s, self.near, self.far = patience_s, Pace(), Pace()
        self._lock = threading.RLock()
        self._far: Far | None = None
        """Set while the other server answers."""
        self._proved: tuple[Far, Proof] | None = None
        self._windows: list[NDArray[np.uint8]] = []
        self._turn = 0
        self._asked_for = ""
        self._why, self._state, self._since = "its answers are not compared yet", "starting", context.now()
        self._due, self._pause, self._trusted_at = 0.0, FIRST_PAUSE_S, 0.0
        self._frames = {"remote": 0, "local": 0}
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="remote-engine", daemon=True)
        self._thread.start()

    # for the line

    def eyes(self, local: Segmenter, frames: Sequence[Frame], *, left_s: float | None) -> Segmenter:
        """Who looks at a part: `local` itself, or the champion with both ways while the other server answers.

        Args:
            local: the model that serves the part, as this machine computes it.
            frames: of the part.
            left_s: seconds until it must be judged; None: no limit.
        """
        if local.model_id != self._asked_for or not isinstance(local, FrameSegmenter):
            return local
        far, proved = self._far, self._proved
        if far is None or proved is None or proved[0] is not far or proved[1].model != local.model_id:
            self.answered("local", len(frames))
            return local
        return Eyes(self, far, local, pixels=sum(f.width * f.height for f in frames), left_s=left_s)

    def trusts(self, far: Far) -> bool:
        """May it be asked now?"""
        return self._far is far

    def answered(self, way: str, frames: int = 1) -> None:
        """So many frames were answered: `remote` or `local`."""
        with self._lock:
            self._frames[way] += frames
        self._context.metrics.engine_frames.labels(way).inc(frames)

    def failed(self, far: Far, error: NoAnswer) -> None:
        """A frame got no answer: from now on this machine answers, until the other server has shown itself again."""
        with self._lock:
            if self._far is far:
                self._leave(error)

    # for people

    @property
    def runtime(self) -> str | None:
        """The other server's name on record while it answers, else None."""
        far = self._far
        return None if far is None else far.name

    def state(self) -> dict[str, Any]:
        """For /health: who answers, why, since when, what was compared, and how many frames each has answered."""
        with self._lock:
            told: dict[str, Any] = {
                "state": self._state,
                "answers": "local" if self._far is None else "remote",
                "why": self._why,
                "since": self._since.isoformat(),
                "model": self._model,
                "frames": dict(self._frames),
            }
            if self._proved is not None:
                far, proof = self._proved
                told |= {"version": far.version, "compared": proof.compared}
            if self._state == "degraded":
                told["message"] = f"this machine computes the champion: {self._why}"
        return told

    def stop(self) -> None:
        """Hang up; the line is over by now."""
        self._stop.set()
        self._wake.set()
        self._wire.give_up()
        self._thread.join(timeout=10)
        self._far = None
        self._wire.close()

    # the thread

    def _run(self) -> None:
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)  # on Linux: of this thread alone
        while not self._stop.is_set():
            try:
                self._step()
            except QcError as error:
                if not self._stop.is_set():
                    self._leave(error)
            except Exception as error:  # whatever the other server says, this machine answers
                log.error("the other server could not be compared", exc_info=error)
                self._leave(NoAnswer("wrong", f"its answers could not be compared ({error!r})"))
            self._wake.wait(TICK_S)
            self._wake.clear()

    def _step(self) -> None:
        champion = self._context.need_champion()
        in_use = champion.in_use()
        if in_use is None:
            return
        local = champion.serving()
        if not isinstance(local, FrameSegmenter):
            self._say(None, "off", "the champion is no network that looks at windows")
            return
        if self._asked_for != local.model_id:  # another champion: its turn is now, whatever became of the last one
            self._asked_for, self._due, self._pause, self._proved = local.model_id, 0.0, FIRST_PAUSE_S, None
            self._say(None, "starting", "the answers of a new champion are being compared")
        if time.monotonic() < self._due:
            return
        if self._proved is None:
            self._prove(local, in_use[1])
        else:
            self._look_again(local, *self._proved)

    def _prove(self, local: FrameSegmenter, folder: Path) -> None:
        began = time.monotonic()
        about = self._wire.about(within_s=self.patience_s)
        pictures = self._samples(folder)
        if not pictures:
            raise Unavailable("the champion carries no pictures on which answers could be compared; train it anew")
        self._windows = windows_of(pictures, local.stride)
        outputs = self._outputs(local, about)
        classes = len(local.classes) - (local.novelty is not None)
        first = self._wire.ask(self._windows[0], outputs, classes=classes, within_s=self.patience_s)
        _check_cells(local, self._windows[0], first.planes)
        name = f"remote {_plain(self._model)} {_plain(first.version)} ({_plain(about.platform)})"
        far = Far(self._wire, outputs, first.version, name)
        why_not, compared = compare(self._near_eyes(local), self._far_eyes(local, far), pictures, self._check_stop)
        prints = tuple(far.see(local, window, within_s=self.patience_s)[0] for window in self._windows)
        with self._lock:
            self._proved = (far, Proof(local.model_id, far.version, why_not, compared, prints))
        log.info("another server's answers were compared", why_not=why_not, **compared)
        self._conclude(took_s=time.monotonic() - began)

    def _outputs(self, local: FrameSegmenter, about: About) -> tuple[str, ...]:
        """What to ask for; raises NoAnswer where it cannot be had, or where it is known to be another model."""
        ours = version_of(local)
        if about.platform.startswith("qc_") and about.version != ours:
            raise NoAnswer("wrong", f"the other server serves model {about.version[:40]}, and the champion is {ours}")
        wanted: tuple[str, ...] = ("log_odds", "class_place")
        if local.keep_cells and isinstance(local.look, DescribingLook) and len(local.look.see(self._windows[0])) > 2:
            wanted = (*wanted, "cells")
        if missing := [name for name in wanted if name not in about.outputs]:
            advice = "; set QC_FEATURES=false, or give it the file under QC_HOME/ready" if "cells" in missing else ""
            raise NoAnswer("wrong", f"the other server's model has no output {', '.join(missing)}{advice}")
        return wanted

    def _look_again(self, local: FrameSegmenter, far: Far, proof: Proof) -> None:
        """Is it still the one that was compared? One window while it answers, all of them after a failure."""
        places = list(range(len(self._windows)))
        if self._far is far:
            self._turn = (self._turn + 1) % len(places)
            places = [self._turn]
        for n in places:
            odds = far.see(local, self._windows[n], within_s=self.patience_s)[0]
            if not same(proof.fingerprint[n], odds):
                self._proved = None
                raise NoAnswer("wrong", "the other server's answers changed; they are compared anew")
        self._conclude(took_s=0.0)

    def _conclude(self, *, took_s: float) -> None:
        if self._proved is None:
            raise AssertionError("there is a proof by now")
        far, proof = self._proved
        if proof.why_not:
            self._say(None, "degraded", f"the other server computes another model: {proof.why_not}")
            self._due = time.monotonic() + max(LONGEST_PAUSE_S, took_s)
            return
        if self._far is None:
            self._trusted_at = time.monotonic()
        told = f"the same verdicts as the model's own on {proof.compared['images']} pictures"
        self._say(far, "ok", told)
        self._due = time.monotonic() + BEAT_S

    def _leave(self, error: QcError) -> None:
        """This machine answers; the other server is asked again after a pause."""
        now = time.monotonic()
        with self._lock:
            if self._far is not None and now - self._trusted_at > QUIET_S:
                self._pause = FIRST_PAUSE_S
            self._due = now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
        self._context.metrics.engine_failures.labels(getattr(error, "kind", "unproved")).inc()
        self._say(None, "degraded", error.message)

    def _say(self, far: Far | None, state: str, why: str) -> None:
        with self._lock:
            if (self._far is far) and self._state == state and (far is not None or self._why == why):
                return
            changed = self._far is not far
            if changed or self._state == "starting":
                self._since = self._now()
            self._far, self._state, self._why = far, state, why
        log.log(30 if state == "degraded" else 20, "engine", answers="local" if far is None else far.name, why=why)

    def _now(self) -> datetime:
        return self._context.now()

    # comparing

    def _near_eyes(self, local: FrameSegmenter) -> Segmenter:
        """The champion on this machine, giving way to the line before each window, and timed."""
        waited = 0.0

        def look(window: NDArray[np.uint8]) -> Any:
            nonlocal waited
            began = time.monotonic()
            self._give_way()
            waited += time.monotonic() - began
            return local.look(window)

        slow = replace(local, look=look, keep_cells=False)

        def segment(pixels: Pixels) -> Segmentation:
            nonlocal waited
            began, waited = time.monotonic(), 0.0
            seen = slow.segment(pixels)
            self.near.took(pixels.shape[0] * pixels.shape[1], time.monotonic() - began - waited)
            return seen

        return AsChampion(local, segment)

    def _far_eyes(self, local: FrameSegmenter, far: Far) -> Segmenter:
        def segment(pixels: Pixels) -> Segmentation:
            began = time.monotonic()
            seen = far.segment(local, pixels, within_s=self.patience_s)
            self.far.took(pixels.shape[0] * pixels.shape[1], time.monotonic() - began)
            return seen

        return AsChampion(local, segment)

    def _give_way(self) -> None:
        until = time.monotonic() + GIVES_WAY_S
        while self._context.inspector is not None and self._context.inspector.busy and time.monotonic() < until:
            if self._stop.wait(0.02):
                break
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Unavailable("the server stops")


def _check_cells(local: FrameSegmenter, window: NDArray[np.uint8], planes: dict[str, NDArray[Any]]) -> None:
    """Are the encoder's cells as many as here?"""
    if "cells" in planes and isinstance(local.look, DescribingLook):
        here = local.look.see(window)[2].shape
        if planes["cells"].shape != here:
            raise NoAnswer("wrong", f"the other server's cells have shape {planes['cells'].shape}, here it is {here}")


def _plain(text: str) -> str:
    """What another server says of itself, fit to be kept on record."""
    return re.sub(r"[^A-Za-z0-9._:-]", "-", text)[:40] or "-"
