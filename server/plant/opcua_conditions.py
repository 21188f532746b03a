"""Conditions of a vision system: why it cannot take parts, and what lights its andon; acknowledged, then confirmed.

A condition stays until it is over and acknowledged and confirmed. That it was acknowledged here says that the control
system has seen it; a person's answer to an alarm is given at the operator page, with its reason.
"""

from __future__ import annotations

from typing import Any

from asyncua import ua
from asyncua.common.node import Node
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from server.plant.opcua_events import WARNING, Teller
from server.plant.opcua_space import Space
from server.plant.opcua_types import Refused, link, node_id

ROOT = ("0:ConditionType", "0:AcknowledgeableConditionType")


class Condition:
    """One condition of a vision system, an object below it."""

    def __init__(self, space: Space, teller: Teller, kind: str, name: str, *, stops: bool) -> None:
        """
        Args:
            kind: of the standard's types, such as `VisionErrorConditionType`.
            name: of the object.
            stops: while it lasts no part is taken.
        """
        self._space, self._teller, self._name, self._stops = space, teller, name, stops
        model = space.model
        self._kind = (*ROOT, f"{model}:VisionConditionType", f"{model}:{kind}")
        self._object: Node | None = None
        self._text, self._severity = "", WARNING
        self._acknowledged = self._confirmed = True
        self._event_id = b""

    async def build(self) -> None:
        """Make its object, and let its methods do something."""
        space = self._space
        type_ = await space.server.nodes.base_event_type.get_child(list(self._kind))
        ident = node_id(f"{space.system.nodeid.Identifier!s}.{self._name}", space.own)
        self._object = await space.system.add_object(
            ident, ua.QualifiedName(self._name, space.own), objecttype=type_.nodeid, instantiate_optional=False
        )
        for below in await self._object.get_children_descriptions(nodeclassmask=ua.NodeClass.Method):
            do = {"Acknowledge": self._acknowledge, "Confirm": self._confirm}.get(below.BrowseName.Name)
            if do is not None:
                await link(space.server, space.server.get_node(below.NodeId), do)

    async def show(self, text: str, severity: int) -> None:
        """It is on, and why; empty text: it is over."""
        if text == self._text:
            return
        if text:
            self._acknowledged = self._confirmed = False
            self._severity = severity
        self._text = text
        await self._tell(text or "it is over")

    async def confirm_all(self, comment: str) -> None:
        """The control system has seen it."""
        if not (self._acknowledged and self._confirmed):
            self._acknowledged = self._confirmed = True
            await self._tell(self._text or "it is over", comment)

    async def _acknowledge(self, event_id: bytes, comment: ua.LocalizedText | None) -> list[Any]:
        self._check(event_id, self._acknowledged, StatusCodes.BadConditionBranchAlreadyAcked)
        self._acknowledged = True
        await self._tell(self._text or "it is over", words(comment))
        return []

    async def _confirm(self, event_id: bytes, comment: ua.LocalizedText | None) -> list[Any]:
        self._check(event_id, self._confirmed, StatusCodes.BadConditionBranchAlreadyConfirmed)
        self._acknowledged = self._confirmed = True
        await self._tell(self._text or "it is over", words(comment))
        return []

    def _check(self, event_id: bytes, already: bool, code: int) -> None:
        if event_id != self._event_id:
            raise Refused(StatusCodes.BadEventIdUnknown)
        if already:
            raise Refused(code)

    async def _tell(self, message: str, comment: str = "") -> None:
        assert self._object is not None
        kinds = ua.VariantType
        good = ua.StatusCode(ua.UInt32(StatusCodes.Good))
        self._event_id = await self._teller.tell(
            self._kind,
            message,
            {
                "NodeId": (self._object.nodeid, kinds.NodeId),
                "ConditionName": (self._name, kinds.String),
                "ConditionClassId": (ua.NodeId(ua.Int32(ObjectIds.SystemConditionClassType)), kinds.NodeId),
                "ConditionClassName": (ua.LocalizedText("SystemConditionClass"), kinds.LocalizedText),
                "BranchId": (ua.NodeId(), kinds.NodeId),
                "Retain": (bool(self._text) or not self._confirmed, kinds.Boolean),
                "EnabledState": (ua.LocalizedText("Enabled"), kinds.LocalizedText),
                "EnabledState/Id": (True, kinds.Boolean),
                "AckedState": (
                    ua.LocalizedText("Acknowledged" if self._acknowledged else "Unacknowledged"),
                    kinds.LocalizedText,
                ),
                "AckedState/Id": (self._acknowledged, kinds.Boolean),
                "ConfirmedState": (
                    ua.LocalizedText("Confirmed" if self._confirmed else "Unconfirmed"),
                    kinds.LocalizedText,
                ),
                "ConfirmedState/Id": (self._confirmed, kinds.Boolean),
                "Quality": (good, kinds.StatusCode),
                "LastSeverity": (self._severity, kinds.UInt16),
                "Comment": (ua.LocalizedText(comment), kinds.LocalizedText),
                "ErrorString": (self._text, kinds.String),
                "StopReaction": (bool(self._text) and self._stops, kinds.Boolean),
                "BlockReaction": (bool(self._text) and self._stops, kinds.Boolean),
            },
            self._severity,
        )


def words(text: ua.LocalizedText | None) -> str:
    """What a client wrote."""
    return (text.Text or "") if text is not None else ""
