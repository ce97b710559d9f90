"""The real Python SDK, sync and async, on assistants and the store."""

import uuid
from collections.abc import AsyncIterator
from inspect import isawaitable
from typing import Any

import pytest
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.errors import APIStatusError

from handler.domain.models import system_assistant_id
from tests.conftest import TENANT_HEADER, Server


@pytest.fixture(params=["sync", "async"])
async def sdk(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Any]:
    """A client of either kind, of a tenant of its own; `result` makes the two alike."""
    headers = {TENANT_HEADER.decode(): f"sdk-{uuid.uuid4().hex}"}
    if request.param == "sync":
        with get_sync_client(url=server.url, api_key=None, headers=headers) as client:
            yield client
    else:
        async with get_client(url=server.url, api_key=None, headers=headers) as client:
            yield client


async def result(call: Any) -> Any:
    """What a call of either client answers."""
    return await call if isawaitable(call) else call


async def test_an_assistant_from_its_creation_to_its_end(sdk: Any) -> None:
    created = await result(
        sdk.assistants.create("custom", context={"user_name": "ann"}, metadata={"k": 1}, name="one", description="d")
    )
    assistant_id = created["assistant_id"]
    assert await result(sdk.assistants.get(assistant_id)) == created
    again = await result(sdk.assistants.create("custom", assistant_id=assistant_id, if_exists="do_nothing"))
    assert again == created
    changed = await result(sdk.assistants.update(assistant_id, context={"user_name": "bob"}, metadata={"j": 2}))
    assert (changed["version"], changed["metadata"], changed["context"]) == (2, {"k": 1, "j": 2}, {"user_name": "bob"})
    versions = await result(sdk.assistants.get_versions(assistant_id))
    assert [one["version"] for one in versions] == [2, 1]
    back = await result(sdk.assistants.set_latest(assistant_id, 1))
    assert back["context"] == {"user_name": "ann"}
    answer = await result(sdk.runs.wait(None, assistant_id, input={"text": "hi"}))
    assert answer["greeting"] == "plain:ann"
    await result(sdk.assistants.delete(assistant_id, delete_threads=True))
    with pytest.raises(APIStatusError) as gone:
        await result(sdk.assistants.get(assistant_id))
    assert gone.value.response.status_code == 404


async def test_assistants_are_searched_page_by_page(sdk: Any) -> None:
    for number in range(3):
        await result(sdk.assistants.create("log", name=f"n{number}", metadata={"mine": True}))
    sorting = {"sort_by": "name", "sort_order": "asc", "metadata": {"mine": True}}
    page = await result(sdk.assistants.search(limit=2, response_format="object", **sorting))
    assert [one["name"] for one in page["assistants"]] == ["n0", "n1"]
    rest = await result(sdk.assistants.search(limit=2, offset=int(page["next"]), response_format="object", **sorting))
    assert ([one["name"] for one in rest["assistants"]], rest["next"]) == (["n2"], None)
    assert await result(sdk.assistants.count(metadata={"mine": True})) == 3
    assert await result(sdk.assistants.search(select=["name"], name="N1")) == [{"name": "n1"}]


async def test_a_graph_is_described(sdk: Any) -> None:
    drawn = await result(sdk.assistants.get_graph("subgraph", xray=True))
    assert "child:inner_one" in {node["id"] for node in drawn["nodes"]}
    assistant_id = system_assistant_id("subgraph")
    schemas = await result(sdk.assistants.get_schemas(assistant_id))
    assert schemas["graph_id"] == "subgraph"
    assert list(await result(sdk.assistants.get_subgraphs(assistant_id))) == ["child"]
    assert list(await result(sdk.assistants.get_subgraphs(assistant_id, "child", recurse=True))) == ["child"]


async def test_the_store_from_put_to_delete(sdk: Any) -> None:
    for key, value in (("k1", {"n": 1}), ("k2", {"n": 2})):
        await result(sdk.store.put_item(["users", "ann"], key=key, value=value))
    await result(sdk.store.put_item(["users", "bob"], key="k", value={"n": 3}, index=False, ttl=5))
    item = await result(sdk.store.get_item(["users", "ann"], key="k1", refresh_ttl=False))
    assert (item["namespace"], item["key"], item["value"]) == (["users", "ann"], "k1", {"n": 1})
    found = await result(sdk.store.search_items(["users"], filter={"n": {"$gte": 2}}, limit=5, refresh_ttl=True))
    assert [one["value"]["n"] for one in found["items"]] == [2, 3]
    listed = await result(sdk.store.list_namespaces(prefix=["users"], max_depth=2))
    assert listed == {"namespaces": [["users", "ann"], ["users", "bob"]]}
    await result(sdk.store.delete_item(["users", "ann"], key="k1"))
    assert await result(sdk.store.get_item(["users", "ann"], key="k1")) is None
