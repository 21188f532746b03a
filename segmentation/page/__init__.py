"""The report of `qc evaluate` as one HTML file that needs nothing else: curves, worst misses, worst false alarms."""

from segmentation.page.crops import Crop, worst_crops
from segmentation.page.html import page

__all__ = ["Crop", "page", "worst_crops"]
