"""How a labelling project looks: the tools a person draws with, the classes, their colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

IMAGE, BRUSH, POLYGON, BOX, CLEAN = "image", "mask", "polygon", "box", "clean"
"""Names of the controls; results refer to them."""

BESIDE = "beside"
"""The picture of the part's other views, and the field of a task's data that holds its address (`labeling.beside`)."""

CLICK, FRAME = "click", "frame"
"""The two smart tools: a click on a defect, or a frame around it, asks the model for its mask."""

NOTHING = "Nothing here is a defect"
"""The choice of a person who sees only harmless things."""

UNSURE = "not sure"
"""The label of pixels that a person cannot judge; training leaves them out."""

SAID = {
    BRUSH: "Brush",
    POLYGON: "Polygon, corner by corner",
    BOX: "Box: all of it is the defect",
    CLICK: "Click on a defect: the model outlines it",
    FRAME: "Frame a defect: the model outlines it",
}
"""What a row of labels is for: all five show the same labels, and each has its own keys."""

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
"""Okabe and Ito (2008), told apart by people with any kind of colour vision; strongest on metal first."""

GREY = "#999999"


def label_config(labels: Iterable[str], hints: Mapping[str, str] | None = None) -> str:
    """The project's configuration for Label Studio.

    A label's hint, from the label book, shows on the label (`hints`: label to words).

    `smoothing` is off: a defect of a few pixels is labelled by its pixels, not by what a browser makes of them. The
    brush comes first, because pre-drawn masks are brush regions and the first tool is the one that is ready. That
    nothing is a defect is said above the picture (key 0): below it, on a small screen, nobody sees how to say so.

    The other views stand to the right of the crop and are no place to draw. `valueList` makes them optional: a
    picture that somebody else puts into the project has none.
    """
    view = ElementTree.Element("View")
    choices = ElementTree.SubElement(view, "Choices", name=CLEAN, toName=IMAGE, choice="multiple", showInline="true")
    ElementTree.SubElement(choices, "Choice", value=NOTHING, hotkey="0")
    looks = {"zoom": "true", "zoomControl": "true", "brightnessControl": "true", "contrastControl": "true"}
    row = ElementTree.SubElement(view, "View", style="display: flex; gap: 16px; align-items: flex-start")
    crop = ElementTree.SubElement(row, "View", style="flex: 3 1 0; min-width: 0")
    ElementTree.SubElement(crop, "Image", {"name": IMAGE, "value": "$image", "smoothing": "false", **looks})
    others = ElementTree.SubElement(row, "View", style="flex: 2 1 0; min-width: 0")
    ElementTree.SubElement(others, "Image", {"name": BESIDE, "valueList": f"${BESIDE}", "smoothing": "true", **looks})
    labels = list(labels)
    for tag, name, extra in (
        ("BrushLabels", BRUSH, {"opacity": "0.5"}),
        ("PolygonLabels", POLYGON, {"opacity": "0.3", "strokeWidth": "2"}),
        ("RectangleLabels", BOX, {"opacity": "0.3", "strokeWidth": "2"}),
    ):
        tool = _row(view, tag, {"name": name, "toName": IMAGE, **extra})
        for place, label in enumerate(labels):
            ElementTree.SubElement(tool, "Label", _label(label, place, hints))
        ElementTree.SubElement(tool, "Label", value=UNSURE, background=GREY)
    for tag, name in (("KeyPointLabels", CLICK), ("RectangleLabels", FRAME)):
        tool = _row(view, tag, {"name": name, "toName": IMAGE, "smart": "true", "smartOnly": "true"})
        for place, label in enumerate(labels):
            ElementTree.SubElement(tool, "Label", {**_label(label, place, hints), "smart": "true"})
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode")


def _row(view: ElementTree.Element, tag: str, attributes: dict[str, str]) -> ElementTree.Element:
    """A control with what it is for before it, on one line."""
    close = "margin-bottom: -14px"  # in a flex line the labels' own margins no longer fall together
    line = ElementTree.SubElement(view, "View", style=f"display: flex; gap: 12px; align-items: center; {close}")
    words = ElementTree.SubElement(line, "View", style="width: 260px")
    small = "margin: 0 0 12px; font-size: 14px; line-height: 18px; font-weight: 500"
    ElementTree.SubElement(words, "Header", value=SAID[attributes["name"]], size="6", style=small)
    return ElementTree.SubElement(line, tag, attributes)


def _label(label: str, place: int, hints: Mapping[str, str] | None) -> dict[str, str]:
    said = {"value": label, "background": COLOURS[place % len(COLOURS)]}
    return said | ({"hint": hints[label]} if hints and label in hints else {})


def hints_of(config: str) -> dict[str, str]:
    """The hints that a project's configuration shows, by label; empty if it is not ours."""
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError:
        return {}
    labels = [label for tool in root.iter("BrushLabels") for label in tool.iter("Label")]
    return {label.get("value", ""): label.get("hint", "") for label in labels if label.get("hint")}


def is_current(config: str) -> bool:
    """Does a project's configuration offer all tools and the part's other views, and say what each tool is for?"""
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError:
        return False
    told = {header.get("value") for header in root.iter("Header")}
    return {CLICK, FRAME, BESIDE} <= {tool.get("name") for tool in root.iter()} and told >= set(SAID.values())


def labels_of(config: str) -> list[str]:
    """The labels that a project's configuration offers for the brush, without `UNSURE`; empty if it is not ours."""
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError:
        return []
    found: Mapping[str, None] = {
        label.get("value", ""): None
        for tool in root.iter("BrushLabels")
        if tool.get("name") == BRUSH
        for label in tool.iter("Label")
    }
    return [label for label in found if label and label != UNSURE]
