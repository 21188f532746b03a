"""What happens reaches those who listen; how things are can be asked at any time."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from starlette.datastructures import Headers

from server import auth
from server.access import Role
from server.events import KINDS, QUEUE_SIZE, EventBus
from server.guard import Guard
from server.routes.events import stream

ROOT = Path(__file__).parents[2]


def in_a_loop(main: Coroutine[Any, Any, Any]) -> Any:
    """Runs it in a thread of its own: beside the tests of the pages, Playwright's loop runs in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, main).result()


async def known() -> bool:
    return True


def heard(bus: EventBus, happen, *kinds: str) -> list[str]:
    """The next event of each of these kinds, in a stream that was opened before `happen` was called."""

    async def listen() -> list[str]:
        pieces = stream(bus, known)
        assert (await anext(pieces)).startswith("retry:")
        thread = threading.Thread(target=happen)
        thread.start()
        found = []
        for kind in kinds:
            while not (piece := await asyncio.wait_for(anext(pieces), 30)).startswith(f"event: {kind}\n"):
                pass
            found.append(piece)
        thread.join()
        await pieces.aclose()
        return found

    return in_a_loop(listen())


def test_a_listener_hears_of_the_part_and_of_the_decision(line):
    def happen() -> None:
        told = line.send(line.picture(dark=6), part="P-5").json()
        line.post(f"/inspections/{told['id']}/decision", Role.OPERATOR, json={"verdict": "ok", "reason": "dust"})

    pieces = heard(line.context.events, happen, "inspection", "decision")
    data = [json.loads(piece.splitlines()[1].removeprefix("data: ")) for piece in pieces]
    assert (data[0]["part"], data[0]["verdict"], data[0]["images"]) == ("P-5", "ng", 1)
    assert data[1]["inspection_id"] == data[0]["id"]
    assert line.context.events.listeners == 0


def test_a_stream_ends_with_the_key_that_opened_it(line):
    with line.context.database.write() as session:
        key = auth.create_key(session, "wall", Role.OPERATOR, now=line.context.now())
        session.commit()
    guard = Guard(line.client.app, context=line.context)
    still = partial(guard._is_still_known, Headers({"authorization": f"Bearer {key}"}))

    async def listen() -> None:
        pieces = stream(line.context.events, still, keepalive_s=0.05)
        while not (await anext(pieces)).startswith(": still here"):
            pass
        with line.context.database.write() as session:
            auth.revoke_keys(session, "wall", now=line.context.now())
            session.commit()
        async with asyncio.timeout(30):
            async for _ in pieces:
                pass

    in_a_loop(listen())
    assert line.context.events.listeners == 0


def test_what_is_rolled_back_is_never_told(line):
    events, database = line.context.events, line.context.database

    def happen() -> None:
        with database.write() as session:
            session.execute(text("SELECT 1"))
            events.on_commit(session, "outcome", {"id": "undone"})
            session.rollback()
            events.on_commit(session, "outcome", {"id": "done"})
            session.execute(text("SELECT 1"))
            session.commit()

    assert '"done"' in heard(events, happen, "outcome")[0]


def test_a_listener_that_sleeps_loses_the_oldest_events_and_nothing_else_suffers():
    async def sleepy() -> list[int]:
        bus = EventBus()
        listener = bus.listen()
        for n in range(QUEUE_SIZE + 10):
            bus.publish("job", {"id": n})
        await asyncio.sleep(0)
        bus.close()
        await asyncio.sleep(0)
        seen = []
        while (item := await listener.queue.get()) is not None:
            seen.append(item.data["id"])
        return seen

    seen = in_a_loop(sleepy())
    assert seen[-1] == QUEUE_SIZE + 9
    assert len(seen) == QUEUE_SIZE - 1


def test_health_needs_no_key_and_names_the_champion_and_every_component(line):
    answer = line.client.get("/api/v1/health")
    assert answer.status_code == 200
    told = answer.json()
    assert told["champion"] == "sha256:dark-spots"
    assert {"database", "disk", "policies", "model", "inspector", "folder", "jobs"} <= set(told["components"])
    assert all(part["state"] in ("ok", "starting", "degraded", "off") for part in told["components"].values())


def test_health_says_503_until_a_model_serves(run_line, tmp_path):
    class Late:
        classes, threshold = {1: "pit"}, 0.5
        edge = 0.5
        model_id = "sha256:late"

    with run_line(tmp_path, Late()) as line:
        line.context.champion.stop()  # nobody looks for a model any more
        line.context.champion._serving = None
        assert line.client.get("/api/v1/health").status_code == 503
        refused = line.send(line.picture())
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "unavailable"
        assert line.get("/inspections").json()["items"] == []


def test_the_figures_count_parts_by_verdict(line):
    for dark in (0, 8, 8):
        line.send(line.picture(dark=dark))
    told = line.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(told)}
    counted = {
        (s.labels["station"], s.labels["verdict"]): s.value
        for s in families["qc_inspections"].samples
        if s.name == "qc_inspections_total"
    }
    assert counted == {("S-1", "ok"): 1, ("S-1", "ng"): 2}
    assert families["qc_disk_free_bytes"].samples[0].value > 0


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/somewhere/in/the/app"])
def test_pages_are_public_and_carry_the_headers_that_keep_a_browser_safe(line, path):
    answer = line.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/%00", "/a%00.js", "/" + 300 * "a", "/" + 3000 * "a/"])
def test_a_path_that_no_file_can_have_is_no_mistake_of_ours(line, path):
    assert line.client.get(path).status_code in (200, 404)


def test_a_path_that_climbs_out_of_the_pages_is_not_served(line):
    assert line.client.get("/..%2f..%2fpyproject.toml").status_code == 404
    assert line.client.get("/assets/missing.js").status_code == 404


def test_pages_listen_to_every_kind_and_no_other_is_told():
    source = (ROOT / "frontend/src/api/live.ts").read_text(encoding="utf-8")
    touches = source.split("TOUCHES", 1)[1].split("};", 1)[0]
    assert set(re.findall(r"^  (\w+): \[", touches, re.MULTILINE)) == set(KINDS)
    with pytest.raises(ValueError, match="no kind of event"):
        EventBus().publish("weather", {"id": "rain"})
