"""/threads/{id}/state and /threads/{id}/history, the part of `client.threads` that reads checkpoints."""

from collections.abc import Coroutine, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from handler.api.answers import json_answer
from handler.api.auth import TheCaller
from handler.api.bodies import body_of, documented
from handler.api.schemas import (
    MAX_ROWS,
    STATE_FIELDS,
    BeforeBody,
    CheckpointBody,
    HistoryBody,
    StateAtBody,
    StateUpdateBody,
)
from handler.api.services import Services, TheServices
from handler.api.threads import thread_of, truthy
from handler.domain.models import JsonObject, Thread
from handler.errors import Invalid
from handler.runs.updates import Update

router = APIRouter(tags=["threads"])

SHOWN_OF_UPDATE = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")
"""What the answer to an update names its checkpoint by."""

ONE_VALUE = "values."
"""Before the key of one of a state's values, in `select`."""


@router.get("/threads/{thread_id}/state")
async def get_state(thread_id: str, request: Request, caller: TheCaller, services: TheServices) -> Response:
    """Read the latest state of a thread, also while a run is under way."""
    select = selection(request.query_params.getlist("select"))
    thread = await thread_of(services, caller, thread_id)
    subgraphs = truthy(request.query_params.get("subgraphs"))
    return await state_answer(services, thread, None, select, subgraphs=subgraphs)


@router.get("/threads/{thread_id}/state/{checkpoint_id}")
async def get_state_at(
    thread_id: str, checkpoint_id: str, request: Request, caller: TheCaller, services: TheServices
) -> Response:
    """Read the state of a thread at a checkpoint; empty where the thread has no such checkpoint."""
    select = selection(request.query_params.getlist("select"))
    thread = await thread_of(services, caller, thread_id)
    subgraphs = truthy(request.query_params.get("subgraphs"))
    return await state_answer(services, thread, {"checkpoint_id": checkpoint_id}, select, subgraphs=subgraphs)


@router.post("/threads/{thread_id}/state/checkpoint", openapi_extra=documented(StateAtBody))
async def post_state_at(
    thread_id: str,
    body: Annotated[StateAtBody, Depends(body_of(StateAtBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Read the state of a thread, or of a subgraph, at a checkpoint."""
    select = selection(body.select or ())
    thread = await thread_of(services, caller, thread_id)
    return await state_answer(services, thread, named(body.checkpoint), select, subgraphs=bool(body.subgraphs))


@router.post("/threads/{thread_id}/state", openapi_extra=documented(StateUpdateBody))
async def update_state(
    thread_id: str,
    body: Annotated[StateUpdateBody, Depends(body_of(StateUpdateBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Change the state of a thread as if a node had done it; a run that is under way is a conflict."""
    thread = await thread_of(services, caller, thread_id)
    checkpoint = named(body.checkpoint) if body.checkpoint else {}
    if body.checkpoint_id:
        checkpoint["checkpoint_id"] = body.checkpoint_id
    changing = services.updates.update(thread, [[Update(body.values, body.as_node)]], checkpoint)
    configurable = await services.loop.run(changing)
    shown = {name: configurable[name] for name in SHOWN_OF_UPDATE if name in configurable}
    return json_answer({"checkpoint": shown, "configurable": shown, "checkpoint_id": shown["checkpoint_id"]})


@router.get("/threads/{thread_id}/history")
async def get_history(thread_id: str, request: Request, caller: TheCaller, services: TheServices) -> Response:
    """List the states of a thread, newest first."""
    query = request.query_params
    text = query.get("limit", "1")
    try:
        limit = min(max(int(text), 0), MAX_ROWS)
    except ValueError:
        raise Invalid(f"Invalid limit {text}") from None
    select = selection(query.getlist("select"))
    thread = await thread_of(services, caller, thread_id)
    states = services.states.history(thread, {}, limit=limit, before=query.get("before"), metadata=None)
    return await states_answer(services, states, select)


@router.post("/threads/{thread_id}/history", openapi_extra=documented(HistoryBody))
async def post_history(
    thread_id: str,
    body: Annotated[HistoryBody, Depends(body_of(HistoryBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """List the states of a thread or of a subgraph, newest first, by metadata."""
    select = selection(body.select or ())
    thread = await thread_of(services, caller, thread_id)
    before = body.before
    if isinstance(before, BeforeBody):
        before = before.configurable
    if isinstance(before, CheckpointBody):
        before = before.checkpoint_id
    checkpoint = named(body.checkpoint) if body.checkpoint else {}
    states = services.states.history(thread, checkpoint, limit=body.limit, before=before, metadata=body.metadata)
    return await states_answer(services, states, select)


def selection(fields: Sequence[str]) -> Sequence[str]:
    """The fields of a state to show, none for all; Invalid for one that a state has not."""
    unknown = [name for name in fields if name not in STATE_FIELDS and not name.startswith(ONE_VALUE)]
    if unknown:
        raise Invalid(f"Invalid select columns: {unknown}. Expected: {sorted(STATE_FIELDS)} or {ONE_VALUE}<key>")
    return fields


def selected(state: JsonObject, select: Sequence[str]) -> JsonObject:
    """A state with what is to be shown of it."""
    if not select:
        return state
    keys = {name.removeprefix(ONE_VALUE) for name in select if name.startswith(ONE_VALUE)}
    if keys and "values" not in select:
        values = state["values"] if isinstance(state["values"], dict) else {}
        state = {**state, "values": {name: value for name, value in values.items() if name in keys}}
        select = [*select, "values"]
    return {name: value for name, value in state.items() if name in select}


async def state_answer(
    services: Services, thread: Thread, checkpoint: JsonObject | None, select: Sequence[str], *, subgraphs: bool
) -> Response:
    """One state."""
    state: Any = await services.loop.run(services.states.state(thread, checkpoint, subgraphs=subgraphs))
    return json_answer(selected(state, select))


async def states_answer(
    services: Services, states: Coroutine[Any, Any, list[JsonObject]], select: Sequence[str]
) -> Response:
    """States, newest first."""
    return json_answer([selected(state, select) for state in await services.loop.run(states)])


def named(checkpoint: CheckpointBody) -> JsonObject:
    """What a body names of a checkpoint; the thread is the path's."""
    given: JsonObject = checkpoint.model_dump(exclude_none=True)
    given.pop("thread_id", None)
    return given
