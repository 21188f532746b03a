"""Exports are compared before they are written."""

import json
import shutil

import numpy as np
import pytest

from qc.errors import Conflict, InvalidInput
from segmentation import export as exporting
from segmentation.export import export, open_artefact
from segmentation.model import load_segmenter, read_card
from segmentation.samples import carried


@pytest.fixture(scope="module")
def onnx_file(model, tmp_path_factory):
    """The exporter takes ten seconds; the real file is made once and the comparison is made every time."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    exporting.write_onnx(model, path)
    return path


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.filterwarnings("ignore")  # of the exporters
def test_an_artefact_says_what_the_model_says(model, onnx_file, tmp_path, monkeypatch, format):
    monkeypatch.setattr(exporting, "write_onnx", lambda folder, path: shutil.copy(onnx_file, path))
    about = export(model, format=format, out=tmp_path / "artefact", samples=carried(model))
    assert about["compared_with_the_model"]["verdicts_that_differ"] == 0
    stored = json.loads((tmp_path / "artefact" / "artefact.json").read_text())
    assert stored["model"] == read_card(model)["id"]
    window = np.random.default_rng(0).integers(0, 256, (176, 240, 3), np.uint8)
    ours, place = load_segmenter(model).look(window)
    theirs, their_place = open_artefact(tmp_path / "artefact", format)(window)
    assert np.abs(ours - theirs).max() < 1e-3
    assert (place == their_place).mean() > 0.999  # two classes may tie within a rounding


@pytest.mark.filterwarnings("ignore")
def test_an_artefact_with_other_verdicts_is_not_written(model, onnx_file, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "write_onnx", lambda folder, path: shutil.copy(onnx_file, path))
    real = exporting.open_artefact

    def shifted(folder, format):
        look = real(folder, format)

        def turned(window):
            log_odds, place = look(window)
            return -log_odds, place

        return turned

    monkeypatch.setattr(exporting, "open_artefact", shifted)
    with pytest.raises(Conflict, match="differ"):
        export(model, format="onnx", out=tmp_path / "artefact", samples=carried(model))
    assert list(tmp_path.iterdir()) == []


def test_an_export_without_pictures_to_compare_on_is_refused(model, tmp_path):
    with pytest.raises(InvalidInput, match="images to compare"):
        export(model, format="onnx", out=tmp_path / "artefact", samples=[])
