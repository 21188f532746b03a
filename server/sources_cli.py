"""`qc data sources`, `gather` and `pack`: the catalogue of training data, mixes, shards. Openings go into the trail."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labeling.sources.catalogue import Opening
    from labeling.sources.items import Item
    from server.db import Database

FORMATS = ("shards", "squirrel", "litdata")
"""Of packed data sets."""


def register(below: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add to the commands of `qc data`."""
    sources = below.add_parser(
        "sources",
        help="open the sources of a catalogue: who may, what is there; each opening is in the audit trail",
        description=run_sources.__doc__,
    )
    sources.add_argument("catalogue", type=Path, metavar="CATALOGUE.yaml")
    sources.add_argument("names", nargs="*", metavar="NAME", help="of sources; all where none is named")
    sources.add_argument("--role", default="engineer", help="in which you ask; default engineer")
    sources.add_argument("--purpose", default="looked at", help="what for, in words; for the audit trail")
    sources.set_defaults(run=run_sources)
    gathered = below.add_parser(
        "gather", help="a mix of sources as a data set for qc train; each opening is in the audit trail",
        description=run_gather.__doc__,
    )  # fmt: skip
    gathered.add_argument("catalogue", type=Path, metavar="CATALOGUE.yaml")
    gathered.add_argument("shares", nargs="+", metavar="NAME=WEIGHT", help="sources and how often each is learnt from")
    gathered.add_argument("--out", type=Path, required=True, metavar="DATASET", help="a new folder")
    gathered.add_argument("--seed", type=int, default=0, help="of the mix")
    gathered.add_argument("--role", default="engineer", help="in which you ask; default engineer")
    gathered.add_argument("--purpose", default="to learn from", help="what for, in words; for the audit trail")
    gathered.set_defaults(run=run_gather)
    pack = below.add_parser(
        "pack", help="write a data set as shards, which are read faster over a network", description=run_pack.__doc__
    )
    pack.add_argument("dataset", metavar="DATASET", help="a folder, or its s3://, az:// or gs://")
    pack.add_argument("--out", required=True, metavar="PLACE", help="a new folder, or an s3://, az:// or gs://")
    formats = ", ".join(FORMATS)
    pack.add_argument("--to", choices=FORMATS, default="shards", help=f"format of PLACE: {formats} (the first)")
    pack.add_argument(
        "--from", dest="given", choices=("folder", *FORMATS), default="folder",
        help=f"format of DATASET: folder, {formats} (the first)",
    )  # fmt: skip
    pack.add_argument(
        "--classes", nargs="+", default=[], metavar="NAME", help="of 1, 2, …, where DATASET is squirrel's or LitData's"
    )
    pack.set_defaults(run=run_pack)


def run_sources(arguments: argparse.Namespace) -> int:
    """Open sources as a training would, and say what each holds; 1 where one could not be opened."""
    from labeling.sources.catalogue import read_catalogue
    from qc.errors import QcError
    from server import clock
    from server.schema import opened
    from server.settings import read_settings

    catalogue, refused = read_catalogue(arguments.catalogue), 0
    by = f"qc data sources ({getpass.getuser()})"
    with opened(read_settings()) as database:

        def record(opening: Opening) -> None:
            write_down(database, opening)

        for name in arguments.names or sorted(catalogue.sources):
            try:
                found = catalogue.open(
                    name, by=by, role=arguments.role, purpose=arguments.purpose, at=clock.now(), record=record
                )
            except QcError as error:
                refused += 1
                print(f"{name}: {error.message}")
                continue
            entries, source = found.reader.index.entries, found.source
            labelled = sum(entry.mask is not None for entry in entries)
            end = f"until {source.until}" if source.until else "no end"
            print(f"{name}: {len(entries)} images, {labelled} labelled; {source.owner}, {source.licence}, {end}")
    return 1 if refused else 0


def run_gather(arguments: argparse.Namespace) -> int:
    """Fetch the labelled samples of sources, compare each with its hash, and write a data set with a manifest of all.

    Training on it learns from each source in its share, and the model's card names the mix and every file's hash.
    """
    from labeling.sources.catalogue import read_catalogue
    from labeling.sources.gather import gather
    from qc.errors import InvalidInput
    from server import clock
    from server.schema import opened
    from server.settings import read_settings

    wanted: dict[str, float] = {}
    for text in arguments.shares:
        name, _, weight = text.rpartition("=")
        try:
            wanted[name] = float(weight)
        except ValueError as error:
            raise InvalidInput(f"a source and its weight are written as line-1=5, not {text}") from error
    catalogue, by = read_catalogue(arguments.catalogue), f"qc data gather ({getpass.getuser()})"
    with opened(read_settings()) as database:

        def record(opening: Opening) -> None:
            write_down(database, opening)

        found = [
            catalogue.open(name, by=by, role=arguments.role, purpose=arguments.purpose, at=clock.now(), record=record)
            for name in wanted
        ]
        mix = gather(found, list(wanted.values()), arguments.out, seed=arguments.seed)
    for part, share in zip(mix.parts, mix.shares, strict=True):
        print(f"{part.name}: {len(part.entries)} images to learn from, {share} of 1000 crops")
    print(f"{mix.manifest()['id']} in {arguments.out}; qc train {arguments.out} --out MODEL")
    return 0


def run_pack(arguments: argparse.Namespace) -> int:
    """Write DATASET as shards (tar files and an index with a hash for each sample) to PLACE.

    Shards of squirrel-core and sets of LitData are read and written as well; they do not say what classes are called.
    """
    from labeling.sources import litdata_sets, squirrel
    from labeling.sources.places import place_at
    from labeling.sources.shards import write_shards
    from qc.errors import InvalidInput
    from qc.object_stores import is_remote

    items, classes = _given(arguments.dataset, arguments.given, arguments.classes)
    if arguments.to == "litdata":
        if is_remote(arguments.out):
            raise InvalidInput("LitData writes into a folder; copy that into the store afterwards")
        made = f"{litdata_sets.write_items(Path(arguments.out), items)} images as a LitData set"
    elif arguments.to == "squirrel":
        made = f"{len(squirrel.write_items(place_at(arguments.out), items))} shards of squirrel-core"
    else:
        index = write_shards(place_at(arguments.out), items, classes)
        made = f"{len(index.entries)} images in {len({entry.image[0] for entry in index.entries})} shards"
    print(f"{made} at {arguments.out}")
    return 0


def _given(dataset: str, given: str, names: list[str]) -> tuple[Iterator[Item], dict[int, str]]:
    """The samples of a data set, and what its classes are called; raises InvalidInput."""
    from labeling.sources import litdata_sets, squirrel
    from labeling.sources.catalogue import OPEN
    from labeling.sources.places import place_at
    from labeling.sources.reading import items_in_turn
    from qc.errors import InvalidInput

    if given in OPEN:
        reader = OPEN[given](place_at(dataset))
        return items_in_turn(dataset, reader), dict(reader.index.classes)
    if not names:
        raise InvalidInput(f"{given} does not say what the classes are called; add --classes with their names")
    classes = dict(enumerate(names, start=1))
    if given == "squirrel":
        return squirrel.items_of(place_at(dataset), dataset), classes
    return litdata_sets.items_of(dataset, dataset), classes


def write_down(database: Database, opening: Opening) -> None:
    """An opening of a source, or its refusal, as an entry of the audit trail, committed."""
    from server import audit

    body = {
        "url": opening.url,
        "role": opening.role,
        "allowed": opening.allowed,
        "why": opening.why,
        "samples": opening.samples,
        "licence": opening.licence,
    }
    with database.write() as session:
        audit.record(session, "source", opening.source, body, by=opening.by, at=opening.at)
        session.commit()
