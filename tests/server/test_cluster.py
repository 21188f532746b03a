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
from segmentation.plan import STARTER
from segmentation.predict import predict
from segmentation.render import render_part
from segmentation.render.write import new_dataset, write_png, write_table
from segmentation.train import train
from segmentation.tune import Budget, worth
from server.cluster.archive import addresses_of, embed_over, predict_over
from server.cluster.looking import read
from server.cluster.parcels import pack, unpacked
from server.cluster.searching import tune_over
from server.cluster.serving import serve
from server.remote_engine.wire import NoAnswer, Wire

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


def test_a_network_on_the_cluster_says_what_it_says_here(ray, pictures, monkeypatch, free_port):
    monkeypatch.setenv("QC_ENGINE_KEY", "qc_secret")
    port, said, done = free_port(), [], threading.Event()
    window = cv2.cvtColor(cv2.imread(str(pictures / "part1.png")), cv2.COLOR_BGR2RGB)

    def ask() -> None:
        stranger, wire = (Wire(f"http://127.0.0.1:{port}", "champion-network", key=k) for k in ("", "qc_secret"))
        try:
            until = time.monotonic() + 200
            while not said and time.monotonic() < until:
                try:
                    said.append((wire.about(within_s=20.0), wire.ask(window, PLANES, classes=9, within_s=60.0)))
                except NoAnswer:  # not up yet
                    time.sleep(0.2)
            with pytest.raises(NoAnswer, match="Bearer"):
                stranger.about(within_s=20.0)
        finally:
            done.set()
            wire.close()
            stranger.close()

    with ThreadPoolExecutor(1) as client:
        asked = client.submit(ask)
        serve(ray, STARTER, port=port, workers=(1, 1), runtime="torch", until=done.is_set)
        asked.result()
    (about, answer), expected = said[0], load_segmenter(STARTER, threads=1).look(window)
    assert about.version == model_id(STARTER).removeprefix("sha256:")[:12]
    np.testing.assert_allclose(answer.planes["log_odds"], expected[0], atol=1e-4)
    np.testing.assert_array_equal(answer.planes["class_place"], expected[1])


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
