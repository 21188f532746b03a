"""A real server with a real model and a real process, and a real Chromium in front of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import per_home
import pytest
from sqlmodel import select

from labeling.records import Annotation, LabelTask, TaskState
from process_opt.process import as_yaml
from process_opt.records import ProcessVersion, Recommendation
from process_opt.simulate import Line as Process
from process_opt.simulate import linear_line
from qc.records import Exposure
from segmentation.model import identity
from segmentation.render import render_part
from server import alarms, auth
from server.access import Role
from server.blobs.local import LocalBlobs
from server.db import Database
from server.events import EventBus
from server.process_service import current
from server.watch_records import ShadowVerdict

ROOT = Path(__file__).parents[2]
AXE = ROOT / "frontend/node_modules/axe-core/axe.min.js"
PASSWORD = "long enough, and no secret"
CHROMIUM = Path("/usr/bin/chromium")
ADDRESSES = (
    *("/inspect", "/calls", "/wall", "/search?q=e", "/account", "/start", "/money", "/models"),
    *("/engineer", "/engineer/process/bar", "/engineer/batches/bar/by-key", "/engineer/recipe", "/engineer/savings"),
    *("/records", "/records/part/BAR-1"),
    *(f"/labels{tab}" for tab in ("", "/done", "/cancelled", "/disputes", "/book", "/quality", "/data")),
    *(f"/admin/{tab}" for tab in ("products", "stations", "people", "settings", "connections")),
    *(f"/admin/{tab}" for tab in ("trail", "backup", "erasures")),
)
"""Every page: walked by key and looked at in both modes. A test fails when the router has one that is not here."""
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


def missing() -> str:
    """Why no page can be looked at here; empty where one can."""
    if not CHROMIUM.is_file():
        return "there is no /usr/bin/chromium; install the package chromium"
    if not (ROOT / "frontend/dist/index.html").is_file():
        return "the pages are not built; run make setup, or npm ci and npm run build in frontend/"
    if not (ROOT / "segmentation/starter/model.json").is_file():
        return "the starter model is missing"
    return ""


@dataclass
class Plant:
    """A server under a folder of its own, and those who talk to it."""

    home: Path
    process: Process
    port: int = 0
    address: str = ""
    server: subprocess.Popen[str] | None = None
    drain: threading.Thread | None = None
    """Reads what the server prints, so that it never waits for a reader."""
    keys: dict[str, str] = field(default_factory=dict)
    parts: int = 0
    labels: int = 0

    @property
    def starter(self) -> Path:
        """The model that comes with the product."""
        return ROOT / "segmentation/starter"

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("QC_")}
        own = {"QC_HOME": str(self.home / "var"), "PORT": str(self.port), "QC_RETRAIN_CRON": ""}
        own |= per_home.environment(self.home / "var")
        off = {"QC_LABEL_STUDIO": "false", "QC_RUNTIMES": "false", "QC_LABEL_AT_RANDOM": "0"}
        return {**kept, **own, **off, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def qc(self, *words: str) -> str:
        """What a command of `qc` prints."""
        command = [sys.executable, "-m", "server", *words]
        done = subprocess.run(
            command, env=self.environment(), cwd=self.home, capture_output=True, text=True, check=True
        )
        return done.stdout

    def start(self) -> None:
        """Start the server, on the port it had before if it had one, and wait until it can inspect."""
        self.server = subprocess.Popen(
            [sys.executable, "-m", "server", "up"],
            env=self.environment(),
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.server.stdout
        for line in self.server.stdout:
            if found := re.search(r"http://[\d.]+:(\d+)", line):
                self.address, self.port = found[0], int(found[1])
                break
        self.drain = threading.Thread(target=self.server.stdout.read, daemon=True)
        self.drain.start()
        until = time.monotonic() + 120
        while httpx.get(f"{self.address}/api/v1/health", timeout=60).status_code != 200:
            assert time.monotonic() < until, "the server never became able to inspect"
            time.sleep(0.2)

    def was_set_up_before(self) -> None:
        """Nobody is led through the first run."""
        (self.home / "var").mkdir()
        told = {"begun": True, "left": True, "seen": ""}
        (self.home / "var/first-run.json").write_text(json.dumps(told), encoding="utf-8")

    def stop(self) -> None:
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            try:
                self.server.wait(20)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
            if self.drain and self.server.stdout:
                self.drain.join(5)
                self.server.stdout.close()

    def call(self, method: str, path: str, role: str = "engineer", timeout: float = 60, **content):
        """A call with a key of a role; answers that are not good end the test."""
        head = {"Authorization": f"Bearer {self.keys[role]}"}
        answer = httpx.request(method, f"{self.address}/api/v1{path}", headers=head, timeout=timeout, **content)
        assert answer.is_success, answer.text
        return answer.json()

    def inspects(self, *, defects: tuple[str, ...], seed: int, station: str = "end-of-line", product: str = "") -> dict:
        """Render a part and post its pictures, as a camera computer does."""
        part = render_part(seed, width=640, height=480, defects=defects)
        seen = [v.pixels if v.pixels.ndim == 2 else v.pixels[..., ::-1] for v in part.views]
        return self.inspects_pictures(seen, [view.name for view in part.views], station, product)

    def inspects_pictures(self, pictures, views: list[str], station: str = "end-of-line", product: str = "") -> dict:
        """Post pictures (grey or BGR) of the next part."""
        self.parts += 1
        files = [
            ("image", (f"{view}.png", cv2.imencode(".png", pixels)[1].tobytes()))
            for pixels, view in zip(pictures, views, strict=True)
        ]
        form = {"part": f"BAR-{self.parts}", "station": station, "view": views, "product": product}
        return self.call("POST", "/inspections", "machine", timeout=600, files=files, data=form)

    def inspects_in_the_dark(self) -> dict:
        """A part whose camera delivers a black picture, and the model is not asked."""
        return self.inspects_pictures([np.zeros((480, 640), np.uint8)], ["top"], station="dark-room")

    def knows_a_model_that_overlooks_more(self) -> str:
        """The starter again, with its odds turned so low that it lets every part pass; its id."""
        blunt = self.home / "blunt"
        shutil.copytree(ROOT / "segmentation/starter", blunt)
        card = json.loads((blunt / "model.json").read_text(encoding="utf-8"))
        card["calibration"]["offset"] = -40.0
        card["id"] = identity(card)
        (blunt / "model.json").write_text(json.dumps(card), encoding="utf-8")
        return self.qc("model", "add", str(blunt)).split()[0]

    def waits_until_looks_on(self, model: str) -> None:
        """Until that model is loaded beside the champion: parts that come before are not looked at."""
        until = time.monotonic() + 60
        while self.call("GET", "/health")["components"]["shadow"].get("challenger") != model:
            assert time.monotonic() < until, "the model that shall look on was not loaded"
            time.sleep(0.2)

    def is_full_of_specks(self, inspection: dict, *, specks: int) -> None:
        """As on grainy metal: three defects that count on its first view, and so many doubtful pits and dents."""
        found = []
        for k in range(3 + specks):
            x, y, counts = 20 + 30 * (k % 20), 20 + 30 * (k // 20), k < 3
            kind = {"class": "pit", "class_id": 3} if k % 4 else {"class": "dent", "class_id": 2}
            ring = [[x, y], [x + 8, y], [x + 8, y + 8], [x, y + 8]]
            sizes = {"area_px": 64, "length_px": 8.0, "width_px": 8.0, "area_mm2": None, "length_mm": None}
            score = 0.9 if counts else round(0.4 - k / 1000, 3)
            told = {"score": score, "counts": counts, "bbox": [x, y, 8, 8], "outline": [ring], "width_mm": None}
            found.append({**kind, **sizes, **told})
        database = self.database()
        with database.write() as session:
            for exposure in session.exec(select(Exposure).where(Exposure.inspection_id == inspection["id"])):
                exposure.defects = found if exposure.n == 0 else []
                session.add(exposure)
            session.commit()
        database.close()

    def is_disputed(self, inspection: dict) -> bool:
        """Once the model that looks on has looked: would it pass what the champion does not, or the other way round?"""
        until, database = time.monotonic() + 120, self.database()
        looked = select(ShadowVerdict).where(ShadowVerdict.inspection_id == inspection["id"])
        try:
            while time.monotonic() < until:
                with database.read() as session:
                    seen = session.exec(looked).first() is not None
                if seen:
                    found = self.call("GET", "/models/shadow/disagreements")["items"]
                    return any(one["inspection_id"] == inspection["id"] for one in found)
                time.sleep(0.2)
        finally:
            database.close()
        raise AssertionError("the model that looks on has not looked")

    def database(self) -> Database:
        """The server's own database, for what would take a plant weeks to happen."""
        return Database(per_home.address_of(self.home / "var"))

    @contextmanager
    def withdraws_advice(self) -> Iterator[None]:
        """Meanwhile the report says what it says once promises were not kept for some hundred parts."""
        with self.version() as before:
            told = dict(before.report)
            kept = {"finished": 210, "promised": 0.93, "kept": 0.71, "withdrawn": True}
            before.report = {**told, "promises": kept}
        try:
            yield
        finally:
            with self.version() as after:
                after.report = told

    @contextmanager
    def version(self) -> Iterator[ProcessVersion]:
        """The process that is served, to change."""
        database = self.database()
        with database.write() as session:
            row = current(session, "bar")
            yield row
            session.add(row)
            session.commit()
        database.close()

    def two_people_label(self, inspection_id: str, *, at_odds: bool = False) -> None:
        """What Label Studio would bring home: both draw the same dent on every task of a part, one draws it wider.

        At odds: the second one sees nothing there.
        """
        database, now = self.database(), datetime.now(UTC)
        with database.write() as session:
            for task in session.exec(select(LabelTask).where(LabelTask.inspection_id == inspection_id)):
                for person, wide in (("ann", 40), ("ben", 50)):
                    mask = np.zeros((task.crop_height, task.crop_width), np.uint8)
                    mask[20:60, 30 : 30 + wide] = 0 if at_odds and person == "ben" else 2
                    key = f"labels/{task.id}-{person}.png"
                    LocalBlobs(self.home / "var/blobs").put(key, cv2.imencode(".png", mask)[1].tobytes())
                    self.labels += 1
                    session.add(
                        Annotation(
                            label_task_id=task.id,
                            studio_project="1",
                            studio_annotation_id=self.labels,
                            updated_at=now,
                            by=person,
                            mask_key=key,
                            classes={"2": "dent"},
                            specks=3 if person == "ben" else 0,
                            received_at=now,
                        )
                    )
                task.state, task.closed_at = TaskState.DONE, now
                session.add(task)
            session.commit()
        database.close()

    def raises_an_alarm(self, before: list[str], after: list[str], *, kind: str, figures: dict) -> str:
        """An alarm as the server's watchers raise it after some hundred parts; its id."""
        database, now = self.database(), datetime.now(UTC)
        with database.write() as session:
            made = alarms.raise_once(
                session,
                EventBus(),
                kind=kind,
                station="end-of-line",
                what="whole, level",
                message="camera whole of end-of-line is darker than usual, for 12 parts",
                since=now - timedelta(minutes=12),
                now=now,
                before=before,
                after=after,
                figures=figures,
            )
            assert made is not None
            session.commit()
        database.close()
        return made.id

    def has_an_account(self, name: str, role: str) -> None:
        """A person with an account; the password is `PASSWORD`."""
        database = self.database()
        with database.write() as session:
            auth.add_user(session, name, Role(role), PASSWORD, now=datetime.now(UTC))
            session.commit()
        database.close()

    def logs_in(self, page, name: str, password: str = PASSWORD) -> None:
        """On a page of a browser."""
        page.goto(self.address)
        page.get_by_label("Name").fill(name)
        page.locator("input[type=password]").fill(password)
        page.keyboard.press("Enter")
        page.get_by_role("navigation", name="Pages").wait_for()

    def inspects_a_bad_part(self) -> dict:
        """The first of some rendered parts with defects that the model finds not good."""
        for seed in range(12):
            found = self.inspects(defects=("dent", "pit", "scratch"), seed=seed)
            if found["verdict"] == "ng":
                return found
        raise AssertionError("the model finds nothing wrong with twelve dented, pitted and scratched parts")

    def asks_what_to_do(self, part: str, seed: int, batch: str | None = None) -> dict:
        """A part half way through the process, and what the server advises."""
        made = self.process.start(seed)
        for _ in range(3):
            made.run_step(made.at or "")
        wish = {"part": part, "at": made.at, "observed": made.observed} | ({"batch": batch} if batch else {})
        return self.call("POST", "/processes/bar/recommendations", "machine", json=wish)

    def what_comes_of(self, advice: dict, seed: int) -> dict:
        """The outcome of a part of `asks_what_to_do` with which is done what was advised."""
        made = self.process.start(seed)
        told = {"part": advice["part"], "assignment": "recommendation", "disposition": "finished"}
        while made.at is not None:
            if made.at == advice["at"] and advice["decision"] == "scrap":
                told |= {"disposition": "scrapped", "scrapped_at": made.at}
                break
            mine = {n: v for n, v in advice["settings"].items() if n.startswith(f"{made.at}.")}
            made.run_step(made.at, mine)
        return {**told, "observed": dict(made.observed)}

    def proposes_rework(self, part: str, seed: int, batch: str | None = None) -> str:
        """As a process with a rework step that needs permission would: the step's name. The plant's own has none."""
        told, step = self.asks_what_to_do(part, seed, batch), self.process.process.steps[4].name
        database = self.database()
        with database.write() as session:
            row = session.get(Recommendation, told["id"])
            assert row is not None
            row.answer = {**row.answer, "run": [step], "needs_approval": [step]}
            session.add(row)
            session.commit()
        database.close()
        return step


@pytest.fixture(scope="session")
def plant(tmp_path_factory) -> Iterator[Plant]:
    if why := missing():
        pytest.skip(why)
    home = tmp_path_factory.mktemp("plant")
    made = Plant(home, linear_line(6, 3, hardness=0.8))
    made.was_set_up_before()
    try:
        made.start()
        for role in ("machine", "engineer"):
            made.keys[role] = made.qc("key", "create", "--role", role).splitlines()[-1]
        (home / "bar.yaml").write_text(as_yaml(made.process.process), encoding="utf-8")
        made.process.history(600, 1).to_csv(home / "bar.csv", index=False)
        made.qc("process", "fit", "bar.yaml", "bar.csv", "--out", "model")
        made.qc("process", "register", "bar", "model")
        yield made
    finally:
        made.stop()
        shutil.rmtree(home / "var", ignore_errors=True)


@pytest.fixture(scope="session")
def browser(plant, drivers):
    opened = drivers.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
    yield opened
    opened.close()


def is_fault(said) -> bool:
    """Errors that scripts complain of; an address that did not answer is the connection light's business."""
    return said.type == "error" and not any(word in said.text for word in ("ailed to load", "net::ERR"))


@pytest.fixture
def page(browser, plant):
    """A page on which the administrator is logged in; a script error on it, caught or not, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    opened.set_default_timeout(20_000)
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda said: problems.append(said.text) if is_fault(said) else None)
    name, password = (plant.home / "var/first-login.txt").read_text().split()[:2]
    plant.logs_in(opened, name, password)
    yield opened
    context.close()
    assert problems == []


@pytest.fixture
def no_barrier():
    """Checks a page by axe: nothing on it keeps anybody out. Says nothing where axe is not installed."""

    def check(page) -> None:
        if not AXE.is_file():
            return
        page.wait_for_timeout(400)  # while something fades in, its contrast is not yet what it will be
        if not page.evaluate("'axe' in window"):
            page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})")
        assert [(v["id"], v["help"], [n["html"][:160] for n in v["nodes"]]) for v in found["violations"]] == []

    return check


@pytest.fixture(scope="session")
def addresses() -> tuple[str, ...]:
    """Every page by an address."""
    return ADDRESSES


@dataclass
class Keys:
    """Somebody who has no pointer."""

    page: Any

    def reaches(self, target) -> None:
        """Tab until it has the focus: up to 300 stops. A choice is drawn by its label, itself unseen."""
        target.wait_for(state="attached")
        for _ in range(300):
            if target.evaluate("node => node === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {target}")

    def presses(self, target, key: str = "Enter") -> None:
        self.reaches(target)
        self.page.keyboard.press(key)

    def writes(self, target, text: str) -> None:
        """In place of what stands there."""
        self.reaches(target)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)


@pytest.fixture
def keys(page) -> Keys:
    return Keys(page)
