"""The list of tasks that people work from in Label Studio: its order and its columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labeling.config import BESIDE, IMAGE

URGENT_FIRST = "Most urgent first"
"""Title of the list."""

BY_SCORE = "-tasks:predictions_score"
"""How earlier versions ordered it; a proposal's score does not change, and the order does."""

PRIORITY = "priority"
"""The field by which people are given tasks, highest first; it changes as labels come in (`labeling.order`)."""

SHOWN = "shown"
"""The field that says how much of a part its tasks show together (`labeling.tasks.Shown`)."""

WHY = "why"
"""The field that says in a sentence what a task is about, where a doubted label, an alarm or a search asked for it."""

_OURS = ("label_task", "inspection", "n", "crop", "sha256")
_THEIRS = (
    *("inner_id", "cancelled_annotations", "total_predictions", "annotations_results", "annotations_ids"),
    *("predictions_score", "predictions_model_versions", "predictions_results", "file_upload", "storage_filename"),
    *("created_at", "updated_at", "updated_by", "avg_lead_time", "draft_exists"),
)
_NEVER = (*(f"tasks:data.{name}" for name in (IMAGE, BESIDE, *_OURS)), *(f"tasks:{name}" for name in _THEIRS))

HIDDEN = {
    "explore": list(_NEVER),
    "labeling": [*_NEVER, "tasks:id", "tasks:completed_at", "tasks:annotators", "tasks:data.station"],
}
"""Columns that are not shown, in the list alone and beside the editor. Label Studio loads what a column shows for all
thirty tasks of a page whenever one is opened: every crop in full size, and every stroke of every proposal."""


def shown_words(told: Mapping[str, Any] | None) -> str:
    """How much of a part its tasks show, in Label Studio's language; empty where an earlier version did not say it.

    Args:
        told: the fields of `labeling.tasks.Shown`.
    """
    if told is None:
        return ""
    if told["of"]:
        return f"{told['defects']} of {told['of']} defects of the part"
    return f"{told['area']:.0%} of the part"


def view() -> dict[str, Any]:
    """The list as it is made."""
    column = f"tasks:data.{PRIORITY}"
    looks = {"ordering": [f"-{column}"], "columnsDisplayType": {column: "Number"}, "hiddenColumns": HIDDEN}
    return {"title": URGENT_FIRST, "type": "list", "target": "tasks"} | looks


def corrected(there: Mapping[str, Any]) -> dict[str, Any] | None:
    """The list that an earlier version made, as it should be; None if it is, or if somebody arranged it otherwise.

    Args:
        there: the list as Label Studio has it, without its number.
    """
    ours, changes = view(), dict[str, Any]()
    if there.get("ordering") in (None, [], [BY_SCORE]):
        changes |= {name: ours[name] for name in ("ordering", "columnsDisplayType")}
    if not any((there.get("hiddenColumns") or {}).values()):
        changes["hiddenColumns"] = ours["hiddenColumns"]
    return dict(there) | changes if changes else None
