"""A deployment is made once, and brought up to date without losing what people changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from qc.errors import Conflict, InvalidInput, NotFound
from server.cli import main
from server.deploy import answers, making

pytest.importorskip("copier", reason="the extra deploy is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    making.new(tmp_path / "plant", {"name": "ulm"})
    return tmp_path / "plant"


def test_the_command_writes_a_whole_deployment_and_says_how_to_start_it(tmp_path, capsys):
    out = tmp_path / "plant"
    assert main(["deploy", "new", str(out), "--defaults", "--set", "name=ulm", "--set", "port=9000"]) == 0
    assert f"{out / 'README.md'} says how to start it" in capsys.readouterr().out
    assert yaml.safe_load((out / "compose.yaml").read_text())["services"]["server"]["ports"] == ["9000:8000"]
    assert (out / "install.sh").stat().st_mode & 0o111
    assert not list(tmp_path.glob(".plant*")), "nothing is left beside it"


def test_answers_may_come_from_a_file_and_single_ones_go_before_it(tmp_path):
    (tmp_path / "answers.yml").write_text("shape: kubernetes\nmonitoring: false\n")
    words = ["--answers", str(tmp_path / "answers.yml"), "--set", "monitoring=true"]
    assert main(["deploy", "new", str(tmp_path / "plant"), *words]) == 0
    assert (tmp_path / "plant/chart/monitoring/rules.yml").is_file()
    kept = answers.read(tmp_path / "plant" / making.ANSWERS)
    assert (kept["shape"], kept["monitoring"]) == ("kubernetes", True)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("shape=swarm", "shape is compose, systemd, kubernetes, not 'swarm'"),
        ("colour=red", "there is no question 'colour'"),
        ("port=eighty", "port is a whole number"),
        ("port=80", "port"),
        ("monitoring=perhaps", "monitoring is true, false"),
        ("name=Ulm 2", "name"),
        ("address=http://x", "address"),
        ("clients=10.0.0.0/64", "clients"),
        ("clients=everybody", "clients"),
        ("port=65534", "port"),
        ("blobs_url=s3://x", "blobs_url is not asked for"),
        ("managed=true", "managed is not asked for"),
        ("shape", "QUESTION=ANSWER"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_and_nothing_is_written(answer, told, tmp_path, capsys):
    assert main(["deploy", "new", str(tmp_path / "plant"), "--defaults", "--set", answer]) == 1
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given",
    [
        {"blobs": "s3", "blobs_url": 's3://b"$(id)/x'},
        {"blobs": "s3", "blobs_url": "s3://büro"},
        {"blobs": "s3", "blobs_url": "s3:///x"},
        {"blobs": "azure", "blobs_url": "s3://pictures"},
        {"labels": "url", "labels_url": 'http://a"b;$(id)'},
        {"labels": "url", "labels_url": "labels.example"},
    ],
)
def test_no_answer_can_be_more_than_one_word_of_a_file(given, tmp_path):
    with pytest.raises(InvalidInput, match="_url"):
        making.new(tmp_path / "plant", given)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_others_settle_is_refused_and_one_from_before_them_goes(tmp_path):
    with pytest.raises(InvalidInput, match="network is not asked for"):
        making.new(tmp_path / "cloud", {"place": "aws", "network": False})
    making.new(tmp_path / "plant", {"network": False})
    assert "carry" in (tmp_path / "plant/images.sh").read_text()
    with pytest.raises(InvalidInput, match="network is not asked for"):
        making.update(tmp_path / "plant", {"place": "aws", "network": False})
    making.update(tmp_path / "plant", {"place": "aws"})
    assert "carry" not in (tmp_path / "plant/images.sh").read_text()


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "plans.txt").write_text("mine")
    with pytest.raises(Conflict, match="holds something"):
        making.new(tmp_path, {})
    assert (tmp_path / "plans.txt").read_text() == "mine"


def test_an_update_without_news_changes_nothing(folder, capsys):
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert main(["deploy", "update", str(folder)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_an_update_keeps_what_people_changed_and_brings_what_is_new(folder):
    settings = folder / "qc.env"
    settings.write_text(settings.read_text() + "QC_KEEP_OK_DAYS=90\n")
    (folder / "notes.txt").write_text("ask Anna")
    did = making.update(folder, {"address": "qc.ulm.example", "gpu": "nvidia"})
    assert "qc.env" in did.merged
    assert "Dockerfile" in did.written
    text = settings.read_text()
    assert "QC_PUBLIC_URL=http://qc.ulm.example:8000" in text
    assert "QC_DEVICE=cuda" in text
    assert "QC_KEEP_OK_DAYS=90" in text
    assert (folder / "notes.txt").read_text() == "ask Anna"
    assert making.update(folder, {}) == making.Update()


def test_where_both_changed_the_same_line_both_stand_there_and_the_command_says_so(folder, capsys):
    settings = folder / "qc.env"
    settings.write_text(settings.read_text().replace("QC_DEVICE=cpu", "QC_DEVICE=cpu  # no card yet"))
    assert main(["deploy", "update", str(folder), "--set", "gpu=nvidia"]) == 1
    told = capsys.readouterr()
    assert "settle by hand  qc.env" in told.out
    assert "look for <<<<<<<" in told.err
    text = settings.read_text()
    assert (
        text.index("<<<<<<< yours") < text.index("no card yet") < text.index("QC_DEVICE=cuda") < text.index(">>>>>>>")
    )


def test_what_is_no_longer_wanted_goes_unless_people_changed_it(folder):
    rules, dashboard = folder / "monitoring/rules.yml", folder / "monitoring/dashboards/qc.json"
    rules.write_text(rules.read_text() + "# ours\n")
    (folder / "images.sh").unlink()
    did = making.update(folder, {"monitoring": False, "labels": "none"})
    assert not dashboard.exists()
    assert rules.read_text().endswith("# ours\n")
    assert "monitoring/rules.yml" in did.left
    assert not (folder / "images.sh").exists(), "what people deleted stays deleted"


def test_an_update_that_was_interrupted_goes_on_where_it_was(folder, monkeypatch):
    put, seen = making._put, []

    def stops(file: Path, content: bytes) -> None:
        seen.append(file)
        if len(seen) == 7:
            raise KeyboardInterrupt
        put(file, content)

    monkeypatch.setattr(making, "_put", stops)
    with pytest.raises(KeyboardInterrupt):
        making.update(folder, {"database": "postgres", "gpu": "nvidia"})
    monkeypatch.setattr(making, "_put", put)
    did = making.update(folder, {"database": "postgres", "gpu": "nvidia"})
    assert did.contradicting == did.merged == []
    fresh = folder.with_name("fresh")
    making.new(fresh, {"name": "ulm", "database": "postgres", "gpu": "nvidia"})
    assert {name: (folder / name).read_text() for name in making._files(fresh)} == {
        name: (fresh / name).read_text() for name in making._files(fresh)
    }


def test_a_folder_of_somebody_elses_is_refused(tmp_path):
    with pytest.raises(NotFound, match="was not written by qc deploy new"):
        making.update(tmp_path, {})


def test_answers_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "answers.yml").write_text("shape: [")
    with pytest.raises(InvalidInput, match="cannot be read"):
        answers.read(tmp_path / "answers.yml")
    (tmp_path / "answers.yml").write_text("- 1")
    with pytest.raises(InvalidInput, match="holds no answers"):
        answers.read(tmp_path / "answers.yml")


def test_the_questions_are_told(capsys):
    assert main(["deploy", "questions"]) == 0
    told = capsys.readouterr().out
    assert "sqlite | postgres | url; default sqlite" in told
    assert "monitoring_at" not in told


def test_nothing_heavy_is_imported_for_the_command_line():
    script = "import sys, server.cli; server.cli.parser(); print('copier' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
