"""The champion is made ready for this machine: the fastest runtime that gives its verdicts takes over from torch.

    a champion is loaded, and torch computes it ──▶ job make_ready ──▶ QC_HOME/ready/<model> ──▶ loaded again

Until then, and where every other runtime is refused, torch serves.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from qc.ports import Segmenter
from server.context import Context
from server.home_id import home_id
from server.jobs import queue
from server.jobs.child import Report, run_in_child
from server.jobs.runner import JobRun
from server.models_in_use import ready_folder

KIND = "make_ready"


def ask_where_it_helps(context: Context, loaded: Segmenter) -> None:
    """A champion was loaded: ask for the job if it is computed on the processor and nothing but torch was tried."""
    from segmentation.device import on_device
    from segmentation.ready import is_ready

    settings, serving = context.settings, context.need_champion().in_use()
    if not settings.runtimes or on_device(settings.device) != "cpu" or serving is None:
        return
    if is_ready(serving[1], ready_folder(settings, loaded.model_id)):
        return
    with context.database.write() as session:
        here = home_id(settings.folder("."))
        queue.enqueue(session, KIND, now=context.now(), key=KIND, again=True, home=here)
        session.commit()


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Make the serving model ready, and let it be loaded again."""
    from segmentation.ready import is_ready

    settings, champion = context.settings, context.need_champion()
    serving = champion.in_use()
    if serving is None:
        return {"waits": "no model serves yet"}
    model_id, folder = serving
    out = ready_folder(settings, model_id)
    if not is_ready(folder, out):
        arguments = {
            "model": str(folder),
            "out": str(out),
            "threads": settings.threads,
            "datasets": [str(f) for f in sorted(settings.folder("retraining").glob("*/dataset"), reverse=True)],
        }
        run_in_child(run, "server.ready_job:make", arguments, log=settings.folder("logs") / "make-ready.log")
    _tidy(out)
    champion.renew()
    return {"model": model_id}


def make(arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """The child's work; `model`, `out` and `threads` as in `segmentation.ready.make_ready`.

    Verdicts are compared on the val images of the model's own training where one of `datasets` still holds them, beside
    the few crops that it carries; 8-bit ranges are read from what it learnt from.
    """
    from segmentation.model import read_card
    from segmentation.parity import Picture
    from segmentation.ready import make_ready
    from segmentation.samples import MOST_LEARNT, carried, found_again

    folder, threads = Path(arguments["model"]), int(arguments["threads"])
    card, places = read_card(folder), [Path(place) for place in arguments["datasets"]]
    samples: list[Picture] = [*carried(folder), *found_again(card, places)]
    learnt = found_again(card, places, MOST_LEARNT, learnt=True)
    said = make_ready(folder, Path(arguments["out"]), samples=samples, learnt=learnt, threads=threads, progress=report)
    return {"runtime": said["runtime"]}


def _tidy(kept: Path) -> None:
    """What was made for earlier champions can be made again; it is not kept."""
    for other in kept.parent.iterdir():
        if other != kept:
            shutil.rmtree(other, ignore_errors=True)
