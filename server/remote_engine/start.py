"""Starts the engine where the settings name another server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segmentation.parity import Picture
from server.context import Context
from server.remote_engine.engine import Engine, Samples
from server.remote_engine.wire import Wire
from server.settings import Settings


def start(context: Context) -> Engine | None:
    """A line in `server.parts.PARTS`; raises InvalidInput where QC_ENGINE_URL is no address."""
    settings = context.settings
    if not settings.engine_url:
        return None
    wire = Wire(settings.engine_url, settings.engine_model, key=settings.engine_key)
    context.engine = Engine(
        context,
        wire,
        model=settings.engine_model,
        patience_s=settings.engine_patience_s,
        samples=own_pictures(settings),
    )
    return context.engine


def own_pictures(settings: Settings) -> Samples:
    """The crops that a model carries, and the val images of its training where they still lie unaltered here."""

    def find(folder: Path) -> Sequence[Picture]:
        from segmentation.model import read_card  # torch: the champion has loaded it by now
        from segmentation.samples import carried, found_again

        datasets = sorted(settings.folder("retraining").glob("*/dataset"), reverse=True)
        return [*carried(folder), *found_again(read_card(folder), datasets)]

    return find
