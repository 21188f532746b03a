"""The list of tasks in Label Studio: its order, and which columns it shows."""

import pytest

from labeling.studio_view import BY_SCORE, HIDDEN, URGENT_FIRST, corrected, shown_words, view

ORDER = ["-tasks:data.priority"]


def test_a_list_as_we_make_it_needs_no_correction():
    assert (view()["title"], view()["ordering"], corrected(view())) == (URGENT_FIRST, ORDER, None)


@pytest.mark.parametrize("hidden", [None, {}, {"explore": [], "labeling": []}])
def test_the_list_of_an_earlier_version_gets_the_order_and_no_longer_shows_what_is_slow(hidden):
    old = {"title": URGENT_FIRST, "type": "list", "ordering": [BY_SCORE], "hiddenColumns": hidden, "columnsWidth": {}}
    better = corrected(old)
    assert (better["ordering"], better["hiddenColumns"], better["columnsWidth"]) == (ORDER, HIDDEN, {})
    assert corrected(better) is None


def test_what_somebody_arranged_stays():
    theirs = view() | {"ordering": ["tasks:id"], "hiddenColumns": {"explore": ["tasks:id"], "labeling": []}}
    assert corrected(theirs) is None
    ordered = view() | {"ordering": ["tasks:id"], "hiddenColumns": {}}
    assert corrected(ordered) == theirs | {"hiddenColumns": HIDDEN}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"defects": 131, "of": 300, "area": 0.2}, "131 of 300 defects of the part"),
        ({"defects": 0, "of": 0, "area": 0.444}, "44% of the part"),
        (None, ""),
    ],
)
def test_the_list_says_how_much_of_a_part_its_tasks_show(told, words):
    assert shown_words(told) == words
