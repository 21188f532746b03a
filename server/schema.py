"""The tables of the whole product, brought up to date at start."""

from __future__ import annotations

import importlib
import importlib.util

from sqlalchemy import MetaData
from sqlmodel import SQLModel

from server.db import Database

RECORDS = (
    "qc.records",
    "labeling.records",
    "segmentation.records",
    "process_opt.records",
    "server.records",
    "server.audit",
    "server.jobs.records",
)
"""Every module that declares tables."""


def all_tables() -> MetaData:
    """The metadata with every table of the product declared in it."""
    for name in RECORDS:
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name)
    return SQLModel.metadata


def upgrade(database: Database) -> None:
    """Bring the database's tables up to date."""
    all_tables().create_all(database.engine)
