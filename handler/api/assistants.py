"""/assistants, as `client.assistants` calls it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from handler.api.answers import json_answer
from handler.api.auth import TheCaller
from handler.api.bodies import body_of, documented
from handler.api.schemas import AssistantSearchBody, as_uuid, shown_assistant
from handler.api.services import Services, TheServices
from handler.domain.models import Assistant, Caller
from handler.errors import AssistantNotFound, NotFound

router = APIRouter(tags=["assistants"])


@router.get("/assistants/{assistant_id}")
async def get_assistant(
    assistant_id: str,
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Read an assistant."""
    canonical = as_uuid(assistant_id, "assistant")
    assistant = await services.offload(services.assistants.get, caller.tenant, canonical)
    if assistant is None:
        raise AssistantNotFound(canonical)
    return json_answer(shown_assistant(assistant))


@router.post("/assistants/search", openapi_extra=documented(AssistantSearchBody))
async def search_assistants(
    body: Annotated[AssistantSearchBody, Depends(body_of(AssistantSearchBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """List assistants by graph, name and metadata."""
    return await search(body, caller, services)


async def search(body: AssistantSearchBody, caller: Caller, services: Services) -> Response:
    """One page of the assistants that fit."""
    if body.graph_id is not None and body.graph_id not in services.graphs.ids:
        raise NotFound(f"Graph '{body.graph_id}' not found. Expected one of: {sorted(services.graphs.ids)}")
    fitting = [one for one in await services.offload(services.assistants.list, caller.tenant) if _fits(one, body)]
    fitting.sort(key=lambda one: one.assistant_id)
    fitting.sort(key=lambda one: getattr(one, body.sort_by), reverse=body.sort_order == "desc")
    end = body.offset + body.limit
    page = [shown_assistant(one) for one in fitting[body.offset : end]]
    if body.select:
        page = [{name: row[name] for name in body.select} for row in page]
    more = len(fitting) > end
    headers = {"X-Pagination-Total": str(end + 1 if more else body.offset + len(page))}
    if more:
        headers["X-Pagination-Next"] = str(end)
    return json_answer(page, headers=headers)


def _fits(assistant: Assistant, body: AssistantSearchBody) -> bool:
    return (
        (body.graph_id is None or assistant.graph_id == body.graph_id)
        and (body.name is None or body.name.lower() in assistant.name.lower())
        and all(
            name in assistant.metadata and assistant.metadata[name] == value for name, value in body.metadata.items()
        )
    )
