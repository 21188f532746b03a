"""What an administrator does without a terminal: people, keys, settings, products, connections, the trail, backups."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from server import audit_check, auth, calibrating, settings_form
from server.access import Role
from server.backup import restore
from server.calibrating import scale_of
from server.routes import audit as audit_pages
from server.settings import Settings


def call(line, method: str, path: str, **options):
    return line.client.request(method, f"/api/v1{path}", headers=line.head(Role.ADMIN), **options)


def kinds(line, about: str) -> list[str]:
    """Kinds of the trail's entries that begin so, newest first."""
    return [one["kind"] for one in call(line, "GET", "/audit").json()["items"] if one["kind"].startswith(about)]


def log_in(line, name: str, password: str) -> int:
    answer = line.client.post("/api/v1/session", json={"name": name, "password": password})
    line.client.cookies.clear()
    return answer.status_code


def test_a_person_gets_an_account_another_role_another_password_and_leaves(line):
    made = call(line, "POST", "/people", json={"name": "mia", "role": "operator", "password": "a long one"})
    assert (made.status_code, made.json()["role"]) == (201, "operator")
    assert log_in(line, "mia", "a long one") == 200
    assert call(line, "PATCH", "/people/mia", json={"role": "engineer", "password": "another one"}).status_code == 200
    assert (log_in(line, "mia", "a long one"), log_in(line, "mia", "another one")) == (401, 200)
    assert {one["name"]: one["role"] for one in call(line, "GET", "/people").json()["items"]}["mia"] == "engineer"
    assert call(line, "DELETE", "/people/mia").status_code == 204
    assert log_in(line, "mia", "another one") == 401
    assert kinds(line, "account.") == ["account.removed", "account.role", "account.password", "account.added"]
    assert "a long one" not in call(line, "GET", "/audit.csv").text


def test_somebody_who_can_administer_is_always_left(line):
    refused = call(line, "PATCH", "/people/admin", json={"role": "operator"})
    assert refused.status_code == 409
    assert "only administrator" in refused.json()["error"]["message"]
    assert call(line, "DELETE", "/people/admin").status_code == 409
    call(line, "POST", "/people", json={"name": "eva", "role": "admin", "password": "a long one"})
    assert call(line, "DELETE", "/people/admin").status_code == 204


def test_a_key_is_told_once_and_ends_when_it_is_revoked(line):
    made = call(line, "POST", "/keys", json={"name": "camera 1", "role": "machine", "days": 30}).json()["key"]
    head = {"Authorization": f"Bearer {made}"}
    assert line.client.get("/api/v1/stations", headers=head).status_code == 200
    listed = next(one for one in call(line, "GET", "/keys").json()["items"] if one["name"] == "camera 1")
    assert made not in call(line, "GET", "/keys").text
    assert call(line, "DELETE", f"/keys/{listed['id']}").json()["revoked_at"] is not None
    assert line.client.get("/api/v1/stations", headers=head).status_code == 401
    assert kinds(line, "key.") == ["key.revoked", "key.added"]


def test_a_setting_that_is_changed_holds_from_the_next_start_on_and_the_environment_goes_before_it(
    line, run_line, monkeypatch
):
    home = line.context.settings.home
    page = call(line, "PATCH", "/settings", json={"values": {"keep_ok_days": 30, "retrain_cron": "0 4 * * *"}}).json()
    told = {one["name"]: one for one in page["items"]}
    assert page["restart"]
    days = told["keep_ok_days"]
    assert (days["value"], days["next"], days["source"]) == (0, 30, "page")
    assert Settings(home=home).keep_ok_days == 30
    monkeypatch.setenv("QC_KEEP_OK_DAYS", "7")
    assert Settings(home=home).keep_ok_days == 7
    refused = call(line, "PATCH", "/settings", json={"values": {"keep_ok_days": 60}})
    assert refused.status_code == 409
    monkeypatch.delenv("QC_KEEP_OK_DAYS")
    assert not call(line, "PATCH", "/settings", json={"values": {"keep_ok_days": None, "retrain_cron": None}}).json()[
        "restart"
    ]
    assert json.loads((home / "settings.json").read_text()) == {}


@pytest.mark.parametrize(
    ("values", "named"),
    [({"keep_ok_days": -1}, "keep_ok_days"), ({"retrain_cron": "every night"}, "retrain_cron"), ({"port": 1}, "port")],
)
def test_a_setting_that_makes_no_sense_or_is_the_deployments_is_refused_by_name(line, values, named):
    answer = call(line, "PATCH", "/settings", json={"values": values})
    assert answer.status_code == 422
    assert named in answer.json()["error"]["message"]
    assert not (line.context.settings.home / "settings.json").exists()


@pytest.mark.parametrize(
    ("days", "refused"),
    [({}, "0, for ever"), ({"keep_features_days": 30}, "31 or more"), ({"keep_features_days": 31}, "")],
)
def test_features_are_kept_without_their_parts_only_after_they_were_kept_with_them(line, days, refused):
    answer = call(line, "PATCH", "/settings", json={"values": {**days, "keep_anonymous_features_days": 365}})
    if refused:
        assert answer.status_code == 422
        assert refused in answer.json()["error"]["message"]
        return
    assert Settings(home=line.context.settings.home).keep_anonymous_features_days == 365
    forever = call(line, "PATCH", "/settings", json={"values": {"keep_features_days": None}})
    assert "keep_anonymous_features_days" in forever.json()["error"]["message"]


def test_every_setting_is_described_and_secrets_do_not_leave_the_server(line):
    shown = settings_form.show(line.context.settings)
    assert {one.name for one in shown} == set(Settings.model_fields)
    assert all(one.description for one in shown)
    assert all(one.value is None for one in shown if "secret" in one.name or one.name.endswith("_key"))


def test_each_setting_that_a_page_may_change_is_explained_in_every_language():
    """The languages' own lists are checked by their types; this is the list that these go by."""
    listed = (Path(__file__).parents[2] / "frontend/src/text/settings.ts").read_text(encoding="utf-8")
    names = {name for group in settings_form.GROUPS.values() for name in group}
    assert set(re.findall(r'"(\w+)"', listed)) == names


def test_a_products_rules_are_changed_and_the_next_part_is_judged_by_them(line):
    assert line.send(line.picture(dark=20)).json()["verdict"] == "ng"
    found = call(line, "GET", "/products/default").json()
    assert found["classes"] == ["pit"]
    assert [(one["station"], one["width"]) for one in found["views"]] == [("S-1", 120)]
    rules = {"default": {"ng": {}, "review": {}}, "classes": {"pit": {"ng": "never", "review": "never"}}}
    saved = call(line, "PUT", "/products/default", json={"read": found["read"], "content": rules})
    assert saved.status_code == 200, saved.text
    assert line.send(line.picture(dark=20, mark=1), part="P-2").json()["verdict"] == "ok"
    late = call(line, "PUT", "/products/default", json={"read": found["read"], "content": rules})
    assert late.status_code == 409, "somebody else's change is not overwritten"
    wrong = {"read": saved.json()["read"], "content": {"zones": [{"box": [0, 0, 10]}]}}
    refused = call(line, "PUT", "/products/default", json=wrong)
    assert (refused.status_code, "box" in refused.json()["error"]["message"]) == (422, True)
    assert yaml.safe_load((line.context.policies.folder / "default.yaml").read_text())["classes"] == rules["classes"]


def target(square_px: float, *, columns: int = 9, rows: int = 6, lean: float = 0.0, wide: int = 2400) -> np.ndarray:
    """A picture of a chessboard with so many inner corners; `lean` narrows its top by that share."""
    side = 40
    across, down = (columns + 1) * side, (rows + 1) * side
    board = np.kron(np.indices((rows + 1, columns + 1)).sum(0) % 2, np.ones((side, side))).astype(np.uint8) * 200 + 20
    far = 150.0
    w, h = (columns + 1) * square_px, (rows + 1) * square_px
    goal = np.float32([[far + lean * w, far], [far + w - lean * w, far], [far + w, far + h], [far, far + h]])
    source = np.float32([[0, 0], [across, 0], [across, down], [0, down]]) - 0.5
    turned = cv2.getPerspectiveTransform(source, goal - 0.5)
    return cv2.warpPerspective(board, turned, (wide, wide * 3 // 4), flags=cv2.INTER_AREA, borderValue=235)


@pytest.mark.parametrize("square_px", [60.0, 137.3])
def test_a_target_gives_the_scale_to_a_thousandth(square_px):
    found = scale_of(target(square_px), columns=9, rows=6, square_mm=5.0)
    assert found.mm_per_px == pytest.approx(5.0 / square_px, rel=1e-3)
    assert found.spread < 2e-3
    assert len(found.corners) == 54


def test_a_camera_that_does_not_look_straight_shows_in_the_spread():
    assert scale_of(target(100.0, lean=0.03), columns=9, rows=6, square_mm=5.0).spread > 0.02


def test_a_view_is_calibrated_by_a_picture_of_the_target_that_was_sent(line):
    picture = cv2.imencode(".png", target(60.0, wide=900))[1].tobytes()
    sent = line.send(picture, part="TARGET").json()
    wish = {"inspection_id": sent["id"], "n": 0, "columns": 9, "rows": 6, "square_mm": 5.0}
    found = call(line, "POST", "/calibrations", json=wish).json()
    assert found["mm_per_px"] == pytest.approx(5 / 60, rel=2e-3)
    blank = line.send(line.picture()).json()
    refused = call(line, "POST", "/calibrations", json={**wish, "inspection_id": blank["id"]})
    assert (refused.status_code, "no target" in refused.json()["error"]["message"]) == (422, True)


@pytest.mark.parametrize("what", ["the trail is verified", "a scale is looked for"])
def test_while_much_is_computed_the_line_records_its_parts(line, monkeypatch, what):
    sent = line.send(cv2.imencode(".png", target(60.0, wide=900))[1].tobytes(), part="TARGET").json()
    module, name, path, wish = {
        "the trail is verified": (audit_check, "verify", "/audit/verify", None),
        "a scale is looked for": (
            calibrating,
            "scale_of",
            "/calibrations",
            {"inspection_id": sent["id"], "n": 0, "columns": 9, "rows": 6, "square_mm": 5.0},
        ),
    }[what]
    compute, recorded = getattr(module, name), []

    def beside(*given, **named):
        found = compute(*given, **named)
        with line.context.database.write() as session:  # raises after some seconds where the lock is held
            auth.create_key(session, "press", Role.MACHINE, now=line.context.now())
            session.commit()
        recorded.append(name)
        return found

    monkeypatch.setattr(module, name, beside)
    assert call(line, "POST", path, json=wish).status_code == 200
    assert recorded == [name]


def test_connections_are_listed_and_tried(tmp_path, run_line):
    with run_line(tmp_path / "home", mlflow="http://127.0.0.1:9") as line:
        names = [one["name"] for one in call(line, "GET", "/connections").json()["items"]]
        assert names == ["database", "pictures", "mlflow"]
        for name in ("database", "pictures"):
            assert call(line, "POST", f"/connections/{name}/test").json()["ok"]
        away = call(line, "POST", "/connections/mlflow/test").json()
        assert (away["ok"], "refused" in away["problem"].lower()) == (False, True)
        assert call(line, "POST", "/connections/nobody/test").status_code == 404
        assert not list((tmp_path / "home/blobs").glob("trials/*"))


def test_a_page_of_the_trail_looks_at_so_many_entries_and_the_next_one_goes_on(line, monkeypatch):
    for mark in range(5):
        line.send(line.picture(mark=mark), part=f"P-{mark}")
    whole = call(line, "GET", "/audit").json()["items"]

    def pages(**params: str) -> list[list[str]]:
        found, before = [], {}
        while True:
            page = call(line, "GET", "/audit", params={**params, **before}).json()
            found.append([one["subject"] for one in page["items"]])
            if page["next_before"] is None:
                return found
            assert len(found) < 99, "it never ends"
            before = {"before": page["next_before"]}

    def told(**params: str) -> list[str]:
        return [subject for page in pages(**params) for subject in page]

    def fit(true: Callable[[dict], bool]) -> list[str]:
        return [one["subject"] for one in whole if true(one)]

    monkeypatch.setattr(audit_pages, "LOOKS", 2)
    assert [len(page) for page in pages(words='"P-1"', kind="verdict")] == [0, 1, 0]
    assert told(words='"P-1"', kind="verdict") == fit(lambda one: '"P-1"' in one["body"] and one["kind"] == "verdict")
    assert told(by="server") == fit(lambda one: one["by"] == "server")
    assert told(words="P-", limit="1") == fit(lambda one: "P-" in one["body"])
    since = whole[1]["at"]
    assert told(since=since) == fit(lambda one: one["at"] >= since)
    monkeypatch.setattr(audit_pages, "CLOCK", timedelta(days=-1))  # as if all of it were older than that
    assert pages(since=since) == [fit(lambda one: one["at"] >= since)]


def test_the_trail_is_read_filtered_taken_away_and_checked(line):
    for mark in range(3):
        line.send(line.picture(mark=mark), part=f"P-{mark}")
    page = call(line, "GET", "/audit", params={"kind": "verdict", "limit": 2}).json()
    assert [one["kind"] for one in page["items"]] == ["verdict"] * 2
    rest = call(line, "GET", "/audit", params={"kind": "verdict", "before": page["next_before"]}).json()
    assert (len(rest["items"]), rest["next_before"]) == (1, None)
    found = call(line, "GET", "/audit", params={"words": '"P-1"'}).json()["items"]
    assert len(found) == 1
    table = list(csv.DictReader(io.StringIO(call(line, "GET", "/audit.csv").text.removeprefix("\ufeff"))))
    assert [int(row["n"]) for row in table] == list(range(len(table), 0, -1))
    assert call(line, "POST", "/audit/verify").json()["whole"]
    with line.context.database.write() as session:
        session.connection().exec_driver_sql("update inspection set verdict = 'NG' where part = 'P-1'")
        session.commit()
    spoilt = call(line, "POST", "/audit/verify").json()
    assert (spoilt["whole"], spoilt["entries"]) == (False, None)
    assert "verdict" in spoilt["problem"]


def wait_for_job(line, id: str) -> dict:
    until = time.monotonic() + 30
    while (job := call(line, "GET", f"/jobs/{id}").json())["state"] in ("waiting", "running"):
        assert time.monotonic() < until, job
        time.sleep(0.05)
    return job


def test_a_backup_is_made_beside_the_running_server_and_can_be_put_back(line, tmp_path):
    line.send(line.picture(dark=20))
    asked = call(line, "POST", "/backups").json()
    assert wait_for_job(line, asked["id"])["state"] == "done"
    page = call(line, "GET", "/backups").json()
    assert page["same_disk"]
    assert page["pictures_elsewhere"] is None
    [one] = page["items"]
    assert one["inspections"] == 1
    back = restore(line.context.settings.home / "backups" / one["name"], tmp_path / "restored")
    assert back.inspections == 1
    assert call(line, "DELETE", f"/backups/{one['name']}").status_code == 204
    assert call(line, "GET", "/backups").json()["items"] == []
    assert call(line, "DELETE", "/backups/..").status_code in (404, 405)
    with line.context.database.read() as session:
        audit_check.verify(session)
