"""Where a network is computed: on the processor, or on the GPU where torch sees one."""

from __future__ import annotations

import torch

from qc.errors import InvalidInput

DEVICES = ("auto", "cpu", "cuda")


def on_device(wanted: str) -> str:
    """`cpu` or `cuda`: what is wanted, on this machine; `auto` is `cuda` where torch sees such a device.

    Raises:
        InvalidInput: it is none of `DEVICES`, or `cuda` where there is none.
    """
    if wanted not in DEVICES:
        raise InvalidInput(f"the device must be one of {DEVICES}, not {wanted!r}")
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise InvalidInput("this machine has no CUDA device that torch can use; choose the device cpu, or auto")
    return "cuda" if found and wanted != "cpu" else "cpu"
