"""Crons as a client sees them: what is taken and refused, shown, changed, listed and counted."""

import uuid
from typing import Any

import httpx
import pytest

from tests.contract.calls import LOG_ASSISTANT, UNKNOWN, Json, read, until

YEARLY = "0 0 1 1 *"
"""A schedule that does not fire while the tests run."""


def create(api: httpx.Client, thread_id: str | None = None, **fields: Any) -> Json:
    path = f"/threads/{thread_id}/runs/crons" if thread_id else "/runs/crons"
    response = api.post(path, json={"assistant_id": "log", "schedule": YEARLY, **fields})
    assert response.status_code == 200, response.text
    cron: Json = response.json()
    return cron


def patch(api: httpx.Client, cron: Json, **fields: Any) -> Json:
    response = api.patch(f"/runs/crons/{cron['cron_id']}", json=fields)
    assert response.status_code == 200, response.text
    changed: Json = response.json()
    return changed


def search(api: httpx.Client, **fields: Any) -> list[Json]:
    response = api.post("/runs/crons/search", json={"limit": 1000, **fields})
    assert response.status_code == 200, response.text
    rows: list[Json] = response.json()
    return rows


@pytest.fixture
def mark() -> Json:
    """Metadata by which a test finds its own crons."""
    return {"test": uuid.uuid4().hex}


def test_a_cron_is_shown_as_it_was_created(api: httpx.Client) -> None:
    cron = create(api, input={"n": 1}, metadata={"a": 1}, config={"tags": ["x"], "configurable": {"k": 1}})
    assert cron == {
        "cron_id": cron["cron_id"],
        "assistant_id": LOG_ASSISTANT,
        "thread_id": None,
        "user_id": "",
        "end_time": None,
        "schedule": YEARLY,
        "timezone": None,
        "payload": {
            "assistant_id": LOG_ASSISTANT,
            "schedule": YEARLY,
            "input": {"n": 1},
            "metadata": {"a": 1},
            "config": {"tags": ["x"], "configurable": {"k": 1, "cron_id": cron["cron_id"]}},
        },
        "next_run_date": cron["next_run_date"],
        "metadata": {"a": 1},
        "on_run_completed": "delete",
        "enabled": True,
        "created_at": cron["created_at"],
        "updated_at": cron["created_at"],
    }
    assert cron["next_run_date"].endswith("-01-01T00:00:00+00:00")
    assert read(api, f"/runs/crons/{cron['cron_id']}") == cron


def test_a_threads_cron_names_its_thread(api: httpx.Client, thread_id: str) -> None:
    given = {
        "timezone": "Europe/Oslo",
        "end_time": "2040-01-01T00:00:00Z",
        "enabled": False,
        "on_run_completed": "keep",
    }
    cron = create(api, thread_id, **given)
    assert (cron["thread_id"], cron["on_run_completed"], cron["enabled"]) == (thread_id, None, False)
    assert (cron["timezone"], cron["end_time"]) == ("Europe/Oslo", "2040-01-01T00:00:00+00:00")
    assert cron["next_run_date"].endswith("-12-31T23:00:00+00:00")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"schedule": None}, 422),
        ({"schedule": ""}, 422),
        ({"schedule": 5}, 422),
        ({"schedule": "nope"}, 422),
        ({"schedule": "61 0 * * *"}, 422),
        ({"schedule": "0 0 31 2 *"}, 422),
        ({"schedule": "H * * * *"}, 422),
        ({"schedule": "*," * 5000 + "* * * * *"}, 422),
        ({"assistant_id": None}, 422),
        ({"assistant_id": "nope"}, 422),
        ({"assistant_id": UNKNOWN}, 404),
        ({"timezone": "X/Y"}, 422),
        ({"timezone": ""}, 422),
        ({"timezone": "../etc/passwd"}, 422),
        ({"timezone": "/etc/localtime"}, 422),
        ({"timezone": "America"}, 422),
        ({"timezone": 5}, 422),
        ({"end_time": "x"}, 422),
        ({"end_time": 5}, 422),
        ({"enabled": "yes"}, 422),
        ({"on_run_completed": "x"}, 422),
        ({"input": "x"}, 422),
        ({"input": [1]}, 422),
        ({"webhook": "/x"}, 422),
        ({"webhook": "http://169.254.169.254/latest"}, 422),
        ({"metadata": 5}, 422),
        ({"config": "x"}, 422),
        ({"multitask_strategy": "x"}, 422),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_no_cron_can_be_made_of_is_refused(fields: Json, status: int, api: httpx.Client, mark: Json) -> None:
    body = {"assistant_id": "log", "schedule": YEARLY, "metadata": mark, **fields}
    response = api.post("/runs/crons", json={name: value for name, value in body.items() if value is not None})
    assert (response.status_code, list(response.json())) == (status, ["detail"]), response.text
    assert search(api, metadata=mark) == []


@pytest.mark.parametrize(
    "schedule", ["*/5 * * * *", "@daily", "0 9 * * mon-fri", "0 0 L * *", "0 0 * * 7", "0 0 1 1 * 0"]
)
def test_schedules_of_many_kinds_are_taken(schedule: str, api: httpx.Client) -> None:
    assert create(api, schedule=schedule, enabled=False)["schedule"] == schedule


def test_fields_that_are_null_count_as_absent(api: httpx.Client) -> None:
    cron = create(api, timezone=None, end_time=None, enabled=None, input=None, on_run_completed=None, metadata=None)
    assert (cron["enabled"], cron["on_run_completed"], cron["metadata"]) == (True, "delete", {})
    assert set(cron["payload"]) == {"assistant_id", "schedule", "config"}


@pytest.mark.parametrize("thread_id", [UNKNOWN, "abc"])
def test_a_thread_has_to_be_there_for_its_cron(thread_id: str, api: httpx.Client) -> None:
    response = api.post(f"/threads/{thread_id}/runs/crons", json={"assistant_id": "log", "schedule": YEARLY})
    assert response.status_code == (422 if thread_id == "abc" else 404)


def test_what_is_patched_takes_the_place_of_what_was(api: httpx.Client) -> None:
    cron = create(api, input={"n": 1}, metadata={"a": 1, "b": 1}, config={"tags": ["x"], "configurable": {"k": 1}})
    changed = patch(api, cron, metadata={"b": 2}, input={"n": 2}, config={"tags": ["y"]}, on_run_completed="keep")
    assert changed["metadata"] == {"a": 1, "b": 2}
    assert changed["payload"]["input"] == {"n": 2}
    assert changed["payload"]["config"] == {"tags": ["y"], "configurable": {"cron_id": cron["cron_id"]}}
    assert changed["on_run_completed"] == "keep"
    assert changed["next_run_date"] == cron["next_run_date"]
    assert changed["updated_at"] > cron["updated_at"]
    assert read(api, f"/runs/crons/{cron['cron_id']}") == changed


def test_a_new_schedule_or_zone_moves_the_next_date(api: httpx.Client) -> None:
    cron = create(api)
    assert patch(api, cron, schedule="0 0 1 6 *")["next_run_date"].endswith("-06-01T00:00:00+00:00")
    assert patch(api, cron, timezone="Asia/Tokyo")["next_run_date"].endswith("-05-31T15:00:00+00:00")


def test_only_the_end_can_be_taken_away(api: httpx.Client) -> None:
    cron = create(api, timezone="Asia/Tokyo")
    assert patch(api, cron, end_time="2040-01-01T00:00:00")["end_time"] == "2040-01-01T00:00:00+00:00"
    changed = patch(api, cron, end_time=None, timezone=None, enabled=None, schedule=None)
    assert (changed["end_time"], changed["timezone"], changed["enabled"]) == (None, "Asia/Tokyo", True)


def test_a_cron_keeps_assistant_and_thread(api: httpx.Client, thread_id: str) -> None:
    cron = create(api, thread_id)
    changed = patch(api, cron, assistant_id="agent", thread_id=UNKNOWN, on_run_completed="keep")
    assert (changed["assistant_id"], changed["payload"]["assistant_id"]) == (LOG_ASSISTANT, LOG_ASSISTANT)
    assert (changed["thread_id"], changed["on_run_completed"]) == (thread_id, None)


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ([], 422), ({"schedule": "bad"}, 422), ({"timezone": "X/Y"}, 422), ({"webhook": "http://[::1]/"}, 422)],
)
def test_a_patch_that_is_refused_changes_nothing(body: Any, status: int, api: httpx.Client) -> None:
    cron = create(api)
    assert api.patch(f"/runs/crons/{cron['cron_id']}", json=body).status_code == status
    assert read(api, f"/runs/crons/{cron['cron_id']}") == cron


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_unknown_crons_are_not_found_and_ids_are_uuids(method: str, api: httpx.Client) -> None:
    body = {"json": {"enabled": True}} if method == "PATCH" else {}
    assert api.request(method, f"/runs/crons/{UNKNOWN}", **body).status_code == 404  # type: ignore[arg-type]
    assert api.request(method, "/runs/crons/abc", **body).status_code == 422  # type: ignore[arg-type]


def test_a_deleted_cron_is_gone(api: httpx.Client) -> None:
    path = f"/runs/crons/{create(api)['cron_id']}"
    assert (api.delete(path).status_code, api.delete(path).status_code, api.get(path).status_code) == (204, 404, 404)


def test_a_threads_crons_go_with_it(api: httpx.Client, thread_id: str, mark: Json) -> None:
    cron = create(api, thread_id, metadata=mark)
    assert api.delete(f"/threads/{thread_id}").status_code == 204
    assert api.get(f"/runs/crons/{cron['cron_id']}").status_code == 404
    assert search(api, metadata=mark) == []


def test_an_assistants_crons_go_with_it(api: httpx.Client, thread_id: str, mark: Json) -> None:
    assistant_id = api.post("/assistants", json={"graph_id": "log"}).json()["assistant_id"]
    for place in (None, thread_id):
        create(api, place, assistant_id=assistant_id, metadata=mark)
    stays = create(api, metadata=mark)
    assert api.delete(f"/assistants/{assistant_id}").status_code == 204
    assert [cron["cron_id"] for cron in search(api, metadata=mark)] == [stays["cron_id"]]


def test_a_cron_runs_its_assistant_as_it_is_by_then(api: httpx.Client, thread_id: str) -> None:
    context = {"user_name": "first"}
    assistant_id = api.post("/assistants", json={"graph_id": "log", "context": context}).json()["assistant_id"]
    cron = create(api, thread_id, assistant_id=assistant_id, enabled=False, input={"n": 1})
    assert api.patch(f"/assistants/{assistant_id}", json={"context": {"user_name": "second"}}).status_code == 200
    patch(api, cron, schedule="* * * * * *", enabled=True)
    until(lambda: bool(read(api, f"/threads/{thread_id}/runs")), "a firing")
    assert api.delete(f"/runs/crons/{cron['cron_id']}").status_code == 204
    run = read(api, f"/threads/{thread_id}/runs")[0]
    assert (run["assistant_id"], run["kwargs"]["context"]["user_name"]) == (assistant_id, "second")
    assert api.delete(f"/assistants/{assistant_id}").status_code == 204


def test_crons_are_found_by_what_they_are(api: httpx.Client, thread_id: str, mark: Json) -> None:
    deep = {"deep": {"x": 1, "y": [1, 2]}}
    one = create(api, thread_id, metadata={**mark, **deep})
    two = create(api, metadata=mark, enabled=False)
    everything = [two["cron_id"], one["cron_id"]]

    def found(**fields: Any) -> list[str]:
        return [row["cron_id"] for row in search(api, **{"metadata": mark, **fields})]

    assert found() == everything
    assert found(thread_id=thread_id) == [one["cron_id"]]
    assert found(thread_id=UNKNOWN) == []
    assert found(assistant_id=LOG_ASSISTANT) == everything
    assert found(assistant_id=UNKNOWN) == []
    assert found(enabled=False) == [two["cron_id"]]
    assert found(metadata={**mark, "deep": {"x": 1}}) == [one["cron_id"]]
    assert found(metadata={**mark, "deep": {"y": [2]}}) == [one["cron_id"]]
    assert found(metadata={**mark, "deep": {"x": 2}}) == []
    counts = [{}, {"thread_id": thread_id}, {"assistant_id": UNKNOWN}]
    assert [api.post("/runs/crons/count", json={"metadata": mark, **each}).json() for each in counts] == [2, 1, 0]


@pytest.mark.parametrize("sort_by", ["cron_id", "assistant_id", "created_at", "updated_at", "next_run_date"])
def test_crons_are_listed_in_the_order_asked_for(sort_by: str, api: httpx.Client, mark: Json) -> None:
    for schedule in ("0 0 1 5 *", "0 0 1 3 *", "0 0 1 4 *"):
        create(api, schedule=schedule, metadata=mark)
    up, down = (
        [row[sort_by] for row in search(api, metadata=mark, sort_by=sort_by, sort_order=order)]
        for order in ("asc", "desc")
    )
    assert len(up) == 3
    assert up == sorted(up)
    assert down == up[::-1]


@pytest.mark.parametrize("sort_by", ["thread_id", "end_time"])
def test_what_is_missing_sorts_as_the_highest(sort_by: str, api: httpx.Client, thread_id: str, mark: Json) -> None:
    create(api, thread_id, metadata=mark, end_time="2040-01-01T00:00:00Z")
    create(api, metadata=mark)
    rows = search(api, metadata=mark, sort_by=sort_by, sort_order="asc", select=[sort_by])
    assert [row[sort_by] is None for row in rows] == [False, True]
    rows = search(api, metadata=mark, sort_by=sort_by, select=[sort_by])
    assert [row[sort_by] is None for row in rows] == [True, False]


def test_crons_come_in_pages(api: httpx.Client, mark: Json) -> None:
    made = [create(api, metadata=mark)["cron_id"] for _ in range(3)][::-1]
    pages = [
        api.post("/runs/crons/search", json={"metadata": mark, "limit": 2, "offset": offset, "select": ["cron_id"]})
        for offset in (0, 2, 4)
    ]
    assert [[row["cron_id"] for row in page.json()] for page in pages] == [made[:2], made[2:], []]
    assert [page.headers["x-pagination-total"] for page in pages] == ["3", "3", "4"]
    assert [page.headers.get("x-pagination-next") for page in pages] == ["2", None, None]


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 0},
        {"limit": 1001},
        {"offset": -1},
        {"assistant_id": "log"},
        {"thread_id": "abc"},
        {"select": ["zz"]},
        {"sort_by": "schedule"},
        {"metadata": 5},
    ],
    ids=str,
)
def test_a_search_for_what_cannot_be_is_refused(body: Json, api: httpx.Client) -> None:
    assert api.post("/runs/crons/search", json=body).status_code == 422


def test_another_tenant_finds_and_counts_none(api: httpx.Client, other_tenant: httpx.Client, mark: Json) -> None:
    create(api, metadata=mark)
    assert search(other_tenant, metadata=mark) == []
    assert other_tenant.post("/runs/crons/count", json={"metadata": mark}).json() == 0
    assert api.post("/runs/crons/count", json={"metadata": mark}).json() == 1


def test_a_cron_of_each_second_runs_its_graph(api: httpx.Client, thread_id: str) -> None:
    cron = create(api, thread_id, schedule="* * * * * *", input={"n": 1, "name": "tick"})
    path = f"/threads/{thread_id}/runs"

    def done() -> int:
        return [run["status"] for run in read(api, path)].count("success")

    until(lambda: done() >= 2, "two firings")
    assert api.delete(f"/runs/crons/{cron['cron_id']}").status_code == 204
    until(lambda: done() == len(read(api, path)), "all have ended")
    state = read(api, f"/threads/{thread_id}/state")
    assert state["values"]["entries"] == ["tick-0"] * done()
    assert read(api, path)[0]["kwargs"]["config"]["configurable"]["cron_id"] == cron["cron_id"]
