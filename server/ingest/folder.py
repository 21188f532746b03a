"""A watched folder: what a camera's software writes there is inspected, exactly once.

    inbox/<station>/<part>/<view>.<ext>      all views of a part, taken together
    inbox/<station>/<part>__<view>.<ext>     likewise: files that share <part>
    inbox/<station>/<part>.<ext>             one picture

The files of a part are taken when none has changed for `inbox_settle_s` and none is open for writing. A file whose name
begins with a dot, or ends in `.tmp` or `.part`, is not finished by its own account: write so, then rename.

Exactly once: before a part is handed over, a claim is written that names its files and their hashes; the claim's id is
the trigger id. After a crash the claim is found: if the inspection is stored, only the files are cleared away, else it
is handed over again. What cannot be read goes to `rejected/` with the reason beside it, and the line goes on; so it
does where a file cannot be taken away, which `/health` names.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from watchfiles import watch

from qc.errors import InvalidInput, QcError
from qc.frame import MAX_BYTES
from server.codes_config import codes_at
from server.context import Context
from server.ingest import claims, files
from server.orders import Order, Picture

log = structlog.get_logger(__name__)

LOOK_EVERY_MS = 1000
"""Besides at every change: how often the folder is looked through, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The files of one part, as they lie in the inbox."""

    station: str
    part: str
    files: tuple[tuple[str, Path], ...]
    """(view, file), sorted."""


class FolderIngest:
    """Watches one folder in a thread of its own. A `server.context.Part`."""

    def __init__(self, context: Context) -> None:
        self._context, self._settings = context, context.settings
        self._inbox = context.settings.folder("inbox")
        self._rejected = context.settings.folder("rejected")
        self._settled = files.Settled(context.settings.inbox_settle_s)
        self._bad_since: dict[Path, float] = {}
        self._taken = self._refused = 0
        self._problem: str | None = None
        self._stuck: dict[Path, str] = {}
        """Files that could not be taken away at the last look, and why: they are passed over, not the others."""
        self._found_stuck: dict[Path, str] = {}
        """Those of the look that goes on now."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)
        self._thread.start()

    def state(self) -> dict[str, Any]:
        """For /health."""
        state = {"folder": str(self._inbox), "taken": self._taken, "rejected": self._refused}
        if message := self._problem or next(iter(self._stuck.values()), None):
            return {"state": "degraded", "message": message, "stuck": len(self._stuck), **state}
        return {"state": "ok" if self._thread.is_alive() else "failed", **state}

    def stop(self) -> None:
        """Stop looking; what lies there is taken after the next start."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._context.need_champion().wait(0.5):
            if self._stop.is_set():
                return
        while not self._stop.is_set():
            try:
                self._inbox.mkdir(exist_ok=True)
                for _ in watch(
                    self._inbox,
                    stop_event=self._stop,
                    rust_timeout=LOOK_EVERY_MS,
                    step=100,
                    debounce=200,
                    yield_on_timeout=True,
                    raise_interrupt=False,
                    recursive=True,
                ):
                    self.look()
            except Exception as error:  # a share that went away must not end the watching for good
                self._problem = f"the inbox cannot be watched: {error}"
                log.error("inbox", exc_info=error)
                self._stop.wait(LOOK_EVERY_MS / 1000)

    def look(self) -> None:
        """Take whatever is finished now."""
        self._found_stuck = {}
        for claim in claims.unfinished(self._inbox):
            if not self._stop.is_set():
                self._finish(claim)
        for waiting in self._ready():
            if self._stop.is_set():
                return
            self._take(waiting)
        self._stuck = self._found_stuck
        self._settled.forget_missing()
        self._bad_since = {file: since for file, since in self._bad_since.items() if file.exists()}

    def _ready(self) -> Iterator[Waiting]:
        groups: dict[tuple[str, str], list[tuple[str, Path]]] = defaultdict(list)
        for station in sorted(self._inbox.iterdir()):
            if station.name.startswith("."):
                continue
            if not station.is_dir():
                if self._settled.is_finished(station):
                    self._reject([station], "a picture belongs into a folder named after its station: inbox/<station>/")
                continue
            for place in sorted(station.iterdir()):
                if place.name.startswith("."):
                    continue
                inside = [(file.stem, file) for file in sorted(place.iterdir())] if place.is_dir() else [_named(place)]
                part = place.name if place.is_dir() else place.stem.partition("__")[0]
                groups[station.name, part] += [(view, file) for view, file in inside if self._is_wanted(file)]
        for (station_name, part), found in groups.items():
            if found and all([self._settled.is_finished(file) for _, file in found]):
                yield Waiting(station_name, part, tuple(found))

    def _is_wanted(self, file: Path) -> bool:
        return files.is_meant(file) and file not in self._found_stuck

    def _take(self, waiting: Waiting) -> None:
        try:
            pictures = [Picture(_read(file), file.name, view) for view, file in waiting.files]
        except FileNotFoundError:
            return  # taken away again; look next time
        except OSError as error:
            self._problem = f"{error.filename} cannot be read ({error.strerror}); check the folder's permissions"
            return
        except InvalidInput as error:
            self._reject([file for _, file in waiting.files], error.message)
            return
        hashes = [hashlib.sha256(picture.data).hexdigest() for picture in pictures]
        names = [str(file.relative_to(self._inbox)) for _, file in waiting.files]
        claim = claims.write(self._inbox, waiting.station, waiting.part, dict(zip(names, hashes, strict=True)))
        self._hand_over(claim, waiting, pictures)

    def _hand_over(self, claim: claims.Claim, waiting: Waiting, pictures: list[Picture]) -> None:
        try:
            codes = codes_at(self._context, waiting.station)
            part = "" if codes is not None and codes.over_file_name(waiting.station) else waiting.part
            order = Order(part, waiting.station, pictures, trigger_id=claim.trigger_id)
            inspector = self._context.need_inspector()
            taken = inspector.take(order)
            inspector.wait(taken.inspection_id)  # one part at a time: the memory of one
        except InvalidInput as error:
            claims.drop(claim)
            if self._may_still_change(waiting):
                return
            self._reject([file for _, file in waiting.files], error.message)
        except QcError as error:  # a full queue, a full disk: the files stay, and are tried again
            claims.drop(claim)
            self._problem = error.message
            self._stop.wait(LOOK_EVERY_MS / 1000)
        else:
            self._clear(claim)
            self._taken += 1
            self._problem = None

    def _finish(self, claim: claims.Claim) -> None:
        """A claim that the last stop left behind."""
        if claims.is_stored(self._context.database, claim):
            self._clear(claim)
        else:
            claims.drop(claim)  # nothing is stored: its files are found again as if they were new

    def _clear(self, claim: claims.Claim) -> None:
        """The inspection is stored: put its files away, then forget the claim, unless one of them cannot be."""
        whole = True
        for name, sha256 in claim.files.items():
            file = self._inbox / name
            try:
                if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
                    continue  # put away already, or replaced by the next picture in the meantime
                if self._settings.inbox_keep:
                    files.move(file, self._inbox / ".done" / name)
                else:
                    file.unlink()
                files.remove_if_empty(file.parent, below=self._inbox)
            except OSError as error:
                whole = False
                self._is_stuck(file, "has been inspected", error)
        if whole:
            claims.drop(claim)

    def _may_still_change(self, waiting: Waiting) -> bool:
        """A file that makes no sense may come from a slow writer; it gets `inbox_patience_s` without a change."""
        now = time.monotonic()
        since = min(self._bad_since.setdefault(file, now) for _, file in waiting.files)
        quiet = min(self._settled.quiet_s(file) for _, file in waiting.files)
        return now - since < self._settings.inbox_patience_s or quiet < self._settings.inbox_patience_s

    def _reject(self, found: list[Path], reason: str) -> None:
        for file in found:
            try:
                kept = files.move(file, self._rejected / file.relative_to(self._inbox))
            except OSError as error:
                self._is_stuck(file, f"is rejected ({reason})", error)
                continue
            kept.with_name(kept.name + ".reason.txt").write_text(reason + "\n", encoding="utf-8")
            files.remove_if_empty(file.parent, below=self._inbox)
            self._refused += 1
            self._context.metrics.rejected.labels("folder").inc()
            log.warning("rejected", file=str(kept), reason=reason)

    def _is_stuck(self, file: Path, why: str, error: OSError) -> None:
        """It is tried again at the next look; the other files go on."""
        place = file.relative_to(self._inbox)
        self._found_stuck[file] = f"{place} {why} and cannot be taken away ({error.strerror}); check its permissions"
        if file not in self._stuck:
            log.error("stuck in the inbox", file=str(file), why=why, exc_info=error)


def start(context: Context) -> FolderIngest:
    """Watch QC_HOME/inbox."""
    return FolderIngest(context)


def _named(file: Path) -> tuple[str, Path]:
    """View and file of `<part>__<view>.<ext>`."""
    return file.stem.partition("__")[2], file


def _read(file: Path) -> bytes:
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise InvalidInput(f"the file has {size} bytes; at most {MAX_BYTES} are read")
    return file.read_bytes()
