"""The nodes of one vision system: an instance of VisionSystemType with the optional parts that a line needs."""

from __future__ import annotations

from dataclasses import dataclass, field

from asyncua import ua
from asyncua.common.instantiate_util import instantiate
from asyncua.common.node import Node
from asyncua.server.address_space import NodeData
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from server.plant.opcua_types import Do, link, node_id


@dataclass(slots=True)
class Space:
    """Where what is of one station's vision system."""

    server: Server
    model: int
    """Index of the standard's namespace."""
    own: int
    """Index of the installation's."""
    system: Node
    nodes: dict[str, Node] = field(default_factory=dict)
    """By their path below the system: `VisionStateMachine/CurrentState`."""

    def __getitem__(self, path: str) -> Node:
        return self.nodes[path]

    async def link(self, path: str, do: Do) -> None:
        """Let a method do something."""
        await link(self.server, self.nodes[path], do)

    async def let_clients_write(self, path: str) -> None:
        """A variable that holds one value of its type, whoever writes it."""
        node = self.nodes[path]
        self.server.iserver.set_attribute_value_setter(node.nodeid, _set_one_value)
        await node.set_writable()


def _set_one_value(node: NodeData, attribute: AttributeIds, value: ua.DataValue) -> None:
    """The library has compared the types; it would take lists, and nothing at all, too."""
    given = value.Value
    if given is None or given.is_array or given.Value is None:
        raise ua.uaerrors.BadTypeMismatch
    node.attributes[attribute].value = value


PARTS = {
    "ConfigurationManagement": "ConfigurationManagementType",
    "RecipeManagement": "RecipeManagementType",
    "ResultManagement": "ResultManagementType",
    "VisionStateMachine/AutomaticModeStateMachine": "VisionAutomaticModeStateMachineType",
}
"""Optional objects of the type that every system of ours has, with their types."""
MORE = (
    "SystemState",
    "DiagnosticLevel",
    "VisionStateMachine/SelectModeAutomatic",
    "VisionStateMachine/ConfirmAll",
)
"""Optional variables and methods."""


async def build(server: Server, model: int, own: int, name: str) -> Space:
    """Make the nodes of a station below Objects."""
    objects = server.nodes.objects
    type_ = await server.nodes.base_object_type.get_child(f"{model}:VisionSystemType")
    made = await objects.add_object(
        node_id(name, own), ua.QualifiedName(name, own), objecttype=type_.nodeid, instantiate_optional=False
    )
    await made.set_event_notifier([ua.EventNotifier.SubscribeToEvents])
    await server.nodes.server.add_reference(made, ObjectIds.HasNotifier)
    space = Space(server, model, own, made)
    await _note(space, made, "")
    for path, kind in PARTS.items():
        await _add(space, path, await _type(server, model, kind))
    for path in MORE:
        declared = await type_.get_child([f"{model}:{step}" for step in path.split("/")])
        await _add(space, path, declared)
    await _add_andon(space)
    return space


async def _add_andon(space: Space) -> None:
    """Is a lamp lit, and why: ours, beside what the standard has."""
    own, name = space.own, f"{space.system.nodeid.Identifier!s}.Andon"
    andon = await space.system.add_object(node_id(name, own), ua.QualifiedName("Andon", own))
    await andon.add_variable(node_id(f"{name}.Lit", own), ua.QualifiedName("Lit", own), False)
    none = ua.Variant([], ua.VariantType.String, is_array=True)
    await andon.add_variable(node_id(f"{name}.Alarms", own), ua.QualifiedName("Alarms", own), none)
    await _note(space, andon, "Andon")


async def _type(server: Server, model: int, name: str) -> Node:
    base = server.nodes.base_object_type
    if name == "VisionAutomaticModeStateMachineType":
        return await base.get_child(["0:StateMachineType", "0:FiniteStateMachineType", f"{model}:{name}"])
    return await base.get_child(f"{model}:{name}")


async def _add(space: Space, path: str, kind: Node) -> None:
    """A part that `instantiate` left out: of a type, or a copy of the node that the system's type declares."""
    above, _, name = path.rpartition("/")
    parent = space.nodes[above] if above else space.system
    ident = node_id(f"{space.system.nodeid.Identifier!s}.{path.replace('/', '.')}", space.own)
    bname = ua.QualifiedName(name, space.model)
    made = await instantiate(parent, kind, ident, bname, ua.LocalizedText(name), space.own, instantiate_optional=False)
    await _note(space, space.server.get_node(made[0].nodeid), path)


async def _note(space: Space, node: Node, path: str) -> None:
    """Remember a node and what is below it."""
    if path:
        space.nodes[path] = node
    for below in await node.get_children_descriptions():
        step = f"{path}/{below.BrowseName.Name}" if path else below.BrowseName.Name
        await _note(space, space.server.get_node(below.NodeId), step)
