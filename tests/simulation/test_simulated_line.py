"""Whatever goes wrong on a line, every part has one verdict in time, nothing is lost, and an error is never an ok."""

from __future__ import annotations

import pytest
from simulated.plant import template
from simulated.story import tell_story


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulation") / "template"
    template(folder)
    return folder


@pytest.fixture(scope="module")
def stories(home):
    return [tell_story(seed, home) for seed in range(2)]


def test_a_line_on_which_everything_goes_wrong_breaks_no_promise(stories):
    assert [story.violations for story in stories] == [()] * len(stories)
    assert sum(story.kills for story in stories) > 0
    for story in stories:
        assert min(story.triggers, story.answers, story.passed) > 5


def test_the_same_seed_tells_the_same_story(stories, home):
    assert tell_story(0, home).hash == stories[0].hash
