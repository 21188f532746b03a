"""How long a what-if slider takes from the hand's move to the new answer on screen, in a real Chromium.

    .venv/bin/python tests/bench/what_if_slider.py --steps 50 --moves 40

A server of its own with a freshly fitted line; the first setting's slider is moved from place to place, and after
each move the time is taken until the page shows the answer for just that place. Besides: the server's own share of
it, and how long the last place takes after a hand that moved without pausing. Costs some minutes, most of them the fit.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from process_opt.plant import bar_line
from process_opt.process import as_yaml
from process_opt.simulate import linear_line

WATCH = """
() => {
  window.moved = []; window.shown = [];
  const told = () => document.querySelector('[data-answered]')?.dataset.answered;
  new MutationObserver(() => window.shown.push([performance.now(), told()]))
    .observe(document.querySelector('.what-if'), { attributes: true, childList: true, subtree: true });
}
"""
MOVE = """
(value) => {
  const slider = document.querySelector('.what-if input[type=range]');
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(slider, String(value));
  window.moved.push([performance.now(), value]);
  slider.dispatchEvent(new Event('input', { bubbles: true }));
}
"""
ANSWERED = """
(value) => Object.values(JSON.parse(document.querySelector('[data-answered]').dataset.answered))
  .some((one) => Math.abs(one - value) <= 2e-3 * Math.abs(value))
"""
SINCE = "() => performance.now() - window.moved.at(-1)[0]"


def browser_plant() -> ModuleType:
    """The server and the browser of the tests."""
    path = Path(__file__).parents[1] / "browser/conftest.py"
    spec = importlib.util.spec_from_file_location("browser_plant", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["browser_plant"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50, help="50: the demonstration's plant; else a linear line")
    parser.add_argument("--parts", type=int, default=600, help="of the history")
    parser.add_argument("--moves", type=int, default=40)
    chosen = parser.parse_args()
    tests = browser_plant()
    if why := tests.missing():
        print(why, file=sys.stderr)
        return 1
    line = bar_line() if chosen.steps == 50 else linear_line(chosen.steps, 3, hardness=0.8)
    with tempfile.TemporaryDirectory() as folder:
        plant = tests.Plant(Path(folder), line)
        try:
            plant.start()
            for role in ("machine", "engineer"):
                plant.keys[role] = plant.qc("key", "create", "--role", role).splitlines()[-1]
            (plant.home / "bar.yaml").write_text(as_yaml(line.process), encoding="utf-8")
            line.history(chosen.parts, 1).to_csv(plant.home / "bar.csv", index=False)
            plant.qc("process", "fit", "bar.yaml", "bar.csv", "--out", "model")
            plant.qc("process", "register", "bar", "model")
            plant.asks_what_to_do("P-1", 21)
            with sync_playwright() as player:
                browser = player.chromium.launch(executable_path=str(tests.CHROMIUM), args=tests.FLAGS)
                tell(*measure(browser.new_page(), plant, chosen.moves))
                browser.close()
        finally:
            plant.stop()
    return 0


def measure(page: Page, plant: Any, moves: int) -> tuple[list[float], list[float], float]:
    """Milliseconds from move to answer, each; the server's own; and from the last of many quick moves."""
    server: list[float] = []

    def answered(response: Any) -> None:
        if response.url.endswith("/what-if") and response.ok:
            server.append(response.json()["elapsed_ms"])

    page.on("requestfinished", lambda request: answered(request.response()))
    name, password = (plant.home / "var/first-login.txt").read_text().split()[:2]
    page.goto(f"{plant.address}/engineer")
    page.get_by_label("Name").fill(name)
    page.locator("input[type=password]").fill(password)
    page.keyboard.press("Enter")
    page.get_by_text("Try settings yourself").click(timeout=60_000)
    page.locator("[data-answered]").wait_for(timeout=60_000)
    slider = page.get_by_role("slider").first
    low, high = (float(slider.get_attribute(end) or 0) for end in ("min", "max"))
    page.evaluate(WATCH)
    places = np.random.default_rng(1).uniform(low + 0.05 * (high - low), high, moves)
    took = []
    for place in places:
        value = float(f"{place:.4g}")
        page.evaluate(MOVE, value)
        page.wait_for_function(ANSWERED, arg=value, polling=5)
        # The time of the page's own change, not of this script's look at it.
        took.append(page.evaluate("() => window.shown.at(-1)[0] - window.moved.at(-1)[0]"))
    for place in np.linspace(low, high, 60):
        page.evaluate(MOVE, float(f"{place:.4g}"))
    page.wait_for_function(ANSWERED, arg=float(f"{high:.4g}"), polling=5)
    return took, server, float(page.evaluate(SINCE))


def tell(took: list[float], server: list[float], last: float) -> None:
    """Print what came of it."""
    p50, p95 = np.quantile(took, [0.5, 0.95])
    print(
        f"{len(took)} moves, move to answer on screen: median {p50:.0f} ms, p95 {p95:.0f} ms, most {max(took):.0f} ms"
    )
    print(f"of this the server's own work: median {np.median(server):.0f} ms, p95 {np.quantile(server, 0.95):.0f} ms")
    print(f"sixty moves without a pause: {len(server) - len(took)} answers, the last place after {last:.0f} ms")


if __name__ == "__main__":
    sys.exit(main())
