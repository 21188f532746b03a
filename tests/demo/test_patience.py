"""The line waits for a server that restarts, and says clearly what a server refuses."""

import argparse
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from qc.errors import Conflict, InvalidInput, NotFound, Unavailable
from server.demo.cli import register
from server.demo.client import FAILURES, Fault, Server, Stopped


class Scripted(BaseHTTPRequestHandler):
    """Answers one status after the other; the last for ever. It stands for a server in trouble, not for ours."""

    script: list[int]
    asked: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(body.decode(errors="replace"))
        status = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        content = (
            {"verdict": "ok"} if status < 400 else {"error": {"code": "x", "message": "in trouble", "details": {}}}
        )
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words: object) -> None:
        """Quiet."""


@pytest.fixture
def answering():
    servers = []

    def start(*script: int) -> tuple[Server, list[str], list[str], threading.Event]:
        handler = type("Handler", (Scripted,), {"script": list(script), "asked": []})
        http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        said: list[str] = []
        stop = threading.Event()
        client = Server(f"http://127.0.0.1:{http.server_port}", "k", stop=stop, say=said.append)
        servers.append((http, client))
        return client, handler.asked, said, stop

    yield start
    for http, client in servers:
        client.close()
        http.shutdown()
        http.server_close()


def send(client: Server) -> dict:
    return client.inspect({"top": b"1"}, part="P1", station="s", product="p", trigger_id="t-1")


def test_a_server_in_trouble_is_asked_again_with_the_same_trigger(answering):
    client, asked, said, _ = answering(503, 500, 429, 201)
    assert send(client)["verdict"] == "ok"
    assert len(asked) == 4
    assert all("t-1" in body for body in asked)
    assert said == ["waiting for the server (it answers 503: in trouble)", "the server answers again"]


def test_a_server_that_is_not_there_is_waited_for_until_the_line_is_stopped():
    stop = threading.Event()
    said = []
    client = Server("http://127.0.0.1:9", "k", stop=stop, say=said.append)
    threading.Timer(0.8, stop.set).start()
    with pytest.raises(Stopped):
        send(client)
    client.close()
    assert len(said) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(400, InvalidInput), (422, InvalidInput), (404, NotFound), (409, Conflict), (401, Unavailable)]
)
def test_a_refusal_is_not_repeated(answering, status, kind):
    client, asked, _, _ = answering(status)
    with pytest.raises(kind, match="in trouble"):
        send(client)
    assert len(asked) == 1


def test_a_fault_of_the_server_is_not_waited_for_for_ever(answering, monkeypatch):
    monkeypatch.setattr("server.demo.client.FIRST_WAIT_S", 0.01)
    client, asked, _, _ = answering(500)
    with pytest.raises(Fault, match="in trouble"):
        send(client)
    assert len(asked) == FAILURES


def test_the_command_needs_a_key_and_sensible_numbers(monkeypatch, tmp_path):
    monkeypatch.delenv("QC_DEMO_KEY", raising=False)
    monkeypatch.setenv("QC_HOME", str(tmp_path))
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    args = parser.parse_args(["demo", "--url", "http://127.0.0.1:9"])
    with pytest.raises(InvalidInput, match="key"):
        args.run(args)
    for wrong in (["--rate", "0"], ["--parts", "0"], ["--seed", "-1"], ["--rate", "x"]):
        with pytest.raises(SystemExit) as stop:
            parser.parse_args(["demo", "--key", "k", *wrong])
        assert stop.value.code == 2
