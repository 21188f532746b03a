"""The connection to a Label Studio server: its project, its webhook, its tasks.

Pictures go up through the import API and not through a shared folder: it works the same for our own server and for one
somewhere else, and access to the picture is then Label Studio's own business.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from labeling.book import Told
from labeling.config import hints_of, is_current, label_config, labels_of
from labeling.studio_view import PRIORITY, URGENT_FIRST, corrected, view
from qc.errors import InvalidInput, NotFound, Unavailable

TITLE = "Defects to outline"
"""By this title the project is found again."""

DESCRIPTION = (
    "Crops that the inspection was in doubt about, with the part's other views beside them. Correct what is drawn, "
    "then submit. One tab to the right everything is a brush stroke, and then a polygon of few corners."
)

KEY = "label_task"
"""The field of a task's data that holds our id; by it a task is found again after a crash."""

MODEL = "inspection model"
"""Title of our model there; also the model version that the project shows, which then means: whatever it says now."""

EVENTS = (
    "ANNOTATION_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATIONS_DELETED",
    "TASKS_DELETED",
)
"""What we want to hear of. Label Studio says it once, and not at all when we do not listen: hence the sweep."""

TIMEOUT_S = 30.0

PAGE = 100
"""Tasks listed in one answer."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A task as Label Studio lists it."""

    id: int
    key: str
    """Our label task's id; empty if the task is not ours."""
    annotations: int
    """How many there are, skipped ones not counted."""
    fingerprint: str
    """Changes whenever an annotation is made, changed or removed."""
    people: int = 1
    """How many are asked to label it."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What we gave it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task to be made."""

    data: Mapping[str, Any]
    proposals: Sequence[Sequence[Mapping[str, Any]]]
    """Results, each a proposal of its own; Label Studio's page begins with the last."""
    score: float
    model: str
    """Version of the model that proposes."""


@dataclass(slots=True)
class Studio:
    """A Label Studio server, reached with a token; one project of it is ours."""

    url: str
    token: str = field(repr=False)
    project: int = 0
    """Number of our project; 0 before `ensure_project`."""
    identity: str = ""
    """Our project's number and birth: another one after Label Studio was set up anew."""
    classes: Mapping[int, str] = field(default_factory=dict)
    """Class id to label, as last given to `ensure_project`."""
    book: int = 0
    """Version of the label book that labellers are shown there; 0: none."""
    timeout_s: float = TIMEOUT_S
    _sdk: Any = field(default=None, repr=False)
    _http: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        from label_studio_sdk import LabelStudio
        from label_studio_sdk.core.api_error import ApiError

        self.url = self.url.rstrip("/")
        self._http = _client(self.url, self.timeout_s)
        try:
            self._sdk = LabelStudio(  # type: ignore[no-untyped-call]
                base_url=self.url, api_key=self.token, httpx_client=self._http
            )
        except ApiError as error:  # it looks into the token
            self._http.close()
            raise InvalidInput(
                f"the token for Label Studio on {self.url} is of no use: {_words(error.body)}"
            ) from error

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def check(self) -> str:
        """Who we are there; raises Unavailable."""
        return str(self.call("GET", "api/current-user/whoami")["email"])

    def ensure_project(self, classes: Mapping[int, str], *, title: str = TITLE, told: Told | None = None) -> int:
        """Our project's number; made, or given new classes and views, where it lacks them.

        Labels that are no longer among `classes` stay: finished annotations use them.

        Args:
            told: what the label book says; it shows as hints on the labels, and as the project's instructions.
        """
        self.classes = dict(sorted(classes.items()))
        listed = self.call("GET", "api/projects/", params={"title": title, "page_size": 1000})
        mine = sorted((p for p in listed["results"] if p["title"] == title), key=lambda p: int(p["id"]))
        labels = list(self.classes.values())
        wanted = {
            "title": title,
            "description": DESCRIPTION,
            "enable_empty_annotation": False,
            "show_collab_predictions": True,
            "maximum_annotations": 1,
        }
        hints = dict(told.hints) if told is not None else {}
        if told is not None:
            wanted |= {"expert_instruction": told.instructions, "show_instruction": bool(told.hints)}
        if not mine:
            made = self.call("POST", "api/projects/", json=wanted | {"label_config": label_config(labels, hints)})
        else:
            made = self.call("GET", f"api/projects/{mine[0]['id']}/")
            there = labels_of(made["label_config"])
            all_labels = labels + [label for label in there if label not in labels]
            changes = {k: v for k, v in wanted.items() if made.get(k) != v}
            shown = {label: words for label, words in hints.items() if label in all_labels}
            same = set(there) == set(all_labels) and hints_of(made["label_config"]) == shown
            if not same or not is_current(made["label_config"]):
                changes["label_config"] = label_config(all_labels, hints)
            if changes:
                self.call("PATCH", f"api/projects/{made['id']}/", json=changes)
        self.project, self.identity = int(made["id"]), f"{made['id']}@{made['created_at']}"
        self.book = told.version if told is not None else 0
        self._ensure_view()
        return self.project

    def ensure_webhook(self, url: str, headers: Mapping[str, str]) -> int:
        """Have Label Studio tell `url` what people do, with these headers; an older webhook of ours is corrected."""
        wanted = {
            "url": url,
            "headers": dict(headers),
            "actions": list(EVENTS),
            "send_payload": True,
            "send_for_all_actions": False,
            "is_active": True,
        }
        path = httpx.URL(url).path
        mine = [
            w for w in self.call("GET", "api/webhooks/", params={"project": self.project}) if _path(w["url"]) == path
        ]
        for surplus in mine[1:]:
            self.call("DELETE", f"api/webhooks/{surplus['id']}/")
        if not mine:
            return int(self.call("POST", "api/webhooks/", json=wanted | {"project": self.project})["id"])
        if any(mine[0].get(k) != v for k, v in wanted.items() if k != "actions") or set(mine[0]["actions"]) != set(
            EVENTS
        ):
            self.call("PATCH", f"api/webhooks/{mine[0]['id']}/", json=wanted)
        return int(mine[0]["id"])

    def ensure_model(self, url: str, *, user: str, password: str) -> int:
        """Have Label Studio ask the model at `url` for proposals, and for the mask of a click; its number there.

        Proposals are then always those of the model that serves: without it, Label Studio shows only those of the model
        that was first pushed.

        Raises:
            InvalidInput: Label Studio does not reach `url`, or the secret is wrong.
        """
        wanted = {
            "project": self.project,
            "title": MODEL,
            "description": "The model that inspects now",
            "url": url,
            "is_interactive": True,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": user,
            "basic_auth_pass": password,
        }
        listed = self.call("GET", "api/ml/", params={"project": self.project})
        mine = [m for m in listed if m["title"] == MODEL or _path(m["url"]) == _path(url)]
        for surplus in mine[1:]:
            self.call("DELETE", f"api/ml/{surplus['id']}")
        made = self.call("PATCH", f"api/ml/{mine[0]['id']}", json=wanted) if mine else None
        if made is None:
            made = self.call("POST", "api/ml/", json=wanted)
        self.call("PATCH", f"api/projects/{self.project}/", json={"model_version": MODEL})
        told = f"{_path(url)}/webhook"  # Label Studio adds a webhook without the secret; ours tells the same
        for webhook in self.call("GET", "api/webhooks/", params={"project": self.project}):
            if _path(webhook["url"]) == told:
                self.call("DELETE", f"api/webhooks/{webhook['id']}/")
        return int(made["id"])

    def ask_people(self, number: int, people: int) -> None:
        """Have so many people label a task; Label Studio offers it to each of them once."""
        self.call("PATCH", f"api/tasks/{number}/", json={"overlap": people})

    def fetch(self, address: str) -> bytes:
        """A file that Label Studio keeps, by its address there (`/data/…`).

        Raises:
            InvalidInput: the address leads elsewhere.
        """
        path = httpx.URL(address)
        if path.host or not path.path.startswith("/data/") or ".." in path.path:
            raise InvalidInput(f"the picture {address!r} is not kept by Label Studio; only its own files are read")
        try:
            answer = self._sdk._client_wrapper.httpx_client.request(
                address.lstrip("/"), method="GET", request_options={"max_retries": 0}
            )
        except httpx.HTTPError as error:
            raise Unavailable(f"Label Studio on {self.url} does not answer ({type(error).__name__})") from error
        if answer.status_code != 200:
            raise NotFound(f"Label Studio on {self.url} has no {address} ({answer.status_code})")
        return bytes(answer.content)

    def find_task(self, key: str) -> Listed | None:
        """The task with our id; the oldest if a crash made two."""
        return self.find_tasks([key]).get(key)

    def find_tasks(self, keys: Sequence[str]) -> dict[str, Listed]:
        """Those of our ids that are there, in one request; of two with the same id the one with more annotations."""
        equal = {"filter": f"filter:tasks:data.{KEY}", "operator": "equal", "type": "String"}
        query = {"filters": {"conjunction": "or", "items": [equal | {"value": key} for key in keys]}}
        found: dict[str, Listed] = {}
        for task in sorted(self._list(query), key=lambda t: (-t.annotations, t.id)) if keys else ():
            if task.key in keys:
                found.setdefault(task.key, task)
        return found

    def tasks(self) -> Iterator[Listed]:
        """All tasks of our project."""
        return self._list(None)

    def upload(self, picture: bytes, *, name: str) -> str:
        """Store a PNG or JPEG there; the address under which Label Studio shows it."""
        return self.upload_all({name: picture})[name]

    def upload_all(self, pictures: Mapping[str, bytes]) -> dict[str, str]:
        """Store PNG or JPEG files there, in two requests; the address of each by its name.

        Args:
            pictures: file name, of letters, digits, `.`, `_` and `-`, to its bytes.
        """
        if not pictures:
            return {}
        kinds = {name: "image/jpeg" if name.endswith(".jpg") else "image/png" for name in pictures}
        files = {name: (name, picture, kinds[name]) for name, picture in pictures.items()}
        form = httpx.Request("POST", self.url, files=files)
        answer = self.call(
            "POST",
            f"api/projects/{self.project}/import",
            params={"commit_to_project": "false"},
            content=form.read(),  # as one piece: in many, each waits for this process's other threads
            headers={"Content-Type": form.headers["Content-Type"]},
        )
        ids = answer["file_upload_ids"]
        path = f"api/projects/{self.project}/file-uploads"
        stored = [str(each["file"]) for each in self.call("GET", path, params={"ids": json.dumps(ids)})]
        addresses = {}
        for name in pictures:  # it is stored under eight characters and a dash before the name
            file = next((f for f in stored if f.rpartition("/")[2][9:] == name), None)
            if file is None:
                raise Unavailable(f"Label Studio on {self.url} did not keep the picture {name}; it is sent again")
            addresses[name] = f"/data/{file}"
        return addresses

    def create_task(
        self, data: Mapping[str, Any], result: Sequence[Mapping[str, Any]], *, score: float, model: str
    ) -> int:
        """Make a task together with a first proposal, in one request; its number."""
        return self.create_tasks([Wanted(data, [result], score, model)])[0]

    def create_tasks(self, wanted: Sequence[Wanted]) -> list[int]:
        """Make tasks together with their proposals, in one request: all or none; their numbers, in the same order."""
        body = [
            {
                "data": dict(each.data),
                "predictions": [
                    {"result": list(result), "score": each.score, "model_version": each.model}
                    for result in each.proposals
                ],
            }
            for each in wanted
        ]
        path = f"api/projects/{self.project}/import"
        coded = json.dumps(body).encode()  # by the SDK it takes a second: it looks at every number of every stroke
        headers = {"Content-Type": "application/json"}
        answer = self.call("POST", path, params={"return_task_ids": "true"}, content=coded, headers=headers)
        return [int(number) for number in answer["task_ids"]]

    def task(self, number: int) -> dict[str, Any]:
        """One task with its annotations; raises NotFound."""
        found: dict[str, Any] = self.call("GET", f"api/tasks/{number}/")
        return found

    def prioritise(self, listed: Listed, priority: float) -> None:
        """Move a task in the order in which people are given them."""
        data = {**listed.data, PRIORITY: round(priority, 4)}
        self.call("PATCH", f"api/tasks/{listed.id}/", json={"data": data})

    def delete_task(self, number: int) -> None:
        """Remove a task; one that is not there is no error."""
        try:
            self.call("DELETE", f"api/tasks/{number}/")
        except NotFound:
            return

    def task_url(self, number: int) -> str:
        """Where a person labels this task."""
        return f"{self.url}/projects/{self.project}/data?task={number}"

    def call(self, method: str, path: str, **options: Any) -> Any:
        """One request to Label Studio's API through the SDK's connection (which knows both kinds of token).

        Raises:
            Unavailable: it does not answer, refuses the token, or has trouble of its own.
            NotFound: there is no such thing.
            InvalidInput: it does not accept what we sent.
        """
        from label_studio_sdk.core.api_error import ApiError

        try:
            answer = self._sdk._client_wrapper.httpx_client.request(
                path,
                method=method,
                request_options={"max_retries": 0},  # a repeated POST could create twice; our jobs know how to repeat
                **options,
            )
        except httpx.HTTPError as error:
            raise Unavailable(f"Label Studio on {self.url} does not answer ({type(error).__name__})") from error
        except ApiError as error:
            raise Unavailable(f"Label Studio on {self.url} refuses the token: {_words(error.body)}") from error
        if answer.status_code in (401, 403):
            raise Unavailable(
                f"Label Studio on {self.url} refuses the token ({answer.status_code}); give it a valid one"
            )
        if answer.status_code == 404:
            raise NotFound(f"Label Studio on {self.url} has no {path}")
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            raise Unavailable(f"Label Studio on {self.url} has trouble with {path} ({answer.status_code})")
        if answer.status_code >= 400:
            raise InvalidInput(f"Label Studio does not accept {method} {path}: {_words(answer.text)}")
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError as error:
            raise Unavailable(f"{self.url} answers, but not as Label Studio does; is this its address?") from error

    def _list(self, query: dict[str, Any] | None) -> Iterator[Listed]:
        options = {"project": self.project, "page_size": PAGE, "fields": "task_only"}
        if query is not None:
            options["query"] = json.dumps(query)
        page, seen = 1, 0
        while True:
            try:
                answer = self.call("GET", "api/tasks/", params=options | {"page": page})
            except NotFound:
                return  # a page behind the last one
            yield from map(_listed, answer["tasks"])
            seen += len(answer["tasks"])
            if not answer["tasks"] or seen >= int(answer["total"]):
                return
            page += 1

    def _ensure_view(self) -> None:
        views = self.call("GET", "api/dm/views/", params={"project": self.project})
        mine = [v for v in views if (v.get("data") or {}).get("title") == URGENT_FIRST]
        if not mine:
            self.call("POST", "api/dm/views/", json={"project": self.project, "data": view()})
        elif (better := corrected(mine[0]["data"])) is not None:
            self.call("PATCH", f"api/dm/views/{mine[0]['id']}/", json={"project": self.project, "data": better})


def _listed(task: Mapping[str, Any]) -> Listed:
    data = task.get("data")
    return Listed(
        id=int(task["id"]),
        key=str(data.get(KEY) or "") if isinstance(data, Mapping) else "",
        annotations=int(task.get("total_annotations") or 0),
        people=int(task.get("overlap") or 1),
        data=data if isinstance(data, Mapping) else {},
        fingerprint=f"{task.get('updated_at')} {task.get('total_annotations')} {task.get('cancelled_annotations')}",
    )


def answers(url: str, *, patience_s: float = 5.0) -> bool:
    """Does a Label Studio answer there?"""
    try:
        with _client(url, patience_s) as client:
            return client.get(f"{url.rstrip('/')}/health").status_code == 200
    except httpx.HTTPError:
        return False


def _client(url: str, timeout_s: float) -> httpx.Client:
    """A connection with a time limit, past any proxy where Label Studio is on this machine."""
    here = httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")
    return httpx.Client(timeout=timeout_s, trust_env=not here, follow_redirects=True)


def _path(url: str) -> str:
    return httpx.URL(url).path


def _words(body: object) -> str:
    return str(body)[:300]
