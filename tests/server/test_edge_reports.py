"""What an edge inspected without a network is told to a real server later, each inspection once."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

from qc.errors import InvalidInput, Unavailable
from segmentation.edge.reporting import report
from segmentation.edge.spool import Spool
from server.access import Role


@contextmanager
def listening(line):
    """The line's server, on a port of its own."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(line.app, lifespan="off", log_config=None))
        thread = threading.Thread(target=server.run, args=([place],))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{place.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def inspected(spool, *pictures):
    """Pictures that the edge has judged; it found none of them good."""
    with spool.inspections.writing() as journal:
        for number, data in enumerate(pictures):
            stored = spool.keep("pictures", f"{number}.png", data)
            journal.add(
                {
                    "trigger_id": f"edge-{number}",
                    "image": f"{number}.png",
                    "part": f"P-{number}",
                    "view": "",
                    "station": "S-7",
                    "product": "",
                    "picture": str(stored.relative_to(spool.folder)),
                    "verdict": "ng",
                }
            )


def test_everything_arrives_once_though_the_edge_was_killed_between_sending_and_noting_it(line, tmp_path):
    spool = Spool(tmp_path / "spool")
    inspected(spool, line.picture(dark=20), line.picture(mark=1), line.picture(dark=20, mark=2))
    with listening(line) as url:
        told = report(spool, url, line.keys[Role.MACHINE])
        assert (told.sent, told.refused, told.other_verdict) == (3, 0, 1)  # the second one is clean to the server
        spool.reports.path.unlink()  # as if it had been killed before its receipts were on the disk
        assert report(spool, url, line.keys[Role.MACHINE]).sent == 3
        assert report(spool, url, line.keys[Role.MACHINE]).sent == 0
    there = line.get("/inspections").json()["items"]
    assert sorted(i["trigger_id"] for i in there) == ["edge-0", "edge-1", "edge-2"]
    assert {i["station"] for i in there} == {"S-7"}
    assert [r["edge_verdict"] for r in spool.reports.read()] == ["ng"] * 3


def test_while_the_server_is_away_everything_waits(line, tmp_path):
    spool = Spool(tmp_path / "spool")
    inspected(spool, line.picture())
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))  # nobody listens
        with pytest.raises(Unavailable, match="stays in the spool"):
            report(spool, f"http://127.0.0.1:{place.getsockname()[1]}", "key")
    assert len(spool.waiting()) == 1


def test_what_the_server_refuses_is_noted_and_holds_nothing_up(line, tmp_path):
    spool, heard = Spool(tmp_path / "spool"), []
    inspected(spool, b"no picture at all", line.picture())
    with listening(line) as url:
        with pytest.raises(InvalidInput, match="QC_KEY"):
            report(spool, url, "no key")
        told = report(spool, url, line.keys[Role.MACHINE], tell=heard.append)
    assert (told.sent, told.refused) == (1, 1)
    assert "0.png was refused" in heard[0]
    assert spool.waiting() == []
