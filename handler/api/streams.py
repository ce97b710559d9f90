"""The stream routes of `client.runs`: start a run and follow it, or follow one that is under way."""

import uuid
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Request, Response

from handler.api.auth import TheCaller
from handler.api.bodies import body_of, documented
from handler.api.runs import placed, run_of, stateless
from handler.api.schemas import RunBody, StreamMode
from handler.api.services import TheServices
from handler.api.sse import Asked, start_and_stream, streamed
from handler.api.threads import truthy
from handler.api.waits import note_presence
from handler.domain.events import EventId
from handler.domain.models import new_run_id
from handler.errors import BadRequest, Invalid

router = APIRouter(tags=["runs"])

MODES = frozenset(get_args(StreamMode))


@router.post("/threads/{thread_id}/runs/stream", openapi_extra=documented(RunBody))
async def stream_run(
    thread_id: str,
    request: Request,
    body: Annotated[RunBody, Depends(body_of(RunBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Start a run on a thread and answer with its events."""
    try:
        canonical = str(uuid.UUID(thread_id))
    except ValueError:
        raise BadRequest("badly formed hexadecimal UUID string") from None
    return await start_and_stream(request, services, caller, canonical, body)


@router.post("/runs/stream", openapi_extra=documented(RunBody))
async def stream_stateless_run(
    request: Request,
    body: Annotated[RunBody, Depends(body_of(RunBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Start a run on a thread of its own and answer with its events; the thread goes later unless it is to be kept."""
    return await start_and_stream(request, services, caller, new_run_id(), stateless(body))


@router.get("/threads/{thread_id}/runs/{run_id}/stream")
async def join_stream(
    thread_id: str,
    run_id: str,
    request: Request,
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Follow a run that was started before, from the event in Last-Event-ID on, or from now on."""
    run_id, place = placed(run_id)
    asked = asked_by(request, place)
    run = await run_of(services, caller, thread_id, run_id)
    await note_presence(request, services, run)
    return await streamed(request, services, run, asked)


def asked_by(request: Request, place: EventId | None) -> Asked:
    """What a request that follows a run says of how it wants to; Last-Event-ID counts before what its URL says."""
    query = request.query_params
    modes = frozenset(mode for mode in query.getlist("stream_mode") if mode)  # the SDK sends an empty one for None
    if modes - MODES:
        raise Invalid(f"stream_mode: {sorted(modes - MODES)} are not among {sorted(MODES)}")
    after = EventId.parse(request.headers.get("last-event-id") or "") or place
    silent = query.get("silent", "")
    return Asked(
        after=after,
        modes=modes,
        cancels=truthy(query.get("cancel_on_disconnect")),
        silent=int(silent) if silent.isdecimal() and len(silent) < 3 else 0,
        goes_on=place is not None,
    )
