"""Sparkplug B over a real Mosquitto, read by Google's library from Eclipse Tahu's description of the payload."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib import util
from pathlib import Path

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from sqlmodel import select

from server.outbound import outbox, sparkplug_payload
from server.outbound.records import OutboundMessage
from server.outbound.sparkplug_payload import Garbled, Metric, commands

HERE = Path(__file__).parent
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


def tahu():
    """`Payload` of sparkplug_b.proto: the fields of it that stand for plain values, with their numbers."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="tahu", syntax="proto2")
    payload = file.message_type.add(name="Payload")
    metric = payload.nested_type.add(name="Metric")
    for name, number, kind in (
        ("name", 1, kinds.TYPE_STRING),
        ("alias", 2, kinds.TYPE_UINT64),
        ("timestamp", 3, kinds.TYPE_UINT64),
        ("datatype", 4, kinds.TYPE_UINT32),
        ("is_historical", 5, kinds.TYPE_BOOL),
        ("is_transient", 6, kinds.TYPE_BOOL),
        ("is_null", 7, kinds.TYPE_BOOL),
        ("int_value", 10, kinds.TYPE_UINT32),
        ("long_value", 11, kinds.TYPE_UINT64),
        ("float_value", 12, kinds.TYPE_FLOAT),
        ("double_value", 13, kinds.TYPE_DOUBLE),
        ("boolean_value", 14, kinds.TYPE_BOOL),
        ("string_value", 15, kinds.TYPE_STRING),
        ("bytes_value", 16, kinds.TYPE_BYTES),
    ):
        metric.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    for name, number, kind in (("timestamp", 1, kinds.TYPE_UINT64), ("seq", 3, kinds.TYPE_UINT64)):
        payload.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    payload.field.add(
        name="metrics", number=2, type=kinds.TYPE_MESSAGE, label=kinds.LABEL_REPEATED, type_name=".tahu.Payload.Metric"
    )
    payload.field.add(name="uuid", number=4, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tahu.Payload"))


Payload = tahu()
FIELDS = {3: "int_value", 8: "long_value", 10: "double_value", 11: "boolean_value", 12: "string_value"}
"""Datatype of the specification -> where its value stands."""


def value(metric):
    return None if metric.is_null else getattr(metric, FIELDS[metric.datatype])


values = st.one_of(
    st.tuples(st.just("Int32"), st.integers(0, 2**31 - 1)),
    st.tuples(st.just("UInt64"), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("Double"), st.floats(allow_nan=False)),
    st.tuples(st.just("Boolean"), st.booleans()),
    st.tuples(st.just("String"), st.text(st.characters(exclude_categories=["Cs"]))),
    st.tuples(st.just("String"), st.none()),
)
moments = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("ab/ é"), values, moments, st.booleans())), moments, st.none() | st.integers(0, 255))
def test_googles_library_reads_what_was_written(said, at, seq):
    metrics = [Metric(name, type, one, when, old) for name, (type, one), when, old in said]
    read = Payload.FromString(sparkplug_payload.payload(at, metrics, seq))
    assert read.timestamp == int(at.timestamp() * 1000)
    assert read.HasField("seq") == (seq is not None)
    assert read.seq == (seq or 0)
    assert [(m.name, value(m), m.is_historical) for m in read.metrics] == [
        (m.name, m.value, m.historical) for m in metrics
    ]


@settings(deadline=None)
@given(st.dictionaries(st.text("ab/ é", min_size=1), st.booleans()), st.lists(st.text("ab")))
def test_commands_that_googles_library_wrote_are_understood_and_other_metrics_passed_over(said, others):
    ask = Payload(timestamp=1, seq=3, uuid="x")
    for name, value in said.items():
        ask.metrics.add(name=name, timestamp=2, datatype=11, boolean_value=value)
    for name in others:
        ask.metrics.add(name=name, datatype=9, float_value=1.5)
    assert commands(ask.SerializeToString()) == said


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_nonsense_is_read_or_garbled(data):
    with suppress(Garbled):
        assert all(isinstance(name, str) for name in commands(data))


@pytest.mark.parametrize("data", [b"\x12", b"\x12\x05ab", b"\xff" * 11, b"\x0b", b"\x09ab"])
def test_what_is_cut_off_is_garbled(data):
    with pytest.raises(Garbled):
        commands(data)


class Host:
    """A Sparkplug host: hears everything of a group, and says commands."""

    def __init__(self, port: int, bus) -> None:
        self.heard: list[tuple[str, object]] = []
        self.flags: list[tuple[int, bool]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="host", protocol=paho.MQTTv311)
        self.client.on_message = self._hear
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("spBv1.0/ulm/#", qos=1)
        self.client.loop_start()
        self.bus = bus

    def _hear(self, _, __, message) -> None:
        if "/NCMD/" not in message.topic:
            self.flags.append((message.qos, message.retain))
            self.heard.append((message.topic.removeprefix("spBv1.0/ulm/"), Payload.FromString(message.payload)))

    def all(self, topic: str) -> list:
        return [payload for name, payload in list(self.heard) if name == topic]

    def waits_for(self, topic: str, many: int = 1) -> list:
        return self.bus.wait_for(lambda: len(found := self.all(topic)) >= many and found)

    def asks_for_a_rebirth(self) -> None:
        ask = Payload()
        ask.timestamp = int(time.time() * 1000)
        ask.metrics.add(name="Node Control/Rebirth", datatype=11, boolean_value=True)
        self.client.publish("spBv1.0/ulm/NCMD/line-3", ask.SerializeToString(), qos=0)


def loaded(name: str, file: Path):
    spec = util.spec_from_file_location(name, file)
    module = util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def plant(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[tuple]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (Debian package mosquitto), so there is no broker to talk to")
    mqtt, lines = loaded("the_bus", HERE / "test_mqtt.py"), loaded("a_server", HERE.parent / "conftest.py")
    bus = mqtt.Broker(tmp_path, free_port())
    bus.comes()
    host, wire = Host(bus.port, mqtt), mqtt.Wire(bus.port, free_port())
    home = tmp_path / "home"
    home.mkdir()
    scada = {"host": "127.0.0.1", "port": wire.port, "group": "ulm", "node": "line-3", "longest_pause_s": 1}
    scada |= {"cells": {"S-1": "cell-7"}}
    (home / "outbound.yaml").write_text(yaml.safe_dump({"sparkplug": {"scada": scada}}))
    yield host, wire, contextmanager(lines.start), home
    host.client.disconnect()
    host.client.loop_stop()
    wire.cut()
    bus.goes()


def names(payload) -> dict:
    return {metric.name: value(metric) for metric in payload.metrics}


def in_order(heard: list) -> bool:
    """`seq` begins with 0 at each NBIRTH and counts on, modulo 256, with everything but deaths."""
    expected = None
    for topic, payload in heard:
        if topic.startswith("NDEATH"):
            continue
        expected = 0 if topic.startswith("NBIRTH") else (expected + 1) % 256
        if payload.seq != expected:
            return False
    return True


def test_births_data_deaths_and_rebirths_follow_the_specification(plant):
    host, wire, run_line, home = plant
    with run_line(home) as line:
        (birth,) = host.waits_for("NBIRTH/line-3")
        assert birth.seq == 0
        assert names(birth)["bdSeq"] == 0
        assert names(birth)["Node Control/Rebirth"] is False

        shown = line.send(line.picture(dark=9), part="P-1").json()
        (device,) = host.waits_for("DBIRTH/line-3/cell-7")
        assert names(device)["Inspection/Verdict"] is None
        (data,) = host.waits_for("DDATA/line-3/cell-7")
        told = names(data)
        assert (told["Inspection/Part"], told["Inspection/Verdict"]) == ("P-1", "ng")
        assert told["Inspection/Id"] == shown["id"]
        assert told["Inspection/Score"] == shown["score"]
        assert f'"id":"{shown["id"]}"' in told["Inspection/Message"]
        assert told.keys() <= names(device).keys()
        assert not data.metrics[0].is_historical

        host.asks_for_a_rebirth()
        again = host.waits_for("NBIRTH/line-3", 2)[1]
        assert names(again)["bdSeq"] == 0
        device = host.waits_for("DBIRTH/line-3/cell-7", 2)[1]
        assert names(device)["Inspection/Part"] == "P-1"

        wire.cut()  # as if the process had died
        (death,) = host.waits_for("NDEATH/line-3")
        assert not death.HasField("seq")
        assert names(death) == {"bdSeq": 0}
        line.send(line.picture(mark=1), part="P-2", station="S-2")
        with line.context.database.write() as session:
            for message in session.exec(select(OutboundMessage)):
                message.at = message.at - timedelta(minutes=1)
                session.add(message)
            session.commit()
        wire.mend()
        (late,) = host.waits_for("DDATA/line-3/S-2")
        assert names(late)["Inspection/Part"] == "P-2"
        assert all(metric.is_historical for metric in late.metrics)
        born_again = host.waits_for("NBIRTH/line-3", 3)[2]
        assert names(born_again)["bdSeq"] == 1
    assert names(host.waits_for("NDEATH/line-3", 2)[1]) == {"bdSeq": 1}  # a good-bye
    assert in_order(host.heard)
    assert not any(retain for _, retain in host.flags)
    with run_line(home):
        assert names(host.waits_for("NBIRTH/line-3", 4)[3])["bdSeq"] == 2


def test_the_numbers_begin_anew_after_255(plant):
    host, _, run_line, home = plant
    (home / "outbound").mkdir()
    (home / "outbound" / "scada.bdseq").write_text("255")
    with run_line(home) as line:
        assert names(host.waits_for("NBIRTH/line-3")[0])["bdSeq"] == 0
        with line.context.database.write() as session:
            for n in range(260):
                body = json.dumps({"data": {"id": str(n), "part": f"P-{n}", "score": 0.5}})
                message = OutboundMessage(kind="inspection", cell="S-1", body=body, at=line.context.now())
                outbox.add(session, message, ["scada"])
            session.commit()
        line.context.parts["outbound"].senders["scada"].wake()
        host.waits_for("DDATA/line-3/cell-7", 260)
    assert in_order(host.heard)
    assert {payload.seq for _, payload in host.heard} == set(range(256))
    assert [names(p)["Inspection/Part"] for p in host.all("DDATA/line-3/cell-7")] == [f"P-{n}" for n in range(260)]
