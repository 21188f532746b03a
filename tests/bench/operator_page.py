"""How quick the operator's page is, in a real Chromium against a real server that judges real pictures.

    .venv/bin/python tests/bench/operator_page.py

Prints: a key press to the next part on screen; the first picture and the first sharp tile of a 48 Mpx frame; a verdict
to its part on screen; frames a second while panning and zooming over 1,000 defects; what a first visit loads. Times are
taken in the page, from the event to the frame that shows it. Costs minutes. Chromium draws on the processor (no GPU).
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from playwright.sync_api import Page, sync_playwright

from qc.records import Exposure

TESTS = Path(__file__).parents[1]

SEEN = """
() => {
  window.pressed = 0; window.seen = null;
  window.addEventListener('keydown', () => { window.pressed = performance.now(); window.seen = null; }, true);
  let part = document.querySelector('h1')?.textContent;
  new MutationObserver(async () => {
    const now = document.querySelector('.part h1')?.textContent;
    if (!now || now === part) return;
    part = now;
    await new Promise(requestAnimationFrame);
    const shown = document.querySelector('.viewer-picture')?.style.backgroundImage.match(/url\\("(.+)"\\)/)?.[1];
    if (shown) { const picture = new Image(); picture.src = shown; await picture.decode(); }
    await new Promise(requestAnimationFrame);
    window.seen = { part: now, after: performance.now() - window.pressed, at: Date.now() };
  }).observe(document.querySelector('.inspect'), { childList: true, subtree: true, characterData: true });
}
"""
PROFILE = """
() => {
  window.worked = [];
  new PerformanceObserver((list) => {
    const keys = list.getEntries().filter((one) => one.name === 'keydown');
    window.worked.push(...keys.map((one) => one.processingEnd - one.processingStart));
  }).observe({ type: 'event', durationThreshold: 16 });
}
"""
"""What the page itself did before a key's event was over, in ms; told of those of 16 ms or more."""
SHARP = """
() => {
  const place = document.querySelector('.viewer-picture');
  const sharp = place?.querySelector("canvas") && place.style.backgroundImage === "";
  return sharp ? performance.now() - window.pressed : null;
}
"""
FRAMES = """
() => {
  window.frames_at = []; window.counting = true;
  const next = (now) => { window.frames_at.push(now); if (window.counting) requestAnimationFrame(next); };
  requestAnimationFrame(next);
}
"""


def module_of(name: str, path: Path) -> ModuleType:
    """A module of the tests, which are no package."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=62, help="that the operator goes through")
    parser.add_argument("--live", type=int, default=20, help="that arrive while the page follows the line")
    parser.add_argument("--seconds", type=float, default=4.0, help="of panning, and again of zooming")
    chosen = parser.parse_args()
    tests = module_of("browser_plant", TESTS / "browser/conftest.py")
    if why := tests.missing():
        print(why, file=sys.stderr)
        return 1
    first_load(module_of("own_checks", TESTS / "browser/test_the_pages_own_checks.py"))
    with tempfile.TemporaryDirectory() as folder:
        plant = tests.Plant(Path(folder), None)
        try:
            plant.start()
            for role in ("machine", "engineer"):
                plant.keys[role] = plant.qc("key", "create", "--role", role).splitlines()[-1]
            with sync_playwright() as player:
                browser = player.chromium.launch(executable_path=str(tests.CHROMIUM), args=tests.FLAGS)
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.set_default_timeout(120_000)
                name, password = (plant.home / "var/first-login.txt").read_text().split()[:2]
                plant.logs_in(page, name, password)
                next_part(page, plant, chosen.parts)
                large_frame(page, plant)
                live(page, plant, chosen.live)
                many_defects(page, plant, chosen.seconds)
                browser.close()
        finally:
            plant.stop()
    return 0


def told(what: str, took: list[float]) -> None:
    p50, p95 = np.quantile(took, [0.5, 0.95])
    print(f"{what}: median {p50:.0f} ms, p95 {p95:.0f} ms, most {max(took):.0f} ms ({len(took)} times)")


def first_load(checks: ModuleType) -> None:
    """Scripts before the operator's page is seen, compressed, in the largest language."""
    dist = checks.FRONTEND / "dist"
    first = checks.first_scripts(dist)
    largest = max(checks.kilobytes([*first, own]) for own in (dist / "assets").glob("station-*.js"))
    print(f"first load: {checks.kilobytes(first):.1f} kB in English, {largest:.1f} kB in the largest other language")


def seen(page: Page, part: str) -> dict[str, Any]:
    """What the page noted when this part was on screen."""
    page.wait_for_function("part => window.seen?.part === part", arg=part, polling=5)
    found: dict[str, Any] = page.evaluate("window.seen")
    return found


def next_part(page: Page, plant: Any, parts: int) -> None:
    """The operator goes from part to part by a key, to such as were not on screen before."""
    made = [plant.inspects(defects=(), seed=seed % 20) for seed in range(parts)]
    page.goto(f"{plant.address}/inspect/{made[-1]['id']}")
    page.locator(".lamp").wait_for()
    page.wait_for_load_state("networkidle")
    page.evaluate(SEEN)
    page.evaluate(PROFILE)
    took: list[float] = []
    for part in made[-2::-1]:
        page.keyboard.press("ArrowDown")
        took.append(float(seen(page, part["part"])["after"]))
        page.wait_for_timeout(400)  # somebody looks at a part for a moment
    told("key to next part on screen", took)
    if worked := page.evaluate("window.worked"):
        told("of which the page's own work, where it was longer than a frame", worked)


def large_frame(page: Page, plant: Any) -> None:
    """A part of 48 Mpx, asked for by a key beside it."""
    noise = np.random.default_rng(1).integers(120, 180, (750, 1000), np.uint8)
    before = plant.inspects(defects=(), seed=1000)  # no picture of the part before: a camera that repeats one is frozen
    large = plant.inspects_pictures([cv2.resize(noise, (8000, 6000), interpolation=cv2.INTER_CUBIC)], ["top"])
    page.goto(f"{plant.address}/inspect/{before['id']}")
    page.locator(".lamp").wait_for()
    page.wait_for_load_state("networkidle")
    page.evaluate(SEEN)
    page.keyboard.press("ArrowUp")
    first = float(seen(page, large["part"])["after"])
    sharp = page.wait_for_function(SHARP, polling=5).json_value()
    print(f"48 Mpx: first picture after {first:.0f} ms, sharp after {sharp:.0f} ms")


def live(page: Page, plant: Any, parts: int) -> None:
    """The page follows the line: from a verdict, by the server's clock, which is this machine's, to the screen."""
    page.goto(f"{plant.address}/inspect")
    page.locator(".connection[data-state=live]").wait_for()
    page.locator(".lamp").wait_for()
    page.evaluate(SEEN)
    took = []
    for seed in range(parts):
        part = plant.inspects(defects=(), seed=seed % 20)
        at = datetime.fromisoformat(part["received_at"]) + timedelta(milliseconds=part["elapsed_ms"])
        took.append(float(seen(page, part["part"])["at"]) - 1000 * at.timestamp())
        time.sleep(0.5)
    told("verdict to its part on screen", took)


def many_defects(page: Page, plant: Any, seconds: float) -> None:
    """Panning by hand and zooming by wheel over 1,000 outlines of 40 corners each."""
    part = plant.inspects(defects=(), seed=3)
    angles, rng = np.linspace(0, 2 * np.pi, 40, endpoint=False), np.random.default_rng(2)
    found = []
    for _ in range(1000):
        x, y = rng.uniform(15, 620), rng.uniform(15, 460)
        ring = [[round(x + 6 * np.cos(a)), round(y + 6 * np.sin(a))] for a in angles]
        sizes = {
            "area_px": 110,
            "length_px": 12.0,
            "width_px": 12.0,
            "area_mm2": None,
            "length_mm": None,
            "width_mm": None,
        }
        box = [int(x) - 6, int(y) - 6, 13, 13]
        found.append(
            {"class": "pit", "class_id": 3, "score": 0.9, "bbox": box, "counts": True, "outline": [ring], **sizes}
        )
    database = plant.database()
    with database.write() as session:
        exposure = session.get(Exposure, (part["id"], 0))
        exposure.defects = found
        session.add(exposure)
        session.commit()
    database.close()
    page.goto(f"{plant.address}/inspect/{part['id']}")
    drawn = "() => [...document.querySelectorAll('.overlay')].some(one => Number(one.dataset.drawn) >= 900)"
    page.wait_for_function(drawn)
    page.wait_for_load_state("networkidle")
    if page.locator(".view").count() > 1:
        page.keyboard.press("1")
    place = page.locator(".viewer").first.bounding_box()
    assert place
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x, y)
    for what in ("pan", "zoom"):
        page.evaluate(FRAMES)
        if what == "pan":
            page.mouse.down()
        until, step = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            step += 1
            if what == "pan":
                page.mouse.move(x + 120 * np.sin(step / 9), y + 90 * np.cos(step / 7))
            else:
                page.mouse.wheel(0, -100 if step // 12 % 2 == 0 else 100)
            page.wait_for_timeout(16)
        if what == "pan":
            page.mouse.up()
        page.evaluate("window.counting = false")
        at = np.array(page.evaluate("window.frames_at"))
        gaps = np.diff(at)
        print(
            f"1,000 defects, {what}: {1000 * len(gaps) / (at[-1] - at[0]):.0f} frames a second, "
            f"the longest without one {gaps.max():.0f} ms"
        )


if __name__ == "__main__":
    sys.exit(main())
