"""Logs as lines of JSON under QC_HOME/logs, with the request they belong to; warnings on standard error as well.

A field whose name speaks of a secret is blotted out, whoever logs it.
"""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from server.settings import Settings

MAX_BYTES, KEPT = 20_000_000, 5
"""A file of 20 MB holds about a day of a busy line; five older ones are kept."""

_SECRET = re.compile(r"password|secret|token|authorization|cookie|api_?key", re.IGNORECASE)


def blot_out(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace what must not be in a log."""
    for name in line:
        if _SECRET.search(name):
            line[name] = "…"
    return line


def configure(settings: Settings) -> None:
    """Send everything that is logged, ours and the libraries', to the file; warnings to standard error too."""
    level = logging.getLevelNamesMapping().get(settings.log_level.upper(), logging.INFO)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        blot_out,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    file = logging.handlers.RotatingFileHandler(
        settings.folder("logs") / "server.jsonl", maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8", delay=True
    )
    screen = logging.StreamHandler(sys.stderr)
    screen.setLevel(logging.WARNING)
    for handler in (file, screen):
        handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [file, screen]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "urllib3", "watchfiles", "apscheduler", "uvicorn.access", "asyncua"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
