"""Learning to see defects: train, predict, evaluate, compare, export."""

import os

from segmentation import torchvision_cpu

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise it asks the internet for its newest version
torchvision_cpu.install()
