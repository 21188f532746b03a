"""Every task by the keyboard alone: from the page's opening to what is stored, no pointer is moved."""

from __future__ import annotations

import re

import pytest
import yaml

pytestmark = pytest.mark.browser


def eventually(page, true):
    """What `true` gives once it gives something."""
    for _ in range(600):
        if found := true():
            return found
        page.wait_for_timeout(100)
    raise AssertionError("it never came true")


def test_an_operator_zooms_compares_agrees_overrules_calls_and_takes_back(page, plant, keys):
    part = plant.inspects_a_bad_part()
    page.goto(f"{plant.address}/inspect/{part['id']}")
    page.locator(".overlay[data-drawn]").first.wait_for(state="attached")
    page.wait_for_timeout(600)  # a key sooner than 0.4 s after a part appeared is not taken
    page.keyboard.press("n")
    page.locator(".defect[data-chosen=true]").wait_for()
    page.keyboard.down("m")
    page.locator(".loupe").wait_for()
    page.keyboard.up("m")
    page.locator(".loupe").wait_for(state="detached")
    page.keyboard.press("d")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.keyboard.press("0")
    page.locator(".defect[data-chosen=true]").wait_for(state="detached")

    page.keyboard.press("a")
    page.get_by_text("Not good, said admin").wait_for()
    page.keyboard.press("u")
    page.get_by_role("button", name="Agree").wait_for()
    page.keyboard.press("o")
    page.get_by_label("Or in your own words").wait_for()
    page.keyboard.type("only a hair")
    page.keyboard.press("Enter")
    page.get_by_text("OK, said admin").wait_for()
    assert plant.call("GET", f"/inspections/{part['id']}")["decision"]["reason"] == "only a hair"
    keys.presses(page.get_by_role("button", name="Take back"))
    page.get_by_role("button", name="Agree").wait_for()
    page.locator("body").evaluate("() => document.activeElement.blur()")
    page.keyboard.press("c")
    page.locator(".call-note").wait_for()
    page.keyboard.press("u")
    page.locator(".call-note").wait_for(state="detached")
    stored = plant.call("GET", f"/inspections/{part['id']}")
    assert (stored["decision"], stored["call"]) == (None, None)


def test_an_engineer_permits_rework_tries_a_setting_and_tells_what_came_of_it(page, plant, keys):
    plant.proposes_rework("K-rework", 9)
    page.goto(f"{plant.address}/engineer")
    keys.presses(page.get_by_role("button", name=re.compile("^K-rework ")))
    asked = page.get_by_role("region", name="Permission for the rework")
    keys.writes(asked.get_by_label("What may go wrong"), "It may warp; it is measured again")
    page.keyboard.press("Enter")
    asked.get_by_role("listitem").filter(has_text="It may warp").wait_for()

    keys.presses(page.get_by_text("Try settings yourself"))
    keys.presses(page.get_by_role("button", name="All nominal"))
    page.locator("[data-answered='{}']").wait_for()
    slider = page.get_by_role("slider").first
    nominal = slider.input_value()
    keys.presses(slider, "ArrowRight")
    assert slider.input_value() != nominal, "one press leaves nominal"
    page.locator("[data-answered]:not([data-answered='{}'])").wait_for()
    page.keyboard.press("ArrowLeft")
    page.locator("[data-answered='{}']").wait_for()

    form = page.get_by_role("form", name="Tell what came of it")
    keys.presses(page.locator("summary").filter(has_text="Tell what came of it"))
    deciding = plant.process.process.conformance[0]
    keys.writes(form.get_by_label(re.compile(f"^{re.escape(deciding)}")), "123.5")
    keys.presses(form.get_by_role("button", name="Store it"))
    page.locator(".fate").wait_for()
    told = plant.call("GET", "/processes/bar/recommendations")["items"]
    outcome = next(one["outcome"] for one in told if one["part"] == "K-rework")
    assert (outcome["disposition"], outcome["observed"][deciding]) == ("finished", 123.5)
    assert outcome["assignment"] == "recommendation"


def test_an_engineer_decides_a_batch(page, plant, keys):
    for seed in (14, 15):
        plant.asks_what_to_do(f"K-b{seed}", seed, batch="all by key")
    page.goto(f"{plant.address}/engineer/batches")
    keys.presses(page.get_by_role("link", name=re.compile("^all by key")))
    word = page.get_by_role("region", name="Decide for the batch")
    keys.writes(word.get_by_label("Why, in a few words"), "The same heat for all")
    if word.get_by_role("checkbox").count():
        keys.presses(word.get_by_role("checkbox"), "Space")  # none is left to its own advice
        keys.reaches(word.get_by_label("Why, in a few words"))
    page.keyboard.press("Enter")
    word.get_by_text("2 parts are advised so now").wait_for()


def test_a_labeller_settles_a_dispute(page, plant, keys):
    bad = plant.inspects_a_bad_part()
    plant.call("POST", f"/inspections/{bad['id']}/decision", json={"verdict": "ok", "reason": "Dirt, wipes off"})
    plant.two_people_label(bad["id"], at_odds=True)
    page.goto(f"{plant.address}/labels")
    keys.presses(page.get_by_role("radio", name="To label"), "ArrowLeft")  # a group of choices: the last comes before
    page.get_by_role("radio", name="Data sets", checked=True).wait_for(state="attached")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    dispute = page.get_by_role("region", name=bad["part"], exact=True).first
    keys.writes(dispute.get_by_label("Why"), "Seen under the lamp")
    keys.presses(dispute.get_by_role("button", name="All drawings stand"))
    page.get_by_role("listitem").filter(has_text="“Seen under the lamp”").first.wait_for()


def test_another_model_serves_and_the_one_before_comes_back(page, plant, keys):
    [champion, *others] = [model["id"] for model in plant.call("GET", "/models")["items"]]
    other = others[0] if others else plant.knows_a_model_that_overlooks_more()
    page.goto(f"{plant.address}/models")
    card = page.locator(".model").filter(has_text=other.removeprefix("sha256:")[:10])
    serving = page.locator(".model").filter(has=page.get_by_text("champion", exact=True))
    keys.presses(card.get_by_role("button", name="Promote"))
    keys.presses(page.get_by_role("dialog").get_by_role("button", name="Promote"))
    serving.filter(has_text=other.removeprefix("sha256:")[:10]).wait_for()
    keys.presses(page.get_by_role("button", name="Roll back", exact=True))
    keys.presses(page.get_by_role("dialog").get_by_role("button", name="Roll back"))
    serving.filter(has_text=champion.removeprefix("sha256:")[:10]).wait_for()
    eventually(page, lambda: plant.call("GET", "/health")["components"]["model"].get("id") == champion)


def test_a_station_gets_a_model_of_its_own_and_gives_it_back(page, plant, keys):
    plant.inspects(defects=(), seed=120, station="own-model")
    [champion, *_] = [model["id"] for model in plant.call("GET", "/models")["items"]]
    page.goto(f"{plant.address}/models")
    places = page.get_by_role("region", name="Products and stations with a model of their own")
    keys.reaches(places.get_by_label("Station"))
    page.keyboard.type("own-model")
    keys.writes(places.get_by_label("Why"), "Another lamp")
    page.keyboard.press("Enter")
    places.get_by_role("rowheader", name="own-model").wait_for()
    [own] = plant.call("GET", "/models/assignments")["items"]
    assert (own["station"], own["product"], own["champion"]) == ("own-model", "", champion)
    keys.presses(places.get_by_role("button", name="Retrain: own-model"))
    jobs = page.get_by_role("region", name="Jobs")
    jobs.get_by_text("Retrain the model: own-model").wait_for()
    jobs.get_by_text("no label task of own-model is finished").wait_for()
    keys.presses(places.get_by_role("button", name="Roll back: own-model"))
    places.get_by_text("None: one model judges everything.").wait_for()


def test_an_administrator_makes_a_product_with_a_zone(page, plant, keys):
    plant.inspects(defects=(), seed=121, product="K-bar")
    page.goto(f"{plant.address}/admin/products?product=K-bar")
    page.get_by_role("img", name=re.compile("^Newest picture of")).wait_for()
    zones = page.get_by_role("region", name="Zones")
    keys.presses(zones.get_by_role("button", name="Add", exact=True))
    zone = zones.get_by_role("group", name="Zone zone-1")
    keys.writes(zone.get_by_label("Name"), "clamp")
    zone = zones.get_by_role("group", name="Zone clamp")
    keys.writes(zone.get_by_label("Left, px"), "40")
    page.keyboard.press("Enter")
    file = plant.home / "var/products/K-bar.yaml"
    eventually(page, file.is_file)
    [stored] = yaml.safe_load(file.read_text(encoding="utf-8"))["zones"]
    assert (stored["name"], stored["box"][0]) == ("clamp", 40)


def test_a_part_is_erased_for_good(page, plant, keys):
    part = plant.inspects(defects=(), seed=122)
    page.goto(f"{plant.address}/admin/erasures")
    erase = page.get_by_role("region", name="Erase for good")
    keys.writes(erase.get_by_label("Its name"), part["part"])
    keys.writes(erase.get_by_label("Why"), "The customer asked for it")
    keys.presses(erase.get_by_role("button", name=f"Erase: {part['part']}"))
    keys.presses(erase.get_by_role("group").get_by_role("button", name="Erase"))
    page.get_by_role("region", name="What was erased").get_by_text("The customer asked for it").wait_for(timeout=60_000)
    assert plant.call("GET", "/inspections", params={"part": part["part"]})["items"] == []
