"""A real server that is killed in the middle of telling: everything is told all the same, in order, with stable ids."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import httpx
import numpy as np
import per_home

from server import auth, clock
from server.access import Role
from server.db import Database

HERE = Path(__file__).parent
PARTS = [f"P-{n}" for n in range(6)]


def wait_for(true, *, patience=120):
    until = time.monotonic() + patience
    while not (found := true()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return found


@contextmanager
def server(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QC_")}
    environment |= {"QC_HOME": str(home), "PORT": "0", "QC_LABEL_STUDIO": "false", "QC_RETRAIN_CRON": ""}
    environment |= per_home.environment(home)
    environment["PYTHONPATH"] = str(HERE.parents[2])
    command = [sys.executable, str(HERE.parent / "slow_server.py"), "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    drain = None
    try:
        address = next(found[0] for line in process.stdout if (found := re.search(r"http://[\d.]+:\d+", line)))
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        wait_for(lambda: httpx.get(f"{address}/api/v1/health", timeout=60).status_code == 200)
        yield process, address
    finally:
        process.kill()
        process.wait()
        if drain is not None:
            drain.join(5)
        process.stdout.close()


def test_a_kill_in_the_middle_of_telling_loses_nothing_and_keeps_order_and_ids(receiver, tmp_path):
    home = tmp_path / "home"
    receiver.is_named_in(home, tell=["inspection"], timeout_s=60)
    receiver.behaves(answers=2)
    with server(home) as (process, address):
        database = Database(per_home.address_of(home))
        with database.write() as session:
            key = auth.create_key(session, "camera", Role.MACHINE, now=clock.now())
            session.commit()
        database.close()
        for mark, part in enumerate(PARTS):
            grey = np.full((90, 120), 180, np.uint8)
            grey[0, 0] += mark
            picture = bytes(cv2.imencode(".png", grey)[1])
            sent = httpx.post(
                f"{address}/api/v1/inspections",
                headers={"Authorization": f"Bearer {key}"},
                files={"image": ("1.png", picture)},
                data={"part": part, "station": "S-1"},
                timeout=60,
            )
            assert sent.status_code == 201, sent.text
        wait_for(lambda: len(receiver.received) == 3)
        process.send_signal(signal.SIGKILL)
        process.wait()
    receiver.behaves()
    with server(home):
        wait_for(lambda: {one["body"]["data"]["part"] for one in receiver.taken} == set(PARTS))
    told = [(one["body"]["data"]["part"], one["id"]) for one in receiver.taken]
    assert [part for part, _ in told] == ["P-0", "P-1", "P-2", "P-2", "P-3", "P-4", "P-5"]
    assert len(set(told)) == len(PARTS), "the part that was told twice, as its answer did not arrive, has one id"
    assert all(one["genuine"] for one in receiver.received)
    log = (home / "logs" / "server.jsonl").read_text()
    assert receiver.secret not in log
    assert "token-in-the-path" not in log
