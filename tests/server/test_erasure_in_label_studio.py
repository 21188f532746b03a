"""A part that must be forgotten is forgotten in Label Studio, too: task, drawing and picture."""

from __future__ import annotations

import socket

import pytest

from labeling.studio import Studio
from labeling.studio_process import StudioProcess
from server.erasure import forget_tasks

pytestmark = pytest.mark.studio


def test_task_and_picture_go_from_the_real_label_studio_and_the_neighbours_stay(
    label_studio_data, tmp_path, line, request
):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = label_studio_data(tmp_path / "label-studio")
    process = StudioProcess(request.config.rootpath / ".venv-label-studio", data, port=port)
    process.start()
    try:
        with Studio(process.url, process.account.token) as studio:
            studio.ensure_project({1: "pit"}, title="Erasure")
            numbers = []
            for n, name in enumerate(("forgotten", "kept")):
                picture = studio.upload(line.picture(mark=n), name=f"{name}.png")
                views = studio.upload(line.picture(mark=n + 5), name=f"{name}-views.png")
                about = {"image": picture, "beside": [views], "label_task": name, "part": name}
                numbers.append(studio.create_task(about, [], score=0.5, model="sha256:0"))
            assert [file for file in data.rglob("*forgotten*") if file.is_file()]

            assert forget_tasks(studio, numbers[:1], data / "media") == (1, [])

            assert [listed.key for listed in studio.tasks()] == ["kept"]
            assert [file for file in data.rglob("*forgotten*") if file.is_file()] == []
            assert [file for file in data.rglob("*kept*") if file.is_file()]
            assert forget_tasks(studio, numbers[:1], data / "media") == (0, [])
            _, left = forget_tasks(studio, numbers[1:], None)
            assert sorted(name.rpartition("-")[2] for name in left) == ["kept.png", "views.png"], (
                "a foreign one keeps its file, and we say so"
            )
    finally:
        process.stop()
