"""Pictures are unpacked in limited processes: what is hostile is refused there, and takes nobody along."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from qc import frame
from qc.errors import InvalidInput, Unavailable
from server.decoding import pool
from server.decoding.pool import Decoders

HERE = Path(__file__).parent
RNG = np.random.default_rng(7)
COLOUR = RNG.integers(0, 256, (90, 120, 3), np.uint8)


@contextmanager
def decoders(count: int = 1):
    some = Decoders(count)
    end = time.monotonic() + 60
    while some.state()["state"] == "starting":
        assert time.monotonic() < end, some.state()
        time.sleep(0.02)
    yield some
    some.stop()


@pytest.fixture(scope="module")
def one():
    with decoders() as some:
        yield some


def process(some: Decoders) -> int:
    (worker,) = some._alive
    return worker.process.pid


def encoded(ending: str, pixels: np.ndarray = COLOUR) -> bytes:
    return bytes(cv2.imencode(ending, pixels)[1])


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", **options)
    return file.getvalue()


HONEST = {
    "jpeg": encoded(".jpg"),
    "grey png": encoded(".png", COLOUR[..., 0]),
    "deep png": encoded(".png", COLOUR.astype(np.uint16) * 257),
    "bmp": encoded(".bmp"),
    "tiff": tiff(COLOUR.astype(np.uint16), compression="zlib"),
    "tiles": tiff(np.zeros((640, 480), np.uint8), tile=(32, 32), compression="zlib"),
}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, body: bytes, *more: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


SWELLS = zlib.compress(bytes(300_000_000), 1)
HOSTILE = {
    "a bomb in a text": png(8, 8, b"", chunk(b"zTXt", b"x\0\0" + SWELLS)),
    "more pixels than are read": png(100_000, 100_000, b""),
    "many pixels and no data": png(14_000, 14_000, zlib.compress(b"")),
    "a truncated JPEG": HONEST["jpeg"][:-200],
    "a truncated PNG": HONEST["deep png"][:-200],
    "a truncated TIFF": HONEST["tiff"][:-200],
    "a PDF with a picture in it": b"%PDF-1.7\n" + HONEST["jpeg"],
    "an archive with a picture in it": b"PK\x03\x04" + HONEST["grey png"],
    "a TIFF that says it is a JPEG": b"\xff\xd8\xff\xe0" + HONEST["tiff"] + b"\xff\xd9",
    "a GIF": b"GIF89a" + bytes(200),
    "nothing": b"",
}


@pytest.mark.parametrize("kind", HONEST)
def test_pixels_are_the_ones_that_the_decoder_gives_in_any_process(one, kind):
    pixels = one.decode(HONEST[kind])
    wanted = frame.decode(HONEST[kind])
    assert pixels.dtype == wanted.dtype
    assert np.array_equal(pixels, wanted)
    pixels[0, 0] = 1  # its own, to write on
    assert np.array_equal(one.decode(HONEST[kind]), wanted)


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_hostile_is_refused_in_the_same_words_and_the_process_lives_on(one, kind):
    before = process(one)
    with pytest.raises(InvalidInput) as here:
        frame.decode(HOSTILE[kind])
    with pytest.raises(InvalidInput) as there:
        one.decode(HOSTILE[kind])
    assert there.value.message == here.value.message
    assert process(one) == before
    assert np.array_equal(one.decode(HONEST["jpeg"]), frame.decode(HONEST["jpeg"]))


def test_a_png_that_swells_is_unpacked_no_further_than_its_pixels(one):
    assert not one.decode(png(64, 64, SWELLS)).any()


def test_a_name_that_does_not_fit_is_refused(one):
    with pytest.raises(InvalidInput, match="holds a JPEG"):
        one.decode(HONEST["jpeg"], name="picture.png")


def test_memory_is_bounded_by_the_size_in_the_header(one):
    """A TIFF whose samples are sixteen bytes wide, far beyond what any camera's pixels explain."""
    wide = tiff(np.zeros((1500, 2000, 3), np.complex128), compression="zlib")
    with pytest.raises(InvalidInput, match=r"memory|damaged"):
        one.decode(wide)
    peak = int(Path(f"/proc/{process(one)}/status").read_text().split("VmHWM:")[1].split()[0]) * 1000
    assert peak < 300_000_000
    assert one.decode(HONEST["bmp"]).shape == COLOUR.shape


def test_a_process_that_is_killed_costs_its_picture_a_second_attempt():
    with decoders() as some, ThreadPoolExecutor(1) as other:
        killed = process(some)
        os.kill(killed, signal.SIGSTOP)  # it has the picture and does not answer
        asked = other.submit(some.decode, HONEST["jpeg"])
        time.sleep(0.2)
        os.kill(killed, signal.SIGKILL)
        assert np.array_equal(asked.result(60), frame.decode(HONEST["jpeg"]))
        assert some.state() == {"state": "ok", "workers": 1, "died": 1}
        assert process(some) != killed


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGABRT, signal.SIGXCPU])
def test_a_picture_that_its_process_dies_of_is_refused_and_not_tried_again(how):
    with decoders() as some:
        dying = process(some)
        os.kill(dying, signal.SIGSTOP)  # it has the picture and does not answer
        with ThreadPoolExecutor(1) as other:
            asked = other.submit(some.decode, HONEST["jpeg"])
            time.sleep(0.2)
            os.kill(dying, how)
            os.kill(dying, signal.SIGCONT)
            with pytest.raises(InvalidInput, match=how.name):
                asked.result(30)
        assert np.array_equal(some.decode(HONEST["jpeg"]), frame.decode(HONEST["jpeg"]))
        assert some.state()["died"] == 1


class Frozen(pool.Worker):
    """One that never answers, however slowly the test itself gets on."""

    def __init__(self) -> None:
        super().__init__()
        os.kill(self.process.pid, signal.SIGSTOP)


def test_two_killed_in_a_row_are_the_machines_fault_and_the_sender_may_repeat(monkeypatch):
    monkeypatch.setattr(pool, "Worker", Frozen)
    with decoders() as some, ThreadPoolExecutor(1) as other:
        asked = other.submit(some.decode, HONEST["jpeg"])
        seen = set()
        while not asked.done():
            for worker in list(some._alive):
                if worker.process.pid not in seen:
                    seen.add(worker.process.pid)
                    os.kill(worker.process.pid, signal.SIGKILL)
            time.sleep(0.001)
        with pytest.raises(Unavailable, match="died twice"):
            asked.result()


def test_processor_time_is_limited():
    """A process that never ends is ended by the kernel."""
    code = (
        "import resource; from server.decoding import worker; worker.CPU_S = 0.0\n"
        "limits = worker.Limits(); limits.set(0)\n"
        "while True: pass"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=100, cwd=HERE.parents[2])
    assert -done.returncode == signal.SIGXCPU


def test_a_file_in_memory_may_have_no_more_bytes_than_its_pixels():
    """What is written there counts to no other limit of memory."""
    code = (
        "import numpy as np; from server.decoding import worker\n"
        "limits = worker.Limits(); limits.set(1000, pixels=50 * 60)\n"
        "worker.in_memory(np.zeros((50, 60, 3), np.uint16))\n"
        "try: worker.in_memory(np.zeros((51, 60, 3), np.uint16))\n"
        "except OSError as error: print(error.strerror)"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, cwd=HERE.parents[2], stdout=subprocess.PIPE)
    assert done.stdout == b"File too large\n"


def test_a_warm_process_opens_no_file_starts_no_program_and_connects_to_nobody(tmp_path):
    """Each is tried within the filter; `open` of a file that may be read, too."""
    code = f"""
import os, socket, subprocess, sys, threading
from server.decoding import syscalls
assert syscalls.limit()
def refused(what):
    try:
        what()
    except (PermissionError, RuntimeError):  # RuntimeError: can't start new thread
        return True
    return False
tried = [
    lambda: open("/etc/hostname"), lambda: open({str(tmp_path / "x")!r}, "w"),
    lambda: os.mkdir({str(tmp_path / "y")!r}), lambda: os.fork(), lambda: os.execv("/bin/true", ["true"]),
    lambda: socket.socket(), lambda: socket.socketpair(),
    lambda: threading.Thread(target=print).start(), lambda: os.kill(os.getppid(), 0), lambda: os.setuid(0),
    lambda: __import__("resource").prlimit(os.getppid(), 7),
]
os._exit(sum(1 << n for n, one in enumerate(tried) if not refused(one)) and 1)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, cwd=HERE.parents[2]).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_the_servers_environment_reaches_it(monkeypatch):
    monkeypatch.setenv("QC_ENGINE_KEY", "a secret")
    with decoders() as some:
        assert b"secret" not in Path(f"/proc/{process(some)}/environ").read_bytes()


@pytest.mark.parametrize(
    "answer",
    [
        {"shape": [3000, 4000], "dtype": "uint8"},  # more than the memory holds
        {"shape": [64, -64], "dtype": "uint8"},
        {"shape": [True, 4096], "dtype": "uint8"},
        {"shape": [64, 64], "dtype": "object"},
        {"shape": [64, 64, 64], "dtype": "uint8"},
        {"shape": None},
        {},
    ],
)
def test_an_answer_of_a_process_that_was_taken_over_is_not_believed(answer):
    memory = os.memfd_create("pixels", os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, 4096)
    with pytest.raises(pool.Died):  # not sealed: it could be taken away under the reader
        pool._pixels({"shape": [64, 64], "dtype": "uint8"}, [memory])
    pool.fcntl.fcntl(memory, pool.fcntl.F_ADD_SEALS, pool.SEALS)
    assert pool._pixels({"shape": [64, 64], "dtype": "uint8"}, [memory]).shape == (64, 64)
    with pytest.raises(pool.Died):
        pool._pixels(answer, [memory])
    os.close(memory)


def test_many_at_once_all_get_their_own_picture(one):
    pictures = [np.full((40, 50 + n), n, np.uint8) for n in range(40)]
    with ThreadPoolExecutor(8) as many:
        found = list(many.map(one.decode, [encoded(".png", picture) for picture in pictures]))
    assert all(np.array_equal(pixels, picture) for pixels, picture in zip(found, pictures, strict=True))
    assert views() >= len(found)
    before = views()
    del found
    assert views() == before - len(pictures)
    assert not any("pixels" in str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink())


def views() -> int:
    """How many pictures lie in this process's memory."""
    return Path("/proc/self/maps").read_text().count("/memfd:pixels")


def test_the_processes_end_with_their_server():
    """kill -9 of a server leaves none behind."""
    code = (
        "import sys, time; from server.decoding.pool import Decoders; d = Decoders(1)\n"
        "while d.state()['state'] == 'starting': time.sleep(0.02)\n"
        "(worker,) = d._alive; print(worker.process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=HERE.parents[2]
    ) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        server.kill()
    end = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end, "it is still there"
        time.sleep(0.05)
