"""Results of a station as OPC 40100-1's ResultDataType: kept under their ids, found by part, recipe, product, job."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asyncua import ua

from server.plant.handshake import WORDS, Fault, Reply

KEPT = 1000
"""Results of a station that can be asked for; older ones are in the database."""
COMPLETED, ABORTED, FAILED = 1, 3, 4
"""Of ResultStateDataType; results that are not there yet are not told of."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a client asked for with StartSingleJob."""

    number: int
    part: str
    recipe: int
    product: str
    measurement: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Result:
    """A job and what came of it."""

    station: str
    job: Job
    reply: Reply
    ended_at: datetime
    configuration: str

    @property
    def id(self) -> str:
        """The inspection's id, or where there was none the job's."""
        return self.reply.inspection or job_id(self.station, self.reply.number)

    @property
    def state(self) -> int:
        """In the words of ResultStateDataType."""
        return {Fault.NONE: COMPLETED, Fault.ABORTED: ABORTED}.get(self.reply.fault, FAILED)

    def fields(self) -> dict[str, tuple[Any, ua.VariantType]]:
        """By the names that ResultReadyEventType and ResultDataType share."""
        job, structures = self.job, ua.VariantType.ExtensionObject
        duration = self.reply.elapsed_ms
        times = structure("ProcessingTimesDataType", StartTime=job.started_at, EndTime=self.ended_at)
        times.ProcessingDuration = duration
        return {
            "ResultId": (structure("ResultIdDataType", Id=self.id), structures),
            "IsPartial": (False, ua.VariantType.Boolean),
            "IsSimulated": (False, ua.VariantType.Boolean),
            "ResultState": (self.state, ua.VariantType.Int32),
            "MeasId": (structure("MeasIdDataType", Id=job.measurement), structures),
            "PartId": (structure("PartIdDataType", Id=self.reply.part or job.part), structures),
            "ExternalRecipeId": (recipe_id(job.recipe, job.product, external=True), structures),
            "InternalRecipeId": (recipe_id(job.recipe, job.product, external=False), structures),
            "ProductId": (structure("ProductIdDataType", Id=job.product), structures),
            "ExternalConfigurationId": (structure("ConfigurationIdDataType", Id=self.configuration), structures),
            "InternalConfigurationId": (structure("ConfigurationIdDataType", Id=self.configuration), structures),
            "JobId": (structure("JobIdDataType", Id=job_id(self.station, self.reply.number)), structures),
            "CreationTime": (self.ended_at, ua.VariantType.DateTime),
            "ProcessingTimes": (times, structures),
            "ResultContent": (self.content(), ua.VariantType.Variant),
        }

    @property
    def text(self) -> str:
        """What went wrong, in words; empty where nothing did."""
        return WORDS[self.reply.fault]

    def content(self) -> list[ua.Variant]:
        """May the part pass, verdict, score from 0 to 1, defects, error code, and all of it as JSON."""
        reply, kinds = self.reply, ua.VariantType
        return [
            ua.Variant(reply.ok, kinds.Boolean),
            ua.Variant(str(reply.verdict), kinds.String),
            ua.Variant(float(reply.score), kinds.Double),
            ua.Variant(reply.defects, kinds.UInt32),
            ua.Variant(int(reply.fault), kinds.Int32),
            ua.Variant(json.dumps(result_json(self.station, reply), sort_keys=True), kinds.String),
        ]

    def value(self) -> Any:
        """As ResultDataType."""
        fields = {name: value for name, (value, _) in self.fields().items()}
        return structure("ResultDataType", HasTransferableDataOnFile=False, **fields)

    def matches(self, wished: Mapping[str, str], state: int) -> bool:
        """Is it what a client looks for?

        Args:
            wished: name of an id -> its value; empty: any.
            state: of ResultStateDataType; 0: any.
        """
        mine = {name: value.Id for name, (value, _) in self.fields().items() if name.endswith("Id")}
        return state in (0, self.state) and all(value in ("", mine[name]) for name, value in wished.items())


class Results:
    """The last results of one station; they outlive a server that ended."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, Result] = OrderedDict()

    def add(self, result: Result) -> None:
        """Keep it; the oldest go."""
        self._by_id[result.id] = result
        while len(self._by_id) > KEPT:
            self._by_id.popitem(last=False)

    def get(self, result_id: str) -> Result | None:
        """By its id."""
        return self._by_id.get(result_id)

    def matching(self, wished: Mapping[str, str], state: int) -> list[Result]:
        """Those that a client looks for, newest first."""
        return [one for one in reversed(self._by_id.values()) if one.matches(wished, state)]


def structure(name: str, **fields: Any) -> Any:
    """A value of one of the standard's structures; they are there once the types are loaded."""
    return getattr(ua, name)(**fields)


def recipe_id(index: int, product: str, *, external: bool) -> Any:
    """A recipe's id, with its product as description. Inside and outside it is the same."""
    name = "RecipeIdExternalDataType" if external else "RecipeIdInternalDataType"
    return structure(name, Id=str(index), Description=ua.LocalizedText(product))


def job_id(station: str, number: int) -> str:
    """The id of a station's job: unique for the installation."""
    return f"{station}#{number}"


def result_json(station: str, reply: Reply) -> dict[str, Any]:
    """A result as clients read it."""
    return {
        "job": job_id(station, reply.number),
        "part": reply.part,
        "ok": reply.ok,
        "verdict": str(reply.verdict),
        "score": reply.score,
        "defects": reply.defects,
        "inspection": reply.inspection,
        "elapsed_ms": round(reply.elapsed_ms, 1),
        "error": int(reply.fault),
        "error_text": WORDS[reply.fault],
    }
