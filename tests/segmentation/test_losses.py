"""Losses against their formulas and limits."""

import pytest
import torch

from qc.dataset import IGNORE
from qc.errors import InvalidInput
from segmentation.losses import dice_loss, focal_loss


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
