"""A receiver of webhooks for the tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from webhook_receiver import Receiver


@pytest.fixture(scope="module")
def one_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    other = Receiver(tmp_path_factory.mktemp("receiver"))
    other.comes()
    yield other
    other.goes()


@pytest.fixture
def receiver(one_receiver: Receiver) -> Receiver:
    """The same one for all tests of a file, as new."""
    if one_receiver.process is None:
        one_receiver.comes()
    one_receiver.forgets()
    return one_receiver
