"""The line against the real server over real HTTP: parts are judged, operators decide, restarts double nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import cv2
import httpx
import numpy as np
import per_home
import pytest
import uvicorn

from qc.errors import Unavailable
from qc.ports import Segmentation
from server import auth
from server.access import Role
from server.app import create_app
from server.demo.config import DemoConfig
from server.demo.line import run
from server.settings import Settings


class SmallDarkThings:
    """Calls what is much darker than its surroundings a pit: wrong often enough to keep operators busy."""

    model_id = "sha256:small-dark-things"
    classes = {1: "scratch", 2: "dent", 3: "pit"}  # noqa: RUF012
    threshold = edge = 0.5

    def segment(self, pixels: np.ndarray) -> Segmentation:
        grey = pixels.astype(np.float32)
        darker = cv2.GaussianBlur(grey, (0, 0), 6.0) - cv2.GaussianBlur(grey, (0, 0), 1.0)
        return Segmentation((darker / 4.0 - 6.0).astype(np.float16), np.full(grey.shape, 3, np.uint8))


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(home, port: int) -> Iterator[str]:
    """The server on a port, until the block ends; its address and a machine's key."""
    settings = Settings(home=home, port=port, database_url=per_home.setting(home), label_studio=False)
    app = create_app(settings, segmenter=SmallDarkThings())
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.started
    context = app.state.context
    with context.database.write() as session:
        key = auth.create_key(session, "line", Role.MACHINE, now=context.now())
        session.commit()
    try:
        yield key
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def config(tmp_path, port, monkeypatch) -> DemoConfig:
    for name, value in per_home.environment(tmp_path / "home").items():
        monkeypatch.setenv(name, value)  # for the process model that the line registers
    return DemoConfig(
        url=f"http://127.0.0.1:{port}",
        key="",
        home=tmp_path / "line",
        parts_per_minute=6000,
        width=192,
        height=160,
        labels=False,
        process=False,
    )


def inspections(config: DemoConfig, key: str) -> list[dict]:
    answer = httpx.get(
        f"{config.url}/api/v1/inspections", params={"limit": 100}, headers={"Authorization": f"Bearer {key}"}
    )
    return answer.raise_for_status().json()["items"]


def test_parts_are_photographed_judged_and_decided_and_a_repeated_line_doubles_nothing(config, tmp_path, port):
    with serving(tmp_path / "home", port) as key:
        config = replace(config, key=key, parts=9)
        said: list[str] = []
        assert run(config, say=said.append) == 0
        first = inspections(config, key)
        assert sorted(i["part"] for i in first) == [f"SB00-{k:06d}" for k in range(9)]
        assert {i["station"] for i in first} == {"brush-1", "mill-1", "paint-1"}
        assert all(i["product"] == "seat-bar" for i in first)
        assert all([image["view"] for image in i["images"]] == ["left", "top", "right"] for i in first)
        assert {image["sha256"] for i in first for image in i["images"]} == {
            path.stem for path in (config.folder / "truth").glob("*.png")
        }
        spoken = [line for line in said if "the operator says" in line]
        assert len(spoken) == sum(i["decision"] is not None for i in first) > 0

        (config.folder / "line-0.json").unlink()  # killed before it wrote down that parts were finished
        assert run(config, say=said.append) == 0
        assert inspections(config, key) == first

        assert run(replace(config, parts=1), say=said.append) == 0
        assert len(inspections(config, key)) == 10


def test_the_line_outlives_a_restart_of_the_server(config, tmp_path, port):
    stop, said = threading.Event(), []
    with serving(tmp_path / "home", port) as key:
        config = replace(config, key=key, parts=60)
        line = threading.Thread(target=run, args=(config,), kwargs={"say": said.append, "stop": stop})
        line.start()
        while not inspections(config, key):
            time.sleep(0.05)
    while not any("waiting for the server" in text for text in said):
        time.sleep(0.05)
    with serving(tmp_path / "home", port):
        deadline = time.monotonic() + 60
        while not any("the server answers again" in text for text in said) and time.monotonic() < deadline:
            time.sleep(0.05)
        before = len(inspections(config, key))
        while len(inspections(config, key)) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        line.join(30)
        assert not line.is_alive()
        parts = [i["part"] for i in inspections(config, key)]
    assert len(parts) >= before + 3
    assert sorted(parts) == [f"SB00-{k:06d}" for k in range(len(parts))]


def test_parts_that_leave_their_limits_get_recommendations_and_their_outcomes_come_home(config, tmp_path, port):
    home = tmp_path / "home"
    with serving(home, port) as key:
        config = replace(config, key=key, home=home, process=True, history_parts=400, parts_per_minute=120, parts=None)
        stop, said = threading.Event(), list[str]()
        line = threading.Thread(target=run, args=(config,), kwargs={"say": said.append, "stop": stop})
        line.start()
        try:
            deadline = time.monotonic() + 480
            while sum("; process: " in text for text in said) < 3 and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            stop.set()
            line.join(60)
        head = {"Authorization": f"Bearer {key}"}
        summary = httpx.get(f"{config.url}/api/v1/processes/seat-bar/summary", headers=head).raise_for_status().json()
        advised = [text for text in said if "; process: " in text]
        assert 3 <= len(advised) <= summary["recommended"] + 1  # the last one may not have been said any more
        assert summary["money"]["currency"] == "EUR"
        asked = httpx.get(f"{config.url}/api/v1/processes/seat-bar/recommendations", headers=head).raise_for_status()
        assert any(item["outcome"] for item in asked.json()["items"])

        before = len(said)
        assert run(replace(config, parts=1), say=said.append) == 0
        assert any("knows the process seat-bar" in text for text in said[before:])
        assert not any("fitting" in text for text in said[before:])


def test_a_refused_key_ends_the_line_with_a_sentence_that_says_what_to_do(config, tmp_path, port):
    with serving(tmp_path / "home", port), pytest.raises(Unavailable, match="qc key create"):
        run(replace(config, key="qc_nonsense", parts=1), say=lambda text: None)
