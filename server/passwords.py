"""Hashes of passwords and PINs: Argon2id, one at a time.

A check takes 64 MiB and a core for some 50 ms, on purpose. Whoever sends many log-ins at once must not take memory,
cores and threads from the line by it: one is computed after the other, few may wait, and more are told to come again.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from qc.errors import Unavailable

AT_MOST = 8
"""Under way or waiting, of the 40 threads that answer requests."""

_hasher = PasswordHasher()  # argon2-cffi's defaults are Argon2id with RFC 9106's low-memory profile
_turn = threading.Lock()
_inside = threading.BoundedSemaphore(AT_MOST)


def hash_of(secret: str) -> str:
    """A hash with parameters and salt of its own, to be kept. Raises Unavailable."""
    with _own_turn():
        return _hasher.hash(secret)


def fits(secret: str, kept: str) -> bool:
    """Is this the secret of which `kept` is the hash? Not, where `kept` is no hash. Raises Unavailable."""
    with _own_turn():
        try:
            return _hasher.verify(kept, secret)
        except (VerificationError, InvalidHashError):
            return False


@contextmanager
def _own_turn() -> Iterator[None]:
    if not _inside.acquire(blocking=False):
        raise Unavailable("too many log in at this moment; try again", retry_after_s=1)
    try:
        with _turn:
            yield
    finally:
        _inside.release()


NOBODY = hash_of(secrets.token_hex(16))
"""Compared with where there is nobody, so that the time of the answer does not tell who there is."""
