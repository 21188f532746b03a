"""Blobs in a real S3 server, and what holds of any store in Azure's and Google's, too: nothing that was
answered for is lost, whatever happens to the network in between."""

from __future__ import annotations

import hashlib
import os
import time
from uuid import uuid4

import pytest
from sqlmodel import select

from qc.errors import InvalidInput, NotFound, Unavailable
from qc.object_stores import ObjectStore, StoreAway
from qc.records import Exposure, Inspection, Progress
from server.access import Role
from server.backup import backup, restore
from server.blobs.local import LocalBlobs
from server.blobs.moving import Mover
from server.blobs.near_and_far import NearAndFar
from server.blobs.opening import keys_elsewhere, open_blobs
from server.clock import now
from server.settings import Settings


def wait_for(true, *, patience=40):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def url(s3, monkeypatch):
    """An empty place in the S3 server, whose key is in the environment."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://plant/{uuid4().hex}"


@pytest.fixture(params=["s3", "az", "gs"])
def place(request, monkeypatch):
    """An empty place in a store, each kind of which takes these tests; what opens it is in the environment."""
    server = request.getfixturevalue({"s3": "s3", "az": "azure", "gs": "google"}[request.param])
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return f"{request.param}://plant/{uuid4().hex}"


@pytest.fixture
def blobs(place, tmp_path):
    made = open_blobs(tmp_path, place)
    assert isinstance(made, NearAndFar)
    return made


def move(blobs, *, near_hours=0.0):
    """Let everything go where it belongs."""
    mover = Mover(blobs, near_hours=near_hours)
    try:
        wait_for(lambda: not blobs.waits() and (near_hours or not [*blobs.lies_near()]))
    finally:
        mover.stop()


def test_what_is_put_lies_here_at_once_and_then_there_and_is_the_same(blobs, tmp_path):
    data = os.urandom(300_000)
    blobs.put("originals/a.png", data)
    assert (tmp_path / "blobs/originals/a.png").read_bytes() == data
    assert blobs.far.head("originals/a.png") is None
    move(blobs)
    assert not (tmp_path / "blobs/originals/a.png").exists()
    assert blobs.get("originals/a.png") == data
    assert blobs.exists("originals/a.png")
    assert blobs.far.head("originals/a.png").sha256 == hashlib.sha256(data).hexdigest()
    blobs.put("originals/a.png", b"another")
    assert blobs.get("originals/a.png") == b"another"
    move(blobs)
    assert blobs.get("originals/a.png") == b"another"


def test_what_was_stored_before_there_was_an_object_store_is_taken_there_too(blobs, tmp_path):
    LocalBlobs(tmp_path / "blobs").put("originals/old.png", b"old")
    move(blobs)
    assert blobs.get("originals/old.png") == b"old"


def test_what_is_young_stays_on_this_computer_too(blobs):
    blobs.put("a/young.png", b"young")
    move(blobs, near_hours=1)
    assert blobs.near.exists("a/young.png")
    assert blobs.far.head("a/young.png") is not None


def test_what_is_deleted_is_gone_from_both_ends_and_does_not_come_back(blobs):
    blobs.put("a/1.png", b"one")
    move(blobs, near_hours=1)
    blobs.put("a/2.png", b"two")  # waits
    for key in ("a/1.png", "a/2.png", "a/never.png"):
        blobs.delete(key)
    move(blobs)
    for key in ("a/1.png", "a/2.png"):
        assert not blobs.exists(key)
        with pytest.raises(NotFound, match="nothing is stored under"):
            blobs.get(key)


def test_what_is_put_again_during_its_upload_is_uploaded_again(blobs):
    blobs.put("a/1.json", b"first")
    upload = blobs.far.put

    def put_again_meanwhile(*put, **more):
        upload(*put, **more)
        blobs.far.put = upload
        blobs.near.put("a/1.json", b"second")  # as another process would, up to the very end of the upload
        blobs._link(blobs.near.path("a/1.json"), blobs.waiting / "a/1.json")

    blobs.far.put = put_again_meanwhile
    assert blobs.upload("a/1.json")
    assert [key for key, _ in blobs.waits()] == ["a/1.json"]
    assert not blobs.leave("a/1.json")
    move(blobs)
    assert blobs.get("a/1.json") == b"second"


def test_bytes_that_were_altered_in_the_store_are_not_given_out(blobs):
    digest = hashlib.sha256(b"a picture").hexdigest()
    named, other = f"originals/{digest[:2]}/{digest}.png", "masks/1.png"
    for key in (named, other):
        blobs.put(key, b"a picture")
    move(blobs)
    blobs.far.put(named, b"a forgery")  # says no hash, but the key does
    blobs.far.put(other, b"a forgery", sha256=digest)
    for key in (named, other):
        with pytest.raises(Unavailable, match="is not what was stored there"):
            blobs.get(key)


def test_a_line_goes_on_while_the_store_is_away_and_everything_is_there_when_it_is_back(run_line, s3, url, tmp_path):
    home = tmp_path / "home"
    with run_line(home, blobs=url, blobs_near_hours=0) as line:
        blobs = line.context.blobs
        before = line.send(line.picture(dark=9), part="P-before").json()
        wait_for(lambda: not blobs.waits() and not [*blobs.lies_near()])
        s3.kill()
        away = line.send(line.picture(dark=9, mark=5), part="P-away", trigger_id="T-1")
        assert (away.status_code, away.json()["verdict"]) == (201, "ng")
        again = line.send(line.picture(dark=9, mark=5), part="P-away", trigger_id="T-1")
        assert (again.status_code, again.json()["id"]) == (200, away.json()["id"])
        here = line.get(f"/inspections/{away.json()['id']}/images/0/original")
        assert here.content == line.picture(dark=9, mark=5)
        there = line.get(f"/inspections/{before['id']}/images/0/original")
        assert (there.status_code, there.headers["retry-after"]) == (503, "1")
        assert "does not answer" in there.json()["error"]["message"]
        wait_for(lambda: line.get("/health").json()["components"]["blobs"]["state"] == "degraded")
        told = line.get("/health")
        assert (told.status_code, told.json()["components"]["blobs"]["waiting"] > 0) == (200, True)
    with run_line(home, blobs=url, blobs_near_hours=0) as line:  # stopped and started while it is away
        s3.start()
        blobs = line.context.blobs
        wait_for(lambda: not blobs.waits() and not [*blobs.lies_near()])
        for one, picture in ((before, line.picture(dark=9)), (away.json(), line.picture(dark=9, mark=5))):
            assert line.get(f"/inspections/{one['id']}/images/0/original").content == picture
            assert line.get(f"/inspections/{one['id']}/images/0/mask.png").status_code == 200
        assert line.get("/health").json()["components"]["blobs"]["state"] == "ok"
        erased = line.post("/erasures", Role.ADMIN, json={"part": "P-away", "reason": "asked for"})
        assert erased.status_code in (200, 201, 202), erased.text
        digest = away.json()["images"][0]["sha256"]
        wait_for(lambda: not [key for key in blobs.far_keys() if digest in key or away.json()["id"] in key])


def test_a_part_whose_pictures_cannot_be_had_is_judged_when_they_can(run_line, s3, url, tmp_path):
    home = tmp_path / "home"
    with run_line(home, blobs=url, blobs_near_hours=0, camera_checks=False) as line:
        told = line.send(line.picture(dark=9)).json()
        with line.context.database.write() as session:
            (exposure,) = session.exec(select(Exposure))
            key = exposure.original_key
            inspection = session.get(Inspection, told["id"])
            inspection.progress, inspection.verdict = Progress.RECEIVED, None  # as a stop leaves it behind
            session.add(inspection)
            session.commit()
        wait_for(lambda: not line.context.blobs.near.exists(key))
    s3.kill()
    with run_line(home, blobs=url, blobs_near_hours=0, camera_checks=False) as line:
        time.sleep(0.5)
        assert line.get(f"/inspections/{told['id']}").json()["verdict"] is None
        s3.start()
        wait_for(lambda: line.get(f"/inspections/{told['id']}").json()["verdict"] == "ng")


def test_a_backup_names_the_pictures_that_lie_in_the_store_and_refuses_when_one_is_not_there(
    run_line, database_of, place, tmp_path
):
    home = tmp_path / "home"
    settings = Settings(home=home, blobs=place)
    with run_line(home, blobs=place, blobs_near_hours=0) as line:
        sent = line.send(line.picture(dark=9)).json()
        blobs = line.context.blobs
        wait_for(lambda: not blobs.waits() and not [*blobs.lies_near()])
    database = database_of(home)
    made = backup(home, database, tmp_path / "one", now=now(), elsewhere=lambda: keys_elsewhere(settings))
    assert made.inspections == 1
    with pytest.raises(Unavailable, match="set QC_BLOBS"):
        restore(tmp_path / "one", tmp_path / "back")
    restore(tmp_path / "one", tmp_path / "back", elsewhere=lambda: keys_elsewhere(settings))
    with run_line(tmp_path / "back", blobs=place) as line:
        assert line.get(f"/inspections/{sent['id']}/images/0/original").content == line.picture(dark=9)
    (original,) = keys_elsewhere(settings)
    blobs.delete(original)
    with pytest.raises(Unavailable, match="is missing"):
        backup(home, database, tmp_path / "two", now=now(), elsewhere=lambda: keys_elsewhere(settings))


def test_a_key_that_may_only_read_is_told_so(s3, tmp_path):
    store = ObjectStore("s3://plant/rights", s3.options())
    store.put("a.png", b"a")
    reader = ObjectStore("s3://plant/rights", s3.options("reader"))
    assert reader.get("a.png")[0] == b"a"
    with pytest.raises(StoreAway, match="is refused to us; check the store's key and its rights"):
        reader.put("b.png", b"b")


@pytest.mark.parametrize("wrong", ["s3://", "az://without-an-account/x"])
def test_an_address_that_makes_no_sense_is_refused_when_it_is_opened(wrong, tmp_path):
    with pytest.raises(InvalidInput, match="cannot be opened"):
        open_blobs(tmp_path, wrong)


@pytest.mark.parametrize("wrong", ["s4://bucket/x", "/mnt/disk-2 s3://bucket/x"])
def test_what_is_neither_a_folder_nor_a_store_is_not_taken_for_a_folder(wrong, tmp_path):
    with pytest.raises(InvalidInput, match="neither a folder nor an object store"):
        open_blobs(tmp_path, wrong)


def test_another_folder_of_this_computer_needs_no_object_store(tmp_path):
    store = open_blobs(tmp_path / "home", str(tmp_path / "disk-2"))
    store.put("originals/a.png", b"a")
    assert (tmp_path / "disk-2/originals/a.png").read_bytes() == b"a"
    settings = Settings(home=tmp_path / "home", blobs=str(tmp_path / "disk-2"))
    assert keys_elsewhere(settings) == {"originals/a.png"}
