"""A deployment that PLCs talk to: the same ports are open everywhere, and the server listens there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.cli import main
from server.plant.config import OpcUaConfig, PlantConfig, read_config

sys.path.insert(0, str(Path(__file__).parent))
from written import write

PORTS = {OpcUaConfig().port, *range(5020, 5030)}
"""OPC UA, and Modbus TCP of ten stations."""


def plant(templates: Any, folder: Path, **answers: Any) -> Path | None:
    """What secrets.sh makes of the plant's file; None where it makes none."""
    write(folder, {"secrets.sh": templates.deployment(r"secrets\.sh", **answers)["secrets.sh"]})
    subprocess.run(["sh", folder / "secrets.sh"], check=True, capture_output=True, timeout=60)
    made = folder / "secrets/plant.yaml"
    return made if made.exists() else None


@pytest.mark.parametrize("shape", ["compose", "systemd", "kubernetes"])
def test_the_file_of_the_plant_says_nothing_until_it_is_filled_in_and_its_example_fits_the_open_ports(
    shape, templates, tmp_path
):
    assert plant(templates, tmp_path / "without", shape=shape) is None
    made = plant(templates, tmp_path, shape=shape, plc=True)
    assert made is not None
    assert read_config(made) == PlantConfig()
    assert made.stat().st_mode & 0o077 == (0o044 if shape == "compose" else 0), "a container's user must read it"
    assert made.parent.stat().st_mode & 0o077 == 0
    example = made.read_text().partition("without the line above:\n")[2]
    made.write_text(re.sub("^# ", "", example, flags=re.MULTILINE))
    told = read_config(made)
    assert told is not None
    listens = [(told.opcua.host, told.opcua.port)]
    listens += [(one.modbus.host, one.modbus.port) for one in told.stations.values() if one.modbus]
    assert len(listens) == 2
    assert {host for host, _ in listens} == {"0.0.0.0"}
    assert {port for _, port in listens} <= PORTS
    folders = {str(camera.folder.parent) for one in told.stations.values() for camera in one.cameras if camera.folder}
    assert folders == {"/srv/qc-cameras" if shape == "systemd" else "/cameras"}


def published(ports: list[str]) -> dict[int, int]:
    """Port of the machine -> port in the container."""
    found: dict[int, int] = {}
    for pair in ports:
        (first, last), (inner, _) = ([int(end) for end in (side.split("-") * 2)[:2]] for side in pair.split(":"))
        found |= {first + step: inner + step for step in range(last - first + 1)}
    return found


Named = Callable[[str], list[Any]]


def test_compose_publishes_what_the_server_listens_on_and_shows_it_the_cameras_folders(named: Named):
    seen = set()
    for file in named(r"^compose\.yaml$"):
        server = yaml.safe_load(file.text)["services"]["server"]
        opened = published(server["ports"])
        plc = file.answers["plc"]
        assert opened == {8000: 8000} | ({port: port for port in PORTS} if plc else {})
        assert ("/srv/qc-cameras:/cameras" in server["volumes"]) == plc
        assert ("./secrets/plant.yaml:/data/plant.yaml:ro" in server["volumes"]) == plc
        seen.add(plc)
    assert seen == {True, False}


def test_the_service_may_empty_the_cameras_folder_and_see_its_usb_cameras_and_nothing_else(named: Named):
    seen = set()
    for file in named(r"systemd/qc\.service$"):
        lines = file.text.splitlines()
        plc, gpu = file.answers["plc"], file.answers["gpu"] == "nvidia"
        assert "CapabilityBoundingSet=" in lines, "no port here needs rights"
        assert ("ReadWritePaths=-/srv/qc-cameras" in lines) == plc
        assert ("PrivateDevices=yes" in lines) == (not plc and not gpu)
        assert ("DevicePolicy=closed" in lines) == (plc and not gpu)
        assert [line for line in lines if line.startswith("DeviceAllow=")] == (
            ["DeviceAllow=char-video4linux rw", "DeviceAllow=char-usb_device rw"] if plc and not gpu else []
        )
        seen.add((plc, gpu))
    assert len(seen) == 4
    for file in named(r"^install\.sh$"):
        owner = "10001" if file.answers["shape"] == "compose" else "qc"
        made = f"install -d -o {owner} -g {owner} -m 2770 /srv/qc-cameras" in file.text
        assert made == file.answers["plc"]


def test_terraform_opens_the_ports_to_the_clients(named: Named):
    for file in named(r"variables\.tf$"):
        (ports,) = re.findall(r"list\(number\)\s+default += \[([\d, ]+)\]", file.text)
        opened = {int(port) for port in ports.split(",")}
        assert opened & PORTS == (PORTS if file.answers["plc"] else set())
        assert 8000 in opened


def test_the_pages_do_not_take_a_port_of_the_plcs(tmp_path, capsys):
    words = ["--defaults", "--set", "plc=true", "--set", "port=5019"]
    assert main(["deploy", "new", str(tmp_path / "plant"), *words]) == 1
    assert "PLCs have the ports 4840 and 5020 to 5029" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
