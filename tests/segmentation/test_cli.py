"""The commands, as a user types them."""

import json

import pytest

from server.cli import main


def test_predict_and_evaluate_from_the_command_line(model, scratches, tmp_path, capsys):
    assert main(["predict", str(model), str(scratches / "images"), "--out", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").glob("*.json"))) == 24
    report = tmp_path / "reports" / "report.json"
    assert main(["evaluate", str(model), str(scratches), "--split", "val", "--out", str(report)]) == 0
    assert json.loads(report.read_text())["split"] == "val"
    assert "image AP 1.000" in capsys.readouterr().out


def test_one_bad_image_makes_the_exit_status_1(model, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert main(["predict", str(model), str(tmp_path / "bad.png"), "--out", str(tmp_path / "out")]) == 1
    assert "bad.png" in capsys.readouterr().err


def test_a_problem_is_one_sentence_on_standard_error(tmp_path, capsys):
    assert main(["train", str(tmp_path / "nothing"), "--out", str(tmp_path / "model")]) == 1
    said = capsys.readouterr().err
    assert "dataset.yaml" in said
    assert "Traceback" not in said


def test_evaluating_a_split_that_is_empty_is_refused(model, scratches, tmp_path, capsys):
    assert main(["evaluate", str(model), str(scratches), "--out", str(tmp_path / "r.json")]) == 1
    assert "test" in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize("words", [["--minutes", "-1"], ["--minutes", "soon"], ["--device", "tpu"], ["--steps", "0"]])
def test_wrong_arguments_end_with_2(words, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["train", str(tmp_path), "--out", str(tmp_path / "m"), *words])
    assert ended.value.code == 2
