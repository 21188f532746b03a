"""Exports are compared before they are written."""

import json
import shutil

import numpy as np
import pytest

from qc.errors import Conflict, InvalidInput
from segmentation import export as exporting
from segmentation.edge.make import export_edge
from segmentation.export import export
from segmentation.first_look_network import FirstLookNetwork
from segmentation.model import load_network, load_segmenter, read_card, with_first_look, with_novelty
from segmentation.novelty import Novelty
from segmentation.runtimes import open_look, write
from segmentation.samples import carried
from server.cli import main


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


def test_an_artefact_of_a_model_with_a_first_look_says_that_it_lacks_it(
    model, onnx_file, tmp_path, monkeypatch, capsys
):
    use(monkeypatch, onnx_file)
    with_first_look(model, FirstLookNetwork(), tmp_path / "sparing", about={})
    said = {}
    for name, folder in (("plain", model), ("sparing", tmp_path / "sparing")):
        assert main(["export", str(folder), "--format", "onnx", "--out", str(tmp_path / "artefact")]) == 0
        said[name] = json.loads((tmp_path / "artefact/artefact.json").read_text())["lacks"], capsys.readouterr().out
    assert said["plain"][0] == []
    assert "lacks" not in said["plain"][1]
    (words,), printed = said["sparing"]
    assert words.startswith("the first look")
    assert f"it lacks {words}" in printed


def test_a_model_that_remembers_clean_parts_is_not_exported_without_its_memory(model, tmp_path):
    memory = Novelty(np.ones((4, 8), np.float32), np.ones(8, np.float32), 1.0, 1.0)
    with_novelty(model, memory, tmp_path / "remembering", about={})
    with pytest.raises(InvalidInput, match="remembers clean parts, and an exported file cannot ask a memory"):
        export(tmp_path / "remembering", format="onnx", out=tmp_path / "artefact", samples=carried(model))
    with pytest.raises(InvalidInput, match="remembers clean parts, and an edge cannot ask a memory"):
        export_edge(tmp_path / "remembering", tmp_path / "artefact", runtime="onnx", samples=carried(model))
    assert not (tmp_path / "artefact").exists()
