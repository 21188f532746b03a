"""The catalogue of training-data sources: what there is, whose it is, who may open it. Every opening is told.

# sources.yaml
sources:
  line-1:
    url: s3://plant/line-1          # or az://, gs://, or a folder
    format: shards                  # shards, folder (contracts, section 2)
    credentials: env:LINE_1         # where the secret is, never the secret: env:NAME, file:/path, none, computer
    options: {endpoint: "http://10.0.0.7:8333", region: us-east-1}
    owner: surface team, plant north
    licence: internal
    until: 2027-12-31               # the last day on which it may be opened; left out: no end
    roles: [engineer, admin]        # who may open it
    note: brushed bars since March
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml

from labeling.sources.folders import open_folder
from labeling.sources.places import Place, place_at
from labeling.sources.reading import Ranges
from labeling.sources.shards import open_shards
from qc.errors import Conflict, InvalidInput, NotFound, QcError, Unavailable
from qc.object_stores import is_remote
from qc.plain_yaml import parsed

OPEN: dict[str, Callable[[Place], Ranges]] = {"shards": open_shards, "folder": open_folder}
"""Format of a source -> what opens it."""

NOBODY, COMPUTER = "none", "computer"
"""Credentials of a source that is public, and of one for which this computer's own identity is enough."""

_SECRETS = ("key", "secret", "token", "password", "sas")
"""An option whose name holds one of these is a secret and does not belong into a catalogue."""


@dataclass(frozen=True, slots=True)
class Source:
    """A place with training data, and what holds for it."""

    name: str
    url: str
    format: str
    """A key of `OPEN`."""
    owner: str
    """Whom to ask."""
    licence: str
    roles: frozenset[str]
    """Who may open it."""
    credentials: str = NOBODY
    """`env:NAME` or `file:PATH` of a JSON object with obstore's option names, `none`, or `computer`."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Endpoint, region: what is no secret."""
    until: date | None = None
    """The last day on which it may be opened."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Opening:
    """That somebody opened a source, or was refused: an entry for the audit trail."""

    source: str
    url: str
    by: str
    role: str
    at: datetime
    allowed: bool
    why: str
    """What for; where it was refused, why not."""
    samples: int = 0
    licence: str = ""


Record = Callable[[Opening], None]
"""Writes an opening down. Raises where it cannot: then the source is not opened."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A source that was opened."""

    source: Source
    reader: Ranges


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Sources by name."""

    sources: Mapping[str, Source]
    secrets: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    """Where `env:` looks."""

    def open(self, name: str, *, by: str, role: str, purpose: str, at: datetime, record: Record) -> Opened:
        """Open a source for reading, if that person may; the trail is told before any byte of a sample is given.

        Args:
            name: in the catalogue.
            by: who asks; `role` theirs.
            purpose: what for, in words.
            at: now.
            record: writes it down, also where it is refused.

        Raises:
            NotFound: no such source.
            Conflict: the role may not, or its time is over.
            InvalidInput: its credentials are missing, or what lies there makes no sense.
            Unavailable: its place does not answer.
        """
        source = self.sources.get(name)
        if source is None:
            raise NotFound(f"the catalogue has no source {name}; it has {', '.join(sorted(self.sources)) or 'none'}")

        def tell(allowed: bool, why: str, samples: int = 0) -> None:
            record(Opening(name, source.url, by, role, at, allowed, why, samples, source.licence))

        refusal = ""
        if role not in source.roles:
            refusal = (
                f"{name} is for {', '.join(sorted(source.roles))} and not for {role}; ask its owner, {source.owner}"
            )
        elif source.until is not None and at.date() > source.until:
            refusal = f"{name} might be used until {source.until}; ask its owner, {source.owner}"
        if refusal:
            tell(False, refusal)
            raise Conflict(refusal)
        try:
            reader = OPEN[source.format](self.place(source))
        except QcError as error:
            tell(False, error.message)
            raise
        tell(True, purpose, len(reader.index.entries))
        return Opened(source, reader)

    def place(self, source: Source) -> Place:
        """Where a source lies, with its credentials; checks nobody's right. Raises InvalidInput."""
        if not is_remote(source.url):
            return place_at(source.url)
        return place_at(source.url, {**source.options, **self._credentials(source)})

    def _credentials(self, source: Source) -> dict[str, Any]:
        kind, _, where = source.credentials.partition(":")
        if source.credentials == NOBODY:
            return {"skip_signature": True}
        if source.credentials == COMPUTER:
            return {}
        if kind == "env":
            text = self.secrets.get(where)
            if text is None:
                raise InvalidInput(
                    f"{source.name} needs the environment variable {where}; ask its owner, {source.owner}"
                )
        else:
            try:
                text = Path(where).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidInput(f"{source.name} needs the file {where}, which cannot be read: {error}") from error
        try:
            told = json.loads(text)
        except ValueError as error:
            raise InvalidInput(f"{source.credentials} of {source.name} is no JSON") from error  # never its text
        if not isinstance(told, dict) or not told:
            raise InvalidInput(
                f'{source.credentials} of {source.name} must be a JSON object such as {{"access_key_id": …}}'
            )
        return {str(k): v for k, v in told.items()}


def read_catalogue(path: Path, *, secrets: Mapping[str, str] | None = None) -> Catalogue:
    """Read a catalogue. Raises InvalidInput naming the source and what is wrong, Unavailable if it cannot be read."""
    try:
        told: Any = parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is no YAML: {error}") from error
    listed = told.get("sources") if isinstance(told, dict) else None
    if not isinstance(listed, dict) or not listed:
        raise InvalidInput(f"{path} must have `sources`, by name")
    sources = {str(name): _source(str(name), one, path.parent) for name, one in listed.items()}
    return Catalogue(sources, os.environ if secrets is None else secrets)


_KNOWN = ("url", "format", "credentials", "options", "owner", "licence", "until", "roles", "note")
_NEEDED = ("url", "format", "owner", "licence", "roles")


def _source(name: str, told: Any, beside: Path) -> Source:
    if not isinstance(told, dict):
        raise InvalidInput(f"source {name} must be {', '.join(_KNOWN)} with their values")
    if unknown := sorted(set(told) - set(_KNOWN)):
        raise InvalidInput(f"source {name} has {', '.join(map(str, unknown))}; known are {', '.join(_KNOWN)}")
    if missing := [key for key in _NEEDED if not told.get(key)]:
        raise InvalidInput(f"source {name} lacks {', '.join(missing)}")
    url, options, until = str(told["url"]), told.get("options") or {}, told.get("until")
    if told["format"] not in OPEN:
        raise InvalidInput(f"source {name}: format must be one of {', '.join(OPEN)}, not {told['format']!r}")
    if not isinstance(options, dict) or any(word in str(key).lower() for key in options for word in _SECRETS):
        raise InvalidInput(
            f"source {name}: options hold no secret; name an environment variable or file in `credentials`"
        )
    credentials = str(told.get("credentials", NOBODY))
    if credentials not in (NOBODY, COMPUTER) and not credentials.startswith(("env:", "file:")):
        raise InvalidInput(f"source {name}: credentials must be env:NAME, file:PATH, {NOBODY} or {COMPUTER}")
    if until is not None and (not isinstance(until, date) or isinstance(until, datetime)):
        raise InvalidInput(f"source {name}: until must be a day such as 2027-12-31, not {until!r}")
    if not isinstance(told["roles"], list):
        raise InvalidInput(f"source {name}: roles must be a list such as [engineer]")
    if not is_remote(url):
        url = str((beside / url).resolve())
    return Source(
        name=name,
        url=url,
        format=str(told["format"]),
        owner=str(told["owner"]),
        licence=str(told["licence"]),
        roles=frozenset(map(str, told["roles"])),
        credentials=credentials,
        options={str(k): str(v) for k, v in options.items()},
        until=until,
        note=str(told.get("note", "")),
    )
