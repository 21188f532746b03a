"""A 12 Mpx frame with 200 defects becomes tasks, and a real browser opens them::

    OMP_NUM_THREADS=1 python tests/bench/label_studio_tasks.py --defects 200 --views 1 --repeat 3
    OMP_NUM_THREADS=1 python tests/bench/label_studio_tasks.py --views 4                  # with other views beside

Starts the installed Label Studio in a folder of its own (or takes `--data`, one that was started before), and Debian's
Chromium. Reported:

- `create`: from the inspection's defects to tasks in Label Studio with crops, other views and proposals, all tasks of
  the frame;
- `open`: from the click on a task's link until the crop and every proposed region is painted and can be edited; once
  with an empty cache, then as a labeller has it, one task after the other; and what the page begins with;
- `next`: the same, from the click on another task in the list beside, where the page stays;
- `floor`: both for a task with a picture of 64 px and no region, in between: what Label Studio's page takes by itself.

Each as wall seconds, and as CPU seconds of the three who work: this process (`here`), Label Studio, and the browser.
`others` is how many cores somebody else had meanwhile: wall seconds mean what they say where that is near 0.

One task is then submitted as it was proposed, and its mask compared with what was pushed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright
from sqlmodel import Session, SQLModel, create_engine

from labeling.config import BESIDE
from labeling.convert import from_results
from labeling.push import learn_places, png, push_open_tasks
from labeling.records import LabelTask
from labeling.studio import KEY, Studio, Wanted
from labeling.studio_process import StudioProcess
from labeling.tasks import open_task
from qc.records import Exposure, Inspection
from qc.verdict import Verdict
from server.blobs.local import LocalBlobs

ENV = Path(__file__).parents[2] / ".venv-label-studio"
CLASSES = {1: "scratch", 2: "dent"}
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
HEIGHT, WIDTH = 3000, 4000
READY = """(wanted) => {
  const chosen = window.Htx?.annotationStore?.selected;
  if (window.Htx?.task?.id !== wanted.id || chosen?.type !== "annotation") return false;
  const crop = chosen.names.get("image").currentImageEntity;
  const shown = [...document.images].find(i => i.src === crop.currentSrc && i.complete && i.naturalWidth > 0);
  const painted = (region) => region.type !== "brushregion" || region.layerRef?.findOne("Image")?.image();
  return Boolean(shown && chosen.regions.length >= wanted.regions && chosen.regions.every(painted));
}"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a stretch of work took. In seconds, but for `others`."""

    wall: float
    here: float
    """CPU of this process, likewise of Label Studio and of the browser."""
    studio: float
    browser: float
    others: float
    """Cores that were busy for somebody else, on average."""

    def __str__(self) -> str:
        return (
            f"{self.wall:.2f} s (CPU: here {self.here:.2f}, Label Studio {self.studio:.2f}, browser "
            f"{self.browser:.2f} s; others had {self.others:.1f} cores)"
        )


class Meter:
    """Adds up what everybody spent since it was made."""

    def __init__(self, studio: int | None) -> None:
        self._studio = studio
        self._began = time.perf_counter(), *self._spent()

    def cost(self) -> Cost:
        """Since the meter was made."""
        now = time.perf_counter(), *self._spent()
        wall, here, studio, browser, all_of_us = (b - a for a, b in zip(self._began, now, strict=True))
        others = max(all_of_us - here - studio - browser, 0.0) / wall
        return Cost(*(round(v, 3) for v in (wall, here, studio, browser)), round(others, 2))

    def _spent(self) -> tuple[float, float, float, float]:
        """CPU seconds so far: here, Label Studio, the browser, the whole machine."""
        me = psutil.Process()
        family = {p.pid: p for p in me.children(recursive=True)}
        groups = {pid: os.getpgid(pid) for pid in family}
        studio = sum(_cpu(p) for pid, p in family.items() if groups[pid] == self._studio)
        browser = sum(_cpu(p) for pid, p in family.items() if groups[pid] != self._studio)
        machine = psutil.cpu_times()
        busy = sum(machine) - machine.idle - machine.iowait - machine.guest - machine.guest_nice
        return _cpu(me, children=False), studio, browser, busy


def _cpu(process: psutil.Process, *, children: bool = True) -> float:
    """Of a process, and of those of its children that have ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    ended = times.children_user + times.children_system if children else 0.0
    return float(times.user + times.system + ended)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def frame(
    rng: np.random.Generator, defects: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint16], list[dict[str, object]]]:
    """Brushed metal with defects: pixels, instances, and what an exposure says of them."""
    grain = rng.normal(120, 14, (HEIGHT, 1)) + rng.normal(0, 6, (HEIGHT, WIDTH))
    pixels = np.clip(grain, 0, 255).astype(np.uint8)
    instances = np.zeros((HEIGHT, WIDTH), np.uint16)
    said = []
    while len(said) < defects:
        x, y, k = int(rng.integers(60, WIDTH - 60)), int(rng.integers(60, HEIGHT - 60)), len(said) + 1
        own = np.zeros((121, 121), np.uint8)
        if rng.random() < 0.5:
            cv2.line(own, (60 - int(rng.integers(5, 55)), 60), (60 + int(rng.integers(5, 55)), 60), 1, 2)
        else:
            axes = int(rng.integers(3, 25)), int(rng.integers(3, 12))
            cv2.ellipse(own, (60, 60), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        place = np.s_[y - 60 : y + 61, x - 60 : x + 61]
        if instances[place].any():
            continue
        instances[place][own > 0] = k
        pixels[place][own > 0] = 30
        bx, by, bw, bh = cv2.boundingRect(own)
        class_id = 1 + k % 2
        said.append(
            {"class": CLASSES[class_id], "class_id": class_id, "score": round(float(rng.uniform(0.3, 0.99)), 3)}
            | {"bbox": [x - 60 + bx, y - 60 + by, bw, bh], "area_px": int(own.sum()), "counts": True}
        )
    return pixels, instances, said


def inspects(session: Session, blobs: LocalBlobs, seed: int, *, defects: int, views: int) -> Inspection:
    rng = np.random.default_rng(seed)
    now = datetime.now(UTC)
    inspection = Inspection(
        part=f"P-{seed}", station="end", verdict=Verdict.REVIEW, score=0.6, model="sha256:bench", received_at=now
    )
    session.add(inspection)
    session.flush()
    pixels, instances, said = frame(rng, defects)
    for n in range(views):
        shift = np.array([[1, 0, 23 * n], [0, 1, -17 * n]], np.float64)
        seen = pixels if n == 0 else cv2.warpAffine(pixels, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        data, key = png(seen), f"frames/{inspection.id}/{n}"
        blobs.put(f"{key}.png", data)
        mask = instances if n == 0 else np.zeros_like(instances)
        blobs.put(f"{key}.instances.png", cv2.imencode(".png", mask)[1].tobytes())
        session.add(
            Exposure(
                inspection_id=inspection.id,
                n=n,
                view=f"view {n}",
                format="PNG",
                width=WIDTH,
                height=HEIGHT,
                sha256=hashlib.sha256(data).hexdigest(),
                original_key=f"{key}.png",
                instances_key=f"{key}.instances.png",
                score=0.9 if n == 0 else 0.01,
                verdict=Verdict.REVIEW,
                defects=said if n == 0 else [],
            )
        )
    session.commit()
    return inspection


def creates(
    session: Session, studio: Studio, blobs: LocalBlobs, inspection: Inspection, server: int | None
) -> tuple[list[LabelTask], Cost]:
    """The tasks of an inspection, in Label Studio."""
    meter = Meter(server)
    exposures = [e for n in range(99) if (e := session.get(Exposure, (inspection.id, n))) is not None]
    tasks = open_task(session, inspection, exposures, reason="review", urgency=0.5, now=datetime.now(UTC))
    session.commit()
    push_open_tasks(session, studio, blobs, datetime.now(UTC))
    return tasks, meter.cost()


def opens(
    page: Page, studio: Studio, number: int, server: int | None, *, beside: bool = False
) -> tuple[Cost, dict[str, object]]:
    """What it takes until the editor shows a task, and what it begins with.

    Args:
        beside: it is chosen in the list beside the editor, else by its link.
    """
    there = studio.task(number)
    regions = len(there["predictions"][-1]["result"])
    wanted = {"id": number, "regions": regions}
    meter = Meter(server)
    if beside:
        page.evaluate("(id) => window.DM.startLabeling({ id }, { pushState: false })", number)
    else:
        page.goto(studio.task_url(number), wait_until="commit")
    page.wait_for_function(READY, arg=wanted, polling="raf")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    cost = meter.cost()
    kinds = page.evaluate("() => window.Htx.annotationStore.selected.regions.map(r => r.type)")
    return cost, {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def empty_task(studio: Studio) -> int:
    """A task with next to nothing to show: no page of Label Studio is there sooner."""
    address = studio.upload(png(np.full((64, 64), 200, np.uint8)), name="empty.png")
    return studio.create_tasks([Wanted({KEY: "empty", "image": address, BESIDE: [address]}, [[]], 0.0, "none")])[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--defects", type=int, default=200)
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3, help="frames; the first one warms Label Studio up")
    parser.add_argument("--data", type=Path, help="the data folder of a Label Studio that was started before")
    parser.add_argument("--picture", type=Path, help="where a picture of the page is put")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        process = StudioProcess(ENV, args.data or folder / "studio", port=free_port())
        process.start(timeout_s=1200)
        try:
            with Studio(process.url, process.account.token, timeout_s=120) as studio:
                studio.ensure_project(CLASSES, title=f"Bench {int(time.time())}")
                report(args, folder, studio, process)
        finally:
            process.stop()


def report(args: argparse.Namespace, folder: Path, studio: Studio, process: StudioProcess) -> None:
    engine = create_engine(f"sqlite:///{folder / 'bench.sqlite3'}")
    SQLModel.metadata.create_all(engine)
    found: dict[str, object] = {"defects": args.defects, "views": args.views}
    with Session(engine, expire_on_commit=False) as session:
        blobs, made = LocalBlobs(folder / "blobs"), []
        for seed in range(args.repeat):
            inspection = inspects(session, blobs, seed, defects=args.defects, views=args.views)
            tasks, cost = creates(session, studio, blobs, inspection, process.pid)
            made.append(tasks)
            print(f"frame {seed}: {len(tasks)} tasks created in {cost}", flush=True)
            if seed == 0 and args.views > 1:
                began = time.perf_counter()
                tried = learn_places(session, blobs, datetime.now(UTC), most=args.views * (args.views - 1) // 2)
                print(f"places learnt: {tried} pairs in {time.perf_counter() - began:.1f} s", flush=True)
        found |= {"tasks": len(made[-1]), "create": asdict(cost)}
        with sync_playwright() as player:
            browser = player.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            page.set_default_timeout(300_000)
            page.goto(f"{studio.url}/user/login/")
            page.fill("input[name=email]", process.account.email)
            page.fill("input[name=password]", process.account.password)
            page.click("button[type=submit]")
            page.wait_for_load_state("networkidle")
            empty = empty_task(studio)
            for way, tasks in (("open", made[-1][:5]), ("next", made[-2][:5] if len(made) > 1 else [])):
                costs, floors = [], []
                for k, task in enumerate(tasks):
                    cost, shown = opens(page, studio, task.studio_task_id or 0, process.pid, beside=way == "next")
                    costs.append(asdict(cost))
                    print(f"{way} {k}: shown after {cost}, {shown}", flush=True)
                    floor, _ = opens(page, studio, empty, process.pid, beside=way == "next")
                    floors.append(asdict(floor))
                    print(f"floor of {way} {k}: shown after {floor}", flush=True)
                found |= {way: costs, f"floor of {way}": floors}
            opens(page, studio, task.studio_task_id or 0, process.pid)  # which is submitted below
            if args.picture:
                page.wait_for_timeout(3000)
                page.screenshot(path=str(args.picture))
            found["submitted_exact"] = submits(page, studio, task)
            browser.close()
    engine.dispose()
    print(json.dumps(found))


def submits(page: Page, studio: Studio, task: LabelTask) -> bool:
    """A person submits what was proposed: is it the same mask, to the pixel?"""
    page.get_by_role("button", name="Submit").first.click()
    number = task.studio_task_id or 0
    until = time.perf_counter() + 120
    while not (there := studio.task(number))["annotations"]:
        if time.perf_counter() > until:
            return False
        time.sleep(0.5)
    size = {"height": task.crop_height, "width": task.crop_width}
    pushed = from_results(there["predictions"][-1]["result"], CLASSES, **size).mask
    return bool((from_results(there["annotations"][0]["result"], CLASSES, **size).mask == pushed).all())


if __name__ == "__main__":
    main()
