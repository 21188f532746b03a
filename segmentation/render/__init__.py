"""Imaginary metal parts with known defects: numpy and OpenCV only, no torch."""

from segmentation.render.blemishes import CLASSES
from segmentation.render.part import MM_PER_PX, VIEWS, RenderedPart, RenderedView, TrueDefect, render_part
from segmentation.render.surface import SURFACES
from segmentation.render.write import render_dataset

__all__ = [
    "CLASSES",
    "MM_PER_PX",
    "SURFACES",
    "VIEWS",
    "RenderedPart",
    "RenderedView",
    "TrueDefect",
    "render_dataset",
    "render_part",
]
