"""Process values in and recommendations out over Modbus TCP, as a PLC's own library writes and reads them."""

from __future__ import annotations

import math
import time

import pytest
import yaml
from pymodbus.client import ModbusTcpClient
from sqlmodel import select

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.records import Outcome
from process_opt.simulate import linear_line
from qc.errors import InvalidInput
from server import process_service
from server.access import Role
from server.plant.config import read_config
from server.plant.modbus import words_of
from server.plant.modbus_process import DECISIONS, DISPOSITIONS, VALUES, Refusal
from server.plant.start import process_wire

FLOAT = ModbusTcpClient.DATATYPE.FLOAT32


@pytest.fixture(scope="module")
def plant():
    return linear_line(2, seed=3)


@pytest.fixture(scope="module")
def model(plant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("process") / "model"
    fit(plant.process, parse_history(plant.history(60, seed=4), plant.process)).save(folder)
    return folder


@pytest.fixture
def names(plant):
    """The values that the PLC's registers hold, in their order."""
    return [*plant.process.settings, *plant.process.measurements]


@pytest.fixture
def line(tmp_path, run_line, model, names):
    home = tmp_path / "home"
    home.mkdir()
    (home / "plant.yaml").write_text(yaml.safe_dump({"processes": {"bar": {"modbus": {"port": 0}, "values": names}}}))
    with run_line(home) as line:
        found, key = process_service.take_in(home.resolve(), "bar", model)
        with line.context.database.write() as session:
            process_service.register(session, "bar", found, key, now=line.context.now(), report={})
            session.commit()
        yield line


class Plc:
    """Writes what it knows, asks or tells, reads the answer, and lets its signals fall."""

    def __init__(self, line, names) -> None:
        self.names = names
        self.wire = ModbusTcpClient("127.0.0.1", port=line.context.parts["plant"].wires[process_wire("bar")].port)
        assert self.wire.connect()

    def leave(self) -> None:
        self.wire.close()

    def signals(self) -> list[bool]:
        return self.wire.read_discrete_inputs(0, count=4).bits[:4]

    def write(self, part: str, known, *, at: int = 0, disposition: int = 0, scrapped_at: int = 0) -> None:
        values = [known.get(name, math.nan) for name in self.names]
        self.wire.write_registers(0, [at, disposition, scrapped_at, *words_of(part, 32), *words_of("", 32)])
        self.wire.write_registers(VALUES, [w for v in values for w in self.wire.convert_to_registers(v, FLOAT)])

    def answer(self, *coils: int) -> dict:
        """Of what rises now."""
        assert self.signals() == [True, False, False, False]
        self.wire.write_coils(coils[0], [True] * len(coils))
        until(lambda: self.signals()[2])
        is_refused = self.signals()[3]
        words = self.wire.read_input_registers(0, count=VALUES).registers
        floats = self.wire.read_input_registers(VALUES, count=2 * len(self.names)).registers
        p_conform, value = self.wire.convert_from_registers(words[4:8], FLOAT)
        settings = dict(zip(self.names, self.wire.convert_from_registers(floats, FLOAT), strict=True))
        self.wire.write_coils(0, [False, False])
        assert self.signals() == [True, False, False, False]
        return {
            "refused": Refusal(words[1]) if is_refused else None,
            "decision": DECISIONS[words[2]],
            "told": words[3],
            "p_conform": p_conform,
            "value": value,
            "id": self.wire.convert_from_registers(words[8:26], ModbusTcpClient.DATATYPE.STRING).strip("\0"),
            "settings": {name: one for name, one in settings.items() if not math.isnan(one)},
        }


@pytest.fixture
def plc(line, names):
    one = Plc(line, names)
    yield one
    one.leave()


def until(true) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


ASK, TELL = 0, 1


def test_a_plc_asks_and_tells_as_every_other_way_in_would_have_it(line, plc, plant):
    part = plant.start(5)
    first, seen = part.at, part.run_step(part.at)
    plc.write("P-5", seen, at=2)
    advised = plc.answer(ASK)
    (kept,) = line.get("/processes/bar/recommendations").json()["items"]
    assert (kept["id"], kept["part"]) == (advised["id"], "P-5")
    by_rest = {"part": "P-5", "at": part.at, "observed": {name: float(f"{v:.7g}") for name, v in seen.items()}}
    told = line.post("/processes/bar/recommendations", Role.MACHINE, json=by_rest).json()
    assert (advised["refused"], advised["decision"]) == (None, told["decision"])
    assert advised["p_conform"] == pytest.approx(told["p_conform"], rel=1e-6)
    assert advised["value"] == pytest.approx(told["expected_value"], rel=1e-6)
    assert advised["settings"] == pytest.approx(told["settings"], rel=1e-6)

    plc.write("P-5", seen, disposition=DISPOSITIONS.index("scrapped"), scrapped_at=1)
    assert [plc.answer(TELL)["told"] for _ in range(2)] == [1, 2], "a part's outcome counts once"
    with line.context.database.read() as session:
        (kept,) = session.exec(select(Outcome))
    assert (kept.part, kept.content["disposition"], kept.content["scrapped_at"]) == ("P-5", "scrapped", first)
    assert kept.content["observed"] == {name: float(f"{value:.7g}") for name, value in seen.items()}


def test_what_makes_no_sense_is_refused_and_the_next_one_is_heard(line, plc, plant):
    setting = next(iter(plant.process.settings))
    for write, coils in (
        ({"part": "P-1", "known": {}, "at": 3}, [ASK]),
        ({"part": "P-1", "known": {}}, [ASK]),
        ({"part": "", "known": {}, "at": 1}, [ASK]),
        ({"part": "P\x01", "known": {}, "at": 1}, [ASK]),
        ({"part": "P-1", "known": {setting: 1e30}, "at": 2}, [ASK]),
        ({"part": "P-1", "known": {setting: math.inf}, "at": 2}, [ASK]),
        ({"part": "P-1", "known": {}, "disposition": 3}, [TELL]),
        ({"part": "P-1", "known": {}, "at": 1, "disposition": 1}, [ASK, TELL]),
    ):
        plc.write(**write)
        answer = plc.answer(*coils)
        assert (answer["refused"], answer["decision"], answer["told"]) == (Refusal.NONSENSE, "", 0), write
    with line.context.database.read() as session:
        assert session.exec(select(Outcome)).all() == []
    plc.write("P-1", {}, at=1)
    assert plc.answer(ASK)["refused"] is None


def test_while_the_database_is_away_the_plc_is_told_to_come_again(plc, away):
    plc.write("P-1", {}, at=1)
    away()
    assert plc.answer(ASK)["refused"] == Refusal.AWAY
    away()
    assert plc.answer(ASK)["refused"] is None


def test_what_rises_while_an_answer_stands_is_not_heard(line, plc, plant):
    plc.write("P-1", {}, at=1, disposition=1)
    plc.wire.write_coil(ASK, True)
    until(lambda: plc.signals()[2])
    plc.wire.write_coil(TELL, True)
    plc.wire.write_coil(ASK, False)
    assert plc.signals() == [False, False, True, False], "tell has not fallen yet"
    plc.wire.write_coil(TELL, False)
    assert plc.signals() == [True, False, False, False]
    with line.context.database.read() as session:
        assert session.exec(select(Outcome)).all() == []


def test_a_file_that_makes_no_sense_is_named(tmp_path):
    for change, word in (
        ({"values": []}, "processes.bar.values"),
        ({"values": ["a.b", "a.b"]}, "a value is there twice"),
        ({"colour": "red"}, "colour"),
    ):
        process = {"modbus": {"port": 0}, "values": ["a.b"], **change}
        (tmp_path / "plant.yaml").write_text(yaml.safe_dump({"processes": {"bar": process}}))
        with pytest.raises(InvalidInput, match=word):
            read_config(tmp_path / "plant.yaml")
    taken = {"modbus": {"port": 5021}, "values": ["a.b"]}
    (tmp_path / "plant.yaml").write_text(yaml.safe_dump({"processes": {"bar": taken, "foo": taken}}))
    with pytest.raises(InvalidInput, match="the same host and port"):
        read_config(tmp_path / "plant.yaml")
