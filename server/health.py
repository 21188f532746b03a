"""How every component is. Looking is quick and never raises."""

from __future__ import annotations

import shutil
from typing import Any

from server.context import Context
from server.settings import GIB

NEEDED = ("database", "decoders", "model", "inspector")
"""Without one of these no part can be inspected."""


def look(context: Context) -> tuple[bool, dict[str, Any]]:
    """Is the installation able to inspect, and `status`, `champion`, `components`."""
    components = {"database": _database(context), "disk": _disk(context), "policies": _policies(context)}
    for name, part in list(context.parts.items()):
        try:
            components[name] = part.state()
        except Exception as error:  # a component that cannot even say how it is, is not well
            components[name] = {"state": "failed", "message": f"{type(error).__name__}: {error}"}
    if context.engine is not None and (runtime := context.engine.runtime) and "runtime" in components.get("model", {}):
        components["model"] = {**components["model"], "runtime": runtime}
    states = {name: component.get("state", "ok") for name, component in components.items()}
    able = all(states.get(name) in ("ok", "degraded") for name in NEEDED)
    if able:
        status = "ok" if all(state in ("ok", "off", "starting") for state in states.values()) else "degraded"
    else:
        status = "failed" if any(states.get(name) == "failed" for name in NEEDED) else "starting"
    champion = components.get("model", {}).get("id")
    return able, {"status": status, "champion": champion, "components": components}


def measure(context: Context) -> None:
    """Bring the gauges up to date that nobody sets as things happen."""
    context.metrics.listeners.set(context.events.listeners)
    context.metrics.disk_free.set(shutil.disk_usage(context.settings.home).free)


def _database(context: Context) -> dict[str, Any]:
    try:
        context.database.check()
    except Exception as error:  # whatever the driver raises, the answer is the same
        return {"state": "failed", "message": f"the database does not answer: {type(error).__name__}: {error}"}
    return {"state": "ok", "kind": context.database.dialect}


def _disk(context: Context) -> dict[str, Any]:
    try:
        free = shutil.disk_usage(context.settings.home).free / GIB
    except OSError as error:
        return {"state": "failed", "message": f"the data folder cannot be read: {error.strerror}"}
    state: dict[str, Any] = {"state": "ok", "free_gb": round(free, 1)}
    if free < context.settings.min_free_gb:
        state |= {"state": "degraded", "message": f"only {free:.1f} GiB are free; make room before the line stops"}
    return state


def _policies(context: Context) -> dict[str, Any]:
    problems = context.policies.problems()
    if problems:
        told = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        return {"state": "degraded", "message": f"the last good content stays in force ({told})", "problems": problems}
    return {"state": "ok"}
