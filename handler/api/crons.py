"""/runs/crons and /threads/{id}/runs/crons, as `client.crons` calls them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from handler.api.answers import json_answer, page_answer
from handler.api.auth import TheCaller
from handler.api.bodies import body_of, checked, documented, parsed_body
from handler.api.cron_schemas import CronBody, CronCountBody, CronPatchBody, CronSearchBody, shown_cron
from handler.api.schemas import as_uuid
from handler.api.services import Services, TheServices
from handler.api.starts import accept, assistant_of
from handler.api.threads import thread_of
from handler.domain.filters import contains
from handler.domain.models import Caller, Cron, JsonObject, new_run_id
from handler.errors import BadRequest, CronNotFound, NotSupported
from handler.runs.schedules import next_fire

router = APIRouter(tags=["crons"])

TIMING = {"schedule", "timezone", "end_time", "enabled"}
"""The fields that say when a cron fires; a change of any other leaves its next date alone."""


@router.post("/runs/crons", openapi_extra=documented(CronBody))
async def create_cron(request: Request, caller: TheCaller, services: TheServices) -> Response:
    """Start a run on a thread of its own again and again."""
    return await created(services, caller, await parsed_body(request), None)


@router.post("/threads/{thread_id}/runs/crons", openapi_extra=documented(CronBody))
async def create_thread_cron(thread_id: str, request: Request, caller: TheCaller, services: TheServices) -> Response:
    """Start a run on a thread again and again."""
    body = await parsed_body(request)
    thread = await thread_of(services, caller, thread_id)
    return await created(services, caller, body, thread.thread_id)


async def created(services: Services, caller: Caller, given: Any, thread_id: str | None) -> Response:
    """Keep a new cron and show it."""
    if not services.settings.queue_url:
        raise NotSupported("crons need a queue: set QUEUE_URL")
    body = checked(CronBody, given)
    await accept(services, body)
    assistant = await assistant_of(services, caller, body.assistant_id)
    now, cron_id = services.clock(), new_run_id()
    cron = Cron(
        tenant=caller.tenant,
        cron_id=cron_id,
        assistant_id=assistant.assistant_id,
        schedule=body.schedule,
        next_run_date=next_fire(body.schedule, body.timezone, now),
        created_at=now,
        updated_at=now,
        thread_id=thread_id,
        user_id=caller.user,
        timezone=body.timezone,
        end_time=moment_of(body.end_time),
        enabled=body.enabled is not False,
        on_run_completed=None if thread_id else body.on_run_completed or "delete",
        payload=payload_of(given, {}, assistant.assistant_id, cron_id),
        metadata=body.metadata or {},
    )
    await services.offload(services.crons.create, cron)
    return json_answer(shown_cron(cron))


@router.get("/runs/crons/{cron_id}")
async def get_cron(cron_id: str, caller: TheCaller, services: TheServices) -> Response:
    """Read a cron."""
    canonical = as_uuid(cron_id, "cron")
    cron = await services.offload(services.crons.store.get, caller.tenant, canonical)
    if cron is None:
        raise CronNotFound(canonical)
    return json_answer(shown_cron(cron))


@router.patch("/runs/crons/{cron_id}", openapi_extra=documented(CronPatchBody))
async def patch_cron(cron_id: str, request: Request, caller: TheCaller, services: TheServices) -> Response:
    """Change a cron: what is given takes the place of what was, and metadata are merged."""
    canonical = as_uuid(cron_id, "cron")
    given = await parsed_body(request)
    body = checked(CronPatchBody, given)
    if not given:
        raise BadRequest("Request body cannot be empty")
    await accept(services, body)
    now = services.clock()
    cron = await services.offload(
        services.crons.change, caller.tenant, canonical, lambda cron: patched(cron, body, given, now)
    )
    return json_answer(shown_cron(cron))


def patched(cron: Cron, body: CronPatchBody, given: JsonObject, now: datetime) -> Cron:
    """A cron with the changes that a request asks for; only `end_time` may be taken away by null."""
    present = {name for name in body.model_fields_set if getattr(body, name) is not None}
    ends = "end_time" in body.model_fields_set
    changed = replace(
        cron,
        schedule=body.schedule or cron.schedule,
        timezone=body.timezone or cron.timezone,
        end_time=moment_of(body.end_time) if ends else cron.end_time,
        enabled=cron.enabled if body.enabled is None else body.enabled,
        on_run_completed=None if cron.thread_id else body.on_run_completed or cron.on_run_completed,
        payload=payload_of(given, cron.payload, cron.assistant_id, cron.cron_id),
        metadata={**cron.metadata, **(body.metadata or {})},
        updated_at=now,
    )
    missed = cron.next_run_date <= now and bool(present & TIMING)
    if missed or present & {"schedule", "timezone"}:
        changed = replace(changed, next_run_date=next_fire(changed.schedule, changed.timezone, now))
    return changed


@router.delete("/runs/crons/{cron_id}", status_code=204)
async def delete_cron(cron_id: str, caller: TheCaller, services: TheServices) -> Response:
    """Delete a cron; runs that it has started stay."""
    canonical = as_uuid(cron_id, "cron")
    if not await services.offload(services.crons.delete, caller.tenant, canonical):
        raise CronNotFound(canonical)
    return Response(status_code=204)


@router.post("/runs/crons/search", openapi_extra=documented(CronSearchBody))
async def search_crons(
    body: Annotated[CronSearchBody, Depends(body_of(CronSearchBody))], caller: TheCaller, services: TheServices
) -> Response:
    """List crons by assistant, thread, metadata and whether they are enabled."""
    found = await fitting(services, caller, body)
    found = [cron for cron in found if body.enabled is None or cron.enabled is body.enabled]
    field = body.sort_by or "created_at"
    found.sort(key=lambda cron: cron.cron_id)
    # None sorts as the highest, as in the reference.
    found.sort(
        key=lambda cron: (getattr(cron, field) is None, getattr(cron, field) or ""),
        reverse=(body.sort_order or "desc") == "desc",
    )
    return page_answer(found, shown_cron, offset=body.offset, limit=body.limit, select=body.select)


@router.post("/runs/crons/count", openapi_extra=documented(CronCountBody))
async def count_crons(
    body: Annotated[CronCountBody, Depends(body_of(CronCountBody))], caller: TheCaller, services: TheServices
) -> Response:
    """Count crons by assistant, thread and metadata."""
    return json_answer(len(await fitting(services, caller, body)))


async def fitting(services: Services, caller: Caller, body: CronCountBody) -> list[Cron]:
    """The caller's crons of an assistant, of a thread, and with these metadata."""
    assistant_id = as_uuid(body.assistant_id, "assistant") if body.assistant_id is not None else None
    thread_id = as_uuid(body.thread_id, "thread") if body.thread_id is not None else None
    return [
        cron
        for cron in await services.offload(services.crons.store.list, caller.tenant)
        if assistant_id in (None, cron.assistant_id)
        and thread_id in (None, cron.thread_id)
        and contains(cron.metadata, body.metadata or {})
    ]


def payload_of(given: JsonObject, before: JsonObject, assistant_id: str, cron_id: str) -> JsonObject:
    """The body of the runs: as before, with what is given now, and the cron's id where graphs can see it."""
    payload = {**before, **{name: value for name, value in given.items() if value is not None}}
    if before and "end_time" in given:
        payload["end_time"] = given["end_time"]  # also null, which takes it away
    config = payload.get("config") or {}
    configurable = {**(config.get("configurable") or {}), "cron_id": cron_id}
    return {**payload, "assistant_id": assistant_id, "config": {**config, "configurable": configurable}}


def moment_of(value: datetime | None) -> datetime | None:
    """A moment with its zone; without one it is meant in UTC."""
    return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)
