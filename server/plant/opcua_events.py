"""Events of a vision system, of the types of OPC 40100-1: heard at the station's object, and at the Server object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncua import ua
from asyncua.common.node import Node
from asyncua.server.event_generator import EventGenerator
from asyncua.server.server import Server

from server.plant.opcua_states import Automatic, Step, Vision

Fields = Mapping[str, tuple[Any, ua.VariantType]]
"""Name of a field -> its value and type; `FromState/Id` is a field of a field."""
ORDINARY, WARNING, TROUBLE = 100, 500, 800
"""Severities, of 1 to 1000."""


class Teller:
    """Tells whoever has subscribed; of one vision system."""

    def __init__(self, server: Server, model: int, system: Node) -> None:
        """
        Args:
            model: index of the standard's namespace.
            system: the station's object.
        """
        self._server, self._model, self._system = server, model, system
        self._generators: dict[tuple[str, ...], EventGenerator] = {}

    async def tell(self, kind: tuple[str, ...], message: str, fields: Fields, severity: int = ORDINARY) -> bytes:
        """One event; returns its id.

        Args:
            kind: names of the types from below BaseEventType to its own.
        """
        generator = await self._generator(kind)
        event = generator.event
        for name, (value, type_) in fields.items():
            event.add_property(name, value, type_)
        event.Severity = severity
        event.emitting_node = self._system.nodeid
        await generator.trigger(message=message)
        event.emitting_node = self._server.nodes.server.nodeid
        await self._server.iserver.isession.subscription_service.trigger_event(event)
        id_: bytes = event.EventId.Value
        return id_

    async def moved(self, step: Step, why: str) -> None:
        """A state machine went from one state to another."""
        kind, severity = "StateChangedEventType", ORDINARY
        if step.machine is Vision and Vision.ERROR in (step.before, step.after):
            worse = step.after == Vision.ERROR
            kind, severity = ("ErrorEventType", TROUBLE) if worse else ("ErrorResolvedEventType", ORDINARY)
        text, node = ua.VariantType.LocalizedText, ua.VariantType.NodeId
        fields: dict[str, tuple[Any, ua.VariantType]] = {}
        for name, of in (("FromState", step.before), ("ToState", step.after), ("Transition", step.transition)):
            fields[name] = (ua.LocalizedText(of), text)
            fields[f"{name}/Id"] = ((await self.part_of(step.machine, of)).nodeid, node)
        path = ("0:TransitionEventType", f"{self._model}:{kind}")
        await self.tell(path, f"{step.transition}: {why}" if why else step.transition, fields, severity)

    async def part_of(self, machine: type[Vision] | type[Automatic], name: str) -> Node:
        """A state, or a transition, of a state machine's type."""
        own = "VisionStateMachineType" if machine is Vision else "VisionAutomaticModeStateMachineType"
        path = ["0:StateMachineType", "0:FiniteStateMachineType", f"{self._model}:{own}", f"{self._model}:{name}"]
        return await self._server.nodes.base_object_type.get_child(path)

    async def _generator(self, kind: tuple[str, ...]) -> EventGenerator:
        if kind not in self._generators:
            type_ = await self._server.nodes.base_event_type.get_child(list(kind))
            self._generators[kind] = await self._server.get_event_generator(type_.nodeid, self._system.nodeid)
        return self._generators[kind]
