"""While the database is away every call says so and may be repeated; when it is back all goes on."""

from __future__ import annotations


def test_every_call_is_answered_by_503_and_a_part_is_taken_once_it_is_back(line, away):
    away()
    for told in (line.get("/inspections"), line.send(line.picture(), trigger_id="T-1")):
        assert (told.status_code, told.headers["retry-after"]) == (503, "1")
        assert told.json()["error"]["message"] == "the database does not answer; try again in a moment"
    away()
    assert line.send(line.picture(), trigger_id="T-1").status_code == 201
