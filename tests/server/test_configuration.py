"""What a server starts with is in the audit trail, whoever changed it and by whatever means."""

from __future__ import annotations

import hashlib
import json

import pytest
from sqlmodel import select

from server import audit, configuration
from server.audit import AuditEntry
from server.clock import now
from server.settings import Settings


def told(session) -> list[dict]:
    """The entries about the configuration, oldest first."""
    mine = select(AuditEntry).where(AuditEntry.kind == configuration.KIND).order_by(AuditEntry.n)
    return [json.loads(entry.body) for entry in session.exec(mine)]


@pytest.fixture
def started(tmp_path, database):
    """A start as far as the trail is concerned; every entry so far."""

    def start(**settings) -> list[dict]:
        with database.write() as session:
            configuration.keep(session, Settings(home=tmp_path, **settings), now=now())
            session.commit()
            return told(session)

    return start


def test_a_start_tells_what_environment_variables_and_files_changed_since_the_last_one(started, tmp_path, monkeypatch):
    (first,) = started()
    assert (first["changed"], first["holds"]["settings"]["home"]) == ({}, str(tmp_path))
    assert started() == [first], "nothing changed, so that there is nothing to tell"

    monkeypatch.setenv("QC_RETRAIN_AFTER_LABELS", "50")
    monkeypatch.setenv("QC_LINES", '{"line 1": ["brush-1"]}')
    (tmp_path / "plant.yaml").write_text("stations: {}\n")
    entry = started()[-1]
    plant = hashlib.sha256(b"stations: {}\n").hexdigest()
    assert entry["changed"] == {
        "plant.yaml": {"before": None, "after": plant},
        "lines": {"before": {}, "after": {"line 1": ["brush-1"]}},
        "retrain_after_labels": {"before": 20, "after": 50},
    }
    monkeypatch.delenv("QC_RETRAIN_AFTER_LABELS")
    assert started()[-1]["changed"] == {"retrain_after_labels": {"before": 50, "after": 20}}
    assert len(started()) == 3


def test_that_a_secret_changed_is_told_and_never_the_secret(started):
    started()
    given = {"engine_key": "sesame-1", "mlflow": "http://qc:sesame-3@mlflow:5000"}
    entry = started(**given)[-1]
    assert entry["changed"]["engine_key"] == {"before": "not set", "after": "set"}
    assert entry["holds"]["settings"]["mlflow"] == "http://qc:***@mlflow:5000"
    assert len(started(**given)) == 2, "the same secrets are known again"
    entry = started(engine_key="sesame-2", mlflow="http://qc:sesame-4@mlflow:5000")[-1]
    same_words = {"before": "set", "after": "set to another"}
    assert entry["changed"] == {"engine_key": same_words, "mlflow": same_words}
    entries = started()
    assert entries[-1]["changed"]["engine_key"] == {"before": "set", "after": "not set"}
    assert "sesame" not in json.dumps(entries)


def test_an_entry_whose_words_an_erasure_took_is_told_anew(started, database):
    started(lines={"line 1": ["P-1"]})
    with database.write() as session:
        for entry in audit.naming(session, "P-1", []):
            assert audit.redact(session, entry)
        session.commit()
    assert started()[-1]["changed"] == {}


def test_a_running_server_has_told_it(line):
    with line.context.database.read() as session:
        (entry,) = told(session)
    assert entry["holds"]["settings"]["label_studio"] is False
