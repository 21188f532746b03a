"""The pages speak the browser's language or the one chosen, by key as well, and nothing is cut off by longer words."""

from __future__ import annotations

import pytest

WIDER = """() => [...document.querySelectorAll("header.top, header.top *, .side, .side *, .list-head *")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== "visible")
  .map((one) => one.outerHTML.slice(0, 120))"""
"""Whatever shows less than it holds, of the header and of the operator's two columns."""


@pytest.fixture
def german(browser, plant):
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="de-DE")
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto(plant.address)
    yield page
    context.close()


def test_a_language_is_the_browsers_until_another_one_is_chosen_by_key_and_then_it_is_kept(german, plant, no_barrier):
    page = german
    bad = plant.inspects_a_bad_part()
    name, password = (plant.home / "var/first-login.txt").read_text().split()[:2]
    page.get_by_label("Name").fill(name)
    page.locator("input[type=password]").fill(password)
    page.get_by_role("button", name="Anmelden").click()
    page.locator("html[lang=de]").wait_for()
    page.get_by_role("heading", name=bad["part"], exact=True).wait_for()
    page.get_by_role("group", name="Urteil: n. i. O.").wait_for()
    assert page.evaluate(WIDER) == []

    page.get_by_label("Sprache").focus()
    page.keyboard.press("ArrowDown")
    page.locator("html[lang=es]").wait_for()
    page.get_by_role("group", name="Veredicto: No OK").wait_for()
    assert page.evaluate(WIDER) == []

    page.reload()
    page.get_by_label("Idioma").select_option("zh")
    page.locator("html[lang=zh-Hans]").wait_for()
    page.get_by_role("group", name="判定：不合格").wait_for()
    assert page.title() == "QC 产线"
    assert page.evaluate(WIDER) == []
    no_barrier(page)


def test_what_the_server_says_is_said_in_the_readers_language_too(german, plant):
    page = german
    page.get_by_label("Name").fill("nobody")
    page.locator("input[type=password]").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("Name oder Passwort ist falsch").wait_for()
    name, password = (plant.home / "var/first-login.txt").read_text().split()[:2]
    page.get_by_label("Name").fill(name)
    page.locator("input[type=password]").fill(password)
    page.keyboard.press("Enter")
    page.get_by_role("navigation").first.wait_for()
    dark = plant.inspects_in_the_dark()
    page.goto(f"{plant.address}/inspect/{dark['id']}")
    page.get_by_text("Lampe, Objektivdeckel und Kabel prüfen").wait_for()
    page.get_by_label("Sprache").select_option("en")
    page.get_by_text("check lamp, lens cap and cable").wait_for()
