"""The views of a part side by side, in a real browser: what is one defect is outlined in every view that shows it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from segmentation.render import render_part

pytestmark = pytest.mark.browser


@pytest.fixture
def shown_twice(plant):
    """A part of which a defect lies at one place in at least two views, and the answer to what is known of it."""
    for seed in range(40, 48):
        made = render_part(seed, width=1024, height=768, defects=("dent", "pit"))  # smaller ones cannot be registered
        seen = plant.inspects_pictures([view.pixels for view in made.views], [view.name for view in made.views])
        part = plant.call("GET", f"/parts/{seen['part']}")
        several = [d for d in part["defects"] if len({s["view"] for s in d["sightings"] if s["by_place"]}) > 1]
        if several:
            return seen, part, several[0]
    raise AssertionError("of eight dented and pitted parts none shows a defect in two views")


def test_a_defect_that_is_pointed_at_is_outlined_in_every_view_that_shows_it(page, plant, shown_twice):
    seen, part, defect = shown_twice
    page.goto(f"{plant.address}/inspect/{seen['id']}")
    page.get_by_role("button", name="The part from all views").wait_for()
    page.keyboard.press("v")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text(part["reason"]).wait_for()
    dialog.locator("g.defect").first.wait_for()
    expect(dialog.locator("figure")).to_have_count(3)
    expect(dialog.locator("g.defect[data-chosen=true]")).to_have_count(0)

    button = dialog.locator(".joined-defects button").nth(defect["number"] - 1)
    button.hover()
    outlined = dialog.locator("g.defect[data-chosen=true]")
    expect(outlined).to_have_count(len(defect["sightings"]))
    shows = {s["view"] for s in defect["sightings"]}
    for n, view in enumerate(part["views"]):
        told = dialog.locator("figure").nth(n).locator("figcaption").inner_text()
        assert view["view"] in told
        assert ("shows it" in told) == (n in shows)
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
