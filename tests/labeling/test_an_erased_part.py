"""A part is erased while somebody draws on it in Label Studio: what is drawn then goes nowhere, and nothing breaks."""

import pytest
from sqlmodel import select

from labeling.collect import receive, sweep
from labeling.push import push_open_tasks
from labeling.records import Annotation, LabelTask, TaskState
from qc.records import Exposure, Inspection

pytestmark = pytest.mark.studio


def erase(line, task):
    """What an erasure leaves here of a part that is in Label Studio: nothing."""
    inspection = line.session.get(Inspection, task.inspection_id)
    for exposure in line.session.exec(select(Exposure).where(Exposure.inspection_id == inspection.id)).all():
        for key in (exposure.original_key, exposure.instances_key):
            line.blobs.delete(key)
        line.session.delete(exposure)
    for row in line.session.exec(select(Annotation).where(Annotation.label_task_id == task.id)).all():
        line.blobs.delete(row.mask_key)
        line.session.delete(row)
    line.session.delete(task)
    line.session.flush()
    line.session.delete(inspection)
    line.session.commit()


def test_what_is_drawn_on_an_erased_part_is_not_stored_and_its_neighbours_come_home(
    line, studio, person, draw, tmp_path
):
    boxes = [(300, 200, 60, 3, 1, 0.4)]
    (erased,) = line.asks(line.inspects(part="P-erased", boxes=boxes))
    (kept,) = line.asks(line.inspects(part="P-kept", boxes=boxes, seed=1))
    push_open_tasks(line.session, studio, line.blobs, line.now)
    person(studio, erased, draw(erased, (5, 5, 20, 3, 1)))
    assert sweep(line.session, studio, line.blobs, line.later()).finished == [erased.id]
    there, gone = studio.task(erased.studio_task_id), erased.id
    erase(line, erased)

    number = person(studio, LabelTask(studio_task_id=there["id"]), draw(kept, (9, 9, 30, 3, 2)))
    person(studio, kept, draw(kept, (5, 5, 20, 3, 1)))
    hint = {"action": "ANNOTATION_CREATED", "task": there, "annotation": {"id": number, "task": there["id"]}}
    assert receive(line.session, hint) == []
    swept = sweep(line.session, studio, line.blobs, line.later())

    assert (swept.finished, swept.unknown, swept.listed) == ([kept.id], 1, 2)
    assert {row.label_task_id for row in line.session.exec(select(Annotation))} == {kept.id}
    assert kept.state is TaskState.DONE
    assert [file for file in tmp_path.rglob("*.png") if kept.id in str(file)]
    assert not [file for file in tmp_path.rglob("*.png") if gone in str(file)]
    studio.delete_task(there["id"])  # as soon as the erasure reaches Label Studio
    swept = sweep(line.session, studio, line.blobs, line.later())
    assert (swept.finished, swept.unknown, swept.listed) == ([], 0, 1)
