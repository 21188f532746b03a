"""The commands below `qc data`, from a data set with a mistake in it to questions about it."""

import json

import pytest

from labeling.evidence import components
from labeling.manifest import read_manifest
from qc.dataset import open_dataset
from qc.errors import Conflict
from segmentation.config import NETWORKS
from segmentation.render import render_dataset
from server.cli import main
from server.label_check import cross_check, picture


@pytest.fixture
def parts(tmp_path):
    """Rendered parts, small and few."""
    render_dataset(tmp_path / "parts", parts=6, views=("top", "left"), width=128, height=96, clean=0.0, seed=3)
    return tmp_path / "parts"


def test_a_set_goes_to_another_format_and_back_and_is_the_same_by_what_qc_says(parts, tmp_path, capsys):
    assert main(["data", "freeze", str(parts)]) == 0
    assert main(["data", "check", str(parts)]) == 0
    assert capsys.readouterr().out.splitlines() == [read_manifest(parts)["id"]] * 2
    for name in ("coco", "label-studio"):
        assert main(["data", "export", str(parts), "--format", name, "--out", str(tmp_path / name)]) == 0
        back = str(tmp_path / f"{name}-back")
        assert main(["data", "import", str(tmp_path / name), "--format", name, "--out", back]) == 0
        capsys.readouterr()
        assert main(["data", "diff", str(parts), back]) == 0
        assert capsys.readouterr().out == "the two versions are the same\n"


def test_an_altered_version_is_refused_in_one_sentence(parts, capsys):
    main(["data", "freeze", str(parts)])
    mask = next((parts / "masks").iterdir())
    mask.write_bytes(mask.read_bytes() + b"x")
    assert main(["data", "check", str(parts)]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert f"masks/{mask.name} was changed" in said[0]


def test_views_that_contradict_each_other_become_questions(parts, tmp_path):
    assert main(["data", "conflicts", str(parts), "--out", str(tmp_path / "q.jsonl")]) == 0
    for line in (tmp_path / "q.jsonl").read_text().splitlines():
        question = json.loads(line)
        assert 0 <= question["certainty"] <= 1
        assert question["doubted"]


def test_labels_are_questioned_by_models_that_did_not_learn_from_the_part(parts):
    data = open_dataset(parts)
    samples = [s for s in data.samples if s.mask is not None]
    masks = {s.name: s.labels(data.classes) for s in samples}
    seen, looked = {}, []

    def look(sample, segmenter, answer):
        seen.setdefault(segmenter.model_id, set()).add(sample.part)
        looked.append(sample.name)

    doubts = cross_check(data, samples, masks, count=2, steps=1, network=NETWORKS["light"], look=look)
    assert sorted(looked) == sorted(masks)
    first, second = seen.values()
    assert not first & second
    drawn = sum(len(components(mask)) for mask in masks.values())
    assert sum(q.drawn_class is not None for q in doubts.questions) == drawn
    shown = picture(samples[0], masks[samples[0].name], doubts.questions[0])
    assert shown.ndim == 3


def test_a_check_that_was_killed_goes_on_with_the_models_that_have_learnt(parts, tmp_path):
    data = open_dataset(parts)
    samples = [s for s in data.samples if s.mask is not None]
    masks = {s.name: s.labels(data.classes) for s in samples}
    keep, light = tmp_path / "models", NETWORKS["light"]

    def learnt():
        return {p.parent.parent.name: p.stat().st_mtime_ns for p in keep.glob("*/model/model.json")}

    def check(labels, said):
        told = []

        def progress(share, words):
            told.append((share, words))
            if words.startswith(said):
                raise KeyboardInterrupt

        done = cross_check(data, samples, labels, count=2, steps=1, network=light, keep=keep, progress=progress)
        return done, told

    with pytest.raises(KeyboardInterrupt):
        check(masks, "model 2 of 2 learns")
    first = learnt()
    assert list(first) == ["0"]
    doubts, told = check(masks, "nothing")
    assert learnt()["0"] == first["0"]
    assert not any(words.startswith("model 1 of 2 learns") for _, words in told)
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    alone = cross_check(data, samples, masks, count=2, steps=1, network=light)
    assert [(q.image, q.kind, q.box, q.priority) for q in doubts.questions] == [
        (q.image, q.kind, q.box, q.priority) for q in alone.questions
    ]

    both = learnt()
    changed = {name: mask.copy() for name, mask in masks.items()}
    changed[samples[0].name][:8, :8] = 1
    with pytest.raises(KeyboardInterrupt):
        check(changed, "model 1 of 2 looks")
    assert list(learnt()) == ["0"]
    assert learnt()["0"] != both["0"]


def test_a_folder_of_somebody_else_is_not_emptied(parts, tmp_path):
    data = open_dataset(parts)
    masks = {s.name: s.labels(data.classes) for s in data.samples}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(Conflict, match="something else"):
        cross_check(data, data.samples, masks, count=2, steps=1, keep=tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_the_command_writes_questions_with_their_pictures_and_leaves_no_models(parts, tmp_path, capsys):
    out, pictures = tmp_path / "questions.jsonl", tmp_path / "pictures"
    arguments = ["--out", str(out), "--pictures", str(pictures), "--folds", "2", "--steps", "1", "--network", "light"]
    assert main(["data", "errors", str(parts), *arguments]) == 0
    questions = [json.loads(line) for line in out.read_text().splitlines()]
    assert f"{len(questions)} of {len(questions)} questions in {out}" in capsys.readouterr().out
    assert {q["image"] for q in questions} <= {s.name for s in open_dataset(parts).split("train")}
    assert [q["priority"] for q in questions] == sorted((q["priority"] for q in questions), reverse=True)
    assert len(list(pictures.iterdir())) == len(questions) > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parts", "pictures", "questions.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["errors", "{parts}", "--out", "{out}", "--minutes", "-1"], "positive"),
        (["errors", "{parts}", "--out", "{out}", "--folds", "99"], "take fewer"),
        (["import", "{parts}", "--format", "coco", "--out", "{out}"], "instances_train"),
        (["check", "{parts}"], "no manifest"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(parts, tmp_path, capsys, arguments, words):
    filled = [a.format(parts=parts, out=tmp_path / "out") for a in arguments]
    assert main(["data", *filled]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert words in said[0]
