"""The protocol's calls. Below /v2 and not below /api/v1, because that is where its clients look for them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from qc.errors import InvalidInput, NotFound, Unavailable
from server.context import Context, ContextDep
from server.open_inference import models, tensors
from server.open_inference.spare import Pause, Spare


def _offered(context: ContextDep) -> None:
    if not context.settings.open_inference:
        raise NotFound("the Open Inference Protocol is switched off here (QC_OPEN_INFERENCE)")


router = APIRouter(prefix="/v2", tags=["open inference"], dependencies=[Depends(_offered)])


class InferenceServer(BaseModel):
    """What answers."""

    name: str = "qc-line"
    version: str
    extensions: list[str] = ["binary_tensor_data"]


class InferenceHealth(BaseModel):
    """Both words: the protocol's text and its schema differ."""

    live: bool
    ready: bool


class InferenceModelReady(BaseModel):
    """Can the model be asked?"""

    name: str
    ready: bool


class InferenceTensor(BaseModel):
    """A tensor; -1 stands for any length."""

    name: str
    datatype: str
    shape: list[int]


class InferenceModel(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[InferenceTensor]
    outputs: list[InferenceTensor]


class IndexedModel(BaseModel):
    """A model of the repository."""

    name: str
    version: str
    state: str = "READY"
    reason: str = ""


_BODIES = ("application/json", "application/octet-stream")
_INFER: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {"content": {kind: {} for kind in _BODIES}, "description": "The protocol's response."}},
    "openapi_extra": {"requestBody": {"required": True, "content": {kind: {} for kind in _BODIES}}},
}


@router.get("")
def server() -> InferenceServer:
    """Who answers, and which extensions of the protocol it knows."""
    return InferenceServer(version=version("qc-line"))


@router.get("/health/live")
def live(context: ContextDep) -> InferenceHealth:
    """The server is up."""
    return InferenceHealth(live=True, ready=_ready(context, models.CHAMPION))


@router.get("/health/ready", responses={400: {"model": InferenceHealth}})
def ready(context: ContextDep, response: Response) -> InferenceHealth:
    """200 once the champion can be asked, 400 before."""
    able = _ready(context, models.CHAMPION)
    response.status_code = 200 if able else 400
    return InferenceHealth(live=True, ready=able)


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{version}")
def metadata(context: ContextDep, name: str, version: str | None = None) -> InferenceModel:
    """What a model takes and gives."""
    return InferenceModel(**models.served(context, name, version).as_json())


@router.get("/models/{name}/ready", responses={400: {"model": InferenceModelReady}})
@router.get("/models/{name}/versions/{version}/ready", responses={400: {"model": InferenceModelReady}})
def model_ready(context: ContextDep, response: Response, name: str, version: str | None = None) -> InferenceModelReady:
    """200 once it can be asked, 400 before; 404 for a name or version that is not served."""
    able = _ready(context, name, version)
    response.status_code = 200 if able else 400
    return InferenceModelReady(name=name, ready=able)


@router.post("/repository/index")
def index(context: ContextDep) -> list[IndexedModel]:
    """Every model that can be asked now."""
    found = []
    for name in models.names(context):
        try:
            one = models.served(context, name)
        except Unavailable as error:
            found.append(IndexedModel(name=name, version="", state="UNAVAILABLE", reason=error.message))
        else:
            found.append(IndexedModel(name=name, version=one.version))
    return found


def _spare(context: ContextDep) -> Spare:
    spare = context.parts.get("open-inference")
    if not isinstance(spare, Spare):
        raise Unavailable("the server is still starting; try again in a few seconds", retry_after_s=2)
    return spare


@router.post("/models/{name}/infer", **_INFER)
@router.post("/models/{name}/versions/{version}/infer", **_INFER)
async def infer(
    request: Request,
    context: ContextDep,
    spare: Annotated[Spare, Depends(_spare)],
    name: str,
    version: str | None = None,
) -> Response:
    """Look at one picture. Nothing is stored, no station is judged, and the line goes first."""
    if (coding := request.headers.get("content-encoding", "identity")) != "identity":
        raise InvalidInput(f"the body must be sent as it is, not with Content-Encoding {coding[:40]}")
    with spare.place():
        model = models.served(context, name, version)
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
        except ClientDisconnect as error:
            raise InvalidInput("the sender hung up before the request was complete") from error
        header_length = request.headers.get(tensors.HEADER_LENGTH)
        most_json = context.settings.max_request_mb * 1_000_000

        def work(pause: Pause) -> tuple[bytes, dict[str, str]]:
            asked = tensors.read(body, header_length, models.PICTURE, model.outputs, most_json=most_json)
            found = model.answer(asked.values, pause)
            return tensors.write(asked, found, model.outputs, model=model.name, version=model.version)

        content, headers = await spare.run(work)
    return Response(content, headers=headers)


def _ready(context: Context, name: str, version: str | None = None) -> bool:
    try:
        models.served(context, name, version)
    except Unavailable:
        return False
    return True
