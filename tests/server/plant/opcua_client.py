"""An OPC UA client, as a program of its own: runs jobs at a vision system and prints what it read and was told.

    python opcua_client.py URL KEY FOLDER [--plain]

Each line on standard input is a step in JSON, each line on standard output what came of it; `STEPS` has them.
"""

import asyncio
import json
import shutil
import sys
from pathlib import Path

from asyncua import Client, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography.x509.oid import ExtendedKeyUsageOID

TRANSITIONS = ["StateChangedEventType", "ErrorEventType", "ErrorResolvedEventType"]
SIMPLE = [
    "ReadyEventType",
    "JobStartedEventType",
    "AcquisitionDoneEventType",
    "ResultReadyEventType",
    "RecipePreparedEventType",
]
CONDITIONS = ["VisionErrorConditionType", "VisionWarningConditionType"]
INFORMATION = ["VisionInformationEventType", "VisionDiagnosticInfoEventType"]


def tell(**what):
    print(json.dumps(what, default=str), flush=True)


def plain(value):
    """A value of the wire as JSON has it; a structure by its fields, an id by its text."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, ua.Variant):
        return plain(value.Value)
    if isinstance(value, ua.LocalizedText):
        return value.Text
    if hasattr(value, "Id") and not isinstance(value, ua.NodeId):
        return value.Id
    if hasattr(type(value), "__dataclass_fields__") and not isinstance(value, ua.NodeId):
        return {name: plain(getattr(value, name)) for name in type(value).__dataclass_fields__}
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def argument(value):
    if not isinstance(value, list):
        return value
    kind = ua.VariantType.String if all(isinstance(one, str) for one in value) else ua.VariantType.Double
    return ua.Variant(value, kind, is_array=True)


def variant(value, kind):
    return ua.Variant(value, ua.VariantType[kind], is_array=isinstance(value, list))


class Ear:
    def __init__(self, names):
        self.names, self.heard, self.waiting = names, asyncio.Queue(), []

    def event_notification(self, event):
        told = {name: plain(value) for name, value in event.get_event_props_as_fields_dict().items()}
        self.heard.put_nowait({**told, "kind": self.names[event.EventType], "id": event.EventId})

    async def next(self, kind, **wanted):
        """The next event of a kind; those that it passes over wait for who asks for them."""
        for event in self.waiting:
            if event["kind"] == kind and all(event.get(name) == value for name, value in wanted.items()):
                self.waiting.remove(event)
                return event
        while True:
            event = await asyncio.wait_for(self.heard.get(), 60)
            if event["kind"] == kind and all(event.get(name) == value for name, value in wanted.items()):
                return event
            self.waiting.append(event)


class Talk:
    """A client that has come in."""

    def __init__(self, client, model, system):
        self.client, self.model, self.system = client, model, system

    async def node(self, path):
        steps = [step if ":" in step else f"{self.model}:{step}" for step in path.split("/")]
        return await self.system.get_child(steps)

    async def listen(self):
        base = self.client.nodes.base_event_type
        paths = [[f"{self.model}:{name}"] for name in SIMPLE]
        paths += [["0:TransitionEventType", f"{self.model}:{name}"] for name in TRANSITIONS]
        paths += [[f"{self.model}:VisionEventType", f"{self.model}:{name}"] for name in INFORMATION]
        root = ["0:ConditionType", "0:AcknowledgeableConditionType", f"{self.model}:VisionConditionType"]
        paths += [[*root, f"{self.model}:{name}"] for name in CONDITIONS]
        types = [await base.get_child(path) for path in paths]
        self.ear = Ear({one.nodeid: path[-1].split(":")[1] for one, path in zip(types, paths, strict=True)})
        self.subscription = await self.client.create_subscription(20, self.ear)
        await self.subscription.subscribe_events(self.system, types)
        self.types = types

    async def state(self, path="VisionStateMachine/AutomaticModeStateMachine"):
        value = await (await self.node(f"{path}/0:CurrentState")).read_data_value(raise_on_bad_status=False)
        return value.Value.Value.Text if value.StatusCode.is_good() else value.StatusCode.name

    async def until(self, wanted, path="VisionStateMachine/AutomaticModeStateMachine"):
        for _ in range(3000):
            if (now := await self.state(path)) == wanted:
                return
            await asyncio.sleep(0.02)
        raise SystemExit(f"it is {now}, not {wanted}")

    async def process(self, name, *arguments):
        """A method of the object Process, of texts, lists of texts and lists of numbers."""
        space = self.system.nodeid.NamespaceIndex
        door = await self.client.nodes.objects.get_child(f"{space}:Process")
        try:
            told = await door.call_method(f"{space}:{name}", *map(argument, arguments))
        except ua.UaError as error:
            return {"refused": type(error).__name__}
        return {"told": plain(told)}

    async def call(self, path, *arguments):
        """Returns what the method answers, as JSON, or the name of why it was refused."""
        where, _, name = path.rpartition("/")
        try:
            told = await (await self.node(where)).call_method(
                name if ":" in name else f"{self.model}:{name}", *arguments
            )
        except ua.UaError as error:
            return {"refused": type(error).__name__}
        return {"told": plain(told)}

    async def start(self, wish, copy=None, wait=True, read=True):
        if wait:
            await self.until("Ready")
        if copy:
            shutil.copy(*copy)
        answer = await self.call(
            "VisionStateMachine/AutomaticModeStateMachine/StartSingleJob",
            ua.MeasIdDataType(Id=wish.get("meas", "")),
            ua.PartIdDataType(Id=wish.get("part", "")),
            ua.RecipeIdExternalDataType(Id=wish.get("recipe", "")),
            ua.ProductIdDataType(Id=wish.get("product", "")),
            ua.Variant([], ua.VariantType.Variant, is_array=True),
        )
        if "refused" in answer:
            return answer
        job = answer["told"][0]
        return {"job": job, "event": await self.ear.next("ResultReadyEventType", JobId=job)} if read else {"job": job}

    async def results(self, state=0, most=0, first=0, **ids):
        types = {"ExternalRecipeId": "RecipeIdExternalDataType", "InternalRecipeId": "RecipeIdInternalDataType"}
        names = ["MeasId", "PartId", "ExternalRecipeId", "InternalRecipeId"]
        names += ["ExternalConfigurationId", "InternalConfigurationId", "ProductId", "JobId"]
        types |= {name: "ConfigurationIdDataType" for name in names if "Configuration" in name}
        wished = [getattr(ua, types.get(name, f"{name}DataType"))(Id=ids.get(name, "")) for name in names]
        numbers = [ua.Variant(one, ua.VariantType.UInt32) for one in (most, first)]
        kind = ua.VariantType.Int32
        return await self.call(
            "ResultManagement/GetResultListFiltered", ua.Variant(state, kind), *wished, *numbers, ua.Variant(0, kind)
        )

    async def recipes(self, prepared=2, external="", product=""):
        numbers = [ua.Variant(0, kind) for kind in (ua.VariantType.UInt32, ua.VariantType.UInt32, ua.VariantType.Int32)]
        return await self.call(
            "RecipeManagement/GetRecipeListFiltered",
            ua.RecipeIdExternalDataType(Id=external),
            ua.ProductIdDataType(Id=product),
            ua.Variant(prepared, ua.VariantType.Int32),
            *numbers,
        )

    async def recipe(self, how, ident):
        ids = ua.RecipeIdExternalDataType(Id=ident), ua.RecipeIdInternalDataType()
        return await self.call(f"RecipeManagement/{how}Recipe", *ids)

    async def result(self, ident, how="GetResultById"):
        asked = ua.ResultIdDataType(Id=ident), ua.Variant(0, ua.VariantType.Int32)
        return await self.call(f"ResultManagement/{how}", *asked)

    async def command(self, name, cause=0, why=""):
        given = [ua.Variant(cause, ua.VariantType.Int32), why]
        return await self.call(f"VisionStateMachine/{name}", *([] if name == "SelectModeAutomatic" else given))

    async def confirm_all(self):
        return await self.call("VisionStateMachine/ConfirmAll", ua.LocalizedText("seen"))

    async def refresh(self):
        """What holds now is told again: at the Server object, as a client that has just come asks it."""
        end = await self.client.nodes.base_event_type.get_child(["0:SystemEventType", "0:RefreshEndEventType"])
        self.ear.names[end.nodeid] = "RefreshEndEventType"
        everything = await self.subscription.subscribe_events(self.client.nodes.server, [*self.types, end])
        type_ = self.client.get_node(ua.ObjectIds.ConditionType)
        number = ua.Variant(self.subscription.subscription_id, ua.VariantType.UInt32)
        await type_.call_method(ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh), number)
        await self.ear.next("RefreshEndEventType")
        await self.subscription.unsubscribe(everything)

    async def event(self, kind, **wanted):
        return await self.ear.next(kind, **wanted)

    async def method(self, path, given):
        """A method with arguments of these types: [value, type], a list of values for an array."""
        return await self.call(path, *(variant(*one) for one in given))

    async def write(self, path, value, kind):
        try:
            await (await self.node(path)).write_value(variant(value, kind))
        except ua.UaError as error:
            return {"refused": type(error).__name__}
        return {"written": value}

    async def read(self, path):
        return plain(await (await self.node(path)).read_value())


STEPS = (
    "start",
    "results",
    "recipes",
    "recipe",
    "result",
    "command",
    "confirm_all",
    "refresh",
    "event",
    "method",
    "write",
    "read",
    "until",
    "process",
)


async def main():
    url, key, folder = sys.argv[1:4]
    client = Client(url, timeout=120, watchdog_intervall=60)  # however slow this machine is
    if "--plain" not in sys.argv:
        own, certificate = Path(folder) / "key.pem", Path(folder) / "certificate.der"
        use = [ExtendedKeyUsageOID.CLIENT_AUTH]
        await setup_self_signed_certificate(own, certificate, client.application_uri, "plc", use, {"commonName": "plc"})
        await client.set_security(SecurityPolicyBasic256Sha256, str(certificate), str(own))
    if key:
        client.set_user("plc")
        client.set_password(key)
    try:
        await client.connect()
    except ua.UaError as error:
        tell(refused=type(error).__name__)
        return
    await client.load_data_type_definitions()
    space = await client.get_namespace_index("urn:qc-line:vision")
    model = await client.get_namespace_index("http://opcfoundation.org/UA/MachineVision")
    talk = Talk(client, model, await client.nodes.objects.get_child(f"{space}:brush-1"))
    await talk.listen()
    type_ = client.get_node(await talk.system.read_type_definition())
    tell(ready=True, type=(await type_.read_browse_name()).Name, space=space)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        assert name in STEPS, name
        first = 1 if name == "start" else 0  # its wish is no keyword
        keywords = arguments.pop() if len(arguments) > first and isinstance(arguments[-1], dict) else {}
        answer = await getattr(talk, name)(*arguments, **keywords)
        tell(**answer) if isinstance(answer, dict) else tell(value=answer)
    await client.disconnect()


asyncio.run(main())
