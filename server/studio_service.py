"""Label Studio beside the server: our own, kept running in its own environment, or one whose address was given.

The server inspects without it. Once it answers, project, webhook and classes are set up, and whatever waits is pushed;
when it dies, it is started again.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog

from labeling.book import Told, told
from labeling.records import LabelTask
from labeling.studio import Studio, answers
from labeling.studio_process import StudioProcess, account
from qc.errors import InvalidInput, Unavailable
from server.context import Context
from server.jobs import queue
from server.supervisor import Child, Supervisor

log = structlog.get_logger(__name__)

PART = "label-studio"
"""Its name in /health and in `Context.parts`."""
FOLDER = "label-studio"
"""Under QC_HOME: everything that our own Label Studio keeps."""
PUSH, SWEEP = "push_label_tasks", "sweep_labels"
"""Jobs that are due whenever Label Studio has come up (see `server.label_jobs`)."""
WEBHOOK_PATH = "/api/v1/label-studio/webhook"
SECRET_HEADER = "X-QC-Webhook-Secret"
ML_PATH = "/api/v1/ml"
"""Where Label Studio asks our model; it appends `/predict`, `/setup`, …"""
KEPT = (
    "What people are to label waits here and goes there as soon as it answers; what they have drawn stays there, "
    "and is fetched then."
)
"""Said while Label Studio is away, after why."""
BOOK_PAGE = "/labels/book"
"""The label book among our pages; Label Studio links to it."""
ML_USER = "inspection"
"""Name for HTTP basic authentication there; the password is the webhook's secret."""


class StudioService:
    """Label Studio, as the server sees it. A `server.context.Part`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._connecting: Studio | None = None
        self._connected: Studio | None = None
        """The same, once its project and webhook are set up."""
        self._model_problem: str | None = "not yet registered"
        """Why Label Studio cannot ask our model; None when it can."""
        self._supervisor = Supervisor("Label Studio", self._start, ready=self._ready)

    def begin(self) -> None:
        """Start it in the background."""
        self._supervisor.begin()

    def studio(self) -> Studio:
        """The connection; raises Unavailable while Label Studio does not answer."""
        if self._connected is None:
            raise Unavailable(f"Label Studio is not ready: {self._supervisor.state()['message']}")
        return self._connected

    def state(self) -> dict[str, Any]:
        """For /health. Inspecting goes on without it, so that it is never worse than degraded."""
        state = self._supervisor.state()
        if state["state"] == "failed":
            state["state"] = "degraded"
        if self._connected is None and state["starts"] > 1:
            state["message"] = f"{state['message'].rstrip('.')}. {KEPT}"
        if state["state"] == "ok" and self._model_problem:
            state |= {"state": "degraded", "message": f"no live proposals in Label Studio: {self._model_problem}"}
        return state | {"url": self._context.settings.studio_url}

    def stop(self) -> None:
        """Stop our own; leave a foreign one alone."""
        self._supervisor.stop()
        self._disconnect()

    def fit_classes(self) -> None:
        """Offer the champion's classes in Label Studio, and show the label book as it is. Raises Unavailable."""
        classes, told = self._classes(), self._told()
        studio = self.studio()
        if dict(studio.classes) != classes or studio.book != told.version:
            studio.ensure_project(classes, told=told)

    def register_model(self) -> None:
        """Have Label Studio ask our model for proposals, unless it does so already.

        It asks back at once, so that this may fail while the server starts or is very busy: the next sweep tries again.
        Labelling goes on without it. Raises Unavailable while Label Studio does not answer.
        """
        if self._model_problem is None:
            return
        secret = webhook_secret(self._context.settings.home.resolve())
        try:
            self.studio().ensure_model(self._context.settings.url + ML_PATH, user=ML_USER, password=secret)
        except InvalidInput as error:
            self._model_problem = error.message
            log.warning("model not registered with Label Studio", problem=error.message)
        else:
            self._model_problem = None

    def _start(self, stop: threading.Event) -> Child:
        settings = self._context.settings
        self._disconnect()
        if settings.label_studio_url:
            _wait_for_champion(self._context, stop)
            with Studio(settings.label_studio_url, settings.label_studio_token) as studio:
                studio.check()
            return ForeignStudio(settings.label_studio_url)
        data = settings.folder(FOLDER)
        process = StudioProcess(
            _environment(settings.label_studio_env),
            data,
            port=urlsplit(settings.studio_url).port or 80,
            host=settings.host,
            public_url=settings.studio_url,
        )
        try:
            process.start(give_up=stop)
            _wait_for_champion(self._context, stop)
        except BaseException:
            process.stop()
            raise
        return process

    def _ready(self) -> None:
        """Project, webhook, classes; then push what waits and look for what was missed."""
        context, home = self._context, self._context.settings.home.resolve()
        settings = context.settings
        token = settings.label_studio_token
        if not settings.label_studio_url:
            token = account(settings.folder(FOLDER) / "account.json").token
        studio = self._connecting = Studio(settings.studio_url, token)
        studio.ensure_project(self._classes(), told=self._told())
        studio.ensure_webhook(settings.url + WEBHOOK_PATH, {SECRET_HEADER: webhook_secret(home)})
        self._connected = studio
        self._model_problem = "not yet registered"
        self.register_model()
        with context.database.write() as session:
            for kind in (PUSH, SWEEP):
                queue.enqueue(session, kind, now=context.now(), key=kind, again=True)
            session.commit()

    def _disconnect(self) -> None:
        if self._connecting is not None:
            self._connecting.close()
        self._connecting = self._connected = None

    def _classes(self) -> dict[int, str]:
        serving = self._context.need_champion().serving()
        return {int(class_id): name for class_id, name in serving.classes.items()}

    def _told(self) -> Told:
        with self._context.database.read() as session:
            return told(session, f"{self._context.settings.url}{BOOK_PAGE}")


class ForeignStudio:
    """A Label Studio that somebody else runs. A `server.supervisor.Child`; stopping it is not our business."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._looked = time.monotonic()

    def alive(self) -> bool:
        """Does it answer? Asked at most every `LOOK_S`: it is looked after elsewhere."""
        if time.monotonic() - self._looked < LOOK_S:
            return True
        self._looked = time.monotonic()
        return answers(self._url)

    def stop(self) -> None:
        """Leave it alone."""


LOOK_S = 5.0
"""A Label Studio that went away is noticed after so long, even while nobody needs it."""


def start(context: Context) -> StudioService | None:
    """Start Label Studio unless the settings say otherwise; a line in `server.parts.PARTS`."""
    if not context.settings.label_studio:
        return None
    service = StudioService(context)
    service.begin()
    return service


def _wait_for_champion(context: Context, stop: threading.Event) -> None:
    """People label the classes of the model that serves, so that there must be one."""
    while not context.need_champion().wait(0.5):
        if stop.is_set():
            raise Unavailable("the server is stopping")


def _environment(named: Path) -> Path:
    """The virtual environment of that name: here, or in the folder of the product."""
    if named.is_absolute() or named.exists():
        return named.resolve()
    return Path(__file__).resolve().parents[1] / named


def webhook_secret(home: Path) -> str:
    """What Label Studio proves itself with: made once, readable by this user only."""
    file = home / "label-studio" / "webhook-secret"
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        secret = secrets.token_urlsafe(32)
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return file.read_text(encoding="utf-8")
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(secret)
        return secret


def service(context: Context) -> StudioService:
    """The running service; raises Unavailable where Label Studio is switched off."""
    part = context.parts.get(PART)
    if not isinstance(part, StudioService):
        raise Unavailable("Label Studio is switched off (QC_LABEL_STUDIO)")
    return part


def task_url(context: Context, task: LabelTask) -> str | None:
    """Where a person labels this task; None until it is in Label Studio."""
    if task.studio_task_id is None or not task.studio_project:
        return None
    project = task.studio_project.partition("@")[0]
    return f"{context.settings.studio_url}/projects/{project}/data?task={task.studio_task_id}"
