"""A data set becomes a model: one loop, never longer than asked for, continued where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qc.dataset import DataSet, Mixing, open_dataset
from qc.errors import InvalidInput
from qc.progress import Progress
from segmentation import checkpoint
from segmentation.card import about_data, about_versions
from segmentation.config import NetworkConfig, TrainConfig, as_json
from segmentation.data import Crops
from segmentation.device import on_device
from segmentation.learner import Batch, Learner
from segmentation.limits import limits
from segmentation.model import (
    as_served,
    load_weights,
    refuse_foreign,
    save_model,
)
from segmentation.networks import Network, aligned, build, reach
from segmentation.plan import Plan, Start, make_plan
from segmentation.samples import content_of
from segmentation.schedule import Budget, Clock
from segmentation.teacher import Teacher
from segmentation.together import ALONE, Crew, own_batches
from segmentation.validation import Validator

CHECKPOINT_SECONDS = 30.0
"""How much work a power cut may cost."""

LOOK_EVERY = 150
"""Runs without a given end look at the validation parts after this many steps."""


def train(
    dataset: Path,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    device: str = "cpu",
    seed: int = 0,
    start_from: Path | None = None,
    config: TrainConfig | None = None,
    network: NetworkConfig | None = None,
    teacher: Path | None = None,
    half: bool = False,
    crew: Crew = ALONE,
    progress: Progress | None = None,
    clock: Clock = time.monotonic,
) -> dict[str, Any]:
    """Train on the `train` split, choose the threshold on `val`, write the model folder `out`.

    Args:
        dataset: a data set on disk (contracts, section 2). Without labelled `val` images, parts of `train`
            are held back.
        out: the model folder; until it is finished only `out.partial` is there, from which a killed run continues,
            unless a picture or label was changed meanwhile: then it begins anew.
        minutes: limit for everything, reading and saving included. Neither `minutes` nor `steps`: until the
            validation parts show no further gain.
        steps: an exact number of steps; then the same seed gives the same weights on the same machine.
        device: `cpu`, `cuda` (mixed precision) or `auto` (`segmentation.device`).
        seed: of weights, crops and augmentations.
        start_from: a model folder to continue from; classes are matched by name and may be added.
        config, network: choices that replace the defaults (the network's depth follows the size of the defects).
        teacher: a model folder whose answers are learnt from too; it must know the data set's classes, by name.
        half: store the weights as float16. The stored weights are those that are validated.
        crew: with whom; all of them begin from the same checkpoint in their `out.partial`, or from none.
        progress: told how far it is.
        clock: what `minutes` are measured by. Those of `time.process_time` compare trainings on a busy machine fairly.

    Returns:
        The model's card (`model.json`); nothing for whoever is not rank 0, who writes nothing either.

    Raises:
        InvalidInput: the data set has an error, or nothing to learn from; the crew is larger than `batches_a_step`.
    """
    began = clock()
    _check_limits(minutes, steps)
    device = on_device(device)
    out = Path(out)
    refuse_foreign(out)
    data = open_dataset(dataset)
    plan = make_plan(data, seed=seed, start_from=start_from, config=config, network=network)
    for warning in plan.warnings:
        warnings.warn(warning, stacklevel=2)
    tutor = None if teacher is None else Teacher(teacher, plan.classes, device)
    torch.manual_seed(seed)
    learner = Learner(beginning_network(plan), plan.config, device, tutor=tutor, crew=crew)
    distance = reach(learner.net, plan.network.stride)
    validator = Validator(plan, distance, device, clock, mm_per_px=data.mm_per_px)
    deadline = None if minutes is None else began + 60.0 * minutes
    budget = _budget(plan.config, steps, minutes, deadline, validator, learner, clock)
    folder = checkpoint.partial_folder(out)
    state = _gone_on_from(folder, learner, budget, _fingerprint(plan, steps, seed, device, tutor, data.mixing))

    step = _loop(learner, _crops(data, plan, seed), budget, validator, state, folder, progress)
    if crew.rank:
        return {}

    served = as_served(learner.learnt(), half=half)
    load_weights(learner.net, served, out)
    judged = validator.final(learner.net, deadline=deadline)
    card = save_model(
        out,
        served,
        config=plan.network,
        classes=data.classes,
        reach=distance,
        calibration=judged.calibration,
        threshold=judged.threshold,
        edge=judged.edge,
        image_score=judged.image_score,
        camera_bits=data.depth(),
        half=half,
        about={
            "name": data.name,
            "figures": judged.figures,
            "training": _about_training(plan, step, budget, seed, device, tutor),
            "limits": limits(data, plan, judged.figures["detection"], judged.pictures),
            "dataset": about_data(data, plan),
            "versions": about_versions(device),
        },
        pictures=judged.pictures,
    )
    shutil.rmtree(folder, ignore_errors=True)
    if progress:
        progress(1.0, f"saved {out}")
    return card


def _budget(
    config: TrainConfig,
    steps: int | None,
    minutes: float | None,
    deadline: float | None,
    validator: Validator,
    learner: Learner,
    clock: Clock,
) -> Budget:
    """What may be spent on steps: what is left until `deadline` without what the last validation takes."""
    seconds = None
    if minutes is not None and deadline is not None:
        reserve = validator.plan_time(learner.net, total=60.0 * minutes)
        seconds = max(0.0, deadline - clock() - reserve)
    return Budget(steps, seconds, config.warm_up, config.cool_down, clock=clock)


def _gone_on_from(folder: Path, learner: Learner, budget: Budget, fingerprint: str) -> dict[str, Any]:
    """Where a killed run of the same fingerprint was, given to `learner` and `budget`; or the very beginning."""
    state = checkpoint.read(folder, learner, fingerprint=fingerprint) or {
        "fingerprint": fingerprint,
        "step": 0,
        "used": 0.0,
        "looks": [],
        "falling_from": None,
    }
    budget.falling_from = state["falling_from"]
    budget.used_before = float(state["used"])
    return state


def _crops(data: DataSet, plan: Plan, seed: int) -> Crops:
    return Crops(
        plan.train,
        data.classes,
        plan.index,
        crop_px=plan.config.crop_px,
        batch=plan.config.batch,
        defect_share=plan.config.defect_share,
        seed=seed,
        hard_share=plan.config.hard_share,
        mixing=data.mixing,
    )


def _about_training(
    plan: Plan, steps: int, budget: Budget, seed: int, device: str, tutor: Teacher | None
) -> dict[str, Any]:
    """What the card says of the run: with it and the data the same model can be made again."""
    return {
        **as_json(plan.config),
        "steps": steps,
        "seconds": round(budget.used(), 1),
        "seed": seed,
        "device": device,
        "start_from": plan.start.id if plan.start else None,
        "began_with": plan.beginning.id if plan.beginning else None,
        "teacher": tutor.id if tutor else None,
        "warnings": list(plan.warnings),
    }


def _check_limits(minutes: float | None, steps: int | None) -> None:
    if minutes is not None and not 0 < minutes < float("inf"):
        raise InvalidInput(f"minutes must be a positive number, not {minutes}")
    if steps is not None and steps < 1:
        raise InvalidInput(f"steps must be at least 1, not {steps}")


def _loop(
    learner: Learner,
    crops: Crops,
    budget: Budget,
    validator: Validator,
    state: dict[str, Any],
    folder: Path,
    progress: Progress | None,
) -> int:
    """Step until the budget is used up, keeping checkpoints in `folder`. Returns the steps made."""
    crew, several = learner.crew, learner.config.batches_a_step
    step, looks, kept_at = int(state["step"]), list(state["looks"]), time.monotonic()
    loss_seen, longest = 0.0, 0.0
    own = own_batches(crew, several)
    keep_every_s = CHECKPOINT_SECONDS if crew.keep_every_s is None else crew.keep_every_s

    def draw(step: int) -> list[Batch]:
        return [crops.draw(step * several + number) for number in own]

    with ThreadPoolExecutor(1) as ahead:  # the next batches are cut and changed while these are learnt
        drawn = ahead.submit(draw, step)
        while True:
            ended = budget.share(step) >= 1.0 or budget.too_late(longest)
            over, rate = crew.agreed([float(ended), 0.0 if ended else budget.rate(step)])
            if over:
                break
            began = budget.clock()
            batches = drawn.result()
            drawn = ahead.submit(draw, step + 1)
            step += 1
            loss = learner.learn(batches, rate, step)
            longest = max(0.9 * longest, budget.clock() - began)
            loss_seen = loss if step == 1 else 0.95 * loss_seen + 0.05 * loss
            if crew.rank:
                continue
            if budget.open_ended and step % LOOK_EVERY == 0:
                looks.append(validator.look(learner.net, learner.average))
                budget.judge(step, looks)
            if time.monotonic() - kept_at > keep_every_s:
                now = {"step": step, "used": budget.used(), "looks": looks, "falling_from": budget.falling_from}
                checkpoint.write(folder, learner, {**state, **now})
                crew.kept(folder)
                kept_at = time.monotonic()
            if progress:
                best = f", IoU {max(looks):.2f}" if looks else ""
                progress(min(budget.share(step), 1.0) * 0.95, f"step {step}, loss {loss_seen:.4f}{best}")
        drawn.cancel()
    if not step:
        raise InvalidInput("the time is too short for a single step; give more --minutes")
    return step


def beginning_network(plan: Plan) -> Network:
    """Another model with its head moved to the new classes: all of it, what fits of it, or ImageNet's encoder."""
    net = build(plan.network, len(plan.classes), imagenet=plan.start is None)
    own = net.state_dict()
    if plan.start is not None:
        load_weights(net, {**plan.start.weights, **_moved_head(plan.start, plan.classes, own)}, plan.start.folder)
    elif plan.beginning is not None:
        known = aligned(plan.beginning.weights, own)
        net.load_state_dict({**own, **known, **_moved_head(plan.beginning, plan.classes, own)})
    return net


def _moved_head(start: Start, classes: Mapping[int, str], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The head for `classes`: of background and classes of the same name as in `start`, by chance for the others."""
    old = {name: place for place, name in enumerate(["background", *start.classes.values()])}
    moved = {}
    for kind in ("head.weight", "head.bias"):
        rows = own[kind].clone()
        for place, name in enumerate(["background", *classes.values()]):
            if name in old and rows[:4].shape == start.weights[kind][:4].shape:
                # four rows a class: one for each pixel that is unfolded
                rows[4 * place : 4 * place + 4] = start.weights[kind][4 * old[name] : 4 * old[name] + 4]
        moved[kind] = rows
    return moved


def _fingerprint(
    plan: Plan, steps: int | None, seed: int, device: str, tutor: Teacher | None, mixing: Mixing | None
) -> str:
    """Two runs with the same one may continue each other: nothing was drawn, weighed or chosen differently."""
    deciding = {
        "config": as_json(plan.config),
        "network": as_json(plan.network),
        "classes": {str(k): v for k, v in plan.classes.items()},
        "train": [[s.image.name, *content_of(s)] for s in plan.train],
        "val": [[s.image.name, *content_of(s)] for s in plan.val],
        "start": plan.start.id if plan.start else None,
        "beginning": plan.beginning.id if plan.beginning else None,
        "steps": steps,
        "seed": seed,
        "device": device,
        **({"teacher": tutor.id} if tutor else {}),
        **({"mix": mixing.id} if mixing else {}),
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
