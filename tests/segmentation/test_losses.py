"""Losses against their formulas and limits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from qc.dataset import IGNORE
from qc.errors import InvalidInput
from segmentation.config import TrainConfig
from segmentation.losses import (
    LOSSES,
    any_defect_focal_loss,
    binary_focal_loss,
    centre_line_dice_loss,
    dice_loss,
    focal_loss,
    focal_tversky_loss,
    generalised_cross_entropy,
    ignore_band,
    instance_dice_loss,
    instance_focal_loss,
    instance_weights,
    lovasz_softmax_loss,
    quality_weights,
    soft_skeleton,
    symmetric_cross_entropy,
    training_loss,
    unified_focal_loss,
)


@pytest.fixture
def some():
    torch.manual_seed(3)
    return torch.randn(2, 3, 5, 7), torch.randint(0, 3, (2, 5, 7))


def test_without_focusing_focal_loss_is_cross_entropy(some):
    assert torch.isclose(focal_loss(*some, gamma=0), torch.nn.functional.cross_entropy(*some))


def test_focal_loss_is_the_formula_of_the_paper(some):
    logits, target = some
    p = logits.softmax(1).gather(1, target[:, None])[:, 0]
    alpha = torch.tensor([0.2, 0.5, 0.9])
    expected = (-alpha[target] * (1 - p) ** 2 * p.log()).mean()
    assert torch.isclose(focal_loss(logits, target, gamma=2, alpha=alpha), expected)


def test_with_one_class_it_is_the_binary_focal_loss():
    z = torch.linspace(-4, 4, 9).reshape(1, 3, 3)
    target = torch.arange(9).reshape(1, 3, 3) % 2
    p = torch.where(target == 1, z.sigmoid(), 1 - z.sigmoid())
    expected = (-((1 - p) ** 2) * p.log()).mean()
    assert torch.isclose(focal_loss(torch.stack([torch.zeros_like(z), z], 1), target), expected)


def test_unknown_pixels_neither_cost_nor_teach(some):
    logits, target = some
    unknown = target.clone()
    unknown[:, :2] = IGNORE
    logits = logits.requires_grad_()
    for loss in (focal_loss, dice_loss):
        value = loss(logits, unknown)
        assert torch.isclose(value, loss(logits[:, :, 2:], target[:, 2:]))
        assert torch.autograd.grad(value, logits)[0][:, :, :2].abs().max() == 0


def test_nothing_labelled_costs_nothing(some):
    logits, target = some
    nothing = torch.full_like(target, IGNORE)
    assert focal_loss(logits, nothing) == 0
    assert dice_loss(logits, nothing) == 0


def test_the_gradient_is_finite_where_the_network_is_certain():
    logits = torch.tensor([[60.0], [-60.0]]).reshape(1, 2, 1, 1).requires_grad_()
    focal_loss(logits, torch.zeros(1, 1, 1, dtype=torch.int64)).backward()
    assert torch.isfinite(logits.grad).all()


def test_dice_loss_is_the_formula(some):
    logits, target = some
    p = logits.softmax(1)
    per_class = []
    for c in (1, 2):
        g = (target == c).float()
        per_class.append(1 - (2 * (p[:, c] * g).sum() + 1) / (p[:, c].sum() + g.sum() + 1))
    assert torch.isclose(dice_loss(logits, target), torch.stack(per_class).mean())


def test_dice_loss_of_a_perfect_answer_is_nearly_nothing(some):
    _, target = some
    perfect = 40.0 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1).float()
    assert dice_loss(perfect, target) < 1e-4


def test_a_class_that_nobody_drew_has_no_dice_loss(some):
    logits, target = some
    only_one = torch.where(target == 2, 0, target)
    g = (only_one == 1).float()
    p = logits.softmax(1)[:, 1]
    assert torch.isclose(dice_loss(logits, only_one), 1 - (2 * (p * g).sum() + 1) / (p.sum() + g.sum() + 1))


@pytest.mark.parametrize("gamma", [-1.0, 0.5])
def test_a_gamma_without_finite_gradient_is_refused(some, gamma):
    with pytest.raises(InvalidInput, match="gamma"):
        focal_loss(*some, gamma=gamma)


def test_shapes_that_do_not_fit_are_refused(some):
    logits, target = some
    with pytest.raises(InvalidInput, match="target"):
        dice_loss(logits, target[:, :-1])


SIZE = 24


@pytest.fixture
def picture():
    """Two crops with two scratches of very different size, a pit of another class, and unknown pixels."""
    target = torch.zeros(2, SIZE, SIZE, dtype=torch.int64)
    target[0, 3, 2:20] = 1  # thin and long
    target[0, 10:12, 4:6] = 1  # tiny
    target[1, 12:18, 12:18] = 2  # a pit
    target[1, :2] = IGNORE
    torch.manual_seed(5)
    return torch.randn(2, 3, SIZE, SIZE), target


def right(target: torch.Tensor, sure: float = 60.0) -> torch.Tensor:
    return sure * torch.nn.functional.one_hot(target.masked_fill(target == IGNORE, 0), 3).movedim(-1, 1).float()


def plain(name):
    return lambda logits, target, weight=None: LOSSES[name](logits, target, weight)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_of_a_perfect_answer_is_nothing(name, picture):
    assert plain(name)(right(picture[1]), picture[1]) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_falls_on_the_way_to_the_truth(name, picture):
    logits, target = picture
    values = [float(plain(name)(logits * (1 - t) + right(target, 6.0) * t, target)) for t in (0, 0.3, 0.6, 1)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.5 * values[0]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("sure", [60.0, -60.0, 0.0, 1e-4])
def test_every_gradient_is_finite_where_the_network_is_right_wrong_or_undecided(name, sure, picture):
    logits = right(picture[1], sure).requires_grad_()
    value = plain(name)(logits, picture[1])
    gradient = torch.autograd.grad(value, logits)[0]
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    if abs(sure) < 1:
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_of_nothing_labelled_and_of_an_empty_crop_can_be_learnt_from(name, picture):
    logits = picture[0].requires_grad_()
    nothing = plain(name)(logits, torch.full_like(picture[1], IGNORE))
    assert nothing == 0
    clean = plain(name)(logits, torch.zeros_like(picture[1]))
    assert torch.isfinite(torch.autograd.grad(nothing + clean, logits)[0]).all()


@pytest.mark.parametrize("name", LOSSES)
def test_unknown_and_weightless_pixels_teach_nothing(name, picture):
    logits, target = picture[0].requires_grad_(), picture[1]
    weight = torch.ones(target.shape)
    weight[0, 15:] = 0
    gradient = torch.autograd.grad(plain(name)(logits, target, weight), logits)[0]
    assert gradient[1, :, :2].abs().max() == 0
    assert gradient[0, :, 15:].abs().max() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_equal_weights_change_nothing(name, picture):
    logits, target = picture
    assert torch.isclose(plain(name)(logits, target), plain(name)(logits, target, torch.ones(target.shape)))


@pytest.mark.parametrize("name", [n for n in LOSSES if n != "centre_line"])
def test_a_pixel_weight_of_nothing_is_the_same_as_unknown(name, picture):
    logits, target = picture
    weight, unknown = torch.ones(target.shape), target.clone()
    weight[1, 15:], unknown[1, 15:] = 0, IGNORE
    if name.startswith("instance"):  # a defect that is cut in two would be another defect
        weight, unknown = torch.ones(target.shape), target.clone()
        weight[1, 18:], unknown[1, 18:] = 0, IGNORE
    assert torch.isclose(plain(name)(logits, target, weight), plain(name)(logits, unknown))


def test_the_loss_of_any_defect_is_blind_to_its_name(picture):
    logits, target = picture
    swapped = logits[:, [0, 2, 1]]
    assert torch.isclose(any_defect_focal_loss(logits, target), any_defect_focal_loss(swapped, target))


def test_with_one_class_any_defect_is_the_focal_loss(picture):
    logits, target = picture[0][:, :2], picture[1].clamp(max=1)
    assert torch.isclose(any_defect_focal_loss(logits, target), focal_loss(logits, target))


def test_binary_focal_loss_is_the_formula():
    z, defect = torch.linspace(-4, 4, 9), torch.arange(9) % 2
    p = torch.where(defect == 1, z.sigmoid(), 1 - z.sigmoid())
    alpha = torch.where(defect == 1, 0.3, 0.7)
    assert torch.isclose(binary_focal_loss(z, defect, alpha=0.3), (-alpha * (1 - p) ** 2 * p.log()).mean())


def test_focal_tversky_is_the_formula_and_dice_where_it_should_be(picture):
    logits, target = picture
    known = target != IGNORE
    p, expected = logits.softmax(1), []
    for c in (1, 2):
        g, q = (target == c)[known].float(), p[:, c][known]
        hit, missed, invented = (q * g).sum(), ((1 - q) * g).sum(), (q * (1 - g)).sum()
        expected.append((1 - (hit + 1) / (hit + 0.7 * missed + 0.3 * invented + 1)) ** 0.75)
    assert torch.isclose(focal_tversky_loss(logits, target), torch.stack(expected).mean())
    as_dice = focal_tversky_loss(logits, target, alpha=0.5, power=1.0, smooth=0.5)
    assert torch.isclose(as_dice, dice_loss(logits, target, smooth=1.0))


def test_unified_focal_is_the_sum_of_its_parts(picture):
    logits, target = picture
    known = target != IGNORE
    p = logits.softmax(1)
    of_truth = p.gather(1, target.masked_fill(~known, 0)[:, None])[:, 0][known]
    rare = target[known] > 0
    focal = torch.where(rare, 0.6 * -of_truth.log(), 0.4 * (1 - of_truth) ** 0.5 * -of_truth.log()).mean()
    assert torch.isclose(unified_focal_loss(logits, target, balance=1.0), focal)
    region = focal_tversky_loss(logits, target, alpha=0.6, power=0.5)
    assert torch.isclose(unified_focal_loss(logits, target, balance=0.0), region)
    assert torch.isclose(unified_focal_loss(logits, target), (focal + region) / 2)


def test_lovasz_of_a_hard_answer_is_one_less_the_iou(picture):
    _, target = picture
    answer = target.masked_fill(target == IGNORE, 0).clone()
    answer[0, 3, 2:11] = 0  # half of the scratch is missed
    answer[1, 12:15, 12:18] = 1  # half of the pit is called a scratch
    answer[1, 20, 20:23] = 2  # three pixels are invented
    ious = []
    for c in (1, 2):
        said, drawn = (answer == c) & (target != IGNORE), target == c
        ious.append((said & drawn).sum() / (said | drawn).sum())
    assert lovasz_softmax_loss(right(answer), target) == pytest.approx(1 - float(sum(ious)) / 2, abs=1e-5)


def test_lovasz_of_a_doubt_is_the_extension_worked_by_hand():
    """Errors 0.6 (a miss), 0.3 (an alarm): the miss costs 1/2 of the IoU, the alarm then 1/2 - 1/3 of what is left."""
    p = torch.tensor([0.4, 1.0, 0.3, 0.0]).clamp(1e-7, 1 - 1e-7)
    target = torch.tensor([1, 1, 0, 0]).reshape(1, 1, 4)
    logits = torch.stack([torch.zeros(4), (p / (1 - p)).log()]).reshape(1, 2, 1, 4)
    assert lovasz_softmax_loss(logits, target) == pytest.approx(0.6 * 1 / 2 + 0.3 * (2 / 3 - 1 / 2), abs=1e-5)


def test_noise_robust_losses_are_their_formulas_and_meet_cross_entropy(picture):
    logits, target = picture
    p = logits.softmax(1).gather(1, target.masked_fill(target == IGNORE, 0)[:, None])[:, 0][target != IGNORE]
    assert torch.isclose(generalised_cross_entropy(logits, target), ((1 - p**0.7) / 0.7).mean())
    assert torch.isclose(
        generalised_cross_entropy(logits, target, q=1e-3), focal_loss(logits, target, gamma=0), rtol=0.01
    )
    assert torch.isclose(symmetric_cross_entropy(logits, target), (0.1 * -p.log() + 4 * (1 - p)).mean())


@pytest.mark.parametrize("loss", [generalised_cross_entropy, lambda *a: symmetric_cross_entropy(*a, alpha=0.0)])
def test_a_wrong_label_pulls_less_the_surer_the_network_is(loss):
    def pull(logit):
        z = torch.tensor([[0.0], [logit]]).reshape(1, 2, 1, 1).requires_grad_()
        return torch.autograd.grad(loss(z, torch.zeros(1, 1, 1, dtype=torch.int64)), z)[0].abs().max()

    assert pull(8.0) < 0.05 * pull(1.0)
    assert 8 * pull(8.0) < pull(0.0)


def test_under_instance_weights_every_defect_weighs_the_same(picture):
    _, target = picture
    weight = instance_weights(target)
    sums = [float(weight[place].sum()) for place in (np.s_[0, 3, 2:20], np.s_[0, 10:12, 4:6], np.s_[1, 12:18, 12:18])]
    assert sums == pytest.approx([sum(sums) / 3] * 3)
    assert sum(sums) == pytest.approx(18 + 4 + 36)  # all defects together weigh what they did
    assert (weight[target == 0] == 1).all()
    assert (instance_weights(target, power=0.0) == 1).all()


def test_a_speck_does_not_weigh_more_than_a_small_defect():
    target = torch.zeros(1, 20, 20, dtype=torch.int64)
    target[0, 2, 2] = 1
    target[0, 10:12, 10:12] = 1
    weight = instance_weights(target)
    assert weight[0, 2, 2] == weight[0, 10, 10]


def test_instance_dice_is_the_mean_over_defects_with_their_neighbours_cut_out(picture):
    logits, target = picture
    p, expected = logits.softmax(1), []
    for crop, c, place in ((0, 1, np.s_[3, 2:20]), (0, 1, np.s_[10:12, 4:6]), (1, 2, np.s_[12:18, 12:18])):
        own = torch.zeros(SIZE, SIZE)
        own[place] = 1
        seen = (target[crop] != IGNORE) & ((target[crop] != c) | (own == 1))
        q = p[crop, c] * seen
        expected.append(1 - (2 * (q * own).sum() + 1) / (q.sum() + own.sum() + 1))
    assert torch.isclose(instance_dice_loss(logits, target), torch.stack(expected).mean())


def test_missing_the_tiny_scratch_costs_what_missing_the_large_pit_costs(picture):
    _, target = picture

    def without(place):
        answer = target.masked_fill(target == IGNORE, 0).clone()
        answer[place] = 0
        return float(instance_dice_loss(right(answer), target, smooth=1e-3))

    tiny, large = without(np.s_[0, 10:12, 4:6]), without(np.s_[1, 12:18, 12:18])
    assert tiny == pytest.approx(large, rel=1e-2)
    assert tiny == pytest.approx(1 / 3, rel=1e-2)


def test_the_skeleton_of_a_bar_is_its_middle_line():
    bar = torch.zeros(1, 1, 15, 40)
    bar[0, 0, 5:10, 4:36] = 1
    skeleton = soft_skeleton(bar)
    assert (skeleton[0, 0, 7, 8:32] == 1).all()
    assert skeleton[0, 0, [5, 6, 8, 9], 8:32].sum() == 0


def test_a_gap_costs_the_centre_line_its_share_and_a_wider_scratch_nothing():
    target = torch.zeros(1, 30, 60, dtype=torch.int64)
    target[0, 13:16, 5:55] = 1
    gap, wide = target.clone(), target.clone()
    gap[0, :, 25:35] = 0
    wide[0, 12:17, 5:55] = 1
    loss = lambda answer: float(centre_line_dice_loss(right(answer), target, smooth=1e-3))  # noqa: E731
    covered = 1 - 10 / 48  # the centre line ends one pixel before the bar does
    assert loss(gap) == pytest.approx(1 - 2 * covered / (1 + covered), abs=0.02)
    assert loss(wide) < 0.02


def test_the_seam_of_a_thick_defect_is_unknown_and_a_thin_one_stays_whole():
    target = torch.zeros(1, 40, 40, dtype=torch.int64)
    target[0, 5:15, 5:15] = 2
    target[0, 25:27, 5:35] = 1
    banded = ignore_band(target, 2)
    assert (banded[0, 7:13, 7:13] == 2).all()
    assert (banded[0, 5:7, 5:15] == IGNORE).all()
    assert (banded[0, 3:5, 5:15] == IGNORE).all()
    assert (banded[0, 25:27, 5:35] == 1).all()
    assert (banded[0, [23, 24, 27, 28], 5:35] == IGNORE).all()
    assert banded[0, 20, 20] == 0
    assert torch.equal(ignore_band(target, 0), target)


def test_a_band_leaves_a_defect_that_goes_on_behind_unknown_pixels_alone():
    target = torch.full((1, 20, 20), 1, dtype=torch.int64)
    target[0, :, 10:] = IGNORE
    assert torch.equal(ignore_band(target, 3), target)


def test_a_label_that_is_trusted_less_teaches_less(picture):
    logits, target = picture
    weight = quality_weights(target, torch.tensor([1.0, 0.25]))
    assert weight[0, 0, 0] == 1
    assert weight[1, 5, 5] == 0.25
    assert weight[1, 0, 0] == 0
    alone = [focal_loss(logits[n : n + 1], target[n : n + 1]) for n in (0, 1)]
    size = [(target[n] != IGNORE).sum() for n in (0, 1)]
    expected = (alone[0] * size[0] + 0.25 * alone[1] * size[1]) / (size[0] + 0.25 * size[1])
    assert torch.isclose(focal_loss(logits, target, weight), expected)
    with pytest.raises(InvalidInput, match="quality"):
        quality_weights(target, torch.tensor([1.0, 1.5]))


def test_a_configuration_names_its_loss(picture):
    logits, target = picture
    value = training_loss(logits, target, TrainConfig(loss="focal + 0.5 instance_dice", focal_gamma=3.0))
    assert torch.isclose(value, focal_loss(logits, target, gamma=3.0) + 0.5 * instance_dice_loss(logits, target))
    chosen = TrainConfig(loss="instance_focal + dice", instance_power=0.3)
    expected = instance_focal_loss(logits, target, power=0.3) + dice_loss(logits, target)
    assert torch.isclose(training_loss(logits, target, chosen), expected)
    assert not torch.isclose(training_loss(logits, target, replace(chosen, instance_power=1.0)), expected)


@pytest.mark.parametrize("text", ["", "foccal", "dice + dice", "2 3 dice", "-1 dice", "x dice", "dice +"])
def test_a_loss_that_makes_no_sense_is_refused(text):
    with pytest.raises(InvalidInput, match="loss"):
        TrainConfig(loss=text)


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: focal_tversky_loss(a, b, alpha=2.0),
        lambda a, b: unified_focal_loss(a, b, gamma=1.0),
        lambda a, b: generalised_cross_entropy(a, b, q=0.0),
        lambda a, b: symmetric_cross_entropy(a, b, log_of_zero=1.0),
        lambda a, b: instance_dice_loss(a, b, smooth=0.0),
        lambda a, b: centre_line_dice_loss(a, b, steps=0),
        lambda a, b: instance_weights(b, power=2.0),
        lambda a, b: ignore_band(b, -1),
        lambda a, b: dice_loss(a, b, torch.ones(1)),
    ],
)
def test_a_choice_outside_of_its_range_is_refused(call, picture):
    with pytest.raises(InvalidInput):
        call(*picture)
