"""Who may do what: the one table from call to roles. A call that is not in it does not exist for anybody."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache

PREFIX = "/api/v1"
PROTOCOL = "/v2"
"""Where the Open Inference Protocol wants its calls; their rules name the whole path."""


class Role(StrEnum):
    """What an account or a key is for."""

    OPERATOR = "operator"
    """Judges parts at a station."""
    LEADER = "leader"
    """Leads a shift: judges parts, and answers those who are unsure of one."""
    LABELLER = "labeller"
    """Outlines defects."""
    ENGINEER = "engineer"
    """Looks after models and processes."""
    ADMIN = "admin"
    """Everything."""
    MACHINE = "machine"
    """A camera computer or a line: sends pictures and process values, asks for recommendations."""


PUBLIC: frozenset[Role] | None = None
"""No log-in needed."""
ANYBODY = frozenset(Role)
"""Anybody who is logged in, and every key."""
PEOPLE = ANYBODY - {Role.MACHINE}
LEADS = frozenset({Role.LEADER, Role.ENGINEER, Role.ADMIN})
STANDS = LEADS | {Role.OPERATOR}
"""Stands at a station and says a word of their own."""
DECIDES = STANDS | {Role.MACHINE}
ENGINEERS = frozenset({Role.ENGINEER, Role.ADMIN})
LABELS = frozenset({Role.LABELLER, Role.ENGINEER, Role.ADMIN})
SENDS = frozenset({Role.MACHINE, Role.ENGINEER, Role.ADMIN})
ADMINS = frozenset({Role.ADMIN})

RULES: dict[tuple[str, str], frozenset[Role] | None] = {
    ("GET", "/health"): PUBLIC,
    ("GET", "/people"): ADMINS,
    ("POST", "/people"): ADMINS,
    ("PATCH", "/people/{name}"): ADMINS,
    ("DELETE", "/people/{name}"): ADMINS,
    ("GET", "/keys"): ADMINS,
    ("POST", "/keys"): ADMINS,
    ("DELETE", "/keys/{id}"): ADMINS,
    ("GET", "/first-run"): ADMINS,
    ("PATCH", "/first-run"): ADMINS,
    ("GET", "/settings"): ADMINS,
    ("PATCH", "/settings"): ADMINS,
    ("GET", "/products"): ENGINEERS,
    ("GET", "/products/{name}"): ENGINEERS,
    ("PUT", "/products/{name}"): ENGINEERS,
    ("POST", "/calibrations"): ENGINEERS,
    ("GET", "/connections"): ENGINEERS,
    ("POST", "/connections/{name}/test"): ENGINEERS,
    ("GET", "/audit"): ADMINS,
    ("GET", "/audit.csv"): ADMINS,
    ("POST", "/audit/verify"): ADMINS,
    ("GET", "/backups"): ADMINS,
    ("POST", "/backups"): ADMINS,
    ("DELETE", "/backups/{name}"): ADMINS,
    ("GET", "/metrics"): ANYBODY,
    ("GET", "/events"): ANYBODY,
    ("POST", "/session"): PUBLIC,
    ("GET", "/session"): PUBLIC,
    ("DELETE", "/session"): PUBLIC,
    ("POST", "/session/password"): PEOPLE,
    ("GET", "/session/ways"): PUBLIC,
    ("GET", "/session/oidc"): PUBLIC,  # somebody who is about to log in
    ("GET", "/session/oidc/callback"): PUBLIC,
    ("POST", "/inspections"): SENDS,
    ("GET", "/inspections"): ANYBODY,
    ("GET", "/inspections.csv"): PEOPLE,
    ("GET", "/search"): PEOPLE,
    ("GET", "/inspections/{id}"): ANYBODY,
    ("POST", "/inspections/{id}/decision"): DECIDES,
    ("POST", "/inspections/{id}/undo"): STANDS,
    ("POST", "/inspections/{id}/call"): STANDS,
    ("GET", "/calls"): PEOPLE,
    ("GET", "/calls.csv"): PEOPLE,
    ("POST", "/calls/{id}/answer"): LEADS,
    ("POST", "/calls/{id}/withdraw"): STANDS,
    ("GET", "/inspections/{id}/images/{n}/original"): ANYBODY,
    ("GET", "/inspections/{id}/images/{n}/overlay.png"): ANYBODY,
    ("GET", "/inspections/{id}/images/{n}/mask.png"): ANYBODY,
    ("GET", "/inspections/{id}/images/{n}/thumbnail.jpg"): ANYBODY,
    ("GET", "/inspections/{id}/images/{n}/good"): ANYBODY,
    ("GET", "/inspections/{id}/images/{n}/difference.png"): ANYBODY,
    ("GET", "/inspections/{id}/images/{n}/tiles/{level}/{column}_{row}.jpg"): ANYBODY,
    ("GET", "/inspections/{id}/defects/{number}/similar"): ANYBODY,
    ("GET", "/heads"): ANYBODY,
    ("POST", "/heads"): ENGINEERS,
    ("POST", "/heads/search"): ENGINEERS,
    ("POST", "/heads/{id}/retire"): ENGINEERS,
    ("GET", "/parts/{part}"): ANYBODY,
    ("POST", "/parts/{part}/verdict"): DECIDES,
    ("GET", "/stations"): ANYBODY,
    ("GET", "/stations/{station}/mode"): ANYBODY,
    ("POST", "/stations/{station}/mode"): ENGINEERS,
    ("GET", "/wall"): ANYBODY,
    ("GET", "/alarms"): ANYBODY,
    ("POST", "/alarms/{id}/close"): ENGINEERS,
    ("GET", "/cameras"): ANYBODY,
    ("POST", "/cameras/{station}/accept"): ENGINEERS,
    ("GET", "/golden"): ANYBODY,
    ("GET", "/golden/{product}"): ANYBODY,
    ("POST", "/golden/{product}"): ENGINEERS,
    ("POST", "/golden-looks"): ENGINEERS,
    ("GET", "/money"): ENGINEERS,
    ("GET", "/money.csv"): ENGINEERS,
    ("GET", "/outbound"): ENGINEERS,
    ("POST", "/outbound/{name}/resume"): ADMINS,
    ("POST", "/outbound/{name}/skip"): ADMINS,
    ("DELETE", "/outbound/{name}"): ADMINS,
    ("POST", "/erasures"): ADMINS,
    ("POST", "/erasures/person"): ADMINS,
    ("GET", "/erasures"): ENGINEERS,
    ("GET", "/label-tasks"): ANYBODY,
    ("GET", "/label-tasks.csv"): PEOPLE,
    ("POST", "/label-tasks/{id}/golden"): ENGINEERS,
    ("GET", "/labels/quality"): ENGINEERS,
    ("GET", "/labels/quality.csv"): ENGINEERS,
    ("GET", "/data-sets"): LABELS,
    ("GET", "/data-sets/{job}/difference"): LABELS,
    ("GET", "/label-book"): ANYBODY,
    ("GET", "/label-book/{class}"): ANYBODY,
    ("PUT", "/label-book/{class}"): ENGINEERS,
    ("POST", "/label-book/{class}/examples"): LABELS,
    ("POST", "/label-examples/{id}/answer"): ENGINEERS,
    ("GET", "/label-examples/{id}/picture.png"): ANYBODY,
    ("GET", "/label-disputes"): LABELS,
    ("POST", "/label-disputes/{key}/settle"): ENGINEERS,
    ("GET", "/label-drawings/{id}/picture.png"): LABELS,
    ("GET", "/models"): ANYBODY,
    ("GET", "/models.csv"): PEOPLE,
    ("GET", "/models/{id}/card"): ANYBODY,
    ("POST", "/models/{id}/promote"): ENGINEERS,
    ("POST", "/models/rollback"): ENGINEERS,
    ("GET", "/models/shadow"): ANYBODY,
    ("GET", "/models/shadow/disagreements"): ANYBODY,
    ("POST", "/models/shadow/approval"): ENGINEERS,
    ("POST", "/models/{id}/challenge"): ENGINEERS,
    ("GET", "/models/assignments"): ANYBODY,
    ("POST", "/models/{id}/assign"): ENGINEERS,
    ("POST", "/models/assignments/rollback"): ENGINEERS,
    ("GET", "/jobs"): ANYBODY,
    ("GET", "/jobs/{id}"): ANYBODY,
    ("POST", "/jobs/retrain"): ENGINEERS,
    ("POST", "/label-studio/webhook"): PUBLIC,  # proves itself by a shared secret
    ("GET", "/ml/health"): PUBLIC,  # these too (OWN_SECRET)
    ("GET", "/ml/versions"): PUBLIC,
    ("POST", "/ml/setup"): PUBLIC,
    ("POST", "/ml/predict"): PUBLIC,
    ("POST", "/ml/webhook"): PUBLIC,
    ("POST", "/ml/train"): PUBLIC,
    ("GET", "/processes"): ANYBODY,
    ("GET", "/processes/{name}"): ANYBODY,
    ("POST", "/processes/{name}/recommendations"): SENDS,
    ("GET", "/processes/{name}/recommendations"): ANYBODY,
    ("POST", "/processes/{name}/recommendations/{id}/approval"): ENGINEERS,
    ("GET", "/processes/{name}/parts/{part}/plan"): ANYBODY,
    ("POST", "/processes/{name}/what-if"): ENGINEERS,
    ("POST", "/processes/{name}/outcomes"): SENDS,
    ("POST", "/processes/{name}/outcomes.csv"): SENDS,
    ("GET", "/processes/{name}/summary"): ANYBODY,
    ("GET", "/processes/{name}/capability"): ANYBODY,
    ("GET", "/processes/{name}/worth"): ANYBODY,
    ("GET", "/processes/{name}/levers"): ANYBODY,
    ("GET", "/processes/{name}/promises"): ANYBODY,
    ("GET", "/processes/{name}/exploring"): ANYBODY,
    ("GET", "/processes/{name}/recommendations.csv"): PEOPLE,
    ("GET", "/processes/{name}/capability.csv"): PEOPLE,
    ("GET", "/processes/{name}/levers.csv"): PEOPLE,
    ("GET", "/processes/{name}/recipe"): ENGINEERS,
    ("GET", "/processes/{name}/recipe.csv"): ENGINEERS,
    ("POST", "/processes/{name}/recipe"): ENGINEERS,
    ("POST", "/processes/{name}/recipe/trials"): ENGINEERS,
    ("POST", "/processes/{name}/recipe/trials/{number}/end"): ENGINEERS,
    ("GET", "/processes/{name}/batches"): ANYBODY,
    ("GET", "/processes/{name}/batch"): ANYBODY,
    ("GET", "/processes/{name}/batch.csv"): ANYBODY,
    ("POST", "/processes/{name}/batch/decision"): ENGINEERS,
    ("POST", "/processes/{name}/batch/approval"): ENGINEERS,
    ("GET", "/v2"): ANYBODY,
    ("GET", "/v2/health/live"): PUBLIC,  # probes of Kubernetes have no key
    ("GET", "/v2/health/ready"): PUBLIC,
    ("GET", "/v2/models/{name}"): ANYBODY,
    ("GET", "/v2/models/{name}/ready"): ANYBODY,
    ("POST", "/v2/models/{name}/infer"): SENDS,
    ("GET", "/v2/models/{name}/versions/{version}"): ANYBODY,
    ("GET", "/v2/models/{name}/versions/{version}/ready"): ANYBODY,
    ("POST", "/v2/models/{name}/versions/{version}/infer"): SENDS,
    ("POST", "/v2/repository/index"): ANYBODY,
}
"""(method, path below /api/v1, or whole below /v2) -> who may. Names in braces stand for one piece of the path,
`{part}` for one or more: the name of a part may hold a slash."""

OWN_SECRET = "/ml/"
"""Calls below this prove themselves by a secret of their own, in an Authorization header that is no key of ours."""


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    paths = sorted({path for _, path in RULES}, key=lambda p: ("{" in p, p))  # plain paths before those with names
    return tuple((re.compile(_pattern(path)), path) for path in paths)


def _pattern(path: str) -> str:
    return re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path).replace(r"\{part\}", ".+"))


def is_protocol(path: str) -> bool:
    """Does an address, or a rule's path, belong to the Open Inference Protocol?"""
    return path == PROTOCOL or path.startswith(PROTOCOL + "/")


def guarded(address: str) -> bool:
    """Is it a call, which needs a rule? The pages do not."""
    return address.startswith(PREFIX + "/") or is_protocol(address)


def address_of(path: str) -> str:
    """Where a rule's path is called."""
    return path if is_protocol(path) else PREFIX + path


def template(method: str, address: str) -> str | None:
    """The rule's path that fits an address, or None; of several, one that has a rule for the method (of HEAD: for GET),
    as that is the one that answers."""
    path = address.removeprefix(PREFIX)
    if not guarded(address) or (path != address and is_protocol(path)):
        return None
    fitting = [name for pattern, name in _patterns() if pattern.fullmatch(path)]
    asked = "GET" if method == "HEAD" else method
    return next((name for name in fitting if (asked, name) in RULES), next(iter(fitting), None))


def same_path(path: str) -> str:
    """A path template with its names blotted out, for comparing `{id}` with `{inspection_id}`."""
    return re.sub(r"\{[^}]*\}", "{}", path)
