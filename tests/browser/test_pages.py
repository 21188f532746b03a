"""What people see and do, in a real Chromium against the real server."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def eventually(page, true, *, seconds: float = 20.0):
    """What `true` gives once it gives something."""
    for _ in range(int(seconds / 0.1)):
        if found := true():
            return found
        page.wait_for_timeout(100)
    raise AssertionError("it never came true")


def steady(page) -> None:
    """Wait until a part has been on screen long enough for a key to be meant for it."""
    page.locator(".part").wait_for()
    page.wait_for_timeout(700)


def test_a_part_appears_by_itself_and_the_operator_agrees_with_one_key(page, plant):
    page.get_by_text("Following live").wait_for()
    bad = plant.inspects_a_bad_part()
    page.get_by_role("heading", name=bad["part"], exact=True).wait_for()
    assert page.locator(".lamp").get_attribute("data-verdict") == "ng"
    steady(page)

    page.keyboard.press("a")

    page.get_by_text("Not good, said admin").wait_for()
    decision = plant.call("GET", f"/inspections/{bad['id']}")["decision"]
    assert (decision["verdict"], decision["by"], decision["reason"]) == ("ng", "admin", "")


INK = """
([place, frame, points]) => {
  const canvas = document.querySelectorAll('.overlay canvas')[place];
  const copy = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height });
  const on = copy.getContext('2d');
  on.drawImage(canvas, 0, 0);
  const drawn = canvas.getBoundingClientRect(), viewer = canvas.closest('.viewer').getBoundingClientRect();
  const scale = Math.min(viewer.width / frame[0], viewer.height / frame[1]);
  const left = viewer.left + (viewer.width - frame[0] * scale) / 2;
  const top = viewer.top + (viewer.height - frame[1] * scale) / 2;
  return points.map(([x, y]) => on.getImageData(
    Math.round((left + (x + 0.5) * scale - drawn.left) * canvas.width / drawn.width),
    Math.round((top + (y + 0.5) * scale - drawn.top) * canvas.height / drawn.height), 1, 1).data[3]);
}
"""
"""How opaque the outlines are at points of a frame that is seen as a whole, 0 to 255."""


def test_the_overlay_lies_on_the_defect_and_a_key_zooms_to_it(page, plant):
    bad = plant.inspects_a_bad_part()
    page.goto(f"{plant.address}/inspect/{bad['id']}")
    overlay = page.get_by_test_id("overlay")
    images = plant.call("GET", f"/inspections/{bad['id']}")["images"]
    eventually(page, lambda: overlay.count() == len(images))
    for place, image in enumerate(images):
        count = str(len(image["defects"]))
        eventually(page, lambda place=place, count=count: overlay.nth(place).get_attribute("data-drawn") == count)
        frame = [image["width"], image["height"]]
        rings = [ring[0] for one in image["defects"] for ring in one["outline"] if one["counts"]]
        assert all(alpha > 0 for alpha in page.evaluate(INK, [place, frame, rings])), (
            "every outline is where it was found"
        )
        boxes = [one["bbox"] for one in image["defects"]]
        corners = [(x, y) for x in range(20, frame[0], 60) for y in range(20, frame[1], 60)]
        far = [
            (x, y)
            for x, y in corners
            if all(x < left - 60 or x > left + w + 60 or y < top - 60 or y > top + h + 60 for left, top, w, h in boxes)
        ]
        assert far
        assert not any(page.evaluate(INK, [place, frame, far])), "and nothing where nothing was found"

    def scale() -> float:
        return float(overlay.first.get_attribute("data-scale") or 0)

    whole = scale()
    page.keyboard.press("n")
    eventually(page, lambda: scale() > 1.5 * whole)
    page.wait_for_timeout(600)  # the movement ends
    picture = page.locator(".viewer").bounding_box()
    chosen = page.locator(".defect[data-chosen=true] .line")
    defect = chosen.bounding_box()
    assert abs(defect["x"] + defect["width"] / 2 - picture["x"] - picture["width"] / 2) < picture["width"] / 4
    assert abs(defect["y"] + defect["height"] / 2 - picture["y"] - picture["height"] / 2) < picture["height"] / 4

    def fill() -> float:
        return float(chosen.evaluate("node => getComputedStyle(node).fillOpacity"))

    assert fill() == 0, "outlines only, until somebody asks"
    page.keyboard.down("f")
    assert overlay.first.get_attribute("data-filled") == "true"
    assert fill() > 0
    page.keyboard.up("f")
    assert overlay.first.get_attribute("data-filled") == "false"
    page.keyboard.press("0")
    place, widest = max(
        ((place, one) for place, image in enumerate(images) for one in image["defects"]),
        key=lambda one: one[1]["width_px"],
    )
    count = str(len(images[place]["defects"]))
    eventually(page, lambda: overlay.count() == len(images) and overlay.nth(place).get_attribute("data-drawn") == count)
    left, top, width, height = widest["bbox"]
    spot = [(x, y) for x in range(left, left + width) for y in range(top, top + height)]
    asked = [place, [images[place]["width"], images[place]["height"]], spot]
    lines = eventually(page, lambda: sum(page.evaluate(INK, asked)))
    page.keyboard.down("f")
    eventually(page, lambda: sum(page.evaluate(INK, asked)) > lines)
    page.keyboard.up("f")
    eventually(page, lambda: sum(page.evaluate(INK, asked)) == lines)


def test_overruling_takes_a_reason_and_becomes_a_label_task(page, plant):
    bad = plant.inspects_a_bad_part()
    page.goto(f"{plant.address}/inspect/{bad['id']}")
    steady(page)
    page.keyboard.press("o")
    page.get_by_label("Or in your own words").wait_for()
    page.keyboard.press("1")
    page.get_by_text("OK, said admin").wait_for()
    stored = plant.call("GET", f"/inspections/{bad['id']}")
    assert (stored["decision"]["verdict"], stored["decision"]["reason"]) == ("ok", "Dirt, wipes off")

    page.get_by_role("link", name="Labels").click()
    row = page.get_by_role("row").filter(has_text=bad["part"]).first
    row.get_by_text("An operator disagreed").wait_for()


def test_a_part_that_arrives_while_another_is_looked_at_does_not_take_its_place(page, plant):
    first = plant.inspects_a_bad_part()
    page.get_by_role("heading", name=first["part"], exact=True).wait_for()
    steady(page)
    page.keyboard.press("l")
    page.get_by_text("Paused on this part").wait_for()
    second = plant.inspects_a_bad_part()
    page.get_by_role("button", name=re.compile(second["part"])).wait_for()
    expect(page.get_by_role("heading", name=first["part"], exact=True)).to_be_visible()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("l")
    page.get_by_role("heading", name=second["part"], exact=True).wait_for()


def test_the_engineer_sees_a_recommendation_with_its_chance_money_and_cause(page, plant):
    advice = [plant.asks_what_to_do(f"P-{seed}", seed) for seed in range(1, 5)][-1]
    page.get_by_role("link", name="Save parts").click()
    detail = page.get_by_role("article", name="Recommendation for P-4")
    detail.wait_for()
    expect(detail.get_by_text(advice["reason"], exact=True)).to_be_visible()
    expect(detail.get_by_role("img", name=re.compile("finish within specification, between"))).to_be_visible()
    expect(detail.get_by_role("img", name=re.compile("^Causes"))).to_be_visible()
    expect(detail.locator(".bars").get_by_text("Scrap now")).to_be_visible()
    for name in advice["settings"]:
        expect(detail.get_by_role("rowheader", name=name, exact=True).first).to_be_visible()


def test_the_registry_shows_who_serves(page, plant):
    page.get_by_role("link", name="Models").click()
    champion = plant.call("GET", "/models")["items"][0]["id"]
    shown = page.locator(".model").filter(has_text=champion.removeprefix("sha256:")[:10])
    shown.get_by_text("champion", exact=True).wait_for()


def test_an_engineer_defines_a_class_settles_a_dispute_and_it_becomes_an_example(page, plant, no_barrier, tmp_path):
    bad = plant.inspects_a_bad_part()
    plant.call("POST", f"/inspections/{bad['id']}/decision", json={"verdict": "ok", "reason": "Dirt, wipes off"})
    plant.two_people_label(bad["id"], at_odds=True)
    page.goto(f"{plant.address}/labels/book")
    dent = page.get_by_role("region", name="dent")
    dent.get_by_role("button", name="Change: dent").click()
    page.get_by_label("What it is").fill("A hollow without a sharp edge")
    dent.get_by_role("group", name="Width, mm").get_by_label("from").fill("0,5")
    dent.get_by_role("button", name="Save").click()
    dent.get_by_text("Labelled: width from 0.5 mm.").wait_for()

    page.get_by_text("Disputes", exact=True).click()
    dispute = page.get_by_role("region", name=bad["part"]).first
    dispute.get_by_role("heading", name=re.compile("^Which drawing of .* is right\\?$")).wait_for()
    expect(dispute.get_by_role("listitem").filter(has_text="ann")).to_contain_text("1 dent")
    expect(dispute.get_by_role("listitem").filter(has_text="ben")).to_contain_text("nothing drawn")
    eventually(page, lambda: dispute.locator("img").first.evaluate("img => img.naturalWidth"))
    no_barrier(page)
    page.screenshot(path=tmp_path / "dispute.png", full_page=True)
    dispute.get_by_label("Why").fill("One feels it with the nail")
    dispute.get_by_role("button", name="ann is right").click()
    page.get_by_role("listitem").filter(has_text="“One feels it with the nail”").first.wait_for()

    page.get_by_text("Label book", exact=True).click()
    example = dent.get_by_role("listitem").filter(has_text=bad["part"])
    eventually(page, lambda: example.locator("img").evaluate("img => img.naturalWidth"))
    expect(example.get_by_text("One feels it with the nail")).to_be_visible()
    no_barrier(page)
    page.screenshot(path=tmp_path / "book.png", full_page=True)
    page.reload()
    dent.get_by_text("A hollow without a sharp edge").wait_for()


def test_a_server_that_goes_away_is_said_and_its_return_is_noticed(page, plant):
    page.locator(".connection[data-state=live]").wait_for()
    plant.stop()
    try:
        page.locator(".connection[data-state=away]").get_by_text("Server away, retrying").wait_for()
    finally:
        plant.start()
    page.locator(".connection[data-state=live]").wait_for()
    late = plant.inspects_a_bad_part()
    page.get_by_role("heading", name=late["part"], exact=True).wait_for()


def test_a_part_is_found_by_its_name_and_all_of_them_come_back(page, plant):
    wanted, other = plant.inspects(defects=(), seed=90), plant.inspects(defects=(), seed=91)
    page.goto(f"{plant.address}/inspect")
    page.get_by_role("button", name=other["part"]).wait_for()
    search = page.get_by_role("searchbox", name="Find a part by its name")
    search.fill(wanted["part"])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=wanted["part"], exact=True).wait_for()
    expect(page.locator(".row")).to_have_count(1)
    search.fill("NOBODY-1")
    page.keyboard.press("Enter")
    page.get_by_text("No part matches this choice.").wait_for()
    search.fill("")
    page.get_by_role("button", name=other["part"]).wait_for()


def test_a_part_is_found_from_any_page_by_key_and_a_defect_has_an_address_of_its_own(page, plant, no_barrier):
    bad = plant.inspects_a_bad_part()
    page.goto(f"{plant.address}/money")
    page.get_by_role("heading", name="What the inspection brought").wait_for()
    page.keyboard.press("/")
    page.get_by_role("searchbox", name="Name, or how it begins").wait_for()
    page.keyboard.type(bad["part"].lower())
    page.keyboard.press("Enter")
    parts = page.get_by_role("region", name="Parts")
    parts.get_by_role("link", name=bad["part"], exact=True).wait_for()
    no_barrier(page)
    parts.get_by_role("link", name=bad["part"], exact=True).press("Enter")
    page.get_by_role("heading", name=bad["part"], exact=True).wait_for()
    page.locator(".overlay[data-drawn]").first.wait_for(state="attached")
    page.keyboard.press("n")
    page.wait_for_url(re.compile(rf"/inspect/{bad['id']}\?defect=1$"))

    page.goto(page.url)  # as a colleague opens it
    page.locator(".defect[data-chosen=true]").wait_for()
    assert page.locator(".defect-row[aria-current=true]").inner_text().startswith("1")
    page.keyboard.press("0")
    page.wait_for_url(f"**/inspect/{bad['id']}")
    page.locator(".defect[data-chosen=true]").wait_for(state="detached")
    page.goto(f"{plant.address}/search?q=NOBODY-1")
    page.get_by_text("Nothing begins with “NOBODY-1”.").wait_for()


def test_the_months_figures_are_taken_away_on_paper(page, plant, tmp_path):
    pypdf = pytest.importorskip("pypdf")
    plant.inspects_a_bad_part()
    page.goto(f"{plant.address}/money")
    page.get_by_role("heading", name="What the inspection brought").wait_for()
    figures = page.locator(".money table.figures").first.get_by_role("rowheader")
    figures.nth(4).wait_for()  # the heading stands before the figures have come
    shown = figures.all_inner_texts()
    page.emulate_media(media="print")
    page.pdf(path=str(tmp_path / "month.pdf"), prefer_css_page_size=True)
    sheets = pypdf.PdfReader(tmp_path / "month.pdf").pages
    said = " ".join(" ".join(sheet.extract_text() for sheet in sheets).split())
    assert [round(float(side)) for side in sheets[0].mediabox[2:]] == [595, 842], "A4, upright"
    assert all(" ".join(name.split()) in said for name in shown)
    for unwanted in ("Log out", "Administration", "CSV"):
        assert unwanted not in said
    page.emulate_media(media="screen")


def test_outlines_are_drawn_by_the_page_where_their_worker_does_not_come(page, plant):
    bad = plant.inspects_a_bad_part()
    told = plant.call("GET", f"/inspections/{bad['id']}")
    place = next(n for n, image in enumerate(told["images"]) if image["defects"])
    defects = told["images"][place]["defects"]
    defects += (60 // len(defects)) * defects  # so many that the worker is asked
    refused = []
    page.route("**/outlines.worker*", lambda route: (refused.append(route.request.url), route.abort()))
    page.route(f"**/api/v1/inspections/{bad['id']}", lambda route: route.fulfill(json=told))
    page.goto(f"{plant.address}/inspect/{bad['id']}")
    overlay = page.get_by_test_id("overlay").nth(place)
    eventually(page, lambda: overlay.get_attribute("data-drawn") == str(len(defects)))
    assert refused, "the worker was asked for"
    frame = [told["images"][place]["width"], told["images"][place]["height"]]
    rings = [ring[0] for one in defects for ring in one["outline"] if one["counts"]]
    eventually(page, lambda: all(page.evaluate(INK, [place, frame, rings])))
