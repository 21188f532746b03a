"""The chart that the templates make, for every combination of answers, before Helm and Kubernetes' own schemas."""

from __future__ import annotations

import functools
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.deploy.answers import questions
from server.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))
from written import write

helm = pytest.importorskip("helm_python", reason="the extra deploy-checks is not installed")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="the extra deploy-checks is not installed")

SHELLCHECK = Path(__file__).parents[3] / ".venv/bin/shellcheck"
CHOICES = {name: question.choices or (True, False) for name, question in questions().items()}


@functools.cache
def parse_yaml(text: str) -> tuple[Any, ...]:
    return tuple(thing for thing in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if thing)


def chart(templates: Any, tmp_path: Path, answers: dict[str, Any]) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """A deployment on Kubernetes, and the objects that Helm makes of its chart."""
    files = templates.deployment(r"chart/|README", shape="kubernetes", **answers)
    folder = write(tmp_path, {name: text for name, text in files.items() if name.startswith("chart/")}) / "chart"
    if answers["blobs"] == "local" and answers["labels"] != "url":  # lint takes its time, and renders once more
        told = helm.lint(str(folder))
        problems = [message for message in told["messages"] if "icon is recommended" not in message["error"]]
        assert not problems, (answers, problems)
        assert not told["errors"], (answers, told["errors"])
    made = helm.Chart.load(str(folder)).render({})
    return files, [thing for text in made.values() for thing in parse_yaml(text)]


def charts(templates: Any, tmp_path: Path) -> Iterator[tuple[dict[str, Any], dict[str, str], list[dict[str, Any]]]]:
    """Every chart that differs in more than a name; GPU and network, one line each, take turns."""
    ways = itertools.product(*(CHOICES[name] for name in ("database", "labels", "monitoring")), ("local", "s3"))
    for number, (database, labels, monitoring, blobs) in enumerate(ways):
        answers = {"database": database, "blobs": blobs, "labels": labels, "monitoring": monitoring}
        answers |= {"gpu": CHOICES["gpu"][number // 2 % 2], "network": number % 4 < 3, "plc": number // 3 % 2 == 0}
        yield answers, *chart(templates, tmp_path / str(number), answers)


@pytest.fixture(scope="module")
def clusters(
    templates: Any, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[dict[str, Any], dict[str, str], list[dict[str, Any]]]]:
    return list(charts(templates, tmp_path_factory.mktemp("charts")))


def test_helm_makes_objects_that_kubernetes_knows(clusters):
    seen: set[str] = set()
    for _, _, objects in clusters:
        for thing in objects:
            text = json.dumps(thing, sort_keys=True)
            if text not in seen:
                seen.add(text)
                kubernetes_validate.validate(thing, "1.31", strict=True)
    assert len(seen) > 40


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pods that objects ask for, by their label `app`."""
    found = {}
    for thing in objects:
        spec = thing.get("spec", {})
        template = spec.get("template") or spec.get("jobTemplate", {}).get("spec", {}).get("template")
        if template:
            found[template["metadata"]["labels"]["app"]] = template["spec"]
    return found


def test_no_pod_can_do_more_than_its_work(clusters):
    for _, _, objects in clusters:
        for name, pod in pods(objects).items():
            assert pod["automountServiceAccountToken"] is False, name
            assert pod["securityContext"]["runAsNonRoot"] is True, name
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
            for container in [*pod["containers"], *pod.get("initContainers", [])]:
                context = container["securityContext"]
                assert context["readOnlyRootFilesystem"] is True, name
                assert context["allowPrivilegeEscalation"] is False, name
                assert context["capabilities"] == {"drop": ["ALL"]}, name
                assert "memory" in container["resources"]["limits"], name


def test_what_pods_refer_to_is_in_the_chart_or_made_as_the_readme_says(clusters):
    for answers, files, objects in clusters:
        there = {(thing["kind"], thing["metadata"]["name"]) for thing in objects}
        secrets = set(re.findall(r"create secret generic (\S+)", files["README.md"]))
        for name, pod in pods(objects).items():
            text = json.dumps(pod)
            for kind, pattern in (
                ("ConfigMap", r'"configMap(?:Ref)?": {"name": "([^"]+)"'),
                ("PersistentVolumeClaim", r'"claimName": "([^"]+)"'),
            ):
                assert all((kind, found) in there for found in re.findall(pattern, text)), (name, answers)
            assert set(re.findall(r'"secretRef": {"name": "([^"]+)"|"secretName": "([^"]+)"', text)) <= {
                pair for secret in secrets for pair in ((secret, ""), ("", secret))
            }, (name, answers)
        for service in (thing for thing in objects if thing["kind"] == "Service"):
            assert service["spec"]["selector"]["app"] in pods(objects)


def test_every_pod_is_under_a_network_policy_that_denies_the_rest(clusters):
    for _, _, objects in clusters:
        policies = [thing for thing in objects if thing["kind"] == "NetworkPolicy"]
        (everything,) = (thing for thing in policies if thing["metadata"]["name"].endswith("-nothing-else"))
        assert everything["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert "ingress" not in everything["spec"]
        (listed,) = everything["spec"]["podSelector"]["matchExpressions"]
        assert set(pods(objects)) <= set(listed["values"])


def open_ports(policy: dict[str, Any], cidr: str) -> set[int]:
    """The ports that a policy opens to a network."""
    return {
        port["port"]
        for rule in policy["spec"]["ingress"]
        if {"ipBlock": {"cidr": cidr}} in rule["from"]
        for port in rule["ports"]
    }


def test_plcs_reach_the_ports_of_their_service_where_they_are_asked_for(clusters):
    seen = set()
    for answers, _, objects in clusters:
        opened = open_ports(named_object(objects, "NetworkPolicy", "qc-server"), "10.0.0.0/8")
        wanted = {4840, *range(5020, 5030)} if answers["plc"] else set()
        assert opened == {8000} | wanted
        (server,) = pods(objects)["qc-server"]["containers"]
        inner = {port["name"]: port["containerPort"] for port in server["ports"]}
        services = [thing["spec"] for thing in objects if (thing["kind"], thing["metadata"]["name"]) == PLC]
        assert len(services) == bool(wanted)
        assert {port["port"] for spec in services for port in spec["ports"]} == wanted
        assert all(inner[port["targetPort"]] == port["port"] for spec in services for port in spec["ports"])
        mounts = {mount["mountPath"] for mount in server["volumeMounts"]}
        assert ("/data/plant.yaml" in mounts) == bool(wanted)
        seen.add(answers["plc"])
    assert seen == {True, False}


def test_the_server_calls_nobody_outside_but_whom_the_values_name(clusters, with_more):
    def called(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rules = named_object(objects, "NetworkPolicy", "qc-server")["spec"]["egress"]
        plant = ("10.0.0.0/8", "10.7.0.0/24")
        return [
            rule
            for rule in rules
            for to in rule.get("to", [])
            if to.get("ipBlock", {}).get("cidr", "10.0.0.0/8") not in plant
        ]

    assert all(called(objects) == [] for _, _, objects in clusters)
    assert called(with_more) == [
        {
            "to": [{"ipBlock": {"cidr": "203.0.113.10/32"}}],
            "ports": [{"port": 443, "protocol": "TCP"}, {"port": 4318, "protocol": "TCP"}],
        },
        {"to": [{"ipBlock": {"cidr": "198.51.100.0/24"}}], "ports": [{"port": 8001, "protocol": "TCP"}]},
    ]


@pytest.mark.parametrize(
    ("entry", "missing"), [({"ports": [443]}, "a cidr"), ({"cidr": "203.0.113.10/32"}, "its ports")]
)
def test_an_address_to_call_is_never_half_said(entry, missing, templates, tmp_path):
    files = templates.deployment(r"chart/", shape="kubernetes")
    folder = write(tmp_path, files) / "chart"
    with pytest.raises(Exception, match=f"egress: each entry needs {missing}"):
        helm.Chart.load(str(folder)).render({"egress": [entry]})


PLC = ("Service", "qc-plc")


def test_plcs_may_have_a_network_of_their_own_and_cameras_a_volume(with_more):
    policy = named_object(with_more, "NetworkPolicy", "qc-server")
    assert open_ports(policy, "10.7.0.0/24") == {4840, 5020}
    assert open_ports(policy, "10.0.0.0/8") == {8000}
    assert {"to": [{"ipBlock": {"cidr": "10.7.0.0/24"}}]} in policy["spec"]["egress"], "cameras that are asked"
    service = named_object(with_more, *PLC)["spec"]
    assert service["loadBalancerSourceRanges"] == ["10.7.0.0/24"]
    pod = pods(with_more)["qc-server"]
    assert {"name": "cameras", "mountPath": "/cameras"} in pod["containers"][0]["volumeMounts"]
    assert {"name": "cameras", "persistentVolumeClaim": {"claimName": "line-7"}} in pod["volumes"]


MORE: dict[str, Any] = {
    "tls": {"secretName": "own-tls", "issuer": "plant-ca"},
    "database": {"secretName": "rds", "key": "uri"},
    "ray": {"enabled": True, "gpus": 1},
    "restore": "2026-01-31T013000Z",
    "egress": [{"cidr": "203.0.113.10/32", "ports": [443, 4318]}, {"cidr": "198.51.100.0/24", "ports": [8001]}],
    "plc": {"clients": "10.7.0.0/24", "modbus": [5020], "cameras": "line-7"},
}


@pytest.fixture(scope="module")
def with_more(templates: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The objects of a chart whose values ask for TLS by cert-manager, a managed database's secret, Ray, and PLCs."""
    answers = {"database": "url", "blobs": "s3", "labels": "none", "monitoring": True, "plc": True}
    folder = tmp_path_factory.mktemp("more")
    files = templates.deployment(r"chart/", shape="kubernetes", **answers)
    made = helm.Chart.load(str(write(folder, files) / "chart")).render(MORE)
    return [thing for text in made.values() for thing in parse_yaml(text)]


def named_object(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (thing for thing in objects if (thing["kind"], thing["metadata"]["name"]) == (kind, name))
    return found


def test_a_chart_with_a_certificate_speaks_https_everywhere(with_more):
    certificate = named_object(with_more, "Certificate", "qc-server")["spec"]
    assert certificate["secretName"] == "own-tls"
    assert certificate["issuerRef"] == {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": "plant-ca"}
    assert certificate["dnsNames"] == ["qc-server", "qc.plant.example"]
    (server,) = pods(with_more)["qc-server"]["containers"]
    env = {one["name"]: one.get("value") for one in server["env"]}
    assert env["QC_TLS_CERTIFICATE"] == "/tls/tls.crt"
    assert env["QC_PUBLIC_URL"] == "https://qc.plant.example:8000"
    assert {f"QC_{name.upper()}" for name in Settings.model_fields} >= set(env)
    assert {"name": "tls", "mountPath": "/tls", "readOnly": True} in server["volumeMounts"]
    assert all(server[probe]["httpGet"]["scheme"] == "HTTPS" for probe in ("startupProbe", "readinessProbe"))
    scraped = yaml.safe_load(named_object(with_more, "ConfigMap", "qc-monitoring")["data"]["prometheus.yml"])
    assert scraped["scrape_configs"][0]["scheme"] == "https"


def test_a_managed_databases_url_comes_from_its_own_secret(with_more):
    backup = named_object(with_more, "CronJob", "qc-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    wanted = {"secretKeyRef": {"name": "rds", "key": "uri"}}
    restore = named_object(with_more, "Job", "qc-restore-2026-01-31t013000z")["spec"]["template"]["spec"]
    jobs = (*backup["containers"], *restore["initContainers"], *restore["containers"])
    for container in (pods(with_more)["qc-server"]["containers"][0], *jobs):
        assert [one["valueFrom"] for one in container["env"] if one["name"] == "QC_DATABASE_URL"] == [wanted]


def test_while_a_backup_is_put_back_no_server_and_no_backup_runs(with_more, clusters, templates, tmp_path):
    assert named_object(with_more, "Deployment", "qc-server")["spec"]["replicas"] == 0
    assert named_object(with_more, "CronJob", "qc-backup")["spec"]["suspend"] is True
    for _, _, objects in clusters:
        assert named_object(objects, "Deployment", "qc-server")["spec"]["replicas"] == 1
        assert named_object(objects, "CronJob", "qc-backup")["spec"]["suspend"] is False
        assert not [thing for thing in objects if thing["kind"] == "Job"]
    files = templates.deployment(r"chart/", shape="kubernetes", database="postgres")
    made = helm.Chart.load(str(write(tmp_path, files) / "chart")).render({"restore": "2026-01-31T013000Z"})
    objects = [thing for text in made.values() for thing in parse_yaml(text)]
    job = named_object(objects, "Job", "qc-restore-2026-01-31t013000z")
    kubernetes_validate.validate(job, "1.31", strict=True)
    pod = job["spec"]["template"]["spec"]
    assert [one["name"] for one in pod["initContainers"]] == [
        "empty-database",
        "rows-and-files",
        "database-in-its-place",
    ]
    for container in (*pod["initContainers"], *pod["containers"]):
        subprocess.run(
            [SHELLCHECK, "--shell", "sh", "-"], input=container["args"][0], text=True, check=True, timeout=60
        )
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_store_of_ones_own_is_reached_by_the_server_and_by_its_backup(clusters):
    for answers, _, objects in clusters:
        plant = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
        assert plant in named_object(objects, "NetworkPolicy", "qc-server")["spec"]["egress"]
        if answers["blobs"] != "local":
            assert plant in named_object(objects, "NetworkPolicy", "qc-backup")["spec"]["egress"]


def test_ray_s_pods_are_sound_and_nobody_but_the_server_reaches_them(with_more):
    cluster = named_object(with_more, "RayCluster", "qc-ray")["spec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in (cluster["headGroupSpec"], workers):
        template = group["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "qc-ray", **template["metadata"]}}
        kubernetes_validate.validate({**pod, "spec": template["spec"]}, "1.31", strict=True)
        assert template["metadata"]["labels"] == {"app": "qc-ray"}
        (container,) = template["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["limits"]["memory"]
    assert workers["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    policy = named_object(with_more, "NetworkPolicy", "qc-ray")["spec"]
    (allowed,) = policy["ingress"]
    labels = [one["podSelector"]["matchLabels"]["app"] for one in allowed["from"] if "podSelector" in one]
    assert labels == ["qc-ray", "qc-server"]


def test_what_kubernetes_knows_of_a_chart_with_more_is_as_it_wants_it(with_more):
    own = ("Certificate", "RayCluster")  # of operators, whose schemas are not at hand
    for thing in with_more:
        if thing["kind"] not in own:
            kubernetes_validate.validate(thing, "1.31", strict=True)
