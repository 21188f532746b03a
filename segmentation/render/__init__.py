"""Imaginary parts with known defects, and known defects in real pictures: numpy and OpenCV only, no torch."""

from segmentation.render.blemishes import CLASSES
from segmentation.render.description import Description, read_description
from segmentation.render.into import Drawing, draw_into
from segmentation.render.part import MM_PER_PX, VIEWS, RenderedPart, RenderedView, TrueDefect, render_part
from segmentation.render.surface import SURFACES
from segmentation.render.write import render_dataset

__all__ = [
    "CLASSES",
    "MM_PER_PX",
    "SURFACES",
    "VIEWS",
    "Description",
    "Drawing",
    "RenderedPart",
    "RenderedView",
    "TrueDefect",
    "draw_into",
    "read_description",
    "render_dataset",
    "render_part",
]
