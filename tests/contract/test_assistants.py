"""Assistants: each graph has its system assistant, found by id and by search."""

import uuid
from typing import Any

import httpx
import pytest

from tests.contract.calls import LOG_ASSISTANT, Json, read

GRAPHS = ["agent", "custom", "fail", "human", "log", "long", "subgraph"]
FIELDS = {
    "assistant_id",
    "graph_id",
    "config",
    "context",
    "metadata",
    "name",
    "created_at",
    "updated_at",
    "version",
    "description",
}


def search(api: httpx.Client, **body: Any) -> list[Json]:
    """The assistants that a search finds."""
    response = api.post("/assistants/search", json=body)
    assert response.status_code == 200, response.text
    found: list[Json] = response.json()
    return found


def names(found: list[Json]) -> list[str]:
    """The names of assistants, in the order found."""
    return [assistant["name"] for assistant in found]


@pytest.mark.parametrize("graph", GRAPHS)
def test_each_graph_has_a_system_assistant(graph: str, api: httpx.Client) -> None:
    assistant_id = str(uuid.uuid5(uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), graph))
    assistant = read(api, f"/assistants/{assistant_id}")
    assert set(assistant) == FIELDS
    assert {key: assistant[key] for key in FIELDS - {"created_at", "updated_at"}} == {
        "assistant_id": assistant_id,
        "graph_id": graph,
        "config": {},
        "context": {},
        "metadata": {"created_by": "system"},
        "name": graph,
        "version": 1,
        "description": None,
    }
    assert search(api, graph_id=graph) == [assistant]


def test_an_assistant_is_the_same_each_time_it_is_read(api: httpx.Client) -> None:
    assert read(api, f"/assistants/{LOG_ASSISTANT}") == read(api, f"/assistants/{LOG_ASSISTANT.upper()}")


@pytest.mark.parametrize("body", [{}, {"select": []}, {"nonsense": 1}, {"metadata": {}}], ids=str)
def test_a_search_without_a_filter_finds_every_assistant(body: Json, api: httpx.Client) -> None:
    assert sorted(names(search(api, **body))) == GRAPHS


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": "log"}, ["log"]),
        ({"name": "LO"}, ["log", "long"]),
        ({"name": "nobody"}, []),
        ({"graph_id": "human"}, ["human"]),
        ({"graph_id": "human", "name": "log"}, []),
        ({"metadata": {"created_by": "system"}}, GRAPHS),
        ({"metadata": {"created_by": "me"}}, []),
    ],
    ids=str,
)
def test_a_search_filters(body: Json, expected: list[str], api: httpx.Client) -> None:
    assert names(search(api, sort_by="name", sort_order="asc", **body)) == expected


@pytest.mark.parametrize("key", ["name", "assistant_id", "graph_id", "created_at", "updated_at"])
def test_a_search_sorts_both_ways(key: str, api: httpx.Client) -> None:
    up = [assistant[key] for assistant in search(api, sort_by=key, sort_order="asc")]
    down = [assistant[key] for assistant in search(api, sort_by=key, sort_order="desc")]
    assert up == sorted(up)
    assert down == sorted(up, reverse=True)
    assert len(up) == len(GRAPHS)


def test_a_search_gives_the_fields_it_is_asked_for(api: httpx.Client) -> None:
    found = search(api, graph_id="log", select=["assistant_id", "name"])
    assert found == [{"assistant_id": LOG_ASSISTANT, "name": "log"}]


@pytest.mark.parametrize(
    ("limit", "offset", "expected", "total", "following"),
    [
        (3, 0, GRAPHS[:3], "4", "3"),
        (3, 3, GRAPHS[3:6], "7", "6"),
        (3, 6, GRAPHS[6:], "7", None),
        (7, 0, GRAPHS, "7", None),
        (1000, 0, GRAPHS, "7", None),
        (1, 100, [], "100", None),
    ],
)
def test_a_search_gives_a_page(
    limit: int, offset: int, expected: list[str], total: str, following: str | None, api: httpx.Client
) -> None:
    body = {"limit": limit, "offset": offset, "sort_by": "name", "sort_order": "asc"}
    response = api.post("/assistants/search", json=body)
    assert names(response.json()) == expected
    assert response.headers["x-pagination-total"] == total
    assert response.headers.get("x-pagination-next") == following


def test_the_server_says_that_it_is_well_and_what_it_can_do(api: httpx.Client) -> None:
    assert read(api, "/ok") == {"ok": True, "services": {}}
    info = read(api, "/info")
    assert {"version", "langgraph_py_version", "flags", "host"} <= set(info)
    assert info["flags"]["assistants"] is True
    page = api.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
