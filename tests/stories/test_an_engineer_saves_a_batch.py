"""A batch leaves its way; an engineer sees one decision for all of it, permits the rework, and what it brought is told.

One story, told in order, in a real browser against a real server with a fitted process.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

BATCH = "heat 4711"
SEEDS = (70, *range(72, 82), 361)
"""The last one lies so far out that nothing saves it."""


@pytest.fixture(scope="module")
def batch(plant) -> list[dict]:
    """Twelve parts half way through, of which something was asked; two of them are to be reworked."""
    told = [plant.asks_what_to_do(f"H-{seed}", seed, BATCH) for seed in SEEDS]
    for seed in (90, 91):
        plant.proposes_rework(f"H-{seed}", seed, BATCH)
    return told


def opens(page, plant) -> None:
    page.goto(f"{plant.address}/engineer")
    page.get_by_role("navigation", name="Saving parts").get_by_role("link", name="Batches").click()
    page.get_by_role("navigation", name="Batches, newest first").get_by_role("link", name=re.compile(BATCH)).click()
    page.get_by_role("heading", name=f"Batch {BATCH}").wait_for()


def test_the_engineer_sees_one_decision_with_its_money_its_chance_and_the_parts_that_differ(
    page, plant, batch, picture, no_barrier
):
    told = plant.call("GET", "/processes/bar/batch", params={"batch": BATCH})["decision"]
    opens(page, plant)
    apart = [part for part in told["parts"] if part["apart"]]
    assert told["decision"] == "scrap"
    assert len(apart) > 7, "most are better treated apart, so nobody may read that all are scrapped"
    page.get_by_text(
        f"{len(apart)} of 14 are better treated apart. If all must be treated alike: Scrap all."
    ).wait_for()
    plans = page.get_by_role("region", name="Money and probability of each plan")
    expect(plans.get_by_role("row")).to_have_count(1 + len(told["plans"]))
    plans.get_by_role("row", name=re.compile("Each as advised by itself .* of 14")).wait_for()
    differ = page.get_by_role("region", name="Parts that differ")
    expect(differ.get_by_role("link")).to_have_count(len(apart))
    picture(page, "batch")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        no_barrier(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_one_word_permits_the_rework_of_all_by_keyboard_alone(page, plant, batch):
    opens(page, plant)
    page.get_by_text("The rework of 2 parts waits for permission.").wait_for()
    page.get_by_label("What may go wrong").focus()
    page.keyboard.type("A second pass may thin the wall; measured again")
    page.keyboard.press("Enter")
    page.get_by_text("Said of 2 parts, and kept in the audit trail.").wait_for()
    for part in ("H-90", "H-91"):
        assert plant.call("GET", f"/processes/bar/parts/{part}/plan", "machine")["permission"]["state"] == "approved"


def test_a_part_that_differs_is_one_click_away_with_its_way_and_leads_back_to_its_batch(page, plant, batch, picture):
    opens(page, plant)
    page.get_by_text("All parts that wait").click()
    page.get_by_role("table").last.get_by_role("link", name="H-70", exact=True).click()
    page.get_by_role("article", name="Recommendation for H-70").wait_for()
    way = page.get_by_role("region", name="The part's way")
    way.locator(".way-ahead[d^=M]").first.wait_for(state="attached")
    way.scroll_into_view_if_needed()
    picture(page, "part-way")
    page.get_by_role("link", name=f"batch {BATCH}").click()
    page.get_by_role("heading", name=f"Batch {BATCH}").wait_for()


def test_the_batch_is_taken_away_as_a_table_and_on_paper(page, plant, batch, tmp_path):
    pypdf = pytest.importorskip("pypdf")
    opens(page, plant)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert len(download.value.path().read_text(encoding="utf-8").splitlines()) == 1 + 14
    page.get_by_role("region", name="Parts that differ").wait_for()
    page.emulate_media(media="print")
    page.pdf(path=str(tmp_path / "batch.pdf"), prefer_css_page_size=True)
    sheets = pypdf.PdfReader(tmp_path / "batch.pdf").pages
    said = " ".join(sheet.extract_text() for sheet in sheets)
    assert [round(float(side)) for side in sheets[0].mediabox[2:]] == [595, 842], "A4, upright"
    for wanted in (f"Batch {BATCH}", "Each as advised by itself", "All parts that wait", "H-70", "H-81"):
        assert wanted in said
    for unwanted in ("Log out", "Administration", "Approve it for all"):
        assert unwanted not in said
    page.emulate_media(media="screen")


def test_the_decision_is_taken_as_it_was_seen_with_a_reason_in_any_script(page, plant, batch, picture, no_barrier):
    told = plant.call("GET", "/processes/bar/batch", params={"batch": BATCH})["decision"]
    alike = [part["part"] for part in told["parts"] if not part["apart"]]
    opens(page, plant)
    panel = page.get_by_role("region", name="Decide for the batch")
    panel.get_by_text(re.compile(f"^Scrap all: {len(alike)} parts? (is|are) advised so from now on")).wait_for()
    leave = panel.get_by_role("checkbox", name=re.compile("better treated apart to (their|its) own advice"))
    expect(leave).to_be_checked()
    leave.uncheck()
    panel.get_by_text("Scrap all: 14 parts are advised so").wait_for()
    leave.check()
    take, why = panel.get_by_role("button", name="Take the decision"), panel.get_by_label("Why, in a few words")
    expect(take, "without a reason nothing is decided").to_be_disabled()
    why.fill("One furnace charge, the same heat for all")
    take.scroll_into_view_if_needed()
    picture(page, "batch-decision")
    no_barrier(page)
    why.fill("好")
    take.click()
    panel.get_by_role("alert").get_by_text("say in a few words why the batch").wait_for()
    why.fill("同一炉料，全部同样热处理")
    why.press("Enter")
    panel.get_by_text(re.compile(f"^{len(alike)} parts? (is|are) advised so now")).wait_for()
    taken = page.get_by_role("region", name="Decisions taken")
    taken.get_by_text("同一炉料，全部同样热处理").wait_for()
    taken.get_by_text(re.compile(f"^{len(alike)} parts? before")).wait_for()
    for part in alike:
        assert plant.call("GET", f"/processes/bar/parts/{part}/plan", "machine")["decision"] == "scrap"


def test_what_came_of_the_parts_is_told_as_savings(page, plant, batch, picture, no_barrier):
    for told, seed in zip(batch, SEEDS, strict=True):
        came = plant.what_comes_of(told, seed) | {"batch": BATCH}
        plant.call("POST", "/processes/bar/outcomes", "machine", json=came)
    opens(page, plant)
    ended = page.get_by_role("region", name="Came of it")
    ended.get_by_text("What following the advice brought on this batch").wait_for()
    page.get_by_role("navigation", name="Saving parts").get_by_role("link", name="Losses and savings").click()
    brought = page.get_by_role("region", name="What the advice brought")
    brought.get_by_text("Saved against scrapping").wait_for()
    poor = page.get_by_role("region", name="Cost of poor quality a part")
    poor.get_by_role("row", name=re.compile("Advice followed")).wait_for()
    page.get_by_role("region", name="Every reading with a limit").get_by_role(
        "row", name=re.compile("^Rolled")
    ).wait_for()
    picture(page, "savings")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        no_barrier(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_better_settings_for_parts_to_come_are_proposed_with_how_sure_that_is(page, plant, batch, picture, no_barrier):
    page.goto(f"{plant.address}/engineer/recipe/bar")
    page.get_by_text("Nobody has looked yet").wait_for()
    page.get_by_role("button", name="Look for better settings").focus()
    page.keyboard.press("Enter")
    page.get_by_role("progressbar", name="Looking for better settings").wait_for()
    proposal = page.get_by_role("region", name=re.compile("^(Proposal 1|No trial is worth its cost)$"))
    proposal.wait_for(timeout=240_000)
    picture(page, "recipe")
    if proposal.get_attribute("aria-label") == "Proposal 1":
        proposal.get_by_role("button", name="Run this trial").click()
        trials = page.get_by_role("region", name="Trials")
        trials.get_by_text("0 parts told").wait_for()
        proposal.get_by_role("button", name="This trial is open").wait_for()
        trials.get_by_role("button", name="Call it off").click()
        trials.get_by_text("No trial was opened yet.").wait_for()
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        no_barrier(page)
