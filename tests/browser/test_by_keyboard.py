"""Every page by the keyboard alone: whatever can be used is reached by Tab, is seen then, and lets one go again."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

PAGES = (
    *("/inspect", "/calls", "/engineer", "/engineer/process/bar", "/engineer/batches", "/engineer/recipe"),
    *("/engineer/savings", "/records", "/labels", "/labels/disputes", "/labels/book", "/labels/quality", "/money"),
    *("/models", "/start", "/wall"),
    *("/admin/products", "/admin/stations", "/admin/people", "/admin/settings", "/admin/connections"),
    *("/admin/trail", "/admin/backup"),
)

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


def test_tab_reaches_all_of_every_page_and_shows_where_it_is(page, plant):
    plant.inspects_a_bad_part()
    plant.asks_what_to_do("K-1", 5)
    wrong = []
    for path in PAGES:
        usable = opens(page, f"{plant.address}{path}")
        reached: dict[int | None, list[dict]] = {}
        for _ in range(len(usable) + 20):  # a date has a place for each of its figures, and lists may grow meanwhile
            page.keyboard.press("Tab")
            here = page.evaluate(FOCUSED)
            if here is None:
                break  # once around
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
    assert wrong == []
