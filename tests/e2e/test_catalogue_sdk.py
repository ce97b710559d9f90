"""The real Python SDK, sync and async, on assistants and the store."""

import uuid
from collections.abc import Iterator
from inspect import iscoroutine
from typing import Any

import pytest
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.errors import APIStatusError

from handler.domain.models import system_assistant_id
from handler.runs.loop import GraphLoop
from tests.conftest import TENANT_HEADER, Server

LOOP = GraphLoop()
"""Where the async client is awaited: away from the loops that the test runner looks after."""


@pytest.fixture(params=["sync", "async"])
def sdk(request: pytest.FixtureRequest, server: Server) -> Iterator[Any]:
    """A client of either kind, of a tenant of its own; `result` makes the two alike."""
    headers = {TENANT_HEADER.decode(): f"sdk-{uuid.uuid4().hex}"}
    if request.param == "sync":
        with get_sync_client(url=server.url, api_key=None, headers=headers) as client:
            yield client
    else:
        later: Any = get_client(url=server.url, api_key=None, headers=headers)
        yield later
        LOOP.submit(later.aclose()).result()


def result(call: Any) -> Any:
    """What a call of either client answers."""
    return LOOP.submit(call).result() if iscoroutine(call) else call


def test_an_assistant_from_its_creation_to_its_end(sdk: Any) -> None:
    created = result(
        sdk.assistants.create("custom", context={"user_name": "ann"}, metadata={"k": 1}, name="one", description="d")
    )
    assistant_id = created["assistant_id"]
    assert result(sdk.assistants.get(assistant_id)) == created
    again = result(sdk.assistants.create("custom", assistant_id=assistant_id, if_exists="do_nothing"))
    assert again == created
    changed = result(sdk.assistants.update(assistant_id, context={"user_name": "bob"}, metadata={"j": 2}))
    assert (changed["version"], changed["metadata"], changed["context"]) == (2, {"k": 1, "j": 2}, {"user_name": "bob"})
    versions = result(sdk.assistants.get_versions(assistant_id))
    assert [one["version"] for one in versions] == [2, 1]
    back = result(sdk.assistants.set_latest(assistant_id, 1))
    assert back["context"] == {"user_name": "ann"}
    answer = result(sdk.runs.wait(None, assistant_id, input={"text": "hi"}))
    assert answer["greeting"] == "plain:ann"
    result(sdk.assistants.delete(assistant_id, delete_threads=True))
    with pytest.raises(APIStatusError) as gone:
        result(sdk.assistants.get(assistant_id))
    assert gone.value.response.status_code == 404


def test_assistants_are_searched_page_by_page(sdk: Any) -> None:
    for number in range(3):
        result(sdk.assistants.create("log", name=f"n{number}", metadata={"mine": True}))
    sorting = {"sort_by": "name", "sort_order": "asc", "metadata": {"mine": True}}
    page = result(sdk.assistants.search(limit=2, response_format="object", **sorting))
    assert [one["name"] for one in page["assistants"]] == ["n0", "n1"]
    rest = result(sdk.assistants.search(limit=2, offset=int(page["next"]), response_format="object", **sorting))
    assert ([one["name"] for one in rest["assistants"]], rest["next"]) == (["n2"], None)
    assert result(sdk.assistants.count(metadata={"mine": True})) == 3
    assert result(sdk.assistants.search(select=["name"], name="N1")) == [{"name": "n1"}]


def test_a_graph_is_described(sdk: Any) -> None:
    drawn = result(sdk.assistants.get_graph("subgraph", xray=True))
    assert "child:inner_one" in {node["id"] for node in drawn["nodes"]}
    assistant_id = system_assistant_id("subgraph")
    schemas = result(sdk.assistants.get_schemas(assistant_id))
    assert schemas["graph_id"] == "subgraph"
    assert list(result(sdk.assistants.get_subgraphs(assistant_id))) == ["child"]
    assert list(result(sdk.assistants.get_subgraphs(assistant_id, "child", recurse=True))) == ["child"]


def test_the_store_from_put_to_delete(sdk: Any) -> None:
    for key, value in (("k1", {"n": 1}), ("k2", {"n": 2})):
        result(sdk.store.put_item(["users", "ann"], key=key, value=value))
    result(sdk.store.put_item(["users", "bob"], key="k", value={"n": 3}, index=False, ttl=5))
    item = result(sdk.store.get_item(["users", "ann"], key="k1", refresh_ttl=False))
    assert (item["namespace"], item["key"], item["value"]) == (["users", "ann"], "k1", {"n": 1})
    found = result(sdk.store.search_items(["users"], filter={"n": {"$gte": 2}}, limit=5, refresh_ttl=True))
    assert [one["value"]["n"] for one in found["items"]] == [2, 3]
    listed = result(sdk.store.list_namespaces(prefix=["users"], max_depth=2))
    assert listed == {"namespaces": [["users", "ann"], ["users", "bob"]]}
    result(sdk.store.delete_item(["users", "ann"], key="k1"))
    assert result(sdk.store.get_item(["users", "ann"], key="k1")) is None
