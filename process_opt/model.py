"""A fitted process: everything needed to advise, in one value and one folder (JSON and arrays, never pickle)."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from process_opt.batches import Batches
from process_opt.capability import capability
from process_opt.choices import choices_of
from process_opt.layout import NO_ROUNDING, Layout, kinds_of, lay_out, reads_of
from process_opt.machines import without
from process_opt.process import Process, parse_process
from process_opt.request import Machines
from process_opt.state_space import Motion
from process_opt.tables import Tables, tables
from process_opt.unsteered import Hands, handled, hands_of
from qc.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from process_opt.drift import Drift, EffectDrift
    from process_opt.estimate import Estimate
    from process_opt.history import History

Floats = NDArray[np.float64]

FORMAT = 1
WORTH_TELLING = 0.95
"""Probability from which on a step is said to drift."""
SHIFTED_AT_HAND = 16
"""Batches and machines whose shifted model is kept in memory."""

__all__ = ["ProcessModel", "build_model", "lay_out", "load_model"]


@dataclass(frozen=True)
class ProcessModel:
    """What a history taught about a process."""

    process: Process
    layout: Layout
    motions: tuple[Motion, ...]
    draws: tuple[Floats, ...]
    """For each step `d x F x D`: frozen draws of its weights from their posterior."""
    gauge: Floats
    """`M`: variance of each reading's error, standardised."""
    start: tuple[Floats, Floats]
    identified: Mapping[str, bool]
    """For each setting: can its effect be told from the operators' habits?"""
    check: Mapping[str, Any] = field(default_factory=dict)
    """How predictions did on held-out parts; its `widen...` go into every prediction (`misfit.py`)."""
    learnt: Mapping[str, Any] = field(default_factory=dict)
    """What outcomes taught since the fit."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Size of the history, notes on it, seed."""
    batches: Batches = field(default_factory=Batches)
    machine_shifts: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """`M x T x d`: what each machine of a step adds to the average of them (`machines.py`)."""
    machine_surer: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """`M x T x d`: by how much the step's variances are less for parts of which the machine is known."""
    band: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """How surely all weights are known (`knowledge.py`); empty in a model of an earlier version, which cannot learn
    effects from outcomes."""

    @cached_property
    def id(self) -> str:
        """`sha256:…` of everything that decides an answer."""
        digest = hashlib.sha256()
        digest.update(json.dumps(self._words(), sort_keys=True, ensure_ascii=False).encode())
        for name, array in sorted(self._arrays().items()):
            digest.update(name.encode() + str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return f"sha256:{digest.hexdigest()}"

    @property
    def size(self) -> int:
        """How many draws."""
        return int(self.draws[0].shape[2])

    @cached_property
    def bent(self) -> tuple[bool, ...]:
        """For each step: do its settings act other than in proportion?"""
        return tuple(
            m.law is not None or any(len(levers) + (c >= 0) > 1 for levers, c in m.terms if levers)
            for m in self.motions
        )

    @cached_property
    def gauge_behind(self) -> Floats:
        """`M`: as `gauge`, of what lies behind readings that come in steps (`rounding.py`), whose limits are between
        the steps."""
        steps = np.array([self.layout.step(i) for i in range(self.gauge.size)])
        return np.maximum(self.gauge - (steps / self.layout.scale[self.layout.coordinate]) ** 2 / 12, 0.0)

    @cached_property
    def choices(self) -> dict[int, Floats]:
        """Settings that can only be put to certain values (`choices.py`): place, and the values, standardised."""
        known, out = self.about.get("choices", {}), {}
        for place, (name, (_, setting)) in enumerate(self.process.settings.items()):
            if values := known.get(name) or setting.values:
                raw = np.array(values, dtype=float)
                out[place] = (raw - self.layout.nominal[place]) / self.layout.stretch[place]
        return out

    @cached_property
    def stricter(self) -> ProcessModel:
        """The same with the price of an escape at which going on pays only within the process's limit of risk."""
        p, limit = self.process, self.process.escape_limit
        if limit is None:
            return self
        return replace(self, process=replace(p, escape=min(p.escape, (p.scrap - (1 - limit) * p.value) / limit)))

    @cached_property
    def handled(self) -> tuple[ProcessModel, Hands] | None:
        """Where people chose every setting of the history: the model of parts that they go on correcting, and how."""
        if "people" not in self.about:
            return None
        hands = hands_of(self.about["people"])
        return handled(self, hands), hands

    @cached_property
    def widening(self) -> Floats:
        """`m x D`: as `widening_at`, on average over the way."""
        return self._widened(np.zeros(len(self.process.conformance)))

    def widening_at(self, at: int) -> Floats:
        """`m x D`: factor for the predicted standard deviation of each deciding reading, in each draw, of a part before
        step `at`.

        How right the fit is, is itself only known so well (`misfit.py`): every draw has its own opinion, so that the
        interval of a promise holds this too. Quantiles, in orders without meaning: one that the readings share, and
        one of each reading's own.
        """
        if at not in self._widenings:
            later = np.asarray(self.check.get("widen_later") or [], dtype=float)
            self._widenings[at] = self._widened(later[at]) if at < len(later) else self.widening
        return self._widenings[at]

    @cached_property
    def _widenings(self) -> dict[int, Floats]:
        return {}

    def _widened(self, more: Floats) -> Floats:
        """The factors, where their logarithms' variances are `more` (`m`) than usual."""
        variance = np.asarray(self.check.get("widen", np.ones(len(self.process.conformance))), dtype=float)
        sd = np.sqrt(np.asarray(self.check.get("widen_sd", np.zeros(variance.size)), dtype=float) ** 2 + more)
        alike = float(self.check.get("widen_alike", 1.0))
        rng = np.random.default_rng(3)
        z = ndtri((np.array([rng.permutation(self.size) for _ in range(1 + variance.size)]) + 0.5) / self.size)
        off = sd[:, None] * (np.sqrt(alike) * z[0] + np.sqrt(1.0 - alike) * z[1:])
        return np.asarray(np.sqrt(variance)[:, None] * np.exp(off / 2 - sd[:, None] ** 2 / 4))

    @cached_property
    def wrong(self) -> Floats:
        """`m x D`: by how much each draw has the mean of each deciding reading wrong, in the standard deviations that
        it promises before `widening`.

        Errors that are larger than promised, over thousands of parts, are those of the model's form: an effect that is
        bent otherwise, or of what nobody measures. To the plan at hand such an error happens every time, so the excess
        of the variance belongs to what is not known of the chance, not to the chance (Kennedy and O'Hagan 2001).
        Quantiles, in orders without meaning; each half of the draws holds all of them, so that neither leans.
        """
        variance = np.asarray(self.check.get("widen", np.ones(len(self.process.conformance))), dtype=float)
        rng = np.random.default_rng(7)
        halves = [self.size // 2, self.size - self.size // 2]
        z = [np.concatenate([ndtri((rng.permutation(n) + 0.5) / n) for n in halves]) for _ in variance]
        return np.asarray(np.sqrt(np.maximum(variance - 1.0, 0.0))[:, None] * np.array(z))

    def within(self, at: int) -> Floats:
        """`m x D`: what is left of `widening_at` for the chance itself, where `wrong` is taken off."""
        return np.asarray(self.widening_at(at) / np.sqrt(1.0 + (self.wrong**2).mean(axis=1, keepdims=True)))

    @cached_property
    def _shifted(self) -> dict[tuple[str | None, Machines], ProcessModel]:
        return {}

    def made_by(self, batch: str | None, machines: Machines = ()) -> ProcessModel:
        """The model for parts of a batch that go over known machines: its steps shifted by what the batch's other parts
        showed and the machines are known to do, and with less chance where the machine is known."""
        batches = self.batches.names
        batch = batch if batch in batches else None
        machines = machines if self.machine_shifts.size else ()
        if batch is None and not machines:
            return self
        key = batch, machines
        if key not in self._shifted:
            shift = np.zeros((len(self.motions), self.layout.d))
            noise = [motion.noise for motion in self.motions]
            if batch is not None:
                shift = shift + self.batches.shifts[batches.index(batch)]
            for step, machine in machines:
                k = self.process.place[step]
                m = self.process.steps[k].machines.index(machine)
                shift[k] += self.machine_shifts[m, k]
                noise[k] = without(noise[k], self.machine_surer[m, k])
            if len(self._shifted) > SHIFTED_AT_HAND:
                self._shifted.clear()
            self._shifted[key] = self._moved_by_steps(shift, noise)
        return self._shifted[key]

    def _moved_by_steps(self, shift: Floats, noise: Sequence[Floats]) -> ProcessModel:
        """The same with `shift` (`T x d`) added by the steps, and with their chance."""
        motions, draws = [], []
        for k, motion in enumerate(self.motions):
            weights, drawn = motion.weights.copy(), self.draws[k].copy()
            weights[:, 0] += shift[k]
            drawn[:, 0] += shift[k][:, None]
            motions.append(replace(motion, weights=weights, noise=noise[k]))
            draws.append(drawn)
        return replace(self, motions=tuple(motions), draws=tuple(draws))

    @cached_property
    def tables(self) -> Tables:
        """All steps side by side, for working out plans."""
        return tables(self)

    def with_machines(self, shifts: Floats, surer: Floats) -> ProcessModel:
        """The same, knowing what machines add, and how much surer a part is for it (both `M x T x d`)."""
        return replace(self, machine_shifts=shifts, machine_surer=surer)

    def with_band(self, band: Floats, parts: int) -> ProcessModel:
        """The same, knowing how surely its weights are known together, from so many parts."""
        rounded = band.astype(np.float32).astype(np.float64)  # as it comes back from the folder
        return replace(self, band=rounded, about={**self.about, "learnt_from": parts})

    def moved_by(self, off: Floats) -> ProcessModel:
        """The same with all weights (one vector, step by step), and all draws of them, moved by `off`."""
        motions, draws, at = [], [], 0
        for motion, drawn in zip(self.motions, self.draws, strict=True):
            here = off[at : at + motion.weights.size].reshape(motion.weights.shape)
            at += motion.weights.size
            motions.append(replace(motion, weights=motion.weights + here))
            draws.append((drawn + here[:, :, None]).astype(np.float32).astype(np.float64))
        return replace(self, motions=tuple(motions), draws=tuple(draws))

    def moved_on(self, drift: Drift, rng: np.random.Generator) -> ProcessModel:
        """The same with every step where drift has brought it, for the parts to come; how surely, in the draws."""
        if not drift.level.any():
            return self
        z = rng.standard_normal((*drift.level.shape, self.size // 2))
        off = drift.level[:, :, None] + np.sqrt(drift.variance)[:, :, None] * np.concatenate([z, -z], axis=2)
        motions, draws = [], []
        for k, motion in enumerate(self.motions):
            weights, drawn = motion.weights.copy(), self.draws[k].copy()
            weights[:, 0] += drift.level[k]
            drawn[:, 0] += off[k]
            motions.append(replace(motion, weights=weights))
            draws.append(drawn.astype(np.float32).astype(np.float64))
        scale = self.layout.scale
        told = {
            self.process.steps[k].name: {
                self.layout.coordinates[c]: round(float(drift.level[k, c] * scale[c]), 8)
                for c in np.flatnonzero(drift.sure[k] > WORTH_TELLING)
            }
            for k in np.flatnonzero((drift.sure > WORTH_TELLING).any(axis=1))
        }
        about = {**self.about, "drift": told}
        # a batch's shift holds the drift of its time: it is kept against where the steps are now
        batches = self.batches.against(drift.level)
        return replace(self, motions=tuple(motions), draws=tuple(draws), batches=batches, about=about)

    def with_effects(self, drift: EffectDrift, rng: np.random.Generator) -> ProcessModel:
        """The same with what settings do where drift has brought it, for the parts to come."""
        if not drift.level.any():
            return self
        weights, draws = [m.weights.copy() for m in self.motions], [drawn.copy() for drawn in self.draws]
        z = rng.standard_normal((*drift.level.shape, self.size // 2))
        off = np.sqrt(drift.variance)[:, :, None] * np.concatenate([z, -z], axis=2)
        notes = list(self.about.get("notes", []))
        names = list(self.process.settings)
        for e, (k, f) in enumerate(zip(drift.step, drift.column, strict=True)):
            motion = self.motions[k]
            name = names[motion.acting(self.layout.levers[k])[motion.terms[f][0][0]]]
            for c in np.flatnonzero(drift.sure[e] > WORTH_TELLING):
                scale = self.layout.scale[c] / self.layout.stretch[names.index(name)]
                average, now = weights[k][c, f] * scale, (weights[k][c, f] + drift.level[e, c]) * scale
                notes.append(
                    f"{name} does not do to {self.layout.coordinates[c]} what it did: {now:.3g} for one of its units "
                    f"at the end of the history, {average:.3g} on average; plans are made with the former"
                )
            weights[k][:, f] += drift.level[e]
            draws[k][:, f] += drift.level[e][:, None] + off[e]
        rounded = tuple(drawn.astype(np.float32).astype(np.float64) for drawn in draws)
        motions = tuple(replace(m, weights=w) for m, w in zip(self.motions, weights, strict=True))
        return replace(self, motions=motions, draws=rounded, about={**self.about, "notes": notes})

    def with_check(self, check: Mapping[str, Any]) -> ProcessModel:
        """The same, knowing how well it predicts."""
        return replace(self, check=dict(check))

    def report(self) -> dict[str, Any]:
        """A short account of the model, as JSON: the steps, what is not identified, calibration."""
        from process_opt.report import account

        return account(self)

    def save(self, folder: Path) -> None:
        """Write the model folder; whole or not at all."""
        from process_opt.report_page import as_html

        folder = Path(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            words = {"format": FORMAT, "id": self.id, **self._words()}
            (temporary / "model.json").write_text(json.dumps(words, indent=1, ensure_ascii=False), encoding="utf-8")
            report = self.report()
            (temporary / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
            (temporary / "report.html").write_text(as_html(report), encoding="utf-8")
            with (temporary / "arrays.npz").open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **self._arrays())
            os.chmod(temporary, 0o755)
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(temporary, folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def _words(self) -> dict[str, Any]:
        names = list(self.process.settings)
        late = [[names[place] for place in m.late] for m in self.motions]
        return {
            "process": dict(self.process.source),
            "coordinates": list(self.layout.coordinates),
            "terms": [[[list(levers), c] for levers, c in m.terms] for m in self.motions],
            "identified": dict(self.identified),
            "check": dict(self.check),
            "learnt": dict(self.learnt),
            "about": {**self.about, **({"batches": list(self.batches.names)} if self.batches.names else {})},
            **({"late": late} if any(late) else {}),
        }

    def _arrays(self) -> dict[str, Floats]:
        out = {
            "mean": self.layout.mean,
            "scale": self.layout.scale,
            "nominal": self.layout.nominal,
            "stretch": self.layout.stretch,
            "gauge": self.gauge,
            "start_mean": self.start[0],
            "start_cov": self.start[1],
        }
        if self.layout.rounding.size:
            out["rounding"] = self.layout.rounding
        if self.batches.shifts.size:
            out["shifts"] = self.batches.shifts
        if self.batches.spread.size:
            out["batch_parts"], out["batch_spread"] = self.batches.parts, self.batches.spread
            out["batch_told"] = self.batches.told
        if self.machine_shifts.size:
            out["machine_shifts"], out["machine_surer"] = self.machine_shifts, self.machine_surer
        if self.band.size:
            out["band"] = self.band.astype(np.float32)
        for k, (motion, draws) in enumerate(zip(self.motions, self.draws, strict=True)):
            out[f"weights_{k}"] = motion.weights
            out[f"noise_{k}"] = motion.noise
            out[f"unknown_{k}"] = motion.unknown
            out[f"draws_{k}"] = draws.astype(np.float32)
        return out


def build_model(
    process: Process,
    history: History,
    layout: Layout,
    estimate: Estimate,
    draws: list[Floats],
    identified: Mapping[str, bool],
    *,
    seed: int,
) -> ProcessModel:
    """A model from an estimate."""
    about = {
        "parts": history.size,
        "scrapped": int(history.scrapped.sum()),
        "dithered": int(history.dithered.sum()),
        "notes": list(history.notes),
        "capability": capability(process, history),
        "seed": seed,
        **({"choices": choices} if (choices := choices_of(process, history)) else {}),
    }
    rounded = tuple(d.astype(np.float32).astype(np.float64) for d in draws)  # as they come back from the folder
    return ProcessModel(
        process, layout, estimate.motions, rounded, estimate.gauge, estimate.start, dict(identified), about=about
    )


def load_model(folder: Path) -> ProcessModel:
    """The model in a folder; raises NotFound or InvalidInput that say what is wrong with it."""
    folder = Path(folder)
    if not (folder / "model.json").is_file():
        raise NotFound(f"{folder} is not a process model: model.json is not there; make one with qc process fit")
    try:
        words = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        with np.load(io.BytesIO((folder / "arrays.npz").read_bytes()), allow_pickle=False) as stored:
            a = {name: np.asarray(stored[name], dtype=float) for name in stored.files}
        if words.get("format") != FORMAT:
            raise InvalidInput(f"{folder} has format {words.get('format')}, this version reads {FORMAT}; fit it again")
        process = parse_process(words["process"], where=f"{folder.name}/model.json")
        terms = [tuple((tuple(levers), int(c)) for levers, c in step) for step in words["terms"]]
        layout = _layout(process, words["coordinates"], a)
        physics, settings = layout.laws(process), list(process.settings)
        late = words.get("late", [[]] * len(terms))
        motions = tuple(
            Motion(
                terms[k], a[f"weights_{k}"], a[f"noise_{k}"], a[f"unknown_{k}"], physics[k],
                tuple(settings.index(name) for name in late[k]),
            )
            for k in range(len(terms))
        )  # fmt: skip
        model = ProcessModel(
            process=process,
            layout=layout,
            motions=motions,
            draws=tuple(a[f"draws_{k}"] for k in range(len(terms))),
            gauge=a["gauge"],
            start=(a["start_mean"], a["start_cov"]),
            identified=words["identified"],
            check=words["check"],
            learnt=words["learnt"],
            about=words["about"],
            batches=_batches(words, a),
            machine_shifts=a.get("machine_shifts", np.zeros((0, 0, 0))),
            machine_surer=a.get("machine_surer", np.zeros((0, 0, 0))),
            band=a.get("band", np.zeros((0, 0))),
        )
    except InvalidInput:
        raise
    except Exception as error:  # a damaged file fails in many ways, all meaning the same
        raise InvalidInput(f"{folder} is damaged ({error!r:.120}); fit it again") from error
    if model.id != words["id"]:
        raise InvalidInput(f"{folder} was altered: its content does not match its id; fit it again")
    return model


def _batches(words: Mapping[str, Any], a: Mapping[str, Floats]) -> Batches:
    """Models of an earlier version say what batches have in common, but not how surely, and so do not learn more."""
    names = tuple(words["about"].get("batches", []))
    kept = {name: a[f"batch_{name}"] for name in ("parts", "spread", "told") if f"batch_{name}" in a}
    return Batches(names, **{**kept, **({"shifts": a["shifts"]} if "shifts" in a else {})})


def _layout(process: Process, coordinates: list[str], a: Mapping[str, Floats]) -> Layout:
    levers = {name: i for i, name in enumerate(process.settings)}
    place = np.array([coordinates.index(name.split(".", 1)[1]) for name in process.measurements], dtype=np.int64)
    return Layout(
        coordinates=tuple(coordinates),
        reads=reads_of(process, place, a["mean"]),
        levers=tuple(tuple(levers[x.name] for x in step.settings) for step in process.steps),
        mean=a["mean"],
        scale=a["scale"],
        nominal=a["nominal"],
        stretch=a["stretch"],
        coordinate=place,
        kinds=kinds_of(process),
        rounding=a.get("rounding", NO_ROUNDING),
    )
