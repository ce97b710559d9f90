"""/assistants, as `client.assistants` calls it."""

import uuid
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from handler.api.answers import json_answer, page_answer
from handler.api.assistant_bodies import (
    AssistantCountBody,
    AssistantCreateBody,
    AssistantLatestBody,
    AssistantPatchBody,
    AssistantVersionsBody,
    shown_version,
)
from handler.api.auth import TheCaller
from handler.api.bodies import body_of, documented
from handler.api.schemas import AssistantSearchBody, as_uuid, shown_assistant
from handler.api.services import Services, TheServices
from handler.domain.assistants import changed_by, new_assistant
from handler.domain.filters import contains
from handler.domain.models import Assistant, Caller, system_assistant_id
from handler.errors import AssistantExists, AssistantNotFound, Invalid, NotFound, SystemAssistant
from handler.runs.cascade import delete_crons_of, delete_threads_of

router = APIRouter(tags=["assistants"])


async def assistant_with(services: Services, caller: Caller, assistant_id: str) -> Assistant:
    """The caller's assistant; AssistantNotFound for any other."""
    canonical = as_uuid(assistant_id, "assistant")
    assistant = await services.offload(services.assistants.get, caller.tenant, canonical)
    if assistant is None:
        raise AssistantNotFound(canonical)
    return assistant


def refuse_unknown_graph(services: Services, graph_id: str | None) -> None:
    """NotFound for a graph that langgraph.json does not name."""
    if graph_id is not None and graph_id not in services.graphs.ids:
        raise NotFound(f"Graph '{graph_id}' not found. Expected one of: {sorted(services.graphs.ids)}")


@router.post("/assistants", openapi_extra=documented(AssistantCreateBody))
async def create_assistant(
    body: Annotated[AssistantCreateBody, Depends(body_of(AssistantCreateBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Create an assistant: a graph with a configuration of its own."""
    assistant_id = as_uuid(body.assistant_id, "assistant") if body.assistant_id else str(uuid.uuid4())
    refuse_unknown_graph(services, body.graph_id)
    assistant = new_assistant(assistant_id, body.changes(), services.clock())
    if not await services.offload(services.assistants.create, caller.tenant, assistant):
        if body.if_exists == "raise":
            raise AssistantExists(assistant_id)
        assistant = await assistant_with(services, caller, assistant_id)
    return json_answer(shown_assistant(assistant))


@router.get("/assistants/{assistant_id}")
async def get_assistant(
    assistant_id: str,
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Read an assistant."""
    return json_answer(shown_assistant(await assistant_with(services, caller, assistant_id)))


@router.patch("/assistants/{assistant_id}", openapi_extra=documented(AssistantPatchBody))
async def patch_assistant(
    assistant_id: str,
    body: Annotated[AssistantPatchBody, Depends(body_of(AssistantPatchBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Make a new version of an assistant: metadata are merged, the rest is replaced."""
    canonical = as_uuid(assistant_id, "assistant")
    changes = body.changes()
    refuse_unknown_graph(services, changes.graph_id)
    assistant = await services.offload(
        services.assistants.change, caller.tenant, canonical, changed_by(changes), services.clock()
    )
    if assistant is None:
        raise AssistantNotFound(canonical)
    return json_answer(shown_assistant(assistant))


@router.delete("/assistants/{assistant_id}", status_code=204)
async def delete_assistant(
    assistant_id: str,
    request: Request,
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Delete an assistant with its versions and crons; with `delete_threads=true` also the threads that ran it last."""
    canonical = as_uuid(assistant_id, "assistant")
    if canonical in map(system_assistant_id, services.graphs.ids):
        raise SystemAssistant(canonical)
    if await services.offload(services.assistants.get, caller.tenant, canonical) is not None:
        # First what goes with it, so that a deletion that was cut short can be repeated and goes on.
        await services.offload(delete_crons_of, services.crons, caller.tenant, canonical)
        if request.query_params.get("delete_threads", "").lower() == "true":
            await services.offload(delete_threads_of, services.threads, caller.tenant, canonical)
    if not await services.offload(services.assistants.delete, caller.tenant, canonical):
        raise AssistantNotFound(canonical)
    await services.offload(services.crons.delete_of_assistant, caller.tenant, canonical)
    return Response(status_code=204)


@router.post("/assistants/{assistant_id}/versions", openapi_extra=documented(AssistantVersionsBody))
async def list_versions(
    assistant_id: str,
    body: Annotated[AssistantVersionsBody, Depends(body_of(AssistantVersionsBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """List the versions of an assistant, newest first."""
    canonical = as_uuid(assistant_id, "assistant")
    versions = await services.offload(services.assistants.versions, caller.tenant, canonical)
    fitting = [version for version in versions if contains(version.metadata, body.metadata)]
    page = fitting[body.offset : body.offset + body.limit]
    if not page:
        raise AssistantNotFound(canonical)
    return json_answer([shown_version(version) for version in page])


@router.post("/assistants/{assistant_id}/latest", openapi_extra=documented(AssistantLatestBody))
async def set_latest(
    assistant_id: str,
    body: Annotated[AssistantLatestBody, Depends(body_of(AssistantLatestBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Put an earlier version of an assistant in force."""
    canonical = (await assistant_with(services, caller, assistant_id)).assistant_id
    assistant = await services.offload(
        services.assistants.set_version, caller.tenant, canonical, body.version, services.clock()
    )
    if assistant is None:
        raise NotFound(f"Version {body.version} not found for assistant {canonical}")
    return json_answer(shown_assistant(assistant))


@router.post("/assistants/search", openapi_extra=documented(AssistantSearchBody))
async def search_assistants(
    body: Annotated[AssistantSearchBody, Depends(body_of(AssistantSearchBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """List assistants by graph, name and metadata."""
    found = await fitting(services, caller, body)
    found.sort(key=lambda one: one.assistant_id)
    found.sort(key=lambda one: _sorted_as(one, body.sort_by), reverse=body.sort_order == "desc")
    return page_answer(found, shown_assistant, offset=body.offset, limit=body.limit, select=body.select)


@router.post("/assistants/count", openapi_extra=documented(AssistantCountBody))
async def count_assistants(
    body: Annotated[AssistantCountBody, Depends(body_of(AssistantCountBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Count assistants by graph, name and metadata."""
    return json_answer(len(await fitting(services, caller, body)))


async def fitting(
    services: Services, caller: Caller, body: AssistantSearchBody | AssistantCountBody
) -> list[Assistant]:
    """The caller's assistants of a graph, with a text in their name, with metadata."""
    refuse_unknown_graph(services, body.graph_id)
    all_of_them: Sequence[Assistant] = await services.offload(services.assistants.list, caller.tenant)
    return [
        one
        for one in all_of_them
        if (body.graph_id is None or one.graph_id == body.graph_id)
        and (body.name is None or body.name.lower() in one.name.lower())
        and contains(one.metadata, body.metadata)
    ]


def _sorted_as(assistant: Assistant, field: str) -> str:
    value = getattr(assistant, field)
    return value.lower() if field in ("name", "graph_id") else str(value)


@router.get("/assistants/{assistant_id}/graph")
async def get_graph(assistant_id: str, request: Request, caller: TheCaller, services: TheServices) -> Response:
    """Draw an assistant's graph as nodes and edges; `xray`: with its subgraphs, so many levels deep."""
    xray = depth(request.query_params.get("xray"))
    name = system_assistant_id(assistant_id) if assistant_id in services.graphs.ids else assistant_id
    assistant = await assistant_with(services, caller, name)
    return json_answer(await services.loop.run(services.descriptions.drawing(assistant, xray=xray)))


@router.get("/assistants/{assistant_id}/schemas")
async def get_schemas(assistant_id: str, caller: TheCaller, services: TheServices) -> Response:
    """The JSON schemas of an assistant's graph: input, output, state, config and context."""
    assistant = await assistant_with(services, caller, assistant_id)
    schemas = await services.loop.run(services.descriptions.schemas(assistant))
    return json_answer({"graph_id": assistant.graph_id, **schemas})


@router.get("/assistants/{assistant_id}/subgraphs")
async def get_subgraphs(assistant_id: str, request: Request, caller: TheCaller, services: TheServices) -> Response:
    """The JSON schemas of the subgraphs of an assistant's graph, by namespace; `recurse`: those within them as well."""
    return await subgraphs_of(assistant_id, None, request, caller, services)


@router.get("/assistants/{assistant_id}/subgraphs/{namespace}")
async def get_subgraph(
    assistant_id: str, namespace: str, request: Request, caller: TheCaller, services: TheServices
) -> Response:
    """The JSON schemas of one subgraph of an assistant's graph; `recurse`: those within it as well."""
    return await subgraphs_of(assistant_id, namespace, request, caller, services)


async def subgraphs_of(
    assistant_id: str, namespace: str | None, request: Request, caller: Caller, services: Services
) -> Response:
    """The schemas of subgraphs, by namespace."""
    assistant = await assistant_with(services, caller, assistant_id)
    recurse = request.query_params.get("recurse", "false").lower() == "true"
    subgraphs = services.descriptions.subgraphs(assistant, namespace, recurse=recurse)
    return json_answer(await services.loop.run(subgraphs))


def depth(xray: str | None) -> bool | int:
    """How deep to draw, by the query parameter."""
    if not xray or xray.lower() in ("true", "false"):
        return (xray or "").lower() == "true"
    if not xray.isascii() or not xray.isdigit() or int(xray) < 1:
        raise Invalid("Invalid xray value")
    return int(xray)
