"""Every page by the keyboard alone: whatever can be used is reached by Tab, is seen then, and lets one go again.

And by axe, in light and in dark.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

SOURCE = Path(__file__).parents[2] / "frontend/src"

MARK = """
() => {
  const usable = 'a[href], button, input, select, textarea, summary, [tabindex]';
  const one = (node) => node.type !== 'radio' || node.checked
    || !document.querySelector(`input[name="${CSS.escape(node.name)}"]:checked`);
  const found = [...document.querySelectorAll(usable)].filter((node) =>
    !node.disabled && node.tabIndex >= 0 && one(node) && node.checkVisibility({ visibilityProperty: true }));
  found.forEach((node, place) => (node.walked = place));
  document.activeElement.blur();
  getSelection().removeAllRanges();
  return found.map((node) => node.outerHTML.slice(0, 120));
}
"""
"""Marks what Tab has to reach; of a group of radio buttons the chosen one."""

FOCUSED = """
() => {
  const node = document.activeElement;
  if (!node || node === document.body) return null;
  const seen = [node, ...(node.labels ?? [])];  // a radio button is drawn by its label
  const lies = seen.some((one) => {
    const { left, top, width, height } = one.getBoundingClientRect();
    const [x, y] = [left + width / 2, top + height / 2];
    if (width < 2 || height < 2 || x < 0 || y < 0 || x > innerWidth || y > innerHeight) return false;
    const there = document.elementFromPoint(x, y);
    return there !== null && (one.contains(there) || there.contains(one));
  });
  const lined = seen.some((one) => { const style = getComputedStyle(one);
    return style.outlineStyle !== 'none' || style.boxShadow !== 'none'; });
  return { place: node.walked ?? null, lies, lined, html: node.outerHTML.slice(0, 120) };
}
"""


STILL_THERE = """
() => [...document.querySelectorAll('*')].map((node) => node.walked).filter((place) => place !== undefined)
"""
"""What was marked and was not drawn anew meanwhile."""

SETTLED = """
() => {
  const told = document.body.innerText.length + 1000 * document.querySelectorAll('a, button, input').length;
  const same = told === window.toldBefore;
  window.toldBefore = told;
  return same;
}
"""


def opens(page, address: str) -> list[str]:
    """A page once it has stopped growing; what can be used on it."""
    page.goto(address)
    page.locator("main, .wall").first.wait_for()
    page.get_by_role("status").filter(has_text="Loading").first.wait_for(state="detached")
    for _ in range(2):
        page.wait_for_function(SETTLED, polling=200)
    return page.evaluate(MARK)


def test_every_page_of_the_router_is_in_the_list(addresses):
    app = (SOURCE / "app/App.tsx").read_text(encoding="utf-8")
    routes = [
        *re.findall(r'<Route path="([^"]+)"', app),
        *(f"/{page}" for page in re.findall(r'page === "(\w+)"', app)),
    ]
    routes.remove("/")  # leads to another
    assert len(routes) > 15
    known = [address.partition("?")[0] for address in addresses]
    for route in routes:
        pattern = re.sub(r"/:\w+", "/[^/]+", re.sub(r"/:\w+\?", "(/[^/]+)?", route))
        assert any(re.fullmatch(pattern, address) for address in known), f"{route} is walked by nobody"
    for page, script in (("admin", "admin/AdminPage.tsx"), ("labels", "label/LabelPage.tsx")):
        found = re.search(r"const TABS = \[(.+?)\]", (SOURCE / "features" / script).read_text(encoding="utf-8"))
        assert found
        tabs = [f"/{page}/{tab}" for tab in re.findall(r'"(\w+)"', found[1]) if tab != "todo"]
        assert set(tabs) <= set(known)


def both_modes(page, no_barrier) -> list[str]:
    """What axe says of a page in light and in dark, where nothing is cut off sideways either."""
    wrong = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.locator(f"html[data-mantine-color-scheme={scheme}]").wait_for()
        try:
            no_barrier(page)
        except AssertionError as problem:
            wrong.append(f"{scheme}: {problem}")
        if not page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
            wrong.append(f"{scheme}: something is cut off sideways")
    return wrong


def test_the_page_before_the_log_in_keeps_nobody_out(browser, plant, no_barrier):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(plant.address)
    page.get_by_label("Name").wait_for()
    assert both_modes(page, no_barrier) == []
    context.close()


def test_tab_reaches_all_of_every_page_and_shows_where_it_is_and_axe_finds_nothing(page, plant, addresses, no_barrier):
    plant.inspects_a_bad_part()
    plant.asks_what_to_do("K-1", 5, batch="by-key")
    wrong = []
    for path in addresses:
        usable = opens(page, f"{plant.address}{path}")
        reached: dict[int | None, list[dict]] = {}
        for _ in range(len(usable) + 20):  # a date has a place for each of its figures, and lists may grow meanwhile
            page.keyboard.press("Tab")
            here = page.evaluate(FOCUSED)
            if here is None and 0 in reached:
                break  # once around; a page that puts the focus into a field begins in its middle
            if here is None:
                continue
            reached.setdefault(here["place"], []).append(here)
        for stops in reached.values():
            if not all(stop["lies"] for stop in stops):
                wrong.append((path, "is not seen while it has the focus", stops[0]["html"]))
            elif not any(stop["lined"] for stop in stops):  # within a date the browser marks the figure or the calendar
                wrong.append((path, "does not show that it has the focus", stops[0]["html"]))
        kept = page.evaluate(STILL_THERE)
        wrong += [
            (path, "is not reached", html)
            for place, html in enumerate(usable)
            if place in kept and place not in reached
        ]
        wrong += [(path, "axe", problem) for problem in both_modes(page, no_barrier)]
    assert wrong == []


def test_what_has_the_focus_stays_in_sight_when_an_alarm_comes_above_it_unless_one_scrolled_away(page, plant, keys):
    def raised(kind: str) -> str:
        return plant.raises_an_alarm([], [], kind=kind, figures={"product": "default"})

    def closes(alarm: str) -> None:
        plant.call("POST", f"/alarms/{alarm}/close", json={"reason": "known"})

    def sees(text: str) -> None:
        page.wait_for_function(f"() => {text}")

    plant.inspects(defects=(), seed=44)
    page.goto(f"{plant.address}/admin/products")
    page.locator(".connection[data-state=live]").wait_for()
    save = page.get_by_role("button", name="Save")
    keys.reaches(save)
    here = "document.activeElement.getBoundingClientRect()"
    save.evaluate("node => node.scrollIntoView({ block: 'end' })")
    sees(f"{here}.bottom < innerHeight + 1 && {here}.bottom > innerHeight - 20")

    stays, told = raised("rate"), raised("score")
    closes(told)  # the page hears of an alarm that another process raised when another one is closed
    bar = page.get_by_role("region", name="Alarms")
    bar.wait_for()
    sees(f"{here}.bottom < innerHeight + 1")

    page.locator("main").hover()
    page.mouse.wheel(0, -10_000)
    sees(f"{here}.top > innerHeight")
    closes(stays)
    bar.wait_for(state="detached")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate(f"() => {here}.top > innerHeight"), "the page went back to the button by itself"
