"""A shift of an operator: agree, overrule, call, slip, look closer, go on without the server; and the wall screen.

With a real server and a real Chromium. `QC_SCREENSHOTS=server/docs/pages/how-to/pictures` keeps the pictures that the
documentation shows; otherwise they go with the test.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from process_opt.simulate import linear_line
from qc.drift import GROUP, LEARN
from qc.records import Decision, Inspection, Progress
from qc.verdict import Verdict

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

_spec = importlib.util.spec_from_file_location("browser_plant", Path(__file__).parents[1] / "browser/conftest.py")
assert _spec
assert _spec.loader
shared = sys.modules["browser_plant"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)
browser, no_barrier = shared.browser, shared.no_barrier


@pytest.fixture(scope="session")
def plant(tmp_path_factory) -> Iterator[object]:
    """A server without a process: this shift only looks at parts."""
    if why := shared.missing():
        pytest.skip(why)
    home = tmp_path_factory.mktemp("shift")
    made = shared.Plant(home, linear_line(6, 3, hardness=0.8))
    made.was_set_up_before()
    try:
        made.start()
        for role in ("machine", "engineer"):
            made.keys[role] = made.qc("key", "create", "--role", role).splitlines()[-1]
        yield made
    finally:
        made.stop()
        shutil.rmtree(home / "var", ignore_errors=True)


def earlier(plant, station: str, *, model: str) -> None:
    """A shift of another station, of whose parts more are not good lately: what the wall screen's trend is made of."""
    now, count = datetime.now(UTC), LEARN + 13 * GROUP
    database = plant.database()
    with database.write() as session:
        for n in range(count):
            at = now - timedelta(seconds=12 * (count - n))
            bad = n % 25 == 0 or (n > count - GROUP and n % 4 == 0)
            session.add(
                Inspection(
                    id=str(uuid.UUID(int=int(at.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | n)),
                    part=f"{station}-{n}",
                    station=station,
                    product="default",
                    progress=Progress.DONE,
                    verdict=Verdict.NG if bad else Verdict.OK,
                    score=0.9 if bad else 0.05,
                    model=model,
                    received_at=at,
                )
            )
        session.commit()
    database.close()


def words(plant) -> list[tuple[str, str]]:
    """Every decision that is stored: whose, and what."""
    database = plant.database()
    with database.read() as session:
        found = [(row.inspection_id, str(row.verdict)) for row in session.exec(select(Decision))]
    database.close()
    return found


def test_a_shift(plant, browser, no_barrier, tmp_path):
    folder = Path(os.environ.get("QC_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def keeps(page, name: str) -> None:
        page.wait_for_timeout(500)  # what fades in is there
        page.screenshot(path=folder / f"{name}.jpg", type="jpeg", quality=72)

    def has(page, part: dict) -> None:
        page.get_by_role("heading", name=part["part"], exact=True).wait_for()
        page.locator(".lamp").wait_for()
        page.wait_for_timeout(700)  # a key sooner than that was meant for the part before

    plant.has_an_account("mia", "operator")
    plant.has_an_account("leo", "leader")
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(60_000)
    plant.logs_in(page, "mia")

    # parts arrive; she agrees with one key, and overrules with a reason
    good = next(one for seed in range(20) if (one := plant.inspects(defects=(), seed=seed))["verdict"] == "ok")
    bad = plant.inspects_a_bad_part()
    has(page, bad)
    page.locator(".overlay[data-drawn]").first.wait_for()
    keeps(page, "operator-part")
    page.keyboard.press("n")
    page.wait_for_timeout(600)
    page.keyboard.down("m")
    page.locator(".loupe").wait_for()
    keeps(page, "operator-magnifier")
    page.keyboard.up("m")
    page.keyboard.press("d")
    page.get_by_role("img", name="Where this part differs from the good one").wait_for()
    page.wait_for_load_state("networkidle")
    keeps(page, "operator-last-good")
    no_barrier(page)
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.keyboard.press("a")
    page.get_by_text("Not good, said mia").wait_for()
    page.keyboard.press("l")
    page.get_by_text("Following live").wait_for()
    page.get_by_role("button", name=good["part"]).click()
    has(page, good)
    page.keyboard.press("o")
    page.keyboard.press("1")
    page.get_by_text("Not good, said mia").wait_for()
    assert plant.call("GET", f"/inspections/{good['id']}")["decision"]["reason"] == "Missed a scratch"

    # that was the wrong part: she takes it back, and says what she meant
    page.keyboard.press("u")
    page.get_by_role("button", name="Agree").wait_for()
    page.keyboard.press("a")
    page.get_by_text("OK, said mia").wait_for()
    page.keyboard.press("l")

    # of the next one she is unsure; the team leader comes
    unsure = plant.inspects(defects=("pit",), seed=31)
    has(page, unsure)
    page.keyboard.press("c")
    page.locator(".call-note").get_by_text(re.compile("left")).wait_for()
    keeps(page, "operator-called")
    aside = browser.new_context(viewport={"width": 1280, "height": 800})
    leader = aside.new_page()
    leader.set_default_timeout(60_000)
    plant.logs_in(leader, "leo")
    leader.get_by_role("link", name="Answer").click()
    card = leader.get_by_role("listitem", name=unsure["part"])
    card.locator("img").first.wait_for()
    leader.wait_for_load_state("networkidle")
    keeps(leader, "leader-calls")
    card.get_by_role("button", name="It is OK").click()
    card.get_by_role("button", name="Within the limit").click()
    leader.get_by_text("Nobody is unsure").wait_for()
    page.get_by_text("OK, said leo").wait_for()

    # the server goes; she goes on, and nothing is lost or said twice
    two = [plant.inspects(defects=(), seed=seed) for seed in (41, 42)]
    for part in two:
        page.get_by_role("button", name=part["part"]).click()
        has(page, part)
    before = words(plant)
    plant.stop()
    page.locator(".connection[data-state=away]").wait_for()
    for part in two:
        page.get_by_role("button", name=part["part"]).click()
        has(page, part)
        page.keyboard.press("o")
        page.keyboard.press("2")
        page.get_by_text("kept on this computer until the server answers").wait_for()
    page.get_by_text("2 decisions wait").wait_for()
    keeps(page, "operator-server-away")
    earlier(plant, "brush-1", model=str(two[0]["model"]))
    plant.start()
    page.get_by_role("region", name="Decisions that wait").wait_for(state="detached", timeout=60_000)
    told = [word for word in words(plant) if word not in before]
    assert sorted(one for one, _ in told) == sorted(part["id"] for part in two), "each word once"

    # and over all of it, the wall screen
    plant.inspects_in_the_dark()
    waits = plant.inspects(defects=("dent",), seed=51)
    plant.call("POST", f"/inspections/{waits['id']}/call", json={"question": "a dent, or a shadow?"})
    wall = browser.new_context(viewport={"width": 1920, "height": 1080})
    screen = wall.new_page()
    screen.set_default_timeout(60_000)
    plant.logs_in(screen, "leo")
    screen.goto(f"{plant.address}/wall")
    screen.get_by_role("article", name="dark-room").get_by_text("Camera fault").wait_for()
    screen.get_by_role("complementary", name="Waiting for the team leader").get_by_text(waits["part"]).wait_for()
    brush = screen.get_by_role("article", name="brush-1")
    brush.get_by_role("img", name=re.compile("Share not OK")).wait_for()
    assert brush.locator(".point[data-beyond=true]").count() >= 1
    assert screen.evaluate("document.querySelector('.wall').scrollHeight <= innerHeight"), "nobody scrolls a wall"
    no_barrier(screen)
    keeps(screen, "wall")
    screen.emulate_media(color_scheme="dark")
    keeps(screen, "wall-dark")
    for opened in (context, aside, wall):
        opened.close()
