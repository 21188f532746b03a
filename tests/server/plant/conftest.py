"""What the tests of stations need without a server: a database with its tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import per_home
import pytest

from server.blobs.local import LocalBlobs
from server.cache import open_cache
from server.clock import now
from server.context import Context
from server.db import Database
from server.events import EventBus
from server.policies import Policies
from server.schema import all_tables
from server.settings import Settings


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    """A database with its tables, and no model: enough to be told that a trigger came too early."""
    settings = Settings(home=tmp_path, database_url=per_home.setting(tmp_path))
    database = Database(settings.db_url)
    all_tables().create_all(database.engine)
    blobs, policies = LocalBlobs(settings.folder("blobs")), Policies(settings.folder("products"), default="any")
    yield Context(settings, database, blobs, EventBus(), now, policies, open_cache(settings))
    database.close()
