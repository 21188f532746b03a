"""Pages that are one HTML file and need nothing else: the frame, tables, figures. Charts are drawn by `svg.py`.

Everything that comes from elsewhere is escaped here or by who calls; nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #6a7686; --line: #dde3ea; --paper: #fff; --main: #0b62c4;
        --second: #b4460f; --miss: #ff5a36; --alarm: #ffd23f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf2; --soft: #98a4b4; --line: #313a46; --paper: #12161c;
        --main: #6db3ff; --second: #ff9a62; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1100px;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.soft, td.soft, figcaption { color: var(--soft); }
table { border-collapse: collapse; } th, td { text-align: left; padding: .25rem .9rem .25rem 0; vertical-align: top;
       border-bottom: 1px solid var(--line); } td { font-variant-numeric: tabular-nums; }
.row { display: flex; flex-wrap: wrap; gap: 1.2rem; } .row > figure { margin: 0; flex: 1 1 320px; max-width: 480px; }
.crops figure { flex: 0 1 240px; } .crops svg { width: 100%; max-height: 320px; background: #000; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); } svg text.title { fill: var(--ink); }
svg .grid { stroke: var(--line); fill: none; } svg polyline { fill: none; stroke-width: 2; }
svg .band { fill: var(--main); opacity: .18; stroke: none; }
svg .main { stroke: var(--main); } svg .second { stroke: var(--second); stroke-dasharray: 5 4; }
svg path.mark { stroke: var(--soft); stroke-dasharray: 2 3; }
svg polygon { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
svg polygon.miss { stroke: var(--miss); } svg polygon.alarm { stroke: var(--alarm); }
"""


def document(title: str, body: str) -> str:
    """A whole page; `body` is HTML, the title is escaped."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; all cells are escaped."""
    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    lines = ("".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(f'<tr>{r}</tr>' for r in lines)}</tbody></table>"


def figure(drawn: str, caption: str) -> str:
    """A drawing, SVG or HTML, with words below it; the words are escaped."""
    return f"<figure>{drawn}<figcaption>{escape(caption)}</figcaption></figure>"
