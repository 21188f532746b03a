"""The learning curve's bench: who learns from what (its trainings take minutes and are run by hand)."""

import importlib.util
from pathlib import Path

import pytest

from qc.dataset import open_dataset
from qc.errors import InvalidInput

DESCRIPTION = """
classes:
  scratch: {kind: scratch, length: [30, 60], width: [2, 4], contrast: [0.3, 0.6], per_image: 1}
"""


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location(
        "learning_curve", Path(__file__).parents[1] / "bench/learning_curve.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_fewer_defects_are_among_the_more_and_another_seed_takes_others(bench, scratches):
    data = open_dataset(scratches)
    names = {}
    for wanted in (2, 4, 6):
        chosen, count = bench.choose(data, wanted, seed=0)
        assert count == wanted == sum(bench.defects_on(s, data) for s in chosen)
        assert {s.split for s in chosen} == {"train"}
        names[wanted] = {s.name for s in chosen}
    assert names[2] < names[4] < names[6]
    assert bench.choose(data, 1000, seed=0)[1] == 10
    assert any({s.name for s in bench.choose(data, 2, seed)[0]} != names[2] for seed in range(1, 5))


def test_drawn_pictures_come_from_clean_train_pictures_only_and_fit_beside_the_labelled(bench, scratches, tmp_path):
    data = open_dataset(scratches)
    words = tmp_path / "defects.yaml"
    words.write_text(DESCRIPTION)
    drawn = bench.drawn_pictures(tmp_path, data, words, copies=2, seed=0)
    assert {s.split for s in drawn} == {"train"}
    assert {s.columns["source"] for s in drawn} <= {s.image.name for s in bench.clean(data)}
    (tmp_path / "again").mkdir()
    few = bench.drawn_pictures(tmp_path / "again", data, words, copies=2, seed=0, most=3)
    assert {s.name for s in few} < {s.name for s in drawn}
    pictures = [*bench.clean(data), *bench.choose(data, 2, 0)[0], *few, *data.split("val")]
    together = open_dataset(bench.assemble(tmp_path / "set", data, pictures, name="few"))
    assert len(together.samples) == len(pictures)
    assert len(few) == 3
    assert sum(bench.defects_on(s, together) > 0 for s in together.split("train")) == 5
    assert len(together.split("val")) == len(data.split("val"))


def test_a_description_of_a_class_that_the_data_set_does_not_have_is_refused(bench, scratches, tmp_path):
    words = tmp_path / "defects.yaml"
    words.write_text(DESCRIPTION.replace("scratch:", "rust:"))
    with pytest.raises(InvalidInput, match="no class rust"):
        bench.drawn_pictures(tmp_path, open_dataset(scratches), words, copies=1, seed=0)
