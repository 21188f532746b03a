"""A folder for an IPC: it runs with nothing else in reach, says what the model says, and loses nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from qc.errors import Conflict, InvalidInput
from segmentation.edge import make, packing, program
from segmentation.edge.make import Place, export_edge
from segmentation.edge.packing import own_modules
from segmentation.edge.spool import Spool
from segmentation.first_look_network import load
from segmentation.first_look_training import STARTER
from segmentation.model import with_first_look
from segmentation.samples import carried

ALONE = {"PATH": os.defpath, "PYTHON": sys.executable}


pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters


@pytest.fixture(scope="module", autouse=True)
def linked():
    """Large files of installed packages are linked, which spares 290 MB for each folder; what is tried is the same."""

    def link(source, target):
        (os.symlink if os.path.getsize(source) > 1_000_000 else shutil.copyfile)(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "copyfile", link)
        yield


@pytest.fixture(scope="module")
def sparing(model, tmp_path_factory):
    """The model with a first look, which the folder must have as well."""
    out = tmp_path_factory.mktemp("models") / "sparing"
    with_first_look(model, load(STARTER), out, about={})
    return out


@pytest.fixture(scope="module")
def edge(sparing, tmp_path_factory):
    folder = tmp_path_factory.mktemp("edge") / "edge"
    place = Place(names="(?P<part>.+)_(?P<view>left|right)", station="S-7", threads=1)
    export_edge(sparing, folder, runtime="openvino", samples=carried(sparing), place=place)
    return folder


def run(edge, *arguments, spool):
    return subprocess.run(
        [edge / "inspect.sh", "--spool", spool, *arguments], env=ALONE, capture_output=True, text=True, check=False
    )


def test_whoever_only_inspects_imports_nothing_that_trains():
    modules = own_modules()  # asks a Python in which torch, scipy, pandas and the web are out of reach
    assert {"qc.measuring", "qc.verdict", "segmentation.tiled", "segmentation.segmenter"} <= set(modules)
    assert not {"segmentation.model", "segmentation.networks", "segmentation.novelty", "qc.records"} & set(modules)


def test_the_folder_gives_the_models_verdicts_and_says_what_it_was_compared_with(edge, model, tmp_path):
    about = json.loads((edge / "edge.json").read_text())
    assert "first_look.xml" in about["files"]
    assert about["compared_with_the_model"]["images"] == len(carried(model))
    assert about["compared_with_the_model"]["verdicts_that_differ"] == 0
    checked = run(edge, "check", spool=tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "none differs" in checked.stdout


def test_a_picture_becomes_a_result_as_the_contract_has_it(edge, scratches, tmp_path):
    done = run(edge, "look", scratches / "images" / "p00_left.png", spool=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = Spool(tmp_path).inspections.read()
    assert (line["part"], line["view"], line["station"]) == ("p00", "left", "S-7")
    name = line["picture"].removeprefix("pictures/").removesuffix(".png")
    said = json.loads((tmp_path / "results" / f"{name}.json").read_text())
    assert set(said) == {"image", "width", "height", "model", "verdict", "score", "defects"}
    assert (said["width"], said["height"], said["verdict"]) == (200, 160, line["verdict"])
    mask = cv2.imread(str(tmp_path / "results" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (160, 200)


def test_a_program_that_is_killed_while_it_watches_inspects_every_picture_once(edge, scratches, tmp_path):
    inbox, spool = tmp_path / "inbox", Spool(tmp_path / "spool")
    inbox.mkdir()
    pictures = sorted((scratches / "images").glob("*.png"))[:8]
    arguments = [edge / "inspect.sh", "--spool", spool.folder, "watch", "--folder", inbox, "--every", "0.05"]
    for picture in pictures[:5]:
        shutil.copy(picture, inbox)
    killed = subprocess.Popen(arguments, env=ALONE, stdout=subprocess.PIPE, text=True)
    assert killed.stdout.readline().startswith("watching")
    killed.stdout.readline()  # the first picture is done
    killed.kill()
    killed.wait()
    killed.stdout.close()
    with spool.inspections.path.open("ab") as file:
        file.write(b'{"trigger_id": "edge-torn')  # as if it had been killed in the middle of a line
    again = subprocess.Popen(arguments, env=ALONE, stdout=subprocess.DEVNULL)
    for picture in pictures[5:]:
        shutil.copy(picture, inbox)
    while len(spool.inspections.read()) < len(pictures):
        assert again.poll() is None
        time.sleep(0.05)
    again.send_signal(signal.SIGTERM)
    assert again.wait(30) == 0
    assert sorted(line["image"] for line in spool.inspections.read()) == [p.name for p in pictures]


def test_a_picture_that_is_taken_away_while_it_is_looked_for_ends_nothing(tmp_path, monkeypatch):
    (tmp_path / "gone.png").write_bytes(b"1")
    (tmp_path / "next.png").write_bytes(b"2")
    (tmp_path / "moved.png").symlink_to(tmp_path / "elsewhere.png")
    asked = []

    def inspect(_edge, _spool, _journal, _known, path):
        asked.append(path.name)
        if path.name == "next.png":
            raise KeyboardInterrupt
        path.unlink()
        path.read_bytes()

    monkeypatch.setattr(program, "open_edge", lambda folder, threads: SimpleNamespace(settings={"watch": ""}))
    monkeypatch.setattr(program, "inspect_one", inspect)
    words = ["--spool", str(tmp_path / "spool"), "watch", "--folder", str(tmp_path), "--every", "0.01"]
    assert program.main(tmp_path, words) == 0
    assert asked == ["gone.png", "next.png"]


def test_what_is_no_picture_is_kept_and_is_never_ok(edge, tmp_path):
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n of a cable that was pulled")
    done = run(edge, "look", tmp_path / "torn.png", spool=tmp_path / "spool")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = Spool(tmp_path / "spool").inspections.read()
    assert line["verdict"] == "review"
    assert (tmp_path / "spool" / line["picture"]).read_bytes().startswith(b"\x89PNG")


def test_a_model_that_was_altered_on_the_ipc_does_not_inspect(edge, tmp_path):
    altered = tmp_path / "edge"
    shutil.copytree(edge, altered, symlinks=True)
    card = json.loads((altered / "model.json").read_text())
    (altered / "model.json").write_text(json.dumps({**card, "threshold": 0.99}))
    done = run(altered, "check", spool=tmp_path / "spool")
    assert done.returncode == 1
    assert "was altered" in done.stderr


def test_a_folder_with_other_verdicts_is_not_written(edge, model, tmp_path, monkeypatch):
    real = make.torch_look

    def blind(network):
        look = real(network)
        return lambda window: (np.abs(look(window)[0]), look(window)[1])

    monkeypatch.setattr(make, "torch_look", blind)
    monkeypatch.setattr(
        make, "write", lambda runtime, network, stride, out: [shutil.copy(f, out) for f in edge.glob("model.[xb]*")]
    )
    with pytest.raises(Conflict, match="are not the model's"):
        export_edge(model, tmp_path / "edge", runtime="openvino", samples=carried(model))
    assert list(tmp_path.iterdir()) == []


def test_a_journal_shows_what_was_altered_and_has_one_writer(tmp_path):
    journal = Spool(tmp_path).inspections
    with journal.writing() as lines:
        lines.add({"image": "a", "verdict": "ng"})
        lines.add({"image": "b", "verdict": "ok"})
        with pytest.raises(Conflict, match="another program"), Spool(tmp_path).inspections.writing():
            pass
    assert [line["image"] for line in journal.read()] == ["a", "b"]
    journal.path.write_bytes(journal.path.read_bytes().replace(b'"ng"', b'"ok"'))
    with pytest.raises(InvalidInput, match="line 1 of"):
        journal.read()


def test_file_names_that_tell_something_else_are_refused(model, tmp_path):
    with pytest.raises(InvalidInput, match="part and view"):
        export_edge(model, tmp_path / "e", runtime="onnx", samples=carried(model), place=Place(names="(?P<colour>red)"))
