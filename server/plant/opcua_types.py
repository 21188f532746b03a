"""The types of OPC 40100-1 (Machine Vision, part 1) in a server, from the OPC Foundation's own file of them.

`nodesets/README.md` says where the file is from. What the library makes of it is mended in one place: a structure that
only inherits its fields (the ids of recipes and configurations) has none in the file, so it is written out here, for us
and for every client that reads the definitions from the server.
"""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from asyncua import ua
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
        super().__init__(ua.StatusCode(ua.UInt32(code)).name)
        self.code = ua.StatusCode(ua.UInt32(code))


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


def method(arguments: int, do: Do) -> Callable[..., Awaitable[Any]]:
    """A function as the library calls it: with the right number of arguments, and every refusal as a status code."""

    async def called(_parent: ua.NodeId, *given: ua.Variant) -> ua.StatusCode | list[ua.Variant]:
        if len(given) != arguments:
            few = len(given) < arguments
            code = StatusCodes.BadArgumentsMissing if few else StatusCodes.BadTooManyArguments
            return ua.StatusCode(ua.UInt32(code))
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
