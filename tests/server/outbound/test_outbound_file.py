"""`outbound.yaml` is checked, says what is wrong and where, and never repeats a secret."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml

from qc.errors import InvalidInput
from server import cli
from server.outbound.config import read_config
from server.outbound.sender import pause_after
from server.outbound.topics import parse_heard, topic
from server.outbound.webhook import seconds_asked

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
HOOK = {"url": "https://mes.example.com/hook?token=abc", "secret": SECRET}
BROKER = {"host": "broker.plant.local", "topic": "acme/ulm/finishing/line-3"}


def read(folder: Path, content: object):
    file = folder / "outbound.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return read_config(file)


def test_a_sound_file_is_read_and_shows_neither_path_nor_query(tmp_path):
    assert read_config(tmp_path / "outbound.yaml") is None
    config = read(tmp_path, {"webhooks": {"mes": HOOK}, "mqtt": {"plant": {**BROKER, "tls": True}}})
    assert {name: one.shown for name, one in config.addresses.items()} == {
        "mes": "https://mes.example.com",
        "plant": "mqtts://broker.plant.local:8883",
    }
    assert SECRET not in repr(config) + str(config)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"webhooks": {"mes": {**HOOK, "secret": "whsec_c2hvcnQ="}}}, "webhooks.mes.secret: must be whsec_"),
        ({"webhooks": {"mes": {**HOOK, "secret": SECRET.removeprefix("whsec_")}}}, "webhooks.mes.secret"),
        ({"webhooks": {"mes": {**HOOK, "url": "ftp://mes.example.com"}}}, "webhooks.mes.url: must be an address"),
        ({"webhooks": {"mes": {**HOOK, "url": "https://user:pass@mes.example.com"}}}, "neither user nor password"),
        ({"webhooks": {"mes": {**HOOK, "url": "http://mes.example.com/"}}}, "http is for hosts under `allow` only"),
        ({"webhooks": {"mes": {**HOOK, "tell": ["gossip"]}}}, "webhooks.mes.tell.0"),
        ({"webhooks": {"mes": {**HOOK, "urls": 1}}}, "webhooks.mes.urls: Extra inputs"),
        ({"webhooks": {"both": HOOK}, "mqtt": {"both": BROKER}}, "both is named twice"),
        ({"mqtt": {"plant": {**BROKER, "topic": "acme/+/line"}}}, "mqtt.plant.topic"),
        ({"allow": ["10.0.0.1/8"]}, "is no network"),
        ({"webhooks": ["mes"]}, "webhooks: Input should be"),
        (f"webhooks:\n  mes: {{secret: '{SECRET}\n", "is no YAML"),
        (f"webhooks: {SECRET}", "webhooks"),
    ],
)
def test_a_mistake_is_named_by_its_place_and_no_secret_is_repeated(tmp_path, content, why):
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, content)
    assert why in caught.value.message
    assert SECRET.removeprefix("whsec_") not in caught.value.message
    assert "pass" not in caught.value.message.replace("password", "")


def test_the_command_makes_a_secret_that_fits_and_checks_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QC_HOME", str(tmp_path))
    assert cli.main(["outbound", "check"]) == 1
    assert "there is no" in capsys.readouterr().err
    assert cli.main(["outbound", "secret"]) == 0
    made = capsys.readouterr().out.splitlines()[-1]
    read(tmp_path, {"webhooks": {"mes": {**HOOK, "secret": made}}})
    assert cli.main(["outbound", "check"]) == 0
    assert capsys.readouterr().out == (
        "mes: https://mes.example.com: inspection, decision, call, part, alarm, recommendation\n"
    )


def test_pauses_grow_up_to_the_longest_and_heed_what_the_receiver_asks():
    for failures, grown in ((1, 1), (2, 2), (5, 16), (10, 300), (10_000, 300)):
        assert 0.75 * grown <= pause_after(failures, 300) <= grown
    assert pause_after(1, 300, asked_s=120) == 120
    assert pause_after(1, 300, asked_s=10**9) == 3600
    assert (seconds_asked("7"), seconds_asked(""), seconds_asked("soon")) == (7, None, None)
    assert [seconds_asked(text) for text in ("²", "\x1e4", "-1", "1e9", "nan")] == [None] * 5, "digits, of a kind"
    assert seconds_asked("Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_topics_are_isa_95_names_and_no_name_can_leave_its_level():
    line = "acme/ulm/finishing/line-3"
    assert topic(line, "brush-1", "inspection", cells={"brush-1": "cell-7"}) == f"{line}/cell-7/qc/inspection"
    assert topic(line, "", "state", cells={}) == f"{line}/qc/state"
    assert topic(line, "a/b+c#$d", "andon", cells={}) == f"{line}/a_b_c__d/qc/andon"
    assert parse_heard(line, f"{line}/cell-7/qc/in/outcomes/bar") == ("cell-7", "outcomes", "bar")
    assert parse_heard(line, f"{line}/cell-7/qc/inspection") is None
