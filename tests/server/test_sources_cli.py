"""`qc data pack` and `qc data sources`: what a person at the terminal does, and what the audit trail says of it."""

from __future__ import annotations

import json

import cv2
import numpy as np
from sqlmodel import select

from qc.dataset import open_dataset
from server import audit_check
from server.audit import AuditEntry
from server.cli import main
from server.db import Database
from server.settings import Settings


def test_a_set_is_packed_and_opened_and_the_trail_says_who_did_and_who_might_not(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QC_HOME", str(tmp_path / "home"))
    folder = tmp_path / "bars"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for n in range(3):
        grey = cv2.imencode(".png", np.full((6, 7), 40 * n, np.uint8))[1].tobytes()
        (folder / f"images/{n}.png").write_bytes(grey)
    (folder / "masks/1.png").write_bytes(cv2.imencode(".png", np.ones((6, 7), np.uint8))[1].tobytes())
    (folder / "split.csv").write_text("file,split\n0.png,train\n1.png,train\n2.png,val\n")
    (folder / "dataset.yaml").write_text("name: bars\nclasses: {1: scratch}\n")

    assert main(["data", "pack", str(folder), "--out", str(tmp_path / "packed")]) == 0
    assert "3 images in 1 shards" in capsys.readouterr().out
    assert main(["data", "pack", str(folder), "--out", str(tmp_path / "packed")]) == 1
    assert "shards are never changed" in capsys.readouterr().err

    for other, told in (("litdata", "3 images as a LitData set"), ("squirrel", "1 shards of squirrel-core")):
        there, back = str(tmp_path / other), str(tmp_path / f"from-{other}")
        assert main(["data", "pack", str(folder), "--to", other, "--out", there]) == 0
        assert told in capsys.readouterr().out
        assert main(["data", "pack", there, "--from", other, "--out", back]) == 1
        assert "add --classes with their names" in capsys.readouterr().err
        assert main(["data", "pack", there, "--from", other, "--classes", "scratch", "--out", back]) == 0
        assert (tmp_path / f"from-{other}/shards.json").read_text() == (tmp_path / "packed/shards.json").read_text()
        assert "3 images in 1 shards" in capsys.readouterr().out

    one = {"url": "packed", "format": "shards", "owner": "Ada", "licence": "internal", "roles": ["engineer"]}
    (tmp_path / "sources.yaml").write_text(json.dumps({"sources": {"bars": one}}))
    assert main(["data", "sources", str(tmp_path / "sources.yaml"), "--purpose", "train bars"]) == 0
    assert capsys.readouterr().out == "bars: 3 images, 1 labelled; Ada, internal, no end\n"
    assert main(["data", "sources", str(tmp_path / "sources.yaml"), "bars", "--role", "operator"]) == 1
    assert "bars is for engineer and not for operator; ask its owner, Ada" in capsys.readouterr().out

    gathered = ["data", "gather", str(tmp_path / "sources.yaml"), "bars=2", "--out", str(tmp_path / "set")]
    assert main(gathered) == 0
    assert "bars: 1 images to learn from, 1000 of 1000 crops\nsha256:" in capsys.readouterr().out
    assert open_dataset(tmp_path / "set").mixing.per_thousand == {"bars": 1000}
    assert main([*gathered[:3], "bars", "--out", str(tmp_path / "other")]) == 1
    assert "written as line-1=5" in capsys.readouterr().err

    database = Database(Settings(home=tmp_path / "home").db_url)
    with database.read() as session:
        told = session.exec(select(AuditEntry).where(AuditEntry.kind == "source").order_by(AuditEntry.n)).all()
        bodies = [json.loads(entry.body) for entry in told]
        assert [(body["allowed"], body["samples"]) for body in bodies] == [(True, 3), (False, 0), (True, 3)]
        assert bodies[0]["why"] == "train bars"
        assert all(entry.subject == "bars" and entry.by.startswith("qc data ") for entry in told)
        audit_check.verify(session)
    database.close()
