"""Labels are carried to the other views of a part; what is not drawn there, and should show, is asked about."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml

from labeling.carry import Carried, Fate, carry_part, defects
from labeling.conflicts import find_conflicts
from labeling.visibility import questions
from qc.dataset import IGNORE, open_dataset
from qc.geometry import Box
from qc.given import Given
from server.cli import main

SHIFT = np.array([[1, 0, 12.0], [0, 1, -7.0], [0, 0, 1.0]])
NAMES = {1: "scratch", 2: "dent"}
WIDTH, HEIGHT = 320, 240


def write(root, parts, *, given=True, size=(WIDTH, HEIGHT)):
    """A data set of views `top` and `left`; a part is (lines seen in top, in left, drawn in top, in left)."""
    random = np.random.default_rng(5)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    rows = ["file,split,part,view"]
    for n, part in enumerate(parts):
        for k, view in enumerate(("top", "left")):
            seen, drawn = part[k], part[2 + k]
            picture = random.normal(120, 4, size[::-1])
            mask = np.zeros(size[::-1], np.uint8)
            for sheet, lines in ((picture, seen), (mask, drawn)):
                for class_id, x, y in lines:
                    a, b = (x, y), (x + 60, y + 20)
                    if view == "left":
                        a, b = ((u + 12, v - 7) for u, v in (a, b))
                    value = class_id if sheet is mask else 150
                    cv2.line(sheet, a, b, value, 3)
            name = f"p{n}_{view}.png"
            cv2.imwrite(str(root / "images" / name), np.clip(picture, 0, 255).astype(np.uint8))
            cv2.imwrite(str(root / "masks" / name), mask)
            rows.append(f"{name},train,p{n},{view}")
    (root / "split.csv").write_text("\n".join(rows) + "\n")
    (root / "dataset.yaml").write_text(yaml.safe_dump({"name": "views", "classes": NAMES}))
    if given:
        views = {"top": np.eye(3).tolist(), "left": np.linalg.inv(SHIFT).tolist()}
        (root / "views.yaml").write_text(yaml.safe_dump({"views": views, "spread_px": 1.0}))
    return open_dataset(root)


def fates(data, part="p0"):
    samples = [s for s in data.samples if s.part == part]
    given = Given(views={"top": np.eye(3), "left": np.linalg.inv(SHIFT)}, spread_px=1.0)
    return {(c.class_id, c.view): c for c in carry_part(samples, data.classes, given)[1]}


LINE = (1, 120, 100)


def test_what_is_drawn_in_both_views_matches_both_ways(tmp_path):
    found = fates(write(tmp_path, [([LINE],) * 2 + ([LINE], [LINE])]))
    assert [c.fate for c in found.values()] == [Fate.MATCHED] * 2
    assert found[1, "top"].there.touches(Box(132, 93, 60, 20))


def test_what_is_not_drawn_is_missing_and_the_picture_says_whether_it_shows(tmp_path):
    data = write(tmp_path, [([LINE], [LINE], [LINE], []), ([LINE], [], [LINE], [])])
    shown, hidden = fates(data, "p0")[1, "top"], fates(data, "p1")[1, "top"]
    assert shown.fate is hidden.fate is Fate.MISSING
    assert shown.shows > 10
    assert hidden.shows < 5


def test_another_class_at_the_place_is_a_second_name(tmp_path):
    found = fates(write(tmp_path, [([LINE], [LINE], [LINE], [(2, *LINE[1:])])]))
    assert (found[1, "top"].fate, found[1, "top"].other_class) == (Fate.RENAMED, 2)


def test_what_lies_beyond_the_other_frame_raises_no_question(tmp_path):
    edge = (1, 300, 100)
    found = fates(write(tmp_path, [([edge], [], [edge], [])]))
    assert found[1, "top"].fate is Fate.OUTSIDE
    assert questions(list(found.values())) == []


def test_where_nobody_looked_nothing_is_missing(tmp_path):
    data = write(tmp_path, [([LINE], [LINE], [LINE], [])])
    mask = np.full((HEIGHT, WIDTH), IGNORE, np.uint8)
    cv2.imwrite(str(tmp_path / "masks" / "p0_left.png"), mask)
    assert fates(data)[1, "top"].fate is Fate.UNKNOWN


def test_pieces_of_a_broken_scratch_are_one_defect():
    mask = np.zeros((100, 200), np.uint8)
    mask[50, 10:60], mask[50, 75:120], mask[50, 170:190] = 1, 1, 1
    assert [(c, b.width) for c, b, _ in defects(mask)] == [(1, 110), (1, 20)]


def seen(n, fate, shows=None, *, class_id=1, view="top", other="left"):
    place = Box(10, 10, 40, 4)
    return Carried(f"p{n}", class_id, f"p{n}_{view}", view, place, f"p{n}_{other}", other, place, fate, None, shows)


def test_a_class_that_shows_from_one_side_only_raises_no_question():
    always = [seen(n, Fate.MATCHED) for n in range(40)] + [seen(99, Fate.MISSING)]
    never = [seen(n, Fate.MISSING) for n in range(40)]
    assert questions(always)[0].certainty > 0.3
    assert max(q.certainty for q in questions(never)) < 0.05


def test_visibility_belongs_to_a_class_and_a_pair_of_views():
    usual = [seen(n, Fate.MATCHED) for n in range(40)]
    usual += [seen(50 + n, Fate.MISSING, class_id=2) for n in range(40)]
    odd = [seen(99, Fate.MISSING), seen(98, Fate.MISSING, class_id=2)]
    by_part = {q.part: q for q in questions(usual + odd)}
    assert by_part["p99"].visible > 0.8
    assert by_part["p98"].visible < 0.2
    assert by_part["p99"].certainty > 5 * by_part["p98"].certainty


def test_where_the_picture_shows_it_the_question_comes_first():
    random = np.random.default_rng(3)
    labels = [seen(n, Fate.MATCHED, 20 + 5 * random.standard_normal()) for n in range(40)]
    labels += [seen(50 + n, Fate.MISSING, random.standard_normal()) for n in range(40)]
    labels += [seen(200, Fate.MISSING, 22.0)]
    first, second = questions(labels)[:2]
    assert first.part == "p200"
    assert first.certainty > 0.5 > 10 * second.certainty
    assert "Was it forgotten?" in first.sentence(NAMES)


def test_a_spot_is_asked_about_once_and_a_second_name_once():
    missing = [seen(1, Fate.MISSING), replace(seen(1, Fate.MISSING), image="p1_right", view="right")]
    assert len(questions(missing)) == 1
    names = [replace(seen(1, Fate.RENAMED), other_class=2)]
    names += [replace(seen(1, Fate.RENAMED, view="left", other="top"), class_id=2, other_class=1)]
    (only,) = questions(names)
    assert "Which is right?" in only.sentence(NAMES)


@pytest.fixture(scope="module")
def forgotten(tmp_path_factory):
    """Twelve parts labelled in both views, twelve whose scratch the left view does not show, one that was forgotten."""
    random = np.random.default_rng(8)
    lines = [[(1, int(random.integers(20, 220)), int(random.integers(30, 200)))] for _ in range(25)]
    parts = [(a, a, a, a) for a in lines[:12]] + [(a, [], a, []) for a in lines[12:24]]
    root = tmp_path_factory.mktemp("views") / "set"
    return root, write(root, [*parts, (lines[24], lines[24], lines[24], [])])


def test_the_command_asks_about_the_forgotten_label_first_and_says_how_views_were_laid_on_each_other(
    forgotten, tmp_path, capsys
):
    root, _ = forgotten
    assert main(["data", "conflicts", str(root), "--out", str(tmp_path / "q.jsonl")]) == 0
    assert "25 by given homography registered" in capsys.readouterr().out
    first, *rest = [json.loads(line) for line in (tmp_path / "q.jsonl").read_text().splitlines()]
    assert (first["part"], first["kind"], first["doubted"]) == ("p24", "not drawn", ["p24_left"])
    assert first["certainty"] > 0.5
    assert all(q["certainty"] < 0.1 for q in rest)


def test_views_that_cannot_be_registered_are_compared_by_presence_and_the_answer_says_so(tmp_path):
    data = write(tmp_path, [([LINE], [LINE], [LINE], [LINE])] * 8 + [([LINE], [LINE], [LINE], [])], given=False)
    found = find_conflicts(data, data.samples)
    assert "9 cannot be registered, and are compared by presence, class and size only" in found.summary()
    assert found.carried == ()
    assert found.questions[0].part == "p8"
