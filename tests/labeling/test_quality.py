"""Two people on one crop, golden tasks, and parts drawn at random."""

import numpy as np
import pytest
from sqlmodel import select

from labeling import quality
from labeling.agreement import agreement
from labeling.freeze import freeze
from labeling.people import newest_of_each
from labeling.push import png
from labeling.records import IS_SEVERAL, Annotation, LabelTask, Reason, TaskState
from labeling.tasks import open_task
from qc.dataset import IGNORE, read_mask
from qc.errors import Conflict, NotFound
from qc.verdict import Verdict

CLASSES = {1: "scratch", 2: "dent"}
SCRATCH = (300, 200, 60, 6, 1, 0.4)


def draws(line, task, person, *boxes, names=CLASSES):
    """A person submits rectangles `(x, y, w, h, class id)`; the newest annotation stands."""
    mask = np.zeros((task.crop_height, task.crop_width), np.uint8)
    for x, y, w, h, class_id in boxes:
        mask[y : y + h, x : x + w] = class_id
    for row in line.session.exec(select(Annotation).where(Annotation.label_task_id == task.id)):
        row.superseded = True
        line.session.add(row)
    number = len(line.session.exec(select(Annotation)).all()) + 1
    line.blobs.put(f"labels/{number}.png", png(mask))
    task.state = TaskState.DONE
    line.session.add(
        Annotation(
            label_task_id=task.id,
            studio_project="1",
            studio_annotation_id=number,
            updated_at=line.later(),
            by=person,
            mask_key=f"labels/{number}.png",
            classes={str(k): v for k, v in names.items()},
            received_at=line.now,
        )
    )
    line.session.commit()
    return mask


@pytest.fixture
def task(line):
    (found,) = line.asks(line.inspects(boxes=[SCRATCH]))
    return found


def whole(line, tmp_path, task):
    """The mask of the task's crop in a frozen set."""
    line.session.commit()
    root = freeze(line.session, line.blobs, tmp_path / "set", classes=CLASSES, now=line.now, least_parts=0)
    mask = read_mask(root / "masks" / f"{task.inspection_id}_{task.n}.png", CLASSES)
    crop = task.crop
    return mask[crop.y : crop.bottom, crop.x : crop.right]


def test_what_two_people_drew_becomes_their_consensus(line, task, tmp_path):
    draws(line, task, "ann", (100, 100, 40, 8, 1))
    draws(line, task, "ben", (100, 100, 40, 8, 1), (300, 300, 10, 10, 2))
    mask = whole(line, tmp_path, task)
    assert (mask[100:108, 100:140] == 1).all()
    assert set(np.unique(mask[300:310, 300:310]).tolist()) <= {0, IGNORE}  # one of two people is not enough


def test_a_person_who_draws_again_is_no_second_opinion(line, task, tmp_path):
    draws(line, task, "ann", (100, 100, 40, 8, 1))
    draws(line, task, "ann", (100, 100, 20, 8, 1))
    mask = whole(line, tmp_path, task)
    assert (mask == 1).sum() == 160
    assert quality.pairs(line.session, line.blobs, CLASSES) == []


def test_agreement_is_measured_on_what_both_drew_whatever_their_class_numbers_were(line, task):
    draws(line, task, "ann", (100, 100, 40, 8, 1))
    draws(line, task, "ben", (100, 100, 20, 8, 2), names={1: "dent", 2: "scratch"})
    found = agreement(quality.pairs(line.session, line.blobs, CLASSES), CLASSES)
    assert found["scratch"]["mask_iou"].value == pytest.approx(0.5)
    assert found["dent"]["mask_iou"].value is None


def test_tasks_of_one_person_and_pieces_of_one_picture_are_not_read_to_compare(line):
    drawn = {}
    for part, people, views in (("P-1", "ann", "t"), ("P-2", "ann ben", "t"), ("P-3", "ann", "tl")):
        for task in line.asks(line.inspects(part=part, views=tuple(views), boxes=[SCRATCH])):
            drawn.setdefault(part, []).append(task)
            for person in people.split():
                draws(line, task, person, (100, 100, 40, 8, 1))

    def parts(which) -> set[str]:
        return {task.part for task, _ in newest_of_each(line.session, which)}

    assert len(drawn["P-3"]) == 2
    assert parts(IS_SEVERAL) == {"P-2", "P-3"}


def test_nobody_to_compare_gives_no_figures(line):
    assert agreement(quality.pairs(line.session, line.blobs, CLASSES), CLASSES) == {"scratch": {}, "dent": {}}


def test_a_golden_task_judges_everybody_but_its_maker_and_stays_the_truth(line, task, tmp_path):
    truth = draws(line, task, "expert", (100, 100, 40, 8, 1))
    golden = quality.make_golden(line.session, task.id)
    assert golden.people == quality.EVERYBODY
    draws(line, task, "ann", (100, 100, 38, 8, 1))
    draws(line, task, "ben", (300, 300, 10, 10, 2))
    found = {m.person: m.scores for m in quality.marks(line.session, line.blobs, CLASSES)}
    assert found == {"ann": (1.0,), "ben": (0.0,)}
    assert [t.id for t in quality.golden_tasks(line.session)] == [task.id]
    assert (whole(line, tmp_path, task) == truth).all()


def test_only_a_finished_task_becomes_golden(line, task):
    with pytest.raises(Conflict, match="finished"):
        quality.make_golden(line.session, task.id)
    with pytest.raises(NotFound):
        quality.make_golden(line.session, "nothing")


def test_a_share_of_the_tasks_goes_to_two_people_and_always_the_same_ones(line):
    inspections = [line.inspects(part=f"P-{k}", boxes=[SCRATCH]) for k in range(40)]

    def people():
        return [
            open_task(line.session, i, line.exposures(i), reason=Reason.REVIEW, urgency=0.5, now=line.now, twice=0.5)[
                0
            ].people
            for i in inspections
        ]

    first = people()
    assert first == people()
    assert 8 <= first.count(2) <= 32
    assert set(first) == {1, 2}


def test_a_part_drawn_at_random_keeps_its_chance_until_it_is_asked_about_for_another_reason(line):
    inspection = line.inspects(boxes=[SCRATCH], verdict=Verdict.OK)
    exposures, now = line.exposures(inspection), line.now
    (drawn,) = open_task(line.session, inspection, exposures, reason=Reason.SAMPLE, urgency=0.5, now=now, chance=0.02)
    line.session.commit()
    assert line.session.exec(select(LabelTask)).one().chance == 0.02
    (again,) = open_task(line.session, inspection, exposures, reason=Reason.REVIEW, urgency=0.5, now=now)
    assert again.id == drawn.id
    assert again.chance == 1.0
