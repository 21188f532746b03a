"""What can compute a network: torch, ONNX Runtime, OpenVINO. Writing the network for each.

`segmentation.looking` puts what is written to work.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qc.errors import InvalidInput
from segmentation.answering import Answering
from segmentation.embedding import AnsweringInside, AnsweringWithCells, describes
from segmentation.first_look import CELL_PX, GRAPHS, exactly
from segmentation.first_look_network import FirstLookNetwork
from segmentation.looking import COLUMNS, ROWS, SCREENED
from segmentation.looking import FILES as FILES
from segmentation.looking import open_look as open_look
from segmentation.networks import Network
from segmentation.openvino_core import apart, core

RUNTIMES = ("torch", "onnx", "openvino", "openvino-bf16", "openvino-int8", SCREENED)
EXACT = ("torch", "onnx", "openvino")
"""These compute in float32; the others round, and need more proof that no verdict changes."""

CALIBRATION_PX = 512
"""Side of the windows from which the ranges of the 8-bit network are read."""

FIRST_IN_FLOAT = 6
"""So many convolutions next to the picture stay in float32 where the others compute with 8 bit. Channels of the first
stages differ a thousandfold in range, and one scale serves them all: log-odds near cracks of ksdd were off by 0.56
(root mean square) with all of them in 8 bit, by 0.20 without these, at nearly the same speed."""


def write(
    name: str,
    network: Network,
    stride: int,
    folder: Path,
    pictures: Sequence[NDArray[np.uint8]] = (),
    *,
    cells: bool = False,
) -> None:
    """Write `network` into `folder` as runtime `name` reads it; does nothing where the file is there.

    Args:
        name: one of `RUNTIMES` except torch, which needs no file.
        network: as trained; it is put into evaluation mode.
        stride: of the network, in pixels.
        folder: must be there.
        pictures: `H x W x 3`, 8 bit, RGB windows with sides that are multiples of the stride; needed for what computes
            in 8 bit, and of use to it only if defects are among them.
        cells: let the graph say what the encoder makes of each place, too (`segmentation.embedding`), if it has one.

    Raises:
        InvalidInput: no such runtime, or int8 without pictures.
    """
    if name not in FILES:
        raise InvalidInput(f"a file can be written for {sorted(FILES)}, not for {name!r}")
    if name == SCREENED:
        write("openvino-int8", network, stride, folder, pictures, cells=cells)
        return
    path = folder / FILES[name]
    if path.exists():
        return
    answering = (AnsweringInside if cells and describes(network) else Answering)(network).eval()
    if name == "onnx":
        _write_onnx(answering, stride, path)
        return
    import openvino

    if name == "openvino-int8":
        write("openvino", network, stride, folder, cells=cells)
        openvino.save_model(_in_8_bit(folder / FILES["openvino"], pictures), path, compress_to_fp16=False)
        return
    shown, shapes = _example(answering, stride), [[1, -1, -1, 3], [-1], [-1]]
    with _quietly():
        found = openvino.convert_model(answering, example_input=shown, input=shapes[: len(shown)])
    for place, named in zip(found.inputs, _inputs(answering, stride), strict=True):
        place.get_tensor().set_names({named})
    openvino.save_model(found, path, compress_to_fp16=False)


def write_first_look(runtime: str, network: FirstLookNetwork, folder: Path) -> None:
    """Write a first look into `folder` as the exact kind of `runtime` reads it; nothing where the file is there."""
    name = exactly(runtime)
    path = folder / GRAPHS[name]
    if path.exists():
        return
    folded, picture = network.folded(), torch.zeros(1, 8 * CELL_PX, 8 * CELL_PX, 3, dtype=torch.uint8)
    with _quietly():
        if name == "onnx":
            rows, columns = (torch.export.Dim(side) for side in ("rows", "columns"))
            torch.onnx.export(
                folded,
                (picture,),
                str(path),
                dynamo=True,
                external_data=False,
                input_names=["picture"],
                output_names=["interest"],
                dynamic_shapes=({1: CELL_PX * rows, 2: CELL_PX * columns},),
                verbose=False,
            )
            return
        import openvino

        found = openvino.convert_model(folded, example_input=picture, input=[[1, -1, -1, 3]])
        found.inputs[0].get_tensor().set_names({"picture"})
        openvino.save_model(found, path, compress_to_fp16=False)


def _write_onnx(answering: Answering, stride: int, path: Path) -> None:
    """One ONNX file with free height and width."""
    free = [torch.export.Dim(name) for name in ("height", "width", "rows", "columns")]
    shapes = {1: stride * free[0], 2: stride * free[1]}, {0: free[2]}, {0: free[3]}
    shown = _example(answering, stride)
    with _quietly():
        torch.onnx.export(
            answering,
            shown,
            str(path),
            dynamo=True,
            external_data=False,
            input_names=_inputs(answering, stride),
            output_names=["log_odds", "class_place", *(["cells"] if isinstance(answering, AnsweringWithCells) else [])],
            dynamic_shapes=shapes[: len(shown)],
            verbose=False,
        )


def _example(answering: Answering, stride: int) -> tuple[torch.Tensor, ...]:
    """Inputs to trace it by."""
    picture = torch.zeros(1, 8 * stride, 8 * stride, 3, dtype=torch.uint8)
    return (picture, torch.arange(1, 7), torch.arange(2, 7)) if isinstance(answering, AnsweringInside) else (picture,)


def _inputs(answering: Answering, stride: int) -> list[str]:
    asked = [f"{ROWS}{stride}", f"{COLUMNS}{stride}"] if isinstance(answering, AnsweringInside) else []
    return ["picture", *asked]


def _in_8_bit(path: Path, pictures: Sequence[NDArray[np.uint8]]) -> Any:
    """An OpenVINO graph with 8-bit weights and activations, in ranges that `pictures` show (quantised after training).

    Raises:
        InvalidInput: no pictures.
    """
    if not pictures:
        raise InvalidInput("8-bit arithmetic needs pictures to read its ranges from; give some samples")
    with _quietly():
        import nncf

        nncf.set_log_level(logging.ERROR)
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        network = core().read_model(path)
        convolutions = [o.get_friendly_name() for o in network.get_ordered_ops() if "Convolution" in o.get_type_name()]
        quantise = functools.partial(
            nncf.quantize,
            network,
            nncf.Dataset([_fed(network, p) for p in pictures]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(pictures),
            fast_bias_correction=False,
            ignored_scope=nncf.IgnoredScope(names=convolutions[:FIRST_IN_FLOAT]),
            # The widest range seen, not the mean over pictures: few show a defect, and its answers would be cut off.
            advanced_parameters=AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )
        return apart(quantise)  # it makes cores of its own


def _fed(network: Any, window: NDArray[np.uint8]) -> list[NDArray[Any]]:
    """A whole window for each of the graph's inputs."""
    cells = [
        np.arange(side // int(one.any_name.rsplit("_", 1)[1]))
        for one, side in zip(network.inputs[1:], window.shape, strict=False)
    ]
    return [window[None], *cells]


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Exporters advise their own developers on every channel there is."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
