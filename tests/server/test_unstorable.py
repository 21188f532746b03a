"""A number that no database holds is the sender's mistake, and not one of the server's."""

from __future__ import annotations

import math

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlmodel import select

from qc.records import Exposure
from server import errors


def test_a_number_of_more_than_64_bits_is_refused_in_a_sentence(database):
    app = FastAPI()
    errors.install(app)

    @app.get("/images/{n}")
    def image(n: int) -> int:
        with database.read() as session:
            return len(session.exec(select(Exposure).where(Exposure.n == n)).all())

    @app.get("/mistake")
    def mistake() -> float:
        return math.exp(1000)

    client = TestClient(app, raise_server_exceptions=False)
    assert client.get("/images/0").json() == 0
    refused = client.get("/images/99999999999999999999")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_input")
    assert "64 bits" in refused.json()["error"]["message"]
    assert client.get("/mistake").status_code == 500, "the server's own mistakes stay what they are"
