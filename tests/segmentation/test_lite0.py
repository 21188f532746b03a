"""The encoder of torch alone is timm's, number for number; and a model is loaded without timm."""

import subprocess
import sys

import pytest
import torch

from segmentation.networks.lite0 import NAME, EvenConv, Lite0


@pytest.fixture(scope="module")
def of_timm():
    """Makes timm's encoder of so many stages, its padding a constant."""
    smp = pytest.importorskip("segmentation_models_pytorch")
    from timm.layers import Conv2dSame

    def make(depth):
        encoder = smp.encoders.get_encoder(f"tu-{NAME}", depth=depth, weights=None)
        encoder.model.blocks = encoder.model.blocks[: {3: 3, 4: 5, 5: 7}[depth]]
        for module in encoder.modules():
            if isinstance(module, Conv2dSame):
                module.__class__ = EvenConv
        return encoder

    return make


@pytest.mark.parametrize("depth", [3, 4, 5])
def test_weights_answers_and_gradients_are_timms(of_timm, depth):
    made = {}
    for name, make in (("timm", of_timm), ("ours", Lite0)):
        torch.manual_seed(depth)
        encoder = make(depth)
        made[name] = encoder, encoder.state_dict(), torch.rand(1), list(encoder.out_channels)
    (theirs, weights, drawn, channels), (ours, own, own_drawn, own_channels) = made["timm"], made["ours"]
    assert list(own) == list(weights)
    assert all(torch.equal(own[name], weights[name]) for name in weights)
    assert torch.equal(own_drawn, drawn), "what is drawn after the encoder would be another"
    assert own_channels == channels
    picture = torch.rand(2, 3, 64, 96) * 2 - 1
    for training in (True, False):
        answers = [encoder.train(training)(picture) for encoder in (theirs, ours)]
        assert [a.shape for a in answers[1]] == [a.shape for a in answers[0]]
        assert all(torch.equal(a, b) for a, b in zip(*answers, strict=True))
        for encoder, features in zip((theirs, ours), answers, strict=True):
            encoder.zero_grad()
            features[-1].square().sum().backward()
        assert all(torch.equal(a.grad, b.grad) for a, b in zip(theirs.parameters(), ours.parameters(), strict=True))


def test_what_loads_a_model_needs_neither_timm_nor_torchs_compiler():
    asked = "import sys, segmentation.model; print(*({'timm', 'torchvision', 'torch._dynamo'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
