"""An administrator sets the plant up on a page: people, keys, rules, zones, millimetres, settings; and can prove it."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def open_tab(page, plant, tab: str) -> None:
    page.goto(f"{plant.address}/admin/{tab}")
    page.get_by_role("heading", name="Administration").wait_for()


def saves(page) -> None:
    page.get_by_role("button", name="Save", exact=True).last.click()


def test_a_person_gets_an_account_by_key_alone_logs_in_with_it_and_changes_the_password(
    page, plant, browser, no_barrier
):
    open_tab(page, plant, "people")
    accounts = page.get_by_role("region", name="Accounts")
    accounts.get_by_label("Name", exact=False).last.focus()
    page.keyboard.type("mia")
    page.keyboard.press("Tab")
    page.keyboard.press("l")  # labeller
    page.keyboard.press("Tab")
    page.keyboard.type("a long password")
    page.keyboard.press("Enter")
    accounts.get_by_text("mia can log in.").wait_for()
    assert accounts.get_by_label("Role of mia").input_value() == "labeller"
    expect(accounts.get_by_label("Role of admin"), "nobody takes the own account away").to_be_disabled()

    other = browser.new_context().new_page()
    other.goto(plant.address)
    other.get_by_label("Name").fill("mia")
    other.locator("input[type=password]").fill("a long password")
    other.keyboard.press("Enter")
    other.get_by_role("navigation", name="Pages").get_by_text("Labels").wait_for()
    expect(other.get_by_text("Administration")).to_have_count(0)
    other.goto(f"{plant.address}/admin/people")
    other.get_by_text("Your role does not show this page.").wait_for()

    other.get_by_role("link", name="mia").press("Enter")
    change = other.get_by_role("form", name="Change the password")
    for field, typed in (("Password until now", "not mine"), ("New password again", "a newer password")):
        change.get_by_label(field, exact=True).fill(typed)
    change.get_by_label("New password", exact=True).fill("a newer passwort")
    change.get_by_text("The two are not the same.").wait_for()
    expect(change.get_by_role("button", name="Change the password")).to_be_disabled()
    change.get_by_label("New password", exact=True).fill("a newer password")
    no_barrier(other)
    other.keyboard.press("Enter")
    change.get_by_role("alert").get_by_text("Not stored.").wait_for()
    change.get_by_label("Password until now").fill("a long password")
    other.keyboard.press("Enter")
    other.get_by_label("Name").fill("mia")
    other.locator("input[type=password]").fill("a newer password")
    other.keyboard.press("Enter")
    other.get_by_role("navigation", name="Pages").get_by_text("Labels").wait_for()
    other.context.close()

    accounts.get_by_role("button", name="Remove: mia").click()
    accounts.get_by_role("group", name="Really remove mia?").get_by_role("button", name="Remove").click()
    accounts.get_by_label("Role of mia").wait_for(state="detached")


def test_a_key_is_shown_once_works_and_is_ended_by_key_alone(page, plant, keys):
    open_tab(page, plant, "people")
    machines = page.get_by_role("region", name="Keys of machines")
    keys.writes(machines.get_by_label("What it is for"), "camera 7")
    page.keyboard.press("Enter")
    key = machines.locator("code").inner_text()
    before = plant.keys["machine"]
    plant.keys["machine"] = key
    plant.call("GET", "/stations", "machine")
    plant.keys["machine"] = before
    page.reload()
    machines.get_by_text("camera 7").wait_for()
    assert key not in page.content()
    keys.presses(machines.get_by_role("button", name="End it: camera 7"))
    keys.presses(machines.get_by_role("group").get_by_role("button", name="End it"))
    machines.get_by_text("ended").first.wait_for()


def test_a_rule_and_a_zone_drawn_on_the_picture_stand_in_the_products_file(page, plant):
    part = plant.inspects(defects=(), seed=61)
    page.set_viewport_size(
        {"width": 3840, "height": 2160}
    )  # where the pages are drawn larger, a hand still draws where it is
    open_tab(page, plant, "products")
    main = page.locator(".admin h1").bounding_box()
    assert main["height"] > 30, "letters grow with the screen"
    drawing = page.get_by_role("img", name=re.compile("^Newest picture of"))
    drawing.scroll_into_view_if_needed()
    place = drawing.bounding_box()
    for x, y, act in ((0.25, 0.25, page.mouse.down), (0.5, 0.75, page.mouse.up)):
        page.mouse.move(place["x"] + x * place["width"], place["y"] + y * place["height"])
        act()
    zone = page.get_by_role("group", name="Zone zone-1")
    zone.get_by_label("Name").fill("clamp")
    page.get_by_role("button", name="Own rules for scratch").first.click()
    rule = page.get_by_role("group", name="Not good: scratch", exact=True)
    rule.get_by_label("Not good").select_option("limits")
    rule.get_by_label(re.compile("^At least")).fill("30")
    page.get_by_label("Currency").fill("eur")
    doubt = page.get_by_role("region", name="When somebody is unsure")
    assert doubt.get_by_label("Seconds to answer").input_value() == "300", "what holds without a word in the file"
    doubt.get_by_label("Seconds to answer").fill("120")
    doubt.get_by_label("A station with a time of its own").fill("brush-1")
    page.keyboard.press("Enter")
    doubt.get_by_label("Seconds at brush-1").fill("45")
    doubt.get_by_label("When nobody came").select_option("review")
    saves(page)
    page.wait_for_function("() => document.querySelectorAll('.zones polygon:not(.halo)').length === 1")
    file = plant.home / "var/products/default.yaml"
    found = {}
    for _ in range(100):
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        if found.get("zones"):
            break
        page.wait_for_timeout(100)
    width, height = (part["images"][0][side] for side in ("width", "height"))
    assert found["zones"][0]["name"] == "clamp"
    assert found["zones"][0]["box"] == pytest.approx([width / 4, height / 4, width / 4, height / 2], abs=3)
    assert found["classes"]["scratch"]["ng"] == {"length_px": 30}
    assert found["money"]["currency"] == "EUR"
    assert found["doubt"] == {"seconds": 120, "stations": {"brush-1": 45}, "then": "review"}
    empty = {"content": {"default": {"ng": {}, "review": {}}}}
    plant.call("PUT", "/products/default", json={**empty, "read": plant.call("GET", "/products/default")["read"]})


def test_a_view_is_calibrated_by_a_target_and_says_how_deep_its_camera_is(page, plant, keys):
    board = np.kron(np.indices((7, 10)).sum(0) % 2, np.ones((40, 40))).astype(np.uint8) * 200 + 20
    sheet = np.full((480, 640), 235, np.uint8)
    sheet[60 : 60 + 280, 80 : 80 + 400] = board
    plant.inspects_pictures([sheet], ["target"], station="calibrated")
    open_tab(page, plant, "products")
    view = page.get_by_role("group", name="calibrated: target")
    keys.presses(view.get_by_role("button", name="Measure on the newest picture"))
    view.get_by_text("0.12500 mm per px").wait_for()
    keys.presses(view.get_by_role("button", name="Take it"))
    assert float(view.get_by_label("mm per px").input_value()) == pytest.approx(0.125, rel=1e-3)
    view.get_by_label("Bits of 16-bit pictures").select_option("12")
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "/products/" in answer.url):
        saves(page)
    now = plant.call("GET", "/products/default")
    assert now["content"]["mm_per_px"]["calibrated"]["target"] == pytest.approx(0.125, rel=1e-3)
    assert now["content"]["camera_bits"] == {"calibrated": {"target": 12}}
    empty = {"default": {"ng": {}, "review": {}}}
    plant.call("PUT", "/products/default", json={"content": empty, "read": now["read"]})


def test_a_station_shows_what_its_camera_sees_now_and_what_its_verdicts_may_do(page, plant, keys):
    first = plant.inspects(defects=(), seed=63, station="camera-hall")
    open_tab(page, plant, "stations")
    station = page.get_by_role("region", name="camera-hall")
    seen = station.get_by_role("group", name="As the camera sees it now")
    seen.get_by_role("img", name=re.compile(f"^{first['part']}, ")).first.wait_for()
    newer = plant.inspects(defects=(), seed=64, station="camera-hall")
    picture = seen.get_by_role("img", name=re.compile(f"^{newer['part']}, ")).first
    picture.wait_for()
    page.wait_for_function("img => img.complete && img.naturalWidth > 0", arg=picture.element_handle())

    mode = station.get_by_label("What its verdicts may do")
    keys.presses(mode, "Home")
    assert mode.input_value() == "shadow"
    expect(station.get_by_role("button", name="Save"), "not without a reason").to_be_disabled()
    keys.writes(station.get_by_label("Why"), "New lamp")
    page.keyboard.press("Enter")
    station.get_by_text("Saved.").wait_for()
    holds = plant.call("GET", "/stations/camera-hall/mode")
    assert (holds["mode"], holds["by"], holds["reason"]) == ("shadow", "admin", "New lamp")
    keys.presses(mode, "End")
    assert mode.input_value() == "decide"
    keys.writes(station.get_by_label("Why"), "It looks good")
    page.keyboard.press("Enter")
    station.get_by_role("alert").wait_for()
    assert plant.call("GET", "/stations/camera-hall/mode")["mode"] == "shadow", "a step up is proved, not wished for"


def test_settings_come_from_the_servers_own_descriptions_in_the_readers_language(page, plant, keys):
    open_tab(page, plant, "settings")
    group = page.get_by_role("form", name="Keeping and forgetting")
    days = group.get_by_label("Pictures of ok parts are kept for so many days; 0: for ever.")
    days.fill("-3")
    expect(group.get_by_role("button", name="Save")).to_be_disabled()
    keys.writes(days, "90")
    page.keyboard.press("Enter")
    page.get_by_text("Some of it holds only after the server was started again.").wait_for()
    assert '"keep_ok_days": 90' in (plant.home / "var/settings.json").read_text(encoding="utf-8")
    page.get_by_label("Language").select_option("de")
    page.get_by_label("Bilder von Gutteilen so viele Tage aufbewahren; 0: für immer.").fill("0")
    page.get_by_role("form", name="Aufbewahren und vergessen").get_by_role("button", name="Speichern").click()
    page.get_by_text("Gespeichert.").wait_for()
    page.get_by_label("Sprache").select_option("en")


def test_connections_answer_the_trail_is_whole_and_a_backup_is_made(page, plant, keys):
    open_tab(page, plant, "connections")
    keys.presses(page.get_by_role("button", name="Test Database"))
    page.get_by_text(re.compile("^Answers, ")).wait_for()
    open_tab(page, plant, "trail")
    page.get_by_role("button", name="Check the whole trail").click()
    page.get_by_text(re.compile(r"Whole: [\d,]+ entries, none altered")).wait_for()
    page.get_by_label("Kind").select_option("key.revoked")
    page.get_by_role("cell", name="camera 7").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert "key.revoked" in download.value.path().read_text(encoding="utf-8")
    open_tab(page, plant, "backup")
    page.get_by_text("This folder is on the same disk as the data").wait_for()
    keys.presses(page.get_by_role("button", name="Back up now"))
    page.get_by_role("button", name=re.compile("^Remove")).wait_for(timeout=60_000)
