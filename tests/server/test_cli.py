"""The console command, as somebody types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import segmentation
from server import cli


@pytest.fixture
def qc(monkeypatch, tmp_path, capsys):
    """Types a command; gives exit status, standard output, standard error."""
    monkeypatch.setenv("QC_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    def type_it(*arguments: str):
        try:
            status = cli.main(arguments)
        except SystemExit as left:
            status = left.code
        told = capsys.readouterr()
        return status, told.out, told.err

    return type_it


def test_a_key_stands_alone_on_the_last_line(qc):
    status, out, _ = qc("key", "create", "--role", "machine", "--days", "30")
    assert status == 0
    assert out.splitlines()[-1].startswith("qc_")


def test_an_account_gets_a_password_where_nobody_can_be_asked(qc):
    status, out, _ = qc("user", "add", "anna", "--role", "operator")
    assert status == 0
    assert len(out.splitlines()[-1]) >= 12
    status, _, err = qc("user", "add", "anna", "--role", "operator")
    assert status == 1
    assert err == "qc: there is already an account anna; choose another name, or change its password\n"
    assert qc("user", "password", "anna")[0] == 0
    assert qc("user", "password", "bert")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("key", "create", "--role", "king"), "king"),
        (("key", "create", "--role", "machine", "--days", "-1"), "-1"),
        (("user", "add", " ", "--role", "operator"), "name"),
    ],
)
def test_work_that_fails_says_why_in_one_sentence(qc, arguments, word):
    status, out, err = qc(*arguments)
    assert status == 1
    assert out == ""
    assert word in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("arguments", [(), ("fly",), ("key", "create"), ("audit",), ("up", "--sideways")])
def test_wrong_arguments_are_exit_2(qc, arguments):
    assert qc(*arguments)[0] == 2


def test_every_command_of_the_contract_is_there(qc):
    _, out, _ = qc("--help")
    for command in ("train", "predict", "evaluate", "export", "up", "user", "key", "process", "audit"):
        assert f"\n    {command}" in out
    _, out, _ = qc("process", "--help")
    for command in ("fit", "recommend", "register"):
        assert f"\n    {command}" in out


def test_a_setting_that_makes_no_sense_is_named(qc, monkeypatch):
    monkeypatch.setenv("QC_INSPECTION_WORKERS", "many")
    status, _, err = qc("audit", "verify")
    assert status == 1
    assert "QC_INSPECTION_WORKERS" in err


def test_a_fresh_trail_is_whole(qc):
    status, out, _ = qc("audit", "verify")
    assert status == 0
    assert out.startswith("0 entries")


def test_the_description_of_the_interface_is_written_whole(qc, tmp_path):
    file = tmp_path / "openapi.json"
    assert qc("openapi", "--out", str(file))[0] == 0
    described = json.loads(file.read_text())
    assert "/api/v1/inspections" in described["paths"]
    assert "class" in described["components"]["schemas"]["DefectOut"]["properties"]
    status, _, err = qc("openapi", "--out", str(file / "openapi.json"))
    assert status == 1
    assert "openapi.json" in err


@pytest.mark.parametrize(
    "url",
    [
        "postgres://ada:a-secret@db/qc",
        "postgresql://ada:a-secret@db/qc",
        "postgresql+psycopg://ada:a-secret@db:port/qc",
    ],
)
def test_an_address_of_a_database_that_is_none_is_told_without_its_password(qc, monkeypatch, url):
    monkeypatch.setenv("QC_DATABASE_URL", url)
    for command in (("audit", "verify"), ("backup", "out"), ("db", "move", "sqlite")):
        status, _, told = qc(*command)
        assert status == 1
        assert "postgresql+psycopg://" in told
        assert "a-secret" not in told


def test_importing_the_command_line_loads_nothing_heavy():
    import subprocess
    import sys

    heavy = "{'torch', 'fastapi', 'pyro', 'scipy'}"
    code = f"import sys; from server import cli; cli.parser(); print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_model_that_was_trained_elsewhere_is_taken_in_and_serves_when_it_is_promoted(qc, tmp_path):
    starter = Path(segmentation.__file__).parent / "starter"
    model_id = json.loads((starter / "model.json").read_text())["id"]
    status, out, _ = qc("model", "add", str(starter))
    assert (status, out.split()[0]) == (0, model_id)
    assert qc("model", "list")[1].split()[:2] == [model_id, "candidate"]
    assert qc("model", "add", str(starter), "--promote")[0] == 0
    assert qc("model", "list")[1].split()[:2] == [model_id, "champion"]
    assert qc("audit", "verify")[0] == 0
    assert (tmp_path / "home" / "models" / model_id.removeprefix("sha256:") / "weights.safetensors").is_file()

    status, _, err = qc("model", "add", str(tmp_path))
    assert status == 1
    assert "holds no model" in err
