"""The guide from an empty system to the first verdict says what there is; lists leave as tables with every row."""

from __future__ import annotations

import csv
import io
import json

import pytest

from server import first_login
from server.access import Role
from server.tables import line as one_line


def standing(line) -> dict:
    answer = line.get("/first-run", Role.ADMIN)
    assert answer.status_code == 200, answer.text
    return answer.json()


def done(line) -> set[str]:
    return {step["name"] for step in standing(line)["steps"] if step["done"]}


def change(line, **what):
    return line.client.patch("/api/v1/first-run", json=what, headers=line.head(Role.ADMIN))


def test_each_step_is_done_when_the_installation_says_so_and_then_the_guide_is_gone(line):
    assert standing(line)["active"]
    assert done(line) == set()
    assert change(line, begun=True).json()["active"]

    name, password = first_login.read(line.context.settings)
    line.client.post("/api/v1/session", json={"name": name, "password": password})
    new = {"old": password, "new": "a better password"}
    line.client.post("/api/v1/session/password", json=new, headers={"X-QC": "1"})
    line.client.cookies.clear()
    assert done(line) == {"password"}

    read = line.get("/products/default").json()["read"]
    costs = {
        "default": {"ng": {}, "review": {}},
        "money": {"currency": "EUR", "escape": 90, "false_reject": 3, "review": 1},
    }
    put = line.client.put(
        "/api/v1/products/default", json={"read": read, "content": costs}, headers=line.head(Role.ADMIN)
    )
    assert put.status_code == 200, put.text
    line.post("/stations/press-1/mode", Role.ADMIN, json={"mode": "advise", "reason": "first-run guide"})
    now = standing(line)
    assert done(line) == {"password", "product", "station"}
    assert (now["station"], now["product"], now["newest"], now["empty"]) == ("press-1", "default", None, True)

    told = line.send(line.picture(dark=8), part="own-1", station="press-1").json()
    now = standing(line)
    assert (now["newest"], now["empty"], now["active"]) == (told["id"], False, True), "it waits until it was seen"
    assert change(line, seen="no-such").status_code == 422
    assert change(line, seen=told["id"]).json()["done"]
    assert not standing(line)["active"]

    line.client.post(
        "/api/v1/people",
        json={"name": "mia", "role": "operator", "password": "long enough"},
        headers=line.head(Role.ADMIN),
    )
    assert "second_person" in done(line)


def test_it_can_be_left_and_taken_up_again(line):
    change(line, begun=True)
    assert not change(line, left=True).json()["active"]
    line.send(line.picture(dark=3))
    assert change(line, left=False).json()["active"]
    file = line.context.settings.home / "first-run.json"
    assert json.loads(file.read_text()) == {"begun": True, "left": False, "seen": ""}
    file.write_text("no json")
    assert not standing(line)["active"], "parts were inspected before anybody began"


def test_a_plant_that_runs_is_never_led_through_it(line):
    line.send(line.picture(dark=3))
    assert not standing(line)["active"]
    assert not change(line, begun=True).json()["active"]
    assert line.get("/first-run", Role.ENGINEER).status_code == 403


def test_the_table_of_inspections_has_every_row_that_the_choice_fits_not_only_a_page(line):
    for n in range(7):
        line.send(line.picture(dark=8 * (n % 2), mark=n), part=f"=P-{n}", station="S-2" if n == 6 else "S-1")
    word = {"verdict": "ok", "reason": "dirt"}
    first = line.get("/inspections", params={"part": "=P-1"}).json()["items"][0]
    line.post(f"/inspections/{first['id']}/decision", Role.OPERATOR, json=word)

    answer = line.get("/inspections.csv", params={"station": "S-1"})
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert [row["part"] for row in rows] == [f"'=P-{n}" for n in (5, 4, 3, 2, 1, 0)], "a spreadsheet runs none of them"
    said = rows[4]
    assert (said["verdict"], said["defects"], said["classes"], said["said"], said["reason"]) == (
        "ng",
        "1",
        "pit",
        "ok",
        "dirt",
    )
    chosen = line.get("/inspections.csv", params={"verdict": "ng"}).text
    assert chosen.count("\n") == 1 + 3
    assert line.get("/inspections.csv", params={"since": "2026-01-01T00:00:00"}).status_code == 422
    assert line.get("/inspections.csv", Role.MACHINE).status_code == 403
    tasks = list(
        csv.DictReader(
            io.StringIO(line.get("/label-tasks.csv", params={"state": ["pushed", "open"]}).text.removeprefix("\ufeff"))
        )
    )
    assert [(task["reason"], task["shown"]) for task in tasks] == [("overruled", "1 of 1 defects of the part")]


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, ""), (True, "yes"), (-3.5, "-3.5"), ("-3", "'-3"), ("@x", "'@x"), ("a,b", '"a,b"'), ("", "")],
)
def test_a_cell_is_text_that_runs_nothing(value, written):
    assert one_line([value, "x"]) == f"{written},x\r\n"
