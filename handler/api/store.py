"""/store, as `client.store` calls it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response

from handler.api.answers import encode, json_answer
from handler.api.auth import TheCaller
from handler.api.bodies import body_of, documented
from handler.api.services import TheServices
from handler.api.store_bodies import ItemDeleteBody, ItemPutBody, ItemSearchBody, NamespacesBody, shown_item
from handler.domain.store import NamespaceListing, StoreSearch, checked_namespace, writable_namespace
from handler.errors import BadRequest, PayloadTooLarge

router = APIRouter(tags=["store"])


@router.put("/store/items", status_code=204, openapi_extra=documented(ItemPutBody))
async def put_item(
    body: Annotated[ItemPutBody, Depends(body_of(ItemPutBody))], caller: TheCaller, services: TheServices
) -> Response:
    """Store an item in the place of what was there."""
    namespace = writable_namespace(body.namespace)
    minutes = body.ttl if "ttl" in body.model_fields_set else services.store.default_minutes
    await services.offload(
        services.store.put, caller.tenant, namespace, body.key, body.value, fields=body.index, ttl_minutes=minutes
    )
    return Response(status_code=204)


@router.get("/store/items")
async def get_item(request: Request, caller: TheCaller, services: TheServices) -> Response:
    """Read an item; null if there is none."""
    query = request.query_params
    namespace = checked_namespace(query.get("namespace", "").split("."))
    key = query.get("key")
    if not key:
        raise BadRequest("Key is required")
    refresh = query["refresh_ttl"].lower() == "true" if "refresh_ttl" in query else None
    item = await services.offload(services.store.get, caller.tenant, namespace, key, refresh=refresh)
    return json_answer(shown_item(item) if item else None)


@router.delete("/store/items", status_code=204, openapi_extra=documented(ItemDeleteBody))
async def delete_item(
    body: Annotated[ItemDeleteBody, Depends(body_of(ItemDeleteBody))], caller: TheCaller, services: TheServices
) -> Response:
    """Delete an item, if it is there."""
    namespace = checked_namespace(body.namespace)
    if namespace:
        await services.offload(services.store.delete, caller.tenant, namespace, body.key)
    return Response(status_code=204)


@router.post("/store/items/search", openapi_extra=documented(ItemSearchBody))
async def search_items(
    body: Annotated[ItemSearchBody, Depends(body_of(ItemSearchBody))], caller: TheCaller, services: TheServices
) -> Response:
    """Read a page of the items in a namespace and below it, by filter and by meaning."""
    prefix = checked_namespace(body.namespace_prefix or ())
    search = StoreSearch(prefix, body.filter, body.limit or 10, body.offset or 0)
    found = await services.offload(
        services.store.search, caller.tenant, search, query=body.query, refresh=body.refresh_ttl
    )
    shown = {"items": [{**shown_item(item), "score": item.score} for item in found]}
    if len(encode(shown)) > services.settings.max_result_bytes:
        raise PayloadTooLarge("the items are too large for one answer: search with a smaller limit")
    return json_answer(shown)


@router.post("/store/namespaces", openapi_extra=documented(NamespacesBody))
async def list_namespaces(
    body: Annotated[NamespacesBody, Depends(body_of(NamespacesBody))], caller: TheCaller, services: TheServices
) -> Response:
    """List the namespaces in which there are items, sorted."""
    kinds: tuple[Literal["prefix", "suffix"], ...] = ("prefix", "suffix")
    asked = ((kind, checked_namespace(getattr(body, kind) or ())) for kind in kinds)
    listing = NamespaceListing(
        tuple((kind, path) for kind, path in asked if path), body.max_depth, body.limit, body.offset
    )
    found = await services.offload(services.store.namespaces, caller.tenant, listing)
    return json_answer({"namespaces": found})
