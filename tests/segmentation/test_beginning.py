"""Before the first step: a training begins from the starter model, as far as it fits, or from ImageNet."""

import cv2
import numpy as np
import pytest
import torch

from qc.dataset import open_dataset
from qc.errors import InvalidInput
from segmentation.config import LIGHT, NETWORKS, NetworkConfig, TrainConfig
from segmentation.model import load_segmenter, model_id, read_card, read_weights
from segmentation.networks import aligned, build, imagenet_weights
from segmentation.plan import LIGHT_STARTER, STARTER, make_plan
from segmentation.render import render_part
from segmentation.train import beginning_network, train

SMALL = {"crop_px": 64, "batch": 2}
DEEP = NetworkConfig(depth=5, decoder_channels=(64, 48, 32, 24))


def network_of(data, *, begin="starter", **network):
    return beginning_network(make_plan(open_dataset(data), config=TrainConfig(**SMALL, begin=begin), **network))


def test_a_training_begins_from_the_starter_model(scratches):
    begun, starter = network_of(scratches).state_dict(), read_weights(STARTER)
    body = [n for n in starter if not n.startswith("head.")]
    assert len(body) > 200
    assert all(torch.equal(begun[n], starter[n]) for n in body)


def test_a_class_that_the_starter_model_knows_by_name_keeps_its_answers(scratches, tmp_path, drawn_dataset):
    names = [name for _, name in sorted(read_card(STARTER)["classes"].items(), key=lambda c: int(c[0]))]
    place = 1 + names.index("scratch")
    starter = read_weights(STARTER)["head.weight"]
    assert torch.equal(network_of(scratches).state_dict()["head.weight"][4:8], starter[4 * place : 4 * place + 4])
    strange = drawn_dataset(tmp_path / "strange", classes={1: "weld seam"}, parts=6, val=2)
    head = network_of(strange).state_dict()["head.weight"]
    assert torch.equal(head[:4], starter[:4])  # background
    assert not any(torch.equal(head[4:8], starter[4 * k : 4 * k + 4]) for k in range(len(starter) // 4))


def test_imagenet_is_begun_from_where_it_is_asked_for(scratches):
    own = network_of(scratches, begin="imagenet").state_dict()
    encoder = {n.removeprefix("encoder.model."): w for n, w in own.items() if n.startswith("encoder.model.")}
    wanted = imagenet_weights("tf_efficientnet_lite0", encoder)
    assert all(torch.equal(encoder[n], wanted[n]) for n in wanted)


def test_a_deeper_network_takes_over_what_is_at_the_same_distance_from_the_picture(scratches):
    own, starter = network_of(scratches, network=DEEP).state_dict(), read_weights(STARTER)
    assert torch.equal(own["decoder.steps.3.1.0.weight"], starter["decoder.steps.2.1.0.weight"])  # the last of each
    assert torch.equal(own["encoder.model.conv_stem.weight"], starter["encoder.model.conv_stem.weight"])
    fresh = build(DEEP, 1, imagenet=True).state_dict()
    deepest = [n for n in own if n.startswith("encoder.model.blocks.6.")]
    assert deepest
    assert all(torch.equal(own[n], fresh[n]) for n in deepest)  # the starter model has no such stage
    assert not [n for n in aligned(starter, own) if n.startswith(("decoder.steps.0.", "head."))]


def test_the_light_network_begins_from_a_starter_of_its_own(scratches):
    own, starter = network_of(scratches, network=NETWORKS["light"]).state_dict(), read_weights(LIGHT_STARTER)
    assert all(torch.equal(own[n], w) for n, w in starter.items() if not n.startswith("head."))
    assert read_card(LIGHT_STARTER)["network"]["encoder"] == LIGHT
    fresh = network_of(scratches, begin="imagenet", network=NETWORKS["light"]).state_dict()
    assert not torch.equal(own["fine.mixed.weight"], fresh["fine.mixed.weight"])


def test_the_light_starter_sees_a_scratch_that_it_never_saw():
    (view,) = render_part(7, views=("left",), width=512, height=384, defects=("scratch",)).views
    seen = load_segmenter(LIGHT_STARTER, threads=1).segment(view.pixels)
    drawn = cv2.dilate((view.mask > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    odds = seen.log_odds.astype(np.float32)
    assert odds[view.mask > 0].max() > odds[~drawn].max()


def test_the_card_says_what_a_model_began_with(scratches, tmp_path):
    card = train(scratches, tmp_path / "model", steps=1, config=TrainConfig(**SMALL))
    assert card["training"]["began_with"] == model_id(STARTER)
    assert card["training"]["begin"] == "starter"


def test_there_is_no_third_beginning():
    with pytest.raises(InvalidInput, match="starter"):
        TrainConfig(begin="chance")
