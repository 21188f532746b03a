"""A batch, a customer, a person: what belongs to them goes, and what only looks like it stays."""

from __future__ import annotations

import json
import time

import pytest
from sqlmodel import select

from process_opt.records import Outcome, Recommendation
from qc.records import Decision
from server import audit_check, erasure_scope, schema
from server.access import Role
from server.audit import AuditEntry
from server.gate_records import GateApproval
from server.jobs.records import Job
from server.records import BrowserSession, User


def done(line, **wish) -> dict:
    asked = line.post("/erasures", Role.ADMIN, json={"reason": "asked for", **wish})
    assert asked.status_code == 202, asked.text
    until = time.monotonic() + 60
    while (job := line.get(f"/jobs/{asked.json()['id']}").json())["state"] in ("waiting", "running"):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    assert job["state"] == "done", job["problem"]
    return job["result"]


def parts(line) -> set[str]:
    return {item["part"] for item in line.get("/inspections").json()["items"]}


def test_a_batch_goes_with_all_its_parts(line):
    for part in ("A-1", "A-2", "B-1"):
        line.send(line.picture(dark=9), part=part, trigger_id=part)
    now = line.context.now()
    with line.context.database.write() as session:
        session.add(
            Outcome(process="bar", part="A-1", batch="A", content={"part": "A-1", "batch": "A"}, received_at=now)
        )
        asked = {"part": "A-2", "batch": "A", "at": "s1"}
        session.add(Recommendation(process="bar", part="A-2", at="s1", batch="A", request=asked, asked_at=now))
        session.add(
            Outcome(process="bar", part="B-1", batch="AB", content={"part": "B-1", "batch": "AB"}, received_at=now)
        )
        session.commit()
    told = done(line, batch="A")
    assert (told["parts"], told["inspections"]) == (2, 2)
    assert parts(line) == {"B-1"}
    assert len(line.get("/erasures").json()["items"]) == 2, "a tombstone for each part"
    with line.context.database.read() as session:
        assert [row.part for row in session.exec(select(Outcome))] == ["B-1"]
        assert session.exec(select(Recommendation)).all() == []
        assert session.exec(select(Job).where(Job.kind == "erase")).one().arguments == {}
        audit_check.verify(session)


def test_a_customer_goes_with_the_parts_of_all_their_products_and_with_no_others(line):
    folder = line.context.policies.folder
    (folder / "gear.yaml").write_text("product: gear\ncustomer: Smith & Sons\n", encoding="utf-8")
    (folder / "shaft.yaml").write_text("product: shaft\ncustomer: Smith & Sons\n", encoding="utf-8")
    (folder / "lid.yaml").write_text("product: lid\ncustomer: Smith\n", encoding="utf-8")
    for product in ("gear", "shaft", "lid", "never-named"):
        line.send(line.picture(), part=f"P-{product}", trigger_id=product, product=product)
    assert done(line, customer="Smith & Sons")["parts"] == 2
    assert parts(line) == {"P-lid", "P-never-named"}


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"batch": "nobody's"}, 404),
        ({"customer": "nobody"}, 404),
        ({}, 422),
        ({"part": "P-1", "batch": "A"}, 422),
        ({"batch": ""}, 422),
    ],
)
def test_what_is_not_known_or_not_clear_is_refused(line, wish, status):
    assert line.post("/erasures", Role.ADMIN, json={"reason": "x", **wish}).status_code == status


def test_a_customer_must_be_a_name(line):
    (line.context.policies.folder / "gear.yaml").write_text("product: gear\ncustomer: [Smith]\n", encoding="utf-8")
    told = line.send(line.picture(), part="P-1", product="gear").json()
    assert "customer must be a name" in told["problem"]


def test_of_a_person_the_account_goes_and_a_word_stands_for_the_name(line):
    for part, role in (("P-1", Role.OPERATOR), ("P-2", Role.OPERATOR), ("P-3", Role.ENGINEER)):
        sent = line.send(line.picture(doubtful=9), part=part, trigger_id=part).json()
        said = {"verdict": "ok", "reason": "clean"}
        assert line.post(f"/inspections/{sent['id']}/decision", role, json=said).status_code in (200, 201)
    now = line.context.now()
    with line.context.database.write() as session:
        names = sorted(row.by for row in session.exec(select(Decision)))
        other, eva = names[0], names[1]
        assert names == [other, eva, eva]
        session.add(User(name=eva, role=Role.OPERATOR, password_hash="x", created_at=now))
        session.flush()
        session.add(BrowserSession(token_hash="t", user=eva, created_at=now, expires_at=now))
        session.add(Job(kind="backup", state="done", arguments={"by": eva}, not_before=now, created_at=now))
        session.commit()
    answer = line.post("/erasures/person", Role.ADMIN, json={"name": eva, "reason": "left"})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["rows"], told["account"]) == (3, True)
    assert told["entries_that_still_name_it"] >= 2, "the trail keeps who decided"
    with line.context.database.read() as session:
        assert sorted(row.by for row in session.exec(select(Decision))) == [other, *[told["pseudonym"]] * 2]
        assert session.get(User, eva) is None
        (job,) = session.exec(select(Job).where(Job.kind == "backup")).all()
        assert job.arguments == {"by": told["pseudonym"]}
        assert session.exec(select(BrowserSession).where(BrowserSession.user == eva)).all() == []
        audit_check.verify(session)
        (entry,) = session.exec(select(AuditEntry).where(AuditEntry.kind == erasure_scope.PERSON)).all()
        assert eva not in entry.body
    again = line.post("/erasures/person", Role.ADMIN, json={"name": eva, "reason": "left"})
    assert again.status_code == 404


def test_the_only_administrator_stays(line):
    now = line.context.now()
    with line.context.database.write() as session:
        for admin in session.exec(select(User).where(User.role == Role.ADMIN)).all():
            session.delete(admin)
        session.add(User(name="ada", role=Role.ADMIN, password_hash="x", created_at=now))
        session.commit()
    answer = line.post("/erasures/person", Role.ADMIN, json={"name": "ada", "reason": "left"})
    assert answer.status_code == 409
    assert "only administrator" in answer.text


def test_every_column_that_names_a_person_is_known():
    accounts = {"user_account", "browsersession", "badge", "outsideaccount"}
    words = ("by", "user", "person", "owner", "who", "account")
    named = {
        (table.name, column.name)
        for table in schema.all_tables().sorted_tables
        for column in table.columns
        if table.name not in accounts | {erasure_scope.KEPT} and column.name.split("_")[-1] in words
    }
    reached = {(table.name, column.name) for table, column in erasure_scope.people_columns()}
    assert named == reached, "a new column says who did something: let server.erasure_scope reach it"


def test_a_persons_name_leaves_logs_manifests_and_what_jobs_were_asked_for(line):
    home, name = line.context.settings.home, 'Jörg "Joe" O\'Neil'
    now = line.context.now()
    with line.context.database.write() as session:
        session.add(User(name=name, role=Role.OPERATOR, password_hash="x", created_at=now))
        why = {"why": f"asked for by {name}: Jörgs own wish"}
        words = f"approved by {name}: well"
        said = {"challenger": "c", "champion": "d", "approved": False, "by": name, "at": now, "reason": "x"}
        session.add(GateApproval(**said, words=words))
        session.add(Job(kind="retrain", state="done", arguments=why, not_before=now, created_at=now))
        session.commit()
    dataset = home / "retraining" / "r1" / "dataset"
    dataset.mkdir(parents=True)
    frame = {"file": "a.png", "labels": [{"by": name, "at": "now"}, {"by": "eva", "at": "now"}]}
    (dataset / "manifest.json").write_text(json.dumps({"frames": [frame]}))
    log = line.context.settings.folder("logs") / "old.jsonl"
    said = [{"by": name, "event": "request"}, {"path": f"/api/v1/people/{name}"}, {"by": "eva", "note": f"of {name}s"}]
    log.write_text("\n".join(json.dumps(one) for one in said))
    answer = line.post("/erasures/person", Role.ADMIN, json={"name": name, "reason": "left"})
    assert answer.status_code == 200, answer.text
    until = time.monotonic() + 60
    while True:
        with line.context.database.read() as session:
            (job,) = session.exec(select(Job).where(Job.kind == erasure_scope.FILES)).all()
        if job.state == "done":
            break
        assert time.monotonic() < until, (job.state, job.problem)
        time.sleep(0.02)
    assert job.arguments == {}
    pseudonym = answer.json()["pseudonym"]
    (kept,) = json.loads((dataset / "manifest.json").read_text())["frames"]
    assert [label["by"] for label in kept["labels"]] == [pseudonym, "eva"]
    first, second, third = (json.loads(one) for one in log.read_text().splitlines())
    assert (set(first["by"]), third["by"]) == ({"*"}, "eva")
    assert name not in second["path"]
    with line.context.database.read() as session:
        (asked,) = session.exec(select(Job).where(Job.kind == "retrain")).all()
        assert asked.arguments == {"why": f"asked for by {pseudonym}: Jörgs own wish"}
        (approval,) = session.exec(select(GateApproval)).all()
        assert (approval.by, approval.words) == (pseudonym, f"approved by {pseudonym}: well")
