"""A data folder has one name, whoever asks first."""

from __future__ import annotations

import threading

from server import home_id


def test_those_who_ask_at_the_same_time_for_the_first_time_get_one_name(tmp_path, monkeypatch):
    together, make = threading.Barrier(4, timeout=30), home_id.new_id

    def proposed() -> str:
        together.wait()  # all have seen by now that there is none
        return make()

    monkeypatch.setattr(home_id, "new_id", proposed)
    told: list[str] = []
    asking = [threading.Thread(target=lambda: told.append(home_id.home_id(tmp_path))) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert len(told) == 4
    assert set(told) == {home_id.home_id(tmp_path)}
    assert [file.name for file in tmp_path.iterdir()] == [home_id.FILE]
