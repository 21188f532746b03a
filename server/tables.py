"""Tables for spreadsheets: CSV in UTF-8 with its mark, so that all programs read it, and nothing runs as a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from fastapi.responses import StreamingResponse

AT_ONCE = 500
"""Lines that are written together."""

CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}
"""What a route of a table answers, for the API's description."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With these a spreadsheet begins a formula (OWASP, CSV injection)."""


def as_table(name: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> StreamingResponse:
    """A table as an answer that a browser keeps as `<name>.csv`; rows are taken while it is sent.

    Args:
        rows: texts, numbers, yes or no, moments, None for what is not known; as many a row as `head` has names.
    """
    kept = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "table"
    disposition = {"Content-Disposition": f'attachment; filename="{kept}.csv"'}
    return StreamingResponse(_pieces(head, rows), media_type="text/csv; charset=utf-8", headers=disposition)


def line(values: Sequence[Any]) -> str:
    """One line; what a spreadsheet would take for a formula is kept as text."""
    out = io.StringIO()
    csv.writer(out).writerow([_cell(value) for value in values])
    return out.getvalue()


def _pieces(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    yield "\ufeff" + line(head)
    waiting: list[str] = []
    for row in rows:
        waiting.append(line(row))
        if len(waiting) == AT_ONCE:
            yield "".join(waiting)
            waiting.clear()
    yield "".join(waiting)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat()
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
