"""Exports are compared before they are written."""

import json
import shutil

import numpy as np
import pytest

from qc.errors import Conflict, InvalidInput
from segmentation import export as exporting
from segmentation.export import export
from segmentation.model import load_network, load_segmenter, read_card
from segmentation.runtimes import open_look, write
from segmentation.samples import carried


@pytest.fixture(scope="module")
def onnx_file(model, tmp_path_factory):
    """The exporter takes ten seconds; the real file is made once and the comparison is made every time."""
    folder = tmp_path_factory.mktemp("onnx")
    write("onnx", load_network(model)[1], 16, folder)
    return folder / "model.onnx"


def use(monkeypatch, onnx_file):
    """Let exports take the file that is there."""
    monkeypatch.setattr(
        exporting, "write", lambda name, network, stride, folder: shutil.copy(onnx_file, folder / "model.onnx")
    )


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.filterwarnings("ignore")  # of the exporters
def test_an_artefact_says_what_the_model_says(model, onnx_file, tmp_path, monkeypatch, format):
    if format == "onnx":
        use(monkeypatch, onnx_file)
    about = export(model, format=format, out=tmp_path / "artefact", samples=carried(model))
    assert about["compared_with_the_model"]["verdicts_that_differ"] == 0
    stored = json.loads((tmp_path / "artefact" / "artefact.json").read_text())
    assert stored["model"] == read_card(model)["id"]
    window = np.random.default_rng(0).integers(0, 256, (176, 240, 3), np.uint8)
    ours, place = load_segmenter(model).look(window)
    theirs, their_place = open_look(format, tmp_path / "artefact")(window)
    assert np.abs(ours - theirs).max() < 1e-3
    assert (place == their_place).mean() > 0.999  # two classes may tie within a rounding


@pytest.mark.filterwarnings("ignore")
def test_an_artefact_with_other_verdicts_is_not_written(model, onnx_file, tmp_path, monkeypatch):
    use(monkeypatch, onnx_file)
    real = exporting.open_look

    def turned(name, folder):
        look = real(name, folder)
        return lambda window: (-look(window)[0], look(window)[1])

    monkeypatch.setattr(exporting, "open_look", turned)
    with pytest.raises(Conflict, match="differ"):
        export(model, format="onnx", out=tmp_path / "artefact", samples=carried(model))
    assert list(tmp_path.iterdir()) == []


def test_an_export_without_pictures_to_compare_on_is_refused(model, tmp_path):
    with pytest.raises(InvalidInput, match="images to compare"):
        export(model, format="onnx", out=tmp_path / "artefact", samples=[])
