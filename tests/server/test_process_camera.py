"""What cameras count becomes readings of the process, in requests, outcomes and histories, by the part's name."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from sqlmodel import select

from process_opt.fit import fit
from process_opt.history import parse_history, read_history
from process_opt.process import parse_process
from process_opt.records import Outcome, Recommendation
from server import process_camera, process_learning
from server.access import Role
from server.jobs import queue

ROOT = Path(__file__).parents[2]
SEEN = {"station": "S-1", "class": "pit"}
PROCESS = {
    "name": "plate",
    "part": {"value": 40.0, "scrap": 2.0, "escape": -60.0},
    "conformance": ["s4-last.pits"],
    "steps": [
        {"name": "s1-press", "settings": {"force": {"low": -1.0, "high": 1.0, "nominal": 0.0}}},
        {
            "name": "s2-camera",
            "measurements": {"pits": {"from": {**SEEN, "what": "count"}}, "size": {"from": {**SEEN, "what": "area"}}},
        },
        {"name": "s3-grind", "settings": {"time": {"low": -1.0, "high": 1.0, "nominal": 0.0, "change_cost": 0.1}}},
        {
            "name": "s4-last",
            "measurements": {"pits": {"from": {**SEEN, "station": "S-2", "what": "count"}, "upper": 1}},
        },
    ],
}


def picture(pits: int, mark: int = 0) -> bytes:
    """A grey sheet with so many dark squares of 8 x 8 pixels."""
    grey = np.full((90, 160), 180, np.uint8)
    grey[0, 0] = 180 + mark
    for n in range(pits):
        grey[20:28, 10 + 25 * n : 18 + 25 * n] = 20
    return bytes(cv2.imencode(".png", grey)[1])


def made(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    force, time = (np.clip(0.5 * rng.standard_normal(n), -1, 1) for _ in range(2))
    first = rng.poisson(np.exp(0.2 + 1.2 * force))
    return pd.DataFrame(
        {
            "part": [f"H{i}" for i in range(n)],
            "disposition": "finished",
            "assignment": "dither",
            "s1-press.force": force,
            "s2-camera.pits": first,
            "s2-camera.size": 64.0 * first,
            "s3-grind.time": time,
            "s4-last.pits": rng.binomial(first, 1 / (1 + np.exp(0.5 + 2 * time))),
        }
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    process = parse_process(PROCESS)
    folder = tmp_path_factory.mktemp("plate") / "model"
    fit(process, parse_history(made(400), process)).save(folder)
    return folder


def qc(line, *arguments):
    environment = {**os.environ, **line.environment}
    command = [sys.executable, "-c", "import sys; from server.cli import main; sys.exit(main())"]
    return subprocess.run([*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture
def served(line, model):
    done = qc(line, "process", "register", "plate", str(model))
    assert done.returncode == 0, done.stderr
    return line


def ask(line, part, observed=None, at="s3-grind"):
    asked = {"part": part, "at": at, "observed": observed or {}}
    answer = line.post("/processes/plate/recommendations", Role.MACHINE, json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def kept(line):
    with line.context.database.read() as session:
        return {row.part: row.request["observed"] for row in session.exec(select(Recommendation))}


def test_a_request_knows_what_the_camera_counted_on_the_part(served):
    assert served.send(picture(5), part="P-5").status_code == 201
    assert served.send(picture(0), part="P-0").status_code == 201
    many, none, unseen = (ask(served, part) for part in ("P-5", "P-0", "P-unseen"))
    assert many["p_conform"] < unseen["p_conform"] < none["p_conform"]
    assert many["decision"] == "correct"
    assert many["settings"]["s3-grind.time"] > 0.2
    stored = kept(served)
    assert stored["P-5"]["s2-camera.pits"] == 5
    assert stored["P-5"]["s2-camera.size"] == pytest.approx(5 * 64, rel=0.1)
    assert stored["P-0"]["s2-camera.pits"] == 0
    assert stored["P-unseen"] == {}


def test_the_senders_word_stands_and_a_later_look_replaces_an_earlier_one(served):
    served.send(picture(4), part="P-1")
    served.send(picture(1, mark=3), part="P-1")
    served.send(picture(6, mark=5), part="P-1", station="S-9")
    ask(served, "P-1")
    assert kept(served)["P-1"]["s2-camera.pits"] == 1
    ask(served, "P-1", {"s2-camera.pits": 3})
    with served.context.database.read() as session:
        told = [row.request["observed"]["s2-camera.pits"] for row in session.exec(select(Recommendation))]
    assert sorted(told) == [1, 3]


def test_a_step_that_the_part_has_not_reached_has_no_reading(served):
    served.send(picture(2), part="P-2")
    served.send(picture(1, mark=4), part="P-2", station="S-2")
    ask(served, "P-2", at="s2-camera")
    assert kept(served)["P-2"] == {}


def test_an_outcome_told_before_the_last_inspection_is_completed_when_it_is_learnt(served):
    served.send(picture(3), part="P-3")
    outcome = {"part": "P-3", "disposition": "finished", "assignment": "dither", "observed": {"s3-grind.time": 0.5}}
    assert served.post("/processes/plate/outcomes", Role.MACHINE, json=outcome).status_code == 202
    served.send(picture(2, mark=2), part="P-3", station="S-2")
    with served.context.database.read() as session:
        before = session.exec(select(Outcome)).one().content["observed"]
    assert "s4-last.pits" not in before
    assert before["s2-camera.pits"] == 3
    context = served.context
    with context.database.write() as session:
        job = queue.enqueue(session, process_learning.KIND, {"process": "plate"}, now=context.now())
        session.commit()
    until = time.monotonic() + 120
    while served.get(f"/jobs/{job.id}").json()["state"] != "done":
        assert time.monotonic() < until
        time.sleep(0.05)
    with context.database.read() as session:
        after = session.exec(select(Outcome)).one().content["observed"]
    assert after == {**before, "s4-last.pits": 2}


def test_a_history_is_filled_in_by_a_command(served, tmp_path):
    for n, pits in enumerate((3, 0, 1)):
        served.send(picture(pits, mark=n), part=f"H{n}")
        served.send(picture(min(pits, 2), mark=10 + n), part=f"H{n}", station="S-2")
    table = made(60).drop(columns=["s2-camera.pits", "s2-camera.size"])
    table["s4-last.pits"] = table["s4-last.pits"].astype(float)
    table.loc[:3, "s4-last.pits"] = np.nan
    table.to_csv(tmp_path / "history.csv", index=False)
    (tmp_path / "plate.yaml").write_text(yaml.safe_dump(PROCESS))
    done = qc(
        served, "process", "add-camera", str(tmp_path / "plate.yaml"), str(tmp_path / "history.csv"),
        "--out", str(tmp_path / "joined.parquet"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "9 readings of cameras added to 60 parts" in done.stdout
    joined = read_history(tmp_path / "joined.parquet", parse_process(PROCESS))
    names = list(parse_process(PROCESS).measurements)
    assert joined.readings[:4, names.index("s2-camera.pits")] == pytest.approx([3, 0, 1, np.nan], nan_ok=True)
    assert joined.readings[:4, names.index("s4-last.pits")] == pytest.approx([2, 0, 1, np.nan], nan_ok=True)


def test_a_failed_inspection_leaves_a_gap(line):
    process = parse_process(PROCESS)
    with line.context.database.read() as session:
        assert process_camera.readings(session, process, ["nobody"]) == {}
        asked = [{"part": 3, "observed": "no"}, {"part": "nobody", "observed": {}}]
        assert process_camera.complete(session, process, asked) == asked


def test_capability_before_and_after_is_counted_from_the_history_and_the_outcomes(served):
    before = served.get("/processes/plate/capability").json()
    assert before["before"]["parts"] == 400
    assert before["after"] is None
    for n, (pits, who) in enumerate(
        [(0, "recommendation"), (1, "recommendation"), (3, "recommendation"), (5, "operator")]
    ):
        outcome = {"part": f"Q{n}", "disposition": "finished", "assignment": who, "observed": {"s4-last.pits": pits}}
        assert served.post("/processes/plate/outcomes", Role.MACHINE, json=outcome).status_code == 202
    told = served.get("/processes/plate/capability").json()
    assert told["before"] == before["before"]
    assert told["after"]["parts"] == 3
    assert told["after"]["first_yield"] == pytest.approx(2 / 3, abs=1e-6)
    assert told["after"]["poor_quality"] == pytest.approx(100 / 3, abs=1e-3)
    assert told["after"]["readings"]["s4-last.pits"]["within"] == pytest.approx(2 / 3, abs=1e-6)
    assert told["others"]["first_yield"] == 0.0
