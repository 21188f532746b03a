"""Where a network is computed: what is asked for, or what the machine has."""

import pytest
import torch

from qc.errors import InvalidInput
from segmentation.device import on_device


@pytest.mark.parametrize(
    ("wanted", "there", "taken"),
    [
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_auto_takes_the_gpu_where_there_is_one(monkeypatch, wanted, there, taken):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert on_device(wanted) == taken


def test_what_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidInput, match="choose the device cpu, or auto"):
        on_device("cuda")
    with pytest.raises(InvalidInput, match="must be one of"):
        on_device("tpu")
