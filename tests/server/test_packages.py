"""What the installation is made of, and what is known against it: a database that speaks OSV's interface is asked."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

from qc.errors import InvalidInput, Unavailable
from server import packages
from server.cli import main
from server.packages import Package

ROOT = Path(__file__).parents[2]


class Osv(BaseHTTPRequestHandler):
    """`/v1/querybatch` as OSV describes it: numpy has two weaknesses, on two pages."""

    asked: list[int] = []  # noqa: RUF012

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(len(said["queries"]))
        results: list[dict] = []
        for question in said["queries"]:
            assert question["package"].keys() == {"purl"}
            if not question["package"]["purl"].startswith("pkg:pypi/numpy@"):
                results.append({})
            elif "page_token" in question:
                results.append({"vulns": [{"id": "B"}]})
            else:
                results.append({"vulns": [{"id": "A"}], "next_page_token": "more"})
        body = json.dumps({"results": results} if self.path == "/v1/querybatch" else {}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def osv():
    server = HTTPServer(("127.0.0.1", 0), Osv)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_bill_names_every_package_of_the_environment_and_of_the_pages(tmp_path, capsys):
    out = tmp_path / "bill.json"
    assert main(["packages", "bill", "--out", str(out)]) == 0
    bill = json.loads(out.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    purls = [one["purl"] for one in bill["components"]]
    assert len(set(purls)) == len(purls)
    for name in ("numpy", "fastapi", "pillow", "opencv-python-headless"):
        assert f"pkg:pypi/{name}@{version(name)}" in purls
    assert any(purl.startswith("pkg:npm/react@") for purl in purls)
    assert not any("qc-line" in purl for purl in purls)
    assert [file.name for file in tmp_path.iterdir()] == ["bill.json"]


def test_a_bill_that_cannot_be_written_is_a_sentence(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["packages", "bill", "--out", str(tmp_path / "file" / "bill.json")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_what_is_known_against_a_package_ends_the_check_with_1_until_it_is_accepted(osv, capsys):
    assert main(["packages", "check", "--osv", osv]) == 1
    told = capsys.readouterr().out
    assert f"pkg:pypi/numpy@{version('numpy')}: A, B" in told
    assert main(["packages", "check", "--osv", osv, "--accept", "A"]) == 1
    assert main(["packages", "check", "--osv", osv, "--accept", "A", "--accept", "B"]) == 0


def test_more_packages_than_one_request_may_name_are_asked_about_in_several(osv):
    Osv.asked.clear()
    many = [Package(f"pkg:pypi/p{n}@1", f"p{n}", "1", "") for n in range(2300)]
    assert packages.known_against(many, osv=osv) == {}
    assert Osv.asked == [1000, 1000, 300]


def test_a_database_that_is_away_or_is_another_is_said(osv):
    some = [Package("pkg:pypi/numpy@1", "numpy", "1", "")]
    with pytest.raises(Unavailable):
        packages.known_against(some, osv="http://127.0.0.1:9")
    with pytest.raises(Unavailable):
        packages.known_against(some, osv=f"{osv}/elsewhere")


def test_packages_that_only_build_the_pages_are_left_out(tmp_path):
    lock = tmp_path / "package-lock.json"
    lines = {"": {"version": "1"}, "node_modules/a": {"version": "1.0", "license": "MIT"}}
    lines |= {"node_modules/b": {"version": "2", "dev": True}, "node_modules/a/node_modules/@s/c": {"version": "3"}}
    lock.write_text(json.dumps({"packages": lines}))
    assert [one.purl for one in packages.locked(lock)] == ["pkg:npm/%40s/c@3", "pkg:npm/a@1.0"]
    lock.write_text("[]")
    with pytest.raises(InvalidInput):
        packages.locked(lock)
