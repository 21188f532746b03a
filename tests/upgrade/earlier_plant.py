"""A plant's day by the code that is on the path: run with PYTHONPATH naming a checkout of any version.

python earlier_plant.py new HOME ANSWERS.json      inspects parts; what was answered
python earlier_plant.py again HOME ANSWERS.json    what is answered now for the parts in HOME; inspects one more
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from starlette.testclient import TestClient

import server
from server import auth
from server.access import Role
from server.app import create_app
from server.settings import Settings

PARTS = 3


def picture(mark: int) -> bytes:
    """A grey sheet with a dark line; another mark is another sheet."""
    grey = np.full((90, 120), 180, np.uint8)
    cv2.line(grey, (10, 10 + mark), (100, 30 + mark), 40, 2)
    return bytes(cv2.imencode(".png", grey)[1])


def main(what: str, home: Path, out: Path) -> None:
    settings = Settings(home=home, label_studio=False, database_url="", runtimes=False)
    app = create_app(settings)
    with TestClient(app) as client:
        context = app.state.context
        with context.database.write() as session:
            keys = {role: auth.create_key(session, f"{role}", role, now=context.now()) for role in Role}
            session.commit()

        def ask(method: str, path: str, role: Role = Role.ADMIN, **more: Any) -> Any:
            head = {"Authorization": f"Bearer {keys[role]}"}
            told = client.request(method, f"/api/v1{path}", headers=head, **more)
            assert told.status_code in (200, 201), told.text
            return told

        def inspect(mark: int) -> dict[str, Any]:
            data = {"part": f"P-{mark}", "station": "press", "trigger_id": f"T-{mark}"}
            files = {"image": ("a.png", picture(mark))}
            made: dict[str, Any] = ask("POST", "/inspections", Role.MACHINE, data=data, files=files).json()
            return made

        assert context.champion.wait(120)
        if what == "new":
            first, *_ = [inspect(mark) for mark in range(PARTS)]
            word = {"verdict": "ng" if first["verdict"] == "ok" else "ok", "reason": "grün ist ok"}
            ask("POST", f"/inspections/{first['id']}/decision", Role.OPERATOR, json=word)
        rows = ask("GET", "/inspections").json()["items"]
        told = {row["id"]: ask("GET", f"/inspections/{row['id']}").json() for row in rows}
        answer = {
            "code": str(Path(server.__file__).parent.parent),
            "inspections": told,
            "pictures": {i: ask("GET", f"/inspections/{i}/images/0/original").content.hex() for i in told},
            "models": {m["id"]: m["alias"] for m in ask("GET", "/models").json()["items"]},
            "again": inspect(0)["id"],
            "one_more": inspect(len(told))["verdict"],
        }
    out.write_text(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
