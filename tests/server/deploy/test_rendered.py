"""What the templates make, for every combination of answers, before the tools whose files they are."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.deploy import making
from server.metrics import Metrics
from server.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))
from written import write

hcl2 = pytest.importorskip("hcl2", reason="the extra deploy-checks is not installed")
promql = pytest.importorskip("promql_parser", reason="the extra deploy-checks is not installed")
yamllint_config = pytest.importorskip("yamllint.config", reason="the extra deploy-checks is not installed")
yamllint_linter = pytest.importorskip("yamllint.linter", reason="the extra deploy-checks is not installed")

CLONE = Path(__file__).parents[3]
PROGRAMS = CLONE / ".venv/bin"

WHOLE = [
    {},
    {"shape": "systemd", "place": "azure", "database": "postgres", "blobs": "azure", "gpu": "nvidia", "labels": "none"},
    {"shape": "kubernetes", "database": "postgres", "blobs": "s3"},
    {"shape": "kubernetes", "place": "gcp", "blobs": "gcs", "labels": "url", "monitoring": False, "name": "plant-7"},
    {"place": "aws", "database": "postgres", "blobs": "s3", "gpu": "nvidia", "port": 9100, "address": "10.1.2.3"},
    {"plc": True, "place": "aws", "database": "url", "managed": True, "blobs": "s3"},
    {"plc": True, "shape": "kubernetes", "place": "gcp", "database": "url", "managed": True, "blobs": "gcs"},
    {"plc": True, "shape": "systemd", "place": "azure", "database": "url", "managed": True, "blobs": "azure"},
]
"""Whole deployments that differ in all that matters."""


def program(name: str) -> str:
    """One of the checking programs, from the environment or from the system."""
    found = shutil.which(name, path=f"{PROGRAMS}:/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str | Path, at: Path | None = None) -> None:
    """Run a checking program; what it complains of is the failure."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=at, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("answers", WHOLE, ids=lambda answers: "-".join(map(str, answers.values())) or "defaults")
def test_what_copier_writes_is_what_is_checked_below(answers, templates, tmp_path):
    names = making.new(tmp_path / "out", answers)
    told = templates.deployment(**answers)
    assert names == sorted(told)
    for name, text in told.items():
        assert (tmp_path / "out" / name).read_text() == text, name


def test_every_setting_that_is_set_is_one_that_the_server_reads(every, templates):
    known = {f"QC_{name.upper()}" for name in Settings.model_fields}
    texts = [file.text for file in every] + [templates.deployment(**answers)["README.md"] for answers in WHOLE]
    named = {setting for text in texts for setting in re.findall(r"\bQC_[A-Z_]+\b", text)}
    assert named <= known
    assert {"QC_HOME", "QC_DATABASE_URL", "QC_BLOBS", "QC_DEVICE", "QC_LABEL_STUDIO_TOKEN"} <= named


def test_the_settings_of_every_combination_are_accepted_by_the_server(named, monkeypatch):
    for file in named(r"^qc\.env$"):
        lines = [line for line in file.text.splitlines() if line and not line.startswith("#")]
        told = {name.removeprefix("QC_").lower(): value for name, _, value in (line.partition("=") for line in lines)}
        settings = Settings(**told)
        assert settings.public_url.endswith(":8000")
        assert settings.device == ("cuda" if file.answers["gpu"] == "nvidia" else "cpu")


def test_yaml_is_well_kept(named):
    rules = {"line-length": {"max": 160}, "truthy": {"check-keys": False}}
    lint = yamllint_config.YamlLintConfig(json.dumps({"extends": "default", "rules": rules}))
    for file in named(r"\.ya?ml$"):
        if "chart/templates" not in file.name and file.name != "chart/values.yaml":
            problems = [f"{problem.line}: {problem.desc}" for problem in yamllint_linter.run(file.text, lint)]
            assert not problems, (file.name, file.answers, problems)


def test_compose_accepts_every_combination(named, tmp_path):
    compose = program("docker-compose")
    env = {name: "" for name in ("qc.env", *(f"secrets/{name}.env" for name in SECRETS))}
    write(tmp_path, env)
    online = {
        file.text.replace("pull_policy: missing", "pull_policy: never")
        for file in named(COMPOSE)
        if file.answers["network"]
    }
    assert online == {file.text.replace("pull_policy: missing", "pull_policy: never") for file in named(COMPOSE)}
    for file in named(COMPOSE):
        if not file.answers["network"]:
            continue
        write(tmp_path, {file.name: file.text})
        run(compose, "--file", tmp_path / file.name, "--profile", "backup", "config", "--quiet")


COMPOSE = r"^compose\.yaml$"
SECRETS = ("server", "database", "label-studio", "grafana")


def test_no_container_of_compose_can_do_more_than_its_work(named):
    for file in named(COMPOSE):
        told = yaml.safe_load(file.text)
        for name, service in told["services"].items():
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert "privileged" not in service, name
            assert not any("docker.sock" in str(volume) for volume in service.get("volumes", [])), name
            ours = service["image"] in ("qc-server", "qc-label-studio")
            assert ours or re.search(r":v?\d+\.\d+", service["image"]), f"{service['image']} is not pinned"
            assert service["pull_policy"] == ("never" if ours or not file.answers["network"] else "missing")
        if "database" in told["services"]:
            assert told["services"]["database"]["networks"] == ["inside"]
            assert told["networks"]["inside"] == {"internal": True}


def test_hadolint_finds_nothing_in_the_dockerfiles(named, tmp_path):
    hadolint = program("hadolint")
    for number, file in enumerate(named(r"^Dockerfile$")):
        run(hadolint, *write(tmp_path, {f"{number}/Dockerfile": file.text}).glob(f"{number}/*"))
        last = file.text.rpartition("FROM ")[2]
        assert "USER 10001:10001" in last
        assert "HEALTHCHECK" in last


def test_what_the_dockerfiles_copy_is_in_the_clone_and_not_ignored(named):
    kept = {line.removeprefix("!") for line in named(r"dockerignore$")[0].text.splitlines() if line.startswith("!")}
    for file in named(r"^Dockerfile$"):
        for sources in re.findall(r"^COPY ((?!--from)[^\n]+) \S+$", file.text, re.MULTILINE):
            for source in sources.split():
                assert (CLONE / source).exists(), source
                assert source.split("/")[0] in kept or source == "labeling/label-studio-constraints.txt", source


def test_shellcheck_finds_nothing_in_the_scripts(named, tmp_path):
    # by place and store, secrets.sh differs only within what it writes, which shellcheck does not read
    at_home = [file for file in named(r"\.sh$") if (file.answers["place"], file.answers["blobs"]) == ("own", "local")]
    files = at_home + [file for file in named(r"\.sh$") if file.name != "secrets.sh" and file not in at_home]
    scripts = {f"{number}-{file.name}": file.text for number, file in enumerate(files)}
    assert len(scripts) > 40
    run(program("shellcheck"), *sorted(write(tmp_path, scripts).glob("*.sh")))


@pytest.mark.parametrize("answers", WHOLE[1:3], ids=lambda answers: answers["shape"] + answers.get("place", ""))
def test_secrets_are_made_once_and_are_random(answers, templates, tmp_path):
    script = templates.deployment(**answers)["secrets.sh"]
    made = []
    for folder in ("one", "two"):
        write(tmp_path / folder, {"secrets.sh": script})
        run("sh", tmp_path / folder / "secrets.sh")
        files = {file.name: file.read_text() for file in (tmp_path / folder / "secrets").iterdir()}
        run("sh", tmp_path / folder / "secrets.sh")
        assert files == {file.name: file.read_text() for file in (tmp_path / folder / "secrets").iterdir()}
        assert all(
            (tmp_path / folder / "secrets" / name).stat().st_mode & 0o077 == 0 for name in files if "key" not in name
        )
        made.append(files)
    for name in made[0]:
        drawn = re.findall(r"[0-9a-f]{40}", made[0][name])
        assert drawn == [] or drawn != re.findall(r"[0-9a-f]{40}", made[1][name])
    assert ("LABEL_STUDIO_USER_TOKEN" in made[0].get("label-studio.env", "")) == (answers.get("labels", "own") == "own")


def test_systemd_accepts_the_units(named, tmp_path):
    verify = program("systemd-analyze")
    programs = ("bin/sh", "opt/qc/.venv/bin/qc", "opt/qc/.venv-label-studio/bin/label-studio", "etc/qc/backup.sh")
    for program_file in programs:
        (write(tmp_path, {program_file: "#!/bin/sh\n"}) / program_file).chmod(0o755)
    units = {}
    for number, file in enumerate(named(r"^systemd/")):
        stem, _, kind = Path(file.name).name.rpartition(".")
        text = file.text.replace("@HERE@/backup.sh", "/etc/qc/backup.sh")
        units[f"etc/systemd/system/{stem}-{number}.{kind}"] = text
        if kind == "timer":
            units[f"etc/systemd/system/{stem}-{number}.service"] = named(r"qc-backup\.service")[0].text.replace(
                "@HERE@", "/etc/qc"
            )
    for folder in ("usr/lib/systemd/system", "lib/systemd/system"):
        source = Path("/") / folder
        if source.is_dir() and not (tmp_path / folder).exists():
            (tmp_path / folder).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder).symlink_to(source)
    write(tmp_path, units)
    names = [Path(name).name for name in units]
    done = subprocess.run(
        [verify, "verify", f"--root={tmp_path}", "--man=no", "--recursive-errors=no", *names],
        capture_output=True,
        text=True,
        timeout=60,
    )
    ours = [line for line in done.stderr.splitlines() if any(name in line for name in names)]
    assert not ours, "\n".join(ours)


parse_hcl: Callable[[str], dict[str, Any]] = functools.cache(hcl2.loads)


def blocks(text: str, kind: str) -> dict[str, Any]:
    """Blocks of one kind in HCL, by their last label."""
    found: dict[str, Any] = {}
    for block in parse_hcl(text).get(kind, []):
        for label, body in block.items():
            found[label.strip('"')] = body
    return found


def clouds(named: Callable[[str], list[Any]], places: str) -> list[Any]:
    """Terraform of places; with a store of another cloud only one URL differs."""
    own = {"own": "s3", "aws": "s3", "gcp": "gcs", "azure": "azure"}
    files = named(rf"terraform/({places})\.tf$")
    return [file for file in files if file.answers["blobs"] in ("local", own[file.answers["place"]])]


OUTPUTS = {"address", "connect", "data_device", "pictures", "database"}


def keeps_a_database(answers: dict[str, Any]) -> bool:
    """Does the cloud run the database?"""
    return bool(answers["managed"] and answers["database"] == "url" and answers["place"] != "own")


PRIVATE = {
    "aws": (
        "aws_db_instance.database.address",
        ["storage_encrypted *= true", "referenced_security_group_id", "force_ssl"],
    ),
    "gcp": ("google_sql_database_instance.database.private_ip_address", ["ipv4_enabled *= false", '"ENCRYPTED_ONLY"']),
    "azure": (
        "azurerm_postgresql_flexible_server.database.fqdn",
        ["public_network_access_enabled = false", 'network_security_group_association" "database"'],
    ),
}


def test_a_database_that_the_cloud_keeps_is_the_servers_alone_and_its_password_is_nowhere_in_the_files(named):
    kept = 0
    for file in clouds(named, "own|aws|gcp|azure"):
        (local,) = parse_hcl(file.text)["locals"]
        if not keeps_a_database(file.answers):
            assert local["database"] in ("", '""')
            continue
        kept += 1
        host, private = PRIVATE[file.answers["place"]]
        assert host in local["database"]
        for said in private:
            assert re.search(said, file.text), (file.answers["place"], said)
        assert re.search(r"password *= var\.database_password", file.text)
    assert kept
    for file in named(r"variables\.tf$"):
        secret = blocks(file.text, "variable").get("database_password")
        assert (secret is not None) == keeps_a_database(file.answers)
        assert secret is None or (secret["sensitive"] is True and "default" not in secret)


def test_terraform_has_the_same_outputs_everywhere(named):
    (outputs,) = named(r"outputs\.tf$")
    assert set(blocks(outputs.text, "output")) == OUTPUTS
    variables = [set(blocks(file.text, "variable")) for file in named(r"variables\.tf$")]
    assert all({"clients", "ports", "data_gb"} <= names for names in variables)
    for file in clouds(named, "own|aws|gcp|azure"):
        told = parse_hcl(file.text)
        (local,) = told["locals"]
        assert set(local) >= OUTPUTS, file.name
        own = set(blocks(file.text, "variable"))
        used = set(re.findall(r"\bvar\.(\w+)", file.text))
        ssh = {"ssh_key"} if file.answers["shape"] != "kubernetes" else set()
        known = own | ssh | {"clients", "ports", "data_gb", "ssh_user", "source_folder"}
        if keeps_a_database(file.answers):
            known |= {"database_gb", "database_password"}
        assert used <= known, (file.name, used - known)
        assert own <= used, (file.name, own - used)


def test_what_terraform_names_is_declared(named):
    for file in clouds(named, "aws|gcp|azure"):
        told = parse_hcl(file.text)
        declared = set()
        for kind, before in (("resource", ""), ("data", "data.")):
            for block in told.get(kind, []):
                for label, bodies in block.items():
                    declared |= {
                        f"{before}{label}.{name}".replace('"', "") for name in bodies if not name.startswith("__")
                    }
        references = re.findall(r"(?<![\w.\"/-])((?:data\.)?(?:aws|google|azurerm)_\w+\.\w+)", file.text)
        assert set(references) <= declared, (file.name, set(references) - declared)


def metrics_of_the_server() -> set[str]:
    """Names as Prometheus sees them."""
    metrics = Metrics()
    names = set()
    for family in metrics.registry.collect():
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}[family.type]
        names |= {family.name + ending for ending in endings}
    return names


def expressions(named: Callable[[str], list[Any]]) -> Iterator[str]:
    (rules,) = named(r"^monitoring/rules\.yml$")
    for group in yaml.safe_load(rules.text)["groups"]:
        for rule in group["rules"]:
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
            assert rule["annotations"]["summary"]
            yield rule["expr"]
    (dashboard,) = named(r"^monitoring/dashboards/qc\.json$")
    for panel in json.loads(dashboard.text)["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def test_alarms_and_dashboard_ask_for_figures_that_the_server_has(named):
    known = metrics_of_the_server() | {"up"}
    asked = set()
    for expression in expressions(named):
        promql.parse(expression)
        asked |= set(re.findall(r"\b(qc_\w+|up)\b", expression))
    assert asked <= known, asked - known
    assert len(asked) >= 12
