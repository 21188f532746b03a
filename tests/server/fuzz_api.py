"""A real server, asked by Schemathesis whatever its own OpenAPI allows, and what that does not: no 5xx, no traceback.

    python tests/server/fuzz_api.py [--examples 200] [--stories 200] [--pictures 20000] [--seed 0] [--seconds 170]

Three parts: every route by itself, with sound and with unsound requests; stories of several calls, in which what one
answers goes into the next (OpenAPI's links, which Schemathesis finds); spoilt pictures (`fuzz_images.spoilt`) to be
inspected. All is asked with an administrator's key, which may most. 503 in the product's own shape is no mistake: it is
what a part says that is switched off here (Label Studio, a model's registry).

A mistake is printed with the request that shows it and ends the program with 1; so do a server that is gone and one
that has grown by more than `GROWTH`. Not asked: what would end the session or take minutes (`LEFT_OUT`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from fuzz_images import spoilt
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import FlakyStrategyDefinition, Unsatisfiable
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.generation import GenerationMode

sys.path.insert(0, str(Path(__file__).parents[1] / "databases"))
import per_home

HERE = Path(__file__).parent
GROWTH = 400_000_000
"""By which a server may grow while it is asked, in bytes: caches fill up, nothing else."""
STEPS = 8
"""Calls of one story."""
LEFT_OUT = (
    "DELETE /api/v1/keys/{id}",  # might be the key that asks
    "POST /api/v1/jobs/retrain",  # minutes of training
    "GET /api/v1/events",  # never ends
    "POST /api/v1/backups",  # a copy of everything, each time
    "PATCH /api/v1/settings",  # another server from then on
)


class Mistake(AssertionError):
    """The server answered what it must not."""


class Server:
    """`qc up` with the tests' model, in a folder of its own."""

    def __init__(self, home: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QC_")}
        environment |= {"QC_HOME": str(home), "PORT": "0", "QC_LABEL_STUDIO": "false", "QC_RETRAIN_CRON": ""}
        environment |= {"QC_CAMERA_CHECKS": "false", "PYTHONPATH": str(HERE.parents[1])}
        environment |= per_home.environment(home)
        self._log = home / "out.txt"
        with self._log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "slow_server.py"), "0"], env=environment, stdout=out, stderr=out
            )
        self.url = self._await_url()
        made = subprocess.run(
            [sys.executable, "-m", "server", "key", "create", "--role", "admin"],
            env=environment, capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        self.head = {"Authorization": f"Bearer {made.stdout.split()[-1]}"}
        self._bytes = self.bytes

    def _await_url(self) -> str:
        end = time.monotonic() + 180
        while time.monotonic() < end and self.process.poll() is None:
            told = [line.split()[-1] for line in self._log.read_text().splitlines() if "Look here" in line]
            with contextlib.suppress(httpx.TransportError):
                if told and httpx.get(f"{told[0]}/api/v1/health", timeout=10).status_code == 200:
                    return told[0]
            time.sleep(0.1)
        raise Mistake(f"the server does not start:\n{self._log.read_text()[-2000:]}")

    @property
    def bytes(self) -> int:
        """Its memory."""
        return int(Path(f"/proc/{self.process.pid}/status").read_text().split("VmRSS:")[1].split()[0]) * 1000

    @property
    def grown(self) -> int:
        """By how much, since it was ready; raises Mistake where it is gone."""
        if self.process.poll() is not None:
            raise Mistake(f"the server is gone ({self.process.returncode}):\n{self._log.read_text()[-2000:]}")
        return self.bytes - self._bytes

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            yield server
        finally:
            server.stop()


def check(answer: Any, asked: str) -> int:
    """The status of an answer; raises Mistake for one that must not be."""
    text = answer.content[:100_000]
    if answer.status_code >= 500 and not (answer.status_code == 503 and b'"unavailable"' in text):
        raise Mistake(f"{asked}\n-> {answer.status_code} {text[:500]!r}")
    if b"Traceback (most recent" in text or b'File "/' in text:
        raise Mistake(f"{asked}\n-> shows its insides: {text[:500]!r}")
    return int(answer.status_code)


def options(examples: int, **more: Any) -> settings:
    return settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck), **more,
    )  # fmt: skip


def fuzz_routes(server: Server, schema: Any, examples: int, number: int, until: Callable[[], bool]) -> Counter[str]:
    """Each route, with requests that fit its description and with some that do not."""
    counted: Counter[str] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                strategy = operation.as_strategy(generation_mode=mode)

                @seed(number)
                @options(examples)
                @given(case=strategy)
                def ask(case: Any) -> None:
                    if until():
                        return
                    answer = case.call(headers=server.head, timeout=60)
                    counted[str(check(answer, case.as_curl_command()))] += 1

                ask()
            except Unsatisfiable:  # whatever it is sent is sound
                counted["routes that nothing unsound can be sent to"] += 1
    return counted


def fuzz_stories(server: Server, schema: Any, stories: int, number: int) -> Counter[str]:
    """Several calls in a row; what one answers is used by the next.

    Hypothesis gives up a run in which the same beginning led elsewhere than before, as a server does that remembers:
    what was not told yet is told with the next seed.
    """
    counted: Counter[str] = Counter()
    told = 0

    class Story(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            nonlocal told
            told += 1
            super().setup()

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": server.head, "timeout": 60}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            counted[str(check(response, case.as_curl_command()))] += 1

    while told < stories:
        seed(number)(Story)
        try:
            run_state_machine_as_test(Story, settings=options(stories - told, stateful_step_count=STEPS))
            break
        except FlakyStrategyDefinition:
            number += 1
    return counted


def fuzz_pictures(server: Server, pictures: int, number: int, until: Callable[[], bool]) -> Counter[str]:
    """Spoilt pictures to be inspected."""
    counted: Counter[str] = Counter()
    with httpx.Client(base_url=server.url, headers=server.head, timeout=60) as client:

        @seed(number)
        @options(pictures)
        @given(spoilt())
        def ask(data: bytes) -> None:
            if until():
                return
            answer = client.post(
                "/api/v1/inspections", files={"image": ("picture", data)}, data={"part": "P", "station": "S"}
            )
            if check(answer, f"a picture of {len(data)} bytes: {data[:200]!r}…") not in (201, 413, 422):
                raise Mistake(f"a picture was answered with {answer.status_code}")
            counted[str(answer.status_code)] += 1

        ask()
    return counted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=200, help="of each route, sound and as many unsound")
    parser.add_argument("--stories", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--seconds",
        type=float,
        default=float("inf"),
        help="no more requests after so many, of routes and of pictures each",
    )
    wanted = parser.parse_args()
    warnings.simplefilter("ignore")
    with running() as server:
        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", timeout=120)
        for line in LEFT_OUT:
            method, path = line.split()
            schema = schema.exclude(method=method, path=path)

        def limit() -> Callable[[], bool]:
            begun = time.monotonic()
            return lambda: time.monotonic() - begun > wanted.seconds

        parts = {
            "routes": lambda: fuzz_routes(server, schema, wanted.examples, wanted.seed, limit()),
            "stories": lambda: fuzz_stories(server, schema, wanted.stories, wanted.seed),
            "pictures": lambda: fuzz_pictures(server, wanted.pictures, wanted.seed, limit()),
        }
        for name, part in parts.items():
            try:
                counted = part()
                grown = server.grown
            except Mistake as mistake:
                print(f"{name}: {mistake}")
                return 1
            told = ", ".join(f"{count} x {what}" for what, count in sorted(counted.items()))
            print(f"{name}: {sum(counted.values())} requests ({told}); the server has grown by {grown / 1e6:.0f} MB")
            if grown > GROWTH:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
