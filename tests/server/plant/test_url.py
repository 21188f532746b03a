"""A camera that is asked over HTTP: what it gives, what it may take, and that its password stays its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import structlog

from qc.errors import InvalidInput
from server.plant import address, url
from server.plant.config import CameraConfig, read_config
from server.plant.sources import NoPicture, source_of
from server.plant.views import Views

SECRETS = ("hunter2", "letmein", "operator")


class Camera:
    """An HTTP server; `answer` gets the request's handler."""

    def __init__(self) -> None:
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: gives(handler, b"a picture")
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.authorization = self.headers["Authorization"]
                camera.answer(self)

            def log_message(self, *_words: object) -> None:
                """Nobody reads it."""

        self.authorization: str | None = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://operator:hunter2@127.0.0.1:{self.server.server_port}/shots/top.jpg?user=operator&pwd=letmein"

    @property
    def source(self):
        return source_of(CameraConfig(url=self.url))


def gives(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


@pytest.fixture
def camera():
    one = Camera()
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_a_cameras_password_is_sent_to_it_and_told_to_nobody(camera):
    source = camera.source
    with structlog.testing.capture_logs() as logs:
        picture = source.picture(30)
        told = [picture.name]
        with pytest.raises(NoPicture, match="repeats: true") as again:
            source.picture(30)
        camera.answer = lambda handler: handler.send_error(401)
        with pytest.raises(NoPicture, match="it answered 401 Unauthorized") as refused:
            source.picture(30)
        told += [again.value.message, refused.value.message, str(source.problem())]
        source.close()
    assert camera.authorization is not None, "the camera knows who asks"
    assert (picture.data, picture.name) == (b"a picture", "top.jpg")
    assert f"http://127.0.0.1:{camera.server.server_port}/shots/top.jpg" in refused.value.message
    assert not [secret for secret in SECRETS for words in [*told, str(logs)] if secret in words]


@pytest.mark.parametrize(
    ("of", "told"),
    [
        ("rtsp://operator:hunter2@[fe80::1]:554/main?pwd=letmein#letmein", "rtsp://[fe80::1]:554/main"),
        ("http://operator:hunter2@camera", "http://camera"),
    ],
)
def test_of_an_address_scheme_host_and_path_are_told(of, told):
    assert address.shown(of) == told


@pytest.mark.parametrize(
    "camera_words",
    [
        "{url: 'http://operator:hunter2/letmein@camera/'}",
        "{url: 'http://operator:hunter2@camera:letmein/'}",
        "{stream: {url: 'rtsp://operator:hunter2/letmein@camera/'}}",
        "{url: 'ftp://operator:hunter2@camera/'}",
        "{url: 'http://operator:hunter2@camera/', folder: /letmein}",
        "{url: 'http://operator:hunter2@camera/'",
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_without_its_passwords(tmp_path, camera_words):
    file = tmp_path / "plant.yaml"
    file.write_text(f"stations: {{S-1: {{decide_by_s: 2, opcua: true, cameras: [{camera_words}]}}}}")
    with pytest.raises(InvalidInput, match=r"plant\.yaml") as refused:
        read_config(file)
    told = f"{refused.value.message} {refused.value.__cause__}"
    assert not [secret for secret in SECRETS if secret in told]


def test_a_camera_that_drips_bytes_is_given_up_when_its_time_is_over(camera):
    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "300")
        handler.end_headers()
        for _ in range(300):  # each of them long before a single read is late
            time.sleep(0.02)
            handler.wfile.write(b"x")

    camera.answer, source = drip, camera.source
    with pytest.raises(NoPicture, match=r"had not answered to the end within 1\.00 s"):
        source.picture(1.0)
    camera.answer = lambda handler: gives(handler, b"a picture")
    assert source.picture(30).data == b"a picture", "the next part has its own"
    source.close()


def test_an_answer_without_an_end_is_cut_off(camera, monkeypatch):
    monkeypatch.setattr(url, "MAX_BYTES", 1000)

    def pour(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b"x" * 100)

    camera.answer, source = pour, camera.source
    with pytest.raises(NoPicture, match="longer than 1000 bytes"):
        source.picture(30)
    source.close()


def test_a_picture_that_nobody_waits_for_any_more_is_not_waited_for(camera):
    asked, over = threading.Event(), threading.Event()
    camera.answer, source = lambda handler: (asked.set(), over.wait(60)), camera.source
    with pytest.raises(NoPicture, match="nobody waits"):
        source.picture(30, lambda: not asked.is_set())
    over.set()
    source.close()


def shoot(source, wanted):
    return source.picture(30, wanted)


@pytest.fixture
def views(camera):
    """Two cameras, and both as the views of a station."""
    other = Camera()
    sources = [source_of(CameraConfig(view=view, url=one.url)) for view, one in (("top", camera), ("left", other))]
    both = Views(sources)
    yield camera, other, both
    both.close()
    for source in sources:
        source.close()
    other.server.shutdown()
    other.server.server_close()


def test_the_cameras_of_a_station_are_asked_at_the_same_time(views):
    camera, other, both = views
    met = threading.Barrier(2)

    def answer(handler):
        met.wait(30)  # nobody gives a picture before both were asked
        gives(handler, b"of one moment")

    camera.answer = other.answer = answer
    assert [picture.view for picture in both.pictures(shoot)] == ["top", "left"]
    assert not met.broken


def test_a_camera_that_fails_is_named_and_ends_the_waiting_for_the_others(views):
    camera, other, both = views
    asked, over = threading.Event(), threading.Event()
    camera.answer = lambda handler: (asked.set(), over.wait(60))
    other.answer = lambda handler: asked.wait(30) and handler.send_error(503)
    with pytest.raises(NoPicture, match="it answered 503"):
        both.pictures(shoot)
    assert not over.is_set(), "the other one has not answered yet"
    over.set()
