"""Where the files of a source lie: a folder, or an object store. Both read whole files and parts of them."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from qc.durable import write_whole
from qc.errors import InvalidInput, NotFound, Unavailable
from qc.object_stores import ObjectStore, is_remote


class Place(Protocol):
    """Files by name, with forward slashes. Safe to use from any thread."""

    def read(self, name: str) -> bytes:
        """A whole file. Raises NotFound, Unavailable."""
        ...

    def ranges(self, name: str, starts: Sequence[int], sizes: Sequence[int]) -> list[memoryview]:
        """Parts of a file, in bytes from its beginning. Raises NotFound, Unavailable."""
        ...

    def names(self, prefix: str = "") -> Iterator[str]:
        """Names of the files below a folder. Raises Unavailable."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Store whole, or not at all. Raises Unavailable."""
        ...


def place_at(url: str, options: Mapping[str, str] | None = None) -> Place:
    """The place at a path or at an object store's URL; `options` as in `ObjectStore`. Raises InvalidInput."""
    return Bucket(ObjectStore(url, options)) if is_remote(url) else Folder(Path(url))


class Folder:
    """A folder of this computer, or one that is mounted; files are mapped, so that a part costs no copy."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._maps: dict[str, mmap.mmap] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Folder], tuple[Path]]:
        return Folder, (self._root,)

    def read(self, name: str) -> bytes:
        """As `Place`."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"{self._root} has no file {name}") from error
        except OSError as error:
            raise Unavailable(f"{self._root / name} cannot be read: {error.strerror}") from error

    def ranges(self, name: str, starts: Sequence[int], sizes: Sequence[int]) -> list[memoryview]:
        """As `Place`; the parts are read from the disk when they are looked at."""
        whole = memoryview(self._map(name))
        ends = max((start + size for start, size in zip(starts, sizes, strict=True)), default=0)
        if ends > len(whole):
            raise Unavailable(f"{self._root / name} ends after {len(whole)} bytes, where {ends} are wanted; restore it")
        return [whole[start : start + size] for start, size in zip(starts, sizes, strict=True)]

    def names(self, prefix: str = "") -> Iterator[str]:
        """As `Place`, sorted."""
        for path in sorted((self._root / prefix).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(self._root).as_posix()

    def write(self, name: str, data: bytes) -> None:
        """As `Place`."""
        path = self._path(name)
        try:
            write_whole(path, data)
        except OSError as error:
            raise Unavailable(f"{path} could not be written ({error.strerror}); check the disk") from error

    def _map(self, name: str) -> mmap.mmap:
        with self._lock:
            if name not in self._maps:
                try:
                    with self._path(name).open("rb") as file:
                        self._maps[name] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                except FileNotFoundError as error:
                    raise NotFound(f"{self._root} has no file {name}") from error
                except (OSError, ValueError) as error:
                    raise Unavailable(f"{self._root / name} cannot be mapped: {error}") from error
            return self._maps[name]

    def _path(self, name: str) -> Path:
        return self._root / checked(name)


class Bucket:
    """A bucket of an object store, or a part of it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def read(self, name: str) -> bytes:
        """As `Place`."""
        return self._store.get(checked(name))[0]

    def ranges(self, name: str, starts: Sequence[int], sizes: Sequence[int]) -> list[memoryview]:
        """As `Place`; parts that lie beside each other come in one request."""
        return self._store.ranges(checked(name), starts, sizes)

    def names(self, prefix: str = "") -> Iterator[str]:
        """As `Place`."""
        return (name for name, _ in self._store.names(prefix))

    def write(self, name: str, data: bytes) -> None:
        """As `Place`."""
        self._store.put(checked(name), data)


def checked(name: str) -> str:
    """A file name that stays inside its place; raises InvalidInput."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name:
        raise InvalidInput(f"{name[:80]!r} is no name of a file inside its source")
    return name
