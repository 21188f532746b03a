"""Which model serves: promotion, rollback, and the trail they leave."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from qc.errors import Conflict, NotFound
from segmentation.records import ModelState, ModelVersion
from server import registry
from server.audit import AuditEntry
from server.events import EventBus

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
CARD = {"classes": {"1": "scratch"}, "figures": {"image_ap": 0.9}, "dataset": {"name": "ksdd"}}


@pytest.fixture
def session(database):
    with database.write() as session:
        yield session


@pytest.fixture
def events():
    return EventBus()


def add(session, name):
    return registry.add(session, model_id=f"sha256:{name}", folder=f"models/{name}", card=CARD, now=NOON).id


def promote(session, events, model_id, minute):
    at = NOON + timedelta(minutes=minute)
    return registry.promote(session, events, model_id, by="eva", at=at, reason="promoted by eva")


def states(session):
    return {row.id.removeprefix("sha256:"): (str(row.state), row.alias) for row in session.exec(select(ModelVersion))}


def test_a_promoted_model_serves_and_the_one_before_retires_and_the_trail_says_who_did_it(session, events):
    old, new = add(session, "old"), add(session, "new")
    promote(session, events, old, 0)
    promote(session, events, new, 1)
    session.commit()

    assert registry.champion(session).id == new
    assert states(session) == {"old": ("retired", None), "new": ("serving", "champion")}
    entries = session.exec(select(AuditEntry).order_by(AuditEntry.n)).all()
    assert [(e.kind, e.subject, e.by) for e in entries] == [("promotion", old, "eva"), ("promotion", new, "eva")]


def test_a_rollback_goes_to_the_champion_before_and_a_second_one_further_back(session, events):
    first, second, third = (add(session, name) for name in ("first", "second", "third"))
    for minute, model in enumerate((first, second, third)):
        promote(session, events, model, minute)

    registry.rollback(session, events, by="eva", at=NOON + timedelta(minutes=5))
    assert registry.champion(session).id == second
    registry.rollback(session, events, by="eva", at=NOON + timedelta(minutes=6))
    assert registry.champion(session).id == first
    with pytest.raises(Conflict, match="none to roll back to"):
        registry.rollback(session, events, by="eva", at=NOON + timedelta(minutes=7))
    assert registry.champion(session).id == first


def test_what_serves_already_is_not_promoted_and_what_is_unknown_is_not_found(session, events):
    model = add(session, "only")
    promote(session, events, model, 0)

    with pytest.raises(Conflict):
        promote(session, events, model, 1)
    with pytest.raises(NotFound):
        promote(session, events, "sha256:nothing", 1)


def test_a_challenger_waits_for_a_word_and_a_newer_one_takes_its_place(session, events):
    promote(session, events, add(session, "champion"), 0)
    for name in ("a", "b"):
        registry.challenge(session, events, add(session, name), by="eva", at=NOON)

    assert states(session)["a"] == (ModelState.CANDIDATE, None)
    assert states(session)["b"] == (ModelState.CANDIDATE, "challenger")
    promote(session, events, "sha256:b", 1)
    assert states(session)["b"] == (ModelState.SERVING, "champion")


def test_who_looks_on_in_whose_place_and_who_is_turned_down_and_why_is_in_the_trail(session, events):
    promote(session, events, add(session, "champion"), 0)
    a, b = add(session, "a"), add(session, "b")
    for minute, model in enumerate((a, b), start=1):
        registry.challenge(session, events, model, by="server", at=NOON + timedelta(minutes=minute))
    registry.reject(session, events, b, by="eva", at=NOON + timedelta(minutes=3), reason="it misses dents")
    with pytest.raises(Conflict, match="roll back"):
        registry.reject(session, events, "sha256:champion", by="eva", at=NOON, reason="no")
    session.commit()

    told = [(e.kind, e.by, json.loads(e.body)) for e in session.exec(select(AuditEntry).order_by(AuditEntry.n))][1:]
    assert told == [
        ("challenge", "server", {"model": a, "before": None}),
        ("challenge", "server", {"model": b, "before": a}),
        ("rejection", "eva", {"model": b, "reason": "it misses dents"}),
    ]


def test_an_undone_promotion_leaves_nothing(session, events):
    model = add(session, "only")
    session.commit()
    promote(session, events, model, 0)
    session.rollback()

    assert registry.champion(session) is None
    assert session.exec(select(AuditEntry)).all() == []
