"""What the pages show of models that look on, and of what labels are worth."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta

import cv2
import pytest
from playwright.sync_api import expect

from labeling.manifest import write_manifest
from qc.records import new_id
from segmentation.render import render_dataset

pytestmark = pytest.mark.browser


def test_a_model_looks_on_and_the_parts_it_disagrees_about_are_shown_as_pictures(page, plant, no_barrier):
    blunt = plant.knows_a_model_that_overlooks_more()
    page.goto(f"{plant.address}/models")
    looking = page.get_by_role("region", name="Looking on beside the champion")
    looking.get_by_text("No model looks on.").wait_for()
    serving = page.locator(".model").filter(has_text="champion")
    serving.get_by_text("Computed by torch").wait_for()

    card = page.locator(".model").filter(has_text=blunt.removeprefix("sha256:")[:10])
    card.get_by_role("button", name="Let it look on").click()
    card.get_by_text("challenger", exact=True).wait_for()
    looking.get_by_text("Not proved yet", exact=True).wait_for()
    expect(card.get_by_role("button", name="Let it look on")).to_have_count(0)
    expect(serving.get_by_role("button", name="Let it look on")).to_have_count(0)

    plant.waits_until_looks_on(blunt)
    part = next(bad for bad in (plant.inspects_a_bad_part() for _ in range(3)) if plant.is_disputed(bad))
    picture = looking.get_by_role("link", name=re.compile(f"{part['part']}.*nobody has decided"))
    picture.wait_for()
    assert re.search("Champion\\s+Not good", picture.inner_text())
    assert re.search("Looking on\\s+(OK|Review)", picture.inner_text())
    page.wait_for_function("() => (i => i && i.complete && i.naturalWidth > 0)(document.querySelector('.pairs img'))")
    no_barrier(page)

    picture.click()
    page.get_by_role("heading", name=part["part"], exact=True).wait_for()
    page.wait_for_timeout(700)
    page.keyboard.press("a")
    page.get_by_text("Not good, said admin").wait_for()
    page.go_back()
    looking.get_by_role("img", name=re.compile("It is right more often: evidence 1.\\d of 20 needed")).wait_for()
    assert plant.call("GET", "/models/shadow")["answered"] == 1

    places = page.get_by_role("region", name="Products and stations with a model of their own")
    places.get_by_label("Model").select_option(blunt)
    places.get_by_label("Station").select_option("end-of-line")
    places.get_by_role("button", name="Let it look on there").click()
    looking.get_by_text("Looking on: end-of-line").click()
    expect(looking.get_by_text("Not proved yet", exact=True)).to_have_count(2)
    looking.get_by_text("production parts of end-of-line").wait_for()
    no_barrier(page)
    places.get_by_role("button", name="Roll back: end-of-line").click()
    expect(looking.get_by_text("Looking on: end-of-line")).to_have_count(0)


def test_a_label_task_shows_the_very_place_to_label_and_quality_what_two_people_made_of_it(page, plant, no_barrier):
    bad = plant.inspects_a_bad_part()
    plant.call("POST", f"/inspections/{bad['id']}/decision", json={"verdict": "ok", "reason": "dirt"})
    page.goto(f"{plant.address}/labels")
    row = page.get_by_role("row").filter(has_text=bad["part"]).first
    row.get_by_text("A person saw something else than the model").wait_for()
    row.get_by_role("img", name=f"{bad['part']}, what to label").scroll_into_view_if_needed()
    loaded = "nodes => nodes.length > 0 && [...nodes].every(n => n.complete && n.naturalWidth > 0)"
    page.wait_for_function(f"() => ({loaded})(document.querySelector('.crop').querySelectorAll('img'))")
    place = row.locator(".crop").bounding_box()
    assert place
    assert max(place["width"], place["height"]) == pytest.approx(208, abs=2), (
        "a tall crop is no taller than a wide one is wide"
    )
    task = plant.call("GET", "/label-tasks")["items"][0]
    assert (task["width"], task["height"], task["golden"]) == (640, 480, False)
    no_barrier(page)

    plant.two_people_label(bad["id"])
    page.get_by_text("Quality", exact=True).click()
    dent = page.get_by_role("region", name="dent")
    told = plant.call("GET", "/labels/quality")["classes"]["dent"]
    assert 0.5 < told["defect_f1"]["value"] <= 1, "people of other tests may have been at odds"
    for name, figure in (("Same defects (F1)", "defect_f1"), ("Same pixels (IoU)", "mask_iou")):
        dent.get_by_role("row", name=re.compile(re.escape(f"{name} {told[figure]['value']:.2f}"))).wait_for()
    page.get_by_text("No golden task was labelled by anybody else yet.").wait_for()
    lately = page.get_by_role("region", name="Who labelled how much in the last 30 days")
    expect(lately.get_by_role("row", name=re.compile("^ann .* 0$"))).to_be_visible()
    lately.get_by_role("row", name=re.compile(r"^ben ")).get_by_text(re.compile(r"^\d+ on \d+ drawings?$")).click()
    expect(lately.get_by_text("leave marks of a few pixels at the border of a crop")).to_be_visible()

    page.get_by_text("labelled", exact=True).click()
    drawn = page.get_by_role("row").filter(has_text=bad["part"]).first
    expect(drawn.get_by_text("1 dent")).to_have_count(0)  # these came before it was counted
    expect(drawn).to_contain_text("ben")
    page.get_by_role("button", name="Make golden").first.click()
    page.get_by_text("Golden task", exact=True).first.wait_for()
    page.get_by_text("Quality", exact=True).click()
    page.get_by_role("row", name=re.compile("^(ann|ben) .*too few to tell")).wait_for()
    golden = page.get_by_role("region", name="Golden tasks")
    golden.get_by_role("row", name=re.compile(r"(ann|ben) \d\.\d\d")).wait_for()
    page.get_by_role("img", name=re.compile(r"^(ann|ben) on golden tasks: .*\d\.\d\d$")).wait_for()
    no_barrier(page)


def test_an_engineer_assesses_the_risk_of_rework_and_permits_it(page, plant, no_barrier):
    step = plant.proposes_rework("P-rework", 9)
    page.goto(f"{plant.address}/engineer")
    page.get_by_role("button", name=re.compile("^P-rework ")).click()
    asked = page.get_by_role("region", name="Permission for the rework")
    asked.get_by_text(f"may not go through {step} before").wait_for()
    expect(asked.get_by_role("button", name="Approve the rework")).to_be_disabled()
    no_barrier(page)
    asked.get_by_label("What may go wrong").fill("It may warp; it is measured again at the last step")
    asked.get_by_role("button", name="Approve the rework").click()
    asked.get_by_role("listitem").filter(has_text="It may warp").wait_for()
    expect(asked.get_by_text("Approved.", exact=True)).to_be_visible()
    assert plant.call("GET", "/processes/bar/parts/P-rework/plan")["run"] == [step]


def test_versions_of_the_data_set_are_listed_and_two_of_them_compared(page, plant, no_barrier):
    frozen = datetime(2026, 3, 1, 8, tzinfo=UTC)
    old, new = (plant.home / "var/retraining" / new_id() / "dataset" for _ in range(2))
    render_dataset(old, 2, seed=4, width=160, height=120)
    shutil.copytree(old, new)
    changed, *_ = sorted((new / "masks").glob("*.png"))
    mask = cv2.imread(str(changed), cv2.IMREAD_UNCHANGED)
    mask[5:15, 5:15] = 2
    cv2.imwrite(str(changed), mask)
    drawn = {"by": "ann", "at": frozen.isoformat()}
    write_manifest(old, now=frozen, frames=[{"file": changed.name, "labels": [drawn]}])
    frames = [{"file": changed.name, "labels": [drawn, {**drawn, "by": "ben"}]}]
    write_manifest(new, now=frozen + timedelta(days=7), frames=frames)
    page.goto(f"{plant.address}/labels")
    page.get_by_text("Data sets", exact=True).click()
    table = page.get_by_role("table").first
    table.get_by_role("row", name=re.compile("(8 Mar|Mar 8).* 6 of 6 labelled .* 2 drawings, 2 people")).wait_for()
    table.get_by_role("row", name=re.compile("(1 Mar|Mar 1),.* 1 drawing, 1 person")).wait_for()
    changes = page.get_by_role("region", name="What changed")
    changes.get_by_text("1 image labelled differently").wait_for()
    changes.get_by_role("row", name=re.compile(f"^{changed.stem} .* 100 px$")).wait_for()
    no_barrier(page)
    shutil.rmtree(new / "images")  # as tidying away does
    page.reload()
    page.get_by_text("which masks changed is known, not what was drawn").wait_for()
    changes.get_by_label("From").select_option(index=0)
    changes.get_by_text("The two versions are the same.").wait_for()
