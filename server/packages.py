"""What this installation is made of: Python and JavaScript packages with versions, and what is known against them.

A bill of materials is CycloneDX 1.6 (JSON). Known weaknesses come from a database that speaks OSV's interface, which is
told names and versions of public packages and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from qc.errors import InvalidInput, Unavailable

OSV = "https://api.osv.dev"
AT_ONCE = 1000
"""Questions in one request; OSV takes no more."""
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """A package of somebody else's."""

    purl: str
    """Its name among all packages of the world: `pkg:pypi/numpy@2.2.6`."""
    name: str
    version: str
    licence: str
    """As it says itself; empty where it says nothing short."""


def installed() -> list[Package]:
    """The Python packages of this environment, without our own; sorted."""
    found = set()
    for one in distributions():
        name, version = one.metadata["Name"], one.version
        if name and name != "qc-line":
            about = one.metadata.json
            told = str(about.get("license_expression") or about.get("license") or "")
            plain = re.sub(r"[-_.]+", "-", name).lower()
            licence = told.strip() if len(told) < 100 and "\n" not in told.strip() else ""
            found.add(Package(f"pkg:pypi/{plain}@{quote(version)}", name, version, licence))
    return sorted(found)


def locked(file: Path) -> list[Package]:
    """The JavaScript packages of a `package-lock.json` that reach the browser; sorted. None without the file.

    Raises:
        InvalidInput: the file is no lock file of version 2 or 3.
    """
    if not file.exists():
        return []
    try:
        lines = json.loads(file.read_text(encoding="utf-8"))["packages"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{file} is no package-lock.json of version 2 or 3; run `npm install`") from error
    found = set()
    for place, line in lines.items():
        name = place.rpartition("node_modules/")[2]
        if name and "version" in line and not line.get("dev"):
            purl = f"pkg:npm/{quote(name, safe='/')}@{quote(line['version'])}"
            found.add(Package(purl, name, line["version"], str(line.get("license", ""))))
    return sorted(found)


def bill(packages: Sequence[Package], *, version: str, at: datetime) -> dict[str, Any]:
    """A bill of materials."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": at.isoformat(),
            "component": {"type": "application", "name": "qc-line", "version": version},
        },
        "components": [
            {
                "type": "library",
                "bom-ref": package.purl,
                "name": package.name,
                "version": package.version,
                "purl": package.purl,
                **({"licenses": [{"license": {"name": package.licence}}]} if package.licence else {}),
            }
            for package in packages
        ],
    }


def known_against(packages: Sequence[Package], *, osv: str = OSV) -> dict[str, list[str]]:
    """Package (purl) -> ids of the weaknesses that are known of just this version; those without any are left out.

    Raises:
        Unavailable: the database does not answer, or not as OSV does.
    """
    found: dict[str, list[str]] = {}
    with httpx.Client(base_url=osv, timeout=PATIENCE_S) as client:
        asked: list[dict[str, Any]] = [{"package": {"purl": package.purl}} for package in packages]
        while asked:
            now, asked = asked[:AT_ONCE], asked[AT_ONCE:]
            try:
                answer = client.post("/v1/querybatch", json={"queries": now})
                results = answer.raise_for_status().json()["results"]
                for question, result in zip(now, results, strict=True):
                    ids = [str(one["id"]) for one in result.get("vulns", [])]
                    if ids:
                        found.setdefault(question["package"]["purl"], []).extend(ids)
                    if result.get("next_page_token"):
                        asked.append({**question, "page_token": result["next_page_token"]})
            except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise Unavailable(f"{osv} does not say what is known against packages: {error}") from error
    return found
