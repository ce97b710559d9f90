"""POST /threads/{id}/commands: what `client.threads.stream` tells the server to do.

Answers are envelopes of the protocol, with status 200 also where a command is refused; only a request that is no
command, or names a thread that the caller may not see, has a status of its own.
"""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from handler.api.answers import json_answer
from handler.api.auth import TheCaller
from handler.api.bodies import checked, documented, parsed_body
from handler.api.runs import wake
from handler.api.schemas import Body, JsonDict, RunBody, as_uuid
from handler.api.services import Services, TheServices
from handler.api.starts import admit
from handler.api.threads import thread_of
from handler.domain.models import Caller, JsonObject, Run, Thread
from handler.domain.status import ThreadStatus
from handler.errors import BadRequest, Conflict, Invalid, NotFound, NotSupported, ServiceError
from handler.runs.admission import MultitaskStrategy

router = APIRouter(tags=["threads"])

SETTLES_WITHIN_S = 5.0
"""How long an answer to an interrupt waits for the run to end that has just told of it, in seconds."""

LOOK_S = 0.05

ERROR_CODES: tuple[tuple[type[ServiceError], str], ...] = (
    (BadRequest, "invalid_argument"),
    (Invalid, "invalid_argument"),
    (NotFound, "invalid_argument"),
    (NotSupported, "not_supported"),
    (Conflict, "unknown_error"),
)
"""The protocol's code of each kind of refusal."""

UNSUPPORTED = frozenset(
    {"agent.getTree", "input.inject", "state.get", "state.listCheckpoints", "state.fork"}
    | {f"subscription.{what}" for what in ("subscribe", "unsubscribe", "reconnect")}
)
"""Commands of the protocol that are refused by name; subscriptions are requests of their own over HTTP."""


class CommandEnvelope(Body):
    """A command of the protocol."""

    id: int
    method: str
    params: JsonDict | None = None


class Refused(Exception):
    """A command that is not carried out, with the protocol's code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@router.post("/threads/{thread_id}/commands", openapi_extra=documented(CommandEnvelope))
async def command_thread(thread_id: str, request: Request, caller: TheCaller, services: TheServices) -> Response:
    """Start a run on a thread, or answer the interrupts at which one has stopped."""
    canonical = as_uuid(thread_id, "thread")
    given = await parsed_body(request)
    named = given.get("id") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not is_int(named) or not isinstance(given.get("method"), str):
        message = "A command has an integer id and the name of a method"
        return json_answer({"type": "error", "id": named, "error": "invalid_argument", "message": message}, 400)
    params: JsonObject = given["params"] if isinstance(given.get("params"), dict) else {}
    try:
        result = await carried_out(request, services, caller, canonical, given["method"], params)
    except Refused as refused:
        return json_answer({"type": "error", "id": named, "error": refused.code, "message": str(refused)})
    return json_answer({"type": "success", "id": named, "result": result, "meta": {"applied_through_seq": 0}})


def is_int(value: Any) -> bool:
    """Whether a JSON value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


async def carried_out(
    request: Request, services: Services, caller: Caller, thread_id: str, method: str, params: JsonObject
) -> JsonObject:
    """The result of a command."""
    if method == "run.start":
        thread = await services.offload(services.threads.get, caller.tenant, thread_id)
        body = await starting(services, thread, params)
        run = await started(request, services, caller, thread_id, body)
        return {"run_id": run.run_id}
    if method == "input.respond":
        thread = await thread_of(services, caller, thread_id)
        await started(request, services, caller, thread_id, await responding(services, caller, thread, params))
        return {}
    if method in UNSUPPORTED:
        raise Refused("not_supported", f"{method} is not supported by this server")
    raise Refused("unknown_command", f"Unknown command: {method}")


async def started(request: Request, services: Services, caller: Caller, thread_id: str, given: JsonObject) -> Run:
    """A run of the protocol's own, driven by a worker; its events are kept from the first one on."""
    if not services.settings.queue_url:
        raise Refused("not_supported", "background runs need a queue: set QUEUE_URL")
    always = {
        "if_not_exists": "create",
        "stream_subgraphs": True,
        "stream_resumable": True,
        "on_disconnect": "continue",
    }
    try:
        body = checked(RunBody, {**given, **always})
        run = (await admit(request, services, caller, thread_id, body, inline=False, protocol=True)).run
    except ServiceError as error:
        code = next((code for kind, code in ERROR_CODES if isinstance(error, kind)), None)
        if code is None:
            raise
        raise Refused(code, str(error)) from None
    await wake(services, run)
    return run


async def starting(services: Services, thread: Thread | None, params: JsonObject) -> JsonObject:
    """The body of the run that `run.start` asks for; its input answers the interrupt at which the thread stands."""
    if not isinstance(params.get("assistant_id"), str) or not params["assistant_id"]:
        raise Refused("invalid_argument", "run.start needs an assistant_id")
    if params.get("langsmith_tracer") is not None:
        raise Refused("not_supported", "langsmith_tracer is not supported by this server")
    given: JsonObject = {name: params[name] for name in ("assistant_id", "config", "metadata") if name in params}
    given["multitask_strategy"] = params.get("multitaskStrategy")
    config = params.get("config")
    configurable = config.get("configurable") if isinstance(config, dict) else None
    if isinstance(configurable, dict) and configurable.get("checkpoint_id") is not None:
        given["checkpoint_id"] = configurable["checkpoint_id"]
    value = params.get("input")
    waits = given["multitask_strategy"] in (None, MultitaskStrategy.ENQUEUE)
    if value is not None and thread is not None and await asks(services, thread, waits=waits):
        return {**given, "command": {"resume": value}}
    return {**given, "input": value}


async def responding(services: Services, caller: Caller, thread: Thread, params: JsonObject) -> JsonObject:
    """The body of the run that goes on with the answers of `input.respond`."""
    answers = dict(answer_of(entry) for entry in entries_of(params))
    thread = await settled(services, caller, thread)
    waiting = await interrupts_of(services, thread)
    unknown = [name for name in answers if name not in waiting]
    if unknown:
        raise Refused("no_such_interrupt", f"No interrupt of this thread waits for an answer under {unknown[0]!r}")
    command = {"resume": answers, **{name: params[name] for name in ("update", "goto") if params.get(name) is not None}}
    given = {name: params[name] for name in ("config", "metadata") if params.get(name) is not None}
    return {**given, "assistant_id": thread.assistant_id or "", "command": command}


def entries_of(params: JsonObject) -> list[Any]:
    """The answers of a command, which names one or has a list of them."""
    responses = params.get("responses")
    if responses is None:
        return [params]
    if not isinstance(responses, list) or not responses:
        raise Refused("invalid_argument", "input.respond needs at least one response")
    return responses


def answer_of(entry: Any) -> tuple[str, Any]:
    """An interrupt's id, which says where it is as well, and the answer to it."""
    if not isinstance(entry, dict) or not isinstance(entry.get("interrupt_id"), str):
        raise Refused("invalid_argument", "input.respond needs the interrupt_id of each response")
    namespace = entry.get("namespace") or []
    if not isinstance(namespace, list) or not all(isinstance(part, str) for part in namespace):
        raise Refused("invalid_argument", "namespace is a list of strings")
    return entry["interrupt_id"], entry.get("response")


async def settled(services: Services, caller: Caller, thread: Thread) -> Thread:
    """The thread once the run has ended whose interrupt is answered: it is told of before that."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SETTLES_WITHIN_S
    while thread.busy and loop.time() < deadline:
        await asyncio.sleep(LOOK_S)
        thread = await thread_of(services, caller, thread.thread_id)
    return thread


async def asks(services: Services, thread: Thread, *, waits: bool) -> bool:
    """Whether a thread stands at an interrupt, or will at the end of its run for one who `waits`: it has told of it."""
    if thread.active_run is None:
        return bool(await interrupts_of(services, thread))
    if not waits:
        return False
    run = await services.offload(services.runs.get, thread.tenant, thread.thread_id, thread.active_run)
    return run is not None and await services.loop.run(services.streams.has_asked(run))


async def interrupts_of(services: Services, thread: Thread) -> frozenset[str]:
    """The ids of the interrupts at which a thread stands."""
    if thread.status is not ThreadStatus.INTERRUPTED:
        return frozenset()
    _, interrupts = await services.loop.run(services.states.summary(thread))
    return frozenset(one["id"] for task in interrupts.values() for one in task)
