"""The account of a fit: where the spread comes from, how wide intervals held, and the page with its pictures."""

from __future__ import annotations

import re

import numpy as np
import pytest

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel
from process_opt.report_page import as_html
from process_opt.simulate import Line, linear_line
from process_opt.spread import GAUGE, MATERIAL, spreads
from qc.svg import Row, forest


@pytest.fixture(scope="module")
def line() -> Line:
    return linear_line(5, 2, dither=0.6)


@pytest.fixture(scope="module")
def model(line: Line) -> ProcessModel:
    return fit(line.process, parse_history(line.history(1200, 1), line.process))


def true_shares(line: Line, i: int) -> tuple[float, dict[str, float]]:
    """Variance of the last look at characteristic `i`, in units squared, and the steps' shares of it."""
    d = len(line.centre)
    added = {MATERIAL: np.diag(line.start_sd**2), GAUGE: np.zeros((d, d))}
    for step, truth in zip(line.process.steps, line.truths, strict=True):
        a = np.asarray(truth.move(np.eye(d), np.zeros((d, len(step.settings))))).T
        added = {name: a @ cov @ a.T for name, cov in added.items()}
        added[step.name] = np.diag(truth.noise**2)
    variance = {name: float(cov[i, i]) for name, cov in added.items()}
    variance[GAUGE] = float(line.truths[-1].gauge[i] ** 2)
    total = sum(variance.values())
    return total * float(line.unit[i]) ** 2, {name: v / total for name, v in variance.items()}


def test_where_the_spread_comes_from_is_what_the_line_does(line: Line, model: ProcessModel) -> None:
    told = spreads(model)
    assert [one.reading for one in told] == list(line.process.conformance)
    for i, one in enumerate(told):
        variance, shares = true_shares(line, i)
        assert one.sd == pytest.approx(np.sqrt(variance), rel=0.1)
        assert sum(share for _, share in one.shares) == pytest.approx(1.0)
        assert set(dict(one.shares)) == set(shares)
        for name, share in one.shares:
            assert share == pytest.approx(shares[name], abs=0.08), name
        assert [s for _, s in one.shares] == sorted((s for _, s in one.shares), reverse=True)


def test_wider_intervals_hold_more_and_about_what_they_promise(model: ProcessModel) -> None:
    levels = model.check["coverage"]
    held = [level["held"] for level in levels]
    assert held == sorted(held)
    sure = 3 / np.sqrt(model.check["parts"])
    assert all(abs(level["held"] - level["interval"]) < sure for level in levels)


def test_the_page_shows_every_effect_and_draws_it(line: Line, model: ProcessModel) -> None:
    report = model.report()
    page = as_html(report)
    settings = list(line.process.settings)
    for name in settings:
        assert f"<td>{name}" in page
    pictures = re.findall(r'<svg[^>]*aria-label="([^"]*)"', page)
    assert sum(label.startswith("Where the spread of") for label in pictures) == len(line.process.conformance)
    assert "What intervals promised and what they held" in pictures
    drawn = sum(page.count(f'text-anchor="end">{name}</text>') for name in settings)
    assert drawn == len(settings)
    assert "<script" not in page


def test_names_from_a_process_file_cannot_put_anything_into_the_page(model: ProcessModel) -> None:
    report = model.report() | {"process": "<b>bar</b>"}
    assert "<b>bar" not in as_html(report)


def test_a_row_stands_on_its_own_side_of_nothing() -> None:
    drawn = forest("effects", "mm", [Row("a", -0.5, -0.6, -0.4), Row("b", 0.5, 0.4, 0.6)])
    zero = float(re.search(r'class="mark" d="M([\d.]+) ', drawn)[1])
    left, right = (float(x) for x in re.findall(r'cx="([\d.]+)"', drawn))
    assert left < zero < right
    assert right - zero == pytest.approx(zero - left, abs=0.2)
