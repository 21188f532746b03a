"""Models in the common store: what one server trained another one serves, whole and as it was put there, or not."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from uuid import uuid4

import pytest
from sqlmodel import update

from segmentation.records import ModelVersion
from server import registry
from server.shared_models import SharedModels


@pytest.fixture(scope="module")
def plant(run_line, tmp_path_factory):
    """The context of a server that shares a store."""
    folder = tmp_path_factory.mktemp("plant")
    with run_line(folder / "one", blobs=str(folder / "store")) as line:
        yield line.context


@pytest.fixture
def key(plant):
    """A model in its data folder, which serves nowhere."""
    key = f"models/{uuid4().hex}"
    add(plant, key)
    folder = folder_of(plant, key)
    (folder / "samples").mkdir(parents=True)
    (folder / "samples/P-1.png").write_bytes(b"a crop of a part")
    (folder / "weights.bin").write_bytes(b"many numbers")
    card = {"classes": {"1": "pit"}, "dataset": {"name": "bars", "train_files": {"P-1.png": {"image": "0" * 64}}}}
    (folder / "model.json").write_text(json.dumps(card))
    return key


@pytest.fixture
def other(plant, tmp_path):
    """The context of another server on the same database and store."""
    return replace(plant, settings=plant.settings.model_copy(update={"home": tmp_path / "other"}))


def add(context, key: str) -> None:
    with context.database.write() as session:
        registry.add(session, model_id=f"sha256:{key}", folder=key, card={}, now=context.now())
        session.commit()


def serves(context, key: str, alias: str = "champion") -> None:
    with context.database.write() as session:
        session.execute(update(ModelVersion).where(ModelVersion.alias == alias).values(alias=None))
        session.execute(update(ModelVersion).where(ModelVersion.id == f"sha256:{key}").values(alias=alias))
        session.commit()


def folder_of(context, key: str):
    return context.settings.home.resolve() / key


def left_over(context) -> list[str]:
    return [path.name for path in (context.settings.home / "models").glob(".*")]


def test_a_model_that_another_server_has_is_there_once_it_serves_without_what_tells_of_parts(plant, other, key):
    there = SharedModels(other)
    SharedModels(plant).look()
    there.look()
    assert not folder_of(other, key).exists(), "it serves nowhere"
    serves(plant, key)
    there.look()
    assert {path.name for path in folder_of(other, key).iterdir()} == {"weights.bin", "model.json"}
    assert (folder_of(other, key) / "weights.bin").read_bytes() == b"many numbers"
    card = json.loads((folder_of(other, key) / "model.json").read_text())
    assert card["classes"] == {"1": "pit"}
    assert "P-1" not in json.dumps(card)
    assert there.problem == ""


def test_a_model_that_is_on_its_way_is_waited_for(plant, other, key):
    SharedModels(plant).look()
    serves(plant, key)
    weights = plant.blobs.get(f"{key}/weights.bin")
    plant.blobs.delete(f"{key}/weights.bin")
    there = SharedModels(other)
    there.look()
    assert not folder_of(other, key).exists()
    assert there.problem == ""
    plant.blobs.put(f"{key}/weights.bin", weights)
    there.look()
    assert (folder_of(other, key) / "weights.bin").read_bytes() == weights


def another_hash(blobs, key) -> None:
    blobs.put(f"{key}/weights.bin", b"other numbers")


def a_name_outside(blobs, key) -> None:
    blobs.put("models/evil.bin", b"evil")
    blobs.put(f"{key}/files.json", json.dumps({"../../evil.bin": sha256(b"evil").hexdigest()}).encode())


def an_absolute_name(blobs, key) -> None:
    blobs.put(f"{key}/files.json", json.dumps({"/tmp/evil.bin": sha256(b"evil").hexdigest()}).encode())


def no_list(blobs, key) -> None:
    blobs.put(f"{key}/files.json", b"<html>a proxy's page</html>")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (another_hash, "is not what was put there"),
        (a_name_outside, "names a file outside of its folder"),
        (an_absolute_name, "names a file outside of its folder"),
        (no_list, "has no list of its files"),
    ],
)
def test_a_damaged_model_is_not_taken_is_told_and_keeps_no_other_back(plant, other, key, tmp_path, damage, told):
    SharedModels(plant).look()
    names = ("weights.bin", "files.json")
    whole = {name: plant.blobs.get(f"{key}/{name}") for name in names}
    serves(plant, key)
    damage(plant.blobs, key)
    good = f"models/{uuid4().hex}"
    add(plant, good)
    serves(plant, good, "challenger")
    plant.blobs.put(f"{good}/weights.bin", b"good")
    plant.blobs.put(f"{good}/files.json", json.dumps({"weights.bin": sha256(b"good").hexdigest()}).encode())

    there = SharedModels(other)
    there.look()
    assert told in there.problem
    assert not folder_of(other, key).exists()
    assert left_over(other) == []
    assert [*tmp_path.rglob("evil.bin")] == []
    assert (folder_of(other, good) / "weights.bin").read_bytes() == b"good"

    for name in names:
        plant.blobs.put(f"{key}/{name}", whole[name])
    there.look()
    assert told in there.problem, "tens of megabytes are not asked for every few seconds"
    there = SharedModels(other)  # as after a start
    there.look()
    assert there.problem == ""
    assert (folder_of(other, key) / "weights.bin").read_bytes() == whole["weights.bin"]
