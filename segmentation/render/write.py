"""Imaginary parts as a data set on disk (contracts, section 2)."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import yaml

from qc.errors import Conflict, InvalidInput
from qc.frame import Pixels
from qc.given import GIVEN_FILE
from segmentation.render.blemishes import CLASSES
from segmentation.render.part import CLEAN_SHARE, MM_PER_PX, VIEWS, RenderedPart, render_part

COLUMNS = ("file", "split", "part", "view", "group", "surface", "seed", "defects", "hidden")


def render_dataset(
    out: Path,
    parts: int,
    *,
    seed: int = 0,
    views: Sequence[str] = VIEWS,
    width: int = 1024,
    height: int = 768,
    clean: float = CLEAN_SHARE,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render `parts` parts and write them as a data set, split by part into 70 % train, 15 % val, 15 % test.

    Nothing is at `out` until everything is written. Every image has a mask, also the clean ones; `views.yaml` says how
    the pictures of a part lie on each other.

    Args:
        out: a folder that does not exist yet, or is empty.
        seed: of the whole set; part `k` of one seed is the same however many are rendered.
        progress: called with the number of parts done and their total.

    Raises:
        InvalidInput: fewer than one part.
        Conflict: `out` holds something.
    """
    if parts < 1:
        raise InvalidInput(f"cannot render {parts} parts: at least 1")
    with new_dataset(out) as unfinished:
        rows, planes = [], dict[str, list[list[float]]]()
        sides = sides_of(parts, seed)
        for k in range(parts):
            part = render_part(part_seed(seed, k), views=views, width=width, height=height, clean=clean)
            name = f"part{k:05d}"
            rows += _write_part(unfinished, part, name=name, split=sides[k])
            planes |= {f"{name}_{view.name}": np.linalg.inv(view.to_frame).tolist() for view in part.views}
            if progress:
                progress(k + 1, parts)
        write_table(unfinished, COLUMNS, rows)
        about = {
            "name": out.name,
            "classes": dict(CLASSES),
            "mm_per_px": MM_PER_PX,
            "licence": "made by this project; free to use",
            "source": f"qc render --parts {parts} --seed {seed} --width {width} --height {height}"
            f" --views {','.join(views)}",
        }
        (unfinished / "dataset.yaml").write_text(yaml.safe_dump(about, sort_keys=False), encoding="utf-8")
        given = yaml.safe_dump({"spread_px": 1.0, "images": planes}, default_flow_style=None, width=200)
        (unfinished / GIVEN_FILE).write_text(given, encoding="utf-8")
    return out


@contextmanager
def new_dataset(out: Path) -> Iterator[Path]:
    """A folder to write a data set into, with `images` and `masks`; it becomes `out` when all went well.

    Raises:
        Conflict: `out` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Conflict(f"{out} is there already and not empty: choose another folder or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for folder in ("images", "masks"):
            (unfinished / folder).mkdir()
        yield unfinished
        unfinished.chmod(0o755)
        if out.exists():
            out.rmdir()
        os.rename(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_table(root: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """`split.csv`; what a row has beyond `columns` is left out."""
    with (root / "split.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


def write_png(path: Path, picture: Pixels) -> None:
    """Write a picture, grey or RGB, 8 or 16 bit; raises InvalidInput where PNG cannot hold it."""
    done, data = cv2.imencode(
        ".png", picture if picture.ndim == 2 else picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3]
    )
    if not done:
        raise InvalidInput(f"{path.name} of {picture.shape} cannot be written as PNG")
    path.write_bytes(data.tobytes())


def part_seed(seed: int, number: int) -> int:
    """The seed of one part of a set."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def sides_of(parts: int, seed: int) -> list[str]:
    """70 / 15 / 15 in every stretch of 20 parts, in shuffled order; small sets get all three as soon as they can."""
    block = ["train"] * 14 + ["val"] * 3 + ["test"] * 3
    if parts < 20:
        return [("train", "val", "test")[(k % 7) // 5 + (k % 7) // 6] for k in range(parts)]
    rng = np.random.default_rng([seed, 7])
    return [str(side) for _ in range(parts // 20 + 1) for side in rng.permutation(block)][:parts]


def _write_part(root: Path, part: RenderedPart, *, name: str, split: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for view in part.views:
        stem = f"{name}_{view.name}"
        for folder, picture in (("images", view.pixels), ("masks", view.mask)):
            write_png(root / folder / f"{stem}.png", picture)
        rows.append(
            {
                "file": f"{stem}.png",
                "split": split,
                "part": name,
                "view": view.name,
                "group": name,
                "surface": part.surface,
                "seed": part.seed,
                "defects": " ".join(d.class_name for d in view.defects if d.visible),
                "hidden": " ".join(d.class_name for d in view.defects if not d.visible),
            }
        )
    return rows
