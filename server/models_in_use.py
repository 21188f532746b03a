"""The champion: the model that judges parts now. Swapped without a restart when the registry names another.

Which model that is stands in the table ModelVersion (`server.registry` writes it); this file loads it, in a thread of
its own, and keeps the old one serving until the new one is ready.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from sqlmodel import Session, select

import segmentation
from qc.errors import QcError, Unavailable
from qc.ports import Segmenter
from server.settings import Settings
from server.where import EVERYWHERE, where_of

if TYPE_CHECKING:
    from server.db import Database

log = structlog.get_logger(__name__)

STARTER = Path(segmentation.__file__).parent / "starter"
"""The model that comes with the product."""

POLL_S = 2.0
"""How often the table is looked at, for a change made by another process (`qc` commands beside the server)."""

Find = Callable[[Session], tuple[str, Path] | None]
"""Model id and folder of the champion, or None when there is none."""
FindAssigned = Callable[[Session], dict[tuple[str, str], tuple[str, Path]]]
"""(product, station) -> model id and folder, of those that have a champion of their own."""
Load = Callable[[Path], Segmenter]


def no_assignments(session: Session) -> dict[tuple[str, str], tuple[str, Path]]:
    """Every product and station has the same champion."""
    return {}


class Champion:
    """Holds the serving model. A `server.context.Part`."""

    def __init__(
        self,
        database: Database,
        *,
        find: Find,
        load: Load,
        assigned: FindAssigned = no_assignments,
        loaded: Callable[[Segmenter], None] | None = None,
        prepared: Callable[[Segmenter, Path], None] | None = None,
    ) -> None:
        """
        Args:
            loaded: told of a champion that serves from now on.
            prepared: told of one, and its folder, that is about to.
        """
        self._database, self._find, self._load, self._loaded = database, find, load, loaded
        self._prepared = prepared
        self._assigned = assigned
        self._serving: Segmenter | None = None
        self._of_its_own: dict[tuple[str, str], Segmenter | None] = {}
        self._folder = Path()
        self._again = False
        self._problem: str | None = None
        self._failed_id: str | None = None
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="champion", daemon=True)
        self._thread.start()

    def serving(self, product: str = "", station: str = "") -> Segmenter:
        """The model that serves a product at a station: its own where it has one, else the champion.

        Product and station together go before the station, and that before the product.

        Raises:
            Unavailable: there is none, or the one that was assigned could not be loaded: another one never steps in.
        """
        own = self._of_its_own  # once: another one may stand there in the next line
        where = where_of(own, product, station)
        if where != EVERYWHERE:
            if (found := own[where]) is None:
                raise Unavailable(f"the model assigned to {where.words} is not loaded: {self._problem}")
            return found
        if self._serving is None:
            raise Unavailable(self._problem or "the model is still being loaded; try again in a few seconds")
        return self._serving

    def all_serving(self) -> list[Segmenter]:
        """Every model that serves somewhere, the champion first; none while there is none."""
        found = [self._serving, *self._of_its_own.values()]
        return list({one.model_id: one for one in found if one is not None}.values())

    def assigned(self) -> dict[tuple[str, str], str]:
        """(product, station) -> id of the model of its own, of those that are loaded."""
        return {key: one.model_id for key, one in self._of_its_own.items() if one is not None}

    def wait(self, seconds: float) -> bool:
        """Wait until a model serves; False when it took longer than `seconds`."""
        return self._ready.wait(seconds)

    def in_use(self) -> tuple[str, Path] | None:
        """Id and folder of the serving model; None while there is none."""
        return (self._serving.model_id, self._folder) if self._serving is not None else None

    def renew(self) -> None:
        """Load the serving model again: there is a better way to compute it now."""
        self._again = True
        self.changed()

    def changed(self) -> None:
        """Somebody promoted a model: look at the table now."""
        self._failed_id = None
        self._changed.set()

    def state(self) -> dict[str, Any]:
        """For /health."""
        serving = self._serving
        if serving is None:
            return {"state": "failed" if self._problem else "starting", "message": self._problem or "loading the model"}
        state: dict[str, Any] = {"state": "degraded" if self._problem else "ok", "id": serving.model_id}
        state["runtime"] = getattr(serving, "runtime", "torch")
        state["classes"] = {str(class_id): name for class_id, name in serving.classes.items()}
        if self._problem:
            state["message"] = self._problem
        return state

    def stop(self) -> None:
        """Stop looking; the model that serves stays."""
        self._stop.set()
        self._changed.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._changed.clear()
            try:
                self._refresh()
            except Exception as error:  # whatever a broken folder raises, the old model goes on serving
                self._problem = error.message if isinstance(error, QcError) else f"{type(error).__name__}: {error}"
                log.error("champion could not be loaded", problem=self._problem, exc_info=error)
            self._changed.wait(POLL_S)

    def _refresh(self) -> None:
        self._refresh_assigned()
        with self._database.read() as session:
            wanted = self._find(session)
        if wanted is None:
            if self._serving is None:
                self._problem = "there is no model yet; train one with `qc train` and promote it"
            return
        model_id, folder = wanted
        again, self._again = self._again, False
        if self._serving is not None and self._serving.model_id == model_id and not again:
            self._problem = None
            return
        if model_id == self._failed_id:
            return
        self._failed_id = model_id  # not tried again until somebody promotes, or another id stands there
        loaded = self._load(folder)
        if loaded.model_id != model_id:
            raise Unavailable(
                f"the folder of {model_id} now holds {loaded.model_id}; restore it, or promote another model"
            )
        if self._prepared is not None:
            self._prepared(loaded, folder)
        self._serving, self._folder, self._problem, self._failed_id = loaded, folder, None, None
        self._ready.set()
        log.info("champion serves", model=model_id, runtime=getattr(loaded, "runtime", "torch"))
        if self._loaded is not None:
            self._loaded(loaded)

    def _refresh_assigned(self) -> None:
        """Load the models that a product or a station has of its own, each once; what failed is tried again."""
        with self._database.read() as session:
            wanted = self._assigned(session)
        loaded = {one.model_id: one for one in self._of_its_own.values() if one is not None}
        fresh: dict[tuple[str, str], Segmenter | None] = {}
        for key, (model_id, folder) in wanted.items():
            try:
                if model_id not in loaded:
                    loaded[model_id] = self._load(folder)
                if loaded[model_id].model_id != model_id:
                    raise Unavailable(f"the folder of {model_id} holds another model; restore it, or assign another")
                fresh[key] = loaded[model_id]
            except Exception as error:  # whatever a broken folder raises, the others go on serving
                fresh[key] = None
                self._problem = error.message if isinstance(error, QcError) else f"{type(error).__name__}: {error}"
                log.error("an assigned model could not be loaded", model=model_id, problem=self._problem)
        self._of_its_own = fresh


def find_assigned(settings: Settings) -> FindAssigned:
    """The assignments of the registry."""
    from segmentation.records import ModelVersion
    from server.gate_records import Assignment

    def find(session: Session) -> dict[tuple[str, str], tuple[str, Path]]:
        rows = session.exec(select(Assignment, ModelVersion).where(Assignment.champion == ModelVersion.id))
        home = settings.home.resolve()
        return {(own.product, own.station): (model.id, home / model.folder) for own, model in rows}

    return find


def find_champion(settings: Settings) -> Find:
    """The champion of the table ModelVersion; before there is one, the starter model that comes with the product."""
    from segmentation.records import ModelVersion

    def find(session: Session) -> tuple[str, Path] | None:
        row = session.exec(select(ModelVersion).where(ModelVersion.alias == "champion")).first()
        if row is not None:
            folder = settings.home.resolve() / row.folder
            return row.id, folder if folder.is_dir() or not _is_starter(row.id) else STARTER
        if (STARTER / "model.json").is_file():
            from segmentation.model import model_id  # takes seconds to import, so not while the server starts

            return model_id(STARTER), STARTER
        return None

    return find


def _is_starter(wanted: str) -> bool:
    """Is it the model that comes with the product? Another server on this database may have installed it."""
    if not (STARTER / "model.json").is_file():
        return False
    from segmentation.model import model_id

    return model_id(STARTER) == wanted


def loader(settings: Settings) -> Load:
    """Loads a model folder for serving: made ready where it is, computed by torch where it is not yet; and warms it."""

    def load(folder: Path) -> Segmenter:
        from segmentation.device import on_device
        from segmentation.model import load_segmenter, read_card
        from segmentation.ready import is_ready, open_ready
        from server.warming import warm

        ready = ready_folder(settings, str(read_card(folder)["id"]))
        if settings.runtimes and on_device(settings.device) == "cpu" and is_ready(folder, ready):
            found = open_ready(folder, ready, threads=settings.threads, at_once=settings.windows_at_once)
        else:
            found = load_segmenter(folder, device=settings.device, threads=settings.threads)
        found = replace(found, keep_cells=settings.features)
        warm(found)
        return found

    return load


def ready_folder(settings: Settings, model_id: str) -> Path:
    """Where a model made ready for this machine lies."""
    return settings.home.resolve() / "ready" / f"{model_id.removeprefix('sha256:')[:16]}-{settings.threads}"


class Fixed:
    """A model given once and for all: the `find` and `load` of a champion that never changes."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter

    def find(self, session: Session) -> tuple[str, Path] | None:
        """Its id; it needs no folder."""
        return self.segmenter.model_id, Path()

    def load(self, folder: Path) -> Segmenter:
        """Itself."""
        return self.segmenter
