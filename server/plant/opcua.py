"""OPC UA: every station a vision system by OPC 40100-1 (Machine Vision, part 1), of the types of its model.

::

    Objects/<station>                                a VisionSystemType
      SystemState, DiagnosticLevel                   what it is doing; from which severity diagnostic events are told
      VisionStateMachine                             CurrentState; Reset, Halt, SelectModeAutomatic, ConfirmAll
        AutomaticModeStateMachine                    CurrentState; StartSingleJob, Stop, Abort (opcua_states.py)
      RecipeManagement                               GetRecipeListFiltered, PrepareRecipe, UnprepareRecipe
      ResultManagement                               GetResultById, GetResultComponentsById, GetResultListFiltered
      ConfigurationManagement                        the one there is: the station's part of plant.yaml
      ErrorCondition, WarningCondition               why it cannot take parts; its open alarms
      Andon                                          Lit, and the Alarms that light it
    Objects/Process                                  Recommend, TellOutcome (opcua_process.py)
    events of <station>, and of the Server object    StateChanged, Error, ErrorResolved, Ready, JobStarted,
                                                     AcquisitionDone, ResultReady, RecipePrepared, VisionInformation,
                                                     VisionDiagnosticInfo, VisionErrorCondition, VisionWarningCondition

ResultContent holds: may the part pass, verdict, score, defects, error code (`handshake.Fault`), and all of it as JSON.

Of what the profile "Simple Inline Vision System Server" asks of machine vision everything is there but SimulationMode
(nothing here may say of a part what no picture has shown) and persistent error conditions. Continuous execution
(BadNotSupported), adding and transferring recipes, configurations and files, step models and safety states are not
there; AcknowledgeResults is of another specification: a result need not be acknowledged and is kept under its id.
Whether the library meets the profile beneath it (Embedded 2017 UA Server) was not examined, and no test laboratory has
certified anything.

A job says which rules hold by RecipeId, by ProductId, or by both where they agree, or by neither where one recipe was
prepared; what is not there, is not prepared, or contradicts the other fails with BadInvalidArgument: nothing may be
judged by another product's rules. Where a method does not fit the state it fails with BadInvalidState, and no trigger
is counted: unlike a level on a wire, a call has an answer. Arguments of other types than the method declares fail with
BadInvalidArgument and say which (BadTypeMismatch); the library would hand them on.

Clients log in with any name and a key of the role machine (`qc key create --role machine`) as password; nobody is
anonymous, and what a revoked key opened does nothing any more. The wire is encrypted with a certificate that is made at
the first start.

A server that ends by itself is told in `/health` and started again, at the same port; meanwhile no station is ready,
and a result that nobody heard is told afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import structlog
from asyncua import ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.server.server import Server
from cryptography.x509.oid import ExtendedKeyUsageOID

from qc.errors import Unavailable
from server.context import Context
from server.plant.config import OpcUaConfig
from server.plant.doors import Doors, Rights
from server.plant.opcua_andon import Andon
from server.plant.opcua_events import ORDINARY
from server.plant.opcua_process import ProcessDoor
from server.plant.opcua_space import build
from server.plant.opcua_system import Kept, VisionSystem
from server.plant.opcua_types import load
from server.plant.station import Station

log = structlog.get_logger(__name__)

NAMESPACE = "urn:qc-line:vision"
START_S = 120.0
"""For so long whoever starts it waits for it to listen, in seconds."""
AGAIN_S, LONGEST_S = 1.0, 60.0
"""The first and the longest pause before a server that ended is started again, in seconds."""


class OpcUaWire:
    """Serves stations over OPC UA, in a thread with an event loop of its own."""

    def __init__(self, stations: Mapping[str, Station], config: OpcUaConfig, context: Context) -> None:
        """Raises Unavailable where nobody can listen at the address."""
        self._stations, self._config, self._context = stations, config, context
        self._loop = asyncio.new_event_loop()
        self._up, self._changed, self._stop = threading.Event(), asyncio.Event(), threading.Event()
        self._doors = Doors(context)
        self._failure: Exception | None = None
        self._kept = {name: Kept(one, context.settings.default_product) for name, one in stations.items()}
        """What outlives a server that ended."""
        self._andon = Andon(context, self._wake)
        self.port = 0
        self._thread = threading.Thread(target=self._run, name="opcua", daemon=True)
        self._thread.start()
        if not self._up.wait(START_S):
            self.stop()
            raise Unavailable(f"OPC UA has not come up at {config.host}:{config.port} within {START_S:g} s")
        if self._failure is not None:
            self._doors.stop()
            self._andon.stop()
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
        self._andon.stop()

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
        server.iserver.bind_condition_methods = ORDINARY  # ConditionRefresh; the severity of its own events
        await server.init()
        port = self._config.port or self.port  # where clients knew it before
        server.set_endpoint(f"opc.tcp://{self._config.host}:{port}/qc")
        server.set_server_name("qc line")
        server.set_identity_tokens([ua.UserNameIdentityToken])
        policy = ua.SecurityPolicyType.NoSecurity
        if self._config.encrypted:
            policy = ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt
            await self._certify(server, self._context.settings.folder("plant"))
        server.set_security_policy([policy], Rights(self._doors))
        systems = await self._systems(server)
        async with server:
            assert server.bserver is not None
            self.port = server.bserver.port
            log.info("listening for OPC UA", host=self._config.host, port=self.port, encrypted=self._config.encrypted)
            self._failure = None
            self._up.set()
            while not self._stop.is_set():
                for system in systems:
                    if await system.publish():
                        self._changed.set()
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

    async def _systems(self, server: Server) -> list[VisionSystem]:
        """Every station's nodes and methods."""
        model, own = await load(server), await server.register_namespace(NAMESPACE)
        systems = []
        for name, station in self._stations.items():
            space = await build(server, model, own, name)
            systems.append(VisionSystem(station, self._kept[name], space, self._andon, self._context))
            await systems[-1].build()
        await ProcessDoor(self._context).build(server, own)
        return systems
