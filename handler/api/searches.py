"""/threads/search and /threads/count, as `client.threads` calls them."""

import re
import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from handler.api.answers import encode, page_headers
from handler.api.auth import TheCaller
from handler.api.bodies import body_of, documented
from handler.api.schemas import ThreadCountBody, ThreadSearchBody, shown_thread
from handler.api.services import TheServices
from handler.domain.models import JsonObject
from handler.domain.status import ThreadStatus
from handler.errors import BadRequest, Invalid, PayloadTooLarge
from handler.runs.search import BY_TIME, Found, ThreadQuery, extract

router = APIRouter(tags=["threads"])

EXTRACTED_FROM = ("config", "interrupts", "metadata", "values")
"""What the paths of `extract` may begin with."""

OF_THE_STATE = {"values", "interrupts"}
"""What of a thread has to be read from its state."""


@router.post("/threads/search", openapi_extra=documented(ThreadSearchBody))
async def search_threads(
    body: Annotated[ThreadSearchBody, Depends(body_of(ThreadSearchBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """List threads, those that changed last first unless told otherwise."""
    check_paths(body.extract)
    query = query_of(body)
    needed = set(body.select) | {re.split(r"[.\[]", path)[0] for path in body.extract.values()}
    with_values = not body.select or bool(needed & OF_THE_STATE)
    rows, more = await services.loop.run(services.search.page(caller.tenant, query, with_values=with_values))
    content = encode([shown_row(row, body) for row in rows])
    if len(content) > services.settings.max_result_bytes:
        raise PayloadTooLarge("The page is too large: ask for fewer threads, or select fields without values")
    headers = page_headers(body.offset + len(rows), more=more)
    return Response(content, media_type="application/json", headers=headers)


@router.post("/threads/count", openapi_extra=documented(ThreadCountBody))
async def count_threads(
    body: Annotated[ThreadCountBody, Depends(body_of(ThreadCountBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """Count threads."""
    query = ThreadQuery(body.metadata, body.values, ThreadStatus(body.status) if body.status else None)
    count = await services.loop.run(services.search.count(caller.tenant, query))
    return Response(encode(count), media_type="application/json")


def query_of(body: ThreadSearchBody) -> ThreadQuery:
    """What a body asks for; an order without a field to sort by counts for nothing."""
    return ThreadQuery(
        metadata=body.metadata,
        values=body.values,
        status=ThreadStatus(body.status) if body.status else None,
        ids=tuple(canonical(thread_id) for thread_id in body.ids),
        sort_by=body.sort_by or BY_TIME,
        descending=body.sort_by is None or body.sort_order != "asc",
        limit=body.limit,
        offset=body.offset,
    )


def canonical(thread_id: str) -> str:
    """An id to search for; a bad one is a bad request."""
    try:
        return str(uuid.UUID(thread_id))
    except ValueError:
        raise BadRequest(f"Invalid thread ID {thread_id}") from None


def check_paths(paths: dict[str, str]) -> None:
    """Invalid for names or paths of `extract` that are none."""
    for name, path in paths.items():
        if not re.fullmatch(r"[A-Za-z0-9_]+", name):
            raise Invalid(f"Extract key '{name}' must be a valid identifier (letters, digits, underscores)")
        if not path:
            raise Invalid(f"Extract path for '{name}' must be a non-empty string")
        if re.split(r"[.\[]", path)[0] not in EXTRACTED_FROM:
            raise Invalid(f"Extract path '{path}' must start with one of: {', '.join(EXTRACTED_FROM)}")


def shown_row(row: Found, body: ThreadSearchBody) -> JsonObject:
    """A thread as a search shows it."""
    shown = shown_thread(row.thread, row.values, row.interrupts)
    selected: JsonObject = {str(name): shown.get(name, {}) for name in body.select} if body.select else shown
    if not body.extract:
        return selected
    whole = {**shown, "interrupts": row.interrupts}
    return {**selected, "extracted": {name: extract(whole, path) for name, path in body.extract.items()}}
