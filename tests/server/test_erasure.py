"""A part that must be forgotten is forgotten everywhere; that something was forgotten is not."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import select

from labeling import manifest
from labeling.records import Annotation, LabelTask, TaskState
from process_opt.records import Answer, Approval, Outcome, Recommendation
from qc.errors import Conflict, InvalidInput
from qc.records import Exposure, Inspection
from server import audit_check, erasure, erasure_files, registry, retrain_job, schema
from server.access import Role
from server.audit import AuditEntry
from server.jobs.queue import Claim, LeaseLost
from server.jobs.records import Job, JobState
from server.jobs.runner import JobRun

PART = "Smith-4711"


def wait_for(true, *, patience=60):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def erase(line, part=PART):
    asked = line.post("/erasures", Role.ADMIN, json={"part": part, "reason": "the customer asked"})
    assert asked.status_code == 202, asked.text
    wait_for(lambda: line.get(f"/jobs/{asked.json()['id']}").json()["state"] not in ("waiting", "running"))
    done = line.get(f"/jobs/{asked.json()['id']}").json()
    assert done["state"] == "done", done["problem"]
    return done["result"]


def lived(line) -> dict:
    """A part that has left traces everywhere, among others that must stay."""
    context, home = line.context, line.context.settings.home
    told = line.send(
        line.picture(doubtful=9, mark=1), line.picture(dark=9, mark=2), part=PART, trigger_id=f"T-{PART}"
    ).json()
    line.send(line.picture(doubtful=9, mark=3), part="P-other", trigger_id="T-other")
    line.post(f"/inspections/{told['id']}/decision", Role.OPERATOR, json={"verdict": "ok", "reason": f"{PART} is fine"})
    line.get(f"/inspections/{told['id']}/images/0/tiles/6/0_0.jpg")
    with context.database.write() as session:
        tasks = list(session.exec(select(LabelTask).where(LabelTask.part == PART)))
        assert tasks
        for n, task in enumerate(tasks):
            context.blobs.put(f"annotations/{task.id}.png", b"a mask")
            session.add(
                Annotation(
                    label_task_id=task.id,
                    studio_project="1@2026",
                    studio_annotation_id=n,
                    updated_at=context.now(),
                    by="eva@plant",
                    mask_key=f"annotations/{task.id}.png",
                    received_at=context.now(),
                )
            )
            task.state = TaskState.DONE
            session.add(task)
        advice = Recommendation(process="bar", part=PART, at="s1", request={"part": PART}, asked_at=context.now())
        session.add(advice)
        session.flush()
        word = {
            "steps": ["s1"],
            "answer": Answer.APPROVED,
            "risk": f"{PART} may warp",
            "by": "eva",
            "at": context.now(),
        }
        session.add(Approval(process="bar", part=PART, recommendation_id=advice.id, **word))
        session.add(Outcome(process="bar", part=PART, content={"part": PART}, received_at=context.now()))
        job = Job(kind="retrain", state=JobState.DONE.value, not_before=context.now(), created_at=context.now())
        job.result = {"model": "sha256:" + "a" * 64}
        session.add(job)
        session.flush()
        dataset = home / "retraining" / job.id / "dataset"
        session.commit()
    frozen(dataset, told["id"])
    learnt_elsewhere(line, told["images"][1]["sha256"])
    (home / "models" / ("a" * 64) / "samples").mkdir(parents=True)
    (home / "rejected" / "S-1" / PART).mkdir(parents=True)
    (home / "rejected" / "S-1" / PART / "top.png").write_bytes(b"no picture")
    (home / "logs").mkdir(exist_ok=True)
    (home / "logs" / "server.jsonl").write_text(
        f'{{"part": "{PART}", "event": "part {PART} came"}}\n{{"part": "P-other"}}\n'
    )
    return told


def learnt_elsewhere(line, sha256: str) -> None:
    """A model that came by `qc model add`; its card lists the pictures that it learnt from."""
    files = {"top.png": {"image": sha256, "mask": "0"}, "P-other.png": {"image": "1"}}
    card = {"dataset": {"name": "laboratory", "train_files": files, "val_files": {}}}
    folder = line.context.settings.home / "models" / ("b" * 64)
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps(card))
    with line.context.database.write() as session:
        registry.add(
            session, model_id=f"sha256:{'b' * 64}", folder="models/" + "b" * 64, card=card, now=line.context.now()
        )
        session.commit()


def frozen(dataset, inspection: str) -> None:
    for kind in ("images", "masks"):
        (dataset / kind).mkdir(parents=True)
        for stem in (f"{inspection}_0", "another_0"):
            (dataset / kind / f"{stem}.png").write_bytes(b"pixels")
    (dataset / "split.csv").write_text(
        f"file,split,part\n{inspection}_0.png,train,{PART}\nanother_0.png,train,P-other\n", encoding="utf-8"
    )
    frames = [
        {"file": f"{i}_0.png", "part": p, "inspection": i} for i, p in ((inspection, PART), ("another", "P-other"))
    ]
    files = {f"{kind}/{i}_0.png": "0" for kind in ("images", "masks") for i in (inspection, "another")}
    (dataset / "manifest.json").write_text(json.dumps({"id": "sha256:1", "frames": frames, "files": files}))


def found(home, *needles: str) -> list[str]:
    """Files under a folder whose name or content has one of the words."""
    words = [needle.encode() for needle in needles]
    return [
        str(file.relative_to(home))
        for file in sorted(home.rglob("*"))
        if file.is_file()
        and any(word in str(file.relative_to(home)).encode() or word in file.read_bytes() for word in words)
    ]


def test_an_erased_part_is_found_nowhere_and_its_neighbour_is_untouched(run_line, tmp_path):
    home = tmp_path / "home"
    with run_line(home) as line:
        told = lived(line)
        images = [image["sha256"] for image in told["images"]]
        assert found(home, PART)
        result = erase(line)
        assert result["inspections"] == 1
        assert result["images"] == 2
        assert result["models_that_saw_it"] == ["sha256:" + "a" * 64, "sha256:" + "b" * 64]
        assert result["entries_that_still_name_it"] == 0

        assert line.get(f"/inspections/{told['id']}").status_code == 404
        assert line.get("/inspections", params={"part": PART}).json()["items"] == []
        (other,) = line.get("/inspections").json()["items"]
        assert line.get(f"/inspections/{other['id']}/images/0/original").status_code == 200
        with line.context.database.read() as session:
            number, _ = audit_check.verify(session)
            assert number == len(session.exec(select(AuditEntry)).all())
        (stone,) = line.get("/erasures").json()["items"]
        assert (stone["reason"], stone["by"], stone["inspections"]) == ("the customer asked", "admin key", 1)
        assert stone["models_that_saw_it"] == ["sha256:" + "a" * 64, "sha256:" + "b" * 64]
        with line.context.database.read() as session:
            kept = registry.get(session, "sha256:" + "b" * 64).dataset
        assert (list(kept["train_files"]), kept["erased"]) == (["P-other.png"], 1)
    assert found(home, PART, *images) == [], "a search of every store finds nothing"
    assert "P-other" in (home / "logs" / "server.jsonl").read_text()
    (dataset,) = (home / "retraining").glob("*/dataset")
    assert [row.split(",")[0] for row in (dataset / "split.csv").read_text().split()[1:]] == ["another_0.png"]
    assert json.loads((dataset / "manifest.json").read_text())["erased"] == 1
    assert not (home / "models" / ("a" * 64) / "samples").exists()


@pytest.mark.parametrize("name", ["Müller-4711", 'a "quoted" part', "back\\slash-1"])
def test_a_name_is_found_in_logs_however_it_is_spelt_there(tmp_path, name):
    lines = [
        json.dumps({"part": name, "event": f"part {name} came"}),
        json.dumps({"part": name}, ensure_ascii=False),
        json.dumps({"exception": f"no verdict\n{name} is away"}),
        f"plainly {name} here",
    ]
    (tmp_path / "server.jsonl").write_text("\n".join([*lines, f"and {name}-b stays"]))
    erasure_files.blot_out_in_logs(tmp_path, name)
    *blotted, stays = (tmp_path / "server.jsonl").read_text().splitlines()
    for line in blotted:
        assert name not in line
        assert json.dumps(name)[1:-1] not in line
    assert [set(json.loads(line)) for line in blotted[:3]] == [{"part", "event"}, {"part"}, {"exception"}]
    assert stays == f"and {name}-b stays"


def test_whoever_still_reads_holds_up_the_erasure_and_not_the_line(line, monkeypatch):
    monkeypatch.setattr(erasure, "PATIENCE_S", 0.2)
    told = line.send(line.picture(dark=9), part=PART).json()
    file = line.context.settings.home / "qc.sqlite3"
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM inspection").fetchone()
    asked = line.post("/erasures", Role.ADMIN, json={"part": PART, "reason": "the customer asked"}).json()["id"]
    wait_for(lambda: line.get(f"/jobs/{asked}").json()["problem"])
    with line.context.database.read() as session:
        assert session.get_one(Job, asked).arguments == {}
    trying = threading.Thread(target=erasure.settle, args=(line.context.database,))
    monkeypatch.setattr(erasure, "PATIENCE_S", 60)
    trying.start()
    impatient = sqlite3.connect(file, isolation_level=None, timeout=1)
    for _ in range(20):  # while it is tried to empty the log
        impatient.execute("BEGIN IMMEDIATE")
        impatient.execute("ROLLBACK")
    assert trying.is_alive()
    reader.close()
    impatient.close()
    trying.join()
    with line.context.database.write() as session:
        session.get_one(Job, asked).not_before = line.context.now()
        session.commit()
    wait_for(lambda: line.get(f"/jobs/{asked}").json()["state"] == "done")
    assert line.get(f"/jobs/{asked}").json()["result"]["inspections"] == 1
    for kept in (file, file.with_name(f"{file.name}-wal")):
        assert not any(word.encode() in kept.read_bytes() for word in (PART, told["images"][0]["sha256"])), kept


def test_an_erasure_that_was_cut_off_before_its_end_counts_what_it_erased(line, monkeypatch):
    """A kill between the rows and the logs: their names must go from there, too."""
    line.send(line.picture(dark=9), part=PART)
    log = line.context.settings.folder("logs") / "other.log"
    log.write_text(f"{PART} came")
    blot_out, tries = erasure_files.blot_out_in_logs, []

    def cut_off(*given: object) -> None:
        tries.append(given)
        if len(tries) == 1:
            raise OSError("killed here")
        blot_out(*given)

    monkeypatch.setattr(erasure_files, "blot_out_in_logs", cut_off)
    asked = line.post("/erasures", Role.ADMIN, json={"part": PART, "reason": "the customer asked"}).json()["id"]
    wait_for(lambda: line.get(f"/jobs/{asked}").json()["problem"])
    with line.context.database.write() as session:
        session.get_one(Job, asked).not_before = line.context.now()
        session.commit()
    wait_for(lambda: line.get(f"/jobs/{asked}").json()["state"] == "done")
    assert log.read_text() == f"{'*' * len(PART)} came"
    result = line.get(f"/jobs/{asked}").json()["result"]
    assert (result["parts"], result["inspections"]) == (1, 1)
    assert len(line.get("/erasures").json()["items"]) == 1


def retraining(line, key: str, *frames: str) -> str:
    """A retraining that was begun, with such a frozen set, and waits for its next attempt; its id."""
    now = line.context.now()
    with line.context.database.write() as session:
        later = now + timedelta(minutes=5)
        job = Job(kind="retrain", key=key, arguments={"why": key}, not_before=later, started_at=now, created_at=now)
        session.add(job)
        session.commit()
    for inspection in frames:
        frozen(line.context.settings.home / "retraining" / job.id / "dataset", inspection)
    return job.id


def test_a_retraining_under_way_that_learns_from_the_part_begins_anew_without_it(line):
    told = lived(line)
    ids = {key: retraining(line, key, told["id"] if key == "saw it" else "another") for key in ("saw it", "did not")}
    ids["has yet to freeze"] = retraining(line, "has yet to freeze")
    erase(line)
    runs = line.context.settings.home / "retraining"
    with line.context.database.read() as session:
        states = {key: session.get_one(Job, id).state for key, id in ids.items()}
        again = {job.key for job in session.exec(select(Job).where(Job.kind == "retrain", Job.state == "waiting"))}
    assert states == {"saw it": "cancelled", "did not": "waiting", "has yet to freeze": "cancelled"}
    assert again == set(ids), "each is asked for again, or goes on"
    assert {key: (runs / id).exists() for key, id in ids.items() if key != "has yet to freeze"} == {
        "saw it": False,
        "did not": True,
    }


def test_whoever_is_at_a_retraining_that_is_called_off_clears_it_away(line):
    context, home = line.context, line.context.settings.home
    learnt_elsewhere(line, "0")
    with context.database.write() as session:
        registry.promote(session, context.events, f"sha256:{'b' * 64}", by="eva", at=context.now(), reason="x")
        job = Job(kind="retrain", state="cancelled", not_before=context.now(), created_at=context.now())
        session.add(job)
        session.commit()
    (home / "retraining" / job.id / ".dataset.1" / "images").mkdir(parents=True)
    (home / "retraining" / job.id / ".dataset.1" / "images" / "a.png").write_bytes(b"pixels")
    claim = Claim(job.id, "retrain", {}, 1, "nobody")
    run = JobRun(claim, context.database.write, context.now, timedelta(seconds=30), threading.Event())
    run.lost.set()
    with pytest.raises(LeaseLost):
        retrain_job.job(context, run)
    assert not (home / "retraining" / job.id).exists()


def test_a_picture_that_another_part_shares_stays_for_that_part(line):
    same = line.picture(dark=9)
    line.send(same, part=PART)
    other = line.send(same, part="P-other", station="S-2").json()
    erase(line)
    assert line.get(f"/inspections/{other['id']}/images/0/original").content == same


def test_only_an_administrator_erases_and_only_what_is_known(line):
    wish = {"part": "P-none", "reason": "x"}
    assert line.post("/erasures", Role.ENGINEER, json=wish).status_code == 403
    assert line.post("/erasures", Role.ADMIN, json=wish).status_code == 404
    assert line.post("/erasures", Role.ADMIN, json={"part": "", "reason": "x"}).status_code == 422


def test_words_taken_out_of_the_trail_by_hand_are_found(line):
    line.send(line.picture(dark=9), part=PART)
    line.send(line.picture(), part="P-other")
    erase(line)
    with line.context.database.write() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.body.contains("P-other"))).one()
        digest = hashlib.sha256(entry.body.encode()).hexdigest()
        statement = text("UPDATE auditentry SET body = :body WHERE n = :n")
        session.execute(statement, {"body": f'{{"erased":"{digest}"}}', "n": entry.n})
        session.commit()
    with line.context.database.read() as session, pytest.raises(Conflict, match="no erasure says so"):
        audit_check.verify(session)


def test_an_erasure_that_was_changed_afterwards_is_found(line):
    line.send(line.picture(dark=9), part=PART)
    erase(line)
    with line.context.database.write() as session:
        session.execute(text("UPDATE auditentry SET body = 'nonsense' WHERE kind = 'erasure'"))
        session.commit()
    with line.context.database.read() as session, pytest.raises(Conflict):
        audit_check.verify(session)


def test_every_table_that_belongs_to_an_inspection_is_reached():
    reached = {"annotation", "bookexample", "labeltask", "decision", "cameralook", "shadowverdict"}
    reached |= {"exposure", "inspection", "feature", "suggestion", "goldenpart", "operatorcall", "undo"}
    belongs = {
        table.name
        for table in schema.all_tables().tables.values()
        for key in table.foreign_keys
        if key.column.table.name in ("inspection", "labeltask", "exposure")
    }
    assert belongs <= reached, "a new table names inspections: let server.erasure reach it"


def test_the_job_itself_forgets_the_name_of_the_part(line):
    line.send(line.picture(dark=9), part=PART)
    erase(line)
    with line.context.database.read() as session:
        job = session.exec(select(Job).where(Job.kind == "erase")).one()
        assert (job.arguments, job.key) == ({}, None)
        assert session.exec(select(Exposure)).all() == []
        assert session.exec(select(Inspection)).all() == []


def test_a_frozen_set_from_which_somebody_was_erased_keeps_its_id_and_is_still_held_to_its_hashes(tmp_path):
    root = tmp_path / "retraining/job-1/dataset"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
        for stem in ("gone_0", "stays_0"):
            (root / kind / f"{stem}.png").write_bytes(stem.encode())
    (root / "split.csv").write_text("file,part\ngone_0.png,P-1\nstays_0.png,P-2\n")
    frames = [{"inspection": name, "by": "mia"} for name in ("gone", "stays")]
    version = manifest.write_manifest(root, frames=frames, now=datetime.now(UTC))
    erasure_files.forget_in_datasets(tmp_path, {"gone"}, "P-1")
    erasure_files.rename_in_datasets(tmp_path, "mia", "person-1")
    assert manifest.read_manifest(root)["id"] == version
    assert manifest.read_manifest(root)["frames"] == [{"inspection": "stays", "by": "person-1"}]
    assert manifest.check(root) == []
    told = (root / "manifest.json").read_text()
    (root / "manifest.json").write_text(told.replace("person-1", "somebody"))
    with pytest.raises(InvalidInput, match="was altered"):
        manifest.read_manifest(root)
