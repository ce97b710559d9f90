"""/threads, as `client.threads` calls it."""

from contextlib import suppress
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response

from handler.api.answers import json_answer
from handler.api.auth import TheCaller
from handler.api.bodies import body_of, documented
from handler.api.schemas import (
    SuperstepBody,
    SuperstepUpdateBody,
    ThreadCreateBody,
    ThreadPatchBody,
    ThreadPruneBody,
    TtlBody,
    as_uuid,
    shown_thread,
    shown_ttl,
)
from handler.api.services import Services, TheServices
from handler.domain.models import Caller, JsonObject, Thread, new_run_id
from handler.domain.status import ThreadStatus
from handler.errors import BadRequest, Conflict, Invalid, ThreadBusy, ThreadExists, ThreadNotFound
from handler.runs.updates import Update, copy_of

router = APIRouter(tags=["threads"])

RESERVED_METADATA = ("thread_id", "assistant_id")
"""Names that callers cannot set on a thread."""


async def answer_with(services: Services, thread: Thread, more: JsonObject | None = None) -> Response:
    """A thread with the values and interrupts at the end of its last run, and what else was asked for."""
    values, interrupts = await services.loop.run(services.states.summary(thread))
    return json_answer({**shown_thread(thread, values, interrupts), **(more or {})})


async def thread_of(services: Services, caller: Caller, thread_id: str) -> Thread:
    """The caller's thread; ThreadNotFound for any other."""
    canonical = as_uuid(thread_id, "thread")
    thread = await services.offload(services.threads.get, caller.tenant, canonical)
    if thread is None:
        raise ThreadNotFound(canonical)
    return thread


def own_metadata(metadata: JsonObject) -> JsonObject:
    """Metadata without the names that are not the caller's to set."""
    return {name: value for name, value in metadata.items() if name not in RESERVED_METADATA}


def with_graph(thread: Thread) -> Thread:
    """The thread, bound to the graph that its metadata name."""
    graph_id = thread.metadata.get("graph_id")
    return replace(thread, graph_id=graph_id) if isinstance(graph_id, str) else thread


@router.post("/threads", openapi_extra=documented(ThreadCreateBody))
async def create_thread(
    body: Annotated[ThreadCreateBody, Depends(body_of(ThreadCreateBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Create a thread."""
    now = services.clock()
    asked = body.ttl or TtlBody()
    ttl = services.graphs.config.ttl.of_new_thread(now, asked.strategy, asked.ttl)
    if asked.strategy and ttl is None:
        raise Invalid("ttl: a strategy needs minutes (ttl), where checkpointer.ttl of langgraph.json has no default")
    thread = with_graph(
        Thread(
            tenant=caller.tenant,
            thread_id=as_uuid(body.thread_id, "thread") if body.thread_id else new_run_id(),
            status=ThreadStatus.IDLE,
            created_at=now,
            updated_at=now,
            metadata=own_metadata(body.metadata),
            ttl=ttl,
        )
    )
    if body.supersteps:
        services.updates.graph_of(thread)
    if not await services.offload(services.threads.create, thread):
        if body.if_exists == "raise":
            raise ThreadExists(thread.thread_id)
    elif body.supersteps:
        await apply_supersteps(services, thread, body.supersteps)
    else:
        return await answer_with(services, thread)
    return await answer_with(services, await thread_of(services, caller, thread.thread_id))


async def apply_supersteps(services: Services, thread: Thread, supersteps: list[SuperstepBody]) -> None:
    """Give a new thread its first super-steps; if that fails there is no thread."""
    steps = [[update_of(one) for one in step.updates] for step in supersteps]
    try:
        await services.loop.run(services.updates.update(thread, steps, {}))
    except Exception:
        await services.offload(services.threads.delete, thread.tenant, thread.thread_id)
        raise


def update_of(body: SuperstepUpdateBody) -> Update:
    """What a node is to have done."""
    command = body.command.model_dump(exclude_none=True) if body.command else None
    return Update(body.values, body.as_node, command)


@router.get("/threads/{thread_id}")
async def get_thread(
    thread_id: str,
    caller: TheCaller,
    services: TheServices,
    include: str = "",
) -> Response:
    """Read a thread; `include=ttl` shows how long it is kept."""
    thread = await thread_of(services, caller, thread_id)
    return await answer_with(services, thread, shown_ttl(thread) if "ttl" in include.split(",") else {})


@router.patch("/threads/{thread_id}", openapi_extra=documented(ThreadPatchBody))
async def patch_thread(
    thread_id: str,
    body: Annotated[ThreadPatchBody, Depends(body_of(ThreadPatchBody))],
    caller: TheCaller,
    services: TheServices,
    prefer: Annotated[str, Header()] = "",
) -> Response:
    """Merge metadata into a thread's, key by key at the top level."""
    canonical = as_uuid(thread_id, "thread")
    changes, now = own_metadata(body.metadata), services.clock()
    if body.ttl and body.ttl.ttl is None:
        raise Invalid("ttl: a change needs minutes (ttl)")
    ttl = services.graphs.config.ttl.of_new_thread(now, body.ttl.strategy, body.ttl.ttl) if body.ttl else None
    thread = await services.offload(services.threads.merge_metadata, caller.tenant, canonical, changes, now, ttl)
    if thread is None:
        raise ThreadNotFound(canonical)
    if prefer == "return=minimal":
        return Response(status_code=204)
    return await answer_with(services, thread)


@router.delete("/threads/{thread_id}", status_code=204)
async def delete_thread(
    thread_id: str,
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Delete a thread with its runs and checkpoints."""
    canonical = as_uuid(thread_id, "thread")
    if not await services.offload(services.threads.delete, caller.tenant, canonical):
        raise ThreadNotFound(canonical)
    return Response(status_code=204)


@router.post("/threads/{thread_id}/copy")
async def copy_thread(thread_id: str, caller: TheCaller, services: TheServices) -> Response:
    """Make a new thread with the history of another; its runs are not copied."""
    try:
        thread = await thread_of(services, caller, thread_id)
    except Invalid:
        raise BadRequest("Invalid thread ID: must be a UUID") from None
    except ThreadNotFound:
        raise Conflict("Conflict") from None
    copy = copy_of(thread, new_run_id(), services.clock)
    await services.loop.run(services.updates.copy(thread, copy))
    return await answer_with(services, copy)


@router.post("/threads/prune", openapi_extra=documented(ThreadPruneBody))
async def prune_threads(
    body: Annotated[ThreadPruneBody, Depends(body_of(ThreadPruneBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Delete threads, or all of their checkpoints but the latest; a thread that a run holds keeps its checkpoints."""
    pruned = 0
    for thread_id in dict.fromkeys(as_uuid(one, "thread") for one in body.thread_ids):
        if body.strategy == "delete":
            pruned += await services.offload(services.threads.delete, caller.tenant, thread_id)
            continue
        with suppress(ThreadNotFound, ThreadBusy):
            await services.loop.run(services.updates.prune(await thread_of(services, caller, thread_id)))
            pruned += 1
    return json_answer({"pruned_count": pruned})


def truthy(value: str | None) -> bool:
    """Whether a query parameter says yes."""
    return (value or "").lower() in ("true", "1", "yes", "on")
