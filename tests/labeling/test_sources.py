"""Training data from many places: who may open what, shards, and the one stream that everybody sees the same."""

from __future__ import annotations

import hashlib
import json
import pickle
import tarfile
import traceback
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import cv2
import httpx
import litdata
import numpy as np
import pytest
from streamed import named
from torch.utils.data import DataLoader

from labeling.sources import litdata_sets, squirrel
from labeling.sources.catalogue import Catalogue, read_catalogue
from labeling.sources.folders import open_folder
from labeling.sources.items import translation
from labeling.sources.mix import BLOCK, Mix, hashes, part_of, shares
from labeling.sources.places import Bucket, Folder, place_at
from labeling.sources.reading import Ranges, read_items
from labeling.sources.shards import INDEX, open_shards, write_shards
from labeling.sources.stream import Share, batches, resumed, state
from labeling.sources.torch_stream import TorchStream
from qc.errors import Conflict, InvalidInput, NotFound, Unavailable
from qc.object_stores import ObjectStore

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
WRITTEN_BY_SQUIRREL = Path(__file__).parent / "squirrel"


def make_set(root, count, *, seed=0, classes=("scratch",)):
    """A data-set folder of small pictures; every fourth is not labelled, every fifth is of the test side."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rows = ["file,split,part,view"]
    for n in range(count):
        grey = rng.integers(0, 255, (8, 9), np.uint8)
        (root / f"images/{n}.v1.png").write_bytes(cv2.imencode(".png", grey)[1].tobytes())
        if n % 4:
            mask = (grey > 200).astype(np.uint8)
            (root / f"masks/{n}.v1.png").write_bytes(cv2.imencode(".png", mask)[1].tobytes())
        rows.append(f"{n}.v1.png,{'test' if n % 5 == 4 else 'train'},P-{n},left")
    (root / "split.csv").write_text("\n".join(rows) + "\n")
    named = ", ".join(f"{n}: {name}" for n, name in enumerate(classes, start=1))
    (root / "dataset.yaml").write_text(f"name: {root.name}\nclasses: {{{named}}}\n")
    return root


def sharded(folder, place, *, shard_bytes=4000):
    """The samples of a data-set folder as shards."""
    reader = open_folder(Folder(folder))
    items = read_items(folder.name, reader, reader.index.entries)
    write_shards(place, items, dict(reader.index.classes), shard_bytes=shard_bytes)
    return open_shards(place)


@pytest.fixture(scope="module")
def mix(tmp_path_factory):
    """Three sources, two of them shards, in the proportion 5 : 3 : 2."""
    tmp_path = tmp_path_factory.mktemp("sources")
    readers = [open_folder(Folder(make_set(tmp_path / "a", 30, seed=1)))]
    for name, seed in (("b", 2), ("c", 3)):
        readers.append(sharded(make_set(tmp_path / name, 40, seed=seed), Folder(tmp_path / f"{name}-shards")))
    weights = (5.0, 3.0, 2.0)
    return Mix([part_of(n, r, w) for n, r, w in zip("abc", readers, weights, strict=True)], seed=7)


def stream(mix, *, batch, start=0, stop=300, ranks=1, workers=1):
    """What all ranks together see, in the order of the steps, each taking from its workers in turn."""
    lines = [
        [batches(mix, batch=batch, start=start, stop=stop, share=Share(r, ranks, w, workers)) for w in range(workers)]
        for r in range(ranks)
    ]
    found, step = [], 0
    while True:
        now = [next(line[step % workers], None) for line in lines]
        found += [one for items in now if items for one in items]
        if not all(now):
            return found
        step += 1


def test_the_stream_is_the_same_with_any_number_of_workers_and_ranks_and_after_a_stop(mix):
    whole = stream(mix, batch=8)
    assert [item.position for item in whole] == list(range(300))
    for ranks, workers in ((1, 2), (1, 4), (2, 1), (2, 4), (3, 2)):
        assert named(stream(mix, batch=8, ranks=ranks, workers=workers)) == named(whole)
    assert named(stream(mix, batch=5, workers=3)) == named(whole)  # batches of another size, too

    before = stream(mix, batch=8, workers=2, stop=104)
    told = json.loads(json.dumps(state(mix, 104)))
    for ranks, workers in ((1, 1), (1, 4), (4, 2)):
        after = stream(mix, batch=8, start=resumed(mix, told), ranks=ranks, workers=workers)
        assert named([*before, *after]) == named(whole)
    other = Mix(mix.parts, seed=8)
    with pytest.raises(Conflict, match="not those of the checkpoint"):
        resumed(other, told)
    assert named(stream(other, batch=8)) != named(whole)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_pytorch_s_loader_gives_that_very_stream(mix, workers):
    dataset = TorchStream(mix, batch=8, make=named, start=40, stop=160)
    # Begun anew, not forked: what others left at work in this process, threads above all, does not live on in a fork.
    loader = DataLoader(
        dataset, batch_size=None, num_workers=workers, multiprocessing_context="spawn" if workers else None
    )
    assert [tuple(one) for items in loader for one in items] == named(stream(mix, batch=8, start=40, stop=160))


def test_every_source_has_its_share_of_every_thousand_and_every_sample_comes_once_an_epoch(mix):
    part, sample = mix.at(0, 5 * BLOCK)
    for block in range(5):
        assert Counter(part[block * BLOCK : (block + 1) * BLOCK].tolist()) == {0: 500, 1: 300, 2: 200}
    for s, one in enumerate(mix.parts):
        mine, count = sample[part == s], len(one.entries)
        epochs = [mine[k : k + count].tolist() for k in range(0, len(mine) - count, count)]
        assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
        assert epochs[0] != epochs[1]
    alone = Mix(mix.parts[:1], seed=7)
    order = [n for p, n in zip(part, sample, strict=True) if p == 0]
    assert alone.at(0, 500)[1].tolist() == order[:500]  # another source changes when, not what


def test_any_place_is_found_without_what_comes_before_it_and_is_for_ever_the_same(mix):
    part, sample = mix.at(0, 3000)
    late = mix.at(2345, 2350)
    assert late[0].tolist() == part[2345:2350].tolist()
    assert late[1].tolist() == sample[2345:2350].tolist()
    assert [len(one) for one in mix.at(10**12, 10**12 + 4)] == [4, 4]
    # the paper's generator in plain whole numbers: what a checkpoint rests on must not change with a library
    state, found = int.from_bytes(hashlib.sha256(b"what for").digest()[:8], "big"), []
    for _ in range(5):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        found.append(z ^ z >> 31)
    assert hashes("what for", 5).tolist() == found


def test_only_labelled_samples_of_the_split_are_mixed_unless_asked_otherwise(tmp_path):
    reader = open_folder(Folder(make_set(tmp_path / "a", 20)))
    assert len(part_of("a", reader, 1).entries) == 12
    assert len(part_of("a", reader, 1, split=None, labelled=False).entries) == 20
    with pytest.raises(InvalidInput, match="no sample of the kind"):
        part_of("a", reader, 1, split="val")


def test_weights_are_kept_to_a_thousandth_and_what_is_less_is_refused(mix):
    assert shares([1, 1, 1]) == [334, 333, 333]
    with pytest.raises(InvalidInput, match="below a thousandth"):
        Mix([mix.parts[0], replace(mix.parts[1], weight=1e-4)], seed=0)
    with pytest.raises(InvalidInput, match="must be above 0"):
        replace(mix.parts[0], weight=-1)


def test_the_manifest_names_every_sample_and_its_hash_and_its_id_is_of_all_that(mix, tmp_path):
    told = mix.manifest()
    assert [s["per_thousand"] for s in told["sources"]] == [500, 300, 200]
    assert sum(len(s["samples"]) for s in told["sources"]) == sum(len(part.entries) for part in mix.parts)
    assert all(len(digest) == 64 for s in told["sources"] for _, digest in s["samples"])
    one = replace(mix.parts[0], entries=(replace(mix.parts[0].entries[0], sha256="0" * 64), *mix.parts[0].entries[1:]))
    assert Mix([one, *mix.parts[1:]], seed=7).manifest()["id"] != told["id"]


def test_shards_hold_what_the_folder_held_and_any_tar_reads_them(tmp_path):
    folder = make_set(tmp_path / "a", 25)
    reader = sharded(folder, Folder(tmp_path / "shards"))
    plain = open_folder(Folder(folder))
    assert reader.index.classes == {1: "scratch"}
    assert [(e.file, e.row, e.sha256) for e in reader.index.entries] == [
        (e.file, e.row, e.sha256) for e in plain.index.entries
    ]
    for item in read_items("a", reader, reader.index.entries):
        assert bytes(item.image) == (folder / "images" / item.entry.file).read_bytes()
        mask = folder / "masks" / item.entry.file
        assert (bytes(item.mask) if item.mask is not None else None) == (mask.read_bytes() if mask.exists() else None)
    tars = sorted((tmp_path / "shards").glob("*.tar"))
    assert len(tars) > 3
    with tarfile.open(tars[0]) as tar:
        assert tar.getnames()[:3] == ["0_v1.png", "0_v1.json", "1_v1.png"]
        assert tar.extractfile("0_v1.png").read() == (folder / "images/0.v1.png").read_bytes()
    with pytest.raises(Conflict, match="are never changed"):
        sharded(folder, Folder(tmp_path / "shards"))


def test_a_sample_that_was_altered_is_not_trained_on(tmp_path):
    reader = sharded(make_set(tmp_path / "a", 5), Folder(tmp_path / "shards"))
    name, start, _ = reader.index.entries[3].image
    file = tmp_path / "shards" / name
    data = bytearray(file.read_bytes())
    data[start + 40] ^= 1
    file.write_bytes(data)
    with pytest.raises(Unavailable, match=r"3.v1.png of a is not what its index says"):
        read_items("a", open_shards(Folder(tmp_path / "shards")), reader.index.entries)


@pytest.mark.parametrize("left", [0, 1500])
@pytest.mark.parametrize("far", [False, True], ids=["folder", "store"])
def test_a_shard_that_was_cut_off_gives_no_half_samples_also_where_no_hash_is_compared(left, far, s3, tmp_path):
    folder = make_set(tmp_path / "a", 40)
    place = place_at(f"s3://plant/cut-{left}", s3.options()) if far else Folder(tmp_path / "shards")
    reader = sharded(folder, place)
    place.write("shard-00001.tar", place.read("shard-00001.tar")[:left])
    with pytest.raises(Unavailable):
        read_items("a", Ranges(place_again(place), reader.index), reader.index.entries, check=False)


def place_again(place):
    """The same place, opened anew: a mapped file stays what it was."""
    return pickle.loads(pickle.dumps(place)) if isinstance(place, Folder) else place


@pytest.mark.parametrize(
    "change",
    [
        {"classes": [1]},
        {"classes": {"a": "b"}},
        {"classes": None},
        {"samples": None},
        {"samples": [1]},
        {"samples": 5},
        {"samples": [{"file": "a.png", "image": ["shard-00000.tar", -1, 5]}]},
    ],
)
def test_an_index_that_makes_no_sense_is_refused(change, tmp_path):
    place = Folder(tmp_path / "shards")
    sharded(make_set(tmp_path / "a", 4), place)
    told = json.loads((tmp_path / "shards" / INDEX).read_text()) | change
    (tmp_path / "shards" / INDEX).write_text(json.dumps(told))
    with pytest.raises(InvalidInput, match=r"is damaged|makes no sense"):
        open_shards(place)


def test_shards_and_folders_in_an_object_store_give_the_stream_that_they_give_here(s3, tmp_path):
    folder = make_set(tmp_path / "a", 30)
    for file in folder.rglob("*.*"):
        ObjectStore("s3://plant/sets/a", s3.options()).put(file.relative_to(folder).as_posix(), file.read_bytes())
    there = Bucket(ObjectStore("s3://plant/shards/a", s3.options()))
    far = [sharded(folder, there), open_folder(Bucket(ObjectStore("s3://plant/sets/a", s3.options())))]
    near = [sharded(folder, Folder(tmp_path / "shards")), open_folder(Folder(folder))]
    found = [
        stream(Mix([part_of("a", one, 2), part_of("b", other, 1)], seed=3), batch=8, stop=100, workers=2)
        for one, other in (near, far)
    ]
    assert named(found[0]) == named(found[1])
    assert [bytes(item.image) for item in found[0]] == [bytes(item.image) for item in found[1]]
    assert (found[1][5].pixels() == found[0][5].pixels()).all()
    assert (found[1][5].labels() == found[0][5].labels()).all()


class Passing(BaseHTTPRequestHandler):
    """Hands requests on to a store, and notes which bytes are asked for."""

    asked: ClassVar[list[str]]
    to: ClassVar[str]

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Range", ""))
        answer = httpx.get(f"{self.to}{self.path}", headers=dict(self.headers.items()))
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: object) -> None:
        """Nothing into the output of the tests."""


def test_neighbours_come_in_one_request_and_nothing_far_between_samples_comes_with_them(s3, tmp_path):
    rng = np.random.default_rng(1)
    ObjectStore("s3://plant/wide", s3.options()).put("shard", data := rng.bytes(2_000_000))
    handler = type("Noting", (Passing,), {"asked": [], "to": s3.endpoint})
    between = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=between.serve_forever)
    thread.start()
    try:
        options = s3.options() | {"endpoint": f"http://127.0.0.1:{between.server_port}"}
        store = ObjectStore("s3://plant/wide", options)
        starts = [0, 200_000, 201_000, 900_000]
        got = store.ranges("shard", starts, [1000] * 4)
    finally:
        between.shutdown()
        thread.join()
        between.server_close()
    assert [bytes(part) for part in got] == [data[start : start + 1000] for start in starts]
    assert sorted(handler.asked) == ["bytes=0-999", "bytes=200000-201999", "bytes=900000-900999"]


def test_what_squirrel_core_wrote_is_read_and_ours_is_as_it_would_write_it():
    (key,) = squirrel.keys(Folder(WRITTEN_BY_SQUIRREL))
    data = (WRITTEN_BY_SQUIRREL / f"{key}.gz").read_bytes()
    samples = [*squirrel.read_shard(data)]
    assert [sample["file"] for sample in samples] == ["0.png", "1.png", "2.png"]
    assert samples[2]["share"] == np.float32(1.0)
    assert samples[2]["pixels"].dtype == np.uint16
    assert samples[2]["pixels"].tolist() == [[2, 3, 4], [5, 6, 7]]
    ours = squirrel.written(samples)
    assert squirrel._unzip(ours) == squirrel._unzip(data)
    for broken in (data[:-30], b"not gzip", ours[:-9], squirrel.written([])[:-4]):
        with pytest.raises(InvalidInput, match=r"no shard of squirrel|cut off"):
            [*squirrel.read_shard(broken)]


def test_a_data_set_goes_to_squirrel_s_shards_and_from_there_to_ours_and_is_the_same(tmp_path):
    reader = open_folder(Folder(make_set(tmp_path / "a", 25)))
    keys = squirrel.write_items(
        Folder(tmp_path / "sq"), read_items("a", reader, reader.index.entries), shard_samples=10
    )
    assert keys == squirrel.keys(Folder(tmp_path / "sq")) == ["shard-00000", "shard-00001", "shard-00002"]
    index = write_shards(Folder(tmp_path / "ours"), squirrel.items_of(Folder(tmp_path / "sq"), "a"), {1: "scratch"})
    assert [(e.file, e.row, e.sha256) for e in index.entries] == [
        (e.file, e.row, e.sha256) for e in reader.index.entries
    ]


def test_a_data_set_goes_to_litdata_and_from_there_to_ours_and_is_the_same(tmp_path):
    reader = open_folder(Folder(make_set(tmp_path / "a", 60)))
    lit = tmp_path / "lit"
    items = read_items("a", reader, reader.index.entries)
    assert litdata_sets.write_items(lit, items, chunk_bytes=8000) == 60
    assert len([*lit.glob("*.bin")]) > 1
    index = write_shards(Folder(tmp_path / "ours"), litdata_sets.items_of(str(lit), "a"), {1: "scratch"})
    assert [(e.file, e.row, e.sha256) for e in index.entries] == [
        (e.file, e.row, e.sha256) for e in reader.index.entries
    ]
    with pytest.raises(Conflict, match="already"):
        litdata_sets.write_items(lit, items)


def test_a_litdata_set_that_would_run_code_is_not_opened(tmp_path):
    harmful = litdata.streaming.writer.BinaryWriter(str(tmp_path / "set"), chunk_bytes=4000)
    harmful.add_item(0, {"file": "1.png", "image": b"", "more": {1, 2}})  # a set: LitData pickles it
    harmful.done()
    harmful.merge(1)
    with pytest.raises(InvalidInput, match="coded as pickle; only bytes"):
        [*litdata_sets.items_of(str(tmp_path / "set"), "a")]
    with pytest.raises(InvalidInput, match=r"no LitData set: it has no index\.json"):
        [*litdata_sets.items_of(str(tmp_path), "a")]
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"index\.json of .* is damaged"):
        [*litdata_sets.items_of(str(tmp_path), "a")]


def test_samples_of_two_kinds_are_no_litdata_set(tmp_path):
    reader = open_folder(Folder(make_set(tmp_path / "a", 2)))
    one, other = read_items("a", reader, reader.index.entries)
    other = replace(other, entry=replace(other.entry, row={**other.entry.row, "shift": "late"}))
    with pytest.raises(InvalidInput, match="shift"):
        litdata_sets.write_items(tmp_path / "lit", [one, other])
    assert not (tmp_path / "lit/index.json").exists()
    with pytest.raises(InvalidInput, match="no sample"):
        litdata_sets.write_items(tmp_path / "none", [])


def test_classes_are_translated_by_name_and_what_the_training_does_not_know_is_ignored():
    table = translation({1: "scratch", 2: "dent"}, {1: "dent", 3: "scratch", 4: "rust"})
    assert table[[0, 1, 3, 4, 255]].tolist() == [0, 2, 1, 255, 255]


CATALOGUE = """
sources:
  own:
    {url: own, format: folder, owner: Ada, licence: internal, roles: [engineer], until: 2026-11-22}
  over:
    {url: own, format: folder, owner: Ada, licence: internal, roles: [engineer], until: 2026-11-21}
  cloud:
    url: s3://plant/catalogue
    format: shards
    credentials: env:PLANT_KEY
    options: {endpoint: "http://127.0.0.1:1", region: us-east-1}
    owner: Grace
    licence: CC-BY-4.0
    roles: [engineer, admin]
"""


@pytest.fixture
def catalogue(tmp_path):
    make_set(tmp_path / "own", 6)
    (tmp_path / "sources.yaml").write_text(CATALOGUE)
    return read_catalogue(tmp_path / "sources.yaml", secrets={})


@pytest.fixture
def trail():
    return []


@pytest.fixture
def opens(catalogue, trail):
    def open_it(name, role="engineer", catalogue=catalogue, record=trail.append):
        return catalogue.open(name, by="Ada", role=role, purpose="train seat-bar", at=NOW, record=record)

    return open_it


def test_who_may_opens_and_the_trail_says_who_what_and_what_for(opens, trail):
    opened = opens("own")
    assert len(opened.reader.index.entries) == 6
    (told,) = trail
    assert (told.by, told.source, told.allowed, told.why, told.samples) == ("Ada", "own", True, "train seat-bar", 6)
    assert told.licence == "internal"


@pytest.mark.parametrize(
    ("name", "role", "error", "said"),
    [
        ("own", "operator", Conflict, "own is for engineer and not for operator; ask its owner, Ada"),
        ("over", "engineer", Conflict, "might be used until 2026-11-21"),
        ("cloud", "engineer", InvalidInput, "needs the environment variable PLANT_KEY; ask its owner, Grace"),
    ],
)
def test_who_may_not_is_refused_and_the_trail_says_so(opens, trail, name, role, error, said):
    with pytest.raises(error, match=said):
        opens(name, role)
    (told,) = trail
    assert not told.allowed
    assert said in told.why


def test_what_cannot_be_written_down_is_not_opened(opens):
    def fails(opening):
        raise Unavailable("the trail is away")

    with pytest.raises(Unavailable, match="the trail is away"):
        opens("own", record=fails)
    with pytest.raises(NotFound, match="no source other; it has cloud, over, own"):
        opens("other")


def test_a_source_in_a_cloud_is_opened_with_the_key_that_its_credentials_name(opens, catalogue, s3, trail, tmp_path):
    sharded(make_set(tmp_path / "a", 10), place_at("s3://plant/catalogue", s3.options()))
    key = {k: s3.options()[k] for k in ("access_key_id", "secret_access_key")}
    options = {"endpoint": s3.endpoint, "region": "us-east-1"}
    cloud = replace(catalogue.sources["cloud"], options=options)
    right = Catalogue({"cloud": cloud}, secrets={"PLANT_KEY": json.dumps(key)})
    assert len(opens("cloud", catalogue=right).reader.index.entries) == 10
    wrong = Catalogue({"cloud": cloud}, secrets={"PLANT_KEY": json.dumps({**key, "secret_access_key": "guess"})})
    with pytest.raises(Unavailable, match="is refused to us"):
        opens("cloud", catalogue=wrong)
    assert [told.allowed for told in trail] == [True, False]
    assert "guess" not in repr(wrong) + repr(trail)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"roles": None}, "lacks roles"),
        ({"owner": ""}, "lacks owner"),
        ({"format": "zip"}, "format must be one of shards, folder"),
        ({"secret": "x"}, "source one has secret; known are"),
        ({"options": {"secret_access_key": "x"}}, "options hold no secret"),
        ({"credentials": "hunter2"}, "credentials must be env:NAME"),
        ({"until": "soon"}, "until must be a day"),
        ({"roles": "engineer"}, "roles must be a list"),
    ],
)
def test_a_catalogue_that_makes_no_sense_is_refused_by_name(tmp_path, change, said):
    one = {"url": "x", "format": "folder", "owner": "Ada", "licence": "internal", "roles": ["engineer"], **change}
    (tmp_path / "sources.yaml").write_text(json.dumps({"sources": {"one": one}}))
    with pytest.raises(InvalidInput, match=said):
        read_catalogue(tmp_path / "sources.yaml")


@pytest.mark.parametrize("told", [{"allow_http": "a-secret"}, {"skip_signature": "a-secret"}, {"secret": "a-secret"}])
def test_credentials_that_make_no_sense_are_refused_without_being_shown(told):
    with pytest.raises(InvalidInput, match="cannot be opened") as refused:
        ObjectStore("s3://plant/x", told)
    shown = "".join(traceback.format_exception(refused.value))
    assert "a-secret" not in shown


def test_a_name_in_an_index_cannot_lead_out_of_its_source(tmp_path):
    sharded(make_set(tmp_path / "a", 5), Folder(tmp_path / "shards"))
    index = json.loads((tmp_path / "shards" / INDEX).read_text())
    index["samples"][0]["image"][0] = "../a/split.csv"
    (tmp_path / "shards" / INDEX).write_text(json.dumps(index))
    led = open_shards(Folder(tmp_path / "shards"))
    with pytest.raises(InvalidInput, match="no name of a file inside its source"):
        read_items("a", led, led.index.entries)
