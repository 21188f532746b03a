"""Reference pages, made from what the code says of itself: commands, settings, REST, metrics and events."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from server.docs.planning import MPX_A_CORE_SECOND, Plant, needs
from server.docs.queueing import COMPUTER, Waits, busiest_hour

PLANTS = (
    (1_000, 1, 5.0),
    (10_000, 2, 12.0),
    (15_000, 3, 24.0),
    (100_000, 1, 5.0),
)
"""Parts a day, views, megapixels of the examples on the planning page."""

STATION, STATIONS = (2000.0, 1, 5.0), (1, 10, 100, 1000)
"""Parts a day, views and megapixels of one simulated station; how many of them."""


def pages() -> dict[str, str]:
    """Name below the site's folder -> Markdown."""
    return {
        "reference/commands.md": commands(),
        "reference/settings.md": settings(),
        "reference/rest.md": rest(),
        "reference/metrics-and-events.md": metrics_and_events(),
    }


def parsers(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Every command that can be run, in the order of `--help`."""
    below = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield top
    for action in below:
        for command in action.choices.values():
            yield from parsers(command)


def commands() -> str:
    """What every command says to --help."""
    from server.cli import parser

    told = [
        "# Commands",
        "",
        "`qc` is `.venv/bin/qc` of the clone. 0: done; 1: the work failed; 2: wrong arguments.",
        "",
    ]
    for command in parsers(parser()):
        command.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100)
        told += [f"## {command.prog}", "", "```text", command.format_help().rstrip(), "```", ""]
    return "\n".join(told)


def settings() -> str:
    """Every setting of the server, with its default."""
    from server.settings import ROOT, Settings

    told = ["# Settings", "", "Environment variables, or lines of a file `.env` where the server starts.", ""]
    told += ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = str(field.default).replace(f"{ROOT}/", "")
        about = _cell(field.description or "")
        told.append(f"| `QC_{name.upper()}` | {f'`{default}`' if default else 'empty'} | {about} |")
    return "\n".join([*told, ""])


def rest() -> str:
    """Every call, with who may make it."""
    import tempfile
    from pathlib import Path

    from server.access import OWN_SECRET, PREFIX, RULES, same_path
    from server.app import create_app
    from server.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        description: dict[str, Any] = create_app(Settings(home=Path(folder))).openapi()
    rules = {(method, same_path(path)): roles for (method, path), roles in RULES.items()}
    told = [
        "# REST",
        "",
        f"Below `{PREFIX}`, but for `/v2`. `/docs` and `/openapi.json` of a running server name all fields.",
    ]
    told += ["`Authorization: Bearer KEY`, or a browser's session.", ""]
    told += ["| call | who | what |", "|---|---|---|"]
    for path, calls in sorted(description["paths"].items()):
        for method, about in calls.items():
            call = path.removeprefix(PREFIX)
            roles = rules[method.upper(), same_path(call)]
            who = "everybody" if roles is None else ", ".join(sorted(role.value for role in roles))
            if roles is None and call.startswith(OWN_SECRET):
                who = "Label Studio, by its secret"
            what = _cell(about.get("description") or about.get("summary", ""))
            told.append(f"| `{method.upper()} {call}` | {who} | {what} |")
    return "\n".join([*told, ""])


def metrics_and_events() -> str:
    """Figures for Prometheus, and kinds of events."""
    from server.events import KINDS
    from server.metrics import Metrics

    told = ["# Metrics and events", "", "## `GET /metrics`, for Prometheus", ""]
    told += ["| figure | kind | labels | meaning |", "|---|---|---|---|"]
    metrics = Metrics()
    for collector in metrics.registry._collector_to_names:
        labels = ", ".join(getattr(collector, "_labelnames", ()))
        for family in collector.collect():
            name = family.name + ("_total" if family.type == "counter" else "")
            told.append(f"| `{name}` | {family.type} | {labels} | {_cell(family.documentation)} |")
    told += [
        "",
        "## `GET /events`, server-sent",
        "",
        "Each with `id` and what changed; nothing is replayed to late listeners.",
    ]
    told += ["", *(f"- `{kind}`" for kind in KINDS), ""]
    return "\n".join(told)


def planning_table() -> str:
    """The examples of the planning page."""
    told = ["| parts a day | views | Mpx each | core seconds a part | cores | disk, a year | from the cameras |"]
    told.append("|---|---|---|---|---|---|---|")
    for parts, views, mpx in PLANTS:
        plant = Plant(parts_a_day=parts, views=views, mpx=mpx)
        need = needs(plant)
        told.append(
            f"| {parts:,} | {views} | {mpx:g} | {need.part_s:.1f} | {need.cores:.1f} | {need.disk_gb / 1000:.1f} TB "
            f"| {need.network_mbit:.1f} Mbit/s |"
        )
    speeds = ", ".join(f"{speed:g} ({runtime})" for runtime, speed in MPX_A_CORE_SECOND.items())
    return "\n".join([*told, "", f"Megapixels a core second, measured: {speeds}.", ""])


def _cell(text: str) -> str:
    """Text for a cell of a table: its first paragraph on one line."""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def stations_table() -> str:
    """The simulated busiest hours of the planning page."""
    plant = Plant(*STATION)
    lines = [
        f"| stations | cores by `qc plan` | busy | waits: mean, 95 %, 99 % | on computers of {COMPUTER} cores |",
        "|---|---|---|---|---|",
    ]
    for stations in STATIONS:
        one, many = busiest_hour(plant, stations), busiest_hour(plant, stations, computer=COMPUTER)
        lines.append(
            f"| {stations:,} | {one.cores:,} | {one.busy:.0%} | {_seconds(one)} | {many.cores:,}: {_seconds(many)} |"
        )
    return "\n".join(lines)


def _seconds(waits: Waits) -> str:
    return f"{waits.mean_s:.2f}, {waits.p95_s:.2f}, {waits.p99_s:.2f} s"
