"""The report of a split: sizes, detection, decisions, money, people, and a page that shows the worst."""

import json
import re
import shutil
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from qc.dataset import IGNORE, open_dataset
from qc.defects import logit
from qc.errors import InvalidInput
from qc.ports import Segmentation
from qc.svg import Axis, stairs
from segmentation.evaluate import RiskChoice, evaluate, evaluation
from segmentation.matching import facts
from segmentation.metrics import share_interval
from segmentation.page import page, worst_crops
from segmentation.risk import Costs
from segmentation.sections import binomial
from server.cli import main

COSTS = Costs(escape=120.0, reject=40.0, review=4.0)


class Eyes:
    """Sees what is brighter than 200, and, below the row 150, marks that are none."""

    model_id, classes, threshold = "sha256:eyes", {1: "scratch"}, 0.5
    edge = 0.5

    def segment(self, pixels):
        score = np.where(pixels > 200, 0.9, 0.01)
        score[(pixels > 150) & (pixels <= 200)] = 0.3  # doubtful
        return Segmentation(np.vectorize(logit)(score).astype(np.float16), np.ones(pixels.shape, np.uint8))


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """Parts with scratches of 4 to 64 px: the longer, the brighter; short ones stay dark; and one false alarm."""
    root = tmp_path_factory.mktemp("plant")
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    rows = ["file,split,part,inspector:anna,inspector:ben"]
    random = np.random.default_rng(3)
    for part in range(60):
        picture, mask = np.full((90, 100), 100, np.uint8), np.zeros((90, 100), np.uint8)
        bad = part % 2 == 0
        if bad:
            length = int(4 * 16 ** random.random())
            seen = random.random() < 1 / (1 + (9 / length) ** 4)
            picture[40:43, 10 : 10 + length] = 250 if seen else 110
            mask[40:43, 10 : 10 + length] = 1
        elif part % 20 == 1:
            picture[70:74, 60:70] = 240
        cv2.imwrite(str(root / "images" / f"p{part:02d}.png"), picture)
        cv2.imwrite(str(root / "masks" / f"p{part:02d}.png"), mask)
        split = "val" if part >= 30 else "test"
        said = "ng" if bad else "ok"
        rows.append(f"p{part:02d}.png,{split},p{part:02d},{said},{said if part % 7 else 'ng'}")
    (root / "split.csv").write_text("\n".join(rows) + "\n")
    (root / "dataset.yaml").write_text("name: <plant> & co\nclasses: {1: scratch}\nmm_per_px: 0.1\n")
    return root


@pytest.fixture(scope="module")
def seen(plant):
    return evaluation(Eyes(), open_dataset(plant), split="test", risk=RiskChoice(COSTS, alpha=0.2, prevalence=0.01))


def test_every_figure_stands_with_its_interval(seen):
    report = json.loads(json.dumps(seen.report, allow_nan=False))
    for name in ("image_ap", "part_ap", "mean_iou", "pixel_f1", "aupro", "defect_recall_at_0.1", "defect_recall_at_1"):
        figure = report[name]
        assert figure["low"] <= figure["value"] <= figure["high"]


def unknown(plant, tmp_path, chosen):
    """The plant, of whose `chosen` images nobody knows anything."""
    copy = shutil.copytree(plant, tmp_path / "unknown")
    for path in sorted((copy / "masks").iterdir()):
        if chosen(path.stem):
            cv2.imwrite(str(path), np.full((90, 100), IGNORE, np.uint8))
    return open_dataset(copy)


def test_an_image_of_which_nobody_knows_anything_is_no_clean_one_and_its_inspectors_are_left_out(plant, tmp_path):
    dark = ("p00", "p01", "p02")
    report = evaluate(Eyes(), unknown(plant, tmp_path, lambda name: name in dark), split="test")
    assert (report["images"], report["parts"], report["decisions"]["clean_parts"]) == (27, 27, 14)
    assert not {f"{name}.png" for name in dark} & {image["image"] for image in report["per_image"]}
    assert report["inspectors"]["inspectors"]["anna"]["images"] == 27
    assert report["inspectors"]["inspectors"]["anna"]["kappa_with_truth"]["value"] == 1.0


def test_a_folder_in_place_of_the_report_s_file_is_refused_before_anything_is_looked_at(plant, tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "no model"), str(plant), "--out", str(tmp_path)]) == 1
    assert "is a folder; name the file" in capsys.readouterr().err


def test_a_split_of_which_nobody_knows_anything_is_refused(plant, tmp_path):
    with pytest.raises(InvalidInput, match="nobody knows"):
        evaluate(Eyes(), unknown(plant, tmp_path, lambda name: True), split="test")


def test_classes_sizes_and_curves_have_their_intervals_too(seen):
    report = seen.report
    for figure in (*report["classes"]["scratch"].values(), *(row["f1"] for row in report["by_size"])):
        if isinstance(figure, dict):
            assert figure["low"] <= figure["value"] <= figure["high"]
    assert report["classes"]["scratch"]["aupro"] == report["aupro"]  # the only class
    for point in report["curves"]["precision_recall"]:
        assert point["precision_low"] <= point["precision"] <= point["precision_high"]
        assert point["recall_low"] <= point["recall"] <= point["recall_high"]
    half = report["detection"]["all"]["a50_interval"]
    assert half["low"] is None or half["high"] is None or half["low"] < half["high"]


def test_pixels_by_size_are_those_of_the_defects_of_that_size(seen):
    for row in seen.report["by_size"]:  # what is found is found to the pixel, and nothing else
        assert row["iou"]["value"] == pytest.approx(row["defect_recall_at_1"]["value"], abs=0.15)
        assert row["f1"]["value"] == pytest.approx(2 * row["iou"]["value"] / (1 + row["iou"]["value"]), abs=1e-4)


def test_what_a_prediction_holds_beside_a_defect_is_shared_by_the_defects_on_it():
    truth, odds = np.zeros((40, 60), np.uint8), np.full((40, 60), -9.0, np.float16)
    truth[10:20, 10:20], truth[10:20, 30:40], truth[30:34, 50:54] = 1, 2, 1
    odds[10:20, 15:50] = 9.0  # half of the first, all of the second, and 200 px beside them
    found = facts(Segmentation(odds, np.ones_like(truth)), truth, {1: "dent", 2: "stain"}, threshold=0.5)
    first, third, second = found.defects
    assert (first.answered_px, second.answered_px, third.answered_px) == (50, 100, 0)
    assert first.beyond_px == pytest.approx(200 / 3)
    assert second.beyond_px == pytest.approx(400 / 3)
    assert found.class_scores.keys() == {1}


def test_recall_by_size_shows_what_the_mean_hides(seen):
    rows = {row["from_px"]: row for row in seen.report["by_size"]}
    assert sum(row["defects"] for row in rows.values()) == 15
    small, large = rows[0.0]["defect_recall_at_1"], rows[25.0]["defect_recall_at_1"]
    assert small["value"] < large["value"]
    assert large["low"] < 1  # a handful of parts prove little, even if all were found
    assert rows[6.0]["from_mm"] == pytest.approx(0.6)


def test_detection_is_measured_in_millimetres_where_the_view_is_calibrated(seen):
    detection = seen.report["detection"]
    assert detection["unit"] == "mm"
    assert detection["all"]["defects"] == 15
    assert detection["all"] == detection["classes"]["scratch"]
    assert detection["all"]["a50"] is None or 0.3 < detection["all"]["a50"] < 3
    assert "should have 60" in detection["all"]["note"]


def test_escapes_and_overkill_are_counted_by_part_and_cost_money(seen):
    decisions = seen.report["decisions"]
    scores = {f.part: (f.score, f.defective) for f in seen.facts}
    escaped = np.mean([score < 0.5 for score, bad in scores.values() if bad])
    rejected = np.mean([score >= 0.5 for score, bad in scores.values() if not bad])
    assert decisions["escape_rate"]["value"] == pytest.approx(escaped, abs=1e-5)
    assert decisions["overkill_rate"]["value"] == pytest.approx(rejected, abs=1e-5)
    assert decisions["cost_per_1000_parts"]["value"] == pytest.approx(
        1000 * (0.01 * escaped * 120 + 0.99 * rejected * 40), abs=0.1
    )


def test_thresholds_from_money_are_settled_on_other_parts_and_say_what_they_promise(seen, plant):
    risk = seen.report["risk"]
    assert risk["calibrated_on"] == "the val parts"
    assert risk["calibration_defective_parts"] == 15
    assert risk["on_this_split"]["ok_below"] <= risk["highest_ok_below"]
    assert re.search(r"nothing escapes|at most 20 % pass unseen", risk["guarantee"])
    assert evaluate(Eyes(), open_dataset(plant), split="test")["risk"] is None


def test_the_thresholds_may_be_settled_on_any_split(plant):
    choice = RiskChoice(COSTS, alpha=0.2, calibrate_on="test")
    there = evaluation(Eyes(), open_dataset(plant), split="val", risk=choice).report["risk"]
    itself = evaluation(Eyes(), open_dataset(plant), split="test", risk=choice).report["risk"]
    assert there["calibrated_on"] == "the test parts"
    assert itself["calibrated_on"] == "the parts of this split themselves"
    assert there["highest_ok_below"] == itself["highest_ok_below"]


def test_the_model_stands_beside_the_inspectors(seen):
    people = seen.report["inspectors"]
    assert people["inspectors"]["anna"]["kappa_with_truth"]["value"] == 1
    assert people["inspectors_with_each_other"]["value"] > people["model_with_inspectors"]["value"]


class Reader(HTMLParser):
    """Every tag that is opened is closed, and what the page refers to."""

    EMPTY = frozenset({"meta", "image", "path", "polyline", "polygon"})

    def __init__(self):
        super().__init__()
        self.open, self.links, self.tags = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [v for k, v in attributes if k in ("href", "src")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(seen, plant):
    crops = worst_crops(seen.facts, open_dataset(plant), {1: "scratch"}, threshold=0.5)
    kinds = [c.kind for c in crops]
    assert kinds.count("alarm") == 2
    assert kinds.count("miss") == sum(d.found_at is None for f in seen.facts for d in f.defects)
    assert all(0 <= x < c.width and 0 <= y < c.height for c in crops for ring in c.rings for x, y in ring)
    text = page(seen.report, crops)
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert len(reader.links) == len(crops)
    assert all(link.startswith("data:image/jpeg;base64,") for link in reader.links)
    assert "<plant>" not in text
    assert "&lt;plant&gt; &amp; co" in text


def test_the_command_writes_the_page_beside_the_report(model, scratches, tmp_path, capsys):
    out = tmp_path / "reports" / "r.json"
    costs = ["--costs", "120", "40", "4", "--alpha", "0.1", "--level", "0.95"]
    assert main(["evaluate", str(model), str(scratches), "--split", "val", "--out", str(out), *costs]) == 0
    assert json.loads(out.read_text())["risk"]["level"] == 0.95
    assert "<svg" in out.with_suffix(".html").read_text()
    assert sorted(p.name for p in out.parent.iterdir()) == ["r.html", "r.json"]
    assert "r.html" in capsys.readouterr().out
    assert main(["evaluate", str(model), str(scratches), "--split", "val", "--out", str(tmp_path / "r.html")]) == 1
    assert not (tmp_path / "r.html").exists()


def test_a_wrong_word_of_an_inspector_is_named(model, scratches, tmp_path, capsys):
    root = shutil.copytree(scratches, tmp_path / "data")
    lines = (root / "split.csv").read_text().splitlines()
    (root / "split.csv").write_text("\n".join([lines[0] + ",inspector:a", *(line + ",maybe" for line in lines[1:])]))
    assert main(["evaluate", str(model), str(root), "--split", "val", "--out", str(tmp_path / "r.json")]) == 1
    assert "must be ok, ng or empty, not 'maybe'" in capsys.readouterr().err


def test_a_share_of_all_or_nothing_still_says_how_many_parts_showed_it():
    assert share_interval([1.0, 1.0, 1.0], 10)["low"] == pytest.approx(0.025**0.1, abs=1e-5)
    assert share_interval([0.0, 0.0, 0.0], 10)["high"] == pytest.approx(1 - 0.025**0.1, abs=1e-5)
    assert binomial(0, 10)["high"] == pytest.approx(0.30850, abs=1e-4)  # the textbook's value
    assert binomial(3, 10)["low"] == pytest.approx(0.06674, abs=1e-4)
    assert binomial(0, 0)["value"] is None


def test_axes_have_round_ticks_and_stairs_rise_upright():
    assert Axis("", 0.0, 1.0).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert Axis("", 1.5, 60.0, logarithmic=True).ticks() == pytest.approx([2, 5, 10, 20, 50])
    assert stairs([(0, 0), (1, 0.5)]) == [(0, 0), (1, 0), (1, 0.5)]
