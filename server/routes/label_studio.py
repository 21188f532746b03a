"""Label Studio's webhook: told at once, done by a job."""

from __future__ import annotations

import hmac
import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from qc.errors import InvalidInput
from server import label_jobs
from server.context import Context, ContextDep
from server.errors import NotLoggedIn
from server.studio_service import webhook_secret

router = APIRouter(tags=["label tasks"])


class Queued(BaseModel):
    """Label Studio's word was heard; these jobs will look at what it means, or nothing needs to be done."""

    jobs: list[str]


@router.post("/label-studio/webhook", status_code=202)
async def webhook(request: Request, context: ContextDep, x_qc_webhook_secret: Annotated[str, Header()] = "") -> Queued:
    """Something changed in Label Studio. Only the ids in the body are used; what they mean is asked of Label Studio."""
    wanted = webhook_secret(context.settings.home.resolve())
    if not hmac.compare_digest(x_qc_webhook_secret.encode(), wanted.encode()):
        raise NotLoggedIn("the webhook's secret is wrong; restart the server to set the webhook up again")
    try:
        payload = json.loads(await request.body())
    except ValueError as error:
        raise InvalidInput(f"the webhook's body is not JSON: {error}") from error
    if not isinstance(payload, dict):
        raise InvalidInput("the webhook's body must be a JSON object")
    return Queued(jobs=await run_in_threadpool(_queue, context, payload))


def _queue(context: Context, payload: dict[str, Any]) -> list[str]:
    with context.database.write() as session:
        jobs = label_jobs.ask_to_collect(session, payload, now=context.now())
        session.commit()
        return jobs
