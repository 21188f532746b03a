"""Puts the site together: pages from people, pages from the code, MkDocs over both."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path

from qc.errors import Conflict, InvalidInput, Unavailable
from server.docs import reference

HERE = Path(__file__).parent
PAGES = HERE / "pages"
PLANNING = "<!-- the table of examples -->"
"""Stands on the planning page where the examples go."""
STATIONS = "<!-- the table of stations -->"
"""Where the simulated stations go."""


def write_pages(out: Path) -> None:
    """All pages as Markdown, those from the code too, into the new folder `out`."""
    shutil.copytree(PAGES, out)
    for name, text in reference.pages().items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text, encoding="utf-8")
    planning = out / "explanation/planning.md"
    text = planning.read_text(encoding="utf-8").replace(PLANNING, reference.planning_table())
    planning.write_text(text.replace(STATIONS, reference.stations_table()), "utf-8")


def build(out: Path) -> int:
    """Build the site into `out`, whole or not at all; the number of its pages.

    Raises:
        Conflict: `out` holds something that is no such site.
        InvalidInput: a page links to what is not there.
        Unavailable: MkDocs is not installed.
    """
    if out.exists() and any(out.iterdir()) and not (out / "sitemap.xml").exists():
        raise Conflict(f"{out} holds something that is no documentation site; name a new folder")
    os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")
    try:
        from mkdocs.commands.build import build as mkdocs
        from mkdocs.config import load_config
        from mkdocs.exceptions import Abort
    except ImportError as error:
        raise Unavailable("qc docs needs MkDocs: pip install 'qc-line[docs]'") from error
    logging.getLogger("mkdocs").setLevel(logging.WARNING)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent.resolve(), prefix=f".{out.name}.") as folder:
        pages, site = Path(folder) / "pages", Path(folder) / "site"
        write_pages(pages)
        try:
            config = load_config(str(HERE / "mkdocs.yaml"), docs_dir=str(pages), site_dir=str(site), strict=True)
            mkdocs(config)
        except Abort as error:
            raise InvalidInput("a page of the documentation is wrong; the lines above say which") from error
        shutil.rmtree(out, ignore_errors=True)
        site.rename(out)
    return sum(1 for _ in out.rglob("*.html"))
