"""The real Label Studio server, started once for all tests of this folder, and a line that inspects parts."""

import hashlib
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlalchemy import text
from sqlmodel import Session, SQLModel, create_engine

from labeling.convert import to_results
from labeling.push import png, push_open_tasks
from labeling.studio import Studio
from labeling.studio_process import StudioProcess
from labeling.tasks import open_task
from qc.geometry import Box
from qc.records import Exposure, Inspection
from qc.verdict import Verdict
from server.blobs.local import LocalBlobs

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
sys.path.insert(0, str(Path(__file__).parent))
from postgres_server import postgres

CLASSES = {1: "scratch", 2: "dent"}
ENV = Path(__file__).parents[2] / ".venv-label-studio"


@pytest.fixture(scope="session")
def process(tmp_path_factory, label_studio_data, free_port):
    data = label_studio_data(tmp_path_factory.mktemp("labeling") / "label-studio")
    process = StudioProcess(ENV, data, port=free_port())
    process.start()
    yield process
    process.stop()


@pytest.fixture
def studio(process, request):
    """A project of its own for each test."""
    if not process.healthy():
        process.stop()
        process.start()
    with Studio(process.url, process.account.token) as studio:
        studio.ensure_project(CLASSES, title=request.node.name[:50])
        yield studio


@pytest.fixture(scope="session")
def postgres_url():
    """A real PostgreSQL for all tests of this folder."""
    with postgres("fsync=off") as url:
        yield url


@pytest.fixture
def line(tmp_path, request):
    """On SQLite; with QC_TEST_DATABASE=postgresql on a real PostgreSQL, from which the line before is removed."""
    on_postgresql = os.environ.get("QC_TEST_DATABASE") == "postgresql"
    engine = create_engine(
        request.getfixturevalue("postgres_url") if on_postgresql else f"sqlite:///{tmp_path / 'line.sqlite3'}"
    )
    if on_postgresql:
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    SQLModel.metadata.create_all(engine)
    with Session(engine) as session:
        yield Line(session, LocalBlobs(tmp_path / "blobs"))
    engine.dispose()


@dataclass
class Line:
    """Inspects parts, opens tasks for them, and has a clock."""

    session: Session
    blobs: LocalBlobs
    now: datetime = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)

    def inspects(self, *, part="P-1", frame=(700, 900), boxes=(), verdict=Verdict.REVIEW, views=("top",), seed=0):
        """A part with one blemish for each `(x, y, w, h, class id, score)`; the same on every view."""
        rng = np.random.default_rng(seed)
        inspection = Inspection(
            part=part, station="st-1", verdict=verdict, score=0.5, model="sha256:feed", received_at=self.now
        )
        self.session.add(inspection)
        self.session.flush()
        for n, view in enumerate(views):
            pixels = rng.integers(90, 110, (*frame, 3), np.uint8)
            instances = np.zeros(frame, np.uint16)
            defects = []
            for k, (x, y, w, h, class_id, score) in enumerate(boxes, start=1):
                instances[y : y + h, x : x + w] = k
                pixels[y : y + h, x : x + w] = 30
                ring = [[x, y], [x, y + h - 1], [x + w - 1, y + h - 1], [x + w - 1, y]]
                defects.append(
                    {"class": CLASSES[class_id], "class_id": class_id, "score": score, "bbox": [x, y, w, h]}
                    | {"area_px": w * h, "counts": score >= 0.5, "outline": [ring]}
                )
            data = png(pixels)
            written, mask = cv2.imencode(".png", instances)
            assert written
            key = f"frames/{inspection.id}/{n}"
            self.blobs.put(f"{key}.png", data)
            self.blobs.put(f"{key}.instances.png", mask.tobytes())
            self.session.add(
                Exposure(
                    inspection_id=inspection.id,
                    n=n,
                    view=view,
                    format="PNG",
                    width=frame[1],
                    height=frame[0],
                    sha256=hashlib.sha256(data).hexdigest(),
                    original_key=f"{key}.png",
                    instances_key=f"{key}.instances.png",
                    score=max((b[5] for b in boxes), default=0.01),
                    verdict=verdict,
                    defects=defects,
                )
            )
        self.session.commit()
        return inspection

    def exposures(self, inspection):
        keys = [(inspection.id, n) for n in range(9)]
        return [e for key in keys if (e := self.session.get(Exposure, key)) is not None]

    def asks(self, inspection, *, reason="review", urgency=0.5):
        """Label tasks for an inspection."""
        found = open_task(
            self.session, inspection, self.exposures(inspection), reason=reason, urgency=urgency, now=self.now
        )
        self.session.commit()
        return found

    def asks_in(self, studio, **inspection):
        """One inspected part whose single task is in Label Studio."""
        (task,) = self.asks(self.inspects(**inspection))
        push_open_tasks(self.session, studio, self.blobs, self.now)
        return task

    def later(self, minutes=1):
        self.now += timedelta(minutes=minutes)
        return self.now


def annotate(studio, task, mask, *, classes=CLASSES):
    """A person submits this mask; the annotation's number."""
    made = studio.call(
        "POST",
        f"api/tasks/{task.studio_task_id}/annotations/",
        json={"result": to_results(mask, classes), "lead_time": 12.5},
    )
    return made["id"]


def drawing(task, *boxes):
    """A mask of the task's crop with one class over each `(x, y, w, h, class id)`."""
    mask = np.zeros((task.crop_height, task.crop_width), np.uint8)
    for x, y, w, h, class_id in boxes:
        box = Box(x, y, w, h)
        mask[box.y : box.bottom, box.x : box.right] = class_id
    return mask


@pytest.fixture
def person():
    """What a person does in Label Studio."""
    return annotate


@pytest.fixture
def draw():
    return drawing
