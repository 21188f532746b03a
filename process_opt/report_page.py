"""The account of a model (`report.py`) as one HTML file without scripts, with pictures where people look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from qc.page import document, figure, table
from qc.svg import Axis, Line, Row, chart, forest

MOST_ROWS = 24
"""Rows in one picture; the tables have all."""
LEAST_SHARE = 0.01
"""Of the spread: a source below it is left out of the picture."""


def as_html(report: Mapping[str, Any]) -> str:
    """The report as one page."""
    history, check = report["history"], report["check"]
    name = str(report["process"])
    cover = check.get("coverage90", {})
    body = [
        f"<h1>{escape(name)}</h1>",
        f'<p class="soft">{history.get("parts")} parts, {history.get("dithered")} dithered, '
        f"{history.get('scrapped')} scrapped; model {escape(str(report['model']))}.</p>",
        f"<h2>How capable the process was</h2>{_capability(history.get('capability', {}))}",
        f"<h2>Where the spread of finished parts comes from</h2>{_spread(report['spread'])}",
        f"<h2>Predictions on {check.get('parts')} held-out parts</h2><p>The 90 % interval held "
        f"{cover.get('as_fitted')} of the final readings as fitted, {cover.get('widened')} after widening.</p>",
        _coverage(check.get("coverage", [])),
        f"<h2>Promises on parts finished since</h2><p>{_kept(report['promises'])}</p>",
        f"<h2>Settings whose effect is not identified</h2>{_bullets(report['not_identified'])}",
        "<h2>Steps that drift, against their average over the history</h2>",
        _bullets([_moved(step, by) for step, by in history.get("drift", {}).items()]),
        f"<h2>Notes</h2>{_bullets(history.get('notes', []))}",
        _refutation(report),
        "<h2>What each setting does</h2><p>Moved from nominal to its upper limit, with 90 % intervals. What comes late "
        "skips steps: it is due to a setting of an earlier step, by something that nobody measures.</p>",
        _effects(report["steps"]),
        _machines(report["steps"]),
        _formulas(report["steps"]),
    ]
    return document(name, "".join(body))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _bullets(lines: Sequence[str]) -> str:
    return "<ul>" + ("".join(f"<li>{escape(line)}</li>" for line in lines) or "<li>none</li>") + "</ul>"


def _moved(step: str, by: Mapping[str, float]) -> str:
    return f"{step}: {', '.join(f'{name} {value:+g}' for name, value in by.items())}"


def _capability(told: Mapping[str, Any]) -> str:
    keys = ("cp", "cpk", "pp", "ppk")
    rows = [(name, *(_number(r[key]) for key in keys), r["parts"]) for name, r in told.get("readings", {}).items()]
    if not rows:
        return "<p>No reading has a limit.</p>"
    return (
        f"<p>Rolled throughput yield {told['rolled_yield']:.3f}; cost of poor quality "
        f"{_number(told['poor_quality'])} for each part.</p>"
    ) + table(("reading", "Cp", "Cpk", "Pp", "Ppk", "parts"), rows)


def _spread(spread: Sequence[Mapping[str, Any]]) -> str:
    """One picture for each deciding reading: the shares of the steps."""
    drawn = []
    for one in spread:
        shares = [s for s in one["shares"] if s["share"] >= LEAST_SHARE][:MOST_ROWS]
        rows = [Row(s["step"], s["share"], 0.0, s["share"]) for s in shares]
        words = f"{one['reading']}: parts left alone lie {one['sd']:.3g} apart (one standard deviation)."
        drawn.append(
            figure(forest(f"Where the spread of {one['reading']} comes from", "share of variance", rows), words)
        )
    return f'<div class="row">{"".join(drawn)}</div>'


def _coverage(levels: Sequence[Mapping[str, float]]) -> str:
    """How many final readings intervals of every size held."""
    if not levels:
        return ""
    share = Axis("interval", 0.0, 1.0)
    lines = [
        Line([(0.0, 0.0), (1.0, 1.0)], "second"),
        Line([(0.0, 0.0), *((p["interval"], p["held"]) for p in levels), (1.0, 1.0)]),
    ]
    drawn = chart("What intervals promised and what they held", share, Axis("held", 0.0, 1.0), lines)
    words = "Share of final readings that intervals of every size held, after widening; dashed: as promised."
    return f'<div class="row">{figure(drawn, words)}</div>'


def _kept(promises: Mapping[str, Any]) -> str:
    if not promises["finished"]:
        return "No outcome was told yet."
    told = f"{promises['finished']} parts: {promises['promised']:.1%} promised, {promises['kept']:.1%} kept."
    return told + (" Advice is withdrawn: fit the process again on newer parts." if promises["withdrawn"] else "")


def _refutation(report: Mapping[str, Any]) -> str:
    """Attempts to refute the effects, and settings whose dither was none."""
    rows = [
        (
            a["name"],
            a["question"],
            "" if a["held"] is None else f"{a['held']:.1%} of {a['tests']}, {a['promised']:.0%} promised",
            f"{'held' if a['passed'] else 'FAILED'}: {a['words']}",
        )
        for a in report.get("refutation", [])
    ]
    if not rows:
        return ""
    followed = "".join(
        f"<p>{escape(setting)} follows {escape(reading)} in rows that are called dithered: it was not drawn "
        "at random there, so it counts as not identified.</p>"
        for setting, reading in report["history"].get("not_random", {}).items()
    )
    head = ("attempt", "question", "what came", "")
    return f"<h2>Attempts to refute the effects</h2>{followed}{table(head, rows)}"


def _effects(steps: Sequence[Mapping[str, Any]]) -> str:
    """For each characteristic a picture of the settings that move it most, then all settings as a table."""
    acting: dict[str, list[Mapping[str, Any]]] = {}
    rows = []
    for step in steps:
        for e in (*step["effects"], *step["late"]):
            low, high = e["interval90"]
            known = "" if e["identified"] else " (not identified)"
            bent = "comes late" if e in step["late"] else "bent" if e["bent"] else "straight"
            rows.append(
                (step["step"], e["setting"] + known, e["acts_on"], f"{e['to_high']:g}", f"{low:g} to {high:g}", bent)
            )
            acting.setdefault(e["acts_on"], []).append(e)
    drawn = []
    for characteristic, effects in acting.items():
        most = sorted(effects, key=lambda e: -abs(e["to_high"]))[:MOST_ROWS]
        shown = [_effect(e) for e in most]
        words = "" if len(most) == len(effects) else f"; the {len(most)} strongest of {len(effects)}"
        drawn.append(
            figure(
                forest(f"What settings do to {characteristic}", f"{characteristic}, nominal to upper limit", shown),
                f"{characteristic}: effect with its 90 % interval; dashed: not identified{words}.",
            )
        )
    head = ("step", "setting", "acts on", "effect", "90 %", "")
    return f'<div class="row">{"".join(drawn)}</div>{table(head, rows)}'


def _effect(effect: Mapping[str, Any]) -> Row:
    low, high = effect["interval90"]
    return Row(effect["setting"], effect["to_high"], low, high, "main" if effect["identified"] else "second")


def _machines(steps: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (step["step"], one["machine"], ", ".join(f"{name} {value:+g}" for name, value in one["adds"].items()))
        for step in steps
        for one in step["machines"]
    ]
    if not rows:
        return ""
    return f"<h2>Machines that differ, against their average</h2>{table(('step', 'machine', 'adds'), rows)}"


def _formulas(steps: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for step in steps:
        if (formula := step.get("formula")) is None:
            continue
        for name, text in formula["expressions"].items():
            rest = f"leaves {formula['left_over'][name]:.0%} of the usual spread to be learnt"
            rows.append((step["step"], f"{name} = {text}", rest, ""))
        for name, c in formula["constants"].items():
            low, high = c["interval90"]
            before = f"before: {c['prior']['mean']:g} ± {c['prior']['sd']:g}"
            rows.append(("", f"{name} = {c['value']:g} {c['unit']}", f"{low:g} to {high:g}", before))
    return f"<h2>Formulas</h2>{table(('step', 'formula', '', ''), rows)}" if rows else ""
