"""Several object stores as one: what is stored decides where it goes, and what was stored before stays readable."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from qc.errors import InvalidInput, NotFound
from qc.object_stores import ObjectStore
from server.access import Role
from server.backup import backup
from server.blobs.mixed import open_far
from server.blobs.opening import keys_elsewhere
from server.clock import now


@pytest.fixture
def places(s3, monkeypatch):
    """Three empty places in a real S3 server: for new pictures, for models, and one from before."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    run = uuid4().hex
    return [f"s3://plant/{run}", f"s3://other/{run}/models", f"s3://other/{run}/old"]


@pytest.fixture
def mixed(places):
    new, models, old = places
    return open_far(f"{new} models/={models} {old}")


def test_a_key_goes_where_its_kind_goes_and_comes_from_wherever_it_lies(mixed, places):
    new, models, old = map(ObjectStore, places)
    old.put("originals/before.png", b"before", sha256="1")
    mixed.put("originals/now.png", b"now", sha256="2")
    mixed.put("models/a/weights.bin", b"weights", sha256="3")
    assert (new.head("originals/now.png").sha256, models.head("models/a/weights.bin").sha256) == ("2", "3")
    assert new.head("models/a/weights.bin") is None
    assert mixed.get("originals/before.png") == (b"before", "1")
    assert mixed.get("models/a/weights.bin") == (b"weights", "3")
    assert mixed.head("originals/before.png").sha256 == "1"
    assert mixed.head("originals/never.png") is None
    with pytest.raises(NotFound, match="nothing is stored under"):
        mixed.get("originals/never.png")
    mixed.put("originals/before.png", b"put again", sha256="4")
    assert mixed.get("originals/before.png") == (b"put again", "4")
    assert sorted(mixed.names("originals/")) == [("originals/before.png", 9), ("originals/now.png", 3)]
    assert {name for name, _ in mixed.names()} == {"originals/before.png", "originals/now.png", "models/a/weights.bin"}


def test_what_is_erased_comes_back_from_no_earlier_place(mixed, places):
    for place in (places[0], places[2]):
        ObjectStore(place).put("originals/a.png", b"a")
    mixed.delete("originals/a.png")
    assert mixed.head("originals/a.png") is None
    mixed.delete("originals/a.png")  # what is not there is no error


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("s3://a/b models=s3://a/c", "'models=s3://a/c' is neither"),
        ("s3://a/b /mnt/disk-2", "'/mnt/disk-2' is neither"),
        ("s3://a/b models/=s3://a/c models/=s3://a/d", "two stores for models/"),
        ("/mnt/disk-2 s3://a/b", "'/mnt/disk-2' is no object store"),
    ],
)
def test_what_makes_no_sense_is_refused_by_what_it_says(wrong, told):
    with pytest.raises(InvalidInput, match=told):
        open_far(wrong)


def test_a_line_moves_to_another_store_and_its_earlier_pictures_stay_until_they_are_erased(
    run_line, database_of, places, tmp_path
):
    new, _, old = places
    home = tmp_path / "home"

    def sent(place: str, part: str, mark: int) -> dict:
        with run_line(home, blobs=place, blobs_near_hours=0) as line:
            told = line.send(line.picture(dark=9, mark=mark), part=part).json()
            wait_for(lambda: not line.context.blobs.waits() and not [*line.context.blobs.lies_near()])
            return told

    first = sent(old, "P-old", 1)
    second = sent(f"{new} {old}", "P-new", 2)
    with run_line(home, blobs=f"{new} {old}", blobs_near_hours=0) as line:
        for one, mark in ((first, 1), (second, 2)):
            picture = line.get(f"/inspections/{one['id']}/images/0/original")
            assert picture.content == line.picture(dark=9, mark=mark)
        kept = keys_elsewhere(line.context.settings)
        assert len(kept) == 2
        made = backup(home, database_of(home), tmp_path / "backup", now=now(), elsewhere=lambda: kept)
        assert made.inspections == 2
        line.post("/erasures", Role.ADMIN, json={"part": "P-old", "reason": "asked for"})
        digest = first["images"][0]["sha256"]
        wait_for(lambda: not [name for name, _ in ObjectStore(old).names() if digest in name])
    assert [name for name, _ in ObjectStore(new).names("originals/")] == [
        f"originals/{second['images'][0]['sha256'][:2]}/{second['images'][0]['sha256']}.png"
    ]


def wait_for(true, *, patience=120):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
