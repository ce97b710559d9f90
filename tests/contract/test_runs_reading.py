"""Runs as they are read: listed, fetched, joined."""

from datetime import datetime, timedelta

import httpx
import pytest

from tests.contract.calls import LOG_ASSISTANT, UNKNOWN, busy, last_run, read, wait

RUN = {
    "run_id",
    "thread_id",
    "assistant_id",
    "metadata",
    "status",
    "kwargs",
    "multitask_strategy",
    "created_at",
    "updated_at",
}


@pytest.fixture
def three_runs(api: httpx.Client, thread_id: str) -> list[str]:
    """The ids of a success, a failure and a success on one thread, oldest first."""
    wait(api, thread_id, "log", input={"n": 1})
    wait(api, thread_id, "fail", input={"kind": "ValueError"})
    wait(api, thread_id, "log", input={"n": 1, "name": "last"})
    return [run["run_id"] for run in reversed(read(api, f"/threads/{thread_id}/runs"))]


def test_a_run_shows_what_was_asked_and_how_it_ended(api: httpx.Client, thread_id: str) -> None:
    wait(
        api,
        thread_id,
        input={"n": 1},
        metadata={"m": 1},
        config={"tags": ["t"]},
        interrupt_before=["nowhere"],
        multitask_strategy="reject",
    )
    run = last_run(api, thread_id)
    assert set(run) >= RUN
    assert (run["thread_id"], run["assistant_id"]) == (thread_id, LOG_ASSISTANT)
    assert (run["status"], run["multitask_strategy"]) == ("success", "reject")
    assert run["metadata"]["m"] == 1
    assert (run["metadata"]["graph_id"], run["metadata"]["assistant_id"]) == ("log", LOG_ASSISTANT)
    kwargs = run["kwargs"]
    assert kwargs["input"] == {"n": 1}
    assert kwargs["command"] is None
    assert kwargs["config"]["tags"] == ["t"]
    assert kwargs["interrupt_before"] == ["nowhere"]
    assert kwargs["stream_mode"] == ["values"]
    created, updated = (datetime.fromisoformat(run[stamp]) for stamp in ("created_at", "updated_at"))
    assert created <= updated
    assert created.utcoffset() == timedelta(0)
    assert read(api, f"/threads/{thread_id}/runs/{run['run_id']}") == run


@pytest.mark.parametrize(
    ("assistant", "given", "status"),
    [("log", {"n": 1}, "success"), ("log", {"ask": "?"}, "success"), ("fail", {"kind": "OSError"}, "error")],
    ids=["a result", "a question", "a failure"],
)
def test_a_run_ends_as_success_unless_it_fails(
    assistant: str, given: dict[str, object], status: str, api: httpx.Client, thread_id: str
) -> None:
    wait(api, thread_id, assistant, input=given)
    assert last_run(api, thread_id)["status"] == status


def test_a_thread_without_runs_lists_none(api: httpx.Client, thread_id: str) -> None:
    assert read(api, f"/threads/{thread_id}/runs") == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [2, 1, 0]),
        ("?limit=1", [2]),
        ("?limit=2&offset=1", [1, 0]),
        ("?offset=3", []),
        ("?limit=0", []),
        ("?limit=1000", [2, 1, 0]),
        ("?status=success", [2, 0]),
        ("?status=error", [1]),
        ("?status=pending", []),
        ("?status=success&limit=1&offset=1", [0]),
        ("?nonsense=1", [2, 1, 0]),
    ],
)
def test_runs_are_listed_newest_first(
    query: str, expected: list[int], api: httpx.Client, thread_id: str, three_runs: list[str]
) -> None:
    listed = read(api, f"/threads/{thread_id}/runs{query}")
    assert [three_runs.index(run["run_id"]) for run in listed] == expected


def test_a_list_of_runs_is_ten_long_unless_the_caller_says_otherwise(api: httpx.Client, thread_id: str) -> None:
    for _ in range(11):
        wait(api, thread_id, "fail", input={})
    assert len(read(api, f"/threads/{thread_id}/runs")) == 10
    assert len(read(api, f"/threads/{thread_id}/runs?limit=20")) == 11


def test_select_names_the_fields_of_each_run(api: httpx.Client, thread_id: str, three_runs: list[str]) -> None:
    listed = read(api, f"/threads/{thread_id}/runs?select=run_id&select=status&limit=2")
    assert listed == [
        {"run_id": three_runs[2], "status": "success"},
        {"run_id": three_runs[1], "status": "error"},
    ]


@pytest.mark.parametrize("rest", ["", "/join"])
def test_a_run_is_found_under_its_own_thread_only(
    rest: str, api: httpx.Client, thread_id: str, three_runs: list[str]
) -> None:
    other = api.post("/threads", json={}).json()["thread_id"]
    assert api.get(f"/threads/{thread_id}/runs/{three_runs[0]}{rest}").status_code == 200
    for wrong in (other, UNKNOWN):
        response = api.get(f"/threads/{wrong}/runs/{three_runs[0]}{rest}")
        assert response.status_code == 404
        assert set(response.json()) == {"detail"}


def test_join_gives_what_each_run_ended_with(api: httpx.Client, thread_id: str, three_runs: list[str]) -> None:
    ends = [read(api, f"/threads/{thread_id}/runs/{run_id}/join") for run_id in three_runs]
    assert ends[0]["entries"] == ["e-0"]
    assert ends[1] == {"__error__": {"error": "ValueError", "message": "boom ValueError"}}
    assert ends[2]["entries"] == ["e-0", "first", "last-0"]


def test_join_names_the_run_as_wait_does(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    path = f"/threads/{thread_id}/runs/{last_run(api, thread_id)['run_id']}"
    response = api.get(f"{path}/join")
    assert response.headers["content-type"].startswith("application/json")
    assert response.headers["content-location"].endswith(path)
    assert response.headers["location"].endswith(f"{path}/join")


def test_join_repeats_a_question_without_the_values(api: httpx.Client, thread_id: str) -> None:
    [interrupt] = wait(api, thread_id, input={"n": 1, "ask": "sure?"})["__interrupt__"]
    joined = read(api, f"/threads/{thread_id}/runs/{last_run(api, thread_id)['run_id']}/join")
    assert joined == {"__interrupt__": [{"id": interrupt["id"], "value": {"question": "sure?"}}]}


def test_join_waits_for_a_run_that_is_under_way(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id) as old:
        joined = read(api, f"/threads/{thread_id}/runs/{last_run(api, thread_id)['run_id']}/join")
    assert joined["entries"] == ["old-0", "old-1", "old-2", "old-3"]
    assert joined == old.result()
