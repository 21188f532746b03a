"""What several machines learn together over a real Ray cluster is what one computer learns, also when one is killed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.simulate import linear_line
from qc.errors import InvalidInput
from segmentation.config import NETWORKS, TrainConfig
from segmentation.render import render_part
from segmentation.render.write import new_dataset, write_png, write_table
from segmentation.train import train
from server.cluster.fitting import Machines as Hands
from server.cluster.training import train_over

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(400)]  # Ray's, of which there are many

SMALL = TrainConfig(crop_px=64, batch=2, batches_a_step=3)
STEPS = 6


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scratched(tmp_path_factory) -> Path:
    """Rendered parts, every other one scratched."""
    rows, out = [], tmp_path_factory.mktemp("data") / "parts"
    with new_dataset(out) as folder:
        (folder / "dataset.yaml").write_text("name: parts\nclasses:\n  1: scratch\n")
        for number in range(6):
            planted, name = ("scratch",) * (number % 2), f"part{number}.png"
            (view,) = render_part(number, views=("left",), width=128, height=96, defects=planted).views
            write_png(folder / "images" / name, view.pixels)
            write_png(folder / "masks" / name, view.mask)
            rows.append({"file": name, "split": "val" if number > 3 else "train", "part": str(number)})
        write_table(folder, ("file", "split", "part"), rows)
    return out


def test_a_model_trained_by_several_machines_is_that_of_one_though_one_is_killed(machines, ray, scratched, tmp_path):
    how = {"steps": STEPS, "config": SMALL, "network": NETWORKS["light"], "seed": 3}
    train(scratched, tmp_path / "alone", **how)
    killed = machines.add()
    words = []

    def cut_in_the_middle(_: float, said: str) -> None:
        words.append(said)
        if said.startswith("step") and killed in machines.workers:
            machines.kill(killed)

    card = train_over(
        ray, scratched, tmp_path / "together", workers=2, keep_every_s=0.0, progress=cut_in_the_middle, **how
    )
    assert killed not in machines.workers
    assert any("lost" in said for said in words)
    after = words[next(place for place, said in enumerate(words) if "lost" in said) :]
    assert not any(said.startswith("step 1,") for said in after)  # it went on from what was kept
    alone, together = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("alone", "together"))
    assert together == alone
    assert card["id"] == json.loads((tmp_path / "alone" / "model.json").read_text())["id"]
    assert not (tmp_path / "together.partial").exists()


def test_a_mistake_is_told_as_on_one_computer_and_not_tried_again(ray, scratched, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "dataset.yaml").write_text("name: parts\nclasses:\n  1: scratch\n")
    with pytest.raises(InvalidInput) as alone:
        train(broken, tmp_path / "alone", steps=1)
    with pytest.raises(InvalidInput) as together:
        train_over(ray, broken, tmp_path / "together", workers=1, steps=1)
    assert type(together.value) is type(alone.value)
    assert not (tmp_path / "together").exists()


def test_a_process_model_fitted_by_several_machines_is_that_of_one_though_one_is_killed(machines, ray):
    line = linear_line(4, 3, every=2)
    history = parse_history(line.history(2500, 1), line.process)
    alone = fit(line.process, history, seed=1)
    killed = machines.add()

    def cut_in_the_middle(_: str, share: float) -> None:
        if share > 0.3 and killed in machines.workers:
            machines.kill(killed)

    together = fit(line.process, history, seed=1, hands=Hands(ray), progress=cut_in_the_middle)
    assert killed not in machines.workers
    assert together.id == alone.id


def test_sums_of_a_history_are_added_share_by_share():
    from process_opt.estimate import CHUNK, SHARES, Data

    size = CHUNK * SHARES + 1
    numbers = np.zeros((1, size))
    data = Data(
        numbers, numbers, numbers[0] > 0, np.arange(size), (None,), np.arange(size), np.zeros((1, size), np.int8),
        np.zeros((0, size), np.int64),
    )  # fmt: skip
    shares = list(data.shares())
    assert len(shares) <= SHARES
    np.testing.assert_array_equal(np.concatenate([share.last for share in shares]), data.last)
