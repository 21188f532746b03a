"""What runs beside the requests, in the order of starting. To add something: a function, and a line in PARTS.

A start function takes the context and returns a `server.context.Part`, or None when the settings switch it off. It
may add to `context.after_inspection` and `context.after_decision`. It returns at once: what takes long happens in its
own thread. One that raises is shown as failed in /health, the others start all the same, and it is tried again until it
starts: a disk that refused one write must not leave a line without a server until somebody comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from server.context import Context, Part

log = structlog.get_logger(__name__)

Start = Callable[[Context], Part | None]


def start_blobs(context: Context) -> Part | None:
    """Takes pictures and masks to the object store, where QC_BLOBS names one."""
    from server.blobs.moving import Mover
    from server.blobs.near_and_far import NearAndFar

    if not isinstance(context.blobs, NearAndFar):
        return None
    return Mover(context.blobs, near_hours=context.settings.blobs_near_hours)


def start_events(context: Context) -> Part | None:
    """Tells and hears what happens at other servers, where the database is one that several may share."""
    from server import events_across

    return events_across.start(context)


def start_servers(context: Context) -> Part | None:
    """Looks after the other servers on this database, where it is one that several may share."""
    from server import servers

    return servers.start(context)


def start_decoders(context: Context) -> Part:
    """Unpacks pictures in processes that may do nothing else."""
    from server.decoding.pool import Decoders, Lent

    if context.decoders is not None:
        context.decode = context.decoders.decode
        return Lent(context.decoders)
    decoders = Decoders(context.settings.unpackers, keep_files=context.settings.model_workers > 0)
    context.decode = decoders.decode
    return decoders


def start_model_workers(context: Context) -> Part | None:
    """Processes in which the champion looks at parts, where the settings ask for some."""
    if context.segmenter is not None or not context.settings.model_workers:
        return None
    from server.model_workers.pool import Workers

    context.workers = Workers(context.settings, context.settings.model_workers)
    return context.workers


def start_champion(context: Context) -> Part:
    """The model that serves."""
    from server.models_in_use import Champion, Fixed, find_assigned, find_champion, loader
    from server.ready_job import ask_where_it_helps

    if context.segmenter is not None:
        fixed = Fixed(context.segmenter)
        context.champion = Champion(context.database, find=fixed.find, load=fixed.load)
    else:
        context.champion = Champion(
            context.database,
            find=find_champion(context.settings),
            load=loader(context.settings),
            assigned=find_assigned(context.settings),
            loaded=partial(ask_where_it_helps, context),
            prepared=context.workers.prepare if context.workers is not None else None,
        )
    context.events.call("model", lambda _: context.need_champion().changed())
    return context.champion


def start_engine(context: Context) -> Part | None:
    """Another server that computes the champion, where the settings name one."""
    from server.remote_engine import start

    return start.start(context)


def start_inspector(context: Context) -> Part:
    """Takes parts in and has them judged."""
    from server.inspecting import Inspector

    context.inspector = Inspector(context)
    return context.inspector


def start_label_studio(context: Context) -> Part | None:
    """Label Studio: our own, or one whose address was given."""
    from server import studio_service

    return studio_service.start(context)


def start_loop(context: Context) -> Part:
    """Jobs, schedules, and the hooks that turn doubt into label tasks."""
    from server import loop

    return loop.start(context)


def start_mirror(context: Context) -> Part | None:
    """The registry of models, mirrored to MLflow where the settings name one."""
    from server import mirror_job

    return mirror_job.start(context)


def start_cameras(context: Context) -> Part | None:
    """Watches over the cameras."""
    from server import camera_health

    return camera_health.start(context)


def start_drift(context: Context) -> Part:
    """Watches over verdicts."""
    from server import drift

    return drift.start(context)


def start_calls(context: Context) -> Part:
    """Watches over the time of calls to the team leader."""
    from server import call_watch

    return call_watch.start(context)


def start_features(context: Context) -> Part | None:
    """Searches what the encoder saw."""
    from server import features_service

    return features_service.start(context)


def start_shadow(context: Context) -> Part | None:
    """The challenger, which looks on."""
    from server import shadow

    return shadow.start(context)


def start_open_inference(context: Context) -> Part | None:
    """Answers other programs under /v2."""
    from server.open_inference import spare

    return spare.start(context)


def start_oidc(context: Context) -> Part | None:
    """Log-in by an identity provider, where the settings name one."""
    from server import oidc

    return oidc.provider_of(context.settings)


def start_codes(context: Context) -> Part | None:
    """Codes on parts that give their names, where `codes.yaml` names a station."""
    from server import codes_config

    return codes_config.start(context)


def start_plant(context: Context) -> Part | None:
    """Stations that a PLC drives, where `plant.yaml` names some."""
    from server.plant import start

    return start.start(context)


def start_outbound(context: Context) -> Part | None:
    """Webhooks and MQTT, where `outbound.yaml` names somebody."""
    from server.outbound import start

    return start.start(context)


def start_folder(context: Context) -> Part:
    """The watched folder."""
    from server.ingest import folder

    return folder.start(context)


def start_demonstration(context: Context) -> Part | None:
    """The demonstration line, where the installation has one."""
    from server import demonstration

    return demonstration.start(context)


PARTS: tuple[tuple[str, Start], ...] = (
    ("events", start_events),  # before whoever keeps what other servers may change
    ("decoders", start_decoders),  # before whoever has pictures
    ("blobs", start_blobs),
    ("oidc", start_oidc),
    ("model-workers", start_model_workers),
    ("model", start_champion),
    ("engine", start_engine),
    ("outbound", start_outbound),  # before whatever has something to tell
    ("label-studio", start_label_studio),
    ("mirror", start_mirror),
    ("jobs", start_loop),
    ("cameras", start_cameras),
    ("drift", start_drift),
    ("calls", start_calls),
    ("features", start_features),
    ("codes", start_codes),  # before whoever takes parts in
    ("plant", start_plant),  # sets decide-by times, which the inspector asks for from its first part on
    # whoever adds hooks stands before the inspector, which at once goes on with what the last stop left behind
    ("inspector", start_inspector),
    ("servers", start_servers),  # hands the inspector parts of servers that are gone
    ("shadow", start_shadow),
    ("open-inference", start_open_inference),
    ("folder", start_folder),
    ("demonstration", start_demonstration),
)
"""(name in /health, start function)."""


AGAIN_S = 5.0
"""After which a part that could not be started is tried again; then after twice as long, and so on."""
LONGEST_S = 300.0
"""Between two attempts."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A part that could not be started."""

    message: str

    def state(self) -> dict[str, Any]:
        return {"state": "failed", "message": self.message}

    def stop(self) -> None:
        """There is nothing to stop."""


class Again:
    """Starts what could not be started, in the same order, as soon as that is possible."""

    def __init__(self, context: Context, failed: Sequence[tuple[str, Start]]) -> None:
        self._context, self._failed = context, list(failed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="start-again", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Try nothing more; what is being started is waited for, so that it can be stopped."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        pause_s = AGAIN_S
        while self._failed and not self._stop.wait(pause_s):
            self._failed = [(name, start) for name, start in self._failed if not _starts(self._context, name, start)]
            pause_s = min(2 * pause_s, LONGEST_S)


def start_all(context: Context, parts: tuple[tuple[str, Start], ...] = PARTS) -> None:
    """Start every part; none may keep the others from starting."""
    failed = [(name, start) for name, start in parts if not _starts(context, name, start)]
    if failed:
        context.again = Again(context, failed)


def _starts(context: Context, name: str, start: Start) -> bool:
    """Start a part; whether it could be. One that could not leaves no hook behind, or the next attempt would add it
    twice."""
    before = context.hooks()
    try:
        part = start(context)
    except Exception as error:  # a part that fails is shown, and does not stop the line
        log.error("part failed to start", part=name, exc_info=error)
        context.hooks_again(before)
        context.parts[name] = Failed(f"{name} could not start: {error}; it is tried again")
        return False
    if part is not None:
        context.parts[name] = part
    else:  # it failed before, and is switched off meanwhile
        context.parts.pop(name, None)
    return True


def stop_all(context: Context) -> None:
    """Stop the parts, last first."""
    if context.again is not None:
        context.again.stop()
    for name, part in reversed(context.parts.items()):
        try:
            part.stop()
        except Exception as error:  # the others must still be stopped
            log.error("part failed to stop", part=name, exc_info=error)
    context.parts.clear()
