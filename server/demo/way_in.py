"""How the imaginary labeller gets into Label Studio: what it was told, or what the server beside it shows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from server.demo.client import Server, Stopped
from server.demo.config import DemoConfig

LOOK_AGAIN_S = 2.0
"""Label Studio's account appears when it is started for the first time."""


@dataclass(frozen=True, slots=True)
class WayIn:
    """Where Label Studio is, and a token for it."""

    url: str
    token: str = field(repr=False)


def find(config: DemoConfig, server: Server) -> WayIn | None:
    """The way into Label Studio; waits until there is one.

    An address and a token that were given are used as they are. Otherwise `/health` names the address, and the token is
    that of the server's own Label Studio in the same data folder.

    Returns:
        None where the server runs without Label Studio, or with somebody else's whose token was not given.
    """
    if config.studio_url and config.studio_token:
        return WayIn(config.studio_url.rstrip("/"), config.studio_token)
    account = config.home / "label-studio" / "account.json"
    while True:
        studio = server.wait_until_ready().get("components", {}).get("label-studio") or {}
        url = config.studio_url or str(studio.get("url") or "")
        if not url or studio.get("state") == "off":
            return None
        try:
            token = config.studio_token or str(json.loads(account.read_text(encoding="utf-8"))["token"])
            return WayIn(url.rstrip("/"), token)
        except (OSError, ValueError, KeyError, TypeError):
            if studio.get("state") == "ok":
                return None  # it is up, and its account is not here: it is somebody else's
        if server.stop.wait(LOOK_AGAIN_S):
            raise Stopped("stopped while waiting for Label Studio")
