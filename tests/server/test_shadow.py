"""A challenger looks on, says nothing to the line, and serves only after it has proved itself."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select

from qc.errors import InvalidInput
from qc.frame import Frame, decode
from qc.ports import Segmentation
from qc.records import Inspection, Progress
from qc.verdict import Policy, Verdict
from segmentation.model import load_segmenter
from segmentation.records import ModelVersion
from server import gate, judging, registry
from server.access import Role
from server.deciding import decide
from server.events import Event
from server.gate_records import Measured
from server.jobs.records import Job, JobState
from server.models_in_use import STARTER
from server.onlooker import GivesWay, Gone, Onlooker, Opinion, Picture
from server.shadow import QUEUE, Shadow
from server.watch_records import ShadowVerdict
from server.where import EVERYWHERE

CHAMPION, CHALLENGER = "sha256:dark-spots", "sha256:sharp-eyes"


class SharpEyes:
    """Calls what is darker than 100 a pit: also what the champion is in doubt about, and nothing else in doubt."""

    model_id, classes, threshold = CHALLENGER, {1: "pit"}, 0.5
    edge = 0.5

    def segment(self, pixels):
        log_odds = np.where(pixels < 100, 5.0, -9.0).astype(np.float16)
        return Segmentation(log_odds, np.ones(pixels.shape, np.uint8))


class Blind(SharpEyes):
    """Sees nothing."""

    def segment(self, pixels):
        return Segmentation(np.full(pixels.shape, -9, np.float16), np.ones(pixels.shape, np.uint8))


@dataclass
class Here:
    """A challenger that looks in this process, as far as the server is concerned one like any other."""

    segmenter: object

    @property
    def model_id(self) -> str:
        return self.segmenter.model_id

    def look(self, pictures, policy, *, station):
        frames = [Frame(decode(one.data), one.view, one.sha256) for one in pictures]
        said = judging.judge(frames, self.segmenter, policy, station=station)
        return Opinion(said.verdict, said.score, len(said.findings[0].defects), 0.005)

    def end(self):
        pass


def wait_for(true, *, patience=30):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def enter(line):
    """Champion and challenger in the registry."""
    wait_for(lambda: line.get("/models").json()["items"])  # the starter is installed by a job
    context = line.context
    with context.database.write() as session:
        for model in (CHAMPION, CHALLENGER):
            registry.add(session, model_id=model, folder="models/none", card={}, now=context.now())
        registry.promote(session, context.events, CHAMPION, by="test", at=context.now(), reason="the test says so")
        registry.challenge(session, context.events, CHALLENGER, by="test", at=context.now())
        session.commit()


def here(session):
    """The registry's challenger, whose folder is here."""
    row = registry.challenger(session)
    return {EVERYWHERE: (row.id, Path()) if row else None}


@pytest.fixture
def beside(line):
    """A line with a challenger that looks on."""
    line.context.parts.pop("shadow").stop()
    enter(line)

    shadow = line.context.parts["shadow"] = Shadow(line.context, find=here, load=lambda folder, way: Here(SharpEyes()))
    wait_for(lambda: shadow.state()["state"] == "ok")
    return line


def verdicts(line) -> dict[str, ShadowVerdict]:
    with line.context.database.read() as session:
        return {row.inspection_id: row for row in session.exec(select(ShadowVerdict))}


def test_a_challenger_sees_every_part_after_the_answer_and_the_line_hears_only_the_champion(beside):
    doubtful = beside.send(beside.picture(doubtful=9), part="P-1").json()
    clean = beside.send(beside.picture(), part="P-2").json()
    wait_for(lambda: len(verdicts(beside)) == 2)
    told = verdicts(beside)
    assert (doubtful["verdict"], doubtful["model"]) == ("review", CHAMPION)
    assert (told[doubtful["id"]].verdict, told[doubtful["id"]].champion_verdict) == (Verdict.NG, Verdict.REVIEW)
    assert told[clean["id"]].verdict == Verdict.OK
    assert beside.get(f"/inspections/{doubtful['id']}").json() == doubtful | {
        "label_task": beside.get(f"/inspections/{doubtful['id']}").json()["label_task"]
    }
    assert "qc_shadow_parts_total 2.0" in beside.get("/metrics").text
    assert beside.get("/health").json()["components"]["shadow"]["seen"] == 2


def test_a_part_that_failed_is_not_put_to_the_challenger(beside):
    beside.send(bytes(beside.picture()), part="P-1")
    beside.send(bytes(beside.picture()), part="P-2")  # a frozen camera
    wait_for(lambda: len(verdicts(beside)) == 1)
    assert len(beside.context.parts["shadow"]._queue) == 0


def test_under_load_the_shadow_waits_and_sheds_the_oldest_parts_and_the_line_goes_on(beside):
    shadow, inspector = beside.context.parts["shadow"], beside.context.inspector
    inspector._places.taking += 1  # as while a part is being taken in
    first = beside.send(beside.picture(), part="P-0").json()["id"]
    wait_for(lambda: not shadow._queue)  # it is in the challenger's hands, who waits for the line
    for n in range(QUEUE + 3):
        shadow._inspected(Event("inspection", {"id": f"part-{n}", "progress": "done"}))
    time.sleep(0.2)
    assert verdicts(beside) == {}
    assert shadow.shed == 3
    assert shadow._queue[0] == "part-3"
    inspector._places.taking -= 1
    wait_for(lambda: first in verdicts(beside))
    wait_for(lambda: not shadow._queue)
    assert shadow.state()["state"] == "ok"


def running(process) -> str:
    """The state of a process, by the kernel: T for one that was stopped."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_in_its_own_process_it_says_what_the_line_would_and_stands_still_while_the_line_works(line, tmp_path):
    asked: list[None] = []
    line_is_idle, loaded = threading.Event(), threading.Event()
    line_is_idle.set()

    def busy() -> bool:
        if loaded.is_set():
            asked.append(None)
        if len(asked) == 3:  # it has the picture: a part arrives
            line_is_idle.clear()
        return not line_is_idle.is_set()

    onlooker = Onlooker(STARTER, device="cpu", way=GivesWay(busy, threading.Event()), log=tmp_path / "log")
    picture = line.picture(dark=20, width=1024, height=768)
    sent = Picture(picture, "", hashlib.sha256(picture).hexdigest())
    heard: list[Opinion] = []
    looking = threading.Thread(target=lambda: heard.append(onlooker.look([sent], Policy(product=""), station="")))
    loaded.set()
    looking.start()
    wait_for(lambda: running(onlooker.process) == "T", patience=120)
    assert heard == []
    line_is_idle.set()
    looking.join(400)
    frame = Frame(decode(picture), "", sent.sha256)
    here = judging.judge([frame], load_segmenter(STARTER, device="cpu", threads=1), Policy(product=""), station="")
    assert [(one.verdict, one.score) for one in heard] == [(here.verdict, here.score)]
    with pytest.raises(InvalidInput):
        onlooker.look([Picture(b"no picture", "", "")], Policy(product=""), station="")
    onlooker.process.kill()
    with pytest.raises(Gone, match="loaded again"):
        onlooker.look([sent], Policy(product=""), station="")
    onlooker.end()
    assert onlooker.process.returncode is not None


def test_without_a_challenger_the_shadow_is_off_and_the_gate_says_what_to_do(line):
    assert line.get("/health").json()["components"]["shadow"]["state"] == "off"
    answer = line.get("/models/shadow")
    assert answer.status_code == 409
    assert "challenge" in answer.json()["error"]["message"]
    assert line.get("/models/shadow/disagreements").json() == {"items": []}


def test_disagreements_are_listed_until_a_person_has_decided_them(beside):
    with beside.context.database.write() as session:
        ids = both_looked(beside, session, [("ok", "ng"), ("ng", "ng"), ("review", "ok"), ("review", "ng")])
        session.commit()
    items = beside.get("/models/shadow/disagreements").json()["items"]
    assert [(item["inspection_id"], item["champion"], item["challenger"]) for item in items] == [
        (ids[2], "review", "ok"),
        (ids[0], "ok", "ng"),
    ]
    beside.post(f"/inspections/{ids[0]}/decision", Role.OPERATOR, json={"verdict": "ng", "reason": "a pit"})
    left = beside.get("/models/shadow/disagreements", params={"unanswered": True}).json()["items"]
    assert [item["inspection_id"] for item in left] == [ids[2]]
    told = beside.get("/models/shadow").json()
    assert (told["disagreements"], told["answered"], told["challenger_escapes"]) == (2, 1, 0)
    assert told["champion_escapes"] == 1
    assert "lack a person's word" in told["words"]


def both_looked(line, session, said: list[tuple[str, str]]) -> list[str]:
    """Parts with the verdicts of champion and challenger, as both leave them."""
    ids = []
    for n, (champion, challenger) in enumerate(said):
        row = Inspection(
            part=f"P-{n}",
            station="S-1",
            progress=Progress.DONE,
            verdict=Verdict(champion),
            model=CHAMPION,
            score=0.5,
            received_at=line.context.now(),
        )
        session.add(row)
        session.flush()
        look = {"champion_verdict": Verdict(champion), "verdict": Verdict(challenger), "score": 0.5}
        session.add(
            ShadowVerdict(
                inspection_id=row.id,
                model=CHALLENGER,
                champion=CHAMPION,
                **look,
                defects=0,
                elapsed_ms=5.0,
                at=line.context.now(),
            )
        )
        ids.append(row.id)
    session.flush()
    return ids


def asked(line, kind) -> Job | None:
    with line.context.database.read() as session:
        return session.exec(select(Job).where(Job.kind == kind).order_by(Job.id.desc())).first()


def decided(line, said, truth) -> gate.Standing:
    with line.context.database.write() as session:
        for inspection, word in zip(both_looked(line, session, said), truth, strict=True):
            decide(line.context, session, inspection, Verdict(word), "", by="eva")
        session.commit()
    with line.context.database.read() as session:
        return gate.standing(session)


def test_the_gate_opens_for_a_challenger_that_is_right_where_the_champion_is_not(beside):
    now = decided(beside, [("ok", "ng")] * 8, ["ng"] * 8)
    assert now.better.proved
    assert (now.champion_escapes, now.challenger_escapes) == (8, 0)
    now = decided(beside, [("ng", "ng")] * 80, ["ng"] * 80)
    assert now.escapes.proved
    assert now.open
    assert "right alone on 8 parts" in now.words()


def test_a_challenger_that_saves_rejects_by_letting_defects_pass_stays_out(beside):
    now = decided(beside, [("review", "ok")] * 40, ["ok"] * 36 + ["ng"] * 4)
    assert now.better.proved
    assert not now.escapes.proved
    assert not now.open


def test_the_gate_stays_shut_while_many_disagreements_lack_a_word(beside):
    decided(beside, [("ng", "ng")] * 90 + [("ok", "ng")] * 10, ["ng"] * 100)
    with beside.context.database.write() as session:
        both_looked(beside, session, [("ng", "ok")] * 2)
        session.commit()
        now = gate.standing(session)
    assert now.better.proved
    assert now.escapes.proved
    assert not now.open
    assert "decide them first" in now.words()


def test_with_the_production_gate_the_deciding_word_lets_the_challenger_serve_and_the_old_champion_looks_on(
    run_line, tmp_path
):
    with run_line(tmp_path, gate="production") as line:
        line.context.parts.pop("shadow").stop()
        enter(line)
        with line.context.database.write() as session:
            cost = {"cpu_s_per_mpx": 1.0, "memory_mb": 100.0, "pictures": 8}
            figures = {"champion": cost, "challenger": cost}
            now = line.context.now()
            session.add(Measured(challenger=CHALLENGER, champion=CHAMPION, at=now, figures=figures))
            ids = both_looked(line, session, [("ng", "ng")] * 90 + [("ok", "ng")] * 20)
            for inspection in ids:
                decide(line.context, session, inspection, Verdict.NG, "", by="eva")
            session.commit()
        wait_for(lambda: (job := asked(line, gate.WEIGH)) is not None and job.state == JobState.DONE)
        models = {row["id"]: row for row in line.get("/models").json()["items"]}
        assert models[CHALLENGER]["alias"] == "champion"
        assert (models[CHAMPION]["alias"], models[CHAMPION]["state"]) == ("challenger", "retired")
        rolled = line.post("/models/rollback").json()
        assert (rolled["id"], rolled["alias"]) == (CHAMPION, "champion")


def test_any_model_but_the_champion_may_be_named_challenger_by_an_engineer(line):
    enter(line)
    assert line.post(f"/models/{CHALLENGER}/challenge", Role.OPERATOR).status_code == 403
    assert line.post(f"/models/{CHALLENGER}/challenge").json()["alias"] == "challenger"
    assert line.post(f"/models/{CHAMPION}/challenge").status_code == 409
    assert line.post("/models/none/challenge").status_code == 404
    with line.context.database.read() as session:
        assert len(session.exec(select(ModelVersion).where(ModelVersion.alias == "challenger")).all()) == 1
