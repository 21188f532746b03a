"""Another server as the engine: a process of ours that hangs and is killed, and servers that are not what they seem."""

from __future__ import annotations

import signal
import threading

import pytest

from qc.records import Inspection
from server.remote_engine import engine as engines
from server.remote_engine.engine import Engine
from server.remote_engine.wire import Wire

REMOTE = "remote champion-network dark (qc_onnx)"


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """What takes seconds in a plant takes a moment here."""
    for name, seconds in {"BEAT_S": 0.2, "FIRST_PAUSE_S": 0.1, "LONGEST_PAUSE_S": 0.5, "TICK_S": 0.05}.items():
        monkeypatch.setattr(engines, name, seconds)


@pytest.fixture(scope="module")
def line(run_line, tmp_path_factory, champion):
    """One line for all; a station of it waits for no more than five minutes."""
    home = tmp_path_factory.mktemp("line") / "home"
    with run_line(home, champion, camera_checks=False, features=False, decide_by={"quick": 300.0}) as line:
        yield line


@pytest.fixture(scope="module")
def stranger(run_line, tmp_path_factory, champion):
    """Another server in this process; tests give it other networks."""
    with run_line(tmp_path_factory.mktemp("stranger") / "home", champion, features=False) as stranger:
        yield stranger


@pytest.fixture
def engine_on(line, pictures):
    """`engine_on(url, key)` lets another server compute the line's champion, until the test is over."""

    def start(url: str, key: str, *, samples=pictures) -> Engine:
        wire = Wire(url, "champion-network", key=key)
        engine = Engine(line.context, wire, model="champion-network", patience_s=1000.0, samples=lambda _: samples)
        line.context.engine = line.context.parts["engine"] = engine
        return engine

    yield start
    line.context.parts.pop("engine").stop()
    line.context.engine = None


@pytest.fixture
def serves(stranger):
    """`serves(network)`: it has the stranger's names, id and version from now on; the old one comes back afterwards."""
    usual = stranger.context.champion._serving

    def put(network) -> None:
        stranger.context.champion._serving = network

    yield put
    put(usual)


def key_of(stranger) -> str:
    return stranger.head()["Authorization"].removeprefix("Bearer ")


def said(line) -> dict:
    """What /health says of the engine."""
    return line.context.parts["engine"].state()


def runtime_of(line, answer) -> str:
    with line.context.database.read() as session:
        return session.get(Inspection, answer.json()["id"]).runtime


def without_id(defects: list[dict]) -> list[dict]:
    return [{name: value for name, value in one.items() if name != "id"} for one in defects]


def test_the_other_server_computes_and_a_decide_by_time_is_kept_while_it_hangs(line, other, engine_on, until):
    alone = line.send(line.picture(dark=12, mark=1))
    assert runtime_of(line, alone).startswith("onnx (onnxruntime ")
    other.start()
    engine = engine_on(other.url, other.key)
    until(lambda: said(line)["answers"] == "remote")
    proof = said(line)["compared"]
    assert (proof["images"], proof["verdicts_that_differ"], proof["mask_pixels_that_differ"]) == (2, 0, 0)
    health = line.get("/health").json()
    assert health["components"]["model"]["runtime"] == REMOTE
    assert health["components"]["engine"]["answers"] == "remote"
    answer = line.send(line.picture(dark=12, mark=1), line.picture(mark=2))
    told = answer.json()
    assert (told["verdict"], told["model"], runtime_of(line, answer)) == ("ng", "sha256:dark", REMOTE)
    assert without_id(told["images"][0]["defects"]) == without_id(alone.json()["images"][0]["defects"])
    assert told["score"] == alone.json()["score"]

    for _ in range(16):  # this machine is known to need 295 of the station's 300 seconds, which leaves the other five
        engine.near.took(120 * 90, 295 / 1.5)
        engine.far.forget_one()
    other.signal(signal.SIGSTOP)
    try:
        late = line.send(line.picture(mark=3), station="quick")
        assert (late.json()["verdict"], late.status_code) == ("ok", 201)  # beyond its time it would be ng
        assert runtime_of(line, late).startswith("onnx ")
        assert (said(line)["answers"], said(line)["state"]) == ("local", "degraded")
        assert "had not answered after" in said(line)["message"]
    finally:
        other.signal(signal.SIGCONT)
    until(lambda: said(line)["answers"] == "remote")


def test_nothing_is_lost_and_no_verdict_changes_when_it_is_killed(line, other, engine_on, until):
    other.start()
    engine_on(other.url, other.key)
    until(lambda: said(line)["answers"] == "remote")
    since, before = said(line)["since"], said(line)["frames"]
    answers = []
    sent = [(n, 12 * (n % 2)) for n in range(11, 15)]

    def send(mark: int, dark: int) -> None:
        answers.append((dark, line.send(line.picture(dark=dark, mark=mark))))

    senders = [threading.Thread(target=send, args=one) for one in sent]
    for sender in senders:
        sender.start()
    until(lambda: said(line)["frames"]["remote"] > before["remote"])  # others wait, and one is on its way
    other.kill()
    for sender in senders:
        sender.join()
    assert [answer.status_code for _, answer in answers] == [201] * len(sent)
    assert all(answer.json()["verdict"] == ("ng" if dark else "ok") for dark, answer in answers)
    now = said(line)
    assert sum(now["frames"].values()) == sum(before.values()) + len(sent)
    until(lambda: said(line)["answers"] == "local")  # at the next window of the fingerprint at the latest
    now = said(line)
    assert now["state"] == "degraded"
    assert "this machine computes the champion: the other server cannot be reached" in now["message"]
    assert now["since"] > since
    assert line.get("/health").json()["status"] == "degraded"
    assert 'qc_engine_failures_total{why="gone"}' in line.client.get("/api/v1/metrics", headers=line.head()).text


def test_it_answers_again_once_it_is_back(line, stranger, listening, engine_on, until):
    with listening(stranger.app) as url:
        engine_on(url, key_of(stranger))
        until(lambda: said(line)["answers"] == "remote")
    until(lambda: said(line)["answers"] == "local")
    with listening(stranger.app, int(url.rsplit(":", 1)[1])):
        until(lambda: said(line)["answers"] == "remote")
        assert runtime_of(line, line.send(line.picture(mark=20))) == REMOTE


def test_a_network_that_judges_differently_never_answers(
    line, stranger, serves, listening, engine_on, until, model_of, tmp_path, pictures
):
    serves(model_of(tmp_path / "blind", dark=10.0))  # the same id, and other answers
    with listening(stranger.app) as url:
        engine_on(url, key_of(stranger), samples=pictures * 25)
        until(lambda: "another model: 1 of 2 verdicts" in said(line)["why"])
        assert said(line)["compared"]["verdicts_that_differ"] == 1
        answer = line.send(line.picture(dark=12, mark=21))
        assert (answer.json()["verdict"], runtime_of(line, answer).split()[0]) == ("ng", "onnx")
        assert (said(line)["answers"], said(line)["state"]) == ("local", "degraded")


def test_a_network_that_is_exchanged_behind_the_line_is_noticed(
    line, stranger, serves, listening, engine_on, until, model_of, tmp_path, champion
):
    with listening(stranger.app) as url:
        engine_on(url, key_of(stranger))
        until(lambda: said(line)["answers"] == "remote")
        serves(model_of(tmp_path / "blind", dark=10.0))
        until(lambda: "another model" in said(line)["why"])
        assert said(line)["answers"] == "local"
        serves(champion)
        until(lambda: said(line)["answers"] == "remote")


def test_answers_that_differ_by_more_than_rounding_need_more_pictures(
    line, stranger, serves, listening, engine_on, until, model_of, tmp_path, pictures
):
    serves(model_of(tmp_path / "rounded", dark=100.5))
    with listening(stranger.app) as url:
        engine = engine_on(url, key_of(stranger))
        until(lambda: "there are 2" in said(line)["why"])
        assert said(line)["compared"]["verdicts_that_differ"] == 0
        engine.stop()
        engine_on(url, key_of(stranger), samples=pictures * 25)
        until(lambda: said(line)["answers"] == "remote")
        assert said(line)["compared"]["images"] == 50


def test_another_model_of_ours_is_known_by_its_version(run_line, line, listening, engine_on, until, model_of, tmp_path):
    newer = model_of(tmp_path / "newer", name="newer")
    with run_line(tmp_path / "home", newer, features=False) as stranger, listening(stranger.app) as url:
        engine_on(url, key_of(stranger))
        until(lambda: "serves model newer, and the champion is dark" in said(line)["why"])


def test_without_pictures_or_a_key_nothing_is_proved(line, stranger, listening, engine_on, until):
    with listening(stranger.app) as url:
        engine = engine_on(url, key_of(stranger), samples=[])
        until(lambda: "carries no pictures" in said(line)["why"])
        engine.stop()
        engine_on(url, "qc_wrong")
        until(lambda: "refused with 401" in said(line)["why"])


def test_an_address_that_is_none_is_told_and_the_line_goes_on(run_line, tmp_path):
    with run_line(tmp_path / "home", engine_url="ftp://elsewhere") as line:
        assert "write http://host:port" in said(line)["message"]
        assert line.send(line.picture(dark=12)).json()["verdict"] == "ng"
