"""A camera sends, the server judges, a person decides."""

from __future__ import annotations

import hashlib
import io
import threading

import cv2
import numpy as np
import pytest
from PIL import Image
from sqlmodel import select

from qc.ports import Segmentation
from qc.records import Exposure, Inspection
from server.access import Role


def test_a_part_with_a_dark_spot_is_not_good_and_the_answer_has_the_words_of_the_contract(line):
    sent = line.picture(dark=12)
    answer = line.send(sent, part="P-7", station="S-2", view="top")
    assert answer.status_code == 201
    told = answer.json()
    assert {"id", "part", "station", "verdict", "score", "model", "elapsed_ms", "received_at", "images"} <= set(told)
    assert (told["part"], told["station"], told["verdict"], told["model"]) == ("P-7", "S-2", "ng", "sha256:dark-spots")
    assert told["elapsed_ms"] > 0
    assert told["progress"] == "done"
    (image,) = told["images"]
    assert (image["view"], image["width"], image["height"]) == ("top", 120, 90)
    assert image["sha256"] == hashlib.sha256(sent).hexdigest()
    (defect,) = image["defects"]
    assert defect["class"] == "pit"
    assert defect["bbox"] == [20, 10, 12, 12]
    assert defect["area_px"] == 144
    assert defect["counts"] is True
    assert [20, 10] in defect["outline"][0]
    assert line.get(f"/inspections/{told['id']}").json() == told


def test_the_part_is_as_bad_as_its_worst_view(line):
    told = line.send(line.picture(), line.picture(doubtful=9), line.picture(), view=["left", "top", "right"]).json()
    assert told["verdict"] == "review"
    assert [image["verdict"] for image in told["images"]] == ["ok", "review", "ok"]
    assert [image["view"] for image in told["images"]] == ["left", "top", "right"]
    assert told["score"] == max(image["score"] for image in told["images"])


def test_the_same_trigger_again_gives_the_first_answer_and_stores_nothing(line):
    first = line.send(line.picture(dark=5), trigger_id="T-1")
    again = line.send(line.picture(), trigger_id="T-1")
    elsewhere = line.send(line.picture(), trigger_id="T-1", station="S-9")
    assert (first.status_code, again.status_code, elsewhere.status_code) == (201, 200, 201)
    assert again.json() == first.json()
    with line.context.database.read() as session:
        assert len(session.exec(select(Inspection)).all()) == 2
        assert len(session.exec(select(Exposure)).all()) == 2


class Slow:
    """Lets a test hold an inspection in the middle."""

    model_id, classes, threshold = "sha256:slow", {1: "pit"}, 0.5
    edge = 0.5

    def __init__(self):
        self.begun, self.go, self.looks = threading.Event(), threading.Event(), 0

    def segment(self, pixels):
        self.looks += 1
        self.begun.set()
        assert self.go.wait(20)
        return Segmentation(np.full(pixels.shape[:2], -9, np.float16), np.ones(pixels.shape[:2], np.uint8))


def test_triggers_that_arrive_together_are_one_inspection_and_get_one_answer(run_line, tmp_path):
    slow = Slow()
    with run_line(tmp_path, slow) as line:
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(line.send(line.picture(), trigger_id="T"))) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        assert slow.begun.wait(20)
        slow.go.set()
        for thread in threads:
            thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert slow.looks == 1


def test_a_part_too_many_is_turned_away_and_nothing_of_it_is_kept(run_line, tmp_path):
    slow = Slow()
    with run_line(tmp_path, slow, max_waiting=1) as line:
        first = threading.Thread(target=lambda: line.send(line.picture(), part="first"))
        first.start()
        assert slow.begun.wait(20)
        refused = line.send(line.picture(), part="second")
        slow.go.set()
        first.join()
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "unavailable"
        assert refused.headers["retry-after"] == "1"
        assert [item["part"] for item in line.get("/inspections").json()["items"]] == ["first"]


class Broken:
    model_id, classes, threshold = "sha256:broken", {1: "pit"}, 0.5
    edge = 0.5

    def segment(self, pixels):
        raise RuntimeError("out of memory")


def test_a_part_that_cannot_be_inspected_is_set_aside_for_a_person_and_never_ok(run_line, tmp_path):
    with run_line(tmp_path, Broken()) as line:
        answer = line.send(line.picture())
        assert answer.status_code == 201
        told = answer.json()
        assert (told["progress"], told["verdict"]) == ("failed", "review")
        assert "out of memory" in told["problem"]
        assert line.get("/health").status_code == 200


def encoded(kind: str, pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


GREY = np.full((40, 50), 180, np.uint8)


@pytest.mark.parametrize(
    ("kind", "pixels"),
    [
        ("JPEG", GREY),
        ("PNG", GREY),
        ("BMP", GREY),
        ("TIFF", GREY),
        ("PNG", np.dstack([GREY] * 3)),
        ("TIFF", np.dstack([GREY] * 3)),
        ("PNG", GREY.astype(np.uint16) * 257),
        ("TIFF", GREY.astype(np.uint16) * 257),
    ],
)
def test_every_kind_of_picture_comes_back_byte_for_byte_with_its_hash(line, kind, pixels):
    data = encoded(kind, pixels)
    told = line.send(data, names=[f"shot.{kind.lower()}"]).json()
    assert told["verdict"] == "ok"
    back = line.get(f"/inspections/{told['id']}/images/0/original")
    assert back.content == data
    assert back.headers["content-type"] == f"image/{kind.lower()}"
    assert back.headers["etag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    tag = {"If-None-Match": back.headers["etag"]}
    assert line.get(f"/inspections/{told['id']}/images/0/original", headers=tag).status_code == 304


def test_what_is_no_good_picture_is_refused_with_its_reason_and_leaves_no_trace(line):
    whole = line.picture(ending=".jpg")
    for name, data, word in [
        ("cut.jpg", whole[: len(whole) // 2], "truncated"),
        ("cut.png", line.picture()[:-30], "truncated"),
        ("note.png", b"this is not a picture", "not a JPEG, PNG, BMP or TIFF"),
        ("wrong.png", whole, "holds a JPEG"),
        ("empty.png", b"", "empty"),
    ]:
        answer = line.send(data, names=[name])
        assert answer.status_code == 422, name
        error = answer.json()["error"]
        assert set(error) == {"code", "message", "details"}
        assert word.lower() in error["message"].lower(), error
        assert name in error["message"]
    assert line.get("/inspections").json()["items"] == []
    assert not any((line.context.settings.home / "blobs").rglob("*.*"))
    assert line.send(line.picture()).status_code == 201


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"part": " "}, "part"),
        ({"station": "S\n1"}, "station"),
        ({"view": ["top", "left"]}, "2 views"),
        ({"trigger_id": "x" * 300}, "trigger_id"),
        ({"product": "../../etc/passwd"}, "product"),
        ({"process": '{"s01.force": "high"}'}, "s01.force"),
        ({"process": '{"s01.force": NaN}'}, "s01.force"),
        ({"process": "[1]"}, "process"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_by_name(line, fields, word):
    answer = line.send(line.picture(), **fields)
    assert answer.status_code == 422
    assert word in answer.json()["error"]["message"]


def test_too_many_bytes_are_refused_before_they_are_read(run_line, tmp_path):
    with run_line(tmp_path, max_upload_mb=1) as line:
        answer = line.send(b"x" * 1_100_000)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"

        def drip():
            yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
            for _ in range(30):
                yield b"x" * 50_000

        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        unstated = line.post("/inspections", Role.MACHINE, content=drip(), headers=kind)
        assert unstated.status_code == 413


def test_pages_of_inspections_come_newest_first_and_lose_none_while_parts_arrive(line):
    ids = [line.send(line.picture(dark=4 * (n % 2)), part=f"P-{n}").json()["id"] for n in range(5)]
    first = line.get("/inspections", params={"limit": 2}).json()
    line.send(line.picture(), part="latecomer")
    second = line.get("/inspections", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    third = line.get("/inspections", params={"limit": 2, "cursor": second["next_cursor"]}).json()
    seen = [item["id"] for page in (first, second, third) for item in page["items"]]
    assert seen == ids[::-1]
    assert third["next_cursor"] is None
    bad = line.get("/inspections", params={"verdict": "ng"}).json()["items"]
    assert [item["part"] for item in bad] == ["P-3", "P-1"]
    since = line.get(f"/inspections/{ids[3]}").json()["received_at"]
    late = line.get("/inspections", params={"since": since}).json()["items"]
    assert [item["part"] for item in late] == ["latecomer", "P-4", "P-3"]
    assert line.get("/inspections", params={"since": "2026-01-01T00:00:00"}).status_code == 422


def test_the_operators_word_stands_beside_the_verdict_and_the_newest_counts(line):
    told = line.send(line.picture(dark=8)).json()
    path = f"/inspections/{told['id']}/decision"
    first = line.post(path, Role.OPERATOR, json={"verdict": "ok", "reason": "a hair"})
    assert first.status_code == 201
    assert first.json()["decision"]["verdict"] == "ok"
    assert first.json()["verdict"] == "ng"
    line.post(path, Role.OPERATOR, json={"verdict": "ok", "reason": "a hair"})  # the key was pressed twice
    line.post(path, Role.ENGINEER, json={"verdict": "ng", "reason": "no: a pit"})
    now = line.get(f"/inspections/{told['id']}").json()["decision"]
    assert (now["verdict"], now["by"]) == ("ng", "engineer key")
    assert line.post(path, Role.OPERATOR, json={"verdict": "perhaps"}).status_code == 422
    assert line.post("/inspections/none/decision", Role.OPERATOR, json={"verdict": "ok"}).status_code == 404


def test_a_hook_that_fails_costs_its_own_work_but_not_the_verdict(line):
    def opens_half_a_task(session, inspection, exposures):
        inspection.problem = "half done"
        session.add(inspection)
        session.flush()
        raise RuntimeError("the other half is missing")

    line.context.after_inspection.append(opens_half_a_task)
    told = line.send(line.picture(dark=6)).json()
    assert (told["verdict"], told["progress"], told["problem"]) == ("ng", "done", None)


def test_stations_count_what_they_saw(line):
    for dark in (0, 8, 0):
        line.send(line.picture(dark=dark), station="S-1")
    line.send(line.picture(doubtful=8), station="S-2")
    told = {station["name"]: station for station in line.get("/stations").json()}
    assert {k: told["S-1"][k] for k in ("inspected", "ok", "review", "ng")} == {
        "inspected": 3,
        "ok": 2,
        "review": 0,
        "ng": 1,
    }
    assert told["S-2"]["review"] == 1


def test_an_edited_policy_holds_from_the_next_part_and_a_broken_one_changes_nothing(line):
    file = line.context.settings.home / "products" / "default.yaml"
    assert line.send(line.picture(dark=8)).json()["verdict"] == "ng"
    file.write_text("product: default\nclasses:\n  pit: {ng: {area_px: 100}, review: never}\n")
    assert line.send(line.picture(dark=8)).json()["verdict"] == "ok"
    file.write_text("product: default\nclasses: {pit: {ng: sometimes}}\n# saved half-way\n")
    assert line.send(line.picture(dark=8)).json()["verdict"] == "ok"
    health = line.get("/health").json()
    assert health["components"]["policies"]["state"] == "degraded"
    assert "default.yaml" in health["components"]["policies"]["message"]
    (file.parent / "bar.yaml").write_text("product: bar\nclasses: {pit: {ng: {area_px: 50}}}\n")
    assert line.send(line.picture(dark=8), product="bar").json()["verdict"] == "ng"


def test_process_values_sent_with_the_pictures_are_kept(line):
    told = line.send(line.picture(), process='{"s01-draw.force": 14.25}').json()
    assert told["process_values"] == {"s01-draw.force": 14.25}


def test_an_rgb_picture_is_seen_in_its_own_colours(line):
    bgr = np.full((60, 60, 3), 200, np.uint8)
    told = line.send(bytes(cv2.imencode(".png", bgr)[1])).json()
    assert told["verdict"] == "ok"
