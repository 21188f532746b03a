"""An OPC UA client, as a program of its own: runs jobs at a vision system and prints what it read and was told.

    python opcua_client.py URL KEY FOLDER [--plain]

Each line on standard input is a step in JSON: {"start": {...}, "copy": [from, to]} | {"start": {...}} | {"result": id}.
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


class Ear:
    def __init__(self):
        self.heard = asyncio.Queue()

    def event_notification(self, event):
        self.heard.put_nowait({name: getattr(event, name, None) for name in ("JobId", "ResultId", "Result", "Code")})


def tell(**what):
    print(json.dumps(what), flush=True)


async def main():
    url, key, folder = sys.argv[1:4]
    client = Client(url, timeout=30)
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
    space = await client.get_namespace_index("urn:qc-line:vision")
    system = await client.nodes.objects.get_child(f"{space}:brush-1")
    automatic = await system.get_child(f"{space}:AutomaticModeStateMachine")
    state = await automatic.get_child(f"{space}:CurrentState")
    results = await system.get_child(f"{space}:ResultManagement")
    ear = Ear()
    kinds = {}
    base = await client.nodes.base_event_type.get_children()
    for kind in base:
        name = (await kind.read_browse_name()).Name
        if name.startswith("brush-1."):
            kinds[name.removeprefix("brush-1.")] = kind
    subscription = await client.create_subscription(20, ear)
    await subscription.subscribe_events(system, kinds["ResultReadyEvent"])

    async def until(wanted):
        for _ in range(3000):
            if (now := (await state.read_value()).Text) == wanted:
                return
            await asyncio.sleep(0.02)
        raise SystemExit(f"it is {now}, not {wanted}")

    await until("Ready")
    tell(ready=True, events=sorted(kinds))
    for line in sys.stdin:
        step = json.loads(line)
        if "start" in step:
            if step.get("wait", True):
                await until("Ready")
            if "copy" in step:
                shutil.copy(*step["copy"])
            wish = step["start"]
            try:
                job = await automatic.call_method(
                    f"{space}:StartSingleJob", "", wish["part"], wish.get("recipe", ""), wish.get("product", "")
                )
            except ua.UaError as error:
                tell(refused=type(error).__name__)
                continue
            if step.get("read", True):
                event = await asyncio.wait_for(ear.heard.get(), 60)
                tell(job=job, event={**event, "Result": json.loads(event["Result"])})
            else:
                tell(job=job)
        elif "result" in step:
            try:
                tell(result=json.loads(await results.call_method(f"{space}:GetResultById", step["result"])))
            except ua.UaError as error:
                tell(refused=type(error).__name__)
    await client.disconnect()


asyncio.run(main())
