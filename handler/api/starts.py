"""From a request to an accepted run: what is refused, the defaults, the idempotency key."""

import hashlib
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

from fastapi import Request

from handler.api.answers import encode
from handler.api.schemas import RunBody
from handler.api.services import Services
from handler.api.threads import own_metadata
from handler.api.waits import present_until_ms
from handler.domain.assistants import BOTH_GIVEN
from handler.domain.models import (
    Assistant,
    Caller,
    IdempotencyKey,
    JsonObject,
    Run,
    Thread,
    ThreadTtl,
    new_run_id,
    system_assistant_id,
)
from handler.domain.status import RunStatus, ThreadStatus
from handler.errors import AlreadyAccepted, BadRequest, Invalid, NotFound, NotSupported, RunNotFound, ThreadNotFound
from handler.runs.admission import Admitted

NOT_FOUND = "Thread or assistant not found."

IDEMPOTENCY_KEYS_LIVE_S = 24 * 3600
"""How long an idempotency key stands for its run, in seconds."""

FARTHEST_S = 100 * 365 * 24 * 3600
"""How far ahead a run may be put off, in seconds."""


async def admit(
    request: Request,
    services: Services,
    caller: Caller,
    thread_id: str,
    body: RunBody,
    *,
    inline: bool,
    part: str = "",
    protocol: bool = False,
) -> Admitted:
    """Check a body and admit the run that it asks for, or find the one that its idempotency key stands for.

    `part` tells the runs of one request apart; `protocol`: its events are those of the thread-wide protocol.
    """
    await accept(services, body)
    assistant = await assistant_of(services, caller, body.assistant_id)
    temporary = "thread_id" not in request.path_params and body.on_completion == "delete"
    run = new_run(services, caller, thread_id, assistant, body, temporary=temporary)
    run = replace(run, kwargs=with_headers(request, services, run.kwargs))
    if protocol:
        run = replace(run, kwargs={**run.kwargs, "protocol": True})
    key = idempotency_key(request, run, body, part)
    waits_to_cancel = inline and run.kwargs["on_disconnect"] == "cancel"
    present = present_until_ms(request, services) if waits_to_cancel else None
    kwargs = {**run.kwargs, "keyed": True} if key is not None else run.kwargs
    run = replace(run, idempotency=key, present_until_ms=present, kwargs=kwargs)
    # A temporary thread goes by other means, and soon.
    ttl = None if temporary else services.graphs.config.ttl.of_new_thread(run.created_at)
    new_thread = thread_for(run, body, ttl) if body.if_not_exists == "create" else None
    try:
        return await services.loop.run(services.waiter.admit(run, new_thread, inline=inline))
    except AlreadyAccepted as before:
        if key is None or before.fingerprint != key.fingerprint:
            raise Invalid("This Idempotency-Key was used for another request") from None
        earlier = await services.offload(services.runs.get, caller.tenant, before.thread_id, before.run_id)
        if earlier is None:
            raise RunNotFound(before.run_id) from None
        return Admitted(earlier, joined=True)
    except ThreadNotFound:
        raise NotFound(NOT_FOUND) from None


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


async def accept(services: Services, body: RunBody) -> None:
    """Refuse what cannot be done, whoever asks and of whatever assistant: by name, or for where its webhook is."""
    refuse_unsupported(body)
    if not services.settings.queue_url and (body.webhook is not None or body.after_seconds is not None):
        raise NotSupported("webhook and after_seconds need a queue: set QUEUE_URL")
    if body.after_seconds is not None and not body.after_seconds <= FARTHEST_S:
        raise Invalid(f"after_seconds: {body.after_seconds} is more than the maximum of {FARTHEST_S}")
    if body.webhook is not None:
        await services.offload(services.targets.check, body.webhook)


def refuse_unsupported(body: RunBody) -> None:
    """Refuse by name what this server does not do; fields that it does not know are ignored, as on the reference."""
    if body.langsmith_tracer:
        raise NotSupported("langsmith_tracer is not supported: set LangSmith's project where the graph is deployed")
    if body.feedback_keys and body.stream:
        raise NotSupported("feedback_keys is not supported on a stream: their URLs are LangSmith's")


def new_run(
    services: Services, caller: Caller, thread_id: str, assistant: Assistant, body: RunBody, *, temporary: bool
) -> Run:
    """The run that a body asks for, with what its assistant is configured to."""
    now = services.clock()
    delay_s = body.after_seconds or 0
    due_at = now + timedelta(seconds=delay_s) if delay_s > 0 else None
    return Run(
        tenant=caller.tenant,
        thread_id=thread_id,
        run_id=new_run_id(),
        assistant_id=assistant.assistant_id,
        graph_id=assistant.graph_id,
        status=RunStatus.PENDING,
        created_at=due_at or now,
        updated_at=now,
        due_at=due_at,
        multitask_strategy=body.multitask_strategy or "enqueue",
        metadata=own_metadata({**assistant.metadata, **(body.metadata or {})}),
        kwargs=run_kwargs(services, assistant, body, temporary=temporary),
    )


def run_kwargs(services: Services, assistant: Assistant, body: RunBody, *, temporary: bool) -> JsonObject:
    """What shapes a run: the body's fields, defaults filled in, nulls as absent."""
    config = body.config.model_dump(exclude_none=True) if body.config else {}
    configurable = config.get("configurable") or {}
    chosen = {name: value for name, value in configurable.items() if not name.startswith(("checkpoint_", "thread_id"))}
    if body.context and chosen:
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
        "context": merged_context(assistant.context, body.context, chosen),
        "checkpoint": checkpoint or None,
        "stream_mode": modes,
        "subgraphs": bool(body.stream_subgraphs),
        "resumable": bool(body.stream_resumable),
        **({"stream": True} if body.stream else {}),
        **({"strict_resume": True} if body.strict_resume else {}),
        "interrupt_before": body.interrupt_before,
        "interrupt_after": body.interrupt_after,
        "on_disconnect": body.on_disconnect or services.settings.default_on_disconnect,
        "on_completion": body.on_completion,
        "temporary": temporary,
        "durability": durability,
        "webhook": body.webhook,
        "feedback_keys": body.feedback_keys,
    }


def with_headers(request: Request, services: Services, kwargs: JsonObject) -> JsonObject:
    """The arguments with the headers that langgraph.json lets graphs see, below what the request configures."""
    chosen = services.graphs.config.http.configurable_headers.chosen(request.headers.items())
    if not chosen:
        return kwargs
    config = kwargs["config"]
    return {**kwargs, "config": {**config, "configurable": {**chosen, **config["configurable"]}}}


def command_of(body: RunBody) -> JsonObject | None:
    """The command, without what it leaves out; None for one that asks for nothing."""
    if body.command is None:
        return None
    command = {name: value for name, value in body.command.model_dump().items() if value is not None}
    update = command.get("update")
    if isinstance(update, list):
        command["update"] = dict(update)
    return command or None


def merged_context(assistant: JsonObject, asked: JsonObject | None, configurable: JsonObject) -> JsonObject | None:
    """The assistant's context with the request's laid over it, or what it configures under the older name."""
    if asked is not None:
        return {**assistant, **asked}
    return {**assistant, **configurable} if assistant else None


def merged_config(assistant: JsonObject, asked: JsonObject) -> JsonObject:
    """The assistant's config with the request's laid over it."""
    merged: dict[str, Any] = {**assistant, **asked}
    configurable = {**(assistant.get("configurable") or {}), **(asked.get("configurable") or {})}
    return {**merged, "configurable": configurable}


def thread_for(run: Run, body: RunBody, ttl: ThreadTtl | None = None) -> Thread:
    """The thread that `if_not_exists: create` makes: its metadata are those given for the run and in its config."""
    config_metadata = (body.config.metadata if body.config else None) or {}
    return Thread(
        tenant=run.tenant,
        thread_id=run.thread_id,
        status=ThreadStatus.IDLE,
        created_at=run.updated_at,
        updated_at=run.updated_at,
        metadata=own_metadata({**config_metadata, **(body.metadata or {})}),
        ttl=ttl,
    )


def idempotency_key(request: Request, run: Run, body: RunBody, part: str) -> IdempotencyKey | None:
    """The request's Idempotency-Key, in the scope of its thread or, without one, of all runs without."""
    key = request.headers.get("idempotency-key")
    if not key:
        return None
    scope = run.thread_id if "thread_id" in request.path_params else "-"
    digest = hashlib.sha256(encode([request.url.path, body.model_dump()])).hexdigest()
    return IdempotencyKey(scope, f"{key}{part}", digest, int(run.updated_at.timestamp()) + IDEMPOTENCY_KEYS_LIVE_S)
