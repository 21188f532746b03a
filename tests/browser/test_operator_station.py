"""An operator is unsure, slips, or wants to see better: by keys alone, in a real Chromium against the real server."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def opens(page, plant, part: dict) -> None:
    """The part on screen, long enough for a key to be meant for it."""
    page.goto(f"{plant.address}/inspect/{part['id']}")
    page.locator(".lamp").wait_for()
    page.wait_for_timeout(600)  # a key sooner than 0.4 s after a part appeared is not taken


def decision(plant, part: dict) -> dict | None:
    return plant.call("GET", f"/inspections/{part['id']}")["decision"]


def test_an_unsure_operator_calls_and_the_team_leader_answers_by_keys_alone(page, plant, browser, no_barrier):
    part = plant.inspects(defects=(), seed=90)
    plant.has_an_account("leo", "leader")
    opens(page, plant, part)
    page.keyboard.press("c")
    note = page.locator(".call-note")
    note.get_by_text("The team leader is called (admin is unsure)").wait_for()
    note.get_by_text(re.compile(r"4:\d\d left")).wait_for()
    no_barrier(page)

    context = browser.new_context(viewport={"width": 1280, "height": 800})
    leader = context.new_page()
    leader.set_default_timeout(20_000)
    plant.logs_in(leader, "leo")
    leader.get_by_role("region", name="Somebody is unsure").get_by_role("link", name="Answer").press("Enter")
    card = leader.get_by_role("listitem", name=part["part"])
    card.get_by_text("then it counts as not good").wait_for()
    no_barrier(leader)
    card.get_by_role("button", name="It is not good").press("Enter")
    leader.keyboard.press("3")  # beyond the limit
    leader.get_by_text("Nobody is unsure").wait_for()
    leader.get_by_text("Not good, said leo · Beyond the limit").wait_for()
    context.close()

    page.get_by_text("Not good, said leo").wait_for()
    told = decision(plant, part)
    assert told is not None
    assert (told["verdict"], told["by"], told["reason"]) == ("ng", "leo", "Beyond the limit")


def test_a_slip_is_taken_back_by_one_key_also_from_another_part(page, plant):
    first, second = plant.inspects(defects=(), seed=91), plant.inspects(defects=(), seed=92)
    opens(page, plant, first)
    page.keyboard.press("a")
    page.get_by_text("said admin").wait_for()
    page.get_by_role("button", name="Take back").wait_for()
    page.get_by_role("button", name=second["part"]).click()
    page.get_by_role("heading", name=second["part"], exact=True).wait_for()

    page.keyboard.press("u")  # what is taken back is seen first
    page.get_by_role("heading", name=first["part"], exact=True).wait_for()
    assert decision(plant, first) is not None
    page.get_by_role("button", name="Take back").wait_for()
    page.keyboard.press("u")
    page.get_by_role("button", name="Agree").or_(page.get_by_role("button", name="It is OK")).wait_for()
    assert decision(plant, first) is None

    page.keyboard.press("u")
    page.get_by_text("nothing of yours on this part").wait_for()
    page.wait_for_timeout(500)
    page.keyboard.press("c")
    page.locator(".call-note").wait_for()
    page.keyboard.press("u")
    page.locator(".call-note").wait_for(state="detached")
    assert plant.call("GET", f"/inspections/{first['id']}")["call"] is None


def test_calls_and_slips_of_an_absent_server_are_sent_once_in_their_order(page, plant):
    called, slip = plant.inspects(defects=(), seed=93), plant.inspects(defects=(), seed=94)
    opens(page, plant, called)
    page.get_by_role("button", name=slip["part"]).click()
    page.get_by_role("heading", name=slip["part"], exact=True).wait_for()
    page.wait_for_timeout(600)
    plant.stop()
    page.locator(".connection[data-state=away]").wait_for()
    page.keyboard.press("a")
    page.get_by_text("kept on this computer until the server answers").wait_for()
    page.keyboard.press("u")
    page.get_by_text("Taken back; kept on this computer").wait_for()
    page.get_by_role("button", name=called["part"]).click()
    page.get_by_role("heading", name=called["part"], exact=True).wait_for()
    page.wait_for_timeout(600)
    page.keyboard.press("c")
    page.get_by_text("nobody is called before the server answers").wait_for()
    page.get_by_text("3 decisions wait").wait_for()

    plant.start()
    page.get_by_role("region", name="Decisions that wait").wait_for(state="detached", timeout=60_000)
    assert decision(plant, slip) is None
    waits = plant.call("GET", f"/inspections/{called['id']}")["call"]
    assert waits["state"] == "open"
    plant.call("POST", f"/calls/{waits['id']}/answer", json={"verdict": "ok", "reason": "a shadow"})
    assert len([call for call in plant.call("GET", "/calls")["items"] if call["part"] == called["part"]]) == 1


def test_the_magnifier_shows_the_cameras_pixels_while_a_key_is_held_and_arrows_move_it(page, plant, no_barrier):
    part = plant.inspects_a_bad_part()
    opens(page, plant, part)
    page.locator(".overlay[data-drawn]").first.wait_for()
    page.keyboard.down("m")
    loupe = page.locator(".loupe")
    loupe.wait_for()
    level = loupe.locator("img").first.get_attribute("src")
    assert f"/tiles/{(max(640, 480) - 1).bit_length()}/" in level, "the camera's own pixels"
    before = loupe.get_attribute("aria-label")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("was => document.querySelector('.loupe')?.getAttribute('aria-label') !== was", arg=before)
    loupe.get_by_text("3 : 1").wait_for()
    page.keyboard.press("+")
    loupe.get_by_text("4 : 1").wait_for()
    assert page.url.endswith(part["id"]), "meanwhile arrows choose no other part"
    no_barrier(page)
    page.keyboard.up("m")
    loupe.wait_for(state="detached")

    page.locator(".viewer").first.hover(position={"x": 60, "y": 60})
    page.get_by_role("button", name="Magnifier").press("Enter")
    loupe.wait_for()
    page.keyboard.press("Escape")
    loupe.wait_for(state="detached")


def test_the_last_good_part_stands_beside_this_one_or_it_is_said_that_there_is_none(page, plant, no_barrier):
    lonely = plant.inspects(defects=(), seed=95)
    good = next(one for seed in range(96, 120) if (one := plant.inspects(defects=(), seed=seed))["verdict"] == "ok")
    bad = plant.inspects_a_bad_part()
    plant.call("POST", f"/inspections/{good['id']}/decision", json={"verdict": "ok"})
    opens(page, plant, bad)
    page.keyboard.press("n")
    page.keyboard.press("d")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("engineer key said that it is OK").or_(dialog.get_by_text("said that it is OK")).wait_for()
    dialog.get_by_role("img", name="Where this part differs from the good one").wait_for()
    expect(dialog.get_by_role("img", name=good["part"], exact=True)).to_have_count(1)
    dialog.get_by_text("compared as they lay").or_(dialog.get_by_text("Laid on each other")).wait_for()
    no_barrier(page)
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert lonely["verdict"]


def test_of_many_doubtful_specks_ten_are_listed_and_the_others_open_by_class(page, plant, no_barrier):
    part = plant.inspects(defects=(), seed=21)
    plant.is_full_of_specks(part, specks=200)
    opens(page, plant, part)
    listed = page.get_by_role("region", name="Defects")
    listed.get_by_role("heading", name=re.compile("^Defects 3 · 200 doubtful")).wait_for()
    single = listed.locator(".defect-row[aria-current]")
    expect(single).to_have_count(10)
    pits = listed.get_by_role("button", name=re.compile(r"pit \d+ doubtful"))
    dents = listed.get_by_role("button", name=re.compile(r"dent \d+ doubtful"))
    counts = [int(re.search(r"(\d+) doubtful", one.inner_text())[1]) for one in (pits, dents)]
    assert sum(counts) == 193
    pits.click()
    expect(single).to_have_count(10 + counts[0])
    no_barrier(page)
    pits.click()
    expect(single).to_have_count(10)

    for _ in range(11):
        page.keyboard.press("n")
    page.wait_for_url(re.compile(r"defect=11$"))
    expect(listed.locator(".defect-row[aria-current=true]")).to_be_in_viewport()
    expect(single).to_have_count(10 + (counts[0] if "pit" in single.nth(10).inner_text() else counts[1]))


@pytest.mark.parametrize(("width", "height", "least"), [(820, 1180, 0.9), (1024, 768, 0.65), (1280, 800, 0.5)])
def test_the_picture_comes_first_on_a_tablet_as_on_a_desk(page, plant, width, height, least):
    part = plant.inspects(defects=("dent",), seed=width)  # a camera that repeats a picture is frozen
    page.set_viewport_size({"width": width, "height": height})
    opens(page, plant, part)
    place = page.locator(".views").bounding_box()
    assert place
    assert place["width"] >= least * width
    assert place["height"] >= 0.4 * height
    expect(page.get_by_role("button", name=re.compile(r"^(Agree: |It is OK)"))).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Log out")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing lies beside the screen"


def test_the_wall_screen_is_read_from_far_at_every_size_in_both_modes(page, plant, no_barrier):
    plant.inspects(defects=(), seed=97, station="wall-1")
    plant.inspects_in_the_dark()
    for width, height in ((1280, 800), (3840, 2160)):
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{plant.address}/wall")
        dark = page.get_by_role("article", name="dark-room")
        dark.get_by_text("Camera fault").wait_for()
        page.get_by_role("article", name="wall-1").get_by_text("Running").wait_for()
        for large in (dark.locator("h3"), dark.locator(".wall-state"), dark.locator(".wall-figures dd").first):
            size = large.evaluate("node => Number.parseFloat(getComputedStyle(node).fontSize)")
            assert size >= 0.024 * width, "25 mm on a screen of 1.2 m"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off"
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            no_barrier(page)
    usual = page.get_by_role("article", name="wall-1")
    colour = "node => getComputedStyle(node.querySelector('.wall-state')).backgroundColor"
    assert usual.evaluate(colour) == "rgba(0, 0, 0, 0)", "colour only for what is not as usual"


def test_the_wall_screen_is_live(page, plant):
    page.goto(f"{plant.address}/wall")
    plant.inspects(defects=(), seed=98, station="wall-1")
    figure = page.get_by_role("article", name="wall-1").locator(".wall-figures dd").first
    figure.wait_for()
    before = int(figure.inner_text())
    part = plant.inspects(defects=(), seed=99, station="wall-1")
    page.wait_for_function(
        "was => Number(document.querySelector('[aria-label=wall-1] dd').innerText) > was", arg=before
    )
    plant.call("POST", f"/inspections/{part['id']}/call", json={"question": "a shadow?"})
    calls = page.get_by_role("complementary", name="Waiting for the team leader")
    calls.get_by_text("a shadow?").wait_for()
    [open_call] = [call for call in plant.call("GET", "/calls?only_open=true")["items"] if call["part"] == part["part"]]
    plant.call("POST", f"/calls/{open_call['id']}/answer", json={"verdict": "ok", "reason": "a shadow"})
    calls.get_by_text("a shadow?").wait_for(state="detached")
