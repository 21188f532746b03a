"""Let `import torchvision` work beside a CPU build of torch.

The torchvision wheel that pip chooses is linked against CUDA. Beside a CPU torch its compiled extension cannot be
loaded, and the import then fails because two operators that it registers (`nms`, `qnms`) are not known. timm and
segmentation-models-pytorch import torchvision, though nothing we use calls an operator of it. So, only where the
extension really cannot load, the two names are defined here. Where it loads (a CUDA machine, a CPU build of
torchvision) nothing is touched.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library: Any = None  # torch forgets the operators when the library object is collected


def define_missing_operators(package: Path) -> bool:
    """Define `nms` and `qnms` if torchvision's extension in `package` cannot load; True if that was needed."""
    global _library
    import torch

    if _library is not None:
        return True
    for extension in sorted(package.glob("_C*.so")) + sorted(package.glob("_C*.pyd")):
        try:
            torch.ops.load_library(str(extension))  # type: ignore[no-untyped-call]
            return False
        except OSError:
            continue  # its CUDA libraries are not here; that is the case this file is for
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(name + _SIGNATURE)
    library.impl("nms", _suppress, "CPU")
    _library = library
    return True


def _suppress(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Non-maximum suppression: the indices of the boxes that stay, best first."""
    import torch

    left, top, right, bottom = dets.unbind(1)
    area = (right - left) * (bottom - top)
    waiting = scores.argsort(descending=True, stable=True)
    kept: list[torch.Tensor] = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        wide = (right[waiting].minimum(right[best]) - left[waiting].maximum(left[best])).clamp(min=0)
        high = (bottom[waiting].minimum(bottom[best]) - top[waiting].maximum(top[best])).clamp(min=0)
        shared = wide * high
        waiting = waiting[shared <= iou_threshold * (area[waiting] + area[best] - shared)]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.int64)


class _FirstImport(MetaPathFinder):
    """Waits for the first import of torchvision, so that torch is not imported before somebody needs it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "torchvision":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.origin:
            define_missing_operators(Path(spec.origin).parent)
        return spec


def install() -> None:
    """Stand ready for the first import of torchvision; harmless when called again or too late."""
    if "torchvision" not in sys.modules and not any(isinstance(f, _FirstImport) for f in sys.meta_path):
        sys.meta_path.insert(0, _FirstImport())
