"""The state of an interrupted run: one safetensors file, written beside the model to be and renamed into place."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

if TYPE_CHECKING:
    from segmentation.learner import Learner

FILE = "checkpoint.safetensors"


def partial_folder(out: Path) -> Path:
    """Where the unfinished run of a model folder keeps its state."""
    return out.with_name(out.name + ".partial")


def write(folder: Path, learner: Learner, state: Mapping[str, Any]) -> None:
    """Keep everything that the next step depends on. Either the old file or the new one is there, whole."""
    tensors = {f"network.{n}": w for n, w in learner.net.state_dict().items()}
    tensors |= {f"average.{n}": w for n, w in learner.average.items()}
    for number, moments in learner.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{n}": torch.as_tensor(v) for n, v in moments.items()}
    folder.mkdir(parents=True, exist_ok=True)
    working = folder / (FILE + ".new")
    stored = {n: w.detach().cpu().contiguous() for n, w in tensors.items()}
    save_file(stored, working, metadata={"state": json.dumps(dict(state))})
    os.replace(working, folder / FILE)


def read(folder: Path, learner: Learner, *, fingerprint: str) -> dict[str, Any] | None:
    """Continue where `write` stopped: fills the learner and returns the state; None if there is nothing that fits."""
    try:
        with safe_open(folder / FILE, framework="pt") as file:
            state = json.loads((file.metadata() or {}).get("state", "{}"))
            if state.get("fingerprint") != fingerprint:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (FileNotFoundError, SafetensorError, ValueError):
        return None  # nothing there, or a run that died before its first checkpoint was whole
    learner.net.load_state_dict({n.removeprefix("network."): w for n, w in tensors.items() if n.startswith("network.")})
    for name, kept in learner.average.items():
        kept.copy_(tensors[f"average.{name}"])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, number, kind = name.split(".")
            moments.setdefault(int(number), {})[kind] = value
    groups = learner.optimiser.state_dict()["param_groups"]
    learner.optimiser.load_state_dict({"state": moments, "param_groups": groups})
    return dict(state)
