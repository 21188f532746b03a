"""OPC UA: every station a vision system, in the words of OPC 40100-1 (Machine Vision, part 1).

::

    Objects/<station>
      VisionStateMachine/CurrentState                  Preoperational | Operational
      AutomaticModeStateMachine/CurrentState           Initialized | Ready | SingleExecution
      AutomaticModeStateMachine/StartSingleJob(MeasId, PartId, RecipeId, ProductId) -> JobId
      RecipeManagement/Recipes                         recipe ids, RecipeManagement/Products what each inspects
      ResultManagement/LastResult                      JSON, as in the event
      ResultManagement/GetResultById(ResultId)         -> Result (JSON)
      events of <station>: ReadyEvent, JobStartedEvent(JobId), ResultReadyEvent(JobId, PartId, RecipeId, ResultId,
      ResultState, Result), ErrorEvent(Code, Text)

Names and states are the specification's; the types are not those of its information model (the OPC Foundation's file of
it is not loaded), so that conformance to its profiles is not claimed. What is there serves the facet "simple inline":
single jobs by recipe, results by event and by id. There is no continuous execution, no configuration management and no
file transfer; alarms go over MQTT and webhooks (`server/outbound`).

A job says which rules hold by RecipeId, by ProductId, or by both where they agree; what is not there, or contradicts
the other, fails with BadInvalidArgument: nothing may be judged by another product's rules.

Where a method does not fit the state it fails with BadInvalidState, and no trigger is counted: unlike a level on a
wire, a call has an answer. A result need not be acknowledged: it is kept under its id.

Clients log in with any name and a key of the role machine (`qc key create --role machine`) as password; nobody is
anonymous. The wire is encrypted with a certificate that is made at the first start.

A server that ends by itself is told in `/health` and started again, at the same port; meanwhile no station is ready,
and a result that nobody heard is told afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from asyncua import ua
from asyncua.common.methods import uamethod
from asyncua.common.node import Node
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.server.event_generator import EventGenerator
from asyncua.server.server import Server
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from cryptography.x509.oid import ExtendedKeyUsageOID

from qc.errors import Unavailable
from server.context import Context
from server.plant.config import OpcUaConfig
from server.plant.doors import Doors
from server.plant.handshake import WORDS, Fault, Inputs, Phase, Reply
from server.plant.station import Shown, Station

log = structlog.get_logger(__name__)

NAMESPACE = "urn:qc-line:vision"
KEPT = 1000
"""Results of a station that can be asked for by id; older ones are in the database."""
START_S = 30.0
"""For so long whoever starts it waits for it to listen, in seconds."""
AGAIN_S, LONGEST_S = 1.0, 60.0
"""The first and the longest pause before a server that ended is started again, in seconds."""
MAX_INDEX = 65535
"""The last index of a recipe."""
LOW = Inputs(trigger=False, acknowledge=False)


@dataclass
class _System:
    """One station's nodes."""

    station: Station
    vision: Node
    automatic: Node
    last: Node
    events: Mapping[str, EventGenerator]
    phase: Phase | None = None
    state: str = "Preoperational"


class OpcUaWire:
    """Serves stations over OPC UA, in a thread with an event loop of its own."""

    def __init__(self, stations: Mapping[str, Station], config: OpcUaConfig, context: Context) -> None:
        """Raises Unavailable where nobody can listen at the address."""
        self._stations, self._config, self._context = stations, config, context
        self._loop = asyncio.new_event_loop()
        self._up, self._changed, self._stop = threading.Event(), asyncio.Event(), threading.Event()
        self._doors = Doors(context)
        self._failure: Exception | None = None
        self._results: dict[str, OrderedDict[str, str]] = {name: OrderedDict() for name in stations}
        """By station and id; they outlive a server that ended."""
        self._told = {name: station.shown().reply for name, station in stations.items()}
        """Each station's newest result that went out."""
        self.port = 0
        self._thread = threading.Thread(target=self._run, name="opcua", daemon=True)
        self._thread.start()
        if not self._up.wait(START_S):
            self.stop()
            raise Unavailable(f"OPC UA has not come up at {config.host}:{config.port} within {START_S:g} s")
        if self._failure is not None:
            self._doors.stop()
            raise Unavailable(
                f"nobody can listen for OPC UA at {config.host}:{config.port} ({self._failure})"
            ) from self._failure
        for station in stations.values():
            station.on_change(self._wake)

    @property
    def problem(self) -> str | None:
        """Why nobody can talk to it; None: it listens."""
        if self._failure is not None:
            return f"it has ended and is started again ({self._failure or type(self._failure).__name__}); see the log"
        return None if self._thread.is_alive() else "it has ended; start the server again"

    def stop(self) -> None:
        """Hang up."""
        self._stop.set()
        self._wake()
        self._thread.join(timeout=10)
        self._doors.stop()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: there is nobody to tell
            self._loop.call_soon_threadsafe(self._changed.set)

    def _run(self) -> None:
        """Serve until it is stopped; what ends the server by itself is told, and it is started again."""
        pause_s = AGAIN_S / 2  # doubled with each failure
        try:
            while not self._stop.is_set():
                begun = time.monotonic()
                try:
                    self._loop.run_until_complete(self._serve())
                except Exception as error:
                    self._failure = error
                    if not self._up.is_set():  # said by whoever started the wire
                        return
                    pause_s = AGAIN_S if time.monotonic() - begun > LONGEST_S else min(2 * pause_s, LONGEST_S)
                    log.error("OPC UA has ended", again_in_s=pause_s, exc_info=error)
                    for station in self._stations.values():
                        station.lost()
                    self._stop.wait(pause_s)
        finally:
            self._loop.close()
            self._up.set()

    async def _serve(self) -> None:
        server = Server(user_manager=self._doors)
        await server.init()
        port = self._config.port or self.port  # where clients knew it before
        server.set_endpoint(f"opc.tcp://{self._config.host}:{port}/qc")
        server.set_server_name("qc line")
        server.set_identity_tokens([ua.UserNameIdentityToken])
        policy = ua.SecurityPolicyType.NoSecurity
        if self._config.encrypted:
            policy = ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt
            await self._certify(server, self._context.settings.folder("plant"))
        server.set_security_policy([policy])
        space = await server.register_namespace(NAMESPACE)
        systems = [await self._build(server, space, station) for station in self._stations.values()]
        async with server:
            assert server.bserver is not None
            self.port = server.bserver.port
            log.info("listening for OPC UA", host=self._config.host, port=self.port, encrypted=self._config.encrypted)
            for system in systems:
                system.station.heard(LOW)
            self._failure = None
            self._up.set()
            while not self._stop.is_set():
                for system in systems:
                    await self._publish(system)
                with contextlib.suppress(TimeoutError):  # deadlines pass without anybody saying so
                    await asyncio.wait_for(self._changed.wait(), 0.25)
                self._changed.clear()

    async def _certify(self, server: Server, folder: Path) -> None:
        key, certificate = folder / "opcua-key.pem", folder / "opcua-certificate.der"
        await setup_self_signed_certificate(
            key,
            certificate,
            server.get_application_uri(),
            self._config.host,
            [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
            {"commonName": "qc line"},
        )
        key.chmod(0o600)
        await server.load_certificate(certificate)
        await server.load_private_key(key)

    async def _build(self, server: Server, space: int, station: Station) -> _System:
        vision_system = await server.nodes.objects.add_object(space, station.name)
        _, vision = await _state_machine(space, vision_system, "VisionStateMachine", "Preoperational")
        machine, automatic = await _state_machine(space, vision_system, "AutomaticModeStateMachine", "Initialized")
        recipes = await vision_system.add_object(space, "RecipeManagement")
        await recipes.add_variable(space, "Recipes", [str(n) for n in station.config.recipes] or ["0"])
        products = list(station.config.recipes.values()) or [self._context.settings.default_product]
        await recipes.add_variable(space, "Products", products)
        management = await vision_system.add_object(space, "ResultManagement")
        results = self._results[station.name]
        last = await management.add_variable(space, "LastResult", "")

        @uamethod
        async def start_single_job(parent: object, meas: str, part: str, recipe: str, product: str) -> Any:
            return self._start(station, part, recipe, product)

        @uamethod
        async def get_result_by_id(parent: object, result: str) -> Any:
            return results[result] if result in results else bad(StatusCodes.BadNotFound)

        text = ua.VariantType.String
        await machine.add_method(space, "StartSingleJob", start_single_job, [text] * 4, [text])
        await management.add_method(space, "GetResultById", get_result_by_id, [text], [text])
        shapes = {
            "ReadyEvent": (),
            "JobStartedEvent": ("JobId",),
            "ResultReadyEvent": ("JobId", "PartId", "RecipeId", "ResultId", "ResultState", "Result"),
            "ErrorEvent": ("Code", "Text"),
        }
        events = {}
        for name, fields in shapes.items():
            kind = await server.create_custom_event_type(
                space, f"{station.name}.{name}", ObjectIds.BaseEventType, [(field, text) for field in fields]
            )
            events[name] = await server.get_event_generator(kind, vision_system.nodeid)
        return _System(station, vision, automatic, last, events)

    def _start(self, station: Station, part: str, recipe: str, product: str) -> Any:
        """Returns the job's id, or why there is none."""
        index = self._index(station, recipe or "", product or "")  # a client's empty text may come as None
        if index is None:
            return bad(StatusCodes.BadInvalidArgument)
        inputs = Inputs(trigger=True, acknowledge=False, recipe=index, part=part)
        number = station.trigger_if_ready(inputs)
        return bad(StatusCodes.BadInvalidState) if number is None else job_id(station.name, number)

    def _index(self, station: Station, recipe: str, product: str) -> int | None:
        """The recipe that is wished for; None: there is none, or it is for another product than the one wished for."""
        recipes: Mapping[int, str] = station.config.recipes
        if not recipes:  # every index is the default product
            if product not in ("", self._context.settings.default_product):
                return None
            return int(recipe or 0) if re.fullmatch("[0-9]{0,5}", recipe) and int(recipe or 0) <= MAX_INDEX else None
        wished = [n for n, name in recipes.items() if recipe in ("", str(n)) and product in ("", name)]
        return wished[0] if wished and (recipe or product) else None

    async def _publish(self, system: _System) -> None:
        shown = system.station.shown()
        state = "Operational" if system.station.problem is None else "Preoperational"
        if state != system.state:
            system.state = state
            await system.vision.write_value(ua.LocalizedText(state))
        if system.station.phase != system.phase:
            system.phase = system.station.phase
            await self._tell_phase(system, shown)
        if shown.reply is not None and shown.reply != self._told[system.station.name]:
            await self._tell_result(system, shown)
            self._told[system.station.name] = shown.reply
            system.station.heard(Inputs(trigger=False, acknowledge=True))
            system.station.heard(LOW)
            self._changed.set()

    async def _tell_phase(self, system: _System, shown: Shown) -> None:
        names = {Phase.READY: "Ready", Phase.BUSY: "SingleExecution"}
        await system.automatic.write_value(ua.LocalizedText(names.get(system.phase or Phase.NOT_READY, "Initialized")))
        if system.phase == Phase.READY:
            await system.events["ReadyEvent"].trigger(message="ready")
        if system.phase == Phase.BUSY:
            await _fire(system.events["JobStartedEvent"], {"JobId": job_id(system.station.name, shown.number)})

    async def _tell_result(self, system: _System, shown: Shown) -> None:
        reply = shown.reply
        assert reply is not None
        content = json.dumps(result_json(system.station.name, reply), sort_keys=True)
        job = job_id(system.station.name, reply.number)
        result = reply.inspection or job
        results = self._results[system.station.name]
        results[result] = content
        while len(results) > KEPT:
            results.popitem(last=False)
        await system.last.write_value(content)
        state = "Completed" if reply.fault == Fault.NONE else "Failed"
        fields = {"JobId": job, "PartId": reply.part, "RecipeId": str(shown.recipe), "ResultId": result}
        await _fire(system.events["ResultReadyEvent"], {**fields, "ResultState": state, "Result": content})
        if reply.fault != Fault.NONE:
            told = {"Code": str(int(reply.fault)), "Text": WORDS[reply.fault]}
            await _fire(system.events["ErrorEvent"], told)


def bad(code: int) -> ua.StatusCode:
    """What a method answers that cannot be done."""
    return ua.StatusCode(ua.UInt32(code))


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


async def _state_machine(space: int, parent: Node, name: str, first: str) -> tuple[Node, Node]:
    """A state machine, and its CurrentState."""
    machine = await parent.add_object(space, name)
    return machine, await machine.add_variable(space, "CurrentState", ua.LocalizedText(first))


async def _fire(event: EventGenerator, fields: Mapping[str, str]) -> None:
    for name, value in fields.items():
        setattr(event.event, name, value)
    await event.trigger(message=", ".join(fields.values())[:200])
