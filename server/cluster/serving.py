"""A model's network on many machines behind one address, through Ray Serve, by the Open Inference Protocol.

What is asked here is `champion-network`, as any of our servers answers it; so a server whose `QC_ENGINE_URL` names
this address lets the cluster compute, after the same proof as for every other engine (`server.remote_engine`).
"""

from __future__ import annotations

import hmac
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qc.errors import InvalidInput, NotFound, QcError, Unavailable
from server.cluster.eyes import open_eyes
from server.cluster.kinds import Kind, Shares, selector
from server.cluster.parcels import pack
from server.cluster.seats import Roll, Seat, own_seat

KEY_VARIABLE = "QC_ENGINE_KEY"
"""Whoever asks must send this as `Authorization: Bearer …`, where it is set; as the asking server's own setting."""

MOST_JSON = 1_000_000
"""Bytes of JSON in a request. A window as JSON numbers would be larger: windows come as binary tensors."""

AT_ONCE = 2
"""Windows a worker has at a time: one at work, one that is there when it is done."""

WAITING = 64
"""Windows that wait for workers of a kind; beyond, another kind is asked; where all have as many, the answer is 503
and the asking server computes by itself."""

MODEL_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/ready|/infer)?/?")


class Looks:
    """A worker: the network, made ready for the machine it is on."""

    def __init__(self, parcel: Any, runtime: str, kind: int, roll: Any) -> None:
        import ray

        from server.open_inference import models

        segmenter = open_eyes(ray.get(parcel[0]), runtime=runtime, keep_cells=True)
        self._served = models.network(models.NETWORK, segmenter)
        roll.say.remote(own_seat(kind, segmenter))  # nobody waits for that

    def about(self) -> tuple[dict[str, Any], tuple[Any, ...]]:
        """Metadata in the protocol's words, and the outputs."""
        return self._served.as_json(), self._served.outputs

    def window(self, picture: Any) -> Mapping[str, Any]:
        """The planes of a window; raises InvalidInput for a size that is not taken."""
        return self._served.answer(picture, lambda: None)


class Front:
    """Takes requests apart, gives windows to the kind of worker that is done first, puts answers together."""

    def __init__(self, key: str, *workers: Any) -> None:
        self._workers, self._key = workers, key
        self._shares = Shares(len(workers))
        self._about: tuple[dict[str, Any], tuple[Any, ...]] | None = None

    async def __call__(self, request: Request) -> Response:
        """One call of the protocol; every refusal is one sentence."""
        try:
            if self._key and not _is_key(request.headers.get("authorization", ""), self._key):
                return JSONResponse({"error": f"send {KEY_VARIABLE} as Authorization: Bearer"}, 401)
            return await self._answer(request)
        except QcError as error:
            status = 404 if isinstance(error, NotFound) else 503 if isinstance(error, Unavailable) else 400
            return JSONResponse({"error": error.message}, status, {"Retry-After": "1"} if status == 503 else None)

    async def _answer(self, request: Request) -> Response:
        path, method = request.url.path.rstrip("/"), request.method
        if (method, path) == ("GET", "/v2"):
            told = {"name": "qc-line cluster", "version": version("qc-line"), "extensions": ["binary_tensor_data"]}
            return JSONResponse(told)
        about, outputs = await self._known()
        if method == "GET" and path in ("/v2/health/live", "/v2/health/ready"):
            return JSONResponse({"live": True, "ready": True})
        if (method, path) == ("POST", "/v2/repository/index"):
            row = {"name": about["name"], "version": about["versions"][0], "state": "READY", "reason": ""}
            return JSONResponse([row])
        asked = MODEL_PATH.fullmatch(path)
        if asked is None:
            raise NotFound(f"there is nothing at {method} {path[:100]}")
        name, wanted, what = asked.groups()
        if name != about["name"] or wanted not in (None, about["versions"][0]):
            raise NotFound(f"here is {about['name']} in version {about['versions'][0]}, and nothing else")
        if (method, what) == ("GET", None):
            return JSONResponse(about)
        if (method, what) == ("GET", "/ready"):
            return JSONResponse({"name": name, "ready": True})
        if (method, what) == ("POST", "/infer"):
            return await self._infer(request, about, outputs)
        raise NotFound(f"there is nothing at {method} {path[:100]}")

    async def _infer(self, request: Request, about: dict[str, Any], outputs: tuple[Any, ...]) -> Response:
        from server.open_inference import models, tensors

        body = bytearray()
        most = MOST_JSON + 3 * models.LARGEST_WINDOW_PX
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise InvalidInput(f"a request has at most {most} bytes; ask window by window")
        length = request.headers.get(tensors.HEADER_LENGTH)
        asked = tensors.read(body, length, models.PICTURE, outputs, most_json=MOST_JSON)
        found = await self._window(asked.values)
        content, headers = tensors.write(asked, found, outputs, model=about["name"], version=about["versions"][0])
        return Response(content, headers=headers)

    async def _window(self, picture: Any) -> Mapping[str, Any]:
        """A window's planes; a kind that has too many, or whose worker dies, leaves it to another one."""
        from ray.exceptions import RayActorError
        from ray.serve.exceptions import BackPressureError

        asked: set[int] = set()
        while (n := self._shares.next(asked)) is not None:
            asked.add(n)
            try:
                with self._shares.at_work(n):
                    found: Mapping[str, Any] = await self._workers[n].window.remote(picture)
                    return found
            except (BackPressureError, RayActorError):
                continue
        raise Unavailable(f"{WAITING} windows wait already, or no worker is there; ask again in a moment")

    async def _known(self) -> tuple[dict[str, Any], tuple[Any, ...]]:
        """What the kinds say of themselves: the same but for what computes them, of which all are named."""
        if self._about is None:
            told = [await workers.about.remote() for workers in self._workers]
            platforms = dict.fromkeys(str(about["platform"]) for about, _ in told)
            about, outputs = told[0]
            self._about = {**about, "platform": " + ".join(platforms)}, outputs
        return self._about


def _is_key(header: str, key: str) -> bool:
    return hmac.compare_digest(header.encode(), f"Bearer {key}".encode())


def serve(
    ray: Any,
    model: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    kinds: Sequence[Kind] = (Kind(),),
    until: Callable[[], bool],
    came: Callable[[Seat], None] | None = None,
) -> None:
    """Serve until `until` says so, or Ctrl-C.

    Args:
        ray: the connected module.
        model: a model folder on this machine; it is sent to the workers.
        host, port: where every machine of the cluster that has a worker listens.
        kinds: of workers, one or more; of each at least one must find a machine before anything is served.
        until: asked a few times a second.
        came: told of each worker that is ready, also of those that come later.

    Raises:
        InvalidInput: no kind of worker, or the model cannot be served.
    """
    from ray import serve as ray_serve
    from ray.exceptions import RayActorError
    from ray.serve.config import AutoscalingConfig, HTTPOptions, ProxyLocation
    from ray.serve.exceptions import RayServeException
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if not kinds:
        raise InvalidInput("a model is served by workers of at least one kind")
    parcel, nodes = ray.put(pack(model)), ray.nodes()
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    roll, told = ray.remote(num_cpus=0, max_restarts=-1)(Roll).options(scheduling_strategy=here).remote(), 0
    ray_serve.start(http_options=HTTPOptions(host=host, port=port, location=ProxyLocation.EveryNode))
    try:
        looks: list[Any] = []
        for n, kind in enumerate(kinds):
            deployment: Any = ray_serve.deployment(
                Looks,
                name=f"looks-{n}-{kind.runtime}",
                autoscaling_config=AutoscalingConfig(
                    min_replicas=kind.least,
                    initial_replicas=kind.least,
                    max_replicas=kind.most,
                    target_ongoing_requests=1,
                ),
                max_ongoing_requests=AT_ONCE,
                max_queued_requests=WAITING,
                ray_actor_options={
                    "num_cpus": kind.cores,
                    "num_gpus": kind.gpus,
                    "resources": kind.resources,
                    "label_selector": selector(kind, kinds, nodes),
                },
            )
            looks.append(deployment.bind([parcel], kind.runtime, n, roll))
        front: Any = ray_serve.deployment(Front, num_replicas=1, ray_actor_options={"num_cpus": 0})
        app = front.bind(os.environ.get(KEY_VARIABLE, ""), *looks)
        try:
            ray_serve.run(app, name="qc", route_prefix="/")
        except (RayServeException, RuntimeError) as error:
            raise InvalidInput(f"{model} cannot be served on the cluster: {str(error).strip()[-300:]}") from error
        while not until():
            try:
                new = ray.get(roll.since.remote(told))
            except RayActorError:  # its process died; it begins anew, with nobody on it
                new, told = [], 0
            for seat in new:
                told += 1
                if came:
                    came(seat)
            time.sleep(0.2)
    finally:
        ray_serve.shutdown()  # type: ignore[no-untyped-call]
