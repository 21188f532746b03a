"""The camera counts: defects that inspections found, as readings of the step that the camera looks at.

Joined by the part's name. The newest finished inspection of a station counts (a part that was looked at again is what
it is now); one that failed, or none, leaves a gap and not a zero. Readings are what the model saw: a person who lets a
scratched part pass has not taken the scratch away. What the sender himself says of a reading always stands.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, col, select

from process_opt.camera import reading_of
from process_opt.process import Process
from qc.records import Exposure, Inspection, Progress

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE = 400
"""Parts looked up together: databases take so many names in one question."""


def readings(session: Session, process: Process, parts: Iterable[str]) -> dict[str, dict[str, float]]:
    """What cameras read of some parts, by part and `step.measurement`; parts that nobody looked at are left out."""
    sources = {name: m for name, (_, m) in process.measurements.items() if m.source is not None}
    out: dict[str, dict[str, float]] = {}
    if not sources:
        return out
    stations = sorted({m.source.station for m in sources.values() if m.source is not None})
    wanted = list(dict.fromkeys(parts))
    for first in range(0, len(wanted), AT_ONCE):
        newest, pictures = _looks(session, stations, wanted[first : first + AT_ONCE])
        for (part, station), inspection in newest.items():
            for name, m in sources.items():
                if m.source is None or m.source.station != station:
                    continue
                value = reading_of(m.source, pictures[inspection], unit=m.unit)
                if value is not None:
                    out.setdefault(part, {})[name] = value
    return out


def _looks(
    session: Session, stations: list[str], parts: list[str]
) -> tuple[dict[tuple[str, str], str], dict[str, list[tuple[str, int, int, list[dict[str, Any]]]]]]:
    """The newest finished inspection of each part and station, and the pictures of each."""
    asked = (
        select(Inspection.id, Inspection.part, Inspection.station)
        .where(
            col(Inspection.part).in_(parts),
            col(Inspection.station).in_(stations),
            Inspection.progress == Progress.DONE,
        )
        .order_by(col(Inspection.id))
    )
    newest = {(part, station): inspection for inspection, part, station in session.exec(asked)}
    pictures: dict[str, list[tuple[str, int, int, list[dict[str, Any]]]]] = defaultdict(list)
    seen = select(Exposure).where(col(Exposure.inspection_id).in_(list(newest.values()))).order_by(col(Exposure.n))
    for shot in session.exec(seen):
        pictures[shot.inspection_id].append((shot.view, shot.width, shot.height, shot.defects))
    return newest, pictures


def complete(session: Session, process: Process, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Requests (with `at`) and outcomes with what cameras read of their parts filled in where they have a gap.

    Readings of steps that the part has not been through, or that come after its end, are left out. What is malformed is
    passed on as it is, for whoever checks it to say so.
    """
    sound = [a for a in asked if isinstance(a.get("part"), str) and isinstance(a.get("observed") or {}, dict)]
    found = readings(session, process, [a["part"] for a in sound])
    if not found:
        return asked
    out = []
    for one in asked:
        seen = found.get(one["part"], {}) if isinstance(one.get("part"), str) else {}
        own = one.get("observed") or {}
        if not seen or not isinstance(own, dict):
            out.append(one)
            continue
        end = len(process.steps)
        if "at" in one:
            end = process.place.get(one["at"], 0)
        elif one.get("scrapped_at") in process.place:
            end = process.place[one["scrapped_at"]] + 1
        known = {n: v for n, v in seen.items() if process.measurements[n][0] < end and own.get(n) is None}
        out.append({**one, "observed": {**own, **known}})
    return out


def fill(session: Session, process: Process, table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """A history with what cameras read of its parts filled in where it is empty, and how many readings were."""
    import pandas as pd

    found = readings(session, process, [str(p).strip() for p in table["part"]])
    places = {str(p).strip(): i for i, p in enumerate(table["part"])}
    ends = table.get("scrapped_at")
    filled, count = table.copy(), 0
    columns: dict[str, list[float]] = {}
    for name in sorted({n for seen in found.values() for n in seen}):
        before = table[name] if name in table else pd.Series([float("nan")] * len(table))
        columns[name] = pd.to_numeric(before, errors="coerce").tolist()
    for part, seen in found.items():
        i = places[part]
        end = process.place.get(str(ends.iloc[i]), len(process.steps)) if ends is not None else len(process.steps)
        for name, value in seen.items():
            if columns[name][i] != columns[name][i] and process.measurements[name][0] <= end:
                columns[name][i] = value
                count += 1
    for name, values in columns.items():
        filled[name] = values
    return filled, count


def write_table(table: pd.DataFrame, path: Path) -> None:
    """A history as .csv or .parquet, by the ending; there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        if path.suffix.lower() == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
