from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qc.dataset import IGNORE, Sample, open_dataset
from qc.defects import Defect, probability
from qc.errors import InvalidInput
from qc.geometry import Box
from qc.part_places import Lies, Look
from qc.part_settings import PartSettings
from qc.ports import Segmentation
from segmentation.model import load_segmenter, model_id, read_card, read_part_views
from segmentation.part_looks import answered, as_given, by_part, drawn
from segmentation.part_report import part_report
from segmentation.part_views import Tally, calibration, count_answers, count_labels, in_words, learn, settle
from server.cli import main

VIEWS = ("left", "right", "top")
SAMPLE = Sample(Path("P-1__top.png"), None, "val", "P-1", "top", "P-1")


class Sees:
    """A model of which only what it would call a defect is asked."""

    model_id, classes, threshold, edge = "sha256:sees", {1: "scratch"}, 0.5, 0.5


def same_place(one: Look, two: Look) -> Lies:
    return Lies(np.eye(3), 1.0)


def nobody_knows(one: Look, two: Look) -> None:
    return None


def defect(x: int, score: float = 1.0, name: str = "scratch") -> Defect:
    return Defect(1, name, score, Box(x, 40, 20, 6), 80, 20.0, 4.0, score >= 0.5)


def look(view: str, *found: Defect) -> Look:
    return Look(view, view, 4000, 480, tuple(found))


def test_visibility_is_counted_by_place_where_pictures_lie_on_each_other_and_by_presence_elsewhere():
    parts = [
        [look("left", defect(100), defect(300)), look("top", defect(100)), look("right")],
        [look("left", defect(100)), look("top"), look("right")],
    ]
    by_place, by_presence = Tally(), Tally()
    for looks in parts:
        count_labels(by_place, looks, same_place)
        count_labels(by_presence, looks, nobody_knows)
    assert {v: (by_place.shown["scratch", v].hits, by_place.shown["scratch", v].of) for v in VIEWS} == {
        "left": (3, 3),
        "top": (1, 3),
        "right": (0, 3),
    }
    assert by_place.units == {"scratch": 3}
    assert by_presence.shown["scratch", "top"].of == by_presence.units["scratch"] == 2


def test_an_answer_that_lies_on_another_view_s_defect_is_right_and_a_grain_in_two_views_comes_again():
    truth = [look("left", defect(100)), look("top"), look("right")]
    wrong = defect(500, 0.4), defect(500, 0.3)
    said = [look("left", defect(100, 0.9), wrong[0]), look("top", defect(100, 0.6)), look("right", wrong[1])]
    tally = Tally()
    count_answers(tally, truth, said, same_place)
    assert sorted(tally.answers) == [(0.3, False), (0.4, False), (0.6, True), (0.9, True)]
    assert (tally.found["scratch"].hits, tally.found["scratch"].of) == (1, 1)
    assert (tally.again.hits, tally.again.of) == (2, 4)  # left and right confirm each other, top neither


def test_a_view_of_which_nobody_knows_the_place_is_not_silent_there():
    known = np.zeros((480, 4000), np.bool_)
    known[:, :200] = True  # of the one at 300 nobody knows whether it shows from above
    looks = [look("left", defect(100), defect(300)), replace(look("top", defect(100)), known=known), look("right")]
    by_place, by_presence = Tally(), Tally()
    count_labels(by_place, looks, same_place)
    assert (by_place.shown["scratch", "top"].hits, by_place.shown["scratch", "top"].of) == (1, 1)
    assert by_place.shown["scratch", "right"].of == 2
    count_labels(by_presence, [look("left", defect(100)), replace(look("top"), known=known)], nobody_knows)
    assert ("scratch", "top") not in by_presence.shown


def test_an_answer_where_nobody_knows_is_no_wrong_one():
    mask = np.zeros((120, 200), np.uint8)
    mask[:, 100:] = IGNORE
    truth = drawn(mask, {1: "scratch"}, SAMPLE)
    assert truth.known is not None
    assert truth.known.sum() == 120 * 100
    odds = np.full((120, 200), -9.0, np.float16)
    odds[20:30, 20:30] = odds[20:30, 150:160] = 2.0
    said = answered(Segmentation(odds, np.ones_like(mask)), Sees(), SAMPLE, mask)
    assert [d.box.x for d in said.defects] == [20]


def parts_of_known_truth(parts: int, *, seed: int = 1, shows=(0.9, 0.6, 0.2), found: float = 0.8, again: float = 0.3):
    """(drawn, answered) of parts of which half have a scratch, and that have up to 3 grains."""
    random = np.random.default_rng(seed)
    for _ in range(parts):
        truth: dict[str, list[Defect]] = {v: [] for v in VIEWS}
        said: dict[str, list[Defect]] = {v: [] for v in VIEWS}
        scratched = random.random() < 0.5
        for k in range(int(random.integers(1, 4))):
            real, x = scratched and k == 0, 100 + 300 * k
            for view, visible in zip(VIEWS, shows, strict=True):
                there = random.random() < visible
                if real and there:
                    truth[view].append(defect(x))
                if random.random() < (found * there if real else again):
                    said[view].append(defect(x, probability(random.normal(1.0 if real else -1.0))))
        yield [look(v, *truth[v]) for v in VIEWS], [look(v, *said[v]) for v in VIEWS]


def test_from_enough_parts_the_truth_is_learnt():
    tally = Tally()
    for truth, said in parts_of_known_truth(700):
        count_labels(tally, truth, same_place)
        count_answers(tally, truth, said, same_place)
    settings = settle(tally, VIEWS, ["scratch"])
    shows = settings.classes["scratch"]
    some = 1 - 0.1 * 0.4 * 0.8  # of the scratches that any view shows
    for view, share in zip(VIEWS, (0.9, 0.6, 0.2), strict=True):
        assert shows.visible[view] == pytest.approx(share / some, abs=0.06)
    assert shows.recall == pytest.approx(0.8, abs=0.05)
    assert settings.repeats == pytest.approx(0.3, abs=0.05)
    assert settings.alike < 0.2  # the views of this line err on their own
    assert settings.scale == pytest.approx(2.0, abs=0.4)  # log N(1, 1) / N(-1, 1) is twice the logit


def test_with_few_labels_nothing_is_certain_and_with_none_a_second_view_says_nothing_new():
    none = settle(Tally(), VIEWS, ["scratch"])
    shows = none.classes["scratch"]
    assert none.alike == 1.0
    assert none.repeats == pytest.approx(shows.found("left"))
    assert (none.scale, none.offset) == (1.0, 0.0)
    one = Tally()
    count_labels(one, [look("left", defect(100)), look("top")], same_place)
    assert 0.3 < settle(one, ["left", "top"], ["scratch"]).classes["scratch"].visible["top"] < 0.5


def test_a_calibration_from_few_answers_stays_near_the_scores_themselves():
    scale, offset = calibration(np.array([2.0, -2.0]), np.array([1.0, 0.0]))
    assert scale == pytest.approx(1.0, abs=0.4)
    assert offset == pytest.approx(0.0, abs=0.1)


def test_the_report_of_parts_shows_what_knowing_the_views_is_worth():
    tally, looks, defective = Tally(), {}, {}
    for truth, said in parts_of_known_truth(300):
        count_labels(tally, truth, same_place)
        count_answers(tally, truth, said, same_place)
    for k, (truth, said) in enumerate(parts_of_known_truth(300, seed=2)):
        looks[str(k)], defective[str(k)] = said, any(one.defects for one in truth)
    settings = settle(tally, VIEWS, ["scratch"])
    report = part_report(looks, defective, same_place, settings, threshold=0.6)
    assert report is not None
    json.dumps(report, allow_nan=False)
    worst, joined = report["worst_view"], report["all_views"]
    assert joined["part_ap"]["value"] > worst["part_ap"]["value"]
    assert joined["false_alarms"]["value"] < worst["false_alarms"]["value"]
    assert sum(group["parts"] for group in joined["calibration"]["groups"]) == 300
    without = part_report(looks, defective, same_place, None, threshold=0.6)
    assert without is not None
    assert without["all_views"] is None
    assert "qc part-views" in without["note"]
    assert part_report({"a": looks["0"][:1]}, {"a": True}, same_place, None, threshold=0.6) is None


def test_a_model_is_taught_and_evaluated_on_the_command_line(model, scratches, tmp_path, capsys):
    taught = tmp_path / "taught"
    assert main(["part-views", str(model), str(scratches), "--out", str(taught)]) == 0
    assert "scratch: shows in left" in capsys.readouterr().out
    assert model_id(taught) == read_card(taught)["id"] != model_id(model)
    assert isinstance(read_part_views(taught, read_card(taught)), PartSettings)
    assert load_segmenter(taught).threshold == load_segmenter(model).threshold
    assert read_part_views(model, read_card(model)) is None  # a model of before still is one

    assert (
        main(["evaluate", str(taught), str(scratches), "--split", "val", "--out", str(tmp_path / "report.json")]) == 0
    )
    told = json.loads((tmp_path / "report.json").read_text())["parts_from_all_views"]
    assert told["parts"] == 3
    assert told["all_views"]["calibration"]["brier"] <= 1

    (taught / "part_views.json").write_text("{}")
    with pytest.raises(InvalidInput, match="damaged or belongs to another model"):
        load_segmenter(taught)


def test_a_set_without_parts_of_several_views_teaches_nothing(model, drawn_dataset, tmp_path):
    root = drawn_dataset(tmp_path / "single", parts=4, val=2)
    text = (root / "split.csv").read_text()
    (root / "split.csv").write_text("\n".join(r for r in text.splitlines() if "_right" not in r) + "\n")
    with pytest.raises(InvalidInput, match="two labelled views"):
        learn(load_segmenter(model), open_dataset(root))


def test_rendered_pictures_say_how_they_lie_on_each_other(tmp_path):
    from qc.given import read_given
    from qc.part_places import spots
    from segmentation.render import render_dataset

    data = open_dataset(render_dataset(tmp_path / "set", 8, seed=5, width=400, height=300, clean=0.0))
    between = as_given(read_given(data.root))
    joined = 0
    for samples in by_part(data.samples).values():
        looks = [drawn(s.labels(data.classes), data.classes, s) for s in samples]
        joined += sum(len({s.look for s in spot.sightings}) > 1 for spot in spots(looks, between))
    assert joined >= 3


def test_what_was_learnt_is_told_in_words():
    assert "of the answers are defects" in in_words(settle(Tally(), VIEWS, ["scratch"]))
