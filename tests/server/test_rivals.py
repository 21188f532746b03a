"""A product or a station with a champion of its own: its challenger proves itself there, serves there alone, and goes
again by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select
from two_models import BETTER, NEW, OLD, WORSE, enter, log_in, looked_at, measured, weigh

from qc.errors import Unavailable
from qc.ports import Segmentation
from qc.verdict import Verdict
from segmentation.model import model_id
from segmentation.records import ModelState, ModelVersion
from server import assigning, gate, gate_jobs, golden_look, golden_needs, model_history, registry, retrain_job, rivals
from server.access import Role
from server.gate_records import Assignment
from server.jobs.records import Job
from server.jobs.runner import Kind, Runner
from server.models_in_use import STARTER
from server.onlooker import Opinion
from server.shadow import Shadow, find_challengers
from server.watch_records import ShadowVerdict
from server.where import EVERYWHERE, Where, where_of

BAR, BENCH = Where("bar"), Where("", "S-2")
THIRD = "sha256:third"


def wait_for(true, *, patience=120):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def plant(run_line, tmp_path):
    """OLD serves everywhere; whoever is named a challenger neither looks nor is measured. A bar needs an approval."""
    home = tmp_path / "home"
    (home / "products").mkdir(parents=True)
    (home / "products" / "default.yaml").write_text("product: default\n")
    with run_line(home) as line:
        line.context.parts.pop("shadow").stop()
        line.context.parts.pop("jobs").stop()
        with line.context.database.write() as session:
            enter(line, session, OLD, NEW, THIRD)
            session.commit()
        yield line


def challenge(line, model=NEW, where=BAR, status=200):
    answer = line.post(f"/models/{model}/challenge", json=where._asdict())
    assert answer.status_code == status, answer.text
    return answer.json()


def proves_itself(line, where=BAR) -> None:
    """People decide parts of there, on which NEW is right more often."""
    with line.context.database.write() as session:
        if session.get(gate_jobs.Measured, (NEW, OLD)) is None:
            measured(line, session)
        looked_at(line, session, BETTER, ["ng"] * len(BETTER), where=where)
        session.commit()
    weigh(line)


def serving(line, where=BAR) -> tuple[str, str | None, str | None]:
    """Champion, the own one before, and challenger there, once all that people said is weighed."""
    weigh(line)
    found = {(own["product"], own["station"]): own for own in line.get("/models/assignments").json()["items"]}
    own = found[where]
    return own["champion"], own["before"], own["challenger"]


def everywhere(line) -> tuple[str, str | None]:
    with line.context.database.read() as session:
        looks_on = registry.challenger(session)
        return registry.champion(session).id, looks_on.id if looks_on else None


def test_a_part_belongs_to_product_and_station_before_the_station_and_to_that_before_the_product():
    own = {("bar", ""), ("", "S-2"), ("bar", "S-3")}
    assert where_of(own, "bar", "S-1") == BAR
    assert where_of(own, "bar", "S-2") == BENCH
    assert where_of(own, "bar", "S-3") == Where("bar", "S-3")
    assert where_of(own, "seat", "S-1") == EVERYWHERE
    assert where_of({EVERYWHERE: 1}, "", "") == EVERYWHERE


def test_a_challenger_named_for_a_product_makes_the_champion_of_all_that_products_own(plant):
    assert challenge(plant)["alias"] is None, "it is nobody's challenger elsewhere"
    assert serving(plant) == (OLD, None, NEW)
    assert everywhere(plant) == (OLD, None)
    assert plant.get("/models/shadow").status_code == 409
    told = plant.get("/models/shadow", params={"product": "bar"}).json()
    assert (told["product"], told["champion"], told["challenger"]) == ("bar", OLD, NEW)
    assert "of bar" in told["words"]
    challenge(plant, OLD, status=409)
    assert plant.post(f"/models/{NEW}/challenge", Role.OPERATOR, json=BAR._asdict()).status_code == 403


def test_who_proves_itself_on_a_products_parts_serves_that_product_alone(plant):
    challenge(plant)
    challenge(plant, where=BENCH)
    proves_itself(plant)
    assert serving(plant) == (NEW, OLD, OLD), "the champion so far looks on"
    assert serving(plant, BENCH) == (OLD, None, NEW)
    assert everywhere(plant) == (OLD, None)
    entry = plant.get("/audit", Role.ADMIN, params={"kind": "assignment"}).json()["items"][0]
    assert (entry["subject"], entry["by"]) == ("bar/", "server")
    assert "right alone on" in entry["body"]


def test_what_was_seen_elsewhere_proves_nothing_here(plant):
    challenge(plant)
    challenge(plant, where=EVERYWHERE)
    proves_itself(plant, EVERYWHERE)
    told = plant.get("/models/shadow", params={"product": "bar"}).json()
    assert (told["shadowed"], told["disagreements"], told["open"]) == (0, 0, False)
    there = plant.get("/models/shadow").json()
    assert (there["shadowed"], there["open"]) == (len(BETTER), True)
    assert plant.get("/models/shadow/disagreements", params={"product": "bar"}).json() == {"items": []}
    assert len(plant.get("/models/shadow/disagreements").json()["items"]) == 12


def test_it_is_rolled_back_by_itself_there_when_it_does_worse(plant):
    challenge(plant)
    proves_itself(plant)
    with plant.context.database.write() as session:
        looked_at(plant, session, WORSE, ["ng"] * len(WORSE), champion=NEW, challenger=OLD, where=BAR)
        session.commit()
    assert serving(plant) == (OLD, NEW, NEW)


def test_a_model_that_a_person_assigned_goes_by_itself_too_when_the_one_before_was_better(plant):
    plant.post(f"/models/{NEW}/assign", json=BAR._asdict())
    assert serving(plant) == (NEW, None, OLD), "who served there so far looks on"
    with plant.context.database.write() as session:
        looked_at(plant, session, WORSE, ["ng"] * len(WORSE), champion=NEW, challenger=OLD, where=BAR)
        session.commit()
    assert serving(plant) == (OLD, NEW, NEW)
    assert plant.post("/models/assignments/rollback", json=BAR._asdict()).json()["champion"] == NEW
    assert serving(plant) == (NEW, None, None), "a person's rollback ends the challenge of who serves now"


def test_a_products_own_file_says_whether_a_person_approves_and_the_word_holds_there_alone(plant):
    file = plant.context.settings.home / "products" / "bar.yaml"
    file.write_text("product: bar\ngate: {approval: required}\n")
    seat = Where("seat")
    for where in (BAR, seat, BENCH):
        challenge(plant, where=where)
        proves_itself(plant, where)
    assert serving(plant)[0] == OLD
    assert serving(plant, seat)[0] == NEW, "the file of a seat asks nobody"
    assert serving(plant, BENCH)[0] == OLD, "any product may come to a station: the strictest file counts"
    head, word = log_in(plant), {"approved": True, "reason": "seen the parts"}
    path = "/api/v1/models/shadow/approval"
    answer = plant.client.post(path, headers=head, json=word | BAR._asdict()).json()
    assert (answer["approval"], answer["product"]) == ("approved", "bar")
    assert serving(plant) == (NEW, OLD, OLD)
    assert serving(plant, BENCH)[0] == OLD
    assert plant.get("/models/shadow", params={"station": "S-2"}).json()["approval"] == "waiting"
    declined = {"approved": False, "reason": "not here", **BENCH._asdict()}
    assert plant.client.post(path, headers=head, json=declined).json()["approval"] == "declined"
    assert serving(plant, BENCH) == (OLD, None, None)
    (entry,) = plant.get("/audit", Role.ADMIN, params={"kind": "challenge ended"}).json()["items"]
    assert (entry["subject"], entry["by"], "not here" in entry["body"]) == ("/S-2", "eva", True)
    with plant.context.database.read() as session:
        assert registry.get(session, NEW).state == "candidate", "it may be good elsewhere"
        became = model_history.history(session, NEW)
    assert [(one.what, one.product, one.station, one.by) for one in became][-4:] == [
        ("approval", "bar", "", "eva"),
        ("assignment", "bar", "", "eva"),
        ("declined", "", "S-2", "eva"),
        ("challenge ended", "", "S-2", "eva"),
    ]
    assert became[-1].reason == "not here"


@dataclass
class Run:
    """A retraining at its end."""

    clock: Callable[[], datetime]
    id: str = "a-job"

    def finish(self, session, told):
        pass


def test_a_retrained_model_is_offered_wherever_a_model_of_its_own_serves(plant):
    for where in (BAR, BENCH):
        challenge(plant, where=where)
    with plant.context.database.read() as session:
        champion = registry.get(session, OLD)
    made = {"model": str(STARTER), "model_id": model_id(STARTER), "comparison": {"promote": True, "reason": "better"}}
    told = retrain_job._decide(plant.context, Run(plant.context.now), champion, made)
    assert told["promoted"], "the held-back gate asks nobody"
    assert [serving(plant, where)[2] for where in (BAR, BENCH)] == [told["model"]] * 2
    made["comparison"] = {"promote": False, "reason": "worse"}
    with plant.context.database.write() as session:
        registry.rollback(session, plant.context.events, by="eva", at=plant.context.now())
        for where in (BAR, BENCH):
            assigning.end_challenge(
                session, plant.context.events, where=where, by="eva", at=plant.context.now(), reason="enough"
            )
        session.commit()
    retrain_job._decide(plant.context, Run(plant.context.now), champion, made)
    assert [serving(plant, where)[2] for where in (BAR, BENCH)] == [None, None], "who lost is offered nowhere"


def retrained(line, where, *, promote=True, champion=OLD):
    """A retraining for a place ends, and the starter model comes out of it."""
    with line.context.database.write() as session:
        serves = registry.get(session, champion)
        if (known := session.get(ModelVersion, model_id(STARTER))) is not None and known.alias is None:
            known.state = ModelState.CANDIDATE  # the server may have let it serve when it began
            session.commit()
    compared = {"promote": promote, "reason": "as it is", "champion": {"model": champion}}
    made = {"model": str(STARTER), "model_id": model_id(STARTER), "comparison": compared}
    return retrain_job._decide(line.context, Run(line.context.now), serves, made, where)


def test_a_model_that_was_retrained_for_a_product_serves_that_product_alone(plant):
    told = retrained(plant, BAR)
    assert (told["promoted"], told["product"], told["station"]) == (True, "bar", "")
    assert told["reason"] == "for bar: as it is"
    assert serving(plant) == (told["model"], None, OLD), "who served there so far looks on"
    assert everywhere(plant) == (OLD, None)
    with plant.context.database.read() as session:
        assert rivals.made_for(registry.get(session, told["model"])) == BAR
    chapters = plant.get(f"/models/{told['model']}/card").json()["history"]
    assert [(one["what"], one["by"], one["reason"]) for one in chapters if one["product"] == "bar"] == [
        ("training", "server", "for bar: as it is"),
        ("assignment", "server", "for bar: as it is"),
    ]
    with pytest.raises(Unavailable, match="compared again"):
        retrained(plant, BAR)


def test_a_model_that_was_retrained_for_a_product_and_lost_is_turned_down_and_the_trail_says_why(plant):
    told = retrained(plant, BAR, promote=False)
    assert not told["promoted"]
    assert plant.get("/models/assignments").json()["items"] == []
    (entry,) = plant.get("/audit", Role.ADMIN, params={"kind": "rejection"}).json()["items"]
    assert (entry["subject"], entry["by"], "for bar: as it is" in entry["body"]) == (told["model"], "server", True)
    (trained,) = plant.get("/audit", Role.ADMIN, params={"kind": "training"}).json()["items"]
    assert '"product":"bar"' in trained["body"]


def test_a_products_file_asks_a_person_about_what_was_retrained_for_it_and_only_where_it_was_compared(plant):
    (plant.context.settings.home / "products" / "bar.yaml").write_text("product: bar\ngate: {approval: required}\n")
    told = retrained(plant, BAR)
    assert not told["promoted"]
    assert serving(plant) == (OLD, None, told["model"])
    with plant.context.database.write() as session:
        measured(plant, session, pair=(told["model"], OLD))
        session.commit()
    shown = plant.get("/models/shadow", params={"product": "bar"}).json()
    assert shown["approval"] == "waiting", "its retraining has proved it, on parts of there"
    challenge(plant, told["model"], Where("seat"))
    with plant.context.database.read() as session:
        assert not gate.proof(plant.context, session, Where("seat")).proved, "of a seat it says nothing"
    word = {"approved": True, "reason": "seen the parts", **BAR._asdict()}
    head = log_in(plant)
    assert plant.client.post("/api/v1/models/shadow/approval", headers=head, json=word).status_code == 200
    assert serving(plant) == (told["model"], OLD, OLD)


def test_a_comparison_with_another_champion_than_the_one_that_serves_proves_nothing(plant):
    (plant.context.settings.home / "products" / "bar.yaml").write_text("product: bar\ngate: {approval: required}\n")
    told = retrained(plant, BAR)
    with plant.context.database.write() as session:
        measured(plant, session, pair=(told["model"], OLD))
        measured(plant, session, pair=(told["model"], THIRD))
        assigning.assign(
            session, plant.context.events, THIRD, where=BAR, by="eva", at=plant.context.now(), reason="a person's word"
        )
        session.commit()
    with plant.context.database.read() as session:
        assert not gate.proof(plant.context, session, BAR).proved


def test_a_challenger_made_for_a_place_is_not_sent_away_by_one_made_for_all(plant):
    with plant.context.database.write() as session:
        registry.get(session, NEW).decision = {"promote": True, "reason": "better", **BAR._asdict()}
        session.commit()
    challenge(plant, NEW, BAR)
    challenge(plant, NEW, BENCH)
    with plant.context.database.write() as session:
        offered = rivals.offer(session, plant.context.events, THIRD, by="server", at=plant.context.now())
        session.commit()
    assert offered == [BENCH]
    assert [serving(plant, where)[2] for where in (BAR, BENCH)] == [NEW, THIRD]


def test_a_retrained_model_waits_to_be_named_where_too_many_look_on(plant):
    (plant.context.settings.home / "products" / "bar.yaml").write_text("product: bar\ngate: {approval: required}\n")
    with plant.context.database.write() as session:
        for n in range(rivals.MOST):
            registry.add(session, model_id=f"sha256:{n}", folder="models/none", card={}, now=plant.context.now())
        session.commit()
    for n in range(rivals.MOST):
        challenge(plant, f"sha256:{n}", Where(f"product-{n}"))
    told = retrained(plant, BAR)
    assert told["reason"].endswith(f"but {rivals.NO_ROOM}")
    with plant.context.database.read() as session:
        row = registry.get(session, told["model"])
        assert (row.state, row.decision["reason"]) == ("candidate", told["reason"])
        assert session.get(Assignment, BAR) is None


def test_no_more_models_look_on_than_there_is_room_for(plant):
    with plant.context.database.write() as session:
        for n in range(rivals.MOST + 1):
            registry.add(session, model_id=f"sha256:{n}", folder="models/none", card={}, now=plant.context.now())
        session.commit()
    for n in range(rivals.MOST):
        challenge(plant, f"sha256:{n}", Where(f"product-{n}"))
    assert "decline one" in challenge(plant, f"sha256:{rivals.MOST}", Where("one-more"), status=409)["error"]["message"]
    challenge(plant, "sha256:0", Where("one-more"))
    challenge(plant, "sha256:1", Where("product-0"))
    challenge(plant, f"sha256:{rivals.MOST}", Where("product-0"), status=409)
    assert plant.post("/models/sha256:3/assign", json={"product": "seat"}).status_code == 201
    assert serving(plant, Where("seat")) == ("sha256:3", None, None), "nobody is sent away to look back"


def test_a_challenger_is_measured_beside_the_champion_of_its_product(plant):
    with plant.context.database.write() as session:
        measured(plant, session)
        session.commit()
    plant.post(f"/models/{THIRD}/assign", json=BAR._asdict())
    challenge(plant)
    with plant.context.database.read() as session:
        asked = [job.arguments for job in session.exec(select(Job).where(Job.kind == gate_jobs.KIND))]
    assert asked == [{"model": NEW, "champion": THIRD}], "who served there before was measured then"


class Says:
    """A challenger that says one thing of every part."""

    def __init__(self, model_id: str, verdict: Verdict) -> None:
        self.model_id, self._verdict = model_id, verdict

    def look(self, pictures, policy, *, station):
        return Opinion(self._verdict, 0.5, 0, 0.005)

    def end(self):
        pass


def test_each_part_is_put_to_the_challenger_of_where_it_belongs(plant):
    context = plant.context
    models = {NEW: Verdict.NG, THIRD: Verdict.REVIEW}
    home = context.settings.home
    with context.database.write() as session:
        for n, model in enumerate(models):
            (home / f"models/{n}").mkdir(parents=True)
            registry.get(session, model).folder = f"models/{n}"
        session.commit()
    challenge(plant, NEW, BAR)
    challenge(plant, THIRD, EVERYWHERE)
    plant.post(f"/models/{OLD}/assign", json=BENCH._asdict())
    by_folder = {str(home / f"models/{n}"): model for n, model in enumerate(models)}

    def load(folder: Path, way):
        model = by_folder[str(folder)]
        return Says(model, models[model])

    shadow = context.parts["shadow"] = Shadow(context, find=find_challengers(home), load=load)
    wait_for(lambda: len(shadow.state().get("challengers", [])) == 2)
    sent = [
        plant.send(plant.picture(mark=n), part=f"P-{n}", station=station, product=product).json()["id"]
        for n, (product, station) in enumerate((("bar", "S-1"), ("default", "S-1"), ("bar", "S-2"), ("bar", "S-1")))
    ]

    def seen():
        with context.database.read() as session:
            rows = session.exec(select(ShadowVerdict))
            return {row.inspection_id: (row.model, Where(row.for_product, row.for_station)) for row in rows}

    wait_for(lambda: len(seen()) == 3)
    assert seen() == {sent[0]: (NEW, BAR), sent[1]: (THIRD, EVERYWHERE), sent[3]: (NEW, BAR)}
    assert shadow.state()["challenger"] == THIRD
    plant.post("/models/assignments/rollback", json=BAR._asdict())
    wait_for(lambda: shadow.state()["challengers"] == [THIRD])


def test_one_challenger_that_cannot_be_loaded_keeps_the_other_from_nothing(plant):
    context, home = plant.context, plant.context.settings.home
    with context.database.write() as session:
        for model in (NEW, THIRD):
            (home / "models" / model[-3:]).mkdir(parents=True)
            registry.get(session, model).folder = f"models/{model[-3:]}"
        session.commit()
    challenge(plant, NEW, BAR)
    challenge(plant, THIRD, EVERYWHERE)

    def load(folder: Path, way):
        if folder.name == "ird":
            raise OSError("the disk is gone")
        return Says(NEW, Verdict.OK)

    shadow = context.parts["shadow"] = Shadow(context, find=find_challengers(home), load=load)
    wait_for(lambda: shadow.state().get("challengers") == [NEW])
    wait_for(lambda: "the disk is gone" in shadow.state().get("message", ""))
    part = plant.send(plant.picture(), product="bar").json()["id"]

    def looked():
        with context.database.read() as session:
            return session.get(ShadowVerdict, (part, NEW)) is not None

    wait_for(looked)
    assert shadow.state()["state"] == "degraded"


class Blind:
    """Sees nothing."""

    model_id, classes, threshold, edge = NEW, {1: "pit"}, 0.5, 0.5

    def segment(self, pixels):
        return Segmentation(np.full(pixels.shape, -9, np.float16), np.ones(pixels.shape, np.uint8))


def test_each_shift_the_golden_parts_of_a_product_are_put_to_its_own_champion(plant, monkeypatch):
    context = plant.context
    pitted = {}
    for product in ("bar", "seat"):
        part = plant.send(plant.picture(dark=9, mark=len(pitted)), part=product, product=product).json()["id"]
        pitted[product] = part
        word = {"add": {part: "ng"}, "reason": "measured by hand"}
        assert plant.post(f"/golden/{product}", json=word).status_code == 201
    usual = context.champion.serving
    own = {"bar": Blind()}
    monkeypatch.setattr(context.champion, "serving", lambda p="", s="": own.get(p) or usual(p, s))
    runner = Runner(
        context.database.write,
        {golden_needs.KIND: Kind(lambda run: golden_look.job(context, run), lane="gate")},
        clock=context.now,
    )
    with context.database.write() as session:
        golden_needs.ask(session, model=None, why="shift", now=context.now())
        session.commit()
    runner.start()
    wait_for(lambda: plant.get("/golden/bar").json()["looks"])
    wait_for(lambda: plant.get("/golden/seat").json()["looks"])
    runner.stop()
    assert [(look["model"], look["escapes"]) for look in plant.get("/golden/bar").json()["looks"]] == [(NEW, 1)]
    assert [look["passed"] for look in plant.get("/golden/seat").json()["looks"]] == [True]
    alarms = plant.get("/alarms").json()["items"]
    assert [(alarm["kind"], alarm["what"]) for alarm in alarms] == [("golden", "bar")]


def test_a_pair_of_rivals_ends_with_what_is_its_own(plant):
    challenge(plant)
    plant.post("/models/assignments/rollback", json=BAR._asdict())
    with plant.context.database.read() as session:
        assert session.get(Assignment, BAR) is None
        assert rivals.at(session, BAR) is None
        assert rivals.all_pairs(session) == []
        with pytest.raises(gate.Conflict, match="champion of bar"):
            gate.standing(session, BAR)
