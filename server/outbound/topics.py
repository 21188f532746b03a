"""MQTT topics: ISA-95 names from the enterprise down to the cell, then `qc`, then what it is.

===============================================  ======================================================
`<line>/qc/state`                                retained: is the server there? (birth, last will)
`<line>/<cell>/qc/state`                         retained: the station's mode
`<line>/<cell>/qc/inspection`, `…/decision`      an inspection was judged; a person decided
`<line>/<cell>/qc/call`                          a team leader was called, or what came of it
`<line>/qc/part`                                 a part was judged from all of its views
`<line>/<cell>/qc/alarm`                         an alarm was raised or closed
`<line>/<cell>/qc/andon`                         retained: what is open there now, for a lamp
`<line>/<cell>/qc/recommendation`                what to do with a part that comes to this cell
`<line>/<cell>/qc/in/outcomes/<process>`         heard: as POST /processes/{name}/outcomes
`<line>/<cell>/qc/in/requests/<process>`         heard: as POST /processes/{name}/recommendations
`<line>/<cell>/qc/refused`                       what was heard and makes no sense, and why
===============================================  ======================================================

`<line>` is `topic` of the file (enterprise/site/area/line); `<cell>` the station or step, or what `cells` calls it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

OURS = "qc"
_UNFIT = re.compile(r"[/+#$\x00-\x1f\x7f]")


def topic(line: str, cell: str, *what: str, cells: Mapping[str, str]) -> str:
    """The topic of something in a cell; of the whole line where the cell is empty."""
    return "/".join([line, *([named(cell, cells)] if cell else []), OURS, *what])


def named(cell: str, cells: Mapping[str, str]) -> str:
    """What a station or step is called in topics."""
    return _UNFIT.sub("_", cells.get(cell, cell))


def heard(line: str) -> str:
    """The filter of all that is listened to."""
    return f"{line}/+/{OURS}/in/+/+"


def parse_heard(line: str, name: str) -> tuple[str, str, str] | None:
    """Cell, what (outcomes or requests), and process of a topic that was heard; None for any other."""
    found = re.fullmatch(re.escape(line) + rf"/([^/]+)/{OURS}/in/([^/]+)/([^/]+)", name)
    return (found[1], found[2], found[3]) if found else None
