"""What a model's card says of the machine it is asked on."""

from __future__ import annotations

import json
import shutil

import pytest

from segmentation.model import model_id
from segmentation.ready import CARD, FORMAT, machine
from server import registry
from server.models_in_use import STARTER, ready_folder


@pytest.fixture
def registered(line):
    """The starter model, by an id of the registry."""
    folder = line.context.settings.home / "models" / "starter"
    shutil.copytree(STARTER, folder)
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    with line.context.database.write() as session:
        row = registry.add(
            session, model_id=model_id(folder), folder="models/starter", card=card, now=line.context.now()
        )
        found = row.id
        session.commit()
    return found


def made_ready(line, registered, **changed):
    """Write what making it ready would say: torch, one that serves, one refused, one not tried."""
    folder = ready_folder(line.context.settings, registered)
    folder.mkdir(parents=True)
    tried = [
        {"runtime": "torch", "accepted": True, "why": "", "cpu_seconds_per_mpx": 0.45},
        {"runtime": "openvino-int8", "accepted": False, "why": "it rounds, and 8 frames are too few"},
        {
            "runtime": "openvino-screened",
            "accepted": True,
            "why": "",
            "cpu_seconds_per_mpx": 0.09,
            "parity": {"images": 60, "verdicts_that_differ": 0},
        },
        {
            "runtime": "onnx",
            "accepted": False,
            "why": "2 of 60 verdicts differ",
            "cpu_seconds_per_mpx": 0.26,
            "parity": {"images": 60, "verdicts_that_differ": 2},
        },
    ]
    said = {"format": FORMAT, "model": registered, "machine": machine(), "runtime": "openvino-screened", "tried": tried}
    (folder / CARD).write_text(json.dumps({**said, **changed}), encoding="utf-8")


def test_it_says_what_may_compute_it_here_the_fastest_first_and_why_not(line, registered):
    made_ready(line, registered)
    runtimes = line.get(f"/models/{registered}/card").json()["runtimes"]
    assert [one["runtime"] for one in runtimes] == ["openvino-screened", "onnx", "torch", "openvino-int8"]
    assert [one["serves"] for one in runtimes] == [True, False, False, False]
    assert (runtimes[1]["why"], runtimes[1]["frames"], runtimes[1]["verdicts_that_differ"]) == (
        "2 of 60 verdicts differ",
        60,
        2,
    )
    assert runtimes[3]["seconds_per_mpx"] is None
    assert not runtimes[3]["accepted"]


@pytest.mark.parametrize("changed", [{"machine": "another"}, {"format": FORMAT - 1}, {"model": "sha256:other"}])
def test_what_was_made_for_another_machine_version_or_model_is_not_told(line, registered, changed):
    made_ready(line, registered, **changed)
    answer = line.get(f"/models/{registered}/card")
    assert answer.status_code == 200
    assert answer.json()["runtimes"] == []


def test_a_model_that_was_never_made_ready_has_no_runtimes(line, registered):
    card = line.get(f"/models/{registered}/card").json()
    assert card["runtimes"] == []
    assert card["id"] == registered
