"""The plant and the browser of tests/browser, for stories that people live on pages; and their pictures."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import cv2
import pytest

ROOT = Path(__file__).parents[2]

_found = importlib.util.spec_from_file_location("qc_browser_plant", ROOT / "tests/browser/conftest.py")
assert _found is not None
assert _found.loader is not None
_pages = importlib.util.module_from_spec(_found)
sys.modules[_found.name] = _pages  # dataclasses look their module up
_found.loader.exec_module(_pages)

plant, page, no_barrier = _pages.plant, _pages.page, _pages.no_barrier


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest) -> Iterator[object]:
    """A real Chromium, for whichever plant."""
    if why := _pages.missing():
        pytest.skip(why)
    drivers = request.getfixturevalue("drivers")
    opened = drivers.chromium.launch(executable_path=str(_pages.CHROMIUM), args=_pages.FLAGS)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def on_pages() -> ModuleType:
    """What tests/browser/conftest.py has, for a plant of one's own."""
    return _pages


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[object, str], None]:
    """Takes a picture of a page at 1280 x 800. QC_SCREENSHOTS=server/docs/pages/how-to/pictures keeps what the
    documentation shows; QC_SCREENSHOTS_4K names a folder for the same on a 4K screen."""
    folder = Path(os.environ.get("QC_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def take(page, name: str) -> None:
        page.wait_for_timeout(500)  # what fades in is there
        file = folder / f"{name}.jpg"
        page.screenshot(path=file, type="jpeg", quality=72)
        seen = cv2.imread(str(file))
        assert seen is not None
        assert seen.std() > 5, f"{name} is an empty page"
        if large := os.environ.get("QC_SCREENSHOTS_4K"):
            page.set_viewport_size({"width": 3840, "height": 2160})
            page.wait_for_timeout(500)
            page.screenshot(path=Path(large) / f"{name}.jpg", type="jpeg", quality=72)
            page.set_viewport_size({"width": 1280, "height": 800})

    return take
