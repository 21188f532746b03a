"""A client in a process of its own runs jobs over OPC UA: encrypted, with a key, results by event and by id."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from sqlmodel import select

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.records import Outcome
from process_opt.simulate import linear_line
from qc.ports import Segmentation
from qc.records import Inspection
from server import alarms, process_service
from server.access import Role
from server.plant.handshake import Inputs, Phase
from server.plant.opcua_system import VisionSystem

CLIENT = Path(__file__).with_name("opcua_client.py")


class Held:
    """Each look lasts until it is let go, and finds nothing."""

    model_id = "sha256:held"
    classes: Mapping[int, str] = {1: "pit"}
    threshold = edge = 0.5

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)

    def segment(self, pixels) -> Segmentation:
        self.go.acquire(timeout=60)
        return Segmentation(np.full(pixels.shape[:2], -9, np.float16), np.ones(pixels.shape[:2], np.uint8))


@pytest.fixture
def model():
    """The tests' own, which finds dark spots."""
    return None


@pytest.fixture
def recipes():
    """Which the station knows."""
    return {1: "bar", 2: "hinge"}


@pytest.fixture
def cell(tmp_path, run_line, model, recipes):
    """A server with one station over OPC UA, and the folder that its camera writes into."""
    home, camera = tmp_path / "home", tmp_path / "camera"
    home.mkdir()
    camera.mkdir()
    station = {
        "decide_by_s": 300,  # no deadline passes, however slow this machine is
        "cameras": [{"folder": str(camera)}],
        "opcua": True,
        "recipes": recipes,
        "picture_within_s": 0.3,  # the pictures are there before their triggers
        "picture_early_s": 30,  # however slow this machine is
    }
    config = {"stations": {"brush-1": station}, "opcua": {"port": 0}}
    (home / "plant.yaml").write_text(yaml.safe_dump(config))
    with run_line(home, model) as line:
        line.folder, line.camera = tmp_path, camera
        doors = line.context.parts["plant"].opcua._doors
        wait_until(lambda: doors.get_user(None, "plc", line.keys[Role.MACHINE]))  # the keys have just been made
        yield line


def picture(line, name, *, dark=0):
    """A picture outside of the camera's folder, and where the camera puts it."""
    grey = np.full((90, 120), 180, np.uint8)
    grey[0, 0] += int(name) + 1
    grey[10 : 10 + dark, 20:30] = 20
    file = line.folder / f"{name}.png"
    cv2.imwrite(str(file), grey)
    return [str(file), str(line.camera / file.name)]


def wait_until(true) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


class Client:
    """A client in a process of its own, told one step after the other."""

    def __init__(self, line, key=None, options=()) -> None:
        url = f"opc.tcp://127.0.0.1:{line.context.parts['plant'].opcua.port}/qc"
        key = line.keys[Role.MACHINE] if key is None else key
        self._process = subprocess.Popen(
            [sys.executable, CLIENT, url, key, str(line.folder), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.begun = self._read()

    def says(self, step):
        self._process.stdin.write(json.dumps(step) + "\n")
        self._process.stdin.flush()
        return self._read()

    def leave(self) -> None:
        with self._process:  # its ends of the pipes are closed
            self._process.stdin.close()
        assert self._process.returncode == 0

    def dies(self) -> None:
        with self._process:
            self._process.kill()

    def _read(self):
        line = self._process.stdout.readline()
        assert line, "the client has ended; what it said is above"
        return json.loads(line)


def talk(line, *steps, key=None, options=()):
    """What a client is told at first, and at each step."""
    client = Client(line, key, options)
    told = [client.begun, *(client.says(step) for step in steps)]
    client.leave()
    return told


def test_jobs_run_by_recipe_and_their_results_come_by_event_and_by_id(cell):
    begin, ok, bad, unknown, neither, contradiction, nothing, listed = talk(
        cell,
        ["start", {"part": "P-1", "recipe": "1", "meas": "M-7"}, {"copy": picture(cell, "1")}],
        ["start", {"part": "P-2", "product": "hinge"}, {"copy": picture(cell, "2", dark=8)}],
        ["start", {"part": "P-3", "recipe": "9"}],
        ["start", {"part": "P-3"}],
        ["start", {"part": "P-3", "recipe": "1", "product": "hinge"}],
        ["result", "nobody's"],
        ["results", {"PartId": "P-2"}],
    )
    assert begin["type"] == "VisionSystemType"
    assert (ok["job"], ok["event"]["ResultState"], ok["event"]["MeasId"]) == ("brush-1#1", 1, "M-7")
    assert [ok["event"][name] for name in ("PartId", "ExternalRecipeId", "ProductId")] == ["P-1", "1", "bar"]
    may_pass, verdict, score, defects, fault, whole = ok["event"]["ResultContent"]
    assert (may_pass, verdict, defects, fault) == (True, "ok", 0, 0)
    good, faulty = json.loads(whole), json.loads(bad["event"]["ResultContent"][-1])
    assert (good["ok"], good["part"], good["error"], good["score"]) == (True, "P-1", 0, score)
    assert (faulty["ok"], faulty["verdict"], faulty["defects"]) == (False, "ng", 1)
    assert [one["refused"] for one in (unknown, neither, contradiction)] == ["BadInvalidArgument"] * 3
    assert nothing["refused"] == "BadNotFound"
    complete, count, _handle, (found,), error = listed["told"]
    assert (complete, count, found["ResultId"], error) == (True, 1, faulty["inspection"], 0)
    with cell.context.database.read() as session:
        rows = session.exec(select(Inspection).order_by(Inspection.id)).all()
    assert [(row.id, row.product) for row in rows] == [(good["inspection"], "bar"), (faulty["inspection"], "hinge")]
    _, later, parts = talk(
        cell, ["result", good["inspection"]], ["result", good["inspection"], "GetResultComponentsById"]
    )
    assert json.loads(later["told"][1]["ResultContent"][-1]) == good, "also for a client that was not there"
    assert (parts["told"][6], parts["told"][-2]) == ("P-1", ok["event"]["ResultContent"])


@pytest.mark.parametrize("model", [Held()])
def test_a_running_job_refuses_another_and_ends_by_abort_or_after_stop_with_its_result(cell, model):
    acquired = ["event", "AcquisitionDoneEventType"]
    client = Client(cell)
    told = [client.begun]
    for step in (
        ["start", {"part": "P-1", "recipe": "1"}, {"read": False, "copy": picture(cell, "1")}],
        acquired,
        ["start", {"part": "P-0", "recipe": "1"}, {"wait": False}],
        ["command", "AutomaticModeStateMachine/Abort", {"cause": 7, "why": "door open"}],
        ["event", "ResultReadyEventType"],
        ["event", "VisionInformationEventType"],
        ["event", "StateChangedEventType", {"Transition": "SingleExecutionToReadyAbort"}],
    ):
        told.append(client.says(step))
    model.go.release()  # nobody waits for what was given up, but the next part waits for the model
    for step in (
        ["start", {"part": "P-2", "recipe": "1"}, {"read": False, "copy": picture(cell, "2")}],
        acquired,
        ["command", "AutomaticModeStateMachine/Stop"],
        ["read", "VisionStateMachine/AutomaticModeStateMachine/0:CurrentState"],
    ):
        told.append(client.says(step))
    client.leave()
    assert told[1]["job"] == told[2]["JobId"] == "brush-1#1"
    assert told[3]["refused"] == "BadInvalidState"
    aborted, why, second, running = told[5], told[6], told[8], told[11]
    assert (aborted["PartId"], aborted["ResultState"], aborted["ResultContent"][0]) == ("P-1", 3, False)
    assert why["Message"] == "Abort by a client: 7 door open"
    assert second["job"] == "brush-1#2", "what was refused was no trigger"
    assert running["value"] == "SingleExecution", "what was acquired before Stop has its result"
    model.go.release()
    station = cell.context.parts["plant"].stations["brush-1"]
    wait_until(lambda: station.shown().reply.number == 2 and station.phase == Phase.READY)
    _, stopped = talk(cell, ["results", {"PartId": "P-2"}])
    assert stopped["told"][3][0]["ResultContent"][0] is True


def test_a_system_obeys_halt_and_reset_and_runs_only_prepared_recipes(cell):
    vision, automatic = "VisionStateMachine", "VisionStateMachine/AutomaticModeStateMachine"
    told = talk(
        cell,
        ["until", "Ready"],
        ["command", "Halt", {"why": "maintenance"}],
        ["until", "Halted", vision],
        ["until", "BadStateNotActive", automatic],
        ["start", {"part": "P-0", "recipe": "1"}, {"wait": False}],
        ["command", "SelectModeAutomatic"],
        ["command", "Reset"],
        ["event", "StateChangedEventType", {"Transition": "HaltedToPreoperational"}],
        ["start", {"part": "P-0", "recipe": "1"}, {"wait": False}],
        ["command", "SelectModeAutomatic"],
        ["recipe", "Prepare", "2"],
        ["event", "RecipePreparedEventType"],
        ["start", {"part": "P-1"}, {"copy": picture(cell, "1")}],
        ["recipe", "Unprepare", "2"],
        ["recipes", {"prepared": 1}],
        ["start", {"part": "P-2", "recipe": "2"}],
        ["recipe", "Unprepare", "1"],
        ["until", "Initialized"],
        ["recipe", "Prepare", "9"],
        ["recipe", "Prepare", "1"],
        ["event", "StateChangedEventType", {"Transition": "InitializedToReadyRecipe"}],
    )[1:]
    assert [told[n]["refused"] for n in (4, 5, 8)] == ["BadInvalidState"] * 3, "from Halted only Reset leads out"
    assert (told[7]["FromState"], told[7]["ToState"]) == ("Halted", "Preoperational")
    assert told[10]["told"] == ["2", True, 0]
    assert (told[11]["ExternalId"], told[11]["ProductId"]) == ("2", "hinge")
    assert told[12]["event"]["ProductId"] == "hinge", "the one prepared last, where a job names none"
    assert told[14]["told"] == [True, 1, 0, ["1"], 0]
    assert [told[n]["refused"] for n in (15, 18)] == ["BadInvalidArgument"] * 2
    assert told[19]["told"][0] == "1"


def test_trouble_and_alarms_are_conditions_that_the_control_system_confirms(cell):
    away = cell.camera.rename(cell.folder / "away")
    with cell.context.database.write() as session:
        now, nothing = cell.context.now(), {"before": (), "after": (), "figures": {}}
        told = {"kind": "camera", "station": "brush-1", "what": "blurred", "message": "the pictures are blurred"}
        alarm = alarms.raise_once(session, cell.context.events, **told, since=now, now=now, **nothing)
        session.commit()
    wait_until(lambda: cell.context.parts["plant"].stations["brush-1"].problem is not None)
    client = Client(cell)
    client.says(["until", "Error", "VisionStateMachine"])
    assert client.says(["read", "SystemState"])["State"] == 5, "UDT_5: unscheduled downtime"
    lamp = f"{client.begun['space']}:Andon/{client.begun['space']}"
    while client.says(["read", f"{lamp}:Lit"])["value"] is False:
        time.sleep(0.05)
    assert client.says(["read", f"{lamp}:Alarms"])["value"] == ["the pictures are blurred"]
    client.says(["refresh"])
    shown = client.says(["event", "VisionErrorConditionType"])
    assert shown["Retain"] is True
    assert str(cell.camera) in shown["ErrorString"]
    assert client.says(["event", "VisionWarningConditionType"])["ErrorString"] == "the pictures are blurred"
    client.says(["confirm_all"])
    assert client.says(["event", "VisionErrorConditionType"])["ConfirmedState/Id"] is True
    away.rename(cell.camera)
    assert client.says(["event", "ErrorResolvedEventType"])["ToState"] == "Operational"
    assert client.says(["event", "VisionErrorConditionType"])["Retain"] is False
    with cell.context.database.write() as session:
        row = alarms.get(session, alarm.id)
        alarms.close(session, cell.context.events, row, by="anna", reason="cleaned", now=cell.context.now())
        session.commit()
    assert client.says(["event", "VisionWarningConditionType", {"ErrorString": ""}])["Retain"] is False
    assert client.says(["read", f"{lamp}:Lit"])["value"] is False
    client.leave()


@pytest.mark.parametrize("recipes", [{}])
def test_without_recipes_a_job_for_another_product_than_the_default_one_is_refused(cell):
    default = cell.context.settings.default_product
    _, hinge, words, told = talk(
        cell,
        ["start", {"part": "P-1", "product": "hinge"}],
        ["start", {"part": "P-1", "recipe": "hinge"}],
        ["start", {"part": "P-1", "product": default, "recipe": "7"}, {"copy": picture(cell, "1")}],
    )
    assert hinge["refused"] == words["refused"] == "BadInvalidArgument"
    assert (told["job"], told["event"]["ResultContent"][0]) == ("brush-1#1", True), "every index is the default product"


def test_process_values_come_in_and_recommendations_go_out(cell, tmp_path):
    plant = linear_line(2, seed=3)
    fit(plant.process, parse_history(plant.history(60, seed=4), plant.process)).save(tmp_path / "model")
    home, now = cell.context.settings.home.resolve(), cell.context.now()
    with cell.context.database.write() as session:
        found, key = process_service.take_in(home, "bar", tmp_path / "model")
        process_service.register(session, "bar", found, key, now=now, report={})
        session.commit()
    part = plant.start(5)
    first = part.at
    seen = part.run_step(first)
    readings = [list(seen), [float(value) for value in seen.values()]]
    outcome = ["process", "TellOutcome", "bar", "P-5", "", "scrapped", first, "operator", *readings]
    _, advised, nowhere, unknown, crooked, new, again = talk(
        cell,
        ["process", "Recommend", "bar", "P-5", part.at, "", *readings],
        ["process", "Recommend", "bar", "P-5", "nowhere", "", *readings],
        ["process", "Recommend", "gone", "P-5", part.at, "", *readings],
        ["process", "Recommend", "bar", "P-5", part.at, "", readings[0], []],
        outcome,
        outcome,
    )
    decision, names, values, whole = advised["told"]
    told = json.loads(whole)
    assert (decision, dict(zip(names, values, strict=True))) == (told["decision"], told["settings"])
    assert cell.get("/processes/bar/recommendations").json()["items"][0]["id"] == told["id"]
    assert [one["refused"] for one in (nowhere, unknown, crooked)] == [
        "BadInvalidArgument",
        "BadNotFound",
        "BadInvalidArgument",
    ]
    assert (new["told"], again["told"]) == (True, False), "a part's outcome counts once"
    with cell.context.database.read() as session:
        assert [row.part for row in session.exec(select(Outcome))] == ["P-5"]


def test_a_server_that_ends_by_itself_is_told_and_started_again_and_loses_no_result(cell, monkeypatch):
    plant = cell.context.parts["plant"]
    wire, station = plant.opcua, plant.stations["brush-1"]
    port, trouble = wire.port, ValueError("no such node")

    async def failing(*_what):
        raise trouble

    wait_until(lambda: station.phase == Phase.READY)
    monkeypatch.setattr(VisionSystem, "_tell_result", failing)
    shutil.copy(*picture(cell, "1"))
    assert station.trigger_if_ready(Inputs(trigger=True, acknowledge=False, recipe=1, part="P-1")) == 1
    wait_until(lambda: wire.problem is not None)
    told = plant.state()
    assert told["state"] == "degraded"
    assert "OPC UA: it has ended and is started again (no such node)" in told["message"]
    monkeypatch.undo()
    wait_until(lambda: wire.problem is None and station.phase == Phase.READY)
    assert wire.port == port, "where the clients look for it"
    assert "OPC UA" not in plant.state().get("message", "")
    result = station.shown().reply.inspection
    found, again = talk(
        cell, ["result", result], ["start", {"part": "P-2", "recipe": "1"}, {"copy": picture(cell, "2")}]
    )[1:]
    assert (found["told"][1]["PartId"], found["told"][1]["ResultContent"][0]) == ("P-1", True)
    assert (again["job"], again["event"]["ResultContent"][0]) == ("brush-1#2", True)


PAGE = [[0, "UInt32"], [0, "UInt32"], [0, "Int32"]]
NONSENSE = {
    "VisionStateMachine/Halt": ([[0, "Int32"], [["much"], "String"]], [["0", "String"], ["", "String"]]),
    "VisionStateMachine/ConfirmAll": ([["seen", "String"]],),
    "VisionStateMachine/AutomaticModeStateMachine/StartSingleJob": ([["P-1", "String"]] * 5,),
    "RecipeManagement/GetRecipeListFiltered": ([["1", "String"], ["", "String"], [2, "Int32"], *PAGE],),
    "ConfigurationManagement/GetConfigurationList": ([[0, "UInt32"], [-1, "Int32"], [0, "Int32"]],),
}
"""Method -> arguments of other types than it declares."""


def test_what_a_client_should_not_have_sent_is_refused_and_costs_nobody_anything(cell):
    steps = [["until", "Ready"]]
    steps += [["method", method, given] for method, all_given in NONSENSE.items() for given in all_given]
    level = [["write", "DiagnosticLevel", [1, 2], "UInt16"], ["write", "DiagnosticLevel", None, "Null"]]
    job = ["start", {"part": "P-1", "recipe": "1"}, {"copy": picture(cell, "1")}]
    configurations = ["method", "ConfigurationManagement/GetConfigurationList", PAGE]
    told = talk(cell, *steps, *level, ["read", "DiagnosticLevel"], job, configurations)[2:]
    assert told[: len(steps) - 1] == [{"refused": "BadInvalidArgument"}] * (len(steps) - 1)
    assert told[-5:-2] == [{"refused": "BadTypeMismatch"}] * 2 + [{"value": 100}]
    assert told[-2]["event"]["ResultContent"][0] is True, "whoever writes a list in place of a number ended the server"
    assert told[-1]["told"][1] == 1
    assert cell.context.parts["plant"].opcua.problem is None


def test_nobody_comes_in_without_a_machines_key_or_in_the_clear(cell):
    for key, options in (("", []), ("qc_wrong", []), (cell.keys[Role.LABELLER], []), (None, ["--plain"])):
        assert "refused" in talk(cell, key=key, options=options)[0]


def test_a_key_that_is_revoked_ends_what_it_opened(cell):
    client = Client(cell)
    assert client.says(["until", "Ready"]) == {"value": None}
    (key,) = [one for one in cell.get("/keys", Role.ADMIN).json()["items"] if one["name"] == "machine key"]
    assert cell.client.delete(f"/api/v1/keys/{key['id']}", headers=cell.head(Role.ADMIN)).status_code == 200
    doors = cell.context.parts["plant"].opcua._doors
    wait_until(lambda: doors.get_user(None, "plc", cell.keys[Role.MACHINE]) is None)
    assert client.says(["command", "Halt"]) == {"refused": "BadUserAccessDenied"}
    client.dies()
    assert cell.context.parts["plant"].stations["brush-1"].phase == Phase.READY
