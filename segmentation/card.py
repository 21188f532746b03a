"""What a model's card says about where the model came from."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from qc.dataset import DataSet, Sample
from segmentation.plan import Plan
from segmentation.samples import sha256_of

_PACKAGES = (
    "qc-line",
    "torch",
    "timm",
    "segmentation-models-pytorch",
    "albumentations",
    "numpy",
    "opencv-python-headless",
)


def about_data(data: DataSet, plan: Plan) -> dict[str, Any]:
    """Name, licence, mix, counts, and the SHA-256 of every image and mask that had a part in the model."""
    return {
        "name": data.name,
        "licence": data.licence,
        "source": data.source,
        **({"mix": asdict(data.mixing)} if data.mixing else {}),
        "train_images": len(plan.train),
        "val_images": len(plan.val),
        "val_held_back_from_train": plan.held_back,
        "clean_train_images": len(plan.index.clean),
        "train_defects": {
            name: sum(b.class_id == class_id for b in plan.index.blemishes) for class_id, name in data.classes.items()
        },
        "train_files": _manifest(plan.train),
        "val_files": _manifest(plan.val),
    }


def about_versions(device: str = "cpu") -> dict[str, str]:
    """Versions of what computed the weights, and the machine."""
    versions = {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
    return versions | {"hardware": _hardware(device)}


def _hardware(device: str) -> str:
    """Processor, cores, and the accelerator where one was used, in words."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    told = [platform.machine(), processor or platform.processor(), f"{os.cpu_count()} cores"]
    if device.startswith("cuda"):
        told.append(torch.cuda.get_device_name(device))
    return ", ".join(word for word in told if word)


def _manifest(samples: tuple[Sample, ...]) -> dict[str, dict[str, str]]:
    return {
        s.image.name: {"image": sha256_of(s.image), **({"mask": sha256_of(s.mask)} if s.mask else {})} for s in samples
    }
