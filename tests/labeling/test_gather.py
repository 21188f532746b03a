"""A mix of sources becomes a data set that is learnt from in the shares that were asked for."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from labeling.sources.catalogue import read_catalogue
from labeling.sources.gather import gather
from qc.dataset import open_dataset
from qc.errors import Conflict, InvalidInput, Unavailable
from qc.mixing import turns
from segmentation.data import Crops, index

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
GREY = {"line-1": 60, "lab": 200}
"""Every picture of a source has its own grey, by which crops can be told apart."""


@pytest.fixture
def opened(tmp_path):
    """Two sources that name their classes and parts differently."""
    sources = {}
    for name, classes in (("line-1", "{1: scratch}"), ("lab", "{1: dent, 2: scratch}")):
        root = tmp_path / name
        (root / "images").mkdir(parents=True)
        (root / "masks").mkdir()
        rows = ["file,split,part"]
        for n in range(5):
            mask = np.zeros((70, 80), np.uint8)
            mask[20:24, 10:40] = 1 + n % 2 * (name == "lab")
            (root / f"images/{n}.png").write_bytes(cv2.imencode(".png", np.full((70, 80), GREY[name], np.uint8))[1])
            if n != 4:
                (root / f"masks/{n}.png").write_bytes(cv2.imencode(".png", mask)[1])
            rows.append(f"{n}.png,{'val' if n == 3 else 'train'},part {n}")
        (root / "split.csv").write_text("\n".join(rows) + "\n")
        (root / "dataset.yaml").write_text(f"name: {name}\nclasses: {classes}\n")
        sources[name] = {"url": name, "format": "folder", "owner": "Ada", "licence": name, "roles": ["engineer"]}
    (tmp_path / "sources.yaml").write_text(json.dumps({"sources": sources}))
    catalogue = read_catalogue(tmp_path / "sources.yaml")
    return [catalogue.open(n, by="Ada", role="engineer", purpose="t", at=NOW, record=lambda _: None) for n in sources]


def test_the_set_names_every_sample_with_its_hash_and_speaks_of_classes_by_name(opened, tmp_path):
    mix = gather(opened, [3, 1], tmp_path / "set", seed=7)
    data = open_dataset(tmp_path / "set")
    assert data.classes == {1: "scratch", 2: "dent"}
    assert Counter((s.columns["source"], s.split) for s in data.samples) == {
        (name, split): number for name in GREY for split, number in (("train", 3), ("val", 1))
    }
    assert {s.part for s in data.samples} >= {"line-1/part 0", "lab/part 0"}
    drawn = {s.image.name: set(np.unique(s.labels(data.classes))) for s in data.samples}
    assert drawn["lab__0.png"] == {0, 2}
    assert drawn["lab__1.png"] == drawn["line-1__0.png"] == {0, 1}
    manifest = json.loads((tmp_path / "set/mix.json").read_text())
    assert manifest == mix.manifest()
    assert [len(one["samples"]) for one in manifest["sources"]] == [3, 3]
    assert data.mixing.id == manifest["id"]
    assert (data.mixing.per_thousand, data.mixing.seed) == ({"line-1": 750, "lab": 250}, 7)
    again = gather(opened, [3, 1], tmp_path / "again", seed=7)
    assert again.manifest()["id"] == manifest["id"]
    assert gather(opened, [3, 2], tmp_path / "other", seed=7).manifest()["id"] != manifest["id"]
    with pytest.raises(Conflict, match="exists"):
        gather(opened, [3, 1], tmp_path / "set")


def test_crops_come_from_each_source_in_its_share_and_in_the_mixs_order(opened, tmp_path):
    mix = gather(opened, [3, 1], tmp_path / "set", seed=7)
    data = open_dataset(tmp_path / "set")
    train = data.split("train")
    crops = Crops(
        train, data.classes, index(train, data.classes), crop_px=32, batch=8, defect_share=0.5, seed=3,
        mixing=data.mixing,
    )  # fmt: skip
    order = [turn for batch in range(125) for turn in seen(crops, batch)]
    assert order == turns(7, [750, 250], 0).tolist() == mix.at(0, 1000)[0].tolist()
    assert Counter(order) == {0: 750, 1: 250}


def seen(crops: Crops, batch: int) -> list[int]:
    """Which source each crop of a batch came from: by its grey, before it is changed."""
    found, honest = [], crops._one

    def one(*words, **more):
        drawn = honest(*words, **more)
        found.append([*GREY.values()].index(int(np.median(drawn[0]))))
        return drawn

    crops._one = one
    crops.draw(batch)
    crops._one = honest
    return found


def test_a_sample_that_was_altered_leaves_no_set_behind(opened, tmp_path):
    grey = cv2.imencode(".png", np.full((70, 80), 7, np.uint8))[1]
    (tmp_path / "lab/images/0.png").write_bytes(grey)
    with pytest.raises(Unavailable, match="not what its index says"):
        gather(opened, [1, 1], tmp_path / "set")
    assert not [*tmp_path.glob("*set*")]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"id": "x", "seed": 0}, "must hold"),
        ({"id": "x", "seed": 0, "per_thousand": {"line-1": 900, "lab": 50}}, "sum to 1000"),
        ({"id": "x", "seed": 0, "per_thousand": {"line-1": 1000}}, "no share of the source 'lab'"),
    ],
)
def test_a_mix_that_makes_no_sense_is_refused(opened, tmp_path, told, words):
    gather(opened, [1, 1], tmp_path / "set")
    path = Path(tmp_path / "set/dataset.yaml")
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "mix": told}, sort_keys=False))
    with pytest.raises(InvalidInput, match=words):
        open_dataset(tmp_path / "set")
