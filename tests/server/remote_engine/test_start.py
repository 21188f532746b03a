"""By the settings, with a real network: the model that comes with the product, computed by another server of ours."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import per_home
import pytest
from fastapi.testclient import TestClient

from qc.frame import Frame
from segmentation import samples
from segmentation.model import load_segmenter, model_id
from server import models_in_use
from server.app import create_app
from server.remote_engine.start import own_pictures
from server.settings import Settings


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """The starter model with two small crops in place of its own, which are no part of what a model is."""
    folder = tmp_path_factory.mktemp("small") / "model"
    shutil.copytree(models_in_use.STARTER, folder)
    crops = [crop[:128, :160] for crop in samples.carried(folder)[:2]]
    shutil.rmtree(folder / samples.FOLDER)
    samples.write(folder, crops)
    assert model_id(folder) == model_id(models_in_use.STARTER)
    return folder


def test_answers_are_compared_on_what_the_model_carries(small, tmp_path):
    found = own_pictures(Settings(home=tmp_path))(small)
    assert [picture.shape[:2] for picture in found] == [(128, 160)] * 2


def test_a_real_champion_is_computed_elsewhere_with_all_that_its_encoder_sees(
    small, run_line, tmp_path, listening, until, monkeypatch
):
    own = replace(load_segmenter(small, threads=1), keep_cells=True)
    with run_line(tmp_path / "other", own) as stranger, listening(stranger.app) as url:
        about = stranger.client.get("/v2/models/champion-network", headers=stranger.head()).json()
        assert [one["name"] for one in about["outputs"]] == ["log_odds", "class_place", "cells"]
        monkeypatch.setattr(models_in_use, "STARTER", small)
        settings = Settings(
            home=tmp_path / "home",
            database_url=per_home.setting(tmp_path / "home"),
            label_studio=False,
            runtimes=False,
            torch_threads=1,
            engine_url=url + "/",
            engine_key=stranger.head()["Authorization"].removeprefix("Bearer "),
            engine_patience_s=500.0,
        )
        app = create_app(settings)
        with TestClient(app):
            context = app.state.context
            until(lambda: context.engine.state()["answers"] == "remote")
            assert context.engine.state()["compared"]["verdicts_that_differ"] == 0
            local = context.champion.serving()
            sheet = np.random.default_rng(2).integers(90, 160, (150, 200), np.uint8)
            frame = Frame(cv2.GaussianBlur(sheet, (0, 0), 1.5), "", "")
            eyes = context.engine.eyes(local, [frame], left_s=None)
            far, near = eyes.segment(frame.pixels), local.segment(frame.pixels)
            assert eyes.runtime == f"remote champion-network {own.model_id[7:19]} (qc_torch)"
            assert np.abs(far.log_odds.astype(float) - near.log_odds.astype(float)).max() < 0.02
            assert far.cells is not None
            assert far.cells.shape == near.cells.shape
            assert far.cell_px == near.cell_px
