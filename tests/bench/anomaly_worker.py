"""PatchCore or SuperSimpleNet of anomalib at work, in anomalib's own environment; started by anomaly_models.py::

    python anomaly_worker.py WHO FOLDER MINUTES SEED

FOLDER holds `train.npz` (images `N x H x W x 3`, masks `N x H x W` of 0 and 1), `val.npz` (images), `weights.pt`
(ImageNet's, under timm's names) and `torchvision_cpu.py`; `WHO.npz` is written there: maps `N x H x W` and scores `N`,
both higher where worse. anomalib's torch modules do the work; its trainer is not used, because it counts epochs, not
minutes, and because it trains SuperSimpleNet from clean pictures only, though the module can learn from masks.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ENCODER = "tf_efficientnet_lite0"
BACKBONE = "lite0_from_a_file"
LAYERS = ("blocks.2", "blocks.4")
"""Strides 8 and 16, as `layer2` and `layer3` of the ResNets that anomalib takes by default."""

POOL, SHARE = 50_000, 0.1
"""PatchCore: features that are collected when there are minutes enough, and anomalib's share of them to be kept."""

BATCH = 8
LOOK_SHARE = 0.5
"""PatchCore collects features for at most this share of its time; choosing among them takes the rest."""


def backbone_from(weights: Path) -> None:
    """Tell timm of an encoder whose ImageNet weights lie in a file, as nothing can be fetched from a hub."""
    import timm
    import torch
    from timm.models import register_model

    def lite0_from_a_file(pretrained: bool = False, **chosen: Any) -> Any:
        for name in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
            chosen.pop(name, None)
        model = timm.create_model(ENCODER, pretrained=False, **chosen)
        if pretrained:
            known = torch.load(weights, weights_only=True)
            model.load_state_dict({name: known[name] for name in model.state_dict()}, strict=True)
        return model

    lite0_from_a_file.__module__ = "timm.models.efficientnet"
    register_model(lite0_from_a_file)


def as_input(images: np.ndarray) -> Any:
    """`N x H x W x 3`, 8 bit -> `N x 3 x H x W` in [-1, 1], as this encoder learnt."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def patchcore(images: np.ndarray, masks: np.ndarray, seconds: float, random: np.random.Generator) -> Any:
    """A memory of the clean pictures."""
    import torch
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    began = time.monotonic()
    model = PatchcoreModel(layers=LAYERS, backbone=BACKBONE, pre_trained=True).eval()
    good = random.permutation(np.flatnonzero(~masks.any(axis=(1, 2))))
    wanted = int(POOL * min(1.0, seconds / 300))
    pool: list[Any] = []
    for number in good:
        if time.monotonic() - began > LOOK_SHARE * seconds:
            break
        with torch.no_grad():
            features = model.feature_extractor(as_input(images[number : number + 1]))
            pooled = {layer: model.feature_pooler(f) for layer, f in features.items()}
            rows = model.reshape_embedding(model.generate_embedding(pooled))
        pool.append(rows[torch.from_numpy(random.permutation(len(rows))[: wanted // len(good) + 1])])
    print(f"{sum(map(len, pool))} features of {len(pool)} of {len(good)} clean pictures", flush=True)
    model.embedding_store = pool
    model.subsample_embedding(sampling_ratio=SHARE)
    print(f"{len(model.memory_bank)} kept, {time.monotonic() - began:.0f} s", flush=True)
    return model.eval()


def supersimplenet(images: np.ndarray, masks: np.ndarray, seconds: float, random: np.random.Generator) -> Any:
    """Learns from masks; rates, schedule and loss as anomalib has them, as many defective as clean pictures a step."""
    import torch
    from anomalib.models.image.supersimplenet.loss import SSNLoss
    from anomalib.models.image.supersimplenet.torch_model import SupersimplenetModel

    began = time.monotonic()
    model = SupersimplenetModel(backbone=BACKBONE, layers=list(LAYERS), stop_grad=False)
    loss_of = SSNLoss()
    optimiser = torch.optim.AdamW(
        [
            {"params": model.adaptor.parameters(), "lr": 1e-4},
            {"params": model.segdec.parameters(), "lr": 2e-4, "weight_decay": 1e-5},
        ]
    )
    rates = [group["lr"] for group in optimiser.param_groups]
    defective = masks.any(axis=(1, 2))
    kinds = [k for k in (np.flatnonzero(defective), np.flatnonzero(~defective)) if len(k)]
    step, model = 0, model.train()
    while (done := (time.monotonic() - began) / seconds) < 1.0:
        fallen = 0.4 ** ((done > 0.8) + (done > 0.9))
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * fallen
        chosen = np.concatenate([random.choice(k, BATCH // len(kinds)) for k in kinds])
        x, y = images[chosen], masks[chosen]
        for axis in (1, 2):
            if random.random() < 0.5:
                x, y = np.flip(x, axis), np.flip(y, axis)
        predicted = model(
            images=as_input(x),
            masks=torch.from_numpy(np.ascontiguousarray(y)),
            labels=torch.from_numpy(defective[chosen]),
        )
        loss = loss_of(
            pred_map=predicted[0], pred_score=predicted[1], target_mask=predicted[2], target_label=predicted[3]
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
    print(f"{step} steps, {time.monotonic() - began:.0f} s", flush=True)
    return model.eval()


MODELS = {"patchcore": patchcore, "supersimplenet": supersimplenet}


def main() -> None:
    """Learn, look at val, write."""
    who, folder, minutes, seed = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    sys.path.insert(0, str(folder))
    import torchvision_cpu

    torchvision_cpu.install()
    import torch

    torch.manual_seed(seed)
    backbone_from(folder / "weights.pt")
    train = np.load(folder / "train.npz")
    model = MODELS[who](train["images"], train["masks"], 60 * minutes, np.random.default_rng(seed))
    maps, scores = [], []
    with torch.inference_mode():
        for image in np.load(folder / "val.npz")["images"]:
            seen = model(as_input(image[None]))
            maps.append(seen.anomaly_map.reshape(image.shape[:2]).numpy().astype(np.float32))
            scores.append(float(seen.pred_score.reshape(-1)[0]))
    np.savez(folder / f"{who}.npz", maps=np.stack(maps), scores=np.array(scores))


if __name__ == "__main__":
    main()
