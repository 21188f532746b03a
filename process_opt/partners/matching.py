"""Do these interfaces belong to this process, and is none missing?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from process_opt.partners.interface import Interface, said_of, version_of
from process_opt.partners.visit import visits
from process_opt.process import Process
from qc.errors import InvalidInput


def matched(process: Process, interfaces: Sequence[Interface]) -> dict[str, Interface]:
    """Every partner's interface, by name; each made for this process."""
    needed = list(dict.fromkeys(s.partner for s in process.steps))
    of: dict[str, Interface] = {}
    for one in interfaces:
        if one.process != process.name:
            raise InvalidInput(f"the interface of {one.partner} is of the process {one.process}, not of {process.name}")
        if one.partner in of:
            raise InvalidInput(f"there are two interfaces of partner {one.partner}; give one of each")
        if one.partner not in needed:
            raise InvalidInput(
                f"{process.name} has no step of partner {one.partner}; its partners: {', '.join(needed)}"
            )
        of[one.partner] = one
    if missing := [p for p in needed if p not in of]:
        raise InvalidInput(
            f"the interface of partner {missing[0]} is missing; {process.name} needs {', '.join(needed)}"
        )
    here = {s.name: said_of(s) for s in process.steps}
    version = version_of(process)
    other = [one for one in of.values() if one.version != version]
    found = [(one, *_difference(dict(one.agreed), {n: here.get(n) for n in one.agreed}, ())) for one in other]
    for one, where, theirs, ours in sorted(found, key=lambda f: not f[1]):  # first those that know what differs
        if where and where[-1] == "unit":
            raise InvalidInput(
                f"partner {one.partner} has {where[-2]} in {theirs or 'no unit'}, this process in "
                f"{ours or 'no unit'}; agree on one unit and let the partner fit again"
            )
        told = f"{' '.join(where)} was {theirs!r} and is now {ours!r}" if where else "a step elsewhere differs"
        raise InvalidInput(
            f"the interface of partner {one.partner} was made for another version of {process.name} ({told}); "
            f"let the partner fit again"
        )
    for partner, one in of.items():
        expected = [tuple(process.steps[k].name for k in v.places) for v in visits(process) if v.partner == partner]
        if [tuple(s.name for s in v.steps) for v in one.visits] != expected:
            raise InvalidInput(f"the interface of partner {partner} lacks some of its steps; let the partner fit again")
    return of


def _difference(theirs: Any, ours: Any, where: tuple[str, ...]) -> tuple[tuple[str, ...], Any, Any]:
    """The first place where two nested mappings differ, and what stands there; empty where they do not."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in [*theirs, *(k for k in ours if k not in theirs)]:
            if theirs.get(key) != ours.get(key):
                return _difference(theirs.get(key), ours.get(key), (*where, key))
        return (), None, None
    return where, theirs, ours
