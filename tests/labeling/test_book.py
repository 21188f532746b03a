"""The label book: versions, examples from real parts, settled disputes, and what a data set says of it."""

import itertools
import json

import cv2
import numpy as np
import pytest

from labeling import book, book_examples, disputes
from labeling.book import Limit
from labeling.book_records import ExampleState, Shows
from labeling.config import hints_of, label_config, labels_of
from labeling.freeze import freeze
from labeling.manifest import check, diff, read_manifest
from labeling.masks import whole_labels
from labeling.people import newest_of_each
from labeling.push import png
from labeling.quality import make_golden
from labeling.records import Annotation, TaskState
from qc.errors import Conflict, InvalidInput, NotFound

CLASSES = {1: "scratch", 2: "dent"}
SCRATCH = (300, 200, 60, 6, 1, 0.4)
NUMBERS = itertools.count(1)


def write(line, name="scratch", words="A line that catches the nail", *, after=0, by="eva", **limits):
    found = [Limit(measure, *ends) for measure, ends in limits.items()]
    return book.write(line.session, name, definition=words, limits=found, after=after, by=by, now=line.later())


def draws(line, task, person, *boxes):
    """A person labels a task, without Label Studio."""
    mask = np.zeros((task.crop_height, task.crop_width), np.uint8)
    for x, y, w, h, class_id in boxes:
        mask[y : y + h, x : x + w] = class_id
    key = f"labels/{task.id}/{person}.png"
    line.blobs.put(key, png(mask))
    row = Annotation(
        label_task_id=task.id,
        studio_project="1",
        studio_annotation_id=next(NUMBERS),
        updated_at=line.later(),
        by=person,
        mask_key=key,
        classes={str(k): v for k, v in CLASSES.items()},
        received_at=line.now,
    )
    task.state, task.closed_at = TaskState.DONE, line.now
    line.session.add_all([row, task])
    line.session.commit()
    return row


def test_every_change_is_a_version_and_nothing_that_was_said_is_lost(line):
    first = write(line, length_mm=(2.0, None))
    write(line, "dent", "A hollow without a sharp edge")
    third = write(line, words="A line that one feels", after=first.version, by="ida", length_mm=(1.0, None))
    line.session.commit()
    assert [first.version, third.version, book.version(line.session)] == [1, 3, 3]
    assert book.pages(line.session)["scratch"].definition == "A line that one feels"
    assert book.pages(line.session, at=2)["scratch"].limits == [{"measure": "length_mm", "low": 2.0, "high": None}]
    assert [(p.version, p.by, p.change) for p in book.history(line.session, "scratch")] == [
        (3, "ida", "definition and limits"),
        (1, "eva", "definition and limits"),
    ]


def test_the_same_words_again_are_no_new_version(line):
    write(line)
    assert write(line, after=0).version == 1
    assert book.version(line.session) == 1


def test_two_engineers_do_not_overwrite_each_other(line):
    write(line)
    with pytest.raises(Conflict, match=r"version 1 of the book by eva.*version 0"):
        write(line, words="Something else", by="ida")


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"depth_mm": (1.0, None)}, "no measure 'depth_mm'"),
        ({"length_mm": (None, None)}, "lower or an upper end"),
        ({"length_mm": (3.0, 2.0)}, "in this order"),
        ({"width_mm": (float("nan"), None)}, "lower or an upper end"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(line, limits, said):
    with pytest.raises(InvalidInput, match=said):
        write(line, **limits)
    assert book.version(line.session) == 0


def test_a_class_that_nobody_knows_is_refused_by_name(line):
    with pytest.raises(NotFound, match=r"'scrach'; there are dent, scratch"):
        book.check_class(line.session, "scrach", CLASSES.values())


def test_labellers_read_definition_and_limits_on_the_label_and_in_the_instructions(line):
    write(line, words="A line <wide> & long", length_mm=(2.0, None), width_mm=(0.1, 3.0), area_mm2=(None, 9.0))
    told = book.told(line.session, "http://here/labels/book")
    words = "A line <wide> & long Labelled: length from 2 mm; width 0.1 to 3 mm; area up to 9 mm²."
    assert told.hints == {"scratch": words}
    assert "A line &lt;wide&gt; &amp; long" in told.instructions
    assert 'href="http://here/labels/book"' in told.instructions
    config = label_config(CLASSES.values(), told.hints)
    assert hints_of(config) == told.hints
    assert labels_of(config) == ["scratch", "dent"]


def test_what_a_person_drew_becomes_an_example_once_an_engineer_says_so(line):
    (task,) = line.asks(line.inspects(boxes=[SCRATCH]))
    draws(line, task, "ann", (290, 190, 60, 6, 1))
    example = book_examples.from_task(
        line.session,
        line.blobs,
        "scratch",
        task.id,
        shows=Shows.IS,
        note="crosses the grain",
        by="ann",
        now=line.now,
        classes=CLASSES,
    )
    assert example.state is ExampleState.PROPOSED
    assert book.version(line.session) == 0
    page = book_examples.answer(line.session, example, accept=True, by="eva", now=line.later())
    assert (page.version, page.examples, page.change) == (1, [example.id], "a good example added")
    assert book_examples.answer(line.session, example, accept=True, by="eva", now=line.now) is None

    crop = example.crop
    at = (290 + task.crop_x, 190 + task.crop_y)
    assert crop.x <= at[0] - 40 <= at[0] + 100 <= crop.right
    mask = cv2.imdecode(np.frombuffer(line.blobs.get(example.mask_key), np.uint8), cv2.IMREAD_UNCHANGED)
    assert (mask > 0).sum() == 60 * 6
    seen = cv2.imdecode(
        np.frombuffer(book_examples.picture(line.blobs, example, outlined=True), np.uint8), cv2.IMREAD_COLOR_RGB
    )
    assert seen.shape[:2] == mask.shape
    assert ((seen == book_examples.LINE).all(axis=2) & (mask == 0)).sum() > 100
    assert not (seen[mask > 0] == book_examples.LINE).all(axis=1).any()

    gone = book_examples.answer(line.session, example, accept=False, by="eva", now=line.later())
    assert (gone.version, gone.examples) == (2, [])
    assert book.pages(line.session, at=1)["scratch"].examples == [example.id]


def test_what_the_model_saw_can_show_what_is_no_defect(line):
    inspection = line.inspects(boxes=[SCRATCH])
    wish = {"part": "P-1", "shows": Shows.IS_NOT, "note": "a water mark", "by": "eva", "now": line.now}
    example = book_examples.from_inspection(line.session, line.blobs, "scratch", inspection.id, 0, crop=None, **wish)
    assert example.crop.x < 300 < 360 < example.crop.right
    with pytest.raises(InvalidInput, match="the model saw no dent"):
        book_examples.from_inspection(line.session, line.blobs, "dent", inspection.id, 0, crop=None, **wish)


def test_nothing_drawn_is_no_good_example_but_one_of_what_it_is_not(line):
    (task,) = line.asks(line.inspects(boxes=[SCRATCH]))
    wish = {"note": "", "by": "ann", "now": line.now, "classes": CLASSES}
    with pytest.raises(Conflict, match="not labelled yet"):
        book_examples.from_task(line.session, line.blobs, "scratch", task.id, shows=Shows.IS, **wish)
    draws(line, task, "ann")
    with pytest.raises(InvalidInput, match="nothing is drawn as scratch"):
        book_examples.from_task(line.session, line.blobs, "scratch", task.id, shows=Shows.IS, **wish)
    kept = book_examples.from_task(line.session, line.blobs, "scratch", task.id, shows=Shows.IS_NOT, **wish)
    assert kept.crop == task.crop


def test_two_people_at_odds_are_settled_and_the_right_drawing_alone_is_learnt_from(line):
    inspection = line.inspects(boxes=[SCRATCH])
    (task,) = line.asks(inspection)
    right = draws(line, task, "ann", (100, 100, 40, 5, 1))
    draws(line, task, "benjamin", (100, 100, 40, 5, 2), (300, 300, 9, 9, 1))
    (dispute,) = disputes.open_disputes(line.session, line.blobs, CLASSES)
    assert dispute.kind == "people"
    assert dispute.classes == ("scratch", "dent")
    assert dispute.question == f"Which drawing of {task.part} is right?"
    assert [(voice.annotation.by, dict(voice.drawn)) for voice in dispute.voices] == [
        ("ann", {"scratch": 1}),
        ("benjamin", {"scratch": 1, "dent": 1}),
    ]

    ruling, _ = disputes.settle(
        line.session,
        line.blobs,
        dispute.key,
        annotation_id=right.id,
        note="one feels it",
        by="eva",
        now=line.later(),
        classes=CLASSES,
    )
    line.session.commit()
    assert disputes.rulings(line.session) == [ruling]
    assert disputes.open_disputes(line.session, line.blobs, CLASSES) == []
    ((_, rows),) = newest_of_each(line.session)
    (exposure,) = line.exposures(inspection)
    learnt = whole_labels(exposure, [(task, row) for row in rows], line.blobs, CLASSES)[0]
    inside = learnt[task.crop_y : task.crop.bottom, task.crop_x : task.crop.right]
    assert (inside == 1).sum() == 200
    assert (inside == 2).sum() == 0

    with pytest.raises(Conflict, match="was settled"):
        disputes.settle(
            line.session,
            line.blobs,
            dispute.key,
            annotation_id=None,
            note="",
            by="eva",
            now=line.now,
            classes=CLASSES,
        )


def test_who_draws_anew_after_the_word_reopens_the_dispute(line):
    (task,) = line.asks(line.inspects(boxes=[SCRATCH]))
    draws(line, task, "ann", (100, 100, 40, 5, 1))
    other = draws(line, task, "benjamin")
    (dispute,) = disputes.open_disputes(line.session, line.blobs, CLASSES)
    settle = {"note": "", "by": "eva", "now": line.now, "classes": CLASSES}
    disputes.settle(line.session, line.blobs, dispute.key, annotation_id=None, **settle)
    assert disputes.open_disputes(line.session, line.blobs, CLASSES) == []
    line.blobs.put("labels/new.png", line.blobs.get(other.mask_key))
    other.mask_key = "labels/new.png"
    line.session.add(other)
    line.session.commit()
    assert len(disputes.open_disputes(line.session, line.blobs, CLASSES)) == 1


def test_views_of_a_piece_that_name_one_defect_differently_are_a_dispute(line):
    for k in range(7):
        tasks = line.asks(line.inspects(part=f"P-{k}", boxes=[SCRATCH], views=("left", "right")))
        for task in tasks:
            wrong = k == 0 and task.view == "right"
            draws(line, task, "ann", (100, 100, 60, 6, 2 if wrong else 1))
    first = disputes.open_disputes(line.session, line.blobs, CLASSES)[0]
    assert (first.kind, first.part, set(first.classes)) == ("views", "P-0", {"scratch", "dent"})
    assert "P-0" in first.question
    with pytest.raises(InvalidInput, match="views are mended in Label Studio"):
        disputes.settle(
            line.session,
            line.blobs,
            first.key,
            annotation_id=first.voices[0].annotation.id,
            note="",
            by="eva",
            now=line.now,
            classes=CLASSES,
        )


def test_a_view_that_people_are_at_odds_about_contradicts_no_other_until_that_is_settled(line):
    for k in range(7):
        tasks = line.asks(line.inspects(part=f"P-{k}", boxes=[SCRATCH], views=("left", "right")))
        for task in tasks:
            draws(line, task, "ann", (100, 100, 60, 6, 1))
            if k == 0 and task.view == "right":
                wrong = draws(line, task, "benjamin", (100, 100, 60, 6, 2))
    (dispute,) = disputes.open_disputes(line.session, line.blobs, CLASSES)
    assert dispute.kind == "people"
    word = {"note": "", "by": "eva", "now": line.later(), "classes": CLASSES}
    disputes.settle(line.session, line.blobs, dispute.key, annotation_id=wrong.id, **word)
    (views,) = disputes.open_disputes(line.session, line.blobs, CLASSES)
    assert (views.kind, views.part) == ("views", "P-0")


def test_a_golden_task_says_what_its_truth_says_and_of_two_drawings_the_one_called_right_is_that(line):
    for k in range(7):
        tasks = line.asks(line.inspects(part=f"P-{k}", boxes=[SCRATCH], views=("left", "right")))
        for task in tasks:
            right = draws(line, task, "ann", (100, 100, 60, 6, 1))
    draws(line, task, "benjamin", (100, 100, 60, 6, 2))
    (dispute,) = disputes.open_disputes(line.session, line.blobs, CLASSES)
    word = {"note": "", "by": "eva", "now": line.later(), "classes": CLASSES}
    disputes.settle(line.session, line.blobs, dispute.key, annotation_id=right.id, **word)
    assert make_golden(line.session, task.id).golden_key == right.mask_key
    line.session.commit()
    draws(line, task, "cleo", (100, 100, 60, 6, 2))  # who is examined by it, and fails
    assert disputes.open_disputes(line.session, line.blobs, CLASSES) == []


def test_only_the_names_that_may_be_one_defect_s_are_asked_about(line):
    """Each view shows a scratch that nobody doubts; beside it one view has a dent where the others have a pit."""
    classes = {**CLASSES, 3: "pit"}
    for k in range(7):
        tasks = line.asks(line.inspects(part=f"P-{k}", boxes=[SCRATCH], views=("left", "right", "top")))
        for task in tasks:
            odd = k == 0 and task.view == "right"
            row = draws(line, task, "ann", (100, 100, 60, 6, 1), (300, 300, 9, 9, 2 if odd else 3))
            row.classes = {str(number): name for number, name in classes.items()}
            line.session.add(row)
    line.session.commit()
    (dispute,) = disputes.open_disputes(line.session, line.blobs, classes)
    assert (dispute.part, dispute.classes) == ("P-0", ("dent", "pit"))
    assert "scratch" not in dispute.question


def test_what_lies_beside_a_labelled_crop_is_not_called_forgotten(line):
    """Drawn in one view and not in the other: asked about only where the whole frame was looked at."""
    for frame, asked in (((700, 900), False), ((300, 400), True)):
        for k in range(6):
            tasks = line.asks(
                line.inspects(part=f"{frame}-{k}", frame=frame, boxes=[(100, 90, 60, 6, 1, 0.4)], views=("l", "r"))
            )
            for task in tasks:
                missing = k == 0 and task.view == "r"
                draws(line, task, "ann", *([] if missing else [(80, 80, 60, 6, 1)]))
        parts = {d.part for d in disputes.open_disputes(line.session, line.blobs, CLASSES)}
        assert (f"{frame}-0" in parts) is asked


def test_a_data_set_names_the_book_and_its_difference_says_what_people_were_told_anew(line, tmp_path):
    page = write(line, length_mm=(2.0, None))
    (task,) = line.asks(line.inspects(boxes=[SCRATCH]))
    draws(line, task, "ann", (100, 100, 60, 6, 1))
    one, two = (
        tmp_path / "one",
        tmp_path / "two",
    )
    freeze(line.session, line.blobs, one, classes=CLASSES, now=line.now, least_parts=0)
    said = read_manifest(one)["book"]
    assert said["version"] == 1
    assert said["classes"]["scratch"]["definition"] == "A line that catches the nail"
    write(line, words="From 1 mm on", after=page.version, length_mm=(1.0, None))
    freeze(line.session, line.blobs, two, classes=CLASSES, now=line.now, least_parts=0)
    assert check(two) == []
    assert diff(one, two).book == ("scratch",)
    manifest = json.loads((two / "manifest.json").read_text())
    manifest["book"]["version"] = 7
    (two / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InvalidInput, match="was altered"):
        read_manifest(two)
