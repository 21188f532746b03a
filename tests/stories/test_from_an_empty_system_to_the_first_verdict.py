"""An administrator opens an empty system, is led to the first verdict on pictures of their own, and then left alone.

One story, told in order, in a real browser against a real server of its own that nobody has touched.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import cv2
import pytest
import yaml
from playwright.sync_api import expect

from segmentation.render import render_part

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

NEW = "a better password"


@pytest.fixture(scope="module")
def empty(tmp_path_factory, on_pages):
    """A server on a folder that holds nothing."""
    if why := on_pages.missing():
        pytest.skip(why)
    made = on_pages.Plant(tmp_path_factory.mktemp("empty"), on_pages.linear_line(2, 1))
    try:
        made.start()
        made.keys["admin"] = made.qc("key", "create", "--role", "admin").splitlines()[-1]
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def own_pictures(tmp_path_factory) -> list[str]:
    """Pictures of the user's own parts, two views of each, and something that is no picture."""
    folder = tmp_path_factory.mktemp("own")
    for n, defects in enumerate([("dent", "scratch"), ()]):
        part = render_part(60 + n, width=640, height=480, views=("top", "side"), defects=defects)
        for view in part.views:
            seen = view.pixels if view.pixels.ndim == 2 else view.pixels[..., ::-1]
            cv2.imwrite(str(folder / f"own-{n}__{view.name}.png"), seen)
    (folder / "notes.txt").write_text("no picture")
    return sorted(str(file) for file in folder.iterdir())


@pytest.fixture(scope="module")
def at_home(empty, browser):
    """The administrator's own browser, which stays open through the story."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


def log_in(page, password: str) -> None:
    page.get_by_label("Name").fill("admin")
    page.locator("input[type=password]").fill(password)
    page.keyboard.press("Enter")


def step(page, name: str):
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=re.compile(name)))


def is_done(page, name: str) -> None:
    step(page, name).get_by_role("img", name="done").wait_for()


def test_an_administrator_of_an_empty_system_lands_in_the_guide_and_changes_the_password(
    empty, at_home, picture, no_barrier
):
    page = at_home
    page.goto(empty.address)
    first = (empty.home / "var/first-login.txt").read_text().split()[1]
    log_in(page, first)
    page.get_by_role("heading", name="From an empty system to your first verdict").wait_for()
    page.get_by_text("0 of 5 steps done").wait_for()
    step(page, "Change the first password").get_by_role("img", name="next").wait_for()
    picture(page, "guide")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        no_barrier(page)

    way = step(page, "Change the first password").get_by_role("link", name="Go there")
    way.focus()
    page.keyboard.press("Enter")
    page.get_by_text("Setting up: 0 of 5. Next: Change the first password").wait_for()
    page.get_by_label("New password of admin").fill(NEW)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Log in").wait_for()
    log_in(page, NEW)
    page.get_by_role("link", name="Back to the guide").click()
    is_done(page, "Change the first password")


def test_it_can_be_left_and_taken_up_again(empty, at_home):
    page = at_home
    page.get_by_role("button", name="Leave the guide").click()
    page.get_by_text("You left the guide.").wait_for()
    page.goto(empty.address)
    page.wait_for_url("**/inspect")
    expect(page.get_by_text("Setting up:")).to_have_count(0)
    page.goto(f"{empty.address}/start")
    page.get_by_role("button", name="Take it up again").click()
    page.get_by_text("1 of 5 steps done").wait_for()


def test_a_product_with_costs_and_a_station_are_made(empty, at_home):
    page = at_home
    step(page, "Say what a wrong verdict costs").get_by_role("link", name="Go there").click()
    page.get_by_label("Currency").fill("eur")
    page.get_by_label("A bad part let through").fill("80")
    page.get_by_role("button", name="Save", exact=True).last.click()
    page.get_by_text("Setting up: 2 of 5. Next: Make a station").wait_for()
    told = yaml.safe_load((empty.home / "var/products/default.yaml").read_text(encoding="utf-8"))
    assert (told["money"]["currency"], told["money"]["escape"]) == ("EUR", 80)
    page.get_by_role("link", name="Back to the guide").click()
    here = step(page, "Make a station")
    here.get_by_label("Name of the station").fill("press-1")
    page.keyboard.press("Enter")
    is_done(page, "Make a station")
    here.get_by_text("press-1").wait_for()


def test_own_pictures_are_chosen_and_their_verdict_is_seen_with_its_outlines(
    empty, at_home, own_pictures, picture, no_barrier
):
    page = at_home
    page.locator("input[type=file]").first.set_input_files(own_pictures)
    page.get_by_text("1 file is no picture").wait_for()
    page.get_by_text("2 of 2 parts inspected").wait_for(timeout=180_000)
    is_done(page, "Send your first pictures")
    overlay = page.get_by_role("img", name="own-1 with what was found")
    overlay.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => { const { complete, naturalWidth } = document.querySelector('.first-verdict img');"
        " return complete && naturalWidth > 0; }"
    )
    picture(page, "first-verdict")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        no_barrier(page)
    found = empty.call("GET", "/inspections", "admin")["items"]
    assert [(one["part"], one["station"], len(one["images"])) for one in found] == [
        ("own-1", "press-1", 2),
        ("own-0", "press-1", 2),
    ]

    step(page, "Look at your first verdict").get_by_role("link", name="Look at it").click()
    page.get_by_role("heading", name="own-1", exact=True).wait_for()
    page.get_by_test_id("overlay").first.wait_for(state="attached")
    page.get_by_text("Setting up:").wait_for(state="detached")


def test_then_nobody_is_led_any_more_and_the_part_has_a_report_on_paper(empty, at_home, picture, no_barrier, tmp_path):
    pypdf = pytest.importorskip("pypdf")
    page = at_home
    page.goto(empty.address)
    page.wait_for_url("**/inspect**")
    page.goto(f"{empty.address}/start")
    page.get_by_role("heading", name="Your system is set up").wait_for()

    page.get_by_role("link", name="Records").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert len(download.value.path().read_text(encoding="utf-8").splitlines()) == 1 + 2
    page.get_by_label("Part", exact=True).fill("own-0")
    page.keyboard.press("Enter")
    page.get_by_role("cell", name="own-1").wait_for(state="detached")
    no_barrier(page)
    page.get_by_role("link", name="Report of own-0").click()
    page.get_by_role("heading", name="Part own-0").wait_for()
    page.wait_for_function("() => document.querySelectorAll('.report-view > svg').length === 2")
    page.wait_for_load_state("networkidle")
    picture(page, "report")
    no_barrier(page)
    page.pdf(path=str(tmp_path / "part.pdf"), prefer_css_page_size=True)
    sheets = pypdf.PdfReader(tmp_path / "part.pdf").pages
    said = " ".join(sheet.extract_text() for sheet in sheets)
    inspection = empty.call("GET", "/inspections", "admin", params={"part": "own-0"})["items"][0]
    for wanted in ("Part own-0", "press-1", "SHA-256", inspection["images"][0]["sha256"][:16], "Made"):
        assert wanted in said
    assert {d["class"] for i in inspection["images"] for d in i["defects"]} <= set(said.split())
    assert "Log out" not in said
    assert sum(len(sheet.images) for sheet in sheets) >= 2, "a picture of each view"


def test_a_camera_is_given_a_key_and_a_call_that_works_as_it_stands(empty, at_home, own_pictures, no_barrier, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("there is no curl, which the call is written for; install the package curl")
    page = at_home
    page.goto(f"{empty.address}/start")
    page.get_by_text("Connect a camera instead").click()
    page.get_by_label("Name of the camera or line").fill("press camera")
    page.get_by_label("What it sees, where a part has several views").fill("from above")
    page.keyboard.press("Enter")
    call = page.get_by_label("So it sends a picture:").inner_text()
    page.get_by_text("Waiting for a picture").wait_for()
    no_barrier(page)
    shutil.copy(next(file for file in own_pictures if file.endswith("own-0__top.png")), tmp_path / "picture.png")
    here = {**os.environ, "no_proxy": "127.0.0.1"}
    sent = subprocess.run(["sh", "-c", call], cwd=tmp_path, env=here, capture_output=True, text=True, check=True)
    told = json.loads(sent.stdout)
    assert (told["part"], told["station"], told["images"][0]["view"]) == ("P-1", "press-1", "from above")
    page.get_by_text("A picture has come.").wait_for()
