"""Models in processes of their own: the same verdict, no copy of the picture, and no part lost when one is killed."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from sqlmodel import select

from qc.frame import Frame
from qc.records import Inspection, Progress
from qc.verdict import Policy
from server import audit
from server.decoding.pool import Decoders
from server.judging import judge
from server.model_workers.pool import Workers
from server.models_in_use import STARTER, loader
from server.settings import Settings
from server.shared_memory import array_of, copied, file_of

LONG_S = 120
"""Long enough for any machine; nothing here waits for so long where all is well."""
POLICY = Policy("sheet")


def wait_for(true) -> None:
    until = time.monotonic() + LONG_S
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def scratched(*, mark: int = 0) -> np.ndarray:
    """A sheet with a dark scratch, of which the starter model says something."""
    noise = np.random.default_rng(7 + mark).normal(170, 4, (192, 256)).clip(0, 255).astype(np.uint8)
    cv2.line(noise, (40, 40), (200, 150), 40, 3)
    return noise


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"), torch_threads=1, device="cpu", label_studio=False)


@pytest.fixture(scope="module")
def starter(settings):
    """The model that comes with the product, in this process."""
    return loader(settings)(STARTER)


@pytest.fixture(scope="module")
def workers(settings, starter):
    """Two processes with the same model."""
    found = Workers(settings, 2)
    found.prepare(starter, STARTER)
    wait_for(lambda: len(found.pids) == 2)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def served(run_line, tmp_path_factory, starter, workers):
    """A server whose model those processes compute."""
    with run_line(tmp_path_factory.mktemp("server"), starter, camera_checks=False) as line:
        line.context.workers = workers
        yield line


def with_a_part(workers: Workers) -> int:
    """The one process that has a part, once there is one."""
    wait_for(lambda: len(workers.at_work) == 1)
    (found,) = workers.at_work
    return found


def test_a_process_says_what_the_server_would_say_with_every_pixel_of_its_defects(workers, starter):
    frames = [Frame(scratched(), "top", "0" * 64), Frame(scratched(mark=1), "left", "1" * 64)]
    here = judge(frames, starter, POLICY, station="s")
    there = workers.judge(frames, starter, POLICY, station="s")
    assert there is not None
    assert any(found.defects for found in here.findings), "the starter model sees the scratch"
    assert [replace(f, instances=None, features=None) for f in there.findings] == [
        replace(f, instances=None, features=None) for f in here.findings
    ]
    for ours, theirs in zip(here.findings, there.findings, strict=True):
        if ours.defects:
            assert np.array_equal(ours.instances, theirs.instances)
        assert (ours.features is None) == (theirs.features is None)
    assert (there.model, there.score, there.runtime) == (here.model, here.score, here.runtime)


def test_a_decoded_picture_lies_once_and_is_handed_on_as_it_lies(workers, starter):
    decoders = Decoders(1, keep_files=True)
    try:
        packed = bytes(cv2.imencode(".png", scratched(mark=2))[1])
        pixels = decoders.decode(packed)
        before = workers.state()["copies"]
        assert workers.judge([Frame(pixels, "", "2" * 64)], starter, POLICY, station="s") is not None
        assert workers.state()["copies"] == before
        assert file_of(pixels) is not None
        assert file_of(pixels[1:]) is None, "not the whole picture"
        held = file_of(pixels)
        del pixels
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(held)
    finally:
        decoders.stop()


def test_an_array_in_a_file_of_memory_lives_on_without_its_descriptor():
    fd = copied(np.arange(6, dtype=np.uint16).reshape(2, 3))
    found = array_of(fd, (2, 3), "uint16")
    with pytest.raises(OSError, match="12 bytes came"):
        array_of(fd, (2, 4), "uint16")
    os.close(fd)
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_process_that_is_killed_with_a_part_is_replaced_and_the_part_has_one_verdict_from_the_next_one(
    served, workers
):
    wait_for(lambda: len(workers.pids) == 2)
    before = workers.state()["died"]
    for pid in workers.pids:
        os.kill(pid, signal.SIGSTOP)  # so that it is killed in the middle, however fast it is
    picture = bytes(cv2.imencode(".png", scratched(mark=3))[1])
    with ThreadPoolExecutor(1) as sender:
        sent = sender.submit(served.send, picture, part="P-1", trigger_id="T-1")
        victim = with_a_part(workers)
        for pid in workers.pids:
            if pid != victim:
                os.kill(pid, signal.SIGCONT)
        os.kill(victim, signal.SIGKILL)
        answer = sent.result(LONG_S)
    assert answer.status_code == 201
    told = answer.json()
    assert (told["progress"], told["problem"]) == ("done", None)
    assert workers.state()["died"] == before + 1
    with served.context.database.read() as session:
        rows = session.exec(select(Inspection).where(Inspection.part == "P-1")).all()
        entries = session.exec(select(audit.AuditEntry).where(audit.AuditEntry.subject == told["id"])).all()
    assert [row.progress for row in rows] == [Progress.DONE]
    assert [entry.kind for entry in entries] == ["verdict"]
    wait_for(lambda: len(workers.pids) == 2 and victim not in workers.pids)


def test_a_part_of_which_two_processes_die_goes_to_a_person_and_is_never_ok(served, workers):
    wait_for(lambda: len(workers.pids) == 2)
    picture = bytes(cv2.imencode(".png", scratched(mark=4))[1])
    for pid in workers.pids:
        os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as sender:
        sent = sender.submit(served.send, picture, part="P-2")
        first = with_a_part(workers)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: workers.at_work and first not in workers.at_work)
        os.kill(with_a_part(workers), signal.SIGKILL)
        told = sent.result(LONG_S).json()
    assert told["verdict"] == "review"
    assert "the processes that looked at this part died" in told["problem"]


def test_another_model_takes_over_between_two_parts_and_the_old_one_s_processes_end(workers, starter):
    before = set(workers.pids)
    workers.prepare(starter, STARTER)
    assert not before & set(workers.pids)
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in before))
    assert workers.judge([Frame(scratched(), "", "0" * 64)], starter, POLICY, station="s") is not None
    other = replace(starter, model_id="sha256:another")
    assert workers.judge([Frame(scratched(), "", "0" * 64)], other, POLICY, station="s") is None, (
        "the server computes it"
    )
