"""Which blob store an installation has: one setting, QC_BLOBS."""

from __future__ import annotations

from pathlib import Path

from qc.errors import InvalidInput
from qc.object_stores import is_remote
from qc.ports import BlobStore
from server.blobs.local import LocalBlobs
from server.blobs.mixed import open_far
from server.blobs.near_and_far import NearAndFar
from server.settings import Settings

ORIGINALS = "originals/"
"""What the keys of camera pictures begin with."""


def open_blobs(home: Path, place: str = "") -> BlobStore:
    """The blobs of an installation; nothing is asked of an object store yet.

    Args:
        home: QC_HOME.
        place: empty for `home`/blobs; a path; the URL of an object store; or several of them (`server.blobs.mixed`).

    Raises:
        InvalidInput: the URL makes no sense, or the extra for it is not installed.
    """
    if "://" in place and not is_remote(place):
        raise InvalidInput(
            f"QC_BLOBS: {place!r} is neither a folder nor an object store: write s3://, az:// or gs:// first"
        )
    near = LocalBlobs(home / "blobs") if is_remote(place) or not place else LocalBlobs(Path(place))
    return NearAndFar(near, open_far(place)) if is_remote(place) else near


def keys_elsewhere(settings: Settings) -> frozenset[str]:
    """Keys of the camera pictures that lie outside of QC_HOME. Raises StoreAway."""
    if not settings.blobs:
        return frozenset()
    if is_remote(settings.blobs):
        return frozenset(name for name, _ in open_far(settings.blobs).names(ORIGINALS))
    root = Path(settings.blobs)
    return frozenset(file.relative_to(root).as_posix() for file in (root / ORIGINALS).rglob("*.*"))


def blobs_of(settings: Settings) -> BlobStore:
    """The blobs of an installation, by its settings; raises as `open_blobs`."""
    return open_blobs(settings.home.resolve(), settings.blobs)
