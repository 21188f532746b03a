"""What a challenger must show besides being right more often; who lets it serve; and how it goes again."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from sqlmodel import delete
from two_models import BETTER, NEW, OLD, WORSE, enter, log_in, looked_at, measured, weigh

from labeling.records import Annotation, LabelTask, Reason, TaskState
from qc.errors import InvalidInput
from qc.records import Decision
from server import gate, gate_bounds, gate_cost, registry
from server.access import Role
from server.gate_bounds import Pair, calibration_bound, calibration_error, cost_bounds, enough_parts, escape_bounds
from server.gate_rules import GateRules, parse_costs, parse_gate
from server.kept_counts import KeptCounts
from server.rivals import at as rivals_of
from server.where import EVERYWHERE


def test_the_rules_say_where_a_mistake_is():
    assert parse_gate({}, where="bar.yaml: gate") == GateRules()
    told = parse_gate({"approval": "required", "golden": {"false_rejects": 2}, "latency": 2}, where="x")
    assert (told.approval_required, told.golden_false_rejects, told.latency) == (True, 2, 2.0)
    for wrong, place in (
        ({"approval": True}, "approval"),
        ({"latency": -1}, "latency"),
        ({"escapes": 1}, "escapes"),
        ({"golden": {"escapes": 0.5}}, "golden.escapes"),
        ({"speed": 1}, "speed"),
    ):
        with pytest.raises(InvalidInput, match=place):
            parse_gate(wrong, where="x")


def test_what_a_wrong_verdict_costs_is_for_the_plant_to_say():
    costs = parse_costs({"currency": "EUR", "escape": 120, "false_reject": 4, "before": {"escapes": 0.1}}, where="x")
    assert costs.of_wrong(truth_is_defective=True, passed=True) == 120
    assert costs.of_wrong(truth_is_defective=False, passed=False) == 4
    assert costs.of_wrong(truth_is_defective=False, passed=True) == 0
    assert costs.before.reviews == 1.0, "before, a person looked at every part"
    with pytest.raises(InvalidInput, match="false_reject"):
        parse_costs({"currency": "EUR", "escape": 1}, where="x")
    with pytest.raises(InvalidInput, match="share"):
        parse_costs({"currency": "EUR", "escape": 1, "false_reject": 1, "before": {"reviews": 2}}, where="x")


def pair(n: int, *, defective=True, old=False, new=False, scores=(0.9, 0.9)) -> Pair:
    return Pair(f"{n:04}", defective, old, new, *scores)


def test_scores_that_mean_what_they_say_have_no_calibration_error():
    rng = np.random.default_rng(1)
    scores = rng.random(20_000)
    truth = (rng.random(20_000) < scores).astype(float)
    assert calibration_error(scores, truth) < 0.02
    assert calibration_error(np.full(1000, 0.9), np.repeat([1.0, 0.0], 500)) == pytest.approx(0.4, abs=0.05)
    assert calibration_error(np.ones(100), np.zeros(100)) == 1.0


def test_a_challenger_that_is_too_sure_of_itself_is_held_back_once_enough_is_decided():
    honest = [pair(n, defective=n % 2 == 0, scores=(0.5, 0.99)) for n in range(100)]
    assert calibration_bound(honest[:99], 0.05).holds is None
    told = calibration_bound(honest, 0.05)
    assert (told.holds, told.blocks) == (False, True)
    assert calibration_bound(honest, 0.5).holds


def test_escapes_of_a_class_are_held_against_the_challenger_only_where_there_is_enough_to_say():
    enough = enough_parts(0.05)
    assert 50 < enough < 120
    few = escape_bounds({"scratch, small": [pair(n) for n in range(enough - 1)]}, 0.05)
    assert [(b.holds, b.blocks) for b in few] == [(None, False)]
    many = escape_bounds({"scratch, small": [pair(n) for n in range(enough)]}, 0.05)
    assert [(b.holds, b.blocks) for b in many] == [(True, False)]
    worse = escape_bounds({"scratch, small": [pair(n, new=True) for n in range(8)]}, 0.05)
    assert [(b.holds, b.blocks) for b in worse] == [(False, True)]
    assert "proved to be worse" in worse[0].words
    mixed = [pair(n, new=n % 12 == 0) for n in range(enough)]
    assert [(b.holds, b.blocks) for b in escape_bounds({"pit": mixed}, 0.05)] == [(False, True)]


def test_time_and_memory_are_held_against_the_champions(line):
    with line.context.database.write() as session:
        assert [b.blocks for b in cost_bounds(session, OLD, NEW, GateRules())] == [True, True]
        measured(line, session, time=1.2, memory=2.0)
        time, memory = cost_bounds(session, OLD, NEW, GateRules())
        assert (time.holds, memory.holds) == (True, False)
        assert "2.00 times" in memory.words


def test_a_model_is_measured_by_its_own_cpu_time_and_the_memory_it_needs(line):
    from server.models_in_use import STARTER

    part = line.send(line.picture(width=256, height=256)).json()
    with line.context.database.read() as session:
        keys = gate_cost.some_pictures(line.context, session)
    assert [part["images"][0]["sha256"] in key for key in keys] == [True]
    asked = {"model": str(STARTER), "home": str(line.context.settings.home), "blobs": "", "pictures": keys}
    told = gate_cost.measure(asked, lambda share, what: None)
    assert told["pictures"] == 1
    assert told["cpu_s_per_mpx"] > 0
    assert told["memory_mb"] >= 0


def champion_and_challenger(line, session) -> None:
    """OLD serves, NEW looks on."""
    enter(line, session, OLD, NEW)
    registry.challenge(session, line.context.events, NEW, by="test", at=line.context.now())


@pytest.fixture
def rivals(run_line, tmp_path, request):
    """A line with the production gate, a champion and a challenger of equal cost; the product's file as given."""
    home = tmp_path / "home"
    (home / "products").mkdir(parents=True)
    (home / "products" / "default.yaml").write_text(getattr(request, "param", "product: default\n"))
    with run_line(home, gate="production") as line:
        line.context.parts.pop("shadow").stop()
        line.context.parts.pop("jobs").stop()
        with line.context.database.write() as session:
            champion_and_challenger(line, session)
            session.commit()
        yield line


def does_worse(line) -> None:
    """The lot changes: NEW, which serves, lets every fourth defect pass that OLD finds."""
    with line.context.database.write() as session:
        looked_at(line, session, WORSE, ["ng"] * len(WORSE), champion=NEW, challenger=OLD)
        session.commit()


def serving(line) -> tuple[str, str | None]:
    """Champion and challenger, once all that people said is weighed."""
    weigh(line)
    with line.context.database.read() as session:
        challenger = registry.challenger(session)
        return registry.champion(session).id, challenger.id if challenger else None


def test_the_better_model_is_promoted_and_rolled_back_by_itself_when_it_does_worse_in_production(rivals):
    with rivals.context.database.write() as session:
        measured(rivals, session)
        looked_at(rivals, session, BETTER, ["ng"] * len(BETTER))
        session.commit()
    assert serving(rivals) == (NEW, OLD), "the old champion looks on"
    does_worse(rivals)
    assert serving(rivals) == (OLD, NEW)
    with rivals.context.database.read() as session:
        models = {row.id: str(row.state) for row in registry.newest(session)}
    assert models[OLD] == "serving"


def test_with_the_held_back_gate_too_a_promoted_model_that_does_worse_goes_by_itself(run_line, tmp_path):
    with run_line(tmp_path / "home") as line:
        line.context.parts.pop("shadow").stop()
        line.context.parts.pop("jobs").stop()
        with line.context.database.write() as session:
            champion_and_challenger(line, session)
            looked_at(line, session, BETTER, ["ng"] * len(BETTER))
            session.commit()
        assert serving(line) == (OLD, NEW), "what is better in production needs a retraining's proof, or a person"
        assert line.post(f"/models/{NEW}/promote").status_code == 200
        assert serving(line) == (NEW, OLD), "the champion so far looks on"
        does_worse(line)
        assert serving(line)[0] == OLD
        entry = line.get("/audit", Role.ADMIN, params={"kind": "promotion"}).json()["items"][0]
        assert (entry["subject"], entry["by"]) == (OLD, "server")


def test_escapes_of_both_that_the_random_share_of_labels_found_count_for_those_nobody_looked_at(rivals):
    def labelled(session, inspection, drawn):
        crop = {"crop_x": 0, "crop_y": 0, "crop_width": 60, "crop_height": 60}
        now = rivals.context.now()
        about = {"part": "P", "station": "S-1", "reason": Reason.SAMPLE, "urgency": 0.5, "chance": 0.02}
        done = {"state": TaskState.DONE, "opened_at": now, "closed_at": now}
        task = LabelTask(inspection_id=inspection, n=0, **about, **crop, **done)
        session.add(task)
        session.flush()
        told = {"mask_key": "a.png", "classes": {"1": "pit"}, "by": "eva@plant", "drawn": drawn}
        there = {"studio_project": "1", "studio_annotation_id": int(inspection[-6:], 16)}
        session.add(Annotation(label_task_id=task.id, updated_at=now, received_at=now, **told, **there))

    with rivals.context.database.write() as session:
        ids = looked_at(rivals, session, [("ok", "ok")] * 8, ["ok"] * 8)
        session.execute(delete(Decision))
        before = gate.standing(session)
        for number, inspection in enumerate(ids):
            labelled(session, inspection, {"pit": 1} if number < 5 else {"pit": 0})
        session.flush()
        now = gate.standing(session)
    assert (before.defective, before.audited) == (0, 0)
    assert (now.defective, now.audited) == (5, 5)
    assert (now.champion_escapes, now.challenger_escapes) == (5, 5)
    assert now.escapes.proved, "each stands for fifty: five without a weight prove nothing"
    assert not now.better.proved
    assert "5 of them found among parts drawn at random" in now.words()


def test_a_challenger_that_costs_too_much_stays_out_however_right_it_is(rivals):
    with rivals.context.database.write() as session:
        measured(rivals, session, time=3.0)
        looked_at(rivals, session, BETTER, ["ng"] * len(BETTER))
        session.commit()
    assert serving(rivals) == (OLD, NEW)
    told = rivals.get("/models/shadow").json()
    assert (told["open"], told["proved"]) == (True, False)
    assert [bound["name"] for bound in told["bounds"] if bound["blocks"]] == ["time"]


@pytest.mark.parametrize("rivals", ["product: default\ngate: {approval: required}\n"], indirect=True)
def test_where_the_product_file_says_so_a_named_person_approves_what_is_proved(rivals):
    head, path = log_in(rivals), "/api/v1/models/shadow/approval"
    word = {"approved": True, "reason": "seen the parts"}
    assert rivals.client.post(path, headers=head, json=word).status_code == 409, "nothing is proved yet"
    with rivals.context.database.write() as session:
        measured(rivals, session)
        looked_at(rivals, session, BETTER, ["ng"] * len(BETTER))
        session.commit()
    assert serving(rivals) == (OLD, NEW)
    assert rivals.get("/models/shadow").json()["approval"] == "waiting"
    assert rivals.post("/models/shadow/approval", json=word).status_code == 403, "a key is no named person"
    answer = rivals.client.post(path, headers=head, json=word).json()
    assert (answer["approval"], answer["approval_by"]) == ("approved", "eva")
    assert serving(rivals) == (NEW, OLD)


@pytest.mark.parametrize("rivals", ["product: default\ngate: {approval: required}\n"], indirect=True)
def test_a_challenger_that_a_person_declines_looks_on_no_more(rivals):
    head = log_in(rivals)
    word = {"approved": False, "reason": "made for another lot"}
    answer = rivals.client.post("/api/v1/models/shadow/approval", headers=head, json=word)
    assert answer.json()["approval"] == "declined"
    assert serving(rivals) == (OLD, None)


def test_of_very_many_parts_the_page_tells_what_was_last_weighed_while_they_are_weighed_anew(rivals):
    rivals.context.counts = KeptCounts(few=0, clock=lambda: 0.0)

    def answered(more: int = 0) -> int:
        with rivals.context.database.write() as session:
            looked_at(rivals, session, [("ok", "ng")] * more, ["ng"] * more)
            session.commit()
        return rivals.get("/models/shadow").json()["answered"]

    assert answered(more=2) == 2
    assert answered(more=3) == 2, "nobody waits for it"
    for thread in threading.enumerate():
        if thread.name == "kept-counts":
            thread.join(30)
    assert answered() == 5


def test_defective_parts_are_grouped_by_class_and_size_of_what_people_drew(rivals):
    context = rivals.context
    with context.database.write() as session:
        ids = looked_at(rivals, session, [("ng", "ng")] * 4, ["ng"] * 4)
        for n, (inspection, length) in enumerate(zip(ids, (5, 6, 40, 50), strict=True)):
            mask = np.zeros((60, 60), np.uint8)
            mask[10, :length] = 1
            context.blobs.put(f"annotations/{n}.png", bytes(cv2.imencode(".png", mask)[1]))
            crop = {"crop_x": 0, "crop_y": 0, "crop_width": 60, "crop_height": 60}
            task = LabelTask(
                inspection_id=inspection,
                n=0,
                part="P",
                station="S-1",
                reason=Reason.SAMPLE,
                urgency=0.5,
                state=TaskState.DONE,
                opened_at=context.now(),
                **crop,
            )
            session.add(task)
            session.flush()
            drawn = {"mask_key": f"annotations/{n}.png", "classes": {"1": "scratch"}, "by": "eva@plant"}
            session.add(
                Annotation(
                    label_task_id=task.id,
                    studio_project="1",
                    studio_annotation_id=n,
                    updated_at=context.now(),
                    received_at=context.now(),
                    **drawn,
                )
            )
        session.flush()
        truths = dict.fromkeys(ids, True)
        groups = gate_bounds.groups_of(
            session, context.blobs, gate_bounds.pairs_of(session, rivals_of(session, EVERYWHERE), truths)
        )
    assert {name: [p.inspection_id for p in pairs] for name, pairs in groups.items()} == {
        "scratch, small (median 23 px)": ids[:2],
        "scratch, large (median 23 px)": ids[2:],
    }


def test_the_gate_tells_all_it_asks_for_in_words(rivals):
    with rivals.context.database.read() as session:
        told = gate.proof(rivals.context, session).words()
    assert "golden parts: all within" in told
    assert "time: the challenger was not measured" in told
    assert "calibration: 0 of the 100" in told
