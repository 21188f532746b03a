"""Work over a real Ray cluster: several node processes on this computer, one of which is killed in the middle."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pyarrow import parquet

from qc.errors import NotFound
from qc.object_stores import ObjectStore
from segmentation.model import load_segmenter, model_id
from segmentation.parity import compare_verdicts
from segmentation.plan import STARTER
from segmentation.predict import predict
from segmentation.render import render_part
from segmentation.render.write import new_dataset, write_png, write_table
from segmentation.train import train
from segmentation.tune import Budget, worth
from server.cluster.archive import addresses_of, embed_over, predict_over
from server.cluster.kinds import Kind, usual_kinds
from server.cluster.looking import read
from server.cluster.parcels import pack, unpacked
from server.cluster.searching import tune_over
from server.cluster.serving import serve
from server.remote_engine.wire import About, NoAnswer, Wire

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(400)]  # Ray's, of which there are many
PICTURES = 9
PLANES = ("log_odds", "class_place")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Rendered parts, every other one scratched."""
    rows, out = [], tmp_path_factory.mktemp("data") / "parts"
    with new_dataset(out) as folder:
        (folder / "dataset.yaml").write_text("name: parts\nclasses:\n  1: scratch\n")
        for number in range(PICTURES):
            planted, name = ("scratch",) * (number % 2), f"part{number}.png"
            (view,) = render_part(number, views=("left",), width=256, height=192, defects=planted).views
            write_png(folder / "images" / name, view.pixels)
            write_png(folder / "masks" / name, view.mask)
            rows.append({"file": name, "split": "val" if number > 5 else "train", "part": str(number)})
        write_table(folder, ("file", "split", "part"), rows)
    return out


@pytest.fixture(scope="module")
def pictures(dataset) -> Path:
    return dataset / "images"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_machine_that_is_killed_in_the_middle_changes_nothing(machines, ray, pictures, tmp_path):
    predict(load_segmenter(STARTER, threads=1), [pictures], tmp_path / "here", scores=True)
    (first,) = machines.workers
    (pictures / "damaged.png").write_bytes((pictures / "part0.png").read_bytes()[:400])

    def after_the_first(share: float, _: str) -> None:
        if first in machines.workers:
            machines.add()
            machines.kill(first)

    done, problems = predict_over(
        ray, STARTER, [str(pictures)], tmp_path / "there", scores=True, progress=after_the_first
    )
    (pictures / "damaged.png").unlink()
    assert done == PICTURES
    assert first not in machines.workers
    assert len(problems) == 1
    assert "damaged.png" in problems[0]
    here, there = ({p.name: p.read_bytes() for p in (tmp_path / side).iterdir()} for side in ("here", "there"))
    assert len(here) == 3 * PICTURES
    assert there == here


def test_features_of_an_archive_are_those_of_one_computer(ray, pictures, tmp_path):
    done, problems = embed_over(ray, STARTER, [str(pictures / "part1.png")], tmp_path / "features.parquet")
    assert (done, problems) == (1, ())
    table = parquet.read_table(tmp_path / "features.parquet").to_pydict()
    whole = table["defect"].index(None)
    assert table["encoder"][whole] == model_id(STARTER)
    picture = cv2.cvtColor(cv2.imread(str(pictures / "part1.png")), cv2.COLOR_BGR2RGB)
    cells = replace(load_segmenter(STARTER, threads=1), keep_cells=True).segment(picture).cells
    np.testing.assert_allclose(table["vector"][whole], cells.mean(axis=(1, 2), dtype=np.float32), atol=2e-3)


def test_machines_of_several_kinds_say_together_what_this_one_says(machines, ray, pictures, monkeypatch, free_port):
    """One machine says that it has a GPU. That it has none shows that Ray's word decides who works where."""
    monkeypatch.setenv("QC_ENGINE_KEY", "qc_secret")
    (plain,) = machines.workers
    boxes = [machines.add(gpus=1), machines.add(torch_box=1)]
    assert usual_kinds(ray.nodes(), Kind()) == [Kind(most=1, gpus=1.0), Kind()]
    kinds = [Kind("torch", 1, 1, gpus=1.0), Kind("torch", 1, 1, on="torch_box"), Kind("openvino", 1, 1)]
    port, done, seats = free_port(), threading.Event(), []
    frames = [cv2.cvtColor(cv2.imread(str(pictures / f"part{n}.png")), cv2.COLOR_BGR2RGB) for n in range(3)]

    def ask() -> None:
        stranger, wire = (Wire(f"http://127.0.0.1:{port}", "champion-network", key=k) for k in ("", "qc_secret"))

        def look(window: np.ndarray) -> tuple[np.ndarray, ...]:
            planes = wire.ask(window, PLANES, classes=9, within_s=120.0).planes
            return tuple(planes[name] for name in PLANES)

        try:
            about = up(wire)
            with pytest.raises(NoAnswer, match="Bearer"):
                stranger.about(within_s=20.0)
            assert about.version == model_id(STARTER).removeprefix("sha256:")[:12]
            assert about.platform == "qc_torch + qc_openvino"
            own = load_segmenter(STARTER, threads=1)
            expected = own.look(frames[1])
            with ThreadPoolExecutor(4) as lines:
                answers = list(lines.map(look, [frames[1]] * 8))
            for log_odds, class_place in answers:
                np.testing.assert_allclose(log_odds, expected[0], atol=1e-4)
                np.testing.assert_array_equal(class_place, expected[1])
            same_bits = {bool(np.array_equal(log_odds, expected[0])) for log_odds, _ in answers}
            assert same_bits == {True, False}, "torch's answers are this machine's, OpenVINO's are rounded elsewhere"
            found = compare_verdicts(own, replace(own, look=look), frames)
            assert (found["images"], found["verdicts_that_differ"]) == (3, 0)
        finally:
            done.set()
            wire.close()
            stranger.close()

    with ThreadPoolExecutor(1) as client:
        asked = client.submit(ask)
        serve(ray, STARTER, port=port, kinds=kinds, until=lambda: done.is_set() and len(seats) == 3, came=seats.append)
        asked.result()
    sat = {(seat.kind, seat.node, seat.gpus, seat.runtime, seat.on_gpu) for seat in seats}
    where = [boxes[0].node_id, boxes[1].node_id, plain.node_id]
    assert sat == {
        (0, where[0], ("0",), "torch", False),
        (1, where[1], (), "torch", False),
        (2, where[2], (), "openvino", False),
    }
    for box in boxes:
        machines.kill(box)


def up(wire: Wire) -> About:
    """What the network says of itself, once it is up."""
    until = time.monotonic() + 300
    while True:
        try:
            return wire.about(within_s=20.0)
        except NoAnswer:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def test_a_search_over_the_cluster_finds_the_default_as_good_as_here(ray, dataset, tmp_path):
    report = tune_over(ray, dataset, tmp_path / "study", trials=1, budget=Budget(steps=2), at_once=2)
    card = train(dataset, tmp_path / "model", steps=2, seed=0)
    assert report["default"] == pytest.approx(worth(card["figures"]), abs=1e-6)


def test_a_picture_is_read_from_a_folder_or_an_object_store(s3, pictures, monkeypatch):
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    data = (pictures / "part1.png").read_bytes()
    ObjectStore("s3://plant/archive").put("part1.png", data)
    assert read("s3://plant/archive/part1.png") == read(str(pictures / "part1.png")) == data
    with pytest.raises(NotFound):
        read("s3://plant/archive/nothing.png")
    assert addresses_of(["s3://plant/archive/part1.png"]) == ["s3://plant/archive/part1.png"]


def test_a_parcel_is_unpacked_once_and_whole(tmp_path):
    (tmp_path / "m" / "below").mkdir(parents=True)
    (tmp_path / "m" / "below" / "a.bin").write_bytes(b"\x00\x01")
    one, again = pack(tmp_path / "m"), pack(tmp_path / "m")
    assert one == again
    assert unpacked(one) == unpacked(again)
    assert (unpacked(one) / "below" / "a.bin").read_bytes() == b"\x00\x01"
