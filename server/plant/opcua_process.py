"""Process values in and recommendations out over OPC UA, on the same way as REST's and MQTT's.

::

    Objects/Process/Recommend(Process, Part, At, Batch, Names, Values)
        -> Decision, SettingNames, SettingValues, Recommendation (all of it, as JSON)
    Objects/Process/TellOutcome(Process, Part, Batch, Disposition, ScrappedAt, Assignment, Names, Values) -> IsNew

Names are `step.setting` and `step.measurement`, Values their numbers, in the same order. What makes no sense fails with
BadInvalidArgument, a process that is not there with BadNotFound, and the log says what was wrong; while the database is
away it is BadResourceUnavailable: ask again. Whoever may come in may call both, as such a key may over REST.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import structlog
from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.status_codes import StatusCodes
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from qc.errors import NotFound, QcError, Unavailable
from server import process_intake
from server.context import Context
from server.plant.opcua_types import Answers, Do, Refused, declared, method, node_id
from server.process_intake import Asked, CameOf

log = structlog.get_logger(__name__)

BY = "opcua"
"""Who said it, in the audit trail."""
TEXT, NUMBER, FLAG = ua.VariantType.String, ua.VariantType.Double, ua.VariantType.Boolean


class ProcessDoor:
    """The object Process and its methods."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def build(self, server: Server, own: int) -> None:
        """Make its nodes.

        Args:
            own: index of the installation's namespace.
        """
        made = await server.nodes.objects.add_object(node_id("Process", own), ua.QualifiedName("Process", own))
        text, texts, numbers = _argument(TEXT), _argument(TEXT, array=True), _argument(NUMBER, array=True)
        readings = [texts("Names"), numbers("Values")]
        asked = [text(name) for name in ("Process", "Part", "At", "Batch")] + readings
        advice = [text("Decision"), texts("SettingNames"), numbers("SettingValues"), text("Recommendation")]
        await _add(server, made, own, "Recommend", self._recommend, asked, advice)
        came = [text(name) for name in ("Process", "Part", "Batch", "Disposition", "ScrappedAt", "Assignment")]
        await _add(server, made, own, "TellOutcome", self._tell_outcome, came + readings, [_argument(FLAG)("IsNew")])

    async def _recommend(self, process: str, part: str, at: str, batch: str, names: Any, values: Any) -> Answers:
        def do() -> dict[str, Any]:
            asked = Asked(part=part or "", at=at or "", batch=batch or None, observed=_observed(names, values))
            return process_intake.advise(self._context, process or "", [asked])[0]

        told = await _away(do)
        settings = {name: float(value) for name, value in told["settings"].items()}
        whole = json.dumps(told, ensure_ascii=False)
        return [(told["decision"], TEXT), (list(settings), TEXT), (list(settings.values()), NUMBER), (whole, TEXT)]

    async def _tell_outcome(self, process: str, part: str, batch: str, *came: Any) -> Answers:
        disposition, scrapped_at, assignment, names, values = came

        def do() -> bool:
            sent = CameOf(
                part=part or "",
                batch=batch or None,
                disposition=disposition or "",
                scrapped_at=scrapped_at or None,
                assignment=assignment or "",
                observed=_observed(names, values),
            )
            return process_intake.take_outcomes(self._context, process or "", [sent], by=BY).accepted == 1

        return [(await _away(do), FLAG)]


async def _away(do: Any) -> Any:
    """Do it on another thread, as it takes its time; what goes wrong is a status code, and a line of the log."""
    try:
        return await asyncio.to_thread(do)
    except (SQLAlchemyError, OSError, Unavailable) as error:
        log.error("what came over OPC UA could not be kept", problem=str(error))
        raise Refused(StatusCodes.BadResourceUnavailable) from error
    except (QcError, ValidationError) as error:
        log.warning("what came over OPC UA is refused", why=str(error))
        raise Refused(
            StatusCodes.BadNotFound if isinstance(error, NotFound) else StatusCodes.BadInvalidArgument
        ) from error


def _observed(names: Sequence[str] | None, values: Sequence[float] | None) -> dict[str, float]:
    names, values = names or [], values or []
    if len(names) != len(values):
        raise Refused(StatusCodes.BadInvalidArgument)
    return dict(zip(names, values, strict=True))


def _argument(kind: ua.VariantType, *, array: bool = False) -> Any:
    """Makes arguments of a type by their names."""

    def named(name: str) -> ua.Argument:
        made = ua.Argument()
        made.Name, made.DataType = name, ua.NodeId(ua.Int32(kind.value))
        made.ValueRank, made.ArrayDimensions = (1, [0]) if array else (-1, [])
        return made

    return named


async def _add(
    server: Server, parent: Any, own: int, name: str, do: Do, given: list[ua.Argument], told: list[ua.Argument]
) -> None:
    ident = node_id(f"Process.{name}", own)
    does = method(await declared(server, given), do)
    await parent.add_method(ident, ua.QualifiedName(name, own), does, given, told)
