"""A shift goes on while the server is gone: words are kept, shown as waiting, and sent once when it is back."""

from __future__ import annotations

import pytest
from sqlmodel import select

from qc.records import Decision

pytestmark = pytest.mark.browser


def decisions(plant, ids: list[str]) -> list[tuple[str, str, str]]:
    database = plant.database()
    try:
        with database.read() as session:
            return sorted(
                (row.inspection_id, row.verdict.value, row.reason)
                for row in session.exec(select(Decision))
                if row.inspection_id in ids
            )
    finally:
        database.close()


def test_no_word_is_lost_or_doubled_while_the_server_is_gone(page, plant, no_barrier):
    parts = [plant.inspects(defects=(), seed=seed) for seed in (70, 71, 72)]
    page.goto(f"{plant.address}/inspect")
    page.locator(".connection[data-state=live]").wait_for()
    for part in parts:  # the neighbours are fetched before they are asked for
        page.get_by_role("button", name=part["part"]).click()
        page.get_by_role("heading", name=part["part"], exact=True).wait_for()
        page.get_by_role("group", name="Verdict").or_(page.locator(".lamp")).first.wait_for()
    page.wait_for_timeout(700)

    plant.stop()
    page.locator(".connection[data-state=away]").wait_for()
    for number, part in enumerate(parts, start=1):
        page.get_by_role("button", name=part["part"]).click()
        page.wait_for_timeout(600)
        page.keyboard.press("o")
        page.keyboard.press("1")
        page.get_by_text("kept on this computer until the server answers").wait_for()
        waiting = f"{number} decision{'s' if number > 1 else ''} wait"
        page.get_by_role("region", name="Decisions that wait").get_by_text(waiting).wait_for()
    page.get_by_role("button", name="Change").click()  # the last one was meant otherwise
    page.keyboard.press("a")
    page.get_by_text("3 decisions wait").wait_for()
    no_barrier(page)

    plant.start()
    page.get_by_role("region", name="Decisions that wait").wait_for(state="detached", timeout=60_000)
    ids = [part["id"] for part in parts]
    told = decisions(plant, ids)
    assert sorted(one for one, _, _ in told) == sorted(ids), "each word once"
    by_part = {one: (verdict, reason) for one, verdict, reason in told}
    assert by_part[ids[2]][1] == "", "the word that was said last stands"
    assert all(by_part[one][1] != "" for one in ids[:2])
    page.wait_for_timeout(6_000)  # nothing is sent again
    assert decisions(plant, ids) == told


def test_a_word_whose_answer_was_lost_is_stored_once_and_a_refused_one_is_shown(page, plant):
    part = plant.inspects(defects=(), seed=73)
    page.goto(f"{plant.address}/inspect/{part['id']}")
    page.locator(".lamp").wait_for()
    page.wait_for_timeout(700)
    lost = []

    def loses_the_answer(route):
        route.fetch()  # the server has it
        lost.append(route.request.post_data_json["id"])
        route.abort()

    page.route("**/decision", loses_the_answer, times=2)
    page.keyboard.press("a")
    page.get_by_text("kept on this computer until the server answers").wait_for()
    page.get_by_role("region", name="Decisions that wait").wait_for(state="detached", timeout=30_000)
    assert len(lost) == 2
    assert len(set(lost)) == 1, "it keeps its id"
    assert len(decisions(plant, [part["id"]])) == 1

    plant.stop()
    page.locator(".connection[data-state=away]").wait_for()
    page.get_by_role("button", name="Change").click()
    page.keyboard.press("o")
    page.keyboard.press("1")
    page.get_by_text("1 decision waits").wait_for()
    page.route("**/decision", lambda route: route.fulfill(status=404, json={"error": {"message": "it was erased"}}))
    plant.start()
    page.get_by_text("it was erased").wait_for(timeout=60_000)
    page.get_by_role("button", name="Seen").click()
    page.get_by_role("region", name="Decisions that wait").wait_for(state="detached")
