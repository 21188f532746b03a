"""A real server under load is killed at random moments, again and again: was anything lost, was anything doubled?

    python tests/bench/kill_nine.py [--times 200] [--seed 0] [--seconds 170] [--model starter]
    python tests/bench/kill_nine.py --disk-full        (needs the right to mount a small tmpfs)
    python tests/bench/kill_nine.py --database-away    (a PostgreSQL of its own that is stopped, where one is installed;
                                                        else a SQLite file that another program holds locked)

Clients send parts over REST, each with a trigger id, and again with the same one until there is an answer; a camera's
software writes files into the inbox. Meanwhile the server gets SIGKILL, at a random moment from its start on, or its
disk is filled up, or its database goes away. In the end the auditor compares what was answered for with what is stored:
each trigger exactly one inspection with the verdict that was told, every picture with the bytes that were sent, every
file of the inbox inspected once, each verdict sealed once, the trail whole.

The model is the tests' one (dark spots, some milliseconds), so that most kills fall into taking in, storing and
recording; `--model starter` takes the one that comes with the product. Nothing is injected; all processes are real.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import httpx
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/bench"))

CLIENTS = 4
HEAP = 20
"""As many files wait in the inbox at most: a camera that nobody reads stops."""
INSPECT_S = 0.03
"""How long the tests' model looks at a part."""
FIRST_ANSWER_S = 120.0
SETTLED_S = 120.0
"""How long a server may need to judge all that it has taken, once nothing is wrong any more."""


class Line:
    """The line: what was sent, and what was answered."""

    def __init__(self, url: str, key: str, inbox: Path, seed: int) -> None:
        self.url, self.head, self.inbox, self.seed = url, {"Authorization": f"Bearer {key}"}, inbox, seed
        self.sent: dict[str, list[str]] = {}
        """Trigger -> hashes of its pictures."""
        self.answers: dict[str, dict] = {}
        self.dropped: dict[str, str] = {}
        """Part -> hash of the file that was put into the inbox."""
        self.statuses: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._client, args=(n,)) for n in range(CLIENTS)]
        self._threads.append(threading.Thread(target=self._camera))

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send nothing new; what has no answer yet is sent until it has one."""
        self.over.set()
        for thread in self._threads:
            thread.join(SETTLED_S + FIRST_ANSWER_S)
            if thread.is_alive():
                self.wrong.append("a client still waits for its answer")

    def _client(self, number: int) -> None:
        rng = random.Random(f"{self.seed} {number}")
        n = 0
        with httpx.Client(headers=self.head, timeout=30.0) as client:
            while not self.over.is_set():
                n += 1
                trigger = f"client-{number}-{n}"
                pictures = [picture(rng) for _ in range(rng.choice((1, 1, 2)))]
                with self._lock:
                    self.sent[trigger] = [hashlib.sha256(data).hexdigest() for data in pictures]
                self._send(client, trigger, pictures, rng)
                time.sleep(rng.expovariate(1 / 0.05))

    def _send(self, client: httpx.Client, trigger: str, pictures: list[bytes], rng: random.Random) -> None:
        files = [("image", (f"{n}.png", data, "image/png")) for n, data in enumerate(pictures)]
        fields = {"part": trigger, "station": "rest-1", "trigger_id": trigger}
        until = None
        while True:
            if self.over.is_set():
                until = until or time.monotonic() + SETTLED_S
                if time.monotonic() > until:
                    return
            try:
                answer = client.post(f"{self.url}/api/v1/inspections", files=files, data=fields)
            except httpx.HTTPError:
                self.statuses["cut off"] += 1
                time.sleep(rng.uniform(0.05, 0.3))
                continue
            self.statuses[str(answer.status_code)] += 1
            if answer.status_code in (200, 201):
                told = answer.json()
                if told["verdict"] is None:
                    self.wrong.append(f"{trigger} was answered without a verdict ({told['progress']})")
                before = self.answers.setdefault(trigger, told)
                if before["id"] != told["id"]:
                    self.wrong.append(f"{trigger} was answered with two inspections")
                return
            if answer.status_code != 503:
                self.wrong.append(f"{trigger}: {answer.status_code} {answer.text[:200]}")
            if "Traceback" in answer.text:
                self.wrong.append(f"{trigger}: a traceback was shown")
            time.sleep(rng.uniform(0.1, 0.5))

    def _camera(self) -> None:
        rng, n = random.Random(f"{self.seed} camera"), 0
        folder = self.inbox / "inbox-1"
        while not self.over.wait(rng.expovariate(1 / 0.4)):
            if folder.is_dir() and len(list(folder.iterdir())) > HEAP:
                continue
            n += 1
            data, part = picture(rng), f"file-{n}"
            self.dropped[part] = hashlib.sha256(data).hexdigest()
            with contextlib.suppress(FileExistsError):
                folder.mkdir(parents=True)
            while True:
                try:
                    beside = folder / f".{part}.png"
                    beside.write_bytes(data)
                    beside.rename(folder / f"{part}.png")
                    break
                except OSError:  # the disk is full for the camera as well; it keeps its picture until it is not
                    time.sleep(0.3)


def picture(rng: random.Random) -> bytes:
    """A picture that no other equals, half of them with a dark spot, some 30 kB."""
    noise = np.random.default_rng(rng.getrandbits(64)).integers(150, 200, (160, 200), np.uint8)
    if rng.random() < 0.5:
        noise[40:60, 50:80] = 20
    return bytes(cv2.imencode(".png", noise)[1])


NURSERY = """
import os, runpy, sys
import cv2, server.app, server.cli, server.serving, server.parts, server.inspecting, server.schema, server.ingest.folder
for line in sys.stdin:
    if line.strip() == "wait":
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        continue
    pid = os.fork()
    if pid == 0:
        for handle in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), handle)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = sys.argv[1:]
        status = 1
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            os._exit(status)
    print(pid, flush=True)
"""
"""A process that has loaded the libraries and starts servers by fork: a start then costs no second of importing."""


class Server:
    """The server's process, always at the same address."""

    def __init__(self, home: Path, model: str, **settings: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.home, self.url = home, f"http://127.0.0.1:{self.port}"
        program = [str(ROOT / "tests/server/slow_server.py"), str(INSPECT_S)]
        if model == "starter":
            program = [str(ROOT / "server/__main__.py"), "up"]
        self._command = [sys.executable, "-c", NURSERY, *program]
        self._nursery: subprocess.Popen[str] | None = None
        self._pid: int | None = None
        mine = {name: value for name, value in os.environ.items() if not name.startswith("QC_")}
        self.environment = {
            **mine,
            "QC_HOME": str(home),
            "PORT": str(self.port),
            "QC_LABEL_STUDIO": "false",
            "QC_RETRAIN_CRON": "",
            "QC_GOLDEN_CRON": "",
            "QC_CAMERA_CHECKS": "false",
            "QC_INBOX_SETTLE_S": "0.2",
            "PYTHONPATH": str(ROOT),
            **settings,
        }

    def start(self) -> None:
        """Start it; it answers by and by."""
        if self._nursery is None:
            pipe = subprocess.PIPE
            self._nursery = subprocess.Popen(
                self._command, env=self.environment, stdin=pipe, stdout=pipe, text=True, cwd=ROOT
            )
        self._pid = int(self._ask("start"))

    def _ask(self, word: str) -> str:
        nursery = self._nursery
        assert nursery is not None
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        print(word, file=nursery.stdin, flush=True)
        return nursery.stdout.readline()

    def _end(self, number: int) -> int:
        """Its exit status after a signal; below 0: it died of that."""
        assert self._pid is not None
        os.kill(self._pid, number)
        self._pid = None
        return int(self._ask("wait"))

    def close(self) -> None:
        """Kill what still runs."""
        if self._pid is not None:
            self._end(signal.SIGKILL)
        if self._nursery is not None:
            self._nursery.kill()
            self._nursery.wait()

    def await_answer(self) -> None:
        """Wait until it is able to inspect."""
        until = time.monotonic() + FIRST_ANSWER_S
        while not self.able():
            if time.monotonic() > until:
                raise SystemExit(f"the server does not start; see {self.home}/logs/server.jsonl")
            time.sleep(0.05)

    def able(self) -> bool:
        """Is it able to inspect?"""
        try:
            return httpx.get(f"{self.url}/api/v1/health", timeout=10).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ctrl-C; its exit status."""
        return self._end(signal.SIGINT)

    def key(self) -> str:
        """A machine's key."""
        command = [sys.executable, "-m", "server", "key", "create", "--role", "machine"]
        made = subprocess.run(command, env=self.environment, capture_output=True, text=True, cwd=ROOT, check=True)
        return made.stdout.splitlines()[-1]


def audit(line: Line, server: Server, *, may_fail: bool) -> list[str]:
    """What is wrong in the end; the server runs, and is stopped here.

    Args:
        may_fail: parts may have failed for the disk or the database; then they went to a person.
    """
    from sqlmodel import select

    from qc.errors import QcError
    from qc.records import Exposure, Inspection, Progress
    from server.audit import AuditEntry
    from server.audit_check import verify
    from server.db import Database, sqlite_url

    wrong, failed = list(line.wrong), []
    database = Database(server.environment.get("QC_DATABASE_URL") or sqlite_url(server.home / "qc.sqlite3"))
    until = time.monotonic() + SETTLED_S
    inbox = line.inbox / "inbox-1"
    while time.monotonic() < until:
        with database.read() as session:
            open_ones = session.exec(select(Inspection.id).where(Inspection.progress == Progress.RECEIVED)).all()
        if not open_ones and not any(file.suffix == ".png" for file in inbox.iterdir()):
            break
        time.sleep(0.2)
    status = server.stop()
    if status:
        wrong.append(f"the server ended with {status}")
    with database.read() as session:
        rows = session.exec(select(Inspection)).all()
        images: dict[str, list[Exposure]] = {row.id: [] for row in rows}
        for exposure in session.exec(select(Exposure).order_by(Exposure.n)):  # type: ignore[arg-type]
            images[exposure.inspection_id].append(exposure)
        sealed = Counter(session.exec(select(AuditEntry.subject).where(AuditEntry.kind == "verdict")).all())
        try:
            verify(session)
        except QcError as error:
            wrong.append(f"the audit trail: {error.message}")
    database.close()
    expected = {**line.sent, **{part: [sha256] for part, sha256 in line.dropped.items()}}
    stored = Counter(row.part for row in rows)
    wrong += [f"{part} is lost" for part in expected if not stored[part]]
    wrong += [f"{part} is stored {count} times" for part, count in stored.items() if count > 1]
    wrong += [f"{part} never got an answer" for part in line.sent if part not in line.answers]
    for row in rows:
        told = line.answers.get(row.part)
        if row.progress == Progress.RECEIVED or row.verdict is None:
            wrong.append(f"{row.part} was never judged")
        if row.progress == Progress.FAILED:  # a disk that is full, a database that is away: a person looks at it
            failed.append(row)
            if row.verdict == "ok" or not may_fail:
                wrong.append(f"{row.part} failed and is {row.verdict}: {row.problem}")
        if told is not None and (told["id"], told["verdict"]) != (row.id, row.verdict):
            wrong.append(f"{row.part} was told {told['verdict']}, and {row.verdict} is on record")
        if sealed[row.id] != 1:
            wrong.append(f"{row.part} has {sealed[row.id]} verdicts in the trail")
        if [image.sha256 for image in images[row.id]] != expected.get(row.part):
            wrong.append(f"{row.part} has other pictures than were sent")
        for image in images[row.id]:
            file = server.home / "blobs" / image.original_key
            if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != image.sha256:
                wrong.append(f"a picture of {row.part} is lost or altered")
    told = f"{len(line.sent)} triggers over REST, {len(line.dropped)} files in the inbox, {len(rows)} inspections"
    print(f"{told}, of which {len(failed)} failed and went to a person")
    print("answers: " + ", ".join(f"{count} x {status}" for status, count in sorted(line.statuses.items())))
    return wrong


def killed(server: Server, line: Line, *, times: int, seconds: float, seed: int) -> int:
    """Kill it so many times; returns how many it was. Three in ten kills fall while it starts."""
    rng, begun, up_s = random.Random(seed), time.monotonic(), 5.0
    for n in range(times):
        if time.monotonic() - begun > seconds:
            return n
        started = time.monotonic()
        if rng.random() < 0.3:
            time.sleep(rng.uniform(0.0, 1.2 * up_s))
        else:
            server.await_answer()
            up_s = time.monotonic() - started
            time.sleep(rng.uniform(0.0, 2.0))
        server.kill()
        server.start()
    return times


def starved(server: Server, line: Line, *, times: int, seed: int) -> None:
    """Fill its disk up to the last byte, wait, and give the space back; the server must go on by itself."""
    rng, ballast = random.Random(seed), server.home / "ballast"
    for _ in range(times):
        server.await_answer()
        time.sleep(rng.uniform(1.0, 3.0))
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass
        time.sleep(rng.uniform(3.0, 6.0))
        ballast.unlink()
        time.sleep(2.0)


@contextmanager
def small_disk(folder: Path, megabytes: int = 200) -> Iterator[Path]:
    """A disk of its own that is soon full."""
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "qc", str(folder)], capture_output=True)
    if made.returncode:
        raise SystemExit("a small disk cannot be mounted here; run it as root on a machine of its own")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200, help="how often it is killed, or starved")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no more kills after so many seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", choices=("tests", "starter"), default="tests")
    parser.add_argument("--disk-full", action="store_true")
    parser.add_argument("--database-away", action="store_true")
    wanted = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kill-nine-")))
        if wanted.disk_full:
            folder = stack.enter_context(small_disk(folder))
        home = folder / "home"
        home.mkdir()
        server = Server(home, wanted.model)
        database = None
        if wanted.database_away:
            from absent_database import Absent

            database = stack.enter_context(Absent(home))
            server.environment |= database.settings
        line = Line(server.url, server.key(), home / "inbox", wanted.seed)
        (home / "inbox" / "inbox-1").mkdir(parents=True, exist_ok=True)
        server.start()
        try:
            server.await_answer()
            line.start()
            if database is not None:
                print(database.go_away(server.await_answer, times=wanted.times, seed=wanted.seed))
            elif wanted.disk_full:
                starved(server, line, times=wanted.times, seed=wanted.seed)
                print(f"the disk was full {wanted.times} times")
            else:
                count = killed(server, line, times=wanted.times, seconds=wanted.seconds, seed=wanted.seed)
                print(f"killed {count} times")
            server.await_answer()
            line.stop()
            wrong = audit(line, server, may_fail=wanted.disk_full or wanted.database_away)
        finally:
            line.over.set()
            server.close()
    for words in wrong[:50]:
        print(words)
    lost, doubled = sum("lost" in words for words in wrong), sum("times" in words for words in wrong)
    print(f"{lost} lost, {doubled} doubled, {len(wrong)} complaints of the auditor in all")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
