"""The report as a page. Everything that comes from a data set is escaped; nothing is loaded from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from qc.page import document, figure, table
from qc.svg import Axis, Band, Line, Mark, chart, stairs
from segmentation.page.crops import Crop

NAMES = {
    "defect_recall_at_0.1": "defects found at 0.1 false alarms an image",
    "defect_recall_at_1": "defects found at 1 false alarm an image",
    "image_ap": "image AP",
    "image_auroc": "image AUROC",
    "part_ap": "part AP",
    "mean_iou": "mean IoU",
    "pixel_f1": "pixel F1",
    "aupro": "AUPRO (to a false-pixel rate of 0.3)",
}


def page(report: Mapping[str, Any], crops: Sequence[Crop]) -> str:
    """The report of `segmentation.evaluate.evaluate` and crops of the worst, as one HTML document."""
    name = f"{report['dataset']}, {report['split']}"
    body = [
        f"<h1>{escape(name)}</h1>",
        f'<p class="soft">{report["images"]} images of {report["parts"]} parts, {report["defects"]} defects; '
        f"threshold {report['threshold']:g}; model {escape(str(report['model']))}. Intervals: "
        f"{escape(str(report['interval']))}.</p>",
        "<h2>Figures</h2>",
        table(("figure", "value", "95 %"), [(NAMES[key], *_cells(report[key])) for key in NAMES]),
        "<h2>Curves</h2>",
        f'<div class="row">{_curves(report["curves"])}{_detection_chart(report["detection"])}</div>',
        "<h2>By class and by size</h2>",
        _by_class(report["classes"]),
        _by_size(report["by_size"]),
        "<h2>Probability of detection</h2>",
        _detection_table(report["detection"]),
        "<h2>What becomes of the parts</h2>",
        _decisions(report),
        _all_views(report["parts_from_all_views"]),
        _people(report["inspectors"]),
        _crops("The longest misses", [c for c in crops if c.kind == "miss"], "Nothing was missed."),
        _crops("The surest false alarms", [c for c in crops if c.kind == "alarm"], "There is no false alarm."),
    ]
    return document(name, "".join(body))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def _cells(figure: Mapping[str, float | None] | None) -> tuple[str, str]:
    if figure is None or figure["value"] is None:
        return "–", "unknown"
    return _number(figure["value"]), f"{_number(figure['low'])} to {_number(figure['high'])}"


def _curves(curves: Mapping[str, Any]) -> str:
    share = Axis("recall", 0.0, 1.0)
    precision = [(p["recall"], p["precision"]) for p in curves["precision_recall"]]
    doubt = Band(_ends(curves["precision_recall"], "recall", "precision"))
    froc = [(p["false_alarms"], p["recall"]) for p in curves["recall_over_false_alarms"]]
    spread = Band(_ends(curves["recall_over_false_alarms"], "false_alarms", "recall"))
    most = max([2.0, *(min(x, 10.0) for x, _ in froc)])
    return figure(
        chart("Precision over recall of defects", share, Axis("precision", 0.0, 1.0), [Line(precision)], bands=[doubt]),
        "Of what is reported, the share that is right, over the share of defects found; 95 % at the same score.",
    ) + figure(
        chart(
            "Recall over false alarms",
            Axis("false alarms an image", 0.0, most),
            Axis("recall", 0.0, 1.0),
            [Line(stairs([(0.0, 0.0), *froc]))],
            [Mark(0.1, "0.1"), Mark(1.0, "1")],
            [spread],
        ),
        "Share of defects found, over the false alarms one accepts; 95 % at the same score.",
    )


def _ends(points: Sequence[Mapping[str, Any]], x: str, y: str) -> list[tuple[float, float, float]]:
    """The interval of `y` over the value of `x`, where it is known."""
    return [(p[x], p[f"{y}_low"], p[f"{y}_high"]) for p in points if p[f"{y}_low"] is not None]


def _detection_chart(detection: Mapping[str, Any]) -> str:
    pod, unit = detection["all"], detection["unit"]
    if pod["intercept"] is None or not pod["slope"]:
        return ""
    middle = math.exp(-pod["intercept"] / pod["slope"])
    spread = math.exp(min(5.0 / pod["slope"], 3.0))
    marks = [
        Mark(value, f"{name} {value:.3g} {unit}")
        for name, value in (("a50", pod["a50"]), ("a90", pod["a90"]["value"]), ("a90/95", pod["a90_95"]))
        if value is not None
    ]
    low, high = middle / spread, max([middle * spread, *(1.2 * m.x for m in marks)])
    places = [low * (high / low) ** (n / 80) for n in range(81)]
    points = [
        (a, 1 / (1 + math.exp(-max(min(pod["intercept"] + pod["slope"] * math.log(a), 700), -700)))) for a in places
    ]
    return figure(
        chart(
            "Probability of detection over length",
            Axis(f"length, {unit}", low, high, logarithmic=True),
            Axis("found", 0.0, 1.0),
            [Line(points), Line([(low, 0.9), (high, 0.9)], "second")],
            marks,
        ),
        f"Probability that a defect is found at score {detection['at_score']:g}, over its length.",
    )


def _by_class(classes: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            figures.get("defects", ""),
            *(_with_interval(figures.get(key)) for key in ("iou", "image_ap", "aupro")),
            *(_with_interval(figures.get(f"defect_recall_at_{a}")) for a in ("0.1", "1")),
        )
        for name, figures in classes.items()
    ]
    head = ("class", "defects", "IoU", "image AP", "AUPRO", "found at 0.1", "found at 1 false alarm an image")
    return table(head, rows)


def _with_interval(figure: Mapping[str, float | None] | None) -> str:
    if figure is None or figure["value"] is None:
        return "–"
    value, ends = _cells(figure)
    return f"{value} ({ends})"


def _by_size(sizes: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            f"{s['from_px']:g} px and more" if s["to_px"] is None else f"{s['from_px']:g} to {s['to_px']:g} px",
            s["defects"],
            *(_with_interval(s[key]) for key in ("iou", "f1", "defect_recall_at_0.1", "defect_recall_at_1")),
        )
        for s in sizes
    ]
    head = ("length", "defects", "IoU of those found", "F1", "found at 0.1", "found at 1 false alarm an image")
    return "<p></p>" + table(head, rows)


def _detection_table(detection: Mapping[str, Any]) -> str:
    unit = detection["unit"]
    rows = [
        (
            name,
            f"{pod['hits']} of {pod['defects']}",
            _with_interval({"value": pod["a50"], **pod["a50_interval"]}),
            _with_interval(pod["a90"]),
            _number(pod["a90_95"]),
            pod["note"],
        )
        for name, pod in (("all", detection["all"]), *detection["classes"].items())
    ]
    return table(("class", "found", f"a50, {unit}", f"a90, {unit}", f"a90/95, {unit}", "note"), rows)


def _decisions(report: Mapping[str, Any]) -> str:
    columns = [("the model's threshold", report["decisions"])]
    text = ""
    if report["risk"] is not None:
        risk = report["risk"]
        columns.append((f"what costs least ({risk['costs']['currency']})", risk["on_this_split"]))
        text = (
            f"<p>{escape(risk['guarantee'][0].upper() + risk['guarantee'][1:])}. "
            f"Calibrated on {escape(risk['calibrated_on'])}; taken for {100 * risk['prevalence']:.3g} % "
            f"defective parts.</p>"
        )
    names = {
        "ok_below": "passes below",
        "ng_from": "rejected from",
        "escape_rate": "defective parts that pass",
        "overkill_rate": "clean parts that are rejected",
        "review_rate": "parts that a person looks at",
        "cost_per_1000_parts": "cost of 1000 parts",
    }

    def cell(value: Any) -> str:
        return _with_interval(value) if isinstance(value, Mapping) else _number(value)

    rows = [(words, *(cell(c.get(key)) for _, c in columns)) for key, words in names.items()]
    return text + table(("", *(name for name, _ in columns)), rows)


def _all_views(parts: Mapping[str, Any] | None) -> str:
    """Parts judged by their worst view, and by all views together where the model learnt about views."""
    if parts is None:
        return ""
    rules = [("by the worst view", parts["worst_view"])]
    if parts["all_views"] is not None:
        rules.append(("by all views together", parts["all_views"]))
    names = {
        "part_ap": "part AP",
        "recall": "defective parts that are rejected",
        "escapes": "defective parts that pass",
        "false_alarms": "clean parts that are rejected",
        "reviews": "parts that a person looks at",
    }
    rows = [(words, *(_with_interval(figures[key]) for _, figures in rules)) for key, words in names.items()]
    views = ", ".join(escape(view) or "without a name" for view in parts["views"])
    told = f"{parts['parts']} parts, views {views}; threshold {parts['threshold']:g}."
    note = f" {escape(parts['note'][0].upper() + parts['note'][1:])}." if parts["note"] else ""
    said = parts["all_views"] and parts["all_views"]["calibration"]["brier"]
    sure = "" if said is None else f" Brier score of the chances from all views: {said:.3f}."
    return f"<h2>Parts from all views</h2><p>{told}{note}{sure}</p>" + table(("", *(name for name, _ in rules)), rows)


def _people(inspectors: Mapping[str, Any] | None) -> str:
    if inspectors is None:
        return ""
    rows = [
        (
            name,
            row["images"],
            *(_with_interval(row[k]) for k in ("kappa_with_truth", "kappa_with_model", "kappa_with_oneself")),
        )
        for name, row in inspectors["inspectors"].items()
    ]
    rows.append(("the model", "", _with_interval(inspectors["model_kappa_with_truth"]), "", ""))
    return (
        "<h2>Model and inspectors</h2>"
        f"<p>Kappa of the model with the inspectors: {_with_interval(inspectors['model_with_inspectors'])}; of the "
        f"inspectors with each other: {_with_interval(inspectors['inspectors_with_each_other'])}.</p>"
        + table(("", "images", "with the truth", "with the model", "with oneself"), rows)
    )


def _crops(title: str, crops: Sequence[Crop], none: str) -> str:
    shown = "".join(figure(_picture(c), f"{c.image}: {c.text}") for c in crops)
    return f'<h2>{title}</h2><div class="row crops">{shown or escape(none)}</div>'


def _picture(crop: Crop) -> str:
    rings = "".join(
        f'<polygon class="{crop.kind}" points="{" ".join(f"{x + 0.5},{y + 0.5}" for x, y in ring)}"/>'
        for ring in crop.rings
    )
    return (
        f'<svg viewBox="0 0 {crop.width} {crop.height}" role="img" aria-label="{escape(crop.text, quote=True)}">'
        f'<image width="{crop.width}" height="{crop.height}" href="data:image/jpeg;base64,{crop.jpeg}"/>{rings}</svg>'
    )
