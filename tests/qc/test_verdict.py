"""A user's file says which defect, from which size, in which zone, is what."""

import dataclasses

import pytest
import yaml

from qc.defects import Defect
from qc.errors import InvalidInput
from qc.geometry import Box
from qc.verdict import Policy, Verdict, parse_policy, read_policy, worst

SCRATCH = Defect(
    class_id=1,
    class_name="scratch",
    score=0.9,
    box=Box(500, 500, 40, 5),
    area_px=200,
    length_px=40.0,
    width_px=5.0,
    counts=True,
    mm_per_px=0.05,
)
FAINT = dataclasses.replace(SCRATCH, score=0.3, counts=False)
STAIN = dataclasses.replace(SCRATCH, class_id=2, class_name="stain")

FILE = """
product: seat-bar
mm_per_px: {station-1: {top: 0.05}}
classes:
  scratch: {ng: {length_mm: 1.0}, review: {score: 0.2}}
  stain: {ng: never, review: never}
zones:
  - {name: edge, view: top, box: [0, 0, 4000, 120], classes: {scratch: {ng: never, review: never}}}
"""


@pytest.fixture
def policy() -> Policy:
    return parse_policy(yaml.safe_load(FILE))


def test_without_a_policy_what_counts_is_not_good_and_what_is_doubtful_is_reviewed():
    assert Policy("any").judge([SCRATCH]) is Verdict.NG
    assert Policy("any").judge([FAINT]) is Verdict.REVIEW
    assert Policy("any").judge([dataclasses.replace(FAINT, score=0.1, close=False)]) is Verdict.OK
    assert Policy("any").judge([]) is Verdict.OK


def test_a_long_scratch_is_not_good_and_a_short_one_is_reviewed(policy):
    short = dataclasses.replace(SCRATCH, length_px=19.0)

    assert policy.judge([SCRATCH]) is Verdict.NG
    assert policy.judge([short]) is Verdict.REVIEW


def test_a_harmless_class_never_spoils_a_part(policy):
    assert policy.judge([STAIN]) is Verdict.OK
    assert policy.judge([STAIN, SCRATCH]) is Verdict.NG


def test_a_zone_has_rules_of_its_own_on_its_view(policy):
    at_the_edge = dataclasses.replace(SCRATCH, box=Box(500, 100, 40, 30))

    assert policy.judge([at_the_edge], view="top") is Verdict.OK
    assert policy.judge([at_the_edge], view="left") is Verdict.NG


def slanted(shift: int = 0) -> Defect:
    """A scratch from (100 + shift, 100) down to the right, whose box has two empty corners."""
    ring = tuple((100 + shift + n, 100 + n) for n in range(101))
    return dataclasses.replace(SCRATCH, box=Box(100 + shift, 100, 101, 101), outline=(ring + ring[-2:0:-1],))


def test_a_zone_that_only_the_box_of_a_scratch_touches_is_not_touched():
    rule = {"classes": {"scratch": {"ng": "never", "review": "never"}}}
    policy = parse_policy({"zones": [{"box": [180, 90, 40, 20], **rule}]})
    assert policy.judge([slanted()]) is Verdict.NG
    assert policy.judge([slanted(80)]) is Verdict.OK


def test_a_zone_may_have_any_number_of_corners():
    harmless = {"classes": {"scratch": {"ng": "never", "review": "never"}}}
    below = parse_policy({"zones": [{"polygon": [[100, 110], [190, 200], [100, 200]], **harmless}]})
    across = parse_policy({"zones": [{"polygon": [[190, 100], [210, 110], [110, 210], [100, 190]], **harmless}]})
    assert below.judge([slanted()]) is Verdict.NG
    assert across.judge([slanted()]) is Verdict.OK
    assert across.judge([dataclasses.replace(slanted(), outline=())]) is Verdict.OK  # its box decides


def test_a_rule_in_millimetres_on_a_view_without_scale_is_an_error(policy):
    with pytest.raises(InvalidInput, match=r"length_mm.*no mm_per_px"):
        policy.judge([dataclasses.replace(SCRATCH, mm_per_px=None)])


def test_the_scale_is_found_by_station_and_view(policy):
    assert policy.scale(station="station-1", view="top") == 0.05
    assert policy.scale(station="station-1", view="left") is None
    assert parse_policy({"mm_per_px": 0.1}).scale(station="any", view="any") == 0.1


def test_the_worst_view_decides():
    assert worst([Verdict.OK, Verdict.NG, Verdict.REVIEW]) is Verdict.NG
    assert worst([Verdict.REVIEW, Verdict.OK]) is Verdict.REVIEW
    assert worst([]) is Verdict.OK


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1, 2]", "must be a mapping"),
        ("colour: red", "colour"),
        ("classes: {scratch: {ng: {lenght_mm: 1}}}", "lenght_mm"),
        ("classes: {scratch: {ng: {length_mm: -1}}}", "at least 0"),
        ("classes: {scratch: {ng: {length_mm: .nan}}}", "at least 0"),
        ("mm_per_px: 0", "positive"),
        ("camera_bits: 11", "camera's depth"),
        ("camera_bits: {s1: 12}", "must map views"),
        ("zones: [{box: [0, 0, 10]}]", r"zones\[0\]\.box"),
        ("zones: [{box: [0, 0, 0, 5]}]", "holds no pixel"),
        ("zones: [{name: edge}]", "either a box or a polygon"),
        ("zones: [{polygon: [[0, 0], [5, 5]]}]", "at least three corners"),
        ("zones: [{polygon: [[0, 0], [5, 5], [1, x]]}]", r"zones\[0\]\.polygon"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(tmp_path, content, said):
    file = tmp_path / "seat-bar.yaml"
    file.write_text(content)

    with pytest.raises(InvalidInput, match=said):
        read_policy(file)
