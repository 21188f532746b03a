"""The settings as a form: which there are, what holds, where it comes from, and changing those that a page may change.

A setting is described once, in `server.settings.Settings`. What is changed here is kept in `QC_HOME/settings.json` and
holds from the next start on; an environment variable goes before it, so that a deployment keeps the last word.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from sqlmodel import Session

from qc.durable import write_whole
from qc.errors import Conflict, InvalidInput
from server import audit
from server.settings import KEPT_FILE, Settings, kept_settings

FEATURES = "keep_features_days", "keep_anonymous_features_days"
LONGEST_MONTH = 31
"""Days: features lose their parts by the month, and only of months that are over."""

GROUPS: dict[str, tuple[str, ...]] = {
    "inspecting": ("camera_checks", "decide_by_s", "max_waiting", "features", "runtimes", "open_inference"),
    "keeping": ("keep_ok_days", "keep_ng_days", *FEATURES, "cache_gb", "make_room_gb", "min_free_gb"),
    "schedules": ("retrain_cron", "golden_cron", "checkpoint_cron"),
    "learning": ("retrain_after_labels", "retrain_on_drift", "retrain_minutes", "gate", "shadow", "auto_promote"),
    "labelling": ("label_twice", "label_at_random", "sweep_s"),
    "people": ("session_hours", "login_failures", "log_ins_at_once", "login_notice"),
}
"""What a page may change, by what it is about. All others are the deployment's: addresses, folders, secrets."""

CRON = frozenset(GROUPS["schedules"])


@dataclass(frozen=True, slots=True)
class Shown:
    """A setting as a form needs it."""

    name: str
    variable: str
    """The environment variable that sets it."""
    group: str
    """Of GROUPS; `deployment` where no page may change it."""
    description: str
    kind: str
    """yes_no, whole, number, choice, cron or text."""
    choices: tuple[str, ...]
    least: float | None
    most: float | None
    above: float | None
    """It must be larger than this."""
    default: Any
    value: Any
    """What holds now; null for a secret, and for what is no plain value."""
    next: Any
    """What holds after the next start."""
    source: str
    """default, page (QC_HOME/settings.json) or environment."""


def show(settings: Settings) -> list[Shown]:
    """Every setting, those that a page may change first."""
    kept = kept_settings(settings.home)
    group_of = {name: group for group, names in GROUPS.items() for name in names}
    names = [*group_of, *(name for name in Settings.model_fields if name not in group_of)]
    return [_shown(settings, name, group_of.get(name, "deployment"), kept) for name in names]


def change(
    session: Session, settings: Settings, wishes: Mapping[str, Any], *, by: str, now: datetime
) -> Mapping[str, Any]:
    """Keep other values for the next start; null brings a default back. The caller commits before `write`.

    Returns:
        All that is to be kept.

    Raises:
        InvalidInput: no page may change a setting, or a value makes no sense.
        Conflict: an environment variable sets it.
    """
    kept = dict(kept_settings(settings.home))
    allowed = {name for names in GROUPS.values() for name in names}
    for name, value in wishes.items():
        if name not in allowed:
            raise InvalidInput(f"{name} cannot be set here; the deployment sets it by QC_{name.upper()}")
        if _variable(name) in os.environ:
            raise Conflict(f"{_variable(name)} is set in the server's environment, which goes before what is set here")
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = value
    try:
        usual = {name: Settings.model_fields[name].get_default() for name, value in wishes.items() if value is None}
        checked = Settings.model_validate({**usual, **kept, "home": settings.home})
    except ValidationError as error:
        mistake = error.errors()[0]
        raise InvalidInput(f"{mistake['loc'][0]}: {mistake['msg']}") from error
    kept = {name: getattr(checked, name) for name in kept}
    for name in CRON & kept.keys():
        _check_cron(name, kept[name])
    if not wishes.keys().isdisjoint(FEATURES):
        _check_features(checked)
    before = kept_settings(settings.home)
    changed = {
        n: {"before": before.get(n), "after": kept.get(n)} for n in sorted(wishes) if before.get(n) != kept.get(n)
    }
    if changed:
        audit.record(session, "settings", "settings", {"changed": changed}, by=by, at=now)
    return kept


def write(home: Path, kept: Mapping[str, Any]) -> None:
    """Keep these for the next start; whole or not at all."""
    write_whole(home.resolve() / KEPT_FILE, json.dumps(kept, indent=1, sort_keys=True))


def _variable(name: str) -> str:
    return f"QC_{name.upper()}"


def _shown(settings: Settings, name: str, group: str, kept: Mapping[str, Any]) -> Shown:
    field = Settings.model_fields[name]
    kind, choices = ("cron", ()) if name in CRON else _kind(field)
    hidden = field.repr is False
    default = field.get_default(call_default_factory=True)
    in_environment = _variable(name) in os.environ
    now = getattr(settings, name)
    then = now if in_environment or group == "deployment" else kept.get(name, default)
    limits = {key: getattr(rule, key) for rule in field.metadata for key in ("ge", "le", "gt") if hasattr(rule, key)}
    return Shown(
        name=name,
        variable=_variable(name),
        group=group,
        description=field.description or "",
        kind=kind,
        choices=choices,
        least=limits.get("ge"),
        most=limits.get("le"),
        above=limits.get("gt"),
        default=None if hidden else _plain(default),
        value=None if hidden else _plain(now),
        next=None if hidden else _plain(then),
        source="environment" if in_environment else "page" if name in kept else "default",
    )


def _kind(field: FieldInfo) -> tuple[str, tuple[str, ...]]:
    for kind, annotation in (("yes_no", bool), ("whole", int), ("number", float)):
        if field.annotation is annotation:
            return kind, ()
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return "choice", choices
    return "text", ()


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _check_features(wished: Settings) -> None:
    """Features can be kept without their parts only after they were kept with them; raises InvalidInput."""
    days, further = wished.keep_features_days, wished.keep_anonymous_features_days
    if further > 0 and not days:
        raise InvalidInput(
            "keep_anonymous_features_days begins when keep_features_days is over, and that is 0, for ever; "
            f"set keep_features_days to {LONGEST_MONTH} or more first"
        )
    if further > 0 and days < LONGEST_MONTH:
        raise InvalidInput(
            f"keep_features_days is {days:g}: a month loses its parts as a whole, so that with less than "
            f"{LONGEST_MONTH} days some features are forgotten before it is over; set it to {LONGEST_MONTH} or more, "
            "or keep_anonymous_features_days to 0"
        )


def _check_cron(name: str, text: str) -> None:
    from apscheduler.triggers.cron import CronTrigger

    if not text:
        return
    try:
        CronTrigger.from_crontab(text)
    except ValueError as error:
        raise InvalidInput(
            f"{name}: {text!r} is no schedule ({error}); such as 0 2 * * * for every night at 2"
        ) from error
