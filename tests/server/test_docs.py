"""What the documentation shows is what happens; what it promises to know it asks the code."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from qc.errors import Conflict, InvalidInput
from server import access
from server.backup import LEFT_OUT
from server.blobs.near_and_far import WAITING
from server.cli import main, parser
from server.codes_config import FILE as CODES
from server.docs import build, planning, queueing, reference
from server.first_run import FILE as FIRST_RUN
from server.home_id import FILE as HOME_ID
from server.metrics import Metrics
from server.models_in_use import STARTER
from server.outbound.config import FILE as OUTBOUND
from server.plant.config import FILE as PLANT
from server.process_service import FOLDER as PROCESSES
from server.settings import KEPT_FILE, Settings
from server.studio_service import FOLDER as LABEL_STUDIO

ROOT = Path(__file__).parents[2]
PAGES = sorted(build.PAGES.rglob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
KEPT_BY_NAME = {KEPT_FILE, FIRST_RUN, HOME_ID, PLANT, CODES, OUTBOUND, PROCESSES, LABEL_STUDIO, WAITING}
"""Files and folders that modules name by a word of their own."""
COMMAND = re.compile(r"(?:^|\s)((?:QC_\w+=\S+ )*)qc ([a-z].*)$")


@dataclass(frozen=True)
class Shown:
    """A command on a page, and what the page says that it prints."""

    environment: dict[str, str]
    words: list[str]
    prints: list[str]


def shown(page: Path, kind: str) -> Iterator[Shown]:
    """The `qc` commands in a page's blocks of one kind, in order."""
    for language, text in BLOCK.findall(page.read_text()):
        if language != kind:
            continue
        told: Shown | None = None
        for line in text.splitlines():
            command = COMMAND.match(line.removeprefix("$")) if kind == "sh" or line.startswith("$ ") else None
            if command:
                if told:
                    yield told
                settings = dict(pair.split("=", 1) for pair in command[1].split())
                told = Shown(settings, shlex.split(command[2], comments=True), [])
            elif told and kind == "console":
                told.prints.append(line)
        if told:
            yield told


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_on_a_page_exists_and_takes_its_arguments(page):
    for kind in ("console", "sh"):
        for command in shown(page, kind):
            parser().parse_args(command.words)


@pytest.mark.parametrize("page", [page for page in PAGES if any(shown(page, "console"))], ids=lambda page: page.stem)
def test_the_commands_of_a_page_do_what_the_page_says(page, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QC_HOME", str(tmp_path / "var"))
    shutil.copytree(STARTER, tmp_path / "model")  # instead of the training, which takes minutes
    for command in shown(page, "console"):
        with monkeypatch.context() as given:
            for name, value in command.environment.items():
                given.setenv(name, value)
            capfd.readouterr()
            status = main(command.words)
            printed = capfd.readouterr()
        assert status == 0, (command.words, printed.err)
        pattern = "\n".join(command.prints).strip()
        wanted = "[\\s\\S]*".join(re.escape(piece) for piece in pattern.split("…"))
        assert re.fullmatch(wanted, printed.out.strip()), (command.words, printed.out)


def test_the_site_is_built_whole_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    assert main(["docs", "--out", str(tmp_path / "site")]) == 0
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= 15
    for page in pages:
        text = page.read_text()
        assert not re.findall(r'<(?:script|img|iframe|link)[^>]+(?:src|href)="(?:https?:)?//[^"]*"', text), page
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/plans.txt").write_text("keep")
    with pytest.raises(Conflict):
        build.build(tmp_path / "mine")
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_every_setting_command_call_figure_has_its_place_in_the_reference():
    pages = reference.pages()
    assert all(f"`QC_{name.upper()}`" in pages["reference/settings.md"] for name in Settings.model_fields)
    assert all(f"## {command.prog}" in pages["reference/commands.md"] for command in reference.parsers(parser()))
    calls = pages["reference/rest.md"]
    told = {(method, access.same_path(path)) for method, path in re.findall(r"^\| `(\w+) (\S+)`", calls, re.MULTILINE)}
    assert told == {(method, access.same_path(path)) for method, path in access.RULES}
    assert "| `GET /health` | everybody |" in calls
    assert "| `POST /erasures` | admin |" in calls
    figures = {family.name for family in Metrics().registry.collect()}
    assert all(f"`{figure}" in pages["reference/metrics-and-events.md"] for figure in figures)


def test_settings_and_calls_that_pages_name_exist():
    known = {f"QC_{name.upper()}" for name in Settings.model_fields}
    calls = {f"{method} {path}" for method, path in access.RULES}
    for page in PAGES:
        text = page.read_text()
        assert set(re.findall(r"\bQC_[A-Z_]+\b", text)) <= known, page
        for method, path in re.findall(r"`(GET|POST|PUT|DELETE) (/[^`?\s]+)`", text):
            named = path.replace("seat-bar", "{name}")
            assert f"{method} {named}" in calls, (page, path)


def test_whatever_lies_in_the_data_folder_is_on_the_data_sheet():
    sheet = (build.PAGES / "explanation/stores.md").read_text()
    named = re.compile(r'(?:\.folder\(|\bhome(?:\.resolve\(\))? / )"([\w-]+(?:\.\w+)?)')
    found = {name for file in (ROOT / "server").rglob("*.py") for name in named.findall(file.read_text())}
    found |= {name for name in LEFT_OUT if name != "server.lock"} | KEPT_BY_NAME
    assert {"retraining", "plant", "inbox"} <= found
    missing = {name for name in found if not re.search(rf"[`/]{re.escape(name)}[`/]", sheet)}
    assert missing == set()


def test_a_plants_needs_follow_their_formulas():
    plant = planning.Plant(parts_a_day=14_400, views=3, mpx=10, hours=4, peak=1, mb_a_mpx=0.2, keep_days=10)
    told = planning.needs(plant, runtime="torch")
    assert told.part_s == pytest.approx(30 / planning.MPX_A_CORE_SECOND["torch"])
    assert told.cores == pytest.approx(1.0 * 30 / planning.MPX_A_CORE_SECOND["torch"] / 0.6)
    assert told.disk_gb == pytest.approx(14_400 * 30 * 0.2 * 10 / 1000)
    assert told.network_mbit == pytest.approx(30 * 0.2 * 8)


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_waits_in_virtual_time_are_those_of_pollaczek_and_khinchine(busy):
    arrivals = np.cumsum(np.random.default_rng(1).exponential(1 / busy, 400_000))
    waits = queueing.waiting(arrivals, 1.0, 1)
    assert waits.mean() == pytest.approx(busy / (2 * (1 - busy)), rel=0.04)
    assert (waits == 0).mean() == pytest.approx(1 - busy, abs=0.01)  # who comes finds the server free so often


def test_parts_are_looked_at_in_turn_by_whoever_is_free_first():
    assert queueing.waiting(np.array([0.0, 1.0, 2.0, 3.0, 20.0]), 10.0, 2).tolist() == [0, 0, 8, 8, 0]


@pytest.mark.parametrize("stations", [1, 10, 100, 1000])
def test_the_planned_cores_suffice_for_any_number_of_stations(stations):
    plant = planning.Plant(parts_a_day=2000, views=1, mpx=5)
    cluster, computers = (queueing.busiest_hour(plant, stations, computer=c) for c in (None, 8))
    part_s = planning.needs(plant).part_s
    for told in (cluster, computers):
        assert told.busy <= planning.BUSY * 1.02
        assert told.mean_s < 0.75 * part_s  # what the page promises of one inspection at a time
    assert cluster.cores == pytest.approx(planning.needs(plant).cores * stations, abs=1)
    assert cluster.mean_s <= computers.mean_s
    with pytest.raises(InvalidInput, match="at least one station"):
        queueing.busiest_hour(plant, 0)


def test_a_plant_that_makes_no_sense_is_refused(capsys):
    with pytest.raises(InvalidInput, match="above 0"):
        planning.needs(planning.Plant(parts_a_day=0, views=1, mpx=1))
    with pytest.raises(InvalidInput, match="runtime"):
        planning.needs(planning.Plant(parts_a_day=1, views=1, mpx=1), runtime="abacus")
    assert main(["plan", "--parts-a-day", "-1", "--views", "1", "--mpx", "5"]) == 1
    assert "above 0" in capsys.readouterr().err
