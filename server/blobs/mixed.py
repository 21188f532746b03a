"""Several object stores as one: by what is stored, and with the places where it was stored before.

QC_BLOBS="s3://plant/pictures models/=az://models/plant s3://old-plant/pictures"
          new ones go here    but these keys go there   earlier ones may lie here: read and erased, never added to
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from qc.errors import InvalidInput, NotFound
from qc.object_stores import ObjectStore, Stored, is_remote


class Far(Protocol):
    """An object store, or several as one (`qc.object_stores.ObjectStore` says what each call does and raises)."""

    @property
    def url(self) -> str: ...
    def put(self, name: str, data: bytes, *, sha256: str = "") -> None: ...
    def get(self, name: str) -> tuple[bytes, str]: ...
    def head(self, name: str) -> Stored | None: ...
    def names(self, prefix: str = "") -> Iterator[tuple[str, int]]: ...
    def delete(self, name: str) -> None: ...


class Mixed:
    """A `Far`: one store for new keys, others for those that begin in some way, and earlier ones."""

    def __init__(self, new: ObjectStore, by_prefix: dict[str, ObjectStore], earlier: list[ObjectStore]) -> None:
        self._new, self._earlier = new, earlier
        # the longest first, so that `models/champion/` goes before `models/`
        self._by_prefix = sorted(by_prefix.items(), key=lambda one: -len(one[0]))
        self.url = new.url

    def put(self, name: str, data: bytes, *, sha256: str = "") -> None:
        """Store where keys of this name go."""
        self._of(name).put(name, data, sha256=sha256)

    def get(self, name: str) -> tuple[bytes, str]:
        """From where keys of this name go, else from the first earlier place that has it."""
        for store in self._all(name)[:-1]:
            try:
                return store.get(name)
            except NotFound:
                continue
        return self._all(name)[-1].get(name)

    def head(self, name: str) -> Stored | None:
        """What the first place says that has it."""
        return next((found for store in self._all(name) if (found := store.head(name)) is not None), None)

    def names(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Every name below a prefix, once, place by place."""
        told: set[str] = set()
        for store in dict.fromkeys([self._new, *(store for _, store in self._by_prefix), *self._earlier]):
            for name, size in store.names(prefix):
                if name not in told:
                    told.add(name)
                    yield name, size

    def delete(self, name: str) -> None:
        """Remove everywhere: what is erased must not come back from an earlier place."""
        for store in self._all(name):
            store.delete(name)

    def _of(self, name: str) -> ObjectStore:
        return next((store for prefix, store in self._by_prefix if name.startswith(prefix)), self._new)

    def _all(self, name: str) -> list[ObjectStore]:
        """Where it may lie: first where it goes now. New keys' store is one, too, for what lay there before."""
        return list(dict.fromkeys([self._of(name), self._new, *self._earlier]))


def open_far(place: str) -> Far:
    """The store or stores of QC_BLOBS; nothing is asked of them yet.

    Args:
        place: one URL; or the one for new keys, and then `PREFIX=URL` and further URLs, with blanks between.

    Raises:
        InvalidInput: it makes no sense, or the extra for stores is not installed.
    """
    new, *more = place.split() or [""]
    if not more:
        return ObjectStore(new)
    by_prefix: dict[str, ObjectStore] = {}
    earlier: list[ObjectStore] = []
    for told in more:
        prefix, _, url = told.rpartition("=") if not is_remote(told) else ("", "", told)
        if not is_remote(url) or (prefix and not prefix.endswith("/")):
            raise InvalidInput(
                f"QC_BLOBS: {told!r} is neither a store nor a kind of key in one, as models/=s3://bucket/x"
            )
        if prefix in by_prefix:
            raise InvalidInput(f"QC_BLOBS names two stores for {prefix}")
        if prefix:
            by_prefix[prefix] = ObjectStore(url)
        else:
            earlier.append(ObjectStore(url))
    return Mixed(ObjectStore(new), by_prefix, earlier)
