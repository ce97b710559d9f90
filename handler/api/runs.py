"""/threads/{id}/runs, as `client.runs` calls it."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from handler.api.answers import json_answer
from handler.api.auth import caller_of
from handler.api.bodies import body_of, documented
from handler.api.schemas import RUN_FIELDS, RunBody, RunsCancelBody, as_uuid, shown_run
from handler.api.services import Services, services_of
from handler.api.threads import own_metadata, thread_of, truthy
from handler.api.waits import run_headers, waited
from handler.domain.models import (
    Assistant,
    Caller,
    CancelAction,
    JsonObject,
    Run,
    Thread,
    new_run_id,
    system_assistant_id,
)
from handler.domain.status import RunStatus, ThreadStatus
from handler.errors import BadRequest, Invalid, NotFound, NotSupported, RunNotFound, ThreadNotFound
from handler.runs.admission import Admitted

router = APIRouter(tags=["runs"])

NOT_FOUND = "Thread or assistant not found."

MOST_COUNTED = 2**31 - 1
"""Largest limit or offset."""

BOTH_GIVEN = "Cannot specify both configurable and context. Context is the replacement of configurable: give it alone."


@router.post("/threads/{thread_id}/runs/wait", openapi_extra=documented(RunBody))
async def wait_for_run(
    thread_id: str,
    request: Request,
    body: Annotated[RunBody, Depends(body_of(RunBody))],
    caller: Annotated[Caller, Depends(caller_of)],
    services: Annotated[Services, Depends(services_of)],
) -> Response:
    """Start a run on a thread and answer with its result."""
    try:
        canonical = str(uuid.UUID(thread_id))
    except ValueError:
        raise BadRequest("badly formed hexadecimal UUID string") from None
    admitted = await admit(services, caller, canonical, body, inline=True)
    return await waited(request, services, admitted.run, admitted)


@router.post("/threads/{thread_id}/runs", openapi_extra=documented(RunBody))
async def create_run(
    thread_id: str,
    body: Annotated[RunBody, Depends(body_of(RunBody))],
    caller: Annotated[Caller, Depends(caller_of)],
    services: Annotated[Services, Depends(services_of)],
) -> Response:
    """Start a run on a thread in the background."""
    canonical = as_uuid(thread_id, "thread")
    if not services.settings.queue_url:
        raise NotSupported("background runs need a queue: set QUEUE_URL")
    run = (await admit(services, caller, canonical, body, inline=False)).run
    await services.offload(services.wakes.send, run.tenant, run.thread_id, run.run_id)
    return json_answer(shown_run(run), headers=run_headers(run))


@router.post("/threads/{thread_id}/runs/{run_id}/cancel")
async def cancel_run(
    thread_id: str,
    run_id: str,
    request: Request,
    caller: Annotated[Caller, Depends(caller_of)],
    services: Annotated[Services, Depends(services_of)],
) -> Response:
    """Stop a run that waits or runs; with `action=rollback` undo it as well."""
    action = cancel_action(request.query_params.get("action"))
    run = await run_of(services, caller, thread_id, run_id)
    if not await services.loop.run(services.cancellation.cancel(run, action)):
        raise RunNotFound(run.run_id)
    return json_answer({}, 200 if truthy(request.query_params.get("wait")) else 202)


@router.post("/runs/cancel", status_code=204, openapi_extra=documented(RunsCancelBody))
async def cancel_runs(
    request: Request,
    body: Annotated[RunsCancelBody, Depends(body_of(RunsCancelBody))],
    caller: Annotated[Caller, Depends(caller_of)],
    services: Annotated[Services, Depends(services_of)],
) -> Response:
    """Stop several runs of a thread: those named, or those of a status."""
    action = cancel_action(request.query_params.get("action"))
    if body.thread_id is None:
        raise NotSupported("runs/cancel needs a thread_id: runs are not indexed across threads")
    if (body.run_ids is None) == (body.status is None):
        raise Invalid("give either run_ids or status")
    thread = await thread_of(services, caller, body.thread_id)
    chosen = [as_uuid(run_id, "run") for run_id in body.run_ids or ()]
    if body.status is not None:
        wanted = {"all": ("pending", "running")}.get(body.status, (body.status,))
        found = [*thread.queue, *([thread.active_run] if thread.active_run else [])]
        runs = [await services.offload(services.runs.get, caller.tenant, thread.thread_id, one) for one in found]
        chosen = [run.run_id for run in runs if run is not None and run.status in wanted]
    stopped = 0
    for run_id in chosen:
        run = await services.offload(services.runs.get, caller.tenant, thread.thread_id, run_id)
        if run is not None and await services.loop.run(services.cancellation.cancel(run, action)):
            stopped += 1
    if not stopped:
        raise NotFound("No runs found to cancel.")
    return Response(status_code=204)


@router.delete("/threads/{thread_id}/runs/{run_id}", status_code=204)
async def delete_run(
    thread_id: str,
    run_id: str,
    caller: Annotated[Caller, Depends(caller_of)],
    services: Annotated[Services, Depends(services_of)],
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


async def admit(services: Services, caller: Caller, thread_id: str, body: RunBody, *, inline: bool) -> Admitted:
    """Check a body and admit the run that it asks for."""
    refuse_unsupported(body)
    assistant = await assistant_of(services, caller, body.assistant_id)
    run = new_run(services, caller, thread_id, assistant, body)
    new_thread = thread_for(run, body) if body.if_not_exists == "create" else None
    try:
        return await services.loop.run(services.waiter.admit(run, new_thread, inline=inline))
    except ThreadNotFound:
        raise NotFound(NOT_FOUND) from None


@router.get("/threads/{thread_id}/runs/{run_id}/join")
async def join_run(
    thread_id: str,
    run_id: str,
    request: Request,
    caller: Annotated[Caller, Depends(caller_of)],
    services: Annotated[Services, Depends(services_of)],
) -> Response:
    """Wait for a run that was started before."""
    run = await run_of(services, caller, thread_id, run_id)
    return await waited(request, services, run, None)


@router.get("/threads/{thread_id}/runs/{run_id}")
async def get_run(
    thread_id: str,
    run_id: str,
    caller: Annotated[Caller, Depends(caller_of)],
    services: Annotated[Services, Depends(services_of)],
) -> Response:
    """Read a run."""
    return json_answer(shown_run(await run_of(services, caller, thread_id, run_id)))


@router.get("/threads/{thread_id}/runs")
async def list_runs(
    thread_id: str,
    request: Request,
    caller: Annotated[Caller, Depends(caller_of)],
    services: Annotated[Services, Depends(services_of)],
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


async def assistant_of(services: Services, caller: Caller, asked: str) -> Assistant:
    """The assistant that a request names by id, or by its graph's name."""
    if asked in services.graphs.ids:
        asked = system_assistant_id(asked)
    try:
        canonical = str(uuid.UUID(asked))
    except ValueError:
        names = ", ".join(services.graphs.ids)
        raise Invalid(
            f"Invalid assistant: {asked!r}. It must be an assistant's UUID or one of the graphs: {names}"
        ) from None
    assistant = await services.offload(services.assistants.get, caller.tenant, canonical)
    if assistant is None:
        raise NotFound(NOT_FOUND)
    return assistant


def refuse_unsupported(body: RunBody) -> None:
    """Refuse by name what this server does not do yet; nothing is ignored silently."""
    if body.stream:
        raise NotSupported("stream is not supported yet: use the answer of runs/wait without it")
    if body.webhook is not None:
        raise NotSupported("webhook is not supported yet")
    if body.after_seconds is not None:
        raise NotSupported("after_seconds is not supported yet")
    if body.feedback_keys:
        raise NotSupported("feedback_keys is not supported")
    if body.stream_resumable:
        raise NotSupported("stream_resumable is not supported yet")


def new_run(services: Services, caller: Caller, thread_id: str, assistant: Assistant, body: RunBody) -> Run:
    """The run that a body asks for, with what its assistant is configured to."""
    now = services.clock()
    return Run(
        tenant=caller.tenant,
        thread_id=thread_id,
        run_id=new_run_id(),
        assistant_id=assistant.assistant_id,
        graph_id=assistant.graph_id,
        status=RunStatus.PENDING,
        created_at=now,
        updated_at=now,
        multitask_strategy=body.multitask_strategy or "enqueue",
        metadata=own_metadata({**assistant.metadata, **(body.metadata or {})}),
        kwargs=run_kwargs(services, assistant, body),
    )


def run_kwargs(services: Services, assistant: Assistant, body: RunBody) -> JsonObject:
    """What shapes a run: the body's fields, defaults filled in, nulls as absent."""
    config = body.config.model_dump(exclude_none=True) if body.config else {}
    configurable = config.get("configurable") or {}
    if body.context and {name for name in configurable if not name.startswith(("checkpoint_", "thread_id"))}:
        raise BadRequest(BOTH_GIVEN)
    checkpoint = body.checkpoint.model_dump(exclude_none=True) if body.checkpoint else {}
    checkpoint.pop("thread_id", None)
    if body.checkpoint_id:
        checkpoint["checkpoint_id"] = body.checkpoint_id
    modes = [body.stream_mode] if isinstance(body.stream_mode, str) else list(body.stream_mode or ["values"])
    durability = body.durability or ("exit" if body.checkpoint_during is False else "async")
    return {
        "input": body.input,
        "command": command_of(body),
        "config": merged_config(assistant.config, config),
        "context": {**assistant.context, **body.context} if body.context is not None else assistant.context or None,
        "checkpoint": checkpoint or None,
        "stream_mode": modes,
        "subgraphs": bool(body.stream_subgraphs),
        "interrupt_before": body.interrupt_before,
        "interrupt_after": body.interrupt_after,
        "on_disconnect": body.on_disconnect or services.settings.default_on_disconnect,
        "on_completion": body.on_completion,
        "durability": durability,
    }


def command_of(body: RunBody) -> JsonObject | None:
    """The command, without what it leaves out; None for one that asks for nothing."""
    if body.command is None:
        return None
    command = {name: value for name, value in body.command.model_dump().items() if value is not None}
    update = command.get("update")
    if isinstance(update, list):
        command["update"] = dict(update)
    return command or None


def merged_config(assistant: JsonObject, asked: JsonObject) -> JsonObject:
    """The assistant's config with the request's laid over it."""
    merged: dict[str, Any] = {**assistant, **asked}
    configurable = {**(assistant.get("configurable") or {}), **(asked.get("configurable") or {})}
    return {**merged, "configurable": configurable}


def thread_for(run: Run, body: RunBody) -> Thread:
    """The thread that `if_not_exists: create` makes: its metadata are those given for the run and in its config."""
    config_metadata = (body.config.metadata if body.config else None) or {}
    return Thread(
        tenant=run.tenant,
        thread_id=run.thread_id,
        status=ThreadStatus.IDLE,
        created_at=run.created_at,
        updated_at=run.created_at,
        metadata=own_metadata({**config_metadata, **(body.metadata or {})}),
    )
