"""What checkov's policies say of the deployments of `qc deploy`: Terraform of every cloud, and the chart.

    python3 -m venv CHECKOV && CHECKOV/bin/pip install checkov
    .venv/bin/python tests/bench/deploy_policy.py --checkov CHECKOV/bin/checkov

Needs no network and takes a minute. Not among the tests: checkov is 200 MB, pins much, and its policies change with
every release. Prints what is against its policies and not accepted below, and ends with 1 if there is any.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import helm_python as helm

from server.deploy.making import new

ACCEPTED = {
    "keys of one's own instead of the cloud's": (
        "CKV_AWS_189 CKV_GCP_37 CKV_GCP_38 CKV_AZURE_93 CKV_AZURE_117 CKV2_AZURE_1 CKV_AWS_58 CKV_AZURE_227 CKV_AWS_354"
    ),
    "reached by the plant over a public address that lets nobody else in": (
        "CKV_AWS_88 CKV_AWS_130 CKV_AWS_39 CKV_GCP_40 CKV_GCP_25 CKV_GCP_64 CKV_AZURE_119 CKV_AZURE_115 "
        "CKV_AZURE_251 CKV_AZURE_59 CKV2_AZURE_33"
    ),
    "logs of the cloud about itself; the product has an audit trail": (
        "CKV_AWS_18 CKV2_AWS_11 CKV2_AWS_62 CKV_GCP_26 CKV_GCP_61 CKV_GCP_62 CKV_AZURE_4 CKV_AZURE_33 CKV2_AZURE_21"
    ),
    "the database logs connections, locks and errors; who did what is in the product's audit trail": (
        "CKV_GCP_108 CKV_GCP_110 CKV_GCP_111 CKV2_GCP_13"
    ),
    "the database is in the server's own network (a delegated subnet), which knows no private endpoints": (
        "CKV2_AZURE_57"
    ),
    "unencrypted connections are refused (ENCRYPTED_ONLY); a password says who it is, not a client's certificate": (
        "CKV_GCP_6"
    ),
    "PostgreSQL 17 everywhere, in compose, chart and clouds": ("CKV_GCP_79"),
    "copies in other regions, and service levels, are the customer's to pay for": (
        "CKV_AWS_144 CKV_AZURE_170 CKV_AZURE_226 CKV_AZURE_232 CKV_AZURE_168 CKV_GCP_21"
    ),
    "deleted pictures are kept by soft delete": ("CKV_GCP_78"),
    "accounts of people in the cluster are the customer's": (
        "CKV_GCP_65 CKV_GCP_66 CKV_AZURE_141 CKV_AZURE_116 CKV_AZURE_172 CKV2_AZURE_40 CKV2_AZURE_41"
    ),
    "pods use the node's identity for the bucket": ("CKV_GCP_69"),
    "the dataplane that heeds network policies is switched on otherwise": ("CKV_GCP_12"),
    "certificates are off by default since GKE 1.12": ("CKV_GCP_13"),
    "the two zones are of a network of its own": ("CKV_AWS_394"),
    "images are built by the customer, and named by version": ("CKV_K8S_43 CKV_K8S_14 CKV_K8S_15"),
    "no limit of processor time: an inspection may use what is free": ("CKV_K8S_11"),
    "secrets come as variables, which is what the server reads": ("CKV_K8S_35"),
    "the namespace is the release's": ("CKV_K8S_21"),
    "user ids of the images themselves": ("CKV_K8S_40"),
}
"""Why a policy is not followed -> which ones. One that no longer applies is named."""


def main() -> int:
    """Render, ask, tell."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--checkov", type=Path, required=True, metavar="PROGRAM")
    checkov: Path = arguments.parse_args().checkov
    with tempfile.TemporaryDirectory() as folder:
        render(Path(folder))
        found = ask(checkov, Path(folder))
    accepted = {check: why for why, checks in ACCEPTED.items() for check in checks.split()}
    counted = Counter((check, about) for check, about in found)
    for (check, about), times in sorted(counted.items()):
        if check not in accepted:
            print(f"{times:>4}  {check:<14} {about}")
    for check in sorted(set(accepted) - {check for check, _ in counted}):
        print(f"      {check:<14} is accepted and no longer occurs")
    new_ones = sum(times for (check, _), times in counted.items() if check not in accepted)
    print(f"{new_ones} against the policies; {len(found) - new_ones} more are accepted, each with its reason")
    return 1 if new_ones else 0


def render(folder: Path) -> None:
    """Terraform of every cloud in both shapes with all that it can make, and what Helm makes of one chart."""
    for place, blobs in (("aws", "s3"), ("gcp", "gcs"), ("azure", "azure")):
        whole = {"place": place, "blobs": blobs, "database": "url", "managed": True}
        for shape in ("compose", "kubernetes"):
            new(folder / f"{place}-{shape}", {**whole, "shape": shape})
    new(folder / "own", {"shape": "kubernetes", "blobs": "s3", "database": "postgres"})
    made = helm.Chart.load(str(folder / "own/chart")).render({})
    (folder / "objects").mkdir()
    for name, text in made.items():
        (folder / "objects" / Path(name).name).write_text(text)


def ask(checkov: Path, folder: Path) -> list[tuple[str, str]]:
    """Failed checks: id, and what the policy wants."""
    command = [
        str(checkov),
        "--skip-download",
        "--output",
        "json",
        "--compact",
        "--framework",
        "terraform",
        "kubernetes",
    ]
    done = subprocess.run([*command, "--directory", str(folder)], capture_output=True, text=True)
    told = json.loads(done.stdout)
    results = told if isinstance(told, list) else [told]
    return [
        (failed["check_id"], failed["check_name"])
        for result in results
        for failed in result["results"]["failed_checks"]
        if "/chart/" not in failed["file_path"]
    ]


if __name__ == "__main__":
    sys.exit(main())
