"""What the encoder saw is kept with the verdict, found again, watched, learnt from, made anew and forgotten."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pytest
from sqlmodel import select

from labeling.records import Annotation, LabelTask, TaskState
from process_opt.records import Outcome, Recommendation
from qc.drift import LEARN
from qc.ports import Segmentation
from qc.records import Exposure, Inspection, Progress
from qc.verdict import Verdict
from segmentation import heads
from server import auth, drift_labels, features, features_job
from server.access import Role
from server.features_records import IMAGE, Feature, Head, Suggestion

CELL = 16


@dataclass
class Seeing:
    """Calls dark spots pits, and says of each place how bright it is, in as many numbers as a small encoder gives.

    Two grey levels of a spot are two kinds of defect that the model itself cannot tell apart.
    """

    model_id: str = "sha256:seeing"
    shift: float = 0.0
    threshold: float = 0.5
    edge: float = 0.5
    classes = {1: "pit"}  # noqa: RUF012

    def segment(self, pixels):
        log_odds = np.where(pixels < 60, 5.0, np.where(pixels < 100, -2.5, -9.0)).astype(np.float16)
        height, width = pixels.shape
        padded = np.pad(pixels.astype(np.float32), ((0, -height % CELL), (0, -width % CELL)), mode="edge")
        grid = padded.reshape(padded.shape[0] // CELL, CELL, padded.shape[1] // CELL, CELL)
        mean, low = grid.mean(axis=(1, 3)) / 255, grid.min(axis=(1, 3)) / 255
        cells = np.stack([mean + self.shift, low, mean * low, mean**2]).astype(np.float16)
        return Segmentation(log_odds, np.ones(pixels.shape, np.uint8), cells, CELL)


def spot(line, grey: int, *, mark: int = 0) -> bytes:
    """A picture with one spot of some grey level; another mark is another picture of it."""
    import cv2

    picture = np.full((96, 128), 180, np.uint8)
    picture[0, 0] = 180 + mark
    picture[16 : 28 + mark % 3, 32 : 44 + mark % 4] = grey
    return bytes(cv2.imencode(".png", picture)[1])


def wait_for(true, *, patience=120):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def indexed(line, number: int) -> None:
    wait_for(lambda: len(line.context.features) >= number)


@pytest.fixture
def seeing(run_line, tmp_path):
    with run_line(tmp_path / "home", Seeing(), camera_checks=False) as line:
        yield line


def test_vectors_of_the_image_and_of_each_defect_are_kept_in_the_verdicts_transaction(seeing):
    told = seeing.send(spot(seeing, 20), part="P-1").json()
    with seeing.context.database.read() as session:
        rows = {row.defect: row for row in session.exec(select(Feature))}
        assert set(rows) == {IMAGE, 0}
        assert (rows[0].inspection_id, rows[0].kind, rows[0].encoder) == (told["id"], "pit", "sha256:seeing")
        assert rows[0].station == "S-1"
        (one,) = features.vectors(session, [(told["id"], 0, 0)]).values()
        assert one.shape == (4,)
        assert one[1] == pytest.approx(20 / 255, abs=1e-2)
    indexed(seeing, 1)


def test_a_defect_is_found_again_on_other_parts_with_what_was_said_of_them(seeing):
    dark = [seeing.send(spot(seeing, 10, mark=n), part=f"D-{n}").json() for n in range(4)]
    grey = [seeing.send(spot(seeing, 55, mark=n), part=f"G-{n}").json() for n in range(4)]
    word = {"verdict": "ok", "reason": "only dirt"}
    assert seeing.post(f"/inspections/{grey[1]['id']}/decision", Role.OPERATOR, json=word).status_code == 201
    indexed(seeing, 8)
    page = seeing.get(f"/inspections/{grey[0]['id']}/defects/0/similar", params={"limit": 3}).json()
    assert {item["part"] for item in page["items"]} == {"G-1", "G-2", "G-3"}
    decided = next(item for item in page["items"] if item["part"] == "G-1")
    assert (decided["decision"], decided["reason"], decided["model_class"]) == ("ok", "only dirt", "pit")
    assert [item["similarity"] for item in page["items"]] == sorted(
        (item["similarity"] for item in page["items"]), reverse=True
    )
    assert seeing.get(f"/inspections/{dark[0]['id']}/defects/9/similar").status_code == 404


def test_a_similar_defect_comes_with_how_its_part_was_made(seeing):
    parts = [seeing.send(spot(seeing, 55, mark=n), part=f"G-{n}").json() for n in range(3)]
    now = seeing.context.now()
    asked = {"part": "G-1", "at": "s20-heat", "observed": {"s01-draw.force": 14.2, "s15-inspect.angle": 1.3}}
    done = {"part": "G-1", "observed": {"s01-draw.force": 14.0, "s20-heat.temperature": None}}
    with seeing.context.database.write() as session:
        session.add(Recommendation(process="bar", part="G-1", at="s20-heat", request=asked, answer={}, asked_at=now))
        session.add(Outcome(process="bar", part="G-1", content=done, received_at=now))
        session.add(Outcome(process="other", part="G-9", content=done | {"part": "G-9"}, received_at=now))
        session.commit()
    indexed(seeing, 3)
    items = seeing.get(f"/inspections/{parts[0]['id']}/defects/0/similar").json()["items"]
    assert {item["part"]: item["process"] for item in items} == {
        "G-1": {"bar": {"s01-draw.force": 14.0, "s15-inspect.angle": 1.3}},
        "G-2": {},
    }


def test_a_restart_finds_what_was_found_before(run_line, tmp_path):
    with run_line(tmp_path, Seeing(), camera_checks=False) as line:
        ids = [line.send(spot(line, 20, mark=n), part=f"P-{n}").json()["id"] for n in range(3)]
    with run_line(tmp_path, Seeing(), camera_checks=False) as line:
        indexed(line, 3)
        assert len(line.get(f"/inspections/{ids[0]}/defects/0/similar").json()["items"]) == 2


def test_features_of_an_earlier_model_are_made_anew_and_heads_learnt_again(run_line, tmp_path):
    with run_line(tmp_path, Seeing(), camera_checks=False) as line:
        ids = [line.send(spot(line, 10, mark=n), part=f"D-{n}").json()["id"] for n in range(5)]
        ids += [line.send(spot(line, 55, mark=n), part=f"G-{n}").json()["id"] for n in range(5)]
        indexed(line, 10)
        wish = {"name": "stain", "examples": [{"inspection": i, "defect": 0} for i in ids[5:]]}
        assert line.post("/heads", json=wish).status_code == 201
        with line.context.database.read() as session:
            before = features.vector(session, (ids[0], 0, 0))
    with run_line(tmp_path, Seeing("sha256:another", shift=0.25), camera_checks=False) as line:

        def made():  # the first start may have asked for it, too, with nothing to make
            done = [job["result"] for job in line.get("/jobs?kind=remake_features").json()["items"] if job["result"]]
            return [result for result in done if result["made"]]

        wait_for(made)
        assert made() == [{"made": 10, "pictures_gone": 0, "heads_learnt_again": ["stain"]}]
        with line.context.database.read() as session:
            assert {row.encoder for row in session.exec(select(Feature))} == {"sha256:another"}
            after = features.vector(session, (ids[0], 0, 0))
            assert after[0] - before[0] == pytest.approx(0.25, abs=1e-2)
        indexed(line, 10)
        (head, old) = line.get("/heads").json()["items"]
        assert (head["encoder"], head["retired_at"]) == ("sha256:another", None)
        assert old["retired_at"] is not None


@pytest.mark.parametrize("to_review", [False, True])
def test_a_class_learnt_from_ten_examples_is_suggested_and_at_most_sends_an_ok_part_to_a_person(
    seeing, to_review, monkeypatch
):
    """Spots of grey 62 to 99 are doubtful to the model, and too unlikely for its review: their parts are ok."""
    stains = [seeing.send(spot(seeing, 95, mark=n), part=f"A-{n}").json() for n in range(10)]
    assert {told["verdict"] for told in stains} == {"ok"}
    for n in range(10):
        seeing.send(spot(seeing, 65, mark=n), part=f"B-{n}")
    indexed(seeing, 20)
    wish = {"name": "stain", "examples": [{"inspection": told["id"], "defect": 0} for told in stains]}
    assert seeing.post("/heads", Role.OPERATOR, json=wish).status_code == 403
    learn = heads.learn

    def learn_beside_the_line(*given):
        with seeing.context.database.write() as session:  # raises after some seconds where the lock is held
            auth.create_key(session, "press", Role.MACHINE, now=seeing.context.now())
            session.commit()
        return learn(*given)

    monkeypatch.setattr(heads, "learn", learn_beside_the_line)
    learnt = seeing.post("/heads", json=wish | {"to_review": to_review})
    assert learnt.status_code == 201, learnt.text
    assert learnt.json()["figures"]["average_precision"] > 0.9
    new = seeing.send(spot(seeing, 94, mark=31), part="P-new").json()
    other = seeing.send(spot(seeing, 66, mark=32), part="P-other").json()
    bad = seeing.send(spot(seeing, 20, mark=33), part="P-bad").json()
    assert (new["verdict"], other["verdict"], bad["verdict"]) == ("review" if to_review else "ok", "ok", "ng")
    (said,) = seeing.get(f"/inspections/{new['id']}/defects/0/similar").json()["suggestions"]
    assert (said["name"], said["moved"]) == ("stain", to_review)
    assert said["probability"] > 0.5
    with seeing.context.database.read() as session:
        assert session.get(Inspection, bad["id"]).verdict == Verdict.NG
    assert seeing.post(f"/heads/{learnt.json()['id']}/retire").status_code == 200
    assert seeing.send(spot(seeing, 94, mark=40), part="P-later").json()["verdict"] == "ok"


def test_too_few_examples_are_refused_with_a_number(seeing):
    told = seeing.send(spot(seeing, 20), part="P-1").json()
    answer = seeing.post("/heads", json={"name": "stain", "examples": [{"inspection": told["id"], "defect": 0}]})
    assert answer.status_code == 422
    assert "too few" in answer.json()["error"]["message"]


def test_what_people_drew_becomes_the_label_of_a_defect(seeing):
    told = seeing.send(spot(seeing, 95), part="P-1").json()
    x, y, width, height = told["images"][0]["defects"][0]["bbox"]
    drawn = np.zeros((96, 128), np.uint8)
    drawn[y : y + height, x : x + width] = 4
    assert features.said_of(drawn, {"4": "stain"}, [x, y, width, height], 0, 0) == "stain"
    assert features.said_of(drawn * 0, {"4": "stain"}, [x, y, width, height], 0, 0) == ""
    assert features.said_of(drawn * 0 + 255, {"4": "stain"}, [x, y, width, height], 0, 0) is None
    assert features.said_of(drawn[:8, :8], {"4": "stain"}, [x, y, width, height], 0, 0) is None
    with seeing.context.database.write() as session:
        now = seeing.context.now()
        crop = {"crop_x": 0, "crop_y": 0, "crop_width": 128, "crop_height": 96}
        task = LabelTask(
            inspection_id=told["id"],
            n=0,
            part="P-1",
            station="S-1",
            reason="review",
            urgency=0.5,
            opened_at=now,
            **crop,
        )
        session.add(task)
        session.flush()
        said = {
            "studio_project": "1",
            "studio_annotation_id": 1,
            "by": "eva",
            "mask_key": "m",
            "classes": {"4": "stain"},
        }
        session.add(Annotation(label_task_id=task.id, updated_at=now, received_at=now, **said))
        session.flush()
        assert features.take_labels(session, lambda key: drawn) == 1
        assert features.take_labels(session, lambda key: drawn) == 0
        assert session.get(Feature, (told["id"], 0, 0)).label == "stain"


def test_an_erased_part_is_no_longer_found_and_no_example(seeing):
    ids = [seeing.send(spot(seeing, 10, mark=n), part=f"D-{n}").json()["id"] for n in range(5)]
    ids += [seeing.send(spot(seeing, 55, mark=n), part=f"G-{n}").json()["id"] for n in range(5)]
    indexed(seeing, 10)
    wish = {"name": "stain", "examples": [{"inspection": i, "defect": 0} for i in ids[5:]]}
    assert seeing.post("/heads", json=wish).status_code == 201
    job = seeing.post("/erasures", Role.ADMIN, json={"part": "G-1", "reason": "asked"}).json()["id"]
    wait_for(lambda: seeing.get(f"/jobs/{job}").json()["state"] == "done")
    near = seeing.get(f"/inspections/{ids[5]}/defects/0/similar", params={"limit": 20}).json()["items"]
    assert "G-1" not in {item["part"] for item in near}
    assert len(near) == 8
    with seeing.context.database.read() as session:
        assert session.exec(select(Feature).where(Feature.inspection_id == ids[6])).all() == []
        (head,) = session.exec(select(Head)).all()
        assert len(head.examples) == 4


def test_features_have_a_time_of_their_own(seeing):
    old = seeing.send(spot(seeing, 20), part="P-old").json()["id"]
    new = seeing.send(spot(seeing, 25, mark=1), part="P-new").json()["id"]
    with seeing.context.database.write() as session:
        row = session.get(Inspection, old)
        row.received_at = seeing.context.now() - timedelta(days=30)
        for feature in session.exec(select(Feature).where(Feature.inspection_id == old)):
            feature.at = row.received_at
        assert features.forget_before(session, seeing.context.now() - timedelta(days=10)) == 2
        session.commit()
    with seeing.context.database.read() as session:
        assert {row.inspection_id for row in session.exec(select(Feature))} == {new}
        assert session.get(Exposure, (old, 0)).original_key, "the picture has a time of its own"
        assert session.exec(select(Suggestion)).all() == []


def looks(line, number: int, *, moved: float = 0.0, seed: int = 0, strange: tuple[int, ...] = ()) -> list[str]:
    """So many parts whose surface looks as ever, or a little different, some very; told to whoever watches."""
    random = np.random.default_rng(seed)
    ids = []
    with line.context.database.write() as session:
        for n in range(number):
            row = Inspection(
                part=f"P-{seed}-{n}", station="S-1", product="default", progress=Progress.DONE, verdict=Verdict.OK,
                score=0.01, model="sha256:seeing", received_at=line.context.now(),
            )  # fmt: skip
            session.add(row)
            session.flush()
            size = {"width": 8, "height": 8, "sha256": "0", "original_key": "k", "format": "PNG"}
            exposure = Exposure(inspection_id=row.id, n=0, **size)
            session.add(exposure)
            session.flush()
            seen = random.normal(0, 1, 152).astype(np.float32) + moved
            seen[:15] += 5 * (n in strange)
            found = features.Features(seen, ())
            features.keep(session, row, [exposure], [found], encoder="sha256:seeing", runtime="torch")
            ids.append(row.id)
        session.commit()
    line.context.drift.looked_at(ids)
    return ids


def test_a_surface_that_looks_different_raises_an_alarm_within_fifty_parts_and_people_label_what_is_new(seeing):
    steady = looks(seeing, LEARN + 100)
    assert seeing.get("/alarms", params={"kind": "appearance"}).json()["items"] == []
    changed = looks(seeing, 50, moved=0.5, seed=1, strange=(20, 23))
    (alarm,) = seeing.get("/alarms", params={"kind": "appearance"}).json()["items"]
    assert (alarm["station"], len(alarm["before"]), len(alarm["after"])) == ("S-1", 8, 8)
    assert abs((steady + changed).index(alarm["after"][0]) - len(steady)) <= 5, "it says since when"
    wait_for(lambda: seeing.get("/label-tasks").json()["items"])
    tasks = seeing.get("/label-tasks").json()["items"]
    asked = {task["inspection_id"] for task in tasks}
    assert (len(asked), asked <= set(changed)) == (drift_labels.ASKED, True)
    assert {changed[20], changed[23]} <= asked
    assert {(task["reason"], task["why"]) for task in tasks} == {("drift", alarm["message"])}
    closed = seeing.post(f"/alarms/{alarm['id']}/close", json={"reason": "a new lamp", "relearn": True})
    assert closed.status_code == 200
    looks(seeing, LEARN + 60, moved=0.5, seed=2)
    assert seeing.get("/alarms", params={"kind": "appearance", "only_open": True}).json()["items"] == []


def test_without_features_all_is_as_it_was(run_line, tmp_path):
    with run_line(tmp_path, replace(Seeing()), camera_checks=False, features=False) as line:
        told = line.send(spot(line, 20), part="P-1").json()
        assert told["verdict"] == "ng"
        assert line.get(f"/inspections/{told['id']}/defects/0/similar").status_code == 503


def test_forgetting_is_off_unless_asked_for(seeing):
    assert features_job.forget(seeing.context, None) == {"forgotten": 0}


def stained(line, *, x: int | None = None, mark: int = 0) -> bytes:
    """A picture with a pale stain at some column, which the model takes for surface; None: without one."""
    import cv2

    picture = np.full((96, 128), 180, np.uint8)
    picture[0, 0] = 100 + mark
    if x is not None:
        picture[40:64, x : x + 24] = 130
    return bytes(cv2.imencode(".png", picture)[1])


def labelled(line, part: str, *, x: int | None, mark: int) -> None:
    """A part that somebody labelled: the stain where there is one."""
    import cv2

    told = line.send(stained(line, x=x, mark=mark), part=part).json()
    drawn = np.zeros((96, 128), np.uint8)
    if x is not None:
        drawn[40:64, x : x + 24] = 7
    line.context.blobs.put(f"labels/{part}.png", bytes(cv2.imencode(".png", drawn)[1]))
    now = line.context.now()
    with line.context.database.write() as session:
        crop = {"crop_x": 0, "crop_y": 0, "crop_width": 128, "crop_height": 96}
        task = LabelTask(
            inspection_id=told["id"],
            n=0,
            part=part,
            station="S-1",
            reason="sample",
            urgency=0.5,
            opened_at=now,
            state=TaskState.DONE,
            **crop,
        )
        session.add(task)
        session.flush()
        said = {"studio_project": "1", "studio_annotation_id": mark, "by": "eva", "mask_key": f"labels/{part}.png"}
        classes = {"1": "pit", "7": "stain"}
        session.add(Annotation(label_task_id=task.id, updated_at=now, received_at=now, classes=classes, **said))
        session.commit()


def test_a_class_that_the_model_never_saw_is_found_in_past_pictures_and_a_person_is_asked(seeing):
    for n in range(5):
        labelled(seeing, f"L-{n}", x=8 + 16 * n, mark=n)
        labelled(seeing, f"C-{n}", x=None, mark=10 + n)
    for n in range(6):
        seeing.send(stained(seeing, mark=20 + n), part=f"clean-{n}")
    hidden = [seeing.send(stained(seeing, x=60 + 12 * n, mark=30 + n), part=f"hidden-{n}").json() for n in range(3)]
    assert [(told["verdict"], told["images"][0]["defects"]) for told in hidden] == [("ok", [])] * 3
    wish = {"name": "stain"}
    assert seeing.post("/heads/search", Role.OPERATOR, json=wish).status_code == 403
    asked = seeing.post("/heads/search", json=wish)
    assert asked.status_code == 202, asked.text
    wait_for(lambda: seeing.get(f"/jobs/{asked.json()['id']}").json()["state"] in ("done", "failed"))
    job = seeing.get(f"/jobs/{asked.json()['id']}").json()
    assert job["result"] == {"examples": 5, "others": 5, "parts": 9, "tasks": 3}, job["problem"]
    tasks = [one for one in seeing.get("/label-tasks").json()["items"] if one["why"]]
    assert {one["part"] for one in tasks} == {"hidden-0", "hidden-1", "hidden-2"}
    assert {one["why"].split(",")[0] for one in tasks} == {"It looks like stain"}
    for told in hidden:
        assert seeing.get(f"/inspections/{told['id']}").json()["verdict"] == "ok", (
            "a verdict is no business of a search"
        )
    entry = seeing.get("/audit", Role.ADMIN, params={"kind": "class search"}).json()["items"][0]
    assert (entry["subject"], json.loads(entry["body"])["tasks"]) == ("stain", 3)


def test_a_class_that_nobody_drew_is_not_looked_for_and_the_job_says_why(seeing):
    asked = seeing.post("/heads/search", json={"name": "stain"}).json()
    wait_for(lambda: seeing.get(f"/jobs/{asked['id']}").json()["state"] == "failed")
    assert "draw it on 4 or more" in seeing.get(f"/jobs/{asked['id']}").json()["problem"]


def test_a_class_made_of_named_defects_is_looked_for_once_by_itself(seeing):
    """Spots of grey 105 to 115 are nothing to the model; people named five that it found, and said of five parts ok."""
    for n in range(5):
        good = seeing.send(stained(seeing, mark=n), part=f"good-{n}").json()
        seeing.post(f"/inspections/{good['id']}/decision", Role.OPERATOR, json={"verdict": "ok", "reason": "good"})
    hidden = [seeing.send(spot(seeing, 105 + 5 * n, mark=40 + n), part=f"hidden-{n}").json() for n in range(3)]
    assert [(told["verdict"], told["images"][0]["defects"]) for told in hidden] == [("ok", [])] * 3
    others = [seeing.send(spot(seeing, 20, mark=n), part=f"pit-{n}").json() for n in range(5)]
    named = [seeing.send(spot(seeing, 95, mark=n), part=f"stain-{n}").json() for n in range(5)]
    indexed(seeing, 10)
    wish = {"name": "stain", "examples": [{"inspection": told["id"], "defect": 0} for told in named]}
    assert seeing.post("/heads", json=wish).status_code == 201

    def searches() -> list[dict]:
        return seeing.get("/jobs?kind=search_class").json()["items"]

    wait_for(lambda: [job["state"] for job in searches()] in (["done"], ["failed"]))
    (job,) = searches()
    assert (job["result"]["examples"], job["result"]["others"]) == (5, 5), job
    asked = {one["part"] for one in seeing.get("/label-tasks").json()["items"] if one["why"]}
    assert {"hidden-0", "hidden-1", "hidden-2"} <= asked <= {told["part"] for told in (*hidden, *others)}
    entry = seeing.get("/audit", Role.ADMIN, params={"kind": "class search"}).json()["items"][0]
    assert (entry["subject"], entry["by"]) == ("stain", "engineer key")
    assert seeing.post("/heads", json=wish).status_code == 201
    assert len(searches()) == 1


def test_a_class_of_which_too_little_is_known_is_not_looked_for_by_itself_and_nothing_fails(seeing):
    named = [seeing.send(spot(seeing, 95, mark=n), part=f"stain-{n}").json() for n in range(4)]
    for n in range(4):
        seeing.send(spot(seeing, 20, mark=n), part=f"pit-{n}")
    indexed(seeing, 8)
    wish = {"name": "stain", "examples": [{"inspection": told["id"], "defect": 0} for told in named]}
    assert seeing.post("/heads", json=wish).status_code == 201
    wait_for(lambda: [j["state"] for j in seeing.get("/jobs?kind=search_class").json()["items"]] == ["done"])
    (job,) = seeing.get("/jobs?kind=search_class").json()["items"]
    assert "too few to tell it apart from" in job["result"]["waits"]
