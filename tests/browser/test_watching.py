"""What people see when a camera fails or something is no longer as usual."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_a_camera_fault_is_said_in_place_of_a_verdict_and_asks_for_no_agreement(page, plant, no_barrier):
    page.get_by_text("Following live").wait_for()
    dark = plant.inspects_in_the_dark()
    page.get_by_role("heading", name=dark["part"], exact=True).wait_for()

    fault = page.get_by_role("alert", name="Camera fault")
    fault.get_by_text("the picture is black").wait_for()
    expect(page.locator(".lamp"), "there is no verdict").to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("^(Agree|Overrule|It is)"))).to_have_count(0)
    expect(page.get_by_text("None found on this part"), "nobody looked").to_have_count(0)
    expect(page.locator(".row[aria-current=true]").get_by_text("Camera", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="This is how it looks now"), "nobody wants black pictures").to_have_count(0)
    page.wait_for_timeout(700)
    page.keyboard.press("a")
    page.wait_for_timeout(300)
    assert plant.call("GET", f"/inspections/{dark['id']}")["decision"] is None
    no_barrier(page)


def test_an_alarm_stands_on_every_page_until_it_is_closed_with_a_reason(page, plant, no_barrier):
    seen = [plant.inspects(defects=(), seed=seed) for seed in (40, 41)]
    view = seen[0]["images"][0]["view"]
    alarm = plant.raises_an_alarm([seen[0]["id"]], [seen[1]["id"]], kind="camera", figures={"view": view})
    page.goto(f"{plant.address}/models")
    bar = page.get_by_role("region", name="Alarms")
    bar.get_by_text("camera whole of end-of-line is darker than usual").first.wait_for()
    assert re.search(r"\(12 min\.? ago\)", bar.inner_text())

    bar.get_by_role("button", name=re.compile("^Before and after")).click()
    dialog = page.get_by_role("dialog")
    before, after = (dialog.get_by_role("region", name=name) for name in ("Before it began", "Since then"))
    before.get_by_role("link", name=re.compile(seen[0]["part"])).wait_for()
    after.get_by_role("link", name=re.compile(seen[1]["part"])).wait_for()
    loaded = "nodes => nodes.length === 2 && nodes.every(n => n.complete && n.naturalWidth > 0)"
    page.wait_for_function(f"() => ({loaded})([...document.querySelectorAll('.strip img')])")
    expect(dialog.get_by_role("button", name="Close: seen to"), "without a reason nothing is closed").to_be_disabled()
    no_barrier(page)

    dialog.get_by_label("What was found, and what was done").fill("Lamp replaced")
    page.keyboard.press("Enter")
    bar.wait_for(state="detached")
    stored = next(one for one in plant.call("GET", "/alarms")["items"] if one["id"] == alarm)
    assert (stored["closed_by"], stored["reason"]) == ("admin", "Lamp replaced")


def test_a_person_says_that_this_is_how_it_looks_now_and_other_pages_hear_of_it(page, plant):
    seen = [plant.inspects(defects=(), seed=seed) for seed in (42, 43)]
    for view in (seen[0]["images"][0]["view"], "#0"):  # the server's name for a view that was sent without one
        plant.raises_an_alarm([seen[0]["id"]], [seen[1]["id"]], kind="camera", figures={"view": view})
        page.goto(f"{plant.address}/labels")
        page.get_by_role("region", name="Alarms").get_by_role("button").first.click()
        page.get_by_role("button", name="This is how it looks now").click()
        page.get_by_role("region", name="Alarms").wait_for(state="detached")

    late = plant.raises_an_alarm([], [seen[1]["id"]], kind="rate", figures={"product": "default"})
    page.goto(f"{plant.address}/inspect")
    bar = page.get_by_role("region", name="Alarms")
    bar.wait_for()
    page.locator(".connection[data-state=live]").wait_for()
    plant.call("POST", f"/alarms/{late}/close", json={"reason": "new supplier"})
    bar.wait_for(state="detached")
