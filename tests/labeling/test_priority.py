"""What teaches most is labelled first, and what is drawn by chance keeps estimates honest."""

import numpy as np
import pytest

from labeling.priority import Candidate, choose, drawn_by_chance, estimate, labelling_seconds, uncertainty
from qc.errors import InvalidInput


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
