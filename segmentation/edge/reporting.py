"""Telling the server what an edge has inspected, when there is a network again; each inspection once.

`POST /api/v1/inspections` with the picture and the edge's trigger: the same trigger again gives the server's first
answer, so that whatever was cut off may be sent again. The server looks for itself; the receipt says both verdicts.
"""

from __future__ import annotations

import http.client
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qc.errors import InvalidInput, Unavailable
from segmentation.edge.spool import Spool

TIMEOUT_S = 120.0
"""The server answers when it has looked; a large picture on a busy one takes its time."""


@dataclass(slots=True)
class Told:
    """What came of one report."""

    sent: int = 0
    refused: int = 0
    """The server will not take them; the receipt says why."""
    other_verdict: int = 0
    """The server's verdict was another one."""


def report(spool: Spool, url: str, key: str, *, tell: Callable[[str], object] = print) -> Told:
    """Send what is waiting, oldest first.

    Args:
        spool: of the edge.
        url: of the server, such as `https://qc.example:8000`.
        key: of a machine (`qc key create --role machine`).
        tell: told one sentence about each that the server refused.

    Raises:
        Unavailable: the server is away or cannot work now; what was sent stays sent, the rest waits.
        InvalidInput: the server does not know the key, or the address is none.
    """
    if not url.startswith(("http://", "https://")):
        raise InvalidInput(f"the server's address must begin with http:// or https://, not {url!r}; give --server URL")
    told = Told()
    with spool.reports.writing() as receipts:
        for line in spool.waiting():
            picture = (spool.folder / line["picture"]).read_bytes()
            fields = {k: line[k] for k in ("part", "station", "view", "trigger_id", "product") if line[k]}
            status, answer = _post(f"{url.rstrip('/')}/api/v1/inspections", key, fields, line["image"], picture)
            receipt: dict[str, Any] = {"trigger_id": line["trigger_id"], "at": time.time(), "status": status}
            if status in (200, 201):
                receipt |= {"id": answer["id"], "verdict": answer["verdict"], "model": answer["model"]}
                receipt["edge_verdict"] = line["verdict"]
                told.sent += 1
                told.other_verdict += answer["verdict"] != line["verdict"]
            else:
                receipt["refused"] = _message(answer)
                told.refused += 1
                tell(f"{line['image']} was refused: {receipt['refused']}")
            receipts.add(receipt)
    return told


def _post(url: str, key: str, fields: Mapping[str, str], name: str, picture: bytes) -> tuple[int, dict[str, Any]]:
    """The status and the JSON of the answer; raises Unavailable, InvalidInput where waiting or a person must help."""
    edge = secrets.token_hex(16)
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()
    ]
    plain = name.replace('"', "_").replace("\r", "_").replace("\n", "_")
    parts.append(
        f'--{edge}\r\nContent-Disposition: form-data; name="image"; filename="{plain}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
    )
    body = b"".join([*parts, picture, f"\r\n--{edge}--\r\n".encode()])
    headers = {"Authorization": f"Bearer {key}", "Content-Type": f"multipart/form-data; boundary={edge}"}
    try:
        request = urllib.request.Request(url, body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
            status, text = int(reply.status), reply.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(f"{url} does not answer ({error}); what was not sent stays in the spool") from error
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if status in (401, 403):
        raise InvalidInput(f"the server does not let this key inspect ({_message(answer)}); give another one in QC_KEY")
    if status >= 500 or status in (404, 408, 429) or not isinstance(answer, dict):
        raise Unavailable(f"{url} answers {status} ({_message(answer)}); what was not sent stays in the spool")
    return status, answer


def _message(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    return str(error.get("message", "no reason given")) if isinstance(error, dict) else "no reason given"
