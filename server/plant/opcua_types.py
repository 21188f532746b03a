"""The types of OPC 40100-1 (Machine Vision, part 1) in a server, from the OPC Foundation's own file of them.

`nodesets/README.md` says where the file is from. What the library makes of it is mended in one place: a structure that
only inherits its fields (the ids of recipes and configurations) has none in the file, so it is written out here, for us
and for every client that reads the definitions from the server.
"""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.common.node import Node
from asyncua.common.ua_utils import data_type_to_variant_type
from asyncua.server.server import Server
from asyncua.ua.status_codes import StatusCodes

MACHINE_VISION = "http://opcfoundation.org/UA/MachineVision"
FILE = Path(__file__).parent / "nodesets" / "Opc.Ua.MachineVision.NodeSet2.xml.gz"
INHERITED = ("RecipeIdExternalDataType", "RecipeIdInternalDataType", "ConfigurationIdDataType")
"""Structures whose fields are those of BinaryIdBaseDataType."""

Answers = Sequence[tuple[Any, ua.VariantType]]
"""What a method answers: values with their types."""
Do = Callable[..., Awaitable[Answers]]
"""What a method does: the values of its arguments in."""


class Refused(Exception):
    """A method cannot be done; the client gets the status code."""

    def __init__(self, code: int) -> None:
        self.code = _status(code)
        super().__init__(self.code.name)


async def load(server: Server) -> int:
    """Load the types into a server that does not listen yet; returns the index of their namespace."""
    await server.import_xml(xmlstring=model())
    await server.load_data_type_definitions()
    return await server.get_namespace_index(MACHINE_VISION)


def model() -> str:
    """The file of the types, with the fields of structures that inherit all of theirs."""
    text = gzip.decompress(FILE.read_bytes()).decode()
    fields = text.split('<Definition Name="1:BinaryIdBaseDataType">')[1].split("</Definition>")[0]
    for name in INHERITED:
        text = text.replace(f'<Definition Name="1:{name}" />', f'<Definition Name="1:{name}">{fields}</Definition>')
    return text


@dataclass(frozen=True, slots=True)
class Declared:
    """What an argument of a method must be, by its node."""

    kind: ua.VariantType
    """Variant: of any kind."""
    is_array: bool
    structure: ua.NodeId
    """Data type of a structure."""

    def fits(self, given: ua.Variant) -> bool:
        """Is it that, or nothing at all? The library lets clients send whatever they like."""
        if given.Value is None:
            return True
        if given.is_array != self.is_array or self.kind not in (given.VariantType, ua.VariantType.Variant):
            return False
        if self.kind != ua.VariantType.ExtensionObject:
            return True
        made = ua.extension_objects_by_datatype.get(self.structure)
        return made is not None and isinstance(given.Value, made)


async def declared(server: Server, arguments: Sequence[ua.Argument]) -> list[Declared]:
    """What the arguments of a method must be."""
    kinds = [await data_type_to_variant_type(server.get_node(one.DataType)) for one in arguments]
    return [Declared(kind, one.ValueRank >= 1, one.DataType) for kind, one in zip(kinds, arguments, strict=True)]


async def link(server: Server, node: Node, do: Do) -> None:
    """Let a method that the types declare do something."""
    told = [below for below in await node.get_properties() if (await below.read_browse_name()).Name == "InputArguments"]
    arguments = await told[0].read_value() if told else []
    server.link_method(node, method(await declared(server, arguments), do))


def method(expected: Sequence[Declared], do: Do) -> Callable[..., Awaitable[Any]]:
    """A function as the library calls it: with the arguments it expects, and every refusal as a status code."""

    async def called(_parent: ua.NodeId, *given: ua.Variant) -> ua.StatusCode | ua.CallMethodResult | list[ua.Variant]:
        if len(given) != len(expected):
            few = len(given) < len(expected)
            return _status(StatusCodes.BadArgumentsMissing if few else StatusCodes.BadTooManyArguments)
        fit = [wanted.fits(one) for wanted, one in zip(expected, given, strict=True)]
        if not all(fit):
            each = [_status(StatusCodes.Good if good else StatusCodes.BadTypeMismatch) for good in fit]
            return ua.CallMethodResult(_status(StatusCodes.BadInvalidArgument), each)
        try:
            answers = await do(*(one.Value for one in given))
        except Refused as refused:
            return refused.code
        return [ua.Variant(value, kind) for value, kind in answers]

    return called


def done() -> list[tuple[Any, ua.VariantType]]:
    """What the standard's methods answer that only do something: no error."""
    return [(0, ua.VariantType.Int32)]


def id_of(value: object) -> str:
    """The id in one of the standard's id structures; empty where a client sent none."""
    found = getattr(value, "Id", None)
    return found.strip() if isinstance(found, str) else ""


def node_id(name: str, index: int) -> ua.NodeId:
    """The id of a node of ours, which stays the same over restarts.

    Args:
        index: of the namespace.
    """
    return ua.NodeId(ua.String(name), ua.Int16(index))


def _status(code: int) -> ua.StatusCode:
    return ua.StatusCode(ua.UInt32(code))
