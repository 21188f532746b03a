"""Parts whose verdict is known for certain: declared once, frozen, and asked of every model."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest
from sqlalchemy import text

from qc.ports import Segmentation
from server import audit_check, auth, golden, golden_needs, registry
from server.access import Role
from server.cli import main
from server.golden_look import job as look_job
from server.jobs.runner import Kind, Runner

CHALLENGER = "sha256:sharp-eyes"


class SharpEyes:
    """Calls what is darker than 100 a pit."""

    model_id, classes, threshold, edge = CHALLENGER, {1: "pit"}, 0.5, 0.5

    def segment(self, pixels):
        return Segmentation(np.where(pixels < 100, 5.0, -9.0).astype(np.float16), np.ones(pixels.shape, np.uint8))


class Blind(SharpEyes):
    """Sees nothing."""

    def segment(self, pixels):
        return Segmentation(np.full(pixels.shape, -9, np.float16), np.ones(pixels.shape, np.uint8))


def wait_for(true, *, patience=30):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def two_parts(line) -> tuple[str, str]:
    """A clean part and one with a pit."""
    clean = line.send(line.picture(mark=1), part="P-clean").json()["id"]
    pitted = line.send(line.picture(dark=9, mark=2), part="P-pit").json()["id"]
    return clean, pitted


def declare(line, add=None, remove=(), status=201, product="default"):
    word = {"add": add or {}, "remove": list(remove), "reason": "measured by hand"}
    answer = line.post(f"/golden/{product}", json=word)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_while_pictures_are_copied_the_line_records_its_parts(line, monkeypatch):
    clean, _ = two_parts(line)
    get, asked = line.context.blobs.get, []

    def get_slowly(key: str) -> bytes:
        with line.context.database.write() as session:  # raises after some seconds where the lock is held
            auth.create_key(session, "press", Role.MACHINE, now=line.context.now())
            session.commit()
        asked.append(key)
        return get(key)

    monkeypatch.setattr(line.context.blobs, "get", get_slowly)
    declare(line, {clean: "ok"})
    assert asked


def looked(line, why="") -> list[dict]:
    return [look for look in line.get("/golden/default").json()["looks"] if look["why"].startswith(why)]


def test_golden_parts_are_declared_from_inspections_and_every_change_is_a_new_version(line):
    clean, pitted = two_parts(line)
    first = declare(line, {clean: "ok", pitted: "ng"})
    assert (first["version"], first["parts"], first["ok"], first["ng"]) == (1, 2, 1, 1)
    assert first["id"].startswith("sha256:")
    second = declare(line, remove=[clean])
    assert (second["version"], second["parts"]) == (2, 1)
    again = line.get("/golden/default", params={"version": 1}).json()
    assert [part["inspection_id"] for part in again["items"]] == [clean, pitted]
    assert again["id"] == first["id"] != second["id"]
    assert [one["version"] for one in line.get("/golden").json()["items"]] == [2]
    declare(line, {pitted: "ng"}, status=409)
    with line.context.database.read() as session:
        audit_check.verify(session)


def test_only_an_engineer_declares_and_only_what_makes_sense(line):
    clean, _ = two_parts(line)
    word = {"add": {clean: "ok"}, "reason": "x"}
    assert line.post("/golden/default", Role.OPERATOR, json=word).status_code == 403
    assert "not a bar" in declare(line, {clean: "ok"}, status=422, product="bar")["error"]["message"]
    declare(line, {"none": "ok"}, status=404)
    declare(line, remove=["none"], status=404)
    assert line.get("/golden/bar").status_code == 404
    broken = line.send(line.picture(dark=9, mark=2), part="P-other").json()  # a frozen camera
    assert broken["progress"] == "failed"
    declare(line, {broken["id"]: "ok"}, status=422)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE goldenpart SET truth = 'ok' WHERE truth = 'ng'",
        "UPDATE goldenpart SET pictures = '[]' WHERE truth = 'ng'",
        """UPDATE goldenset SET leaves = '["0"]'""",
        "UPDATE goldenset SET number = 7",
    ],
)
def test_a_version_that_was_altered_is_found(line, statement):
    clean, pitted = two_parts(line)
    declare(line, {clean: "ok", pitted: "ng"})
    with line.context.database.write() as session:
        session.execute(text(statement))
        session.commit()
    answer = line.get("/golden/default")
    assert answer.status_code == 409
    assert "altered" in answer.json()["error"]["message"]


def test_the_champion_looks_at_them_and_an_error_is_an_alarm(line):
    clean, pitted = two_parts(line)
    declare(line, {clean: "ok", pitted: "ng"})
    wait_for(lambda: looked(line, "declared"))
    (seen,) = looked(line)
    assert (seen["passed"], seen["wrong"]) == (True, [])
    assert line.get("/alarms", params={"kind": "golden"}).json()["items"] == []
    declare(line, {clean: "ng"})  # a person knows better
    wait_for(lambda: looked(line))
    (seen,) = looked(line)
    assert (seen["passed"], seen["escapes"], seen["wrong"]) == (False, 1, [clean])
    (alarm,) = line.get("/alarms", params={"kind": "golden"}).json()["items"]
    assert (alarm["what"], alarm["after"]) == ("default", [clean])
    assert "1 would escape" in alarm["message"]
    assert line.post(f"/alarms/{alarm['id']}/close", json={"reason": "new file"}).status_code == 200


def test_the_product_file_says_how_many_may_be_wrong(line):
    clean, pitted = two_parts(line)
    policy = line.context.settings.home / "products" / "default.yaml"
    policy.write_text("product: default\ngate: {golden: {escapes: 1}}\n")
    declare(line, {clean: "ng", pitted: "ng"})
    wait_for(lambda: looked(line))
    assert looked(line)[0]["passed"]
    policy.write_text("product: default\ngate: {golden: {escapes: minus one}}\n")
    assert "golden.escapes" in line.get("/health").json()["components"]["policies"]["message"]


def enter(line, *models):
    with line.context.database.write() as session:
        for model in models:
            registry.add(session, model_id=model, folder="models/none", card={}, now=line.context.now())
        session.commit()


def look_with(line, model) -> None:
    """The job, with a model that needs no folder."""
    line.context.parts["jobs"].stop()
    kinds = {golden_needs.KIND: Kind(partial(look_job, line.context, load=lambda context, row: model))}
    runner = Runner(line.context.database.write, kinds, clock=line.context.now)
    with line.context.database.write() as session:
        golden_needs.ask(session, model=model.model_id, why="challenger", now=line.context.now())
        session.commit()
    while runner.run_one():
        pass


def test_a_model_that_errs_on_them_serves_only_in_spite_of_it_with_a_reason_on_record(line):
    clean, pitted = two_parts(line)
    enter(line, CHALLENGER)
    declare(line, {clean: "ok", pitted: "ng"})
    answer = line.post(f"/models/{CHALLENGER}/promote")
    assert answer.status_code == 409
    assert "has not looked" in answer.json()["error"]["message"]
    look_with(line, Blind())
    answer = line.post(f"/models/{CHALLENGER}/promote")
    assert answer.status_code == 409
    assert "1 would escape" in answer.json()["error"]["message"]
    assert line.post(f"/models/{CHALLENGER}/promote", json={"in_spite_of": "a trial"}).json()["alias"] == "champion"


def test_a_model_that_gets_them_right_serves_until_the_set_or_the_file_changes(line):
    clean, pitted = two_parts(line)
    enter(line, CHALLENGER)
    declare(line, {clean: "ok", pitted: "ng"})
    look_with(line, SharpEyes())

    def missing():
        with line.context.database.read() as session:
            return golden_needs.missing(session, line.context, CHALLENGER)

    assert missing() == []
    (line.context.settings.home / "products" / "default.yaml").write_text("product: default\n")
    assert "has not looked" in missing()[0]
    look_with(line, SharpEyes())
    assert missing() == []
    declare(line, remove=[clean])
    assert "version 2" in missing()[0]


def test_an_erased_part_leaves_its_hash_alone_and_the_set_in_force_goes_on_without_it(line):
    clean, pitted = two_parts(line)
    first = declare(line, {clean: "ok", pitted: "ng"})
    key = f"golden/{first['items'][1]['pictures'][0][:2]}/{first['items'][1]['pictures'][0]}"
    assert line.context.blobs.exists(key)
    asked = line.post("/erasures", Role.ADMIN, json={"part": "P-pit", "reason": "asked"}).json()
    wait_for(lambda: line.get(f"/jobs/{asked['id']}").json()["state"] not in ("waiting", "running"))
    assert line.get(f"/jobs/{asked['id']}").json()["problem"] is None
    assert not line.context.blobs.exists(key)
    now = line.get("/golden/default").json()
    assert (now["version"], now["parts"], now["reason"]) == (2, 1, "a part was erased")
    old = line.get("/golden/default", params={"version": 1}).json()
    assert (old["id"], old["parts"], old["erased"]) == (first["id"], 1, 1)


def test_golden_parts_are_declared_and_shown_on_the_command_line(line, monkeypatch, capsys):
    clean, pitted = two_parts(line)
    monkeypatch.setenv("QC_HOME", str(line.context.settings.home))
    monkeypatch.setenv("QC_DATABASE_URL", line.context.settings.db_url)
    assert main(["golden", "declare", "default", f"{clean}=ok", f"{pitted}=ng", "--reason", "by hand"]) == 0
    assert "version 1" in capsys.readouterr().out
    assert main(["golden", "show", "default"]) == 0
    assert f"ng   {pitted}  P-pit" in capsys.readouterr().out
    assert main(["golden", "list"]) == 0
    assert "1 ok, 1 not good" in capsys.readouterr().out
    with line.context.database.read() as session:
        assert golden.newest(session, "default").by.startswith("qc golden")
    with pytest.raises(SystemExit, match="2"):
        main(["golden", "declare", "default", "nonsense", "--reason", "x"])
