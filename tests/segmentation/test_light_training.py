"""A light network learns, goes on, and is taught."""

import json
import math

import pytest
import torch

from qc.errors import InvalidInput
from segmentation.cli import _chosen_network
from segmentation.config import NETWORKS
from segmentation.model import read_card, read_weights
from segmentation.teacher import SOFTNESS, Teacher, lesson
from segmentation.train import train
from server.cli import main

LIGHT = NETWORKS["light"]


@pytest.fixture(scope="module")
def tiny(drawn_dataset, tmp_path_factory):
    """A few small frames, one class."""
    return drawn_dataset(tmp_path_factory.mktemp("tiny") / "data", parts=4, val=2, size=(96, 96))


@pytest.fixture(scope="module")
def light_model(tiny, tmp_path_factory):
    """Chosen as a user chooses it."""
    out = tmp_path_factory.mktemp("light") / "model"
    assert main(["train", str(tiny), "--out", str(out), "--network", "light", "--steps", "2"]) == 0
    return out


def test_it_is_chosen_by_name(light_model, capsys):
    card = read_card(light_model)
    assert card["network"] == {"encoder": "light", "depth": 4, "decoder_channels": [48, 24, 16]}
    assert card["reach_px"] <= 112


def test_its_model_folder_is_smaller_than_a_picture(light_model):
    assert (light_model / "weights.safetensors").stat().st_size < 150_000


def test_a_light_model_finds_defects_from_its_folder(light_model, tiny, tmp_path):
    assert main(["predict", str(light_model), str(tiny / "images"), "--out", str(tmp_path / "found")]) == 0


def test_the_same_seed_gives_the_same_light_model(light_model, tiny, tmp_path):
    train(tiny, tmp_path / "again", steps=2, network=LIGHT)
    first, second = read_weights(light_model), read_weights(tmp_path / "again")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_light_model_goes_on_with_a_class_more(light_model, drawn_dataset, tmp_path):
    more = drawn_dataset(tmp_path / "more", parts=4, val=2, size=(96, 96), classes={1: "scratch", 2: "dent"}, seed=1)
    with pytest.warns(UserWarning, match="dent"):
        card = train(more, tmp_path / "model", steps=1, start_from=light_model)
    assert card["network"]["encoder"] == "light"
    assert card["classes"] == {"1": "scratch", "2": "dent"}


def test_a_network_that_a_file_settles_is_not_chosen_again(light_model, tiny, tmp_path, capsys):
    command = ["train", str(tiny), "--out", str(tmp_path / "m"), "--network", "light", "--steps", "1"]
    settings = tmp_path / "best.json"
    settings.write_text(json.dumps({"network": {"depth": 3, "decoder_channels": [8, 8]}}))
    for more in (["--start-from", str(light_model)], ["--config", str(settings)]):
        assert main([*command, *more]) == 1
        assert "leave out --network" in capsys.readouterr().err


def test_the_names_of_the_command_are_those_of_the_networks():
    assert set(NETWORKS) == {"pretrained", "light"}
    assert _chosen_network("light", settled=None) == LIGHT
    assert _chosen_network("pretrained", settled=None) is None


def test_a_teacher_is_heard_and_named(light_model, tiny, tmp_path):
    command = ["train", str(tiny), "--out", str(tmp_path / "taught"), "--network", "light", "--steps", "2"]
    assert main([*command, "--teacher", str(light_model)]) == 0
    assert read_card(tmp_path / "taught")["training"]["teacher"] == read_card(light_model)["id"]
    alone, taught = read_weights(light_model), read_weights(tmp_path / "taught")
    assert any(not torch.equal(alone[name], taught[name]) for name in alone)


def test_a_teacher_that_knows_not_every_class_is_refused(light_model):
    with pytest.raises(InvalidInput, match="dent"):
        Teacher(light_model, {1: "scratch", 2: "dent"}, "cpu")


def test_a_teacher_answers_in_the_order_of_the_learners_classes(light_model):
    pictures = torch.rand(1, 3, 64, 64)
    said = Teacher(light_model, {7: "scratch"}, "cpu")(pictures)
    assert said.shape == (1, 2, 64, 64)
    assert not said.requires_grad


def test_who_says_what_the_teacher_says_learns_nothing_more():
    logits = torch.randn(2, 3, 8, 8, requires_grad=True)
    loss = lesson(logits, logits.detach() + 5.0)  # softmax does not see what is added to all
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    loss.backward()
    assert logits.grad.abs().max() < 1e-6


def test_the_lesson_of_a_pixel_is_the_softened_divergence():
    """One pixel that is surely no defect: the formula by hand, and half of it, because it is all of one side."""
    learner, teacher = 1.0, -40.0
    logits = torch.tensor([0.0, learner]).reshape(1, 2, 1, 1)
    taught = torch.tensor([0.0, teacher]).reshape(1, 2, 1, 1)
    background = 1 / (1 + math.exp(learner / SOFTNESS))
    assert float(lesson(logits, taught)) == pytest.approx(SOFTNESS**2 * -math.log(background) / 2, rel=1e-4)


def test_a_scratch_in_a_thousand_pixels_weighs_as_much_as_the_rest():
    taught = torch.zeros(1, 2, 32, 32)
    taught[:, 0] = 12.0
    taught[:, :, 5, :4] = torch.tensor([-12.0, 12.0]).reshape(2, 1)
    misses = torch.zeros_like(taught)
    misses[:, 0] = 12.0
    raises = taught.clone()
    raises[:, :, 20] = torch.tensor([-12.0, 12.0]).reshape(2, 1)  # 32 of 1020 pixels are false alarms
    assert float(lesson(misses, taught)) > 10 * float(lesson(raises, taught))
