"""The store over HTTP: items, filters, pages, namespaces, times to live, and who may see what."""

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.contract.calls import Json, read

if TYPE_CHECKING:
    from tests.conftest import Server


@pytest.fixture
def own(server: "Server") -> Iterator[httpx.Client]:
    """A client of a tenant that nobody else is, so that its store is empty."""
    with server.client(f"tenant-{uuid.uuid4().hex}") as client:
        yield client


def put(client: httpx.Client, namespace: list[str], key: str, value: Json, **fields: Any) -> None:
    """Store an item."""
    response = client.put("/store/items", json={"namespace": namespace, "key": key, "value": value, **fields})
    assert (response.status_code, response.content) == (204, b""), response.text


def get(client: httpx.Client, namespace: str, key: str) -> Any:
    """An item, or None."""
    response = client.get("/store/items", params={"namespace": namespace, "key": key})
    assert response.status_code == 200, response.text
    return response.json()


def search(client: httpx.Client, *prefix: str, **fields: Any) -> list[Json]:
    """The items below a prefix."""
    response = client.post("/store/items/search", json={"namespace_prefix": list(prefix), **fields})
    assert response.status_code == 200, response.text
    found: list[Json] = response.json()["items"]
    return found


def keys(found: list[Json]) -> list[str]:
    """The keys of items, in the order found."""
    return [item["key"] for item in found]


def namespaces(client: httpx.Client, **fields: Any) -> list[list[str]]:
    """The namespaces in which there are items."""
    response = client.post("/store/namespaces", json=fields)
    assert response.status_code == 200, response.text
    found: list[list[str]] = response.json()["namespaces"]
    return found


@pytest.fixture
def filled(own: httpx.Client) -> httpx.Client:
    """A store with five items in four namespaces."""
    put(own, ["a"], "k3", {"n": 3})
    put(own, ["a", "b"], "k1", {"n": 1, "text": "banana"})
    put(own, ["a", "b"], "k2", {"n": 2, "deep": {"x": 1, "y": 2}, "list": [1, 2]})
    put(own, ["a", "b", "c", "d"], "k5", {"n": None})
    put(own, ["z"], "k4", {"n": 4})
    return own


def test_an_item_comes_back_as_it_was_stored(own: httpx.Client) -> None:
    value = {"text": "ü 👋", "nested": {"list": [1, None, 1.5, True]}, "": ""}
    put(own, ["users", "ann"], "k.1/x#y", value)
    item = get(own, "users.ann", "k.1/x#y")
    assert set(item) == {"namespace", "key", "value", "created_at", "updated_at"}
    assert (item["namespace"], item["key"], item["value"]) == (["users", "ann"], "k.1/x#y", value)
    assert item["created_at"] == item["updated_at"]


def test_a_second_put_replaces_the_value_and_keeps_the_time_of_creation(own: httpx.Client) -> None:
    put(own, ["a"], "k", {"x": 1})
    first = get(own, "a", "k")
    put(own, ["a"], "k", {"y": 2})
    second = get(own, "a", "k")
    assert second["value"] == {"y": 2}
    assert second["created_at"] == first["created_at"]
    assert second["updated_at"] > first["updated_at"]


def test_what_is_not_there_is_null_and_deleting_it_changes_nothing(own: httpx.Client) -> None:
    assert get(own, "a", "k") is None
    put(own, ["a"], "k", {})
    for _ in range(2):
        assert own.request("DELETE", "/store/items", json={"namespace": ["a"], "key": "k"}).status_code == 204
        assert get(own, "a", "k") is None
    assert own.request("DELETE", "/store/items", json={"key": "k"}).status_code == 204


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"namespace": [], "key": "k", "value": {}}, 400),
        ({"namespace": ["langgraph", "x"], "key": "k", "value": {}}, 400),
        ({"namespace": ["a.b"], "key": "k", "value": {}}, 422),
        ({"namespace": [""], "key": "k", "value": {}}, 422),
        ({"namespace": [1], "key": "k", "value": {}}, 422),
        ({"namespace": "a", "key": "k", "value": {}}, 422),
        ({"namespace": None, "key": "k", "value": {}}, 422),
        ({"key": "k", "value": {}}, 422),
        ({"namespace": ["a"], "key": 1, "value": {}}, 422),
        ({"namespace": ["a"], "value": {}}, 422),
        ({"namespace": ["a"], "key": "k"}, 422),
        ({"namespace": ["a"], "key": "k", "value": None}, 422),
        ({"namespace": ["a"], "key": "k", "value": [1]}, 422),
        ({"namespace": ["a"], "key": "k", "value": {}, "index": True}, 422),
        ({"namespace": ["a"], "key": "k", "value": {}, "ttl": "x"}, 422),
        ({"namespace": ["a" * 600, "b" * 600], "key": "k", "value": {}}, 422),
    ],
    ids=lambda part: str(part)[:60],
)
def test_a_put_that_is_wrong_stores_nothing(body: Json, status: int, own: httpx.Client) -> None:
    response = own.put("/store/items", json=body)
    assert response.status_code == status, response.text
    assert set(response.json()) == {"detail"}
    assert search(own) == []


def test_a_value_that_no_item_can_hold_is_refused(own: httpx.Client) -> None:
    noise = "".join(f"{uuid.uuid4()}" for _ in range(25_000))
    response = own.put("/store/items", json={"namespace": ["a"], "key": "k", "value": {"text": noise}})
    assert response.status_code == 413, response.text
    assert get(own, "a", "k") is None
    put(own, ["a"], "k", {"text": "x" * 2_000_000})
    assert len(get(own, "a", "k")["value"]["text"]) == 2_000_000


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("namespace=a", 400),
        ("namespace=a&key=", 400),
        ("key=k", 422),
        ("namespace=&key=k", 422),
        ("namespace=a..b&key=k", 422),
        ("namespace=langgraph&key=k", 200),
    ],
)
def test_a_read_names_a_namespace_and_a_key(query: str, status: int, own: httpx.Client) -> None:
    assert own.get(f"/store/items?{query}").status_code == status


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ((), ["k3", "k1", "k2", "k5", "k4"]),
        (("a",), ["k3", "k1", "k2", "k5"]),
        (("a", "b"), ["k1", "k2", "k5"]),
        (("a", "b", "c"), ["k5"]),
        (("z",), ["k4"]),
        (("a", "bb"), []),
        (("langgraph",), []),
    ],
    ids=str,
)
def test_a_search_finds_what_is_in_a_namespace_and_below_it(
    prefix: tuple[str, ...], expected: list[str], filled: httpx.Client
) -> None:
    found = search(filled, *prefix)
    assert keys(found) == expected
    assert all(item["score"] is None for item in found)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"n": 1}, ["k1"]),
        ({"n": {"$eq": 1}}, ["k1"]),
        ({"n": {"$ne": 1}}, ["k3", "k2", "k5"]),
        ({"n": {"$gt": 1}}, ["k3", "k2"]),
        ({"n": {"$gte": 1, "$lt": 3}}, ["k1", "k2"]),
        ({"n": {"$lte": 2}}, ["k1", "k2"]),
        ({"n": None}, ["k5"]),
        ({"deep": {"x": 1}}, ["k2"]),
        ({"deep": {"x": {"$gt": 0}}}, ["k2"]),
        ({"deep.x": 1}, []),
        ({"list": [1, 2]}, ["k2"]),
        ({"list": [1]}, []),
        ({"text": {"$gt": "b"}}, ["k1"]),
        ({"n": 1, "text": "apple"}, []),
        ({}, ["k3", "k1", "k2", "k5"]),
    ],
    ids=str,
)
def test_a_search_filters(wanted: Json, expected: list[str], filled: httpx.Client) -> None:
    assert keys(search(filled, "a", filter=wanted)) == expected


def test_an_operator_that_there_is_not_is_refused(filled: httpx.Client) -> None:
    body = {"namespace_prefix": ["a"], "filter": {"n": {"$in": [1]}}}
    response = filled.post("/store/items/search", json=body)
    assert (response.status_code, response.json()) == (400, {"detail": "Unsupported operator: $in"})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"limit": 2}, ["k3", "k1"]),
        ({"limit": 2, "offset": 3}, ["k5"]),
        ({"offset": 9}, []),
        ({"limit": 0}, ["k3", "k1", "k2", "k5"]),
        ({"limit": None, "offset": None, "filter": None}, ["k3", "k1", "k2", "k5"]),
        ({"limit": 1, "offset": 1, "filter": {"n": {"$gt": 1}}}, ["k2"]),
        ({"query": "anything"}, ["k3", "k1", "k2", "k5"]),
    ],
    ids=str,
)
def test_a_search_gives_a_page(fields: Json, expected: list[str], filled: httpx.Client) -> None:
    assert keys(search(filled, "a", **fields)) == expected


@pytest.mark.parametrize(
    "fields", [{"limit": -1}, {"offset": -1}, {"filter": "x"}, {"namespace_prefix": ["a."]}, {"limit": "x"}], ids=str
)
def test_a_search_that_is_wrong_is_refused(fields: Json, own: httpx.Client) -> None:
    assert own.post("/store/items/search", json={"namespace_prefix": ["a"], **fields}).status_code == 422


def test_a_search_without_a_prefix_finds_all(filled: httpx.Client) -> None:
    for body in ({}, {"namespace_prefix": None}):
        assert len(filled.post("/store/items/search", json=body).json()["items"]) == 5


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["a", "a.b", "a.b.c.d", "z"]),
        ({"prefix": ["a"]}, ["a", "a.b", "a.b.c.d"]),
        ({"prefix": ["*", "b"]}, ["a.b", "a.b.c.d"]),
        ({"suffix": ["b"]}, ["a.b"]),
        ({"suffix": ["c", "*"]}, ["a.b.c.d"]),
        ({"prefix": ["a"], "suffix": ["d"]}, ["a.b.c.d"]),
        ({"max_depth": 1}, ["a", "z"]),
        ({"max_depth": 3}, ["a", "a.b", "a.b.c", "z"]),
        ({"max_depth": 1, "suffix": ["d"]}, ["a"]),
        ({"limit": 1, "offset": 1}, ["a.b"]),
        ({"limit": 0}, []),
        ({"prefix": ["nope"]}, []),
        ({"prefix": None, "suffix": None, "max_depth": None}, ["a", "a.b", "a.b.c.d", "z"]),
    ],
    ids=str,
)
def test_namespaces_are_listed(fields: Json, expected: list[str], filled: httpx.Client) -> None:
    assert [".".join(labels) for labels in namespaces(filled, **fields)] == expected


def test_a_namespace_is_listed_while_there_is_an_item_in_it(own: httpx.Client) -> None:
    put(own, ["a"], "k", {})
    assert get(own, "b", "k") is None
    assert namespaces(own) == [["a"]]
    own.request("DELETE", "/store/items", json={"namespace": ["a"], "key": "k"})
    assert namespaces(own) == []


def test_an_item_is_gone_when_its_time_is_over(own: httpx.Client) -> None:
    put(own, ["a"], "over", {}, ttl=-1)
    put(own, ["a"], "alive", {}, ttl=5)
    put(own, ["a"], "forever", {}, ttl=None)
    assert get(own, "a", "over") is None
    assert keys(search(own, "a")) == ["alive", "forever"]
    put(own, ["b"], "over", {}, ttl=-0.1)
    assert namespaces(own) == [["a"]]


def test_tenants_share_nothing(filled: httpx.Client, other_tenant: httpx.Client) -> None:
    put(other_tenant, ["a", "b"], "k1", {"whose": "theirs"})
    assert get(filled, "a.b", "k1")["value"]["n"] == 1
    assert get(other_tenant, "a.b", "k2") is None
    assert keys(search(other_tenant, "a")) == ["k1"]
    assert namespaces(other_tenant, prefix=["a"]) == [["a", "b"]]
    other_tenant.request("DELETE", "/store/items", json={"namespace": ["a", "b"], "key": "k1"})
    assert get(filled, "a.b", "k1")["value"]["n"] == 1
    assert search(other_tenant, "a") == []
    assert len(read(filled, "/store/items?namespace=z&key=k4")) == 5
