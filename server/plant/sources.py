"""Where a triggered station gets its pictures from: what every camera can do, and a folder as one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from qc.errors import Unavailable
from server.ingest import files
from server.orders import Picture
from server.plant.config import CameraConfig

LOOK_S = 0.005
"""Between two looks into a folder, in seconds."""
AGAIN_S = 2.0
"""Between two attempts at a camera that did not answer, in seconds."""
STRAY = ".stray"
"""Below a camera's folder: pictures that belong to no trigger."""
REMEMBERED = 1000
"""Pictures of a camera of which it is known what they were; a repetition comes soon or never."""

Wanted = Callable[[], bool]
"""Does anybody still wait for the picture?"""


class NoPicture(Unavailable):
    """The camera delivered nothing, or not exactly one picture, in time."""


def always() -> bool:
    """Somebody waits for the picture, whatever happens."""
    return True


class Source(Protocol):
    """A camera that can be asked for one picture."""

    @property
    def unasked(self) -> bool:
        """Pictures come by themselves, without a number: an early or late one could be taken for another part's."""
        ...

    def arm(self) -> None:
        """Before the station becomes ready: what is there now belongs to no trigger."""
        ...

    def picture(self, within_s: float, wanted: Wanted = always) -> Picture:
        """The picture of the trigger that just came.

        Args:
            within_s: how long it may take, in seconds.
            wanted: from when on it says no, no picture is taken any more: the next one is another part's.

        Raises:
            NoPicture: it did not come, or more than one did, or it was one that came before.
        """
        ...

    def stored(self) -> None:
        """The picture is safe in the product; it need not be kept any more."""
        ...

    def surplus(self) -> int:
        """How many more pictures came for the trigger whose picture is stored."""
        ...

    def lying(self) -> int:
        """How many pictures lie there; looking takes none away."""
        ...

    @property
    def lost(self) -> int:
        """Pictures that the camera or its wire is known to have lost, since the start."""
        ...

    def problem(self) -> str | None:
        """Why it cannot deliver now; None: it can. May take a second."""
        ...

    def close(self) -> None:
        """Let the camera go."""
        ...


class Repetitions:
    """Knows a picture again, byte for byte: no sensor gives the same bytes twice, but software may hand them out so."""

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed
        self._known: deque[int] = deque(maxlen=REMEMBERED)

    def check(self, data: bytes, camera: str) -> None:
        """Raises NoPicture for a picture that came before."""
        known = hash(data)  # 64 bits under a key of this process, and fast: the PLC waits
        if known in self._known and not self._allowed:
            raise NoPicture(
                f"{camera} gave the very same bytes as before: a repetition, or it sees nothing; "
                "where its pictures are synthetic, say `repeats: true`"
            )
        self._known.append(known)


class FolderSource:
    """A folder into which the camera's software writes one picture for each trigger.

    The picture may come before the trigger is heard, since both start from the same pulse. What lies there when the
    station is armed is put aside, so that a picture never goes to the next part.
    """

    unasked = True
    lost = 0
    """A picture that does not come is the part's error."""

    def __init__(self, view: str, folder: Path, *, repeats: bool = False) -> None:
        self.view, self.folder = view, folder
        self._repetitions = Repetitions(allowed=repeats)
        self._given: Path | None = None

    def arm(self) -> None:
        for file in self._files():
            files.move(file, self.folder / STRAY / file.name)

    def picture(self, within_s: float, wanted: Wanted = always) -> Picture:
        until = time.monotonic() + within_s
        while wanted():
            found = [file for file in self._files() if not files.open_for_writing(file)]
            if len(found) > 1:
                raise NoPicture(f"{len(found)} pictures lie in {self.folder} for one trigger: which one is it?")
            if found and (picture := self._read(found[0])) is not None:
                self._repetitions.check(picture.data, f"the camera of {self.folder}")
                return picture
            if time.monotonic() >= until:
                raise NoPicture(f"no picture came into {self.folder} within {within_s:.2f} s; is its camera triggered?")
            time.sleep(LOOK_S)
        raise NoPicture("nobody waits for the picture any more")

    def stored(self) -> None:
        if self._given is not None:
            self._given.unlink(missing_ok=True)
            self._given = None

    def surplus(self) -> int:
        return len(self._files())

    def lying(self) -> int:
        return len(self._files())

    def problem(self) -> str | None:
        return None if self.folder.is_dir() else f"the folder {self.folder} is not there"

    def close(self) -> None:
        """Nothing is held."""

    def _read(self, file: Path) -> Picture | None:
        """None while it still grows."""
        try:
            data = file.read_bytes()
            if not data or len(data) != file.stat().st_size:
                return None
        except FileNotFoundError:  # somebody else took it, or it was put aside as too late
            return None
        self._given = file
        return Picture(data, file.name, self.view)

    def _files(self) -> list[Path]:
        return [file for file in sorted(self.folder.iterdir()) if files.is_meant(file)] if self.folder.is_dir() else []


def source_of(config: CameraConfig) -> Source:
    """The source that a configuration names."""
    if config.folder is not None:
        return FolderSource(config.view, config.folder, repeats=config.repeats)
    if config.genicam is not None:
        from server.plant.genicam import GenICamSource

        return GenICamSource(config.view, config.genicam)
    if config.aravis is not None:
        from server.plant.aravis import AravisSource

        return AravisSource(config.view, config.aravis)
    if config.stream is not None or config.usb is not None:
        from server.plant.video import VideoSource

        return VideoSource(config)
    from server.plant.url import UrlSource

    assert config.url is not None, "the configuration has been checked"
    return UrlSource(config.view, config.url, repeats=config.repeats)
