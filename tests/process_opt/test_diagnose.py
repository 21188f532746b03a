"""What is known of every setting, and the dither that would make the others known: proposed, carried out, enough."""

from __future__ import annotations

import numpy as np
import pytest

from process_opt.cli import run_diagnose
from process_opt.diagnose import as_text, diagnose
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel
from process_opt.simulate import linear_line


@pytest.fixture(scope="module")
def blind() -> ProcessModel:
    line = linear_line(5, 2, hidden_look=0.5, dither=0.0)
    return fit(line.process, parse_history(line.history(800, 1), line.process))


def test_a_dither_is_proposed_for_what_is_not_known_and_stays_within_the_machine(blind: ProcessModel) -> None:
    levers = diagnose(blind)
    assert [x.setting for x in levers] == list(blind.process.settings)
    for lever in levers:
        _, setting = blind.process.settings[lever.setting]
        assert not lever.identified
        assert lever.dither_sd is not None
        assert lever.dither_parts is not None
        assert lever.dither_cost is not None
        assert 0 < 2 * lever.dither_sd < setting.high - setting.low
        assert lever.dither_parts >= 40
    assert "vary it at random" in as_text(levers, "EUR")


def test_the_proposed_dither_makes_the_settings_known(blind: ProcessModel) -> None:
    parts = max(x.dither_parts or 0 for x in diagnose(blind))
    sizes = [
        (x.dither_sd or 0) / (s.high - s.nominal)
        for x, (_, s) in zip(diagnose(blind), blind.process.settings.values(), strict=True)
    ]
    share = min(0.9, 1.3 * parts / 1200)
    line = linear_line(5, 2, hidden_look=0.5, dither=share, dither_size=float(np.median(sizes)))
    model = fit(line.process, parse_history(line.history(1200, 2), line.process))
    levers = diagnose(model)
    assert all(x.identified and x.dither_sd is None for x in levers)
    assert np.median([x.error for x in levers]) < 0.25


def test_the_command_prints_a_line_for_each_setting(blind: ProcessModel, tmp_path, capsys) -> None:
    from argparse import Namespace

    blind.save(tmp_path / "m")
    assert run_diagnose(Namespace(model=tmp_path / "m")) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(blind.process.settings)
