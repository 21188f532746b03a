"""An account of a model for people: what each step does, what is not identified, how predictions did."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.counted import expected
from process_opt.model import ProcessModel

Floats = NDArray[np.float64]


def account(model: ProcessModel) -> dict[str, Any]:
    """The report as JSON; effects in units of the reading for the setting's whole way from nominal to its limit.

    A step's `late` are what settings of earlier steps do there; its `effects` are its own settings'.
    """
    d = model.layout.d
    steps = []
    names = list(model.process.settings)
    for k, step in enumerate(model.process.steps):
        effects: list[dict[str, Any]] = []
        late: list[dict[str, Any]] = []
        motion, draws = model.motions[k], model.draws[k]
        known = None
        if motion.law is not None:
            still = np.zeros((d, 1)), np.zeros((motion.law.p, 1))
            known = motion.local(*still, draws, settings=True).by_setting
        own = len(model.layout.levers[k])
        for j, place in enumerate(motion.acting(model.layout.levers[k])):
            w = draws[:, motion.terms.index(((j,), -1))]
            if motion.law is not None and known is not None and j < own:
                w = w.copy()
                w[motion.law.rows] += known[:, j]
            strongest = int(np.argmax(np.abs(w.mean(axis=1))))
            setting = model.process.settings[names[place]][1]
            reach = (setting.high - setting.nominal) / model.layout.stretch[place] * model.layout.scale[strongest]
            low, middle, high = _in_units(model, strongest, np.quantile(w[strongest] * reach, [0.05, 0.5, 0.95]))
            (effects if j < own else late).append(
                {
                    "setting": names[place],
                    "acts_on": model.layout.coordinates[strongest],
                    "to_high": round(float(middle), 6),
                    "interval90": sorted([round(float(low), 6), round(float(high), 6)]),
                    "identified": bool(model.identified.get(names[place], False)),
                    "bent": bool(model.bent[k]),
                }
            )
        chance = np.sqrt(np.diag(model.motions[k].noise)) * model.layout.scale
        steps.append(
            {
                "step": step.name,
                "effects": effects,
                "late": late,
                "formula": _formula(model, k),
                "chance_sd": {c: round(float(s), 6) for c, s in zip(model.layout.coordinates, chance, strict=True)},
            }
        )
    return {
        "process": model.process.name,
        "model": model.id,
        "history": {name: told for name, told in model.about.items() if name != "refutation"},
        "not_identified": [n for n in names if not model.identified.get(n, False)],
        "refutation": list(model.about.get("refutation", [])),
        "check": dict(model.check),
        "promises": _promises(model),
        "steps": steps,
    }


def _formula(model: ProcessModel, k: int) -> dict[str, Any] | None:
    """The step's formula, what its unknown constants were found to be, and what it leaves over.

    `left_over`: standard deviation, over the parts' usual spread, of what the fit adds to the formula, as a share of
    that characteristic's spread.
    """
    law, formula = model.motions[k].law, model.process.steps[k].formula
    if law is None or formula is None:
        return None
    draws = model.draws[k]
    constants = {}
    for c, owner, column in zip(law.constants, law.owners, model.motions[k].columns, strict=True):
        value = np.clip(c.mean + c.sd * draws[owner, column], c.low, c.high)
        low, high = np.quantile(value, [0.05, 0.95])
        constants[c.name] = {
            "unit": c.unit,
            "value": _rounded(value.mean()),
            "interval90": [_rounded(low), _rounded(high)],
            "prior": {"mean": _rounded(c.mean), "sd": _rounded(c.sd)},
        }
    fixed = [f for f, (levers, c) in enumerate(model.motions[k].terms) if c >= 0 or levers]
    left = np.sqrt((model.motions[k].weights[:, fixed] ** 2).sum(axis=1))
    return {
        "expressions": dict(formula.text),
        "constants": constants,
        "left_over": {model.layout.coordinates[r]: round(float(left[r]), 4) for r in law.rows},
    }


def _in_units(model: ProcessModel, coordinate: int, effects: Floats) -> list[float]:
    """Effects on a coordinate in its unit: of a count or an amount, on how many or how much there is on average."""
    mine = [i for i in model.layout.counted if model.layout.coordinate[i] == coordinate]
    if not mine:
        return [float(e) for e in effects]
    kind, usual = model.layout.kinds[mine[0]], float(model.layout.mean[mine].mean())
    spread = float(model.layout.scale[coordinate])
    return [expected(kind, usual + float(e), spread) - expected(kind, usual, spread) for e in effects]


def _rounded(value: float) -> float:
    return float(f"{float(value):.6g}")


def _formulas(report: dict[str, Any]) -> str:
    rows = []
    for step in report["steps"]:
        if step.get("formula") is None:
            continue
        for name, text in step["formula"]["expressions"].items():
            rest = step["formula"]["left_over"][name]
            rows.append(
                f"<tr><td>{html.escape(step['step'])}</td><td>{html.escape(name)} = {html.escape(text)}</td>"
                f"<td>leaves {rest:.0%} of the usual spread to be learnt</td><td></td></tr>"
            )
        for name, c in step["formula"]["constants"].items():
            low, high = c["interval90"]
            rows.append(
                f"<tr><td></td><td>{html.escape(name)} = {c['value']:g} {html.escape(c['unit'])}</td>"
                f"<td>{low:g} to {high:g}</td><td>before: {c['prior']['mean']:g} ± {c['prior']['sd']:g}</td></tr>"
            )
    return f"<h2>Formulas</h2><table>{''.join(rows)}</table>" if rows else ""


def _capability(told: dict[str, Any]) -> str:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{number(r['cp'])}</td><td>{number(r['cpk'])}</td><td>{number(r['pp'])}</td>"
        f"<td>{number(r['ppk'])}</td><td>{r['parts']}</td></tr>"
        for name, r in told.get("readings", {}).items()
    )
    if not rows:
        return "<p>No reading has a limit.</p>"
    return (
        f"<p>Rolled throughput yield {told['rolled_yield']:.3f}; cost of poor quality {number(told['poor_quality'])} "
        "for each part.</p><table><tr><th>reading</th><th>Cp</th><th>Cpk</th><th>Pp</th><th>Ppk</th><th>parts</th></tr>"
        f"{rows}</table>"
    )


def _refutation(report: dict[str, Any]) -> str:
    """Attempts to refute the effects, and settings whose dither was none."""
    rows = "".join(
        f"<tr><td>{html.escape(a['name'])}</td><td>{html.escape(a['question'])}</td><td>"
        + ("" if a["held"] is None else f"{a['held']:.1%} of {a['tests']}, {a['promised']:.0%} promised")
        + f"</td><td>{'held' if a['passed'] else '<b>failed</b>'}: {html.escape(a['words'])}</td></tr>"
        for a in report.get("refutation", [])
    )
    followed = "".join(
        f"<p>{html.escape(setting)} follows {html.escape(reading)} in rows that are called dithered: it was not drawn "
        "at random there, so it counts as not identified.</p>"
        for setting, reading in report["history"].get("not_random", {}).items()
    )
    if not rows:
        return ""
    return f"<h2>Attempts to refute the effects</h2>{followed}<table>{rows}</table>"


def _kept(promises: dict[str, Any]) -> str:
    if not promises["finished"]:
        return "No outcome was told yet."
    told = f"{promises['finished']} parts: {promises['promised']:.1%} promised, {promises['kept']:.1%} kept."
    return told + (" Advice is withdrawn: fit the process again on newer parts." if promises["withdrawn"] else "")


def _promises(model: ProcessModel) -> dict[str, Any]:
    """How the promises did on outcomes told since the fit."""
    told = model.learnt.get("promises", {})
    count = float(told.get("finished", 0.0))
    return {
        "finished": int(count),
        "promised": round(float(told["promised"]) / count, 4) if count else None,
        "kept": round(float(told["kept"]) / count, 4) if count else None,
        "withdrawn": bool(told.get("withdrawn", False)),
    }


def as_html(report: dict[str, Any]) -> str:
    """The report as one page without scripts."""
    esc = html.escape
    rows = []
    for step in report["steps"]:
        for e in step["effects"] + step["late"]:
            low, high = e["interval90"]
            known = "" if e["identified"] else " (not identified)"
            bent = "comes late" if e in step["late"] else "bent" if e["bent"] else "straight"
            rows.append(
                f"<tr><td>{esc(step['step'])}</td><td>{esc(e['setting'])}{known}</td><td>{esc(e['acts_on'])}</td>"
                f"<td>{e['to_high']:g}</td><td>{low:g} to {high:g}</td><td>{bent}</td></tr>"
            )
    notes = "".join(f"<li>{esc(n)}</li>" for n in report["history"].get("notes", []))
    lost = "".join(f"<li>{esc(n)}</li>" for n in report["not_identified"]) or "<li>none</li>"
    drift = (
        "".join(
            f"<li>{esc(step)}: {esc(', '.join(f'{name} {value:+g}' for name, value in moved.items()))}</li>"
            for step, moved in report["history"].get("drift", {}).items()
        )
        or "<li>none</li>"
    )
    cover = report["check"].get("coverage90", {})
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<title>{esc(report['process'])}</title><style>body{{font:15px sans-serif;max-width:60em;margin:2em auto}}"
        "td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}</style>"
        f"<h1>{esc(report['process'])}</h1><p>{report['history'].get('parts')} parts, "
        f"{report['history'].get('dithered')} dithered, {report['history'].get('scrapped')} scrapped. Model "
        f"{esc(report['model'])}.</p>"
        f"<h2>How capable the process was</h2>{_capability(report['history'].get('capability', {}))}"
        f"<h2>Predictions on {report['check'].get('parts')} held-out parts</h2><p>The 90 % interval held "
        f"{cover.get('as_fitted')} of the final readings as fitted, {cover.get('widened')} after widening.</p>"
        f"<h2>Promises on parts finished since</h2><p>{_kept(report['promises'])}</p>"
        f"<h2>Settings whose effect is not identified</h2><ul>{lost}</ul>"
        f"<h2>Steps that drift, against their average over the history</h2><ul>{drift}</ul>"
        f"<h2>Notes</h2><ul>{notes}</ul>"
        f"{_refutation(report)}"
        "<h2>What each setting does</h2><p>Moved from nominal to its upper limit, with 90 % intervals. What comes late "
        "skips steps: it is due to a setting of an earlier step, by something that nobody measures.</p>"
        "<table><tr><th>step</th><th>setting</th><th>acts on</th><th>effect</th><th>90 %</th><th></th></tr>"
        f"{''.join(rows)}</table>{_formulas(report)}</html>"
    )
