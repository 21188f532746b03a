"""A model that several processes train together is the one that a single process trains, to the last bit."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from qc.errors import InvalidInput
from segmentation import checkpoint
from segmentation.config import TrainConfig
from segmentation.together import ALONE, mean_of_batches, own_batches
from segmentation.train import train

SMALL = TrainConfig(crop_px=64, batch=2, batches_a_step=3)

WORKER = """
import datetime, sys
from pathlib import Path
import torch
from torch import distributed
from segmentation.config import TrainConfig
from segmentation.train import train

class Crew:
    keep_every_s = None
    def __init__(self, rank, ranks):
        self.rank, self.ranks = rank, ranks
    def agreed(self, words):
        told = torch.tensor(words, dtype=torch.float64)
        distributed.broadcast(told, 0)
        return told.tolist()
    def gathered(self, own):
        everybody = [torch.empty_like(own) for _ in range(self.ranks)]
        distributed.all_gather(everybody, own)
        return everybody
    def kept(self, folder):
        pass

dataset, out, meeting, rank = *map(Path, sys.argv[1:4]), int(sys.argv[4])
torch.set_num_threads(1)
distributed.init_process_group(
    "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2, timeout=datetime.timedelta(minutes=5)
)
config = TrainConfig(crop_px=64, batch=2, batches_a_step=3)
card = train(dataset, out, steps=5, config=config, crew=Crew(rank, 2))
assert bool(card) == (rank == 0)
"""


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_what_one_process_began_two_end_with_the_weights_of_one(scratches, tmp_path, monkeypatch):
    class PowerCut(Exception):
        pass

    def cut(share, words):
        if words.startswith("step 3"):
            raise PowerCut

    train(scratches, tmp_path / "alone", steps=5, config=SMALL)
    monkeypatch.setattr("segmentation.train.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(PowerCut):
        train(scratches, tmp_path / "rank0", steps=5, config=SMALL, progress=cut)
    shutil.copytree(checkpoint.partial_folder(tmp_path / "rank0"), checkpoint.partial_folder(tmp_path / "rank1"))

    (tmp_path / "worker.py").write_text(WORKER)
    workers = [
        subprocess.Popen(
            [sys.executable, tmp_path / "worker.py", scratches, tmp_path / f"rank{n}", tmp_path / "meeting", str(n)],
            cwd=Path(__file__).parents[2],
        )
        for n in range(2)
    ]
    assert [worker.wait() for worker in workers] == [0, 0]
    alone, together = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("alone", "rank0"))
    assert together == alone
    assert not (tmp_path / "rank1").exists()


@dataclass
class Threads:
    """A crew of threads, which meet to hand each other their tensors."""

    rank: int
    ranks: int
    met: threading.Barrier
    table: list
    keep_every_s = None

    def agreed(self, words):
        return words

    def gathered(self, own):
        self.table[self.rank] = own.clone()
        self.met.wait(30)
        return list(self.table)

    def kept(self, folder):
        pass


def small_net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 2, 1))


def step(crew, batches: list[torch.Tensor], net: nn.Module) -> dict[str, torch.Tensor]:
    """Gradients, statistics and loss after a step of this process's batches."""
    own = [batches[number] for number in own_batches(crew, len(batches))]

    def backward(number: int) -> float:
        loss = net(own[number]).square().mean()
        loss.backward()
        return float(loss.detach())

    loss = mean_of_batches(net, crew, len(batches), backward)
    gradients = {name: weight.grad.clone() for name, weight in net.named_parameters()}
    return {**gradients, **{n: b.clone() for n, b in net.named_buffers()}, "loss": torch.tensor(loss)}


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_step_is_the_same_whoever_computes_its_batches(ranks):
    batches = list(torch.randn(4, 2, 3, 8, 8, generator=torch.Generator().manual_seed(2)))
    alone = step(ALONE, batches, small_net())
    met, table, found = threading.Barrier(ranks), [None] * ranks, [None] * ranks
    nets = [small_net() for _ in range(ranks)]

    def work(rank: int) -> None:
        found[rank] = step(Threads(rank, ranks, met, table), batches, nets[rank])

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in found:
        assert all(torch.equal(one[name], alone[name]) for name in alone)


def test_the_step_is_that_of_the_mean_loss_over_all_batches():
    batches = list(torch.randn(3, 2, 3, 8, 8, generator=torch.Generator().manual_seed(2)))
    net = small_net()
    found = step(ALONE, batches, net)
    plain = small_net()
    loss = torch.stack([plain(batch).square().mean() for batch in batches]).mean()
    loss.backward()
    assert found["loss"] == pytest.approx(float(loss.detach()), rel=1e-6)
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(found[name], weight.grad, rtol=1e-4, atol=1e-6)
    assert int(found["1.num_batches_tracked"]) == 1


def test_more_processes_than_batches_are_refused():
    with pytest.raises(InvalidInput, match="batches_a_step"):
        own_batches(Threads(0, 3, threading.Barrier(1), []), 2)
