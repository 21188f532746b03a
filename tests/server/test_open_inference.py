"""Other programs ask our models by the Open Inference Protocol: NVIDIA's own client, and bodies written by hand."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import uvicorn

from segmentation.model import load_segmenter
from server.access import Role
from server.models_in_use import STARTER
from server.open_inference import spare
from server.open_inference.tensors import HEADER_LENGTH

LENGTH = HEADER_LENGTH.lower()


@contextmanager
def listening(line) -> Iterator[str]:
    """The line's server at a real port; `host:port`."""
    server = uvicorn.Server(uvicorn.Config(line.app, port=0, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def line(run_line, tmp_path_factory):
    """One server for all that changes nothing in it."""
    with run_line(tmp_path_factory.mktemp("open") / "home") as line:
        yield line


@pytest.fixture
def triton(line):
    client = pytest.importorskip("tritonclient.http", reason="pip install .[dev] has the client")
    with listening(line) as address, client.InferenceServerClient(address) as asked:
        yield client, asked


def sheet(*, dark: int = 12, height: int = 90, width: int = 120) -> np.ndarray:
    picture = np.full((height, width, 3), 180, np.uint8)
    picture[10 : 10 + dark, 20 : 20 + dark] = 20
    return picture


def put(picture: np.ndarray, *, said: dict | None = None, **options) -> tuple[bytes, dict[str, str]]:
    """A request with binary data: body and headers. `said` overrides what it says of the picture."""
    told = {"name": "picture", "shape": list(picture.shape), "datatype": "UINT8"}
    told |= {"parameters": {"binary_data_size": picture.nbytes}, **(said or {})}
    text = json.dumps({"inputs": [told], **options}).encode()
    return text + picture.tobytes(), {HEADER_LENGTH: str(len(text))}


def ask(line, body: bytes, headers: dict[str, str], *, model: str = "champion", role: Role = Role.MACHINE):
    return line.client.post(f"/v2/models/{model}/infer", content=body, headers={**line.head(role), **headers})


def in_json(line, told: dict, **options):
    return ask(line, json.dumps({"inputs": [told], **options}).encode(), {})


def test_nvidias_client_finds_the_models_and_gets_their_answers(line, triton):
    module, asked = triton
    key = line.head()
    assert asked.is_server_live()
    assert asked.is_server_ready()
    assert asked.get_server_metadata(headers=key)["extensions"] == ["binary_tensor_data"]
    assert asked.is_model_ready("champion", headers=key)
    assert asked.is_model_ready("champion", "dark-spots", headers=key)
    assert not asked.is_model_ready("champion", "7", headers=key)
    index = asked.get_model_repository_index(headers=key)
    assert [(one["name"], one["version"], one["state"]) for one in index] == [
        ("champion", "dark-spots", "READY"),
        ("default", "dark-spots", "READY"),
    ]
    about = asked.get_model_metadata("champion", headers=key)
    assert about["inputs"] == [{"name": "picture", "datatype": "UINT8", "shape": [1, -1, -1, 3]}]

    picture = sheet()
    seen = line.context.champion.serving().segment(picture)
    for shape in (picture.shape, (1, *picture.shape)):
        for binary in (True, False):
            given = module.InferInput("picture", shape, "UINT8")
            given.set_data_from_numpy(picture.reshape(shape), binary_data=binary)
            wanted = [
                module.InferRequestedOutput(o["name"], binary_data=binary != (o["name"] == "score"))
                for o in about["outputs"]
            ]
            told = asked.infer("champion", [given], outputs=wanted, request_id="P-7", headers=line.head())
            assert told.get_response()["id"] == "P-7"
            assert told.get_response()["model_version"] == "dark-spots"
            assert np.array_equal(told.as_numpy("log_odds"), seen.log_odds.astype(np.float32).reshape(shape[:-1]))
            assert np.array_equal(told.as_numpy("class_id"), seen.class_id.reshape(shape[:-1]))
            verdict = told.as_numpy("verdict")[0]
            assert (verdict.decode() if isinstance(verdict, bytes) else verdict) == "ng"
            assert told.as_numpy("score")[0] == pytest.approx(0.9933, abs=1e-3)


def test_nvidias_client_is_told_in_the_protocols_words_what_is_wrong(line, triton):
    module, asked = triton
    given = module.InferInput("picture", [2, 2], "FP32")
    given.set_data_from_numpy(np.zeros((2, 2), np.float32))
    with pytest.raises(module.InferenceServerException, match="picture must be UINT8, not FP32"):
        asked.infer("champion", [given], headers=line.head())
    with pytest.raises(module.InferenceServerException, match="there is no model 'other'"):
        asked.infer("other", [given], headers=line.head())
    with pytest.raises(module.InferenceServerException, match="log in"):
        asked.infer("champion", [given])
    with pytest.raises(module.InferenceServerException, match="needs admin or engineer or machine"):
        asked.infer("champion", [given], headers=line.head(Role.OPERATOR))


def test_the_bytes_of_an_answer_lie_as_the_standard_says(line):
    picture = sheet(height=3, width=2, dark=0)
    answer = ask(line, *put(picture, parameters={"binary_data_output": True}, id="x"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[LENGTH])
    said = json.loads(answer.content[:length])
    assert said["model_name"] == "champion"
    assert [(o["name"], o["datatype"], o["shape"], o["parameters"]["binary_data_size"]) for o in said["outputs"]] == [
        ("log_odds", "FP32", [3, 2], 24),
        ("class_id", "UINT8", [3, 2], 6),
        ("verdict", "BYTES", [1], 6),
        ("score", "FP32", [1], 4),
    ]
    rest = answer.content[length:]
    assert np.frombuffer(rest[:24], "<f4").tolist() == [-9.0] * 6
    assert rest[24:36] == b"\1" * 6 + b"\2\0\0\0ok"
    assert len(rest) == 40


def test_json_may_nest_its_numbers_or_not_and_asks_for_single_outputs(line):
    picture = sheet(height=40, width=40)
    for data in (picture.tolist(), picture.ravel().tolist()):
        told = {"name": "picture", "shape": [40, 40, 3], "datatype": "UINT8", "data": data}
        answer = in_json(line, told, outputs=[{"name": "verdict"}])
        assert answer.status_code == 200, answer.text
        assert LENGTH not in answer.headers
        assert answer.json() == {
            "model_name": "champion",
            "model_version": "dark-spots",
            "outputs": [{"name": "verdict", "datatype": "BYTES", "shape": [1], "data": ["ng"]}],
        }


def test_a_product_is_judged_by_its_own_rules(line):
    file = line.context.policies.folder / "bar.yaml"
    file.write_text("product: bar\ndefault: {ng: never, review: never}\n")
    body, headers = put(sheet(), outputs=[{"name": "verdict"}])
    assert ask(line, body, headers, model="bar").json()["outputs"][0]["data"] == ["ok"]
    assert ask(line, body, headers, model="default").json()["outputs"][0]["data"] == ["ng"]
    file.unlink()


GOOD = sheet(height=4, width=4, dark=0)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"shape": [4, 4]}, r"the shape of picture must be \[1, -1, -1, 3\]"),
        ({"shape": [2, 4, 4, 3]}, "the shape of picture must be"),
        ({"shape": [0, 4, 3]}, "the shape of picture must be"),
        ({"shape": [-4, -4, 3]}, "the shape of picture must be"),
        ({"shape": [True, 16, 3]}, "has 48 bytes|the shape of picture must be"),
        ({"shape": None}, "the shape of picture must be"),
        ({"shape": [8, 4, 3]}, "has 96 bytes, but binary_data_size says 48"),
        ({"shape": [10**12, 10**12, 3]}, "bytes, but binary_data_size says 48"),
        ({"shape": [10**4000, 10**4000, 3]}, "the shape of picture must be"),
        ({"parameters": {"binary_data_size": 47}}, "has 48 bytes, but binary_data_size says 47"),
        ({"parameters": {"binary_data_size": 10**4000}}, "has 48 bytes, but binary_data_size says 1000"),
        ({"datatype": ["UINT8"]}, "there is no datatype"),
        ({"datatype": {"UINT8": 1}}, "there is no datatype"),
        ({"parameters": {}}, "48 bytes of binary data belong to no input"),
        ({"datatype": "UINT9"}, "there is no datatype 'UINT9'"),
        ({"datatype": "FP32"}, "picture must be UINT8, not FP32"),
        ({"name": "image"}, "the input is picture, not 'image'"),
        ({"data": [1]}, "both data and a binary_data_size"),
        ({"parameters": {"shared_memory_region": "r"}}, "shared_memory_region, which is not offered"),
    ],
)
def test_what_is_wrong_with_a_picture_is_said_in_a_sentence(line, said, why):
    answer = ask(line, *put(GOOD, said=said))
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert re.search(why, answer.json()["error"]), answer.json()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("[" + "NaN," * 47 + "1]", "holds NaN"),
        ("[" + "1.5," * 47 + "1]", "whole numbers from 0 to 255"),
        ("[" + "256," * 47 + "1]", "whole numbers from 0 to 255"),
        ("[" + "-1," * 47 + "1]", "whole numbers from 0 to 255"),
        ("[" + '"a",' * 47 + '"b"]', "whole numbers from 0 to 255"),
        ("[1, 2]", "has 2 values"),
        ("[[1, 2], [3]]", "must be one list"),
        ("[" * 5000, "is no JSON"),
        ("5", "has 1 values"),
    ],
)
def test_numbers_that_are_no_picture_are_refused(line, data, why):
    body = '{"inputs": [{"name": "picture", "shape": [4, 4, 3], "datatype": "UINT8", "data": ' + data + "}]}"
    answer = ask(line, body.encode(), {})
    assert (answer.status_code, why in answer.json()["error"]) == (400, True), answer.json()


def test_a_body_that_does_not_hold_together_is_refused(line):
    body, headers = put(GOOD)
    for sent, head, why in (
        (body, {}, "is no JSON"),
        (body, {HEADER_LENGTH: "x"}, "must say how many"),
        (body, {HEADER_LENGTH: "0"}, "must say how many"),
        (body, {HEADER_LENGTH: "9" * 5000}, "must say how many"),
        (body, {HEADER_LENGTH: str(len(body) + 1)}, "must say how many"),
        (body[:-1], headers, "47 bytes of binary data were sent"),
        (body + b"1", headers, "49 bytes of binary data were sent"),
        (b"[]", {}, "must be a JSON object"),
        (b"{}", {}, "inputs must be a list with one tensor"),
        (b"", {}, "is no JSON"),
        (body, {**headers, "Content-Encoding": "gzip"}, "Content-Encoding gzip"),
        (*put(GOOD, outputs=[{"name": "mask"}]), "there is no output 'mask'"),
        (*put(GOOD, outputs=[{"name": "score"}, {"name": "score"}]), "asked for twice"),
        (*put(GOOD, parameters={"binary_data_output": 1}), "must be true or false"),
    ):
        answer = ask(line, sent, head)
        assert answer.status_code == 400, (why, answer.text)
        assert why in answer.json()["error"], answer.json()


def test_too_much_is_refused_before_it_is_read(tmp_path, run_line):
    with run_line(tmp_path / "home", max_upload_mb=2, max_request_mb=1) as line:
        large = np.zeros((900, 900, 3), np.uint8)
        answer = ask(line, *put(large))
        assert (answer.status_code, "at most 2000000" in answer.json()["error"]) == (400, True)
        text = b'{"inputs": [' + b" " * 1_000_001 + b"]}"
        answer = ask(line, text, {})
        assert (answer.status_code, "send binary data" in answer.json()["error"]) == (400, True)


def test_an_unknown_call_is_not_there_and_a_wrong_method_is_said(line):
    assert line.client.get("/v2/models", headers=line.head()).json() == {"error": "there is nothing at /v2/models"}
    assert line.client.get("/v2/models/champion/infer", headers=line.head()).status_code == 404
    assert line.client.put("/v2/models/champion/infer", headers=line.head()).json() == {"error": "Method Not Allowed"}
    assert line.client.get("/api/v1/v2", headers=line.head()).status_code == 404


def test_it_can_be_switched_off(tmp_path, run_line):
    with run_line(tmp_path / "home", open_inference=False) as line:
        assert line.client.get("/v2/health/live").status_code == 404
        assert "open-inference" not in line.context.parts


def test_the_line_goes_first(line, monkeypatch):
    own = line.context.parts["open-inference"]
    monkeypatch.setattr(own, "_patience_s", 0.1)
    before, segmenter, started, go = own.state(), line.context.champion.serving(), threading.Event(), threading.Event()
    segment = segmenter.segment

    def slow(pixels):
        started.set()
        go.wait(30)
        return segment(pixels)

    monkeypatch.setattr(segmenter, "segment", slow)
    part = threading.Thread(target=lambda: line.send(line.picture(dark=5)))
    part.start()
    assert started.wait(30)
    answer = ask(line, *put(GOOD))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "the line needs this machine" in answer.json()["error"]
    go.set()
    part.join()
    monkeypatch.undo()
    assert ask(line, *put(GOOD)).status_code == 200
    now = own.state()
    assert (now["waiting"], now["answered"] - before["answered"], now["shed"] - before["shed"]) == (0, 1, 1)


def test_few_wait_and_the_others_are_told_to_come_back(line):
    own = line.context.parts["open-inference"]
    places = [own.place() for _ in range(spare.MOST_WAITING)]
    for place in places:
        place.__enter__()
    answer = ask(line, *put(GOOD))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    for place in places:
        place.__exit__(None, None, None)
    assert ask(line, *put(GOOD)).status_code == 200


def test_the_bare_network_answers_as_its_export_does_and_frames_as_the_model_does(tmp_path, run_line):
    model = load_segmenter(Path(STARTER), threads=1)
    with run_line(tmp_path / "home", model) as line:
        frame = np.random.default_rng(1).integers(0, 255, (100, 130), np.uint8)
        frame = cv2.cvtColor(cv2.GaussianBlur(frame, (0, 0), 2), cv2.COLOR_GRAY2RGB)
        answer = ask(line, *put(frame, outputs=[{"name": "log_odds", "parameters": {"binary_data": True}}]))
        assert answer.status_code == 200, answer.text
        planes = np.frombuffer(answer.content[int(answer.headers[LENGTH]) :], "<f4").reshape(100, 130)
        assert np.array_equal(planes, model.segment(frame).log_odds.astype(np.float32))

        window = np.ascontiguousarray(np.resize(frame, (1, 128, 3200, 3)))  # a line camera's frames are strips
        body = put(window, parameters={"binary_data_output": True})
        answer = ask(line, *body, model="champion-network")
        assert answer.status_code == 200, answer.text
        rest = answer.content[int(answer.headers[LENGTH]) :]
        odds, place, cells = model.look.see(window[0])
        assert rest == odds.astype("<f4").tobytes() + place.tobytes() + cells.astype("<f4").tobytes()
        refused = ask(line, *put(frame), model="champion-network")
        assert "a window's sides are multiples of" in refused.json()["error"]
