"""What comes over the wire is a stranger's word: of the right shape, in time, or no answer at all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from qc.errors import InvalidInput
from server.open_inference.tensors import HEADER_LENGTH
from server.remote_engine.wire import NoAnswer, Wire

WINDOW = np.zeros((4, 6, 3), np.uint8)
ODDS = np.arange(24, dtype="<f4").reshape(4, 6)
PLACE = np.zeros((4, 6), np.uint8)
OUTPUTS = ("log_odds", "class_place")


class Stranger:
    """A server that answers whatever a test wants: `stranger.reply = (status, headers, pieces)`."""

    def __init__(self) -> None:
        self.reply: Callable[[], tuple[int, dict[str, str], list[bytes]]] = lambda: (200, {}, [b"{}"])
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.pause_s = 0.0
        self.over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status, headers, pieces = outer.reply()
                self.send_response(status)
                for name, value in ({"Content-Length": str(sum(map(len, pieces)))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in pieces:
                    try:
                        self.wfile.write(piece)
                        self.wfile.flush()
                    except OSError:
                        return
                    if outer.over.wait(outer.pause_s):
                        return

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                """Not of interest."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    server = Stranger()
    yield server
    server.stop()


@pytest.fixture
def wire(stranger) -> Iterator[Wire]:
    wire = Wire(stranger.url, "a model/of theirs", key="qc_secret")
    yield wire
    wire.close()


def binary(*tensors: tuple[str, str, np.ndarray], version: str = "3") -> Callable[[], tuple]:
    """An answer with binary tensors."""
    told = [
        {"name": n, "datatype": d, "shape": list(v.shape), "parameters": {"binary_data_size": v.nbytes}}
        for n, d, v in tensors
    ]
    text = json.dumps({"model_name": "m", "model_version": version, "outputs": told}).encode()
    pieces = [text, *(v.tobytes() for _, _, v in tensors)]
    return lambda: (200, {HEADER_LENGTH: str(len(text))}, pieces)


def in_json(*tensors: tuple[str, str, np.ndarray]) -> Callable[[], tuple]:
    told = [{"name": n, "datatype": d, "shape": list(v.shape), "data": v.ravel().tolist()} for n, d, v in tensors]
    return lambda: (200, {}, [json.dumps({"outputs": told}).encode()])


def ask(wire: Wire, *, within_s: float = 30.0, outputs=OUTPUTS):
    return wire.ask(WINDOW, outputs, classes=2, within_s=within_s)


def test_a_window_goes_out_and_planes_come_back_as_the_standard_says(wire, stranger):
    stranger.reply = binary(("class_place", "UINT8", PLACE), ("log_odds", "FP32", ODDS))
    said = ask(wire)
    assert said.version == "3"
    assert np.array_equal(said.planes["log_odds"], ODDS)
    assert np.array_equal(said.planes["class_place"], PLACE)
    path, head, body = stranger.asked[0]
    assert path == "/v2/models/a%20model%2Fof%20theirs/infer"
    assert head["authorization"] == "Bearer qc_secret"
    length = int(head[HEADER_LENGTH.lower()])
    assert json.loads(body[:length])["inputs"] == [
        {"name": "picture", "shape": [1, 4, 6, 3], "datatype": "UINT8", "parameters": {"binary_data_size": 72}}
    ]
    assert body[length:] == WINDOW.tobytes()


@pytest.mark.parametrize(
    ("server", "bytes_"),
    [({"extensions": []}, False), ({"extensions": ["binary_tensor_data"]}, True), ({"name": "theirs"}, True)],
)
def test_a_server_that_says_it_takes_no_bytes_is_asked_in_json(wire, stranger, server, bytes_):
    def reply() -> tuple:
        path = stranger.asked[-1][0]
        if path.endswith("/infer"):
            return in_json(("log_odds", "FP32", ODDS), ("class_place", "UINT8", PLACE))()
        told = server if path == "/v2" else {"outputs": []}
        return 200, {}, [json.dumps(told).encode()]

    stranger.reply = reply
    wire.about(within_s=30)
    assert np.array_equal(ask(wire).planes["log_odds"], ODDS)
    _, head, body = stranger.asked[-1]
    assert (HEADER_LENGTH.lower() in head) == bytes_
    if not bytes_:
        given = {"name": "picture", "shape": [1, 4, 6, 3], "datatype": "UINT8", "data": [0] * 72}
        assert json.loads(body) == {"inputs": [given], "outputs": [{"name": name} for name in OUTPUTS]}


def test_json_half_precision_and_a_leading_one_are_understood(wire, stranger):
    stranger.reply = in_json(("log_odds", "FP32", ODDS[None]), ("class_place", "UINT8", PLACE + 1))
    said = ask(wire)
    assert np.array_equal(said.planes["log_odds"], ODDS)
    assert said.planes["class_place"].tolist() == (PLACE + 1).tolist()
    stranger.reply = binary(("log_odds", "FP16", ODDS.astype("<f2")), ("class_place", "UINT8", PLACE[None]))
    assert np.array_equal(ask(wire).planes["log_odds"], ODDS)


def test_cells_come_on_their_own_grid(wire, stranger):
    cells = np.ones((1, 7, 1, 1), "<f4")
    stranger.reply = binary(("log_odds", "FP32", ODDS), ("class_place", "UINT8", PLACE), ("cells", "FP32", cells))
    assert ask(wire, outputs=(*OUTPUTS, "cells")).planes["cells"].shape == (7, 1, 1)


INFINITE = ODDS.copy()
INFINITE[0, 0] = np.inf


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (binary(("log_odds", "FP32", ODDS)), "has no class_place"),
        (binary(("log_odds", "FP32", ODDS.T.copy()), ("class_place", "UINT8", PLACE)), r"shape \[6, 4\], not \[4, 6\]"),
        (binary(("log_odds", "FP64", ODDS.astype("<f8")), ("class_place", "UINT8", PLACE)), "is FP64, not FP32"),
        (binary(("log_odds", "FP32", INFINITE), ("class_place", "UINT8", PLACE)), "not finite"),
        (binary(("log_odds", "FP32", ODDS), ("class_place", "UINT8", PLACE + 2)), "class 2; there are 2"),
        (in_json(("log_odds", "FP32", ODDS), ("class_place", "UINT8", PLACE.astype(int) + 256)), "goes from 256"),
        (lambda: (200, {}, [b"[]"]), "makes no sense"),
        (lambda: (200, {}, [b'{"outputs": 3}']), "makes no sense"),
        (lambda: (200, {HEADER_LENGTH: "x"}, [b"{}"]), "makes no sense"),
        (lambda: (200, {"Content-Encoding": "gzip"}, [b"{}"]), "compressed"),
        (lambda: (200, {}, [b" " * 100_000]), "longer than"),
    ],
)
def test_an_answer_that_is_none_is_told_in_a_sentence(wire, stranger, reply, why):
    stranger.reply = reply
    with pytest.raises(NoAnswer, match=why) as told:
        ask(wire)
    assert told.value.kind == "wrong"


@pytest.mark.parametrize(
    ("status", "kind"), [(503, "busy"), (429, "busy"), (500, "gone"), (404, "gone"), (302, "gone")]
)
def test_a_refusal_is_no_answer_and_nobody_is_followed_elsewhere(wire, stranger, status, kind):
    stranger.reply = lambda: (status, {"Location": "http://127.0.0.1:1/"}, [b"not now"])
    with pytest.raises(NoAnswer, match="not now") as told:
        ask(wire)
    assert told.value.kind == kind


def test_a_server_that_drips_bytes_gains_no_time_by_it(wire, stranger):
    stranger.pause_s = 0.05
    stranger.reply = lambda: (200, {"Content-Length": "1000"}, [b" "] * 1000)
    began = time.monotonic()
    with pytest.raises(NoAnswer, match=r"after 0.3 s") as told:
        ask(wire, within_s=0.3)
    assert told.value.kind == "late"
    assert time.monotonic() - began < 25  # all of it would have taken fifty
    with pytest.raises(NoAnswer, match="no time was left"):
        ask(wire, within_s=0.0)


def test_nobody_there_is_gone():
    wire = Wire("http://127.0.0.1:9", "m")
    with pytest.raises(NoAnswer, match="cannot be reached") as told:
        ask(wire)
    assert told.value.kind == "gone"
    wire.close()


def test_metadata_that_make_no_sense_are_no_answer(wire, stranger):
    for body in (b"[]", b"{", b'{"outputs": [1]}', b'{"outputs": [{"name": "x"}], "versions": 7}'):
        stranger.reply = lambda body=body: (200, {}, [body])
        with pytest.raises(NoAnswer, match="make no sense"):
            wire.about(within_s=30)
    stranger.reply = lambda: (200, {}, [b'{"outputs": [{"name": "log_odds"}], "versions": ["1"], "platform": "p"}'])
    assert wire.about(within_s=30).version == "1"


@pytest.mark.parametrize("url", ["", "elsewhere", "ftp://elsewhere", "http://", "http://host:port", "http://a/?b"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(InvalidInput, match="write http://host:port"):
        Wire(url, "m")
