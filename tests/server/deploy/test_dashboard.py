"""The dashboard that deployments bring along, before the types that Grafana's makers generate from its own schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

WHY = "the extra deploy-checks is not installed"
dashboards = pytest.importorskip("grafana_foundation_sdk.models.dashboard", reason=WHY)
encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder", reason=WHY)
plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins", reason=WHY)

MONITORING = Path(__file__).parents[3] / "server/deploy/template/files/[[ monitoring_at ]]"
COLUMNS = 24
"""Of Grafana's grid."""


@pytest.fixture
def dashboard() -> dict[str, Any]:
    return json.loads((MONITORING / "dashboards/qc.json").read_text(encoding="utf-8"))


def as_grafana_reads_it(dashboard: dict[str, Any]) -> dict[str, Any]:
    """What comes back from Grafana's types; what they do not know is missing, what is of another type differs."""
    plugins.register_default_plugins()  # panels and queries are types of their own
    return json.loads(encoder.JSONEncoder().encode(dashboards.Dashboard.from_json(dashboard)))


def lost(given: Any, back: Any, place: str = "") -> list[str]:
    """Where something that was given did not come back."""
    if isinstance(given, dict) and isinstance(back, dict):
        return [
            found
            for name, one in given.items()
            for found in (lost(one, back[name], f"{place}/{name}") if name in back else [f"{place}/{name}"])
        ]
    if isinstance(given, list) and isinstance(back, list) and len(given) == len(back):
        return [found for n, one in enumerate(given) for found in lost(one, back[n], f"{place}/{n}")]
    return [] if given == back else [place]


def test_grafanas_own_types_know_every_word_of_it(dashboard):
    assert lost(dashboard, as_grafana_reads_it(dashboard)) == []
    assert {panel["type"] for panel in dashboard["panels"]} <= {"timeseries", "stat"}


def test_a_word_that_grafana_does_not_know_is_found(dashboard):
    panel = dashboard["panels"][0]
    panel["tittle"] = panel.pop("title")
    panel["targets"][0]["legendformat"] = "x"
    panel["fieldConfig"]["defaults"]["units"] = "s"
    found = lost(dashboard, as_grafana_reads_it(dashboard))
    assert found == ["/panels/0/fieldConfig/defaults/units", "/panels/0/targets/0/legendformat", "/panels/0/tittle"]


def test_panels_ask_the_source_that_is_set_up_and_lie_beside_each_other(dashboard):
    source = (MONITORING / "datasources.yml.jinja").read_text(encoding="utf-8")
    (known,) = yaml.safe_load(source.partition("[%")[0])["datasources"]
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        assert panel["datasource"] == {"type": known["type"], "uid": known["uid"]}
        assert panel["title"]
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH")[: len(panel["targets"])]
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) >= 6
