"""The label book: what each class is, from which size on, and how it looks; every change is a version of its own.

A page is never changed: a change appends the class's next page and raises the version of the whole book by one, so that
a data set that names a version says exactly what its labellers were told. Examples live in `labeling.book_examples`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from html import escape
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from labeling.book_records import BookPage
from qc.errors import Conflict, InvalidInput, NotFound

MEASURES = {"length_mm": ("length", "mm"), "width_mm": ("width", "mm"), "area_mm2": ("area", "mm²")}
"""What a limit may be about: its word and its unit."""

LONGEST = 4000
"""Characters of a definition: a page that is read beside the task, not a manual."""


@dataclass(frozen=True, slots=True)
class Limit:
    """From which size on, or up to which, something is labelled as a class."""

    measure: str
    """One of `MEASURES`."""
    low: float | None = None
    """Smaller is not labelled; mm, or mm² for the area. None: no limit."""
    high: float | None = None
    """Larger is something else."""

    def sentence(self) -> str:
        """Such as `length from 2 mm`, `width 0.1 to 3 mm`, `area up to 5 mm²`."""
        word, unit = MEASURES[self.measure]
        if self.low is None:
            return f"{word} up to {self.high:g} {unit}"
        return (
            f"{word} from {self.low:g} {unit}" if self.high is None else f"{word} {self.low:g} to {self.high:g} {unit}"
        )


def check_limits(limits: Sequence[Limit]) -> list[Limit]:
    """The limits, one for each measure; raises InvalidInput for one that says nothing or contradicts itself."""
    for limit in limits:
        given = [x for x in (limit.low, limit.high) if x is not None]
        if limit.measure not in MEASURES:
            raise InvalidInput(f"there is no measure {limit.measure!r}; give one of {', '.join(MEASURES)}")
        if not given or not all(math.isfinite(x) and x >= 0 for x in given) or given != sorted(given):
            raise InvalidInput(
                f"the limit of {limit.measure} must have a lower or an upper end, at least 0 and in this order"
            )
    if len({limit.measure for limit in limits}) < len(limits):
        raise InvalidInput("a measure has two limits; give each measure once")
    return list(limits)


def version(session: Session) -> int:
    """Of the whole book; 0 while nothing is written."""
    return session.exec(select(func.max(BookPage.version))).one() or 0


def pages(session: Session, *, at: int | None = None) -> dict[str, BookPage]:
    """The page of each class as it holds now, or held at a version of the book; by class name."""
    newest = select(func.max(BookPage.version)).group_by(BookPage.class_name)
    if at is not None:
        newest = newest.where(col(BookPage.version) <= at)
    rows = session.exec(select(BookPage).where(col(BookPage.version).in_(newest)))
    return {row.class_name: row for row in sorted(rows, key=lambda row: row.class_name)}


def history(session: Session, class_name: str) -> list[BookPage]:
    """Every page of a class, newest first."""
    wanted = select(BookPage).where(BookPage.class_name == class_name).order_by(col(BookPage.version).desc())
    return list(session.exec(wanted))


def check_class(session: Session, class_name: str, known: Collection[str]) -> None:
    """Raises NotFound for a class that neither the serving model nor the book knows."""
    names = sorted({*known, *pages(session)})
    if class_name not in names:
        raise NotFound(f"there is no class {class_name!r}; there are {', '.join(names) or 'none yet'}")


def write(
    session: Session,
    class_name: str,
    *,
    definition: str,
    limits: Sequence[Limit],
    after: int,
    by: str,
    now: datetime,
) -> BookPage:
    """Define a class. The same words again change nothing. The caller commits.

    Args:
        after: version of the class's page that this was made from, 0 for none: two people do not overwrite each other.

    Raises:
        InvalidInput: the definition is empty or too long, or a limit makes no sense.
        Conflict: somebody changed the page meanwhile.
    """
    definition = definition.strip()
    if not 0 < len(definition) <= LONGEST:
        raise InvalidInput(f"a definition has 1 to {LONGEST} characters, not {len(definition)}")
    wanted = [asdict(limit) for limit in check_limits(limits)]
    page = pages(session).get(class_name)
    if page is not None and (page.definition, page.limits) == (definition, wanted):
        return page
    stands = page.version if page is not None else 0
    if after != stands:
        raise Conflict(
            f"{class_name} was changed in version {stands} of the book by {page.by if page else 'nobody'}, and you had "
            f"version {after} before you; read it again"
        )
    what = [
        word
        for word, changed in (
            ("definition", page is None or page.definition != definition),
            ("limits", (page.limits if page else []) != wanted),
        )
        if changed
    ]
    return _append(session, class_name, page, " and ".join(what), by, now, definition=definition, limits=wanted)


def with_examples(
    session: Session, class_name: str, examples: Sequence[str], *, change: str, by: str, now: datetime
) -> BookPage:
    """The class's next page, with these examples; the definition stays. The caller commits."""
    page = pages(session).get(class_name)
    return _append(session, class_name, page, change, by, now, examples=list(examples))


def _append(
    session: Session, class_name: str, page: BookPage | None, change: str, by: str, now: datetime, **values: Any
) -> BookPage:
    before = {
        "definition": page.definition if page else "",
        "limits": page.limits if page else [],
        "examples": page.examples if page else [],
    }
    made = BookPage(
        version=version(session) + 1, class_name=class_name, change=change, by=by, at=now, **(before | values)
    )
    session.add(made)
    session.flush()
    return made


def body(page: BookPage) -> dict[str, Any]:
    """What the audit trail keeps of a page, and a data set of the book."""
    return {"definition": page.definition, "limits": page.limits, "examples": page.examples}


def snapshot(session: Session) -> dict[str, Any]:
    """The book as it holds now, for a data set: `{"version", "classes": {name: {definition, limits, examples}}}`."""
    return {"version": version(session), "classes": {name: body(page) for name, page in pages(session).items()}}


def limits_of(page: BookPage) -> list[Limit]:
    """The limits of a page, as values."""
    return [Limit(**limit) for limit in page.limits]


@dataclass(frozen=True, slots=True)
class Told:
    """What labellers are told in Label Studio."""

    version: int
    hints: Mapping[str, str]
    """Class name to the words that show on its label."""
    instructions: str
    """HTML of plain tags, above the pictures."""


def told(session: Session, link: str) -> Told:
    """The book for Label Studio: a hint on each label, and instructions with a link to the examples.

    Args:
        link: address of the book's page.
    """
    known = {name: page for name, page in pages(session).items() if page.definition or page.limits}
    hints = {name: _words(page) for name, page in known.items()}
    lines = [f"<li><b>{escape(name)}</b>: {escape(words)}</li>" for name, words in hints.items()]
    head = "<p>Correct what is drawn, then submit. Where nothing is a defect, say so (key 0).</p>"
    listed = f"<ul>{''.join(lines)}</ul>" if lines else ""
    foot = f'<p><a href="{escape(link)}" target="_blank">The label book, with examples from real parts</a></p>'
    return Told(version(session), hints, head + listed + foot)


def _words(page: BookPage) -> str:
    limits = "; ".join(limit.sentence() for limit in limits_of(page))
    return " ".join(filter(None, (page.definition, f"Labelled: {limits}." if limits else "")))
