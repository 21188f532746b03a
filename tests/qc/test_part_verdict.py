from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from qc.defects import CLOSE, Defect, logit, probability
from qc.errors import InvalidInput
from qc.geometry import Box
from qc.part_evidence import suspects
from qc.part_places import Lies, Look, spots
from qc.part_settings import PartSettings, Shows, from_json, to_json
from qc.part_verdict import judge_part
from qc.verdict import Policy, Verdict, parse_policy

SCRATCH = Shows(visible={"left": 0.8, "top": 0.4, "right": 0.8}, elsewhere=0.6, recall=0.9, strays=0.1, per_part=0.3)
SETTINGS = PartSettings(("left", "top", "right"), {"scratch": SCRATCH}, repeats=0.1, alike=0.5, real=0.4)
SAME = Lies(np.eye(3), 1.0)
POLICY = Policy("bar")


def registered(one: Look, two: Look) -> Lies:
    return SAME


def strangers(one: Look, two: Look) -> None:
    return None


def defect(score: float, x: int = 100, *, name: str = "scratch", length: float = 20.0) -> Defect:
    beyond = logit(score) - logit(0.5)
    return Defect(1, name, score, Box(x, 50, 20, 6), 80, length, 4.0, beyond >= 0, beyond >= -CLOSE)


def look(view: str, *found: Defect, fault: str | None = None, moment: int = 0) -> Look:
    return Look(view, view, 640, 480, tuple(found), fault, moment)


def judged(looks, between=registered, settings=SETTINGS, policy=POLICY):
    return judge_part(looks, between, policy, settings, threshold=0.5)


# places


def test_what_lies_at_one_place_of_two_views_is_one_spot_and_what_lies_elsewhere_is_another():
    shifted = Lies(np.array([[1, 0, 200.0], [0, 1, 0], [0, 0, 1]]), 1.0)

    def to_the_right(one: Look, two: Look) -> Lies:
        return shifted if one.view == "left" else shifted.back

    looks = [look("left", defect(0.9, 100)), look("right", defect(0.8, 300), defect(0.7, 100))]
    found = spots(looks, to_the_right)
    assert sorted(len(spot.sightings) for spot in found) == [1, 2]
    alone = next(spot for spot in found if len(spot.sightings) == 1)
    assert alone.silent == ()  # it lies at -100 of the left view: beyond its frame
    assert alone.group == {0, 1}


def test_pieces_of_a_scratch_are_one_spot_even_in_a_single_view():
    assert len(spots([look("left", defect(0.9, 100), defect(0.6, 130))], strangers)) == 1
    assert len(spots([look("left", defect(0.9, 100), defect(0.6, 160))], strangers)) == 2


def test_two_views_that_cannot_be_laid_on_each_other_are_by_way_of_a_third():
    def not_left_on_right(one: Look, two: Look) -> Lies | None:
        return None if {one.view, two.view} == {"left", "right"} else SAME

    looks = [look("left", defect(0.9)), look("top", defect(0.4, 500)), look("right", defect(0.8))]
    assert sorted(len(spot.sightings) for spot in spots(looks, not_left_on_right)) == [1, 2]


# one suspect, worked by hand


def odds(*looks: Look, between=registered, settings=SETTINGS) -> float:
    (found,) = suspects(looks, spots(looks, between), settings)
    return math.exp(found.log_odds)


def test_a_single_view_gives_back_its_own_chance_where_all_views_show_the_class_alike():
    alike = replace(SETTINGS, classes={"scratch": replace(SCRATCH, visible={}, elsewhere=0.6)})
    assert odds(look("left", defect(0.7)), settings=alike) == pytest.approx(0.7 / 0.3)


def test_silence_weighs_as_much_as_the_view_should_have_seen():
    # d = 0.72, 0.36, 0.72 (mean 0.6), k = 0.1: 0.7/0.3 * 0.72/0.6 * (1 - 0.36)/0.9 * (1 - 0.72)/0.9
    looks = [look("left", defect(0.7)), look("top"), look("right")]
    assert odds(*looks) == pytest.approx(7 / 3 * 1.2 * (0.64 / 0.9) * (0.28 / 0.9))
    # the brief formula: with errors that never repeat, a silent view counts 1 - visibility * recall
    never = replace(SETTINGS, repeats=0.01)
    assert odds(*looks, settings=never) == pytest.approx(7 / 3 * 1.2 * 0.64 * 0.28 / 0.99**2)


def test_a_class_that_does_not_show_in_another_view_loses_nothing_by_its_silence():
    hidden = replace(SETTINGS, classes={"scratch": replace(SCRATCH, visible={"left": 0.8, "top": 0.0, "right": 0.0})})
    alone = odds(look("left", defect(0.7)), settings=hidden)
    assert odds(look("left", defect(0.7)), look("top"), look("right"), settings=hidden) >= alone


def test_what_is_faint_in_its_surest_view_is_not_talked_down_by_silence_and_a_stain_is_not_confirmed_by_itself():
    plain = replace(SETTINGS, classes={"scratch": replace(SCRATCH, visible={}, elsewhere=0.6)})  # d = 0.54, k = 0.1
    rising = replace(plain, found_slope=1.0, found_at=2.0, repeat_slope=1.0, repeat_at=-1.0)
    # at log-odds of 0 d falls by 2 and k rises by 1
    found, again = (probability(logit(chance) + by) for chance, by in ((0.54, -2.0), (0.1, 1.0)))
    faint = look("left", defect(0.5)), look("right")
    assert odds(*faint, settings=rising) == pytest.approx((1 - found) / (1 - again))
    assert odds(*faint, settings=plain) == pytest.approx((1 - 0.54) / 0.9)
    sure = look("left", defect(0.95)), look("right", defect(0.95))
    assert odds(*sure, settings=rising) < odds(*sure, settings=plain)


def test_a_second_view_confirms_and_the_same_grain_in_two_views_counts_once():
    pair = look("left", defect(0.7)), look("right", defect(0.7))
    # w = 1/1.5; 0.4 of the answers are defects; 0.72/0.1 for being answered again
    says = (7 / 3) / (0.4 / 0.6)
    assert odds(*pair) == pytest.approx(4 / 6 * says ** (2 / 1.5) * (0.72 / 0.1) ** 2 / (0.6 / 0.1))
    grain = replace(SETTINGS, classes={"scratch": replace(SCRATCH, visible={}, elsewhere=0.6)}, repeats=0.54, alike=1.0)
    assert odds(*pair, settings=grain) == pytest.approx(7 / 3)


def test_views_that_cannot_be_laid_on_each_other_confirm_less_than_those_that_can():
    pair = look("left", defect(0.7)), look("right", defect(0.7))
    says = ((7 / 3) / (0.4 / 0.6)) ** (1 / 1.5)
    by_presence = (0.72 * says + 0.28 * 0.1) / (0.1 + 0.9 * 0.1)
    assert odds(*pair, between=strangers) == pytest.approx(4 / 6 * says * (0.72 / 0.1) * by_presence / 6)
    assert odds(look("left", defect(0.7))) < odds(*pair, between=strangers) < odds(*pair)
    strays = replace(SETTINGS, classes={"scratch": replace(SCRATCH, strays=0.0)})
    assert odds(*pair, between=strangers, settings=strays) == pytest.approx(odds(*pair))


def test_a_look_from_before_says_nothing_against_a_defect_that_may_have_come_since():
    early = look("right", moment=0)
    assert odds(early, look("left", defect(0.7), moment=1)) == pytest.approx(odds(look("left", defect(0.7))))
    assert odds(look("left", defect(0.7), moment=1), look("right", moment=2)) < odds(look("left", defect(0.7)))


def test_of_a_class_that_nothing_was_learnt_about_other_views_say_nothing_either_way():
    stranger = defect(0.7, name="unknown")
    assert odds(look("left", stranger), look("top"), look("right")) == pytest.approx(7 / 3)


# verdicts


def test_the_worst_view_rejects_what_two_other_views_should_have_seen_and_did_not():
    looks = [look("left", defect(0.6)), look("top"), look("right")]
    assert judge_part(looks, registered, POLICY, None, threshold=0.5).verdict is Verdict.NG
    part = judged(looks)
    assert part.verdict is Verdict.REVIEW
    assert part.reason == "A person should look: scratch, 28% sure, in left, not in top and right."


def test_two_doubtful_views_of_one_place_make_a_part_not_good():
    looks = [look("left", defect(0.4)), look("right", defect(0.4)), look("top")]
    assert judge_part(looks, registered, POLICY, None, threshold=0.5).verdict is Verdict.REVIEW
    part = judged(looks)
    assert part.verdict is Verdict.NG
    assert part.defects[0].looks == {0, 1}


def test_several_doubts_together_call_for_a_person_and_never_more():
    spread = [defect(0.15, x) for x in (50, 150, 250, 350, 450)]
    part = judged([look("left", *spread)], settings=replace(SETTINGS, views=("left",)))
    assert [one.verdict for one in part.defects] == [Verdict.OK] * 5
    assert part.verdict is Verdict.REVIEW
    assert "together the doubts make a defect" in part.reason


def test_the_policy_of_the_product_holds_for_sizes_classes_and_scores():
    looks = [look("left", defect(0.9, length=30.0)), look("right", defect(0.9, length=12.0)), look("top")]

    def rules(scratch: dict) -> Policy:
        return parse_policy({"product": "bar", "classes": {"scratch": scratch}})

    assert judged(looks, policy=rules({"ng": {"length_px": 25}, "review": "never"})).verdict is Verdict.NG
    assert judged(looks, policy=rules({"ng": {"length_px": 40}, "review": "never"})).verdict is Verdict.OK
    assert judged(looks, policy=rules({"ng": "never", "review": "never"})).chance == pytest.approx(0.0)
    assert judged(looks, policy=rules({"ng": {"score": 0.9999}, "review": {}})).verdict is Verdict.REVIEW


def test_a_missing_view_weakens_an_ok_and_is_named():
    whole = judged([look("left"), look("top"), look("right")])
    less = judged([look("top")])
    assert whole.verdict is Verdict.OK
    assert less.missing == ("left", "right")
    assert less.chance > whole.chance
    # 0.3 scratches a part: top alone leaves 0.3 * 0.64 unseen, all three 0.3 * 0.64 * 0.28 * 0.28
    assert less.chance == pytest.approx(1 - math.exp(-0.3 * 0.64))
    assert whole.chance == pytest.approx(1 - math.exp(-0.3 * 0.64 * 0.28**2))
    assert less.verdict is Verdict.OK
    assert "left and right are missing" in less.reason
    frequent = replace(SETTINGS, classes={"scratch": replace(SCRATCH, per_part=0.5)})
    assert judged([look("top")], settings=frequent).verdict is Verdict.REVIEW


def test_a_part_is_never_ok_while_a_camera_failed_until_that_view_was_looked_at_again():
    dark = look("right", fault="black")
    part = judged([look("left"), look("top"), dark])
    assert part.verdict is Verdict.REVIEW
    assert part.faulty == ("right",)
    assert "right could not be judged" in part.reason
    assert judged([look("left"), look("top"), dark, look("right", moment=1)]).verdict is Verdict.OK
    assert judged([dark]).verdict is Verdict.REVIEW
    assert judged([dark], settings=None).verdict is Verdict.REVIEW


def test_a_model_that_learnt_nothing_about_views_lets_the_worst_view_decide_and_says_so():
    part = judged([look("left", defect(0.6)), look("top")], settings=None)
    assert part.verdict is Verdict.NG
    assert part.chance is None
    assert part.defects[0].silent == (1,)
    assert "the worst view decides" in part.reason


def test_settings_come_back_from_json_and_damaged_ones_are_refused():
    assert from_json(json.loads(json.dumps(to_json(SETTINGS)))) == SETTINGS
    for wrong in ({}, {"format": 2}, {**to_json(SETTINGS), "repeats": 1.0}, {**to_json(SETTINGS), "real": "half"}, []):
        with pytest.raises(InvalidInput):
            from_json(wrong)


# known truth


class Line:
    """Parts as `qc.part_evidence` takes them to be, of known truth: defects that show in some views, and grains."""

    views = ("left", "top", "right")
    sure = 0.8
    """How far defects and grains are apart in what a view says of them, in standard deviations of half of it."""

    def __init__(self, seed: int, *, repeats: float, alike: float, defects: float = 0.5, grains: float = 1.2) -> None:
        self.random = np.random.default_rng(seed)
        self.repeats, self.alike, self.defects, self.grains = repeats, alike, defects, grains
        found = sum(SCRATCH.found(view) for view in self.views)
        wrong = grains * repeats * len(self.views)
        self.settings = PartSettings(
            self.views,
            {"scratch": replace(SCRATCH, per_part=defects)},
            repeats=repeats,
            alike=alike,
            real=defects * found / (defects * found + wrong),
        )

    def part(self) -> tuple[list[Look], bool]:
        """The looks of a part, and whether it has a defect."""
        true, grains = self.random.poisson(self.defects), self.random.poisson(self.grains)
        answers: dict[str, list[Defect]] = {view: [] for view in self.views}
        for k in range(true + grains):
            real = k < true
            common = self.random.normal()
            for view in self.views:
                chance = SCRATCH.found(view) if real else self.repeats
                own = math.sqrt(self.alike) * common + math.sqrt(1 - self.alike) * self.random.normal()
                if self.random.random() < chance:
                    says = 2 * self.sure * (own + (self.sure if real else -self.sure))
                    score = probability(logit(self.settings.real) + says)
                    answers[view].append(defect(min(max(score, 1e-4), 1 - 1e-4), 60 * (k + 1)))
        looks = [Look(view, view, 6000, 480, tuple(answers[view])) for view in self.views]
        return looks, true > 0


@pytest.mark.parametrize(("repeats", "alike"), [(0.1, 0.0), (0.3, 0.5), (0.5, 0.9)])
def test_on_parts_of_known_truth_the_chance_is_the_share_that_is_defective(repeats, alike):
    line = Line(3, repeats=repeats, alike=alike)
    said, true = [], []
    for _ in range(600):
        looks, defective = line.part()
        said.append(judge_part(looks, registered, POLICY, line.settings, threshold=0.5).chance)
        true.append(defective)
    said, true = np.array(said), np.array(true)
    for group in np.array_split(np.argsort(said), 5):
        spread = math.sqrt(float((said[group] * (1 - said[group])).sum())) / len(group)
        assert abs(said[group].mean() - true[group].mean()) < 4 * spread + 0.005


def test_the_surest_view_alone_rejects_too_much_and_the_mean_of_the_views_finds_too_little():
    line = Line(5, repeats=0.3, alike=0.5)
    rows = []
    for _ in range(600):
        looks, defective = line.part()
        best = [max((d.score for d in one.defects), default=0.0) for one in looks]
        joined = [s.chance for s in suspects(looks, spots(looks, registered), line.settings)]
        rows.append((max(joined, default=0.0), max(best), float(np.mean(best)), defective))
    table = np.array(rows)
    true = table[:, 3] > 0
    rejects = {rule: (table[~true, k] >= 0.5).mean() for k, rule in enumerate(("joined", "worst", "mean"))}
    finds = {rule: (table[true, k] >= 0.5).mean() for k, rule in enumerate(("joined", "worst", "mean"))}
    assert rejects["worst"] > 1.3 * rejects["joined"]
    assert finds["mean"] < finds["joined"] - 0.1
