"""Samples per second: our shards, squirrel-core's reader, WebDataset and plain files; local and from an S3 server.

    python3 -m venv .venv-squirrel && .venv-squirrel/bin/pip install 'squirrel-core==0.20.2' s3fs 'numpy<2.3'
    .venv/bin/python tests/bench/shard_reading.py [--samples 500] [--kilobytes 200] [--out FIGURES.json]

Every reader makes every sample's bytes its own (a copy) and adds up its first and last byte. Files are in the page
cache. squirrel-core needs an environment of its own (urllib3 < 1.27, pandas < 3). The S3 server is SeaweedFS on this
computer, so that over "S3" the server's own work is part of the time; a real network adds latency to each request.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "object_store"))
from s3_server import S3Server

from labeling.sources import squirrel
from labeling.sources.items import Entry, Item, hash_of
from labeling.sources.mix import Mix, Part
from labeling.sources.places import Bucket, Folder, Place
from labeling.sources.shards import open_shards, write_shards
from labeling.sources.stream import batches
from qc.object_stores import ObjectStore

ROUNDS = 3
"""Each reader reads everything so often, in turn with the others; the middle one counts."""

CLOCK, WORK = "clock", "processor"
"""By the clock, which other work on the computer slows down; by processor time of the reader, which it hardly does."""

THEIRS = """
import json, sys, time
from squirrel.driver import MessagepackDriver
url, options, rounds, workers = json.loads(sys.argv[1])
for _ in range(rounds):
    driver = MessagepackDriver(url, storage_options=options)
    begun, spent, count, told = time.perf_counter(), time.process_time(), 0, 0
    for sample in driver.get_iter(max_workers=workers):
        image = sample["image"]
        count, told = count + 1, told + image[0] + image[-1]
    print(json.dumps([count, told, time.perf_counter() - begun, time.process_time() - spent]))
"""


def samples_of(count: int, kilobytes: int) -> list[Item]:
    """Incompressible pictures, as JPEG and PNG are."""
    rng = np.random.default_rng(1)
    found = []
    for n in range(count):
        image = rng.bytes(1000 * kilobytes)
        row = {"file": f"{n:06d}.jpg", "split": "train", "part": f"P-{n}"}
        found.append(Item("bench", Entry(row["file"], row, hash_of(image, None, None), ("", 0, 0)), image))
    return found


def told_of(images: Iterable[Any]) -> tuple[int, int]:
    """How many, and the sum of their first and last bytes."""
    count = told = 0
    for image in images:
        own = bytes(image)
        count, told = count + 1, told + own[0] + own[-1]
    return count, told


def ours(place: Place, *, check: bool, count: int) -> tuple[int, int]:
    """Our stream, shuffled, over one epoch."""
    reader = open_shards(place)
    mix = Mix([Part("bench", 1.0, reader, reader.index.entries)], seed=0)
    items = batches(mix, batch=32, stop=count, check=check)
    return told_of(item.image for some in items for item in some)


def squirrels_by_us(place: Place) -> tuple[int, int]:
    """squirrel's shards, read by us, four at a time."""
    with ThreadPoolExecutor(4) as pool:
        shards = pool.map(lambda key: place.read(f"{key}.gz"), squirrel.keys(place))
        return told_of(sample["image"] for data in shards for sample in squirrel.read_shard(data))


def plain(place: Place, names: list[str]) -> tuple[int, int]:
    """One file a sample, eight at a time."""
    with ThreadPoolExecutor(8) as pool:
        return told_of(pool.map(place.read, names))


def webdataset_of(urls: list[str]) -> tuple[int, int]:
    """WebDataset's own reader over the very same tar files."""
    import webdataset as wds

    stream = wds.WebDataset(urls, shardshuffle=False, empty_check=False)
    return told_of(sample["jpg"] for sample in stream)


def theirs(python: Path, url: str, options: dict[str, Any], workers: int | None) -> list[tuple[int, int, float, float]]:
    """squirrel-core's reader, in its environment."""
    asked = json.dumps([url, options, ROUNDS, workers])
    done = subprocess.run([str(python), "-c", THEIRS, asked], capture_output=True, text=True, check=True)
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def main() -> None:
    """Write the data, read it with everybody, print a table."""
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted.add_argument("--samples", type=int, default=500)
    wanted.add_argument("--kilobytes", type=int, default=200)
    wanted.add_argument("--squirrel", type=Path, default=Path(".venv-squirrel/bin/python"))
    wanted.add_argument("--out", type=Path, default=None, help="a JSON file with every round")
    asked = wanted.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = S3Server(Path(folder) / "s3")
        try:
            found = measure(Path(folder), server, asked)
        finally:
            server.close()
    columns = [f"{where}, {what}" for where in ("local", "S3") for what in (CLOCK, WORK)]
    print(f"{'samples per second, middle of ' + str(ROUNDS):44} " + " ".join(f"{column:>16}" for column in columns))
    for name, rates in found.items():
        middle = {column: sorted(rates[column])[len(rates[column]) // 2] for column in columns}
        print(f"{name:44} " + " ".join(f"{middle[column]:16,.0f}" for column in columns))
    if asked.out is not None:
        asked.out.write_text(json.dumps(found, indent=1))


def measure(folder: Path, server: S3Server, asked: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Reader -> local and S3 -> samples per second of each round."""
    items = samples_of(asked.samples, asked.kilobytes)
    right = told_of(item.image for item in items)
    found: dict[str, dict[str, list[float]]] = {}
    for where in ("local", "S3"):

        def place(name: str, where: str = where) -> Place:
            if where == "local":
                return Folder(folder / name)
            return Bucket(ObjectStore(f"s3://bench/{name}", server.options()))

        write_shards(place("ours"), items, {1: "scratch"})
        squirrel.write_items(place("squirrel"), items)
        for item in items:
            place("plain").write(item.entry.file, bytes(item.image))
        tars = sorted(name for name in place("ours").names() if name.endswith(".tar"))
        if where == "local":
            urls = [str(folder / "ours" / name) for name in tars]
        else:
            urls = [signed(server, f"ours/{name}") for name in tars]
        names = [item.entry.file for item in items]
        print(f"{where}: written", file=sys.stderr, flush=True)
        runs: dict[str, Callable[..., tuple[int, int]]] = {
            "ours: shards, shuffled": lambda place=place: ours(place("ours"), check=False, count=asked.samples),
            "ours: shards, shuffled, every hash compared": lambda place=place: ours(
                place("ours"), check=True, count=asked.samples
            ),
            "ours: squirrel's shards": lambda place=place: squirrels_by_us(place("squirrel")),
            "WebDataset: the same tar files": lambda urls=urls: webdataset_of(urls),
            "plain files, 8 at a time": lambda names=names, place=place: plain(place("plain"), names),
        }
        webdataset_of(urls[:1])  # its first reading imports torch
        for _ in range(ROUNDS):
            for name, run in runs.items():
                begun, spent = time.perf_counter(), processor_s()
                told = run()
                seconds, work = time.perf_counter() - begun, processor_s() - spent
                assert told == right, f"{name} gave {told} and not {right}"
                keep(found, name, where, asked.samples, seconds, work)
        if asked.squirrel.is_file():
            more = {"key": "plant", "secret": server.options()["secret_access_key"]}
            more |= {"client_kwargs": {"endpoint_url": server.endpoint, "region_name": "us-east-1"}}
            url, options = (str(folder / "squirrel"), {}) if where == "local" else ("s3://bench/squirrel", more)
            for name, workers in (("squirrel-core, as it comes", None), ("squirrel-core, 4 threads", 4)):
                for count, told, seconds, work in theirs(asked.squirrel, url, options, workers):
                    assert (count, told) == right, f"{name} gave {(count, told)} and not {right}"
                    keep(found, name, where, count, seconds, work)
    return found


def keep(
    found: dict[str, dict[str, list[float]]], name: str, where: str, count: int, seconds: float, work: float
) -> None:
    """Enter a round."""
    print(f"{where}: {name}: {count / seconds:,.0f} samples/s", file=sys.stderr, flush=True)
    for what, spent in ((CLOCK, seconds), (WORK, work)):
        found.setdefault(name, {}).setdefault(f"{where}, {what}", []).append(count / max(spent, 1e-9))


def processor_s() -> float:
    """Processor time of this process and of its children that have ended, such as WebDataset's curl."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def signed(server: S3Server, name: str) -> str:
    """A web address under which WebDataset fetches a file of the bucket by curl, as its documentation has it for S3."""
    from datetime import timedelta

    import obstore
    from obstore.store import S3Store

    store = S3Store("bench", client_options={"allow_http": True}, **server.options())
    return f"pipe:curl -s -f '{obstore.sign(store, 'GET', name, timedelta(hours=1))}'"


if __name__ == "__main__":
    main()
