"""Threads found: filters, order, pages, what of them is shown."""

import uuid
from typing import Any

import httpx
import pytest

from tests.contract.calls import UNKNOWN, Json, busy, last_run, until, wait


@pytest.fixture(scope="module")
def mark(api: httpx.Client) -> Json:
    """What `marked` makes, for tests that change nothing."""
    return marked(api)


def marked(api: httpx.Client) -> Json:
    """Metadata by which three new threads are found, of which the last two have run."""
    mark = {"mark": uuid.uuid4().hex}
    for number in range(3):
        body = {"metadata": {**mark, "number": number, "nest": {"list": [1, {"b": 2}], "x": None}}}
        api.post("/threads", json=body).raise_for_status()
    _, first, second = ids_of(api, metadata=mark)[::-1]
    wait(api, first, input={"n": 1, "name": "x"}, config={"tags": ["t"]})
    wait(api, second, input={"n": 2, "name": "x", "ask": "sure?"})
    return mark


def find(api: httpx.Client, **body: Any) -> list[Json]:
    """The threads that a search finds."""
    response = api.post("/threads/search", json=body)
    assert response.status_code == 200, response.text
    rows: list[Json] = response.json()
    return rows


def ids_of(api: httpx.Client, **body: Any) -> list[str]:
    return [row["thread_id"] for row in find(api, select=["thread_id"], **body)]


def numbers(api: httpx.Client, **body: Any) -> list[int]:
    """Which of the test's threads a search finds."""
    return [row["metadata"]["number"] for row in find(api, select=["metadata"], **body)]


def test_a_search_shows_threads_as_they_are_read(api: httpx.Client, mark: Json) -> None:
    rows = find(api, metadata=mark)
    assert [row["metadata"]["number"] for row in rows] == [2, 1, 0]
    assert rows == [api.get(f"/threads/{row['thread_id']}").json() for row in rows]
    assert [row["values"] and row["values"]["n"] for row in rows] == [2, 1, None]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [2, 1, 0]),
        ({"number": 1}, [1]),
        ({"number": 1.0}, [1]),
        ({"number": True}, []),
        ({"number": None}, []),
        ({"nest": {}}, [2, 1, 0]),
        ({"nest": {"x": None}}, [2, 1, 0]),
        ({"nest": {"y": None}}, []),
        ({"nest": {"list": [1, {"b": 2}]}}, [2, 1, 0]),
        ({"nest": {"list": [1]}}, [2, 1, 0]),
        ({"nest": {"list": [2]}}, []),
        ({"nest": {"list": 1}}, []),
        ({"graph_id": "log"}, [2, 1]),
    ],
    ids=str,
)
def test_metadata_filter_by_what_they_contain(wanted: Json, found: list[int], api: httpx.Client, mark: Json) -> None:
    assert numbers(api, metadata={**mark, **wanted}) == found
    assert api.post("/threads/count", json={"metadata": {**mark, **wanted}}).json() == len(found)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [({"n": 1}, [1]), ({"entries": ["x-0", "x-1"]}, [2]), ({"name": "x"}, [2, 1]), ({"zzz": 1}, []), ({}, [2, 1, 0])],
    ids=str,
)
def test_values_filter_by_what_they_contain(wanted: Json, found: list[int], api: httpx.Client, mark: Json) -> None:
    assert numbers(api, metadata=mark, values=wanted) == found
    assert api.post("/threads/count", json={"metadata": mark, "values": wanted}).json() == len(found)


@pytest.mark.parametrize(("status", "found"), [("idle", [1, 0]), ("interrupted", [2]), ("busy", []), ("error", [])])
def test_the_status_filters(status: str, found: list[int], api: httpx.Client, mark: Json) -> None:
    assert numbers(api, metadata=mark, status=status) == found
    assert api.post("/threads/count", json={"metadata": mark, "status": status}).json() == len(found)


def test_a_busy_thread_is_found_as_such(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id):
        until(lambda: last_run(api, thread_id)["status"] == "running", "the run starts")
        assert ids_of(api, ids=[thread_id], status="busy") == [thread_id]
        assert ids_of(api, ids=[thread_id], status="idle") == []


def test_ids_narrow_a_search(api: httpx.Client, mark: Json) -> None:
    ids = ids_of(api, metadata=mark)
    assert ids_of(api, ids=[ids[2], ids[0], UNKNOWN]) == [ids[0], ids[2]]
    assert ids_of(api, ids=ids, metadata={"number": 1}) == [ids[1]]
    assert ids_of(api, ids=[UNKNOWN]) == []
    assert ids_of(api, ids=ids, limit=1, offset=1) == [ids[1]]


@pytest.mark.parametrize("field", ["thread_id", "created_at", "updated_at", "state_updated_at"])
def test_threads_are_sorted_by_what_is_asked_for(field: str, api: httpx.Client, mark: Json) -> None:
    assert numbers(api, metadata=mark, sort_by=field, sort_order="asc") == [0, 1, 2]
    assert numbers(api, metadata=mark, sort_by=field, sort_order="desc") == [2, 1, 0]
    assert numbers(api, metadata=mark, sort_by=field) == [2, 1, 0]


def test_threads_are_sorted_by_status(api: httpx.Client, mark: Json) -> None:
    assert numbers(api, metadata=mark, sort_by="status", sort_order="asc")[-1] == 2
    assert numbers(api, metadata=mark, sort_by="status", sort_order="desc")[0] == 2


def test_an_order_without_a_field_counts_for_nothing(api: httpx.Client, mark: Json) -> None:
    assert numbers(api, metadata=mark, sort_order="asc") == [2, 1, 0]


def test_a_change_moves_a_thread_to_the_front(api: httpx.Client) -> None:
    mark = marked(api)
    last = ids_of(api, metadata=mark)[-1]
    api.patch(f"/threads/{last}", json={"metadata": {"k": 1}}).raise_for_status()
    assert ids_of(api, metadata=mark)[0] == last
    assert ids_of(api, limit=1) == [last]


@pytest.mark.parametrize("sort_by", ["updated_at", "created_at"])
def test_pages_say_where_they_end(sort_by: str, api: httpx.Client, mark: Json) -> None:
    seen = []
    for offset, total, following in ((0, "2", "1"), (1, "3", "2"), (2, "3", None), (10, "10", None)):
        body = {"metadata": mark, "limit": 1, "offset": offset, "sort_by": sort_by}
        response = api.post("/threads/search", json=body)
        assert response.headers["x-pagination-total"] == total
        assert response.headers.get("x-pagination-next") == following
        seen += [row["metadata"]["number"] for row in response.json()]
    assert seen == [2, 1, 0]


def test_pages_of_all_threads_are_one_list(api: httpx.Client, mark: Json) -> None:
    whole = ids_of(api, limit=12)
    pages = [ids_of(api, limit=3, offset=offset) for offset in range(0, 12, 3)]
    assert [one for page in pages for one in page] == whole
    mine = ids_of(api, metadata=mark)
    assert [one for one in ids_of(api, limit=1000) if one in mine] == mine


def test_a_thread_that_was_deleted_is_not_found(api: httpx.Client) -> None:
    mark = marked(api)
    newest = ids_of(api, metadata=mark)[0]
    api.delete(f"/threads/{newest}").raise_for_status()
    assert numbers(api, metadata=mark) == [1, 0]
    assert newest not in ids_of(api, limit=5)
    assert ids_of(api, ids=[newest]) == []


def test_select_names_the_fields_that_are_shown(api: httpx.Client, mark: Json) -> None:
    for row in find(api, metadata=mark, select=["status", "interrupts", "config"]):
        assert set(row) == {"status", "interrupts", "config"}
    [row] = find(api, metadata={**mark, "number": 1}, select=["values", "config"])
    assert (row["values"]["n"], row["config"]) == (1, {"tags": ["t"], "configurable": {}})
    [row] = find(api, metadata={**mark, "number": 2}, select=["interrupts"])
    [[interrupt]] = row["interrupts"].values()
    assert interrupt["value"] == {"question": "sure?"}


def test_extract_picks_values_by_path(api: httpx.Client, mark: Json) -> None:
    paths = {
        "n": "values.n",
        "last": "values.entries[-1]",
        "beyond": "values.entries[9]",
        "all": "values.entries",
        "star": "values.entries[*]",
        "deep": "metadata.nest.list[1].b",
        "none": "values.zzz.y",
        "tags": "config.tags",
        "i": "interrupts",
    }
    rows = find(api, metadata=mark, select=["status"], extract=paths)
    two, one, zero = (row["extracted"] for row in rows)
    assert set(rows[0]) == {"status", "extracted"}
    assert {**one, "i": None} == {
        "n": 1,
        "last": "x-0",
        "beyond": None,
        "all": ["x-0"],
        "star": None,
        "deep": 2,
        "none": None,
        "tags": ["t"],
        "i": None,
    }
    assert (zero["n"], zero["deep"], zero["i"], one["i"]) == (None, 2, {}, {})
    assert len(two["i"]) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"limit": 0}, 422),
        ({"limit": 1001}, 422),
        ({"limit": None}, 422),
        ({"offset": -1}, 422),
        ({"status": "x"}, 422),
        ({"metadata": None}, 422),
        ({"values": None}, 422),
        ({"sort_by": "x"}, 422),
        ({"sort_by": "THREAD_ID"}, 422),
        ({"sort_by": "updated_at", "sort_order": "up"}, 422),
        ({"select": ["error"]}, 422),
        ({"ids": ["x"]}, 400),
        ({"extract": {"n": "status"}}, 422),
        ({"extract": {"n": "valuesx.n"}}, 422),
        ({"extract": {"n": ""}}, 422),
        ({"extract": {"a b": "values.n"}}, 422),
        ({"extract": {f"n{number}": "values.n" for number in range(11)}}, 422),
    ],
    ids=str,
)
def test_a_search_that_says_nothing_sensible_is_refused(body: Json, status: int, api: httpx.Client) -> None:
    assert api.post("/threads/search", json=body).status_code == status


def test_count_counts_all_threads(api: httpx.Client, thread_id: str) -> None:
    before = api.post("/threads/count", json={}).json()
    api.delete(f"/threads/{thread_id}").raise_for_status()
    assert api.post("/threads/count", json={}).json() == before - 1
