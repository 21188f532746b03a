"""The engineer's pages in a real browser: what a process is known to do, settings tried on a part, models and jobs."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from playwright.sync_api import expect

from segmentation.finding import finding
from segmentation.matching import ImageFacts, TrueDefect
from segmentation.model import identity
from segmentation.ready import FORMAT, machine
from server.jobs.records import Job, JobState
from server.models_in_use import ready_folder
from server.settings import Settings

pytestmark = pytest.mark.browser


@pytest.fixture
def in_both_modes(no_barrier):
    """Checks a page by axe in light and in dark mode, where nothing is cut off sideways either."""

    def check(page) -> None:
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            page.locator(f"html[data-mantine-color-scheme={scheme}]").wait_for()
            no_barrier(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    return check


def panel(page, name):
    return page.get_by_role("region", name=name, exact=True)


def test_the_process_page_tells_levers_promises_capability_and_what_nobody_knows(page, plant, in_both_modes):
    report = plant.call("GET", "/processes/bar")["report"]
    levers = plant.call("GET", "/processes/bar/levers")["items"]
    page.goto(f"{plant.address}/engineer")
    page.get_by_role("link", name="What the advice rests on").click()

    forest = panel(page, "What each setting does")
    for lever in sorted((one for one in levers if one["identified"]), key=lambda one: -abs(one["effect"]))[:3]:
        row = forest.get_by_role("row", name=re.compile(re.escape(lever["setting"])))
        row.get_by_text(lever["reading"]).wait_for()
        expect(row.locator(".interval")).to_have_count(1)
    unknown = panel(page, "Effect not known, and how to find out")
    for name in report["not_identified"]:
        unknown.get_by_role("row", name=re.compile(rf"^{re.escape(name)} ")).wait_for()
    if not report["not_identified"]:
        unknown.get_by_text("every setting may be moved").wait_for()
    panel(page, "Is the advice worth its money?").get_by_text("No trial is on").wait_for()
    panel(page, "Learning from parts on purpose").get_by_text("Not allowed").wait_for()
    readings = report["history"]["capability"]["readings"]
    least = min((r for r in readings if readings[r]["cpk"] is not None), key=lambda r: readings[r]["cpk"])
    capable = panel(page, "How capable the process is")
    capable.get_by_role("row", name=re.compile(f"^{re.escape(least)} ")).wait_for()
    capable.get_by_role("row", name=re.compile("^Rolled throughput yield ")).wait_for()
    in_both_modes(page)


def test_withdrawn_advice_is_said_above_the_parts(page, plant, in_both_modes):
    """Before any outcome is told: learning from one would write the report anew."""
    with plant.withdraws_advice():
        page.goto(f"{plant.address}/engineer")
        alert = page.get_by_role("alert")
        alert.get_by_text("Advice is withdrawn.").wait_for()
        assert "71% conformed where 93% were promised" in alert.inner_text()
        in_both_modes(page)


def test_promised_and_kept_stand_side_by_side(page, plant, in_both_modes):
    for seed in range(40, 46):
        told = plant.asks_what_to_do(f"P-kept-{seed}", seed)
        plant.call("POST", "/processes/bar/outcomes", "machine", json=plant.what_comes_of(told, seed))
    page.goto(f"{plant.address}/engineer/process/bar")
    promises = panel(page, "Are promises kept?")
    promises.get_by_role("row", name=re.compile(r"% promised, .* kept")).first.wait_for()
    in_both_modes(page)


def test_a_slider_is_answered_while_it_moves_and_the_last_place_counts(page, plant, in_both_modes):
    plant.asks_what_to_do("P-try", 21)
    page.goto(f"{plant.address}/engineer")
    page.get_by_role("button", name=re.compile("^P-try ")).click()
    page.get_by_role("article", name="Recommendation for P-try").wait_for()
    page.get_by_text("Try settings yourself").click()
    yours = page.locator(".what-if").get_by_role("row", name=re.compile("^Yours "))
    yours.wait_for()
    page.get_by_role("button", name="All nominal").click()
    answered = page.locator("[data-answered]")
    page.locator("[data-answered='{}']").wait_for()
    at_nominal = yours.inner_text()
    slider = page.get_by_role("slider").first
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for place in np.linspace(0.5, 0.95, 12):
        page.mouse.move(box["x"] + place * box["width"], box["y"] + box["height"] / 2)
    page.mouse.up()
    asked = float(slider.input_value())
    page.wait_for_function(
        "value => Object.values(JSON.parse(document.querySelector('[data-answered]').dataset.answered)).some("
        "one => Math.abs(one - value) < 1e-3 * Math.abs(value))",
        arg=asked,
    )
    assert len(json.loads(answered.get_attribute("data-answered"))) == 1
    assert yours.inner_text() != at_nominal
    in_both_modes(page)


def test_a_parts_way_shows_every_reading_over_where_parts_usually_lie_and_where_it_left(page, plant, in_both_modes):
    made = plant.process.start(31)
    for _ in range(3):
        made.run_step(made.at or "")
    first, second, third = [step.name for step in plant.process.process.steps][:3]
    read = sorted(name for name in made.observed if name.startswith(f"{second}.") and "lever" not in name)
    characteristic = read[0].partition(".")[2]
    usual = plant.call(
        "POST", "/processes/bar/what-if", json={"part": "P-way", "at": first, "observed": {}, "settings": {}, "run": []}
    )
    bands = {name: band for along in usual["path"] for name, band in along["readings"].items()}
    observed = dict(made.observed)
    for step, moved in ((first, 0.0), (second, 1.5), (third, 1.5)):
        name = f"{step}.{characteristic}"
        observed[name] = bands[name]["mean"] + moved * (bands[name]["high"] - bands[name]["mean"])
    plant.call(
        "POST",
        "/processes/bar/recommendations",
        "machine",
        json={"part": "P-way", "at": made.at, "observed": observed, "batch": "heat 7/a: 100%"},
    )
    page.goto(f"{plant.address}/engineer")
    page.get_by_role("button", name=re.compile("^P-way ")).click()
    way = page.get_by_role("region", name="The part's way")
    way.get_by_role("img", name=re.compile(f"^{characteristic}: left its band at {second}, ")).wait_for()
    way.get_by_text("All readings in numbers").click()
    for step, where in ((first, ""), (second, "outside its band"), (third, "outside its band")):
        row = way.get_by_role("row", name=re.compile(f"^{re.escape(step)}.{characteristic} "))
        assert ("outside its band" in row.inner_text()) == bool(where)
    last = plant.process.process.steps[-1].name
    ahead = way.get_by_role("row", name=re.compile(f"^{re.escape(last)}.{characteristic} – "))
    assert ahead.get_by_role("cell").nth(2).inner_text() != "–", "where it will read is told"
    in_both_modes(page)
    page.get_by_role("link", name="batch heat 7/a: 100%").click()
    page.get_by_role("heading", name="Batch heat 7/a: 100%").wait_for()
    page.reload()
    page.get_by_role("heading", name="Batch heat 7/a: 100%").wait_for()


def test_a_failure_of_long_ago_is_folded_and_a_new_one_is_not(page, plant, in_both_modes):
    now, database = datetime.now(UTC), plant.database()
    with database.write() as session:
        for hours, problem in ((90.0, "no disk left, long ago"), (0.1, "no disk left, just now")):
            at = now - timedelta(hours=hours)
            session.add(
                Job(
                    kind="sweep", state=JobState.FAILED, problem=problem, max_attempts=1, attempts=1,
                    not_before=at, created_at=at, started_at=at, finished_at=at,
                )
            )  # fmt: skip
        session.commit()
    database.close()
    page.goto(f"{plant.address}/models")
    jobs = panel(page, "Jobs")
    jobs.get_by_text("no disk left, just now").wait_for()
    expect(jobs.get_by_text("no disk left, long ago")).to_be_hidden()
    jobs.get_by_text("1 older than a day, 1 of them failed").click()
    jobs.get_by_text("no disk left, long ago").wait_for()
    in_both_modes(page)


def test_a_model_card_shows_how_small_a_defect_is_found_and_the_longest_misses(page, plant, in_both_modes):
    model = a_model_that_says_what_it_missed(plant)
    page.goto(f"{plant.address}/models")
    shown = page.locator(".model").filter(has_text=model.removeprefix("sha256:")[:10])
    shown.get_by_text("Model card").click()
    shown.get_by_role("img", name=re.compile(r"all classes: 27 of 40 found .*nine of ten from")).wait_for()
    shown.get_by_role("row", name="f12 scratch 16 px no score").wait_for()
    shown.get_by_text("tf_efficientnet_lite0").wait_for()
    shown.get_by_role("row", name="openvino-screened 0.09 60 0 serves").wait_for()
    shown.get_by_role("row", name="openvino-int8 0.07 60 2 2 of 60 verdicts differ").wait_for()
    in_both_modes(page)

    page.get_by_role("link", name="Search").click()
    page.get_by_role("searchbox").fill(model.removeprefix("sha256:")[:6])
    page.keyboard.press("Enter")
    page.get_by_role("region", name="Models").get_by_role("link").first.click()
    linked = page.locator(".model[data-linked=true]")
    linked.get_by_text("tf_efficientnet_lite0").wait_for()
    assert model.removeprefix("sha256:")[:10] in linked.inner_text(), "its card is open, at an address of its own"
    in_both_modes(page)


def a_model_that_says_what_it_missed(plant) -> str:
    """The starter again, under another id, with the card of a model that finds what is longer than 16 px; its id."""
    from qc.geometry import Box
    from segmentation.curves import OverlapCounts

    folder = plant.home / "telling"
    shutil.copytree(plant.starter, folder)
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    none = OverlapCounts(np.zeros(2, np.int64), np.zeros(2), 0)
    facts = [
        ImageFacts(
            image=f"f{n}", part=f"f{n}", score=0.5, surest=0.5, defective=True, alarms=(), hits=(), worst_alarms=(),
            defects=(TrueDefect(1, 30, 0.9 if n > 12 else None, Box(1, 1, 9, 3), 4.0 + n),),
            confusion=np.zeros((4, 4), np.int64), overlap=none,
        )
        for n in range(40)
    ]  # fmt: skip
    classes = {int(number): name for number, name in card["classes"].items()}
    card["figures"] |= finding(facts, classes, threshold=0.5)
    card["threshold"] = 0.41
    card["id"] = identity(card)
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    ready = ready_folder(Settings(home=plant.home / "var"), card["id"])
    ready.mkdir(parents=True)
    compared = [("openvino-screened", 0.09, 0, ""), ("openvino-int8", 0.07, 2, "2 of 60 verdicts differ")]
    tried = [
        {
            "runtime": name,
            "accepted": not why,
            "why": why,
            "cpu_seconds_per_mpx": seconds,
            "parity": {"images": 60, "verdicts_that_differ": differ},
        }
        for name, seconds, differ, why in compared
    ]
    told = {"format": FORMAT, "model": card["id"], "machine": machine(), "runtime": "openvino-screened", "tried": tried}
    (ready / "ready.json").write_text(json.dumps(told), encoding="utf-8")
    return plant.qc("model", "add", str(folder)).split()[0]
