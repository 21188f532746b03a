"""A broken camera is a broken camera: its parts go to a person, and never through as ok or into the scrap."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sqlmodel import select

from labeling.records import LabelTask
from qc.camera import LEARN
from qc.frame import Frame
from qc.records import Inspection
from server.access import Role
from server.watch_records import CameraLook


def png(pixels: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", np.clip(pixels, 0, 255).astype(np.uint8))[1])


def sheet(seed: int, *, light: float = 1.0, right: int = 0, blur: float = 0.0) -> np.ndarray:
    """A bright sheet with a grey mark, a new texture on every part, nothing dark enough to be called a pit."""
    rng = np.random.default_rng(seed)
    grey = np.full((96, 128), 190, np.float32)
    cv2.circle(grey, (40 + right, 40), 14, 130, -1)
    grey[:, 110 + right :] = 140
    grey += 12 * cv2.GaussianBlur(rng.normal(0, 1, grey.shape).astype(np.float32), (0, 0), 1.0)
    grey = cv2.GaussianBlur(grey, (0, 0), blur) if blur else grey
    return (grey + rng.normal(0, 1.5, grey.shape)) * light


def send(line, pixels: np.ndarray, part: str, **fields) -> dict:
    answer = line.send(png(pixels), part=part, **fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.mark.parametrize(("level", "fault"), [(2, "black"), (255, "white")])
def test_a_black_or_white_picture_is_a_camera_fault_and_neither_ok_nor_a_defect(line, level, fault):
    told = send(line, np.full((96, 128), level), "P-1", view="top")
    assert (told["verdict"], told["progress"]) == ("review", "failed")
    assert told["problem"].startswith("camera fault: top: the picture is")
    (image,) = told["images"]
    assert (image["camera_fault"], image["defects"], image["verdict"]) == (fault, [], None)
    assert f'qc_camera_faults_total{{fault="{fault}",station="S-1",view="top"}} 1.0' in line.get("/metrics").text
    health = line.get("/health").json()
    assert health["status"] == "degraded"
    assert fault in health["components"]["cameras"]["message"]
    assert line.get("/health").status_code == 200
    with line.context.database.read() as session:
        assert session.exec(select(LabelTask)).all() == []
    send(line, sheet(1), "P-2", view="top")
    assert line.get("/health").json()["components"]["cameras"]["state"] == "ok"


def test_a_frozen_camera_is_noticed_at_its_first_repeated_picture_and_after_a_restart(run_line, tmp_path):
    with run_line(tmp_path) as line:
        assert send(line, sheet(1), "P-1")["verdict"] == "ok"
        frozen = send(line, sheet(1), "P-2")
        assert (frozen["verdict"], frozen["images"][0]["camera_fault"]) == ("review", "frozen")
        assert "the very one of the part before" in frozen["problem"]
        assert "P-1" not in frozen["problem"], "or erasing that part would have to change this one"
        assert send(line, sheet(1), "P-3", station="S-2")["verdict"] == "ok", "another camera may see the same"
        assert send(line, sheet(2), "P-4")["verdict"] == "ok"
    with run_line(tmp_path) as line:
        assert send(line, sheet(2), "P-5")["images"][0]["camera_fault"] == "frozen"


def test_a_part_that_is_looked_at_again_is_not_a_frozen_camera(line):
    assert send(line, sheet(1), "P-1")["verdict"] == "ok"
    assert send(line, sheet(1), "P-1")["verdict"] == "ok"


def test_views_of_one_part_are_cameras_of_their_own(line):
    same = png(sheet(1))
    assert line.send(same, same, same, part="P-1").json()["verdict"] == "ok"
    told = line.send(same, png(sheet(2)), png(sheet(3)), part="P-2").json()
    assert [image["camera_fault"] for image in told["images"]] == ["frozen", None, None]
    assert told["verdict"] == "review"


def taught(line, number: int = LEARN) -> None:
    """A station that has seen so many good pictures, without the cost of posting them."""
    cameras = line.context.cameras
    send(line, sheet(1000), "T-0")
    with line.context.database.read() as session:
        look = session.exec(select(CameraLook)).one()
        inspection = session.get(Inspection, look.inspection_id)
    with line.context.database.write() as session:
        for n in range(1, number):
            other = inspection.model_dump() | {"id": f"{inspection.id[:-4]}{n:04d}", "part": f"T-{n}"}
            row = Inspection(**other)
            session.add(row)
            session.flush()
            for found in cameras.check(row, [Frame(sheet(1000 + n).astype(np.uint8), "", str(n))]):
                assert found.fault == ""
                session.add(found)
        cameras.after_inspection(session, row, [])
        session.commit()
    cameras.keep("S-1")


def test_a_camera_that_was_knocked_out_of_focus_or_light_is_a_fault_at_the_first_picture(line):
    taught(line)
    assert send(line, sheet(1), "P-1")["verdict"] == "ok"
    for n, (fault, changes) in enumerate(
        [("exposure", {"light": 0.55}), ("blurred", {"blur": 2.5}), ("shifted", {"right": 14})]
    ):
        told = send(line, sheet(50 + n, **changes), f"P-{50 + n}")
        assert (told["verdict"], told["images"][0]["camera_fault"]) == ("review", fault), told["problem"]
    assert send(line, sheet(99), "P-99")["verdict"] == "ok"


def test_a_slightly_dimmed_lamp_raises_one_alarm_that_says_since_when_with_pictures_before_and_after(
    run_line, tmp_path
):
    with run_line(tmp_path) as line:
        taught(line)
        assert line.get("/alarms").json()["items"] == []
    with run_line(tmp_path) as line:  # what was learnt outlives a restart
        ids = [send(line, sheet(n, light=0.85), f"P-{n}")["id"] for n in range(12)]
        (alarm,) = line.get("/alarms", params={"only_open": True}).json()["items"]
        assert (alarm["kind"], alarm["station"]) == ("camera", "S-1")
        assert "darker by" in alarm["message"]
        assert alarm["after"][0] in ids[:3]
        assert len(alarm["before"]) == 8
        assert not set(alarm["before"]) & set(ids[3:])
        assert alarm["since"] <= alarm["raised_at"]
        assert line.get("/health").json()["components"]["cameras"]["state"] == "degraded"
        (camera,) = line.get("/cameras").json()["items"]
        assert "darker" in camera["changed"]["level"]

        assert line.post("/cameras/S-1/accept", Role.OPERATOR).status_code == 403
        assert line.post("/cameras/S-1/accept?view=top").status_code == 404
        assert line.post("/cameras/S-1/accept?view=%230").json() == {"cameras": 1}  # its view has a number only
        assert line.get("/alarms", params={"only_open": True}).json()["items"] == []
        send(line, sheet(99, light=0.85), "P-99")
        (camera,) = line.get("/cameras").json()["items"]
        assert camera["learnt"] == 1
        assert line.post("/cameras/elsewhere/accept").status_code == 404


def test_dirt_on_the_lens_is_an_alarm_and_parts_go_to_a_person_until_it_is_wiped_off(run_line, tmp_path):
    def dirty(seed):
        pixels = sheet(seed)
        pixels[64:72, 56:64] *= 0.6
        return pixels

    with run_line(tmp_path) as line:
        taught(line)
    with run_line(tmp_path) as line:  # what was learnt outlives a restart
        told = [send(line, dirty(n), f"P-{n}") for n in range(12)]
        (alarm,) = line.get("/alarms", params={"only_open": True}).json()["items"]
        assert (alarm["kind"], alarm["figures"]["measure"]) == ("camera", "spot")
        assert "dirty or shaded 48% from the left and 73% from the top (darker by" in alarm["message"]
        assert alarm["after"][0] == told[0]["id"]
        assert (told[0]["verdict"], told[0]["images"][0]["camera_fault"]) == ("ok", None), "one part tells nothing"
        assert (told[-1]["verdict"], told[-1]["images"][0]["camera_fault"]) == ("review", "dirty")
        assert told[-1]["images"][0]["defects"] == []
        assert send(line, sheet(99), "P-99")["verdict"] == "ok"
        reason = {"reason": "the window was wiped"}
        assert line.post(f"/alarms/{alarm['id']}/close", json=reason).status_code == 200
        send(line, sheet(100), "P-100")
        assert line.get("/alarms", params={"only_open": True}).json()["items"] == []


def test_an_alarm_is_closed_once_with_a_reason(line):
    taught(line)
    for n in range(12):
        send(line, sheet(n, light=0.85), f"P-{n}")
    (alarm,) = line.get("/alarms").json()["items"]
    path = f"/alarms/{alarm['id']}/close"
    assert line.post(path, json={"reason": ""}).status_code == 422
    assert line.post(path, json={"reason": "a new lamp is in"}).json()["closed_by"] == "engineer key"
    assert line.post(path, json={"reason": "again"}).status_code == 409
    assert line.post("/alarms/none/close", json={"reason": "x"}).status_code == 404
    send(line, sheet(200), "P-200")
    assert line.get("/alarms", params={"only_open": True}).json()["items"] == []


def test_watching_can_be_switched_off(run_line, tmp_path):
    with run_line(tmp_path, camera_checks=False) as line:
        assert send(line, np.full((96, 128), 255), "P-1")["verdict"] == "ok"
        assert "cameras" not in line.get("/health").json()["components"]
        assert line.get("/cameras").status_code == 503
