"""What teaches most is labelled first, and what is drawn by chance keeps estimates honest."""

import numpy as np
import pytest
from sqlmodel import select

from labeling import order
from labeling.priority import CLEAN, Candidate, choose, drawn_by_chance, estimate, labelling_seconds, uncertainty
from labeling.push import png
from labeling.records import Annotation, Reason, TaskState
from labeling.tasks import open_task
from qc.errors import InvalidInput
from qc.geometry import Box
from qc.verdict import UNKNOWN, Verdict


def first(candidates, **settings):
    options = {"count": 1, "share_at_random": 0.0, "labelled": {}} | settings
    return [c.id for c in choose(candidates, **options)]


def test_the_part_the_model_is_unsure_about_comes_before_the_one_it_is_sure_of():
    assert first([Candidate("sure", uncertainty([0.99])), Candidate("torn", uncertainty([0.5, 0.98]))]) == ["torn"]


def test_the_part_two_models_quarrel_about_comes_first():
    assert first([Candidate("calm", 0.3), Candidate("quarrel", 0.3, disagreement=0.8)]) == ["quarrel"]


def test_a_rare_class_comes_before_a_common_one():
    rare, common = Candidate("rare", 0.4, classes={2: 0.9}), Candidate("common", 0.4, classes={1: 0.9})
    assert first([common, rare], labelled={1: 500, 2: 10}) == ["rare"]


def test_where_most_labels_are_clean_a_likely_defect_comes_before_a_doubt():
    likely, doubt = Candidate("likely", uncertainty([0.9]), classes={1: 0.9}), Candidate("doubt", 1.0, classes={1: 0.5})
    assert first([doubt, likely], labelled={CLEAN: 30, 1: 4}) == ["likely"]
    assert first([doubt, likely], labelled={CLEAN: 4, 1: 30}) == ["doubt"]


def test_a_strange_surface_without_a_likely_defect_can_wait():
    odd = Candidate("odd", 0.1, classes={1: 0.05}, embedding=(90.0, 0.0))
    usual = Candidate("usual", 0.4, classes={1: 0.2}, embedding=(0.0, 0.1))
    assert first([odd, usual], known=[(0.0, 0.0)]) == ["usual"]


def test_a_batch_is_not_all_of_one_class():
    many = [Candidate(f"a{k}", 0.2, classes={1: 0.9}) for k in range(9)]
    few = [Candidate(f"b{k}", 0.2, classes={2: 0.8}) for k in range(9)]
    chosen = first([*many, *few], count=8, labelled={CLEAN: 20, 1: 3, 2: 3})
    assert sum(name.startswith("b") for name in chosen) in (3, 4, 5)


def test_worth_never_rises_along_the_order():
    random = np.random.default_rng(4)
    some = [
        Candidate(f"c{k}", float(u), classes={1 + k % 3: float(p)}, embedding=tuple(random.normal(size=3)))
        for k, (u, p) in enumerate(random.random((40, 2)))
    ]
    worth = [c.worth for c in choose(some, count=40, share_at_random=0, labelled={CLEAN: 9, 1: 5, 2: 1})]
    assert worth == sorted(worth, reverse=True)


def test_of_two_equal_doubts_the_quicker_one_comes_first():
    quick = Candidate("quick", 0.6, cost_s=labelling_seconds(1, 1.0))
    slow = Candidate("slow", 0.6, cost_s=labelling_seconds(40, 12.0))
    assert first([slow, quick]) == ["quick"]


def test_ten_pictures_of_one_scratch_are_not_labelled_before_the_other_scratch():
    same = [Candidate(f"same{k}", 0.6, embedding=(0.0, 0.01 * k)) for k in range(10)]
    other = Candidate("other", 0.55, embedding=(5.0, 5.0))
    assert "other" in first([*same, other], count=2)


def test_what_looks_like_labelled_surfaces_can_wait():
    old, new = Candidate("old", 0.3, embedding=(0.0, 0.0)), Candidate("new", 0.3, embedding=(4.0, 3.0))
    assert first([old, new], known=[(0.0, 0.1)]) == ["new"]


def test_what_the_models_memory_finds_strange_comes_first_without_an_embedding():
    assert first([Candidate("usual", 0.3), Candidate("strange", 0.3, novelty=0.9)]) == ["strange"]


def test_what_no_clean_surface_explains_goes_before_any_doubt_and_a_mere_odd_look_behind_it():
    doubt = Candidate("doubt", 1.0, classes={1: 0.5}, embedding=(0.0, 0.0))
    strange = Candidate("strange", 0.0, classes={1: 0.0}, embedding=(0.0, 0.0), novelty=0.8)
    odd = Candidate("odd", 0.0, classes={1: 0.3}, embedding=(90.0, 90.0))
    assert first([odd, doubt, strange], count=3, known=[(0.0, 0.0)]) == ["strange", "doubt", "odd"]


def test_each_chance_is_what_it_says():
    random = np.random.default_rng(0)
    candidates = [Candidate(f"c{k}", float(u)) for k, u in enumerate(random.random(20))]
    times = dict.fromkeys((c.id for c in candidates), 0)
    said = {}
    for seed in range(2000):
        for chosen in choose(candidates, count=10, share_at_random=0.4, labelled={}, seed=seed):
            times[chosen.id] += 1
            said[chosen.id] = chosen.chance
    assert sorted(set(said.values())) == pytest.approx([4 / 14, 1.0])
    for name, count in times.items():
        assert count / 2000 == pytest.approx(said[name], abs=0.05)


def test_the_error_rate_is_estimated_without_bias_although_labels_were_chosen_for_doubt():
    random = np.random.default_rng(1)
    doubt = random.random(200)
    wrong = random.random(200) < 0.6 * doubt  # the model errs where it doubts
    candidates = [Candidate(f"c{k}", float(u)) for k, u in enumerate(doubt)]
    found, naive, holds = [], [], []
    for seed in range(300):
        chosen = choose(candidates, count=60, share_at_random=0.5, labelled={}, seed=seed)
        y = [float(wrong[int(c.id[1:])]) for c in chosen]
        said = estimate(y, [c.chance for c in chosen], total=200)
        found.append(said.value)
        naive.append(np.mean(y))
        holds.append(said.low <= wrong.mean() <= said.high)
    assert np.mean(found) == pytest.approx(wrong.mean(), abs=0.01)
    assert np.mean(naive) > wrong.mean() + 0.03
    assert np.mean(holds) > 0.85


def test_where_nothing_waits_there_is_nothing_to_order():
    assert choose([], count=0, share_at_random=0.0, labelled={}, known=[]) == []


def test_of_a_stream_a_fixed_share_is_drawn_and_always_the_same():
    drawn = [drawn_by_chance(f"i{k}", 0.1) for k in range(5000)]
    assert np.mean(drawn) == pytest.approx(0.1, abs=0.015)
    assert drawn == [drawn_by_chance(f"i{k}", 0.1) for k in range(5000)]
    assert not drawn_by_chance("i", 0.0)
    assert drawn_by_chance("i", 1.0)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(InvalidInput, match="candidate a"):
        first([Candidate("a", 1.5)])
    with pytest.raises(InvalidInput, match="share"):
        first([Candidate("a", 0.5)], share_at_random=2)
    with pytest.raises(InvalidInput, match="different lengths"):
        first([Candidate("a", 0.5, embedding=(1.0,)), Candidate("b", 0.5, embedding=(1.0, 2.0))])
    with pytest.raises(InvalidInput, match="say nothing"):
        estimate([], [], total=10)


def waits(line, *, part, boxes=((300, 200, 60, 3, 1, 0.4),), reason="review", **inspection):
    """A label task for a part with these blemishes; the first one's."""
    return line.asks(line.inspects(part=part, boxes=boxes, **inspection), reason=reason)[0]


def ranked(line, *tasks, **options):
    order.rank(line.session, **options)
    line.session.commit()
    return [t.part for t in sorted(tasks, key=lambda t: -t.urgency)]


def drew(line, task, counts):
    """Somebody labelled a task: class name to number of defects."""
    task.state = TaskState.DONE
    row = Annotation(
        label_task_id=task.id,
        studio_project="1",
        studio_annotation_id=1,
        updated_at=line.now,
        by="ann",
        mask_key="none",
        drawn=counts,
        received_at=line.now,
    )
    line.session.add_all([task, row])
    line.session.commit()


def test_waiting_tasks_are_ordered_by_doubt_and_the_reasons_are_kept(line):
    sure = waits(line, part="sure", boxes=[(300, 200, 60, 3, 1, 0.97)])
    torn = waits(line, part="torn", boxes=[(300, 200, 60, 3, 1, 0.5)])
    assert ranked(line, sure, torn) == ["torn", "sure"]
    assert torn.grounds["reasons"]["uncertainty"] == 1.0
    assert torn.grounds["cost_s"] == round(labelling_seconds(1, 0.512 * 0.512), 1)


def test_a_task_that_waits_alone_stands_where_weighing_puts_it(line):
    (task,) = line.asks(line.inspects(boxes=[(300, 200, 60, 3, 1, 0.7)]))
    before = order.alone(task)
    order.rank(line.session)
    assert task.urgency == pytest.approx(before, abs=1e-3)


def test_once_scratches_are_known_a_dent_comes_before_a_scratch(line):
    scratch = waits(line, part="scratch", boxes=[(300, 200, 60, 3, 1, 0.7)])
    dent = waits(line, part="dent", boxes=[(300, 200, 60, 3, 2, 0.65)])
    assert ranked(line, scratch, dent) == ["dent", "scratch"]  # the more doubtful one
    dent.grounds = {**dent.grounds, "uncertainty": 0.5}
    assert ranked(line, scratch, dent) == ["scratch", "dent"]
    drew(line, waits(line, part="known"), {"scratch": 40})
    assert ranked(line, scratch, dent) == ["dent", "scratch"]


def test_what_a_person_overruled_stays_before_what_is_only_doubtful(line):
    torn = waits(line, part="torn", boxes=[(300, 200, 60, 3, 1, 0.5)])
    missed = waits(line, part="missed", boxes=[], verdict=Verdict.OK, reason="overruled")
    assert ranked(line, torn, missed) == ["missed", "torn"]
    assert missed.urgency >= order.OVERRULED > torn.urgency


def test_two_models_that_disagree_make_a_part_worth_labelling(line):
    calm = waits(line, part="calm", boxes=[(300, 200, 60, 3, 1, 0.9)])
    quarrel = waits(line, part="quarrel", boxes=[(300, 200, 60, 3, 1, 0.9)])
    assert ranked(line, calm, quarrel, models={quarrel.inspection_id: 0.8}) == ["quarrel", "calm"]


def test_the_view_that_saw_nothing_is_asked_about_where_another_saw_much(line):
    inspection = line.inspects(boxes=[(300, 200, 60, 3, 1, 0.9)], views=("left", "right"))
    left, right = line.exposures(inspection)
    right.defects, right.score = [], 0.01
    there, here = (order.grounds(one, [left, right], whole(one)) for one in (left, right))
    assert there["views"] == 0.0
    assert here["views"] == pytest.approx(0.45)


def whole(exposure):
    return Box(0, 0, exposure.width, exposure.height)


def test_what_only_the_memory_finds_is_novel_and_no_class(line):
    inspection = line.inspects(boxes=[(300, 200, 60, 3, 1, 0.8)])
    (exposure,) = line.exposures(inspection)
    exposure.defects = [{**exposure.defects[0], "class": UNKNOWN}]
    found = order.grounds(exposure, [exposure], whole(exposure))
    assert (found["novelty"], found["classes"], found["uncertainty"]) == (0.8, {}, 0.0)


def test_what_was_drawn_by_chance_keeps_its_chance_and_stands_in_the_upper_half(line):
    doubts = [waits(line, part=f"d{k}", boxes=[(300, 200, 60, 3, 1, 0.5 + 0.04 * k)]) for k in range(10)]
    inspection = line.inspects(part="drawn", boxes=[])
    exposures = line.exposures(inspection)
    (drawn,) = open_task(
        line.session, inspection, exposures, reason=Reason.SAMPLE, urgency=0.5, now=line.now, chance=0.02
    )
    places = ranked(line, *doubts, drawn)
    assert places.index("drawn") <= 6
    before = drawn.urgency
    assert ranked(line, *doubts, drawn) == places
    assert (drawn.chance, drawn.urgency) == (0.02, before)
    assert order.rank(line.session) == []


def test_drawings_of_earlier_versions_are_counted_once(line):
    task = waits(line, part="old")
    drew(line, task, None)
    mask = np.zeros((task.crop_height, task.crop_width), np.uint8)
    mask[10:20, 10:20] = mask[40:50, 40:50] = 1
    line.blobs.put("old.png", png(mask))
    row = line.session.exec(select(Annotation)).one()
    row.mask_key, row.classes = "old.png", {"1": "scratch"}
    line.session.commit()
    assert order.labelled_defects(line.session) == ({}, 0)
    assert order.count_old(line.session, line.blobs) == 1
    line.session.commit()
    assert order.labelled_defects(line.session) == ({"scratch": 2}, 0)
    assert order.count_old(line.session, line.blobs) == 0
