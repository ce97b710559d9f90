"""/threads/{id}/runs, as `client.runs` calls it."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from handler.api.answers import json_answer
from handler.api.auth import TheCaller
from handler.api.bodies import body_of, checked, documented, parsed_body
from handler.api.schemas import RUN_FIELDS, RunBody, RunsCancelBody, as_uuid, shown_run
from handler.api.services import Services, TheServices
from handler.api.sse import PLACE_MARK, start_and_stream
from handler.api.starts import accept, admit, assistant_of, run_kwargs
from handler.api.threads import thread_of, truthy
from handler.api.waits import Preferences, note_presence, run_headers, run_path, waited
from handler.domain.events import EventId
from handler.domain.models import (
    Caller,
    CancelAction,
    Run,
    new_run_id,
)
from handler.domain.status import TERMINAL, RunStatus
from handler.errors import BadRequest, Invalid, NotFound, NotSupported, RunNotFound, ThreadNotFound

router = APIRouter(tags=["runs"])

ACTIVE = frozenset(RunStatus) - TERMINAL
"""What `status: all` of a cancel means."""

MOST_IN_BATCH = 100
"""Most runs of one batch: they are accepted one after another, within the time that a gateway gives."""

MOST_COUNTED = 2**31 - 1
"""Largest limit or offset."""


@router.post("/threads/{thread_id}/runs/wait", openapi_extra=documented(RunBody))
async def wait_for_run(
    thread_id: str,
    request: Request,
    body: Annotated[RunBody, Depends(body_of(RunBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Start a run on a thread and answer with its result."""
    try:
        canonical = str(uuid.UUID(thread_id))
    except ValueError:
        raise BadRequest("badly formed hexadecimal UUID string") from None
    return await start_and_wait(request, services, caller, canonical, body)


async def start_and_wait(
    request: Request, services: Services, caller: Caller, thread_id: str, body: RunBody
) -> Response:
    """Admit a run and answer with its result; one that was accepted before under the same key is joined."""
    if body.stream:
        return await start_and_stream(request, services, caller, thread_id, body)
    inline = not (Preferences.of(request).respond_async and services.settings.queue_url)
    admitted = await admit(request, services, caller, thread_id, body, inline=inline)
    if not inline:
        headers = {**run_headers(admitted.run), "Preference-Applied": "respond-async"}
        await wake(services, admitted.run)
        return json_answer(shown_run(admitted.run), 202, headers)
    if admitted.joined:
        await note_presence(request, services, admitted.run)
    return await waited(request, services, admitted.run, None if admitted.joined else admitted)


@router.post("/runs/wait", openapi_extra=documented(RunBody))
async def wait_for_stateless_run(
    request: Request,
    body: Annotated[RunBody, Depends(body_of(RunBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Start a run on a thread of its own and answer with its result; the thread goes unless it is to be kept."""
    return await start_and_wait(request, services, caller, new_run_id(), stateless(body))


@router.post("/runs", openapi_extra=documented(RunBody))
async def create_stateless_run(
    request: Request,
    body: Annotated[RunBody, Depends(body_of(RunBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Start a run on a thread of its own in the background."""
    return await start_in_background(request, services, caller, new_run_id(), stateless(body))


def stateless(body: RunBody) -> RunBody:
    """The body of a run without a thread of the caller's: there is nothing to resume, and the thread is made."""
    if body.command is not None and body.command.resume is not None:
        raise BadRequest("Cannot resume a stateless run: it has no thread to go on with")
    return body.model_copy(update={"if_not_exists": "create", "on_completion": body.on_completion or "delete"})


@router.post("/threads/{thread_id}/runs", openapi_extra=documented(RunBody))
async def create_run(
    thread_id: str,
    request: Request,
    body: Annotated[RunBody, Depends(body_of(RunBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Start a run on a thread in the background."""
    return await start_in_background(request, services, caller, as_uuid(thread_id, "thread"), body)


async def start_in_background(
    request: Request, services: Services, caller: Caller, thread_id: str, body: RunBody
) -> Response:
    """Admit a run and have a worker drive it."""
    if not services.settings.queue_url:
        raise NotSupported("background runs need a queue: set QUEUE_URL")
    body = body.model_copy(update={"stream": None})
    run = (await admit(request, services, caller, thread_id, body, inline=False)).run
    await wake(services, run)
    return json_answer(shown_run(run), headers=run_headers(run))


async def wake(services: Services, run: Run) -> None:
    """Have a worker drive a run; one that is to come later has a message of its own under way."""
    if run.due_at is None:
        await services.offload(services.wakes.send, run.tenant, run.thread_id, run.run_id)


@router.post("/runs/batch", openapi_extra=documented(RunBody, many=True))
async def create_stateless_runs(request: Request, caller: TheCaller, services: TheServices) -> Response:
    """Start several runs in the background, each on a thread of its own; all are checked before any is accepted."""
    if not services.settings.queue_url:
        raise NotSupported("background runs need a queue: set QUEUE_URL")
    given = await parsed_body(request)
    if not isinstance(given, list) or not given:
        raise Invalid("the request body must be a JSON array of at least one item")
    if len(given) > MOST_IN_BATCH:
        raise Invalid(f"{len(given)} runs are more than the maximum of {MOST_IN_BATCH}")
    bodies = [stateless(checked(RunBody, one)) for one in given]
    for body in bodies:
        await accept(services, body)
        run_kwargs(services, await assistant_of(services, caller, body.assistant_id), body, temporary=True)
    runs = []
    for index, body in enumerate(bodies):
        run = (await admit(request, services, caller, new_run_id(), body, inline=False, part=f"#{index}")).run
        await wake(services, run)
        runs.append(shown_run(run))
    return json_answer(runs)


@router.post("/threads/{thread_id}/runs/{run_id}/cancel")
async def cancel_run(
    thread_id: str,
    run_id: str,
    request: Request,
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Stop a run that waits or runs; with `action=rollback` undo it as well."""
    action = cancel_action(request.query_params.get("action"))
    run = await run_of(services, caller, thread_id, run_id)
    if not await services.loop.run(services.cancellation.cancel(run, action)):
        raise RunNotFound(run.run_id)
    if not truthy(request.query_params.get("wait")):
        return Response(status_code=202)
    return json_answer({}, headers={"Content-Location": run_path(run)})


@router.post("/runs/cancel", status_code=204, openapi_extra=documented(RunsCancelBody))
async def cancel_runs(
    request: Request,
    body: Annotated[RunsCancelBody, Depends(body_of(RunsCancelBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Stop several runs: those named of a thread, or those of a status, of a thread or of all."""
    action = cancel_action(request.query_params.get("action"))
    if (body.run_ids is None) == (body.status is None):
        raise Invalid("give either run_ids or status")
    if body.thread_id is None and body.run_ids is not None:
        raise Invalid("run_ids needs the thread_id of their thread")
    run_ids = [as_uuid(run_id, "run") for run_id in body.run_ids or ()]
    statuses = frozenset(ACTIVE if body.status == "all" else [RunStatus(body.status)] if body.status else [])
    thread = await thread_of(services, caller, body.thread_id) if body.thread_id is not None else None
    if thread is None:
        stopping = services.cancellation.cancel_everywhere(caller.tenant, statuses, action)
    elif body.status is not None:
        stopping = services.cancellation.cancel_waiting(thread, statuses, action)
    else:
        stopping = services.cancellation.cancel_named(thread, run_ids, action)
    stopped = await services.loop.run(stopping)
    if not stopped:
        raise NotFound("No runs found to cancel.")
    return Response(status_code=204)


@router.delete("/threads/{thread_id}/runs/{run_id}", status_code=204)
async def delete_run(
    thread_id: str,
    run_id: str,
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Delete a run; one that waits or runs is stopped first."""
    run = await run_of(services, caller, thread_id, run_id)
    if not await services.loop.run(services.cancellation.cancel(run, CancelAction.DELETE)):
        await services.offload(services.runs.delete, run)
    return Response(status_code=204)


def cancel_action(value: str | None) -> CancelAction:
    """How a cancel stops a run, by its query parameter."""
    if value not in (None, "interrupt", "rollback"):
        raise Invalid(f"action: {value!r} is not one of 'interrupt' or 'rollback'")
    return CancelAction(value or "interrupt")


@router.get("/threads/{thread_id}/runs/{run_id}/join")
async def join_run(
    thread_id: str,
    run_id: str,
    request: Request,
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Wait for a run that was started before."""
    run = await run_of(services, caller, thread_id, run_id)
    await note_presence(request, services, run)
    return await waited(request, services, run, None)


@router.get("/threads/{thread_id}/runs/{run_id}")
async def get_run(
    thread_id: str,
    run_id: str,
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Read a run; one that is named with a place in its stream runs until the stream was read."""
    run_id, place = placed(run_id)
    run = await run_of(services, caller, thread_id, run_id)
    shown = shown_run(run)
    if place is not None and run.ended and await services.loop.run(services.streams.has_more(run, place)):
        shown["status"] = RunStatus.RUNNING
    return json_answer(shown)


@router.get("/threads/{thread_id}/runs")
async def list_runs(
    thread_id: str,
    request: Request,
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """List the runs of a thread, newest first."""
    query = request.query_params
    limit = count(query.get("limit", "10"))
    offset = count(query.get("offset", "0"))
    fields = query.getlist("select")
    unknown = [name for name in fields if name not in RUN_FIELDS]
    if unknown:
        raise Invalid(f"Invalid select columns: {unknown}. Expected: {sorted(RUN_FIELDS)}")
    thread = await thread_of(services, caller, thread_id)
    status = query.get("status")
    if status is not None and status not in list(RunStatus):
        return json_answer([])
    runs = await services.offload(
        services.runs.list,
        caller.tenant,
        thread.thread_id,
        limit=limit,
        offset=offset,
        status=RunStatus(status) if status else None,
    )
    rows = [shown_run(run) for run in runs]
    return json_answer([{name: row[name] for name in fields} for row in rows] if fields else rows)


def placed(run_id: str) -> tuple[str, EventId | None]:
    """A run's id in a path, and the place in its stream that may be named with it."""
    run_id, _, place = run_id.partition(PLACE_MARK)
    return run_id, EventId.parse(place)


def count(value: str) -> int:
    """A query parameter that counts rows."""
    try:
        number = int(value)
    except ValueError:
        raise BadRequest(f"invalid literal for int() with base 10: {value!r}") from None
    if number < 0:
        raise Invalid(f"{number} is less than the minimum of 0")
    if number > MOST_COUNTED:
        raise Invalid(f"{number} is more than the maximum of {MOST_COUNTED}")
    return number


async def run_of(services: Services, caller: Caller, thread_id: str, run_id: str) -> Run:
    """The caller's run; NotFound for any other."""
    thread_key, run_key = as_uuid(thread_id, "thread"), as_uuid(run_id, "run")
    run = await services.offload(services.runs.get, caller.tenant, thread_key, run_key)
    thread = await services.offload(services.threads.get, caller.tenant, thread_key)
    if thread is None:
        raise ThreadNotFound(thread_key)
    if run is None:
        raise RunNotFound(run_key)
    return run
