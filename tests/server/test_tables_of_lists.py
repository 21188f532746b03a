"""What a page lists is also a table, with every row."""

from __future__ import annotations

import csv
import io

from server import registry
from server.access import Role
from server.routes import exports


def table(line, path: str, role: Role = Role.ENGINEER) -> list[dict[str, str]]:
    answer = line.get(path, role)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


def test_every_call_is_in_the_table_whatever_came_of_it(line, monkeypatch):
    monkeypatch.setattr(exports, "AT_ONCE", 2)
    for n in range(5):
        part = line.send(line.picture(mark=n), part=f"P-{n}").json()
        line.post(f"/inspections/{part['id']}/call", Role.OPERATOR, json={"question": "=a dent?"})
    last = line.get("/calls").json()["items"][-1]
    word = {"verdict": "ng", "reason": "deep"}
    line.post(f"/calls/{last['id']}/answer", Role.LEADER, json=word)
    rows = table(line, "/calls.csv", Role.LEADER)
    assert [row["part"] for row in rows] == [f"P-{n}" for n in (4, 3, 2, 1, 0)], "the newest first"
    (answered,) = [row for row in rows if row["state"] == "answered"]
    assert (answered["part"], answered["verdict"], answered["reason"]) == (last["part"], "ng", "deep")
    assert rows[0]["question"] == "'=a dent?", "a spreadsheet runs nothing"
    assert line.get("/calls.csv", Role.MACHINE).status_code == 403


def test_models_stand_in_a_table_with_their_plain_figures_and_why(line):
    card = {"figures": {"iou": 0.5, "curve": [1, 2]}}
    decision = {"promote": False, "reason": "worse on dents"}
    with line.context.database.write() as session:
        now = line.context.now()
        registry.add(session, model_id="sha256:a", folder="models/a", card=card, now=now, decision=decision)
        registry.add(session, model_id="sha256:b", folder="models/b", card={}, now=now)
        session.commit()
    rows = {row["id"]: row for row in table(line, "/models.csv")}
    assert (rows["sha256:a"]["promoted"], rows["sha256:a"]["reason"]) == ("no", "worse on dents")
    assert rows["sha256:b"]["reason"] == ""
    shown = next(one for one in line.get("/models").json()["items"] if one["id"] == "sha256:a")["figures"]
    for name, value in shown.items():
        if isinstance(value, list | dict):
            assert name not in rows["sha256:a"]
        else:
            assert name in rows["sha256:a"]
    assert line.get("/models.csv", Role.MACHINE).status_code == 403


def test_the_table_of_label_quality_has_every_figure_of_the_page(line):
    told = line.get("/labels/quality").json()
    rows = table(line, "/labels/quality.csv")
    figures = [(name, figure) for name, by_figure in told["classes"].items() for figure in by_figure]
    assert [(row["of"], row["figure"]) for row in rows] == figures
    assert line.get("/labels/quality.csv", Role.LABELLER).status_code == 403


def test_what_is_looked_for_is_found_by_how_its_name_begins(line):
    parts = [line.send(line.picture(mark=n), part=f"Bar_{n}").json() for n in range(3)]
    again = line.send(line.picture(mark=9), part="Bar_1").json()
    line.send(line.picture(mark=10), part="BarX")

    def found(asked: str, role: Role = Role.ENGINEER) -> list[tuple[str, str, str]]:
        items = line.get("/search", role, params={"q": asked}).json()["items"]
        return [(one["kind"], one["name"], one["id"]) for one in items]

    newest = [("part", "Bar_0", parts[0]["id"]), ("part", "Bar_1", again["id"]), ("part", "Bar_2", parts[2]["id"])]
    assert found(" Bar_ ", Role.OPERATOR) == newest, "each once, by its newest; no letter stands for another"
    assert [name for _, name, _ in found("Bar")] == ["BarX", "Bar_0", "Bar_1", "Bar_2"]
    assert found("ar_1") == []
    assert found(again["id"].upper()) == [("inspection", "Bar_1", again["id"])]
    station = again["station"]
    assert ("station", station, station) in found(station[1:].upper())
    assert found(station, Role.OPERATOR) == []
    named = line.get("/label-book").json()["classes"][0]["name"]
    assert ("class", named, named) in found(named.upper(), Role.LABELLER)
    assert found(named, Role.OPERATOR) == []
    [product, *_] = line.get("/products").json()["items"]
    assert ("product", product, product) in found(product[1:])
    person = line.get("/people", Role.ADMIN).json()["items"][0]["name"]
    assert ("person", person, person) in found(person, Role.ADMIN)
    assert found(person) == [], "who has an account is an administrator's to know"
    with line.context.database.write() as session:
        registry.add(session, model_id="sha256:abc1", folder="models/a", card={}, now=line.context.now())
        session.commit()
    assert found("ABC") == found("sha256:abc") == [("model", "sha256:abc1", "sha256:abc1")]
    assert line.get("/search", Role.MACHINE, params={"q": "Bar"}).status_code == 403
    assert line.get("/search", params={"q": ""}).status_code == 422
