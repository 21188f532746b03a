"""Servers that share a PostgreSQL: who lives, and whose parts another one judges.

Each says every few seconds that it lives. What a server took in and has not judged belongs to it (`Inspection.keeper`);
when it has been silent for `QC_TAKE_OVER_S`, another one takes such a part over, if it can have its pictures: they lie
where all servers reach them (`QC_BLOBS`), and a picture's key is its SHA-256. One UPDATE takes it, so that one server
does; and a verdict is recorded under the row's lock, so that a server which was only slow adds no second one. After
`QC_FORGET_SERVER_DAYS` it is forgotten (`server.servers_gone`).
"""

from __future__ import annotations

import threading
import time
from typing import Any

import structlog
from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from qc.records import NOT_JUDGED, Inspection
from server import servers_gone
from server.context import Context
from server.home_id import home_id
from server.inspections import exposures_of
from server.servers_records import ServerHome
from server.shared_models import SharedModels

log = structlog.get_logger(__name__)

LONGEST_BEAT_S = 10.0
"""Between two signs of life; a quarter of `QC_TAKE_OVER_S` where that is less."""
AT_ONCE = 1000
"""Parts of silent servers looked at in one turn."""
FIRST_HOUR_S = 3600.0
"""So long after its own start a server forgets nobody: after a holiday all were silent, and one is the first."""


class Servers:
    """A `server.context.Part`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._home = home_id(context.settings.folder("."))
        self._lease_s = context.settings.take_over_s
        self._beat_s = min(self._lease_s / 4, LONGEST_BEAT_S) if self._lease_s else LONGEST_BEAT_S
        self._models = SharedModels(context) if context.settings.blobs and context.segmenter is None else None
        self._others = self.taken_over = self._out_of_reach = 0
        self._began, self._forget_days = time.monotonic(), context.settings.forget_server_days
        self._problem = self._own_problem = ""
        self._beaten = False
        self._stop, self._wake = threading.Event(), threading.Event()
        self._beat()
        context.events.call("model", lambda _: self._wake.set())
        self._thread = threading.Thread(target=self._run, name="servers", daemon=True)
        self._thread.start()

    def state(self) -> dict[str, Any]:
        """For /health."""
        told: dict[str, Any] = {"state": "ok", "others": self._others, "taken_over": self.taken_over}
        if self._out_of_reach:
            words = (
                f"{self._out_of_reach} parts of a server that is silent wait for it, as their pictures lie on its disk "
                "only: start it again; with a common QC_BLOBS they would be judged here"
            )
            told |= {"state": "degraded", "message": words}
        damaged = self._models.problem if self._models is not None else ""
        if problem := self._problem or self._own_problem or damaged:
            told |= {"state": "degraded", "message": problem}
        return told

    def stop(self) -> None:
        """Say nothing more; what is not judged by then is another server's once the time is over."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                self._beat()
                if self._models is not None:
                    self._models.look()
                if self._lease_s:
                    self._take_over()
                if self._forget_days and not self._stop.is_set():
                    self._forget()
                self._problem = ""
            except Exception as error:  # a database or a store that is away comes back
                self._problem = f"other servers cannot be looked after: {type(error).__name__}: {error}"
                log.warning("other servers cannot be looked after", problem=str(error))
            self._wake.wait(self._beat_s)

    def _beat(self) -> None:
        now = func.clock_timestamp()
        row = {"home": self._home, "address": self._context.settings.url, "seen_at": now}
        mine = insert(ServerHome).values(**row).on_conflict_do_update(index_elements=["home"], set_=row)
        with self._context.database.write() as session:
            if not self._beaten or session.get(ServerHome, self._home) is None:
                self._own_problem = servers_gone.welcome(self._context, session, self._home)
            session.connection().execute(mine)
            session.commit()
        self._beaten = True

    def _take_over(self) -> None:
        inspector = self._context.inspector
        if inspector is None:
            return
        with self._context.database.read() as session:
            others = select(ServerHome.home).where(ServerHome.home != self._home)
            silent = list(session.exec(others.where(servers_gone.silent_for(self._lease_s))))
            self._others = len(list(session.exec(others))) - len(silent)
            left = select(Inspection.id, Inspection.keeper).where(NOT_JUDGED, col(Inspection.keeper).in_(silent))
            found = session.exec(left.order_by(col(Inspection.id)).limit(AT_ONCE)).all() if silent else []
            out_of_reach = 0
            for inspection_id, keeper in found:
                if self._stop.is_set():
                    return
                if not all(
                    self._context.blobs.exists(one.original_key) for one in exposures_of(session, inspection_id)
                ):
                    out_of_reach += 1
                elif self._take(inspection_id, str(keeper)):
                    self.taken_over += 1
                    log.warning("a silent server's part is judged here", inspection=inspection_id, keeper=keeper)
                    inspector.resume(inspection_id)
        self._out_of_reach = out_of_reach

    def _forget(self) -> None:
        """Forget who has been silent for too long; what can be judged here was taken over before."""
        if time.monotonic() - self._began < min(FIRST_HOUR_S, 86400 * self._forget_days):
            return
        gone = select(ServerHome.home).where(
            ServerHome.home != self._home, servers_gone.silent_for(86400 * self._forget_days)
        )
        with self._context.database.read() as session:
            homes = list(session.exec(gone))
        for home in homes:
            servers_gone.forget(self._context, home, days=self._forget_days)

    def _take(self, inspection_id: str, keeper: str) -> bool:
        wanted = update(Inspection).where(NOT_JUDGED, col(Inspection.id) == inspection_id)
        mine = wanted.where(col(Inspection.keeper) == keeper).values(keeper=self._home)
        with self._context.database.write() as session:
            taken = session.connection().execute(mine).rowcount == 1
            session.commit()
        return taken


def others(session: Session, home: str) -> list[str]:
    """The data folders, but `home`, whose servers work or have worked on this database; none on SQLite, where rows may
    have come from a PostgreSQL that had some."""
    if session.get_bind().dialect.name != "postgresql":
        return []
    return list(session.exec(select(ServerHome.home).where(ServerHome.home != home)))


def start(context: Context) -> Servers | None:
    """Start, on PostgreSQL; a line in `server.parts.PARTS`."""
    return Servers(context) if context.database.dialect == "postgresql" else None
