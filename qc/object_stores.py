"""Object stores by URL: S3 and what speaks like it, Azure, Google Cloud Storage. A few verbs over `obstore`.

`obstore` (Rust's `object_store`) is imported here alone, when such a URL is opened: the extra `stores` brings it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qc.errors import InvalidInput, NotFound, Unavailable

SCHEMES = ("s3", "gs", "az")
"""What a URL of an object store begins with."""

TIMES = {"connect_timeout": "3s", "read_timeout": "20s", "timeout": "600s"}
"""A store that is away is known after seconds; 600 s hold a frame of 200 Mpx over a line of 10 Mbit/s."""

RETRIES: Any = {"max_retries": 2}
"""Of one call, for a hiccup. Whoever calls decides what an outage means."""

ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
}
"""Environment variables that name another address than the cloud's own; one that begins with http:// is meant so."""

GAP_BYTES = 128 * 1024
"""Bytes between two parts that are fetched with them, rather than the two by a request each: measured against a store
on the same computer, a request costs the reader as much processor time as some 100 kB. The library's own megabyte
fetched samples of 200 kB that nobody had asked for, most of a shard again and again."""

SHA256 = "sha256"
"""Name of the attribute, stored beside an object, that holds the hash of its bytes."""


def is_remote(url: str) -> bool:
    """Is this the URL of an object store, rather than a path?"""
    return url.partition("://")[0] in SCHEMES and "://" in url


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store says of an object."""

    size: int
    """Bytes."""
    sha256: str
    """Of its bytes, as they were stored; empty where nobody said it."""


class StoreAway(Unavailable):
    """An object store does not answer, or refuses; the same request may work later."""


class ObjectStore:
    """One bucket, or a part of it. Safe to use from any thread; a call lets other threads run."""

    def __init__(self, url: str, options: Mapping[str, str] | None = None) -> None:
        """Open; nothing is asked of the store yet.

        Args:
            url: `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`.
            options: key, secret, endpoint, region and so on, by obstore's names; what is missing comes from the usual
                environment variables (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, AZURE_STORAGE_ACCOUNT_NAME, …), else from
                the computer's own identity in its cloud.

        Raises:
            InvalidInput: the URL or an option makes no sense, or the extra `stores` is not installed.
        """
        if not is_remote(url):
            raise InvalidInput(f"{url!r} is no object store: write s3://, az:// or gs://, bucket and prefix")
        try:
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ImportError as error:
            raise InvalidInput(f"{url} needs the extra qc-line[stores]: pip install 'qc-line[stores]'") from error
        chosen: dict[str, Any] = dict(options or {})
        named = [os.environ.get(name, "") for name in ENDPOINTS[url.partition("://")[0]]]
        endpoint = chosen.get("endpoint") or chosen.get("base_url") or next(filter(None, named), "")
        client: Any = {**TIMES, "allow_http": str(endpoint).startswith("http://")}
        self.url = url.rstrip("/")
        try:
            self._store = from_url(self.url, client_options=client, retry_config=RETRIES, **chosen)
        except BaseException as error:
            if not isinstance(error, BaseError | ValueError | TypeError) and not _panicked(error):
                raise
            why = _first_line(error)
            for value in map(str, (options or {}).values()):  # it may be a secret in the wrong place
                why = why.replace(value, "…") if value else why
            raise InvalidInput(f"{url} cannot be opened: {why}") from None

    def put(self, name: str, data: bytes, *, sha256: str = "") -> None:
        """Store whole; once this returns the store has it. Replaces what is there. Raises StoreAway."""
        import obstore

        attributes: Any = {SHA256: sha256} if sha256 else None
        with _translated(self, name):
            obstore.put(self._store, name, data, attributes=attributes)

    def get(self, name: str) -> tuple[bytes, str]:
        """The bytes, and the hash that was stored beside them (empty: none). Raises NotFound, StoreAway."""
        import obstore

        with _translated(self, name):
            answer = obstore.get(self._store, name)
            data = bytes(answer.bytes())
            return data, str(answer.attributes.get(SHA256, ""))

    def ranges(self, name: str, starts: Sequence[int], sizes: Sequence[int]) -> list[memoryview]:
        """Parts of an object, fetched side by side; those up to `GAP_BYTES` apart in one request.

        Raises NotFound, StoreAway.
        """
        import obstore

        with _translated(self, name):
            found = obstore.get_ranges(self._store, name, starts=list(starts), lengths=list(sizes), coalesce=GAP_BYTES)
            return [memoryview(part) for part in found]

    def head(self, name: str) -> Stored | None:
        """What is stored under a name, or None. Raises StoreAway."""
        import obstore

        try:
            with _translated(self, name):
                answer = obstore.get(self._store, name, options={"head": True})
                return Stored(int(answer.meta["size"]), str(answer.attributes.get(SHA256, "")))
        except NotFound:
            return None

    def names(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Every name below a prefix with its bytes, in the store's order. Raises StoreAway."""
        import obstore

        with _translated(self, prefix):
            for page in obstore.list(self._store, prefix or None):
                for found in page:
                    yield str(found["path"]), int(found["size"])

    def delete(self, name: str) -> None:
        """Remove; what is not there is no error. Raises StoreAway."""
        import obstore

        try:
            with _translated(self, name):
                obstore.delete(self._store, name)
        except NotFound:
            return


class _translated:
    """The library's errors -> ours."""

    def __init__(self, store: ObjectStore, name: str) -> None:
        self._where = f"{store.url}/{name}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        if isinstance(error, FileNotFoundError):
            raise NotFound(f"nothing is stored under {self._where}") from error
        if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError):
            told = f"{self._where} is refused to us; check the store's key and its rights"
            raise StoreAway(told, retry_after_s=1) from error
        if error is not None and _panicked(error):
            told = f"{self._where} is not as long as it should be; restore it"
            raise StoreAway(told, retry_after_s=1) from error
        if isinstance(error, BaseError | OSError):
            told = f"{self._where} does not answer ({_first_line(error)}); try again later"
            raise StoreAway(told, retry_after_s=1) from error


def _panicked(error: BaseException) -> bool:
    """Did the library meet what it had ruled out, such as an object shorter than a part of it that was asked for?

    Such an error is no `Exception`: whatever handles faults would let it through.
    """
    return type(error).__module__ == "pyo3_runtime"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200]
