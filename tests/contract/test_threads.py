"""Threads: created, read, changed, deleted, and the state that a run leaves on them."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.contract.calls import Json, busy, read, state_of, until, wait

NEVER_RAN = {"thread_id", "created_at", "updated_at", "state_updated_at", "metadata", "status", "config", "values"}
RAN = NEVER_RAN | {"error", "interrupts"}
STATE = {
    "values",
    "next",
    "tasks",
    "metadata",
    "created_at",
    "checkpoint",
    "parent_checkpoint",
    "interrupts",
    "checkpoint_id",
    "parent_checkpoint_id",
}
TASK = {"id", "name", "path", "error", "interrupts", "checkpoint", "state", "result"}


def created(api: httpx.Client, **fields: Any) -> Json:
    """A new thread."""
    response = api.post("/threads", json=fields)
    assert response.status_code == 200, response.text
    thread: Json = response.json()
    return thread


# --- create -----------------------------------------------------------------------------------------------------------


def test_a_new_thread_is_idle_and_has_no_values(api: httpx.Client) -> None:
    thread = created(api)
    assert set(thread) >= NEVER_RAN
    assert str(uuid.UUID(thread["thread_id"])) == thread["thread_id"]
    assert (thread["status"], thread["metadata"], thread["config"], thread["values"]) == ("idle", {}, {}, None)
    for stamp in ("created_at", "updated_at", "state_updated_at"):
        assert datetime.fromisoformat(thread[stamp]).utcoffset() == timedelta(0)
    assert read(api, f"/threads/{thread['thread_id']}") == thread


def test_a_caller_may_choose_the_id(api: httpx.Client) -> None:
    thread_id = str(uuid.uuid4())
    assert created(api, thread_id=thread_id, metadata={"k": "v"})["thread_id"] == thread_id
    assert read(api, f"/threads/{thread_id}")["metadata"] == {"k": "v"}


@pytest.mark.parametrize("spelling", ["upper case", "without dashes"])
def test_other_spellings_of_an_id_name_the_same_thread(spelling: str, api: httpx.Client) -> None:
    thread_id = str(uuid.uuid4())
    spelt = thread_id.upper() if spelling == "upper case" else thread_id.replace("-", "")
    assert created(api, thread_id=spelt)["thread_id"] == thread_id
    assert read(api, f"/threads/{spelt}")["thread_id"] == thread_id
    assert read(api, f"/threads/{thread_id}")["thread_id"] == thread_id


@pytest.mark.parametrize("fields", [{}, {"if_exists": "raise"}], ids=str)
def test_an_id_is_given_once(fields: Json, api: httpx.Client, thread_id: str) -> None:
    response = api.post("/threads", json={"thread_id": thread_id, **fields})
    assert response.status_code == 409
    assert response.json() == {"detail": f"Thread with ID {thread_id} already exists"}


def test_do_nothing_answers_with_the_thread_that_is_there(api: httpx.Client) -> None:
    thread = created(api, metadata={"k": "v"})
    again = created(api, thread_id=thread["thread_id"], if_exists="do_nothing", metadata={"other": 1})
    assert again == thread
    assert read(api, f"/threads/{thread['thread_id']}") == thread


def test_metadata_keeps_its_shape(api: httpx.Client) -> None:
    metadata = {"a": {"b": [1, 2.5, None, True, "x"]}, "empty": {}, "text": "ü\n", "big": 2**53, "graph_id": "log"}
    thread = created(api, metadata=metadata)
    assert thread["metadata"] == metadata
    assert read(api, f"/threads/{thread['thread_id']}")["metadata"] == metadata


def test_metadata_cannot_pose_as_another_thread(api: httpx.Client) -> None:
    thread = created(api, metadata={"thread_id": "x", "assistant_id": "y", "k": "v"})
    assert thread["metadata"] == {"k": "v"}


def test_a_new_thread_ignores_unknown_fields(api: httpx.Client) -> None:
    thread = created(api, nonsense=1, status="busy", values={"a": 1})
    assert (thread["status"], thread["values"]) == ("idle", None)
    assert "nonsense" not in thread


# --- read -------------------------------------------------------------------------------------------------------------


def test_a_thread_shows_the_values_that_its_run_left(api: httpx.Client, thread_id: str) -> None:
    before = read(api, f"/threads/{thread_id}")
    result = wait(api, thread_id, input={"n": 1})
    thread = read(api, f"/threads/{thread_id}")
    assert set(thread) >= RAN
    assert thread["values"] == result
    assert (thread["status"], thread["error"], thread["interrupts"]) == ("idle", None, {})
    assert thread["created_at"] == before["created_at"]
    assert thread["updated_at"] > before["updated_at"]
    assert thread["state_updated_at"] > before["state_updated_at"]


def test_a_thread_shows_its_questions(api: httpx.Client, thread_id: str) -> None:
    [interrupt] = wait(api, thread_id, input={"n": 1, "ask": "sure?"})["__interrupt__"]
    thread = read(api, f"/threads/{thread_id}")
    assert thread["status"] == "interrupted"
    [task] = state_of(api, thread_id)["tasks"]
    assert thread["interrupts"] == {task["id"]: [{"id": interrupt["id"], "value": {"question": "sure?"}}]}


def test_a_thread_shows_why_its_run_failed_until_another_succeeds(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, "fail", input={"kind": "ValueError"})
    thread = read(api, f"/threads/{thread_id}")
    assert thread["status"] == "error"
    assert thread["error"] == {"error": "ValueError", "message": "boom ValueError"}
    assert thread["values"] == {"kind": "ValueError", "entries": ["first"]}
    wait(api, thread_id, "fail", input={"kind": ""})
    thread = read(api, f"/threads/{thread_id}")
    assert (thread["status"], thread["error"]) == ("idle", None)


def test_a_thread_is_busy_while_a_run_is_under_way(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id) as old:
        until(lambda: bool(state_of(api, thread_id)["values"].get("entries")), "the run leaves an entry")
        thread = read(api, f"/threads/{thread_id}")
        assert not old.done()
        assert thread["status"] == "busy"
        assert thread["values"] is None, "values change when a run ends"
    assert read(api, f"/threads/{thread_id}")["status"] == "idle"


# --- change -----------------------------------------------------------------------------------------------------------


def test_patch_merges_the_top_level_of_metadata(api: httpx.Client) -> None:
    thread_id = created(api, metadata={"a": 1, "b": {"x": 1}})["thread_id"]
    response = api.patch(f"/threads/{thread_id}", json={"metadata": {"b": {"y": 2}, "c": None}})
    assert response.status_code == 200
    assert response.json()["metadata"] == {"a": 1, "b": {"y": 2}, "c": None}
    assert read(api, f"/threads/{thread_id}") == response.json()


def test_patch_answers_nothing_if_the_caller_prefers_that(api: httpx.Client, thread_id: str) -> None:
    response = api.patch(f"/threads/{thread_id}", json={"metadata": {"k": "v"}}, headers={"prefer": "return=minimal"})
    assert (response.status_code, response.content) == (204, b"")
    assert read(api, f"/threads/{thread_id}")["metadata"] == {"k": "v"}


@pytest.mark.parametrize(
    "fields", [{}, {"metadata": {}}, {"status": "busy", "values": {"a": 1}, "nonsense": 1}], ids=str
)
def test_patch_changes_metadata_and_nothing_else(fields: Json, api: httpx.Client) -> None:
    thread = created(api, metadata={"k": "v"})
    response = api.patch(f"/threads/{thread['thread_id']}", json=fields)
    assert response.status_code == 200, response.text
    after = response.json()
    assert {**after, "updated_at": None} == {**thread, "updated_at": None}


def test_patch_cannot_pose_as_another_thread(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    before = read(api, f"/threads/{thread_id}")["metadata"]
    api.patch(f"/threads/{thread_id}", json={"metadata": {"assistant_id": "x", "thread_id": "y"}}).raise_for_status()
    assert read(api, f"/threads/{thread_id}")["metadata"] == before


def test_patch_of_a_busy_thread_does_not_disturb_its_run(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id) as old:
        api.patch(f"/threads/{thread_id}", json={"metadata": {"k": "v"}}).raise_for_status()
        assert not old.done()
        assert read(api, f"/threads/{thread_id}")["status"] == "busy"
    thread = read(api, f"/threads/{thread_id}")
    assert (thread["status"], thread["metadata"]["k"]) == ("idle", "v")
    assert len(thread["values"]["entries"]) == 4


# --- delete -----------------------------------------------------------------------------------------------------------


def test_delete_removes_the_thread_with_its_runs_and_state(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    run_id = read(api, f"/threads/{thread_id}/runs")[0]["run_id"]
    response = api.delete(f"/threads/{thread_id}")
    assert (response.status_code, response.content) == (204, b"")
    for path in ("", "/state", "/runs", f"/runs/{run_id}", f"/runs/{run_id}/join"):
        assert api.get(f"/threads/{thread_id}{path}").status_code == 404, path
    assert api.delete(f"/threads/{thread_id}").status_code == 404


def test_a_deleted_id_may_be_used_again_and_starts_empty(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1}, metadata={"old": 1})
    api.delete(f"/threads/{thread_id}").raise_for_status()
    assert created(api, thread_id=thread_id)["values"] is None
    assert state_of(api, thread_id)["values"] == {}
    assert read(api, f"/threads/{thread_id}/runs") == []
    assert wait(api, thread_id, input={"n": 1, "name": "new"})["entries"] == ["new-0"]


# --- state ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?subgraphs=true"])
def test_an_empty_thread_has_an_empty_state(query: str, api: httpx.Client, thread_id: str) -> None:
    state = read(api, f"/threads/{thread_id}/state{query}")
    assert set(state) == STATE
    assert (state["values"], state["next"], state["tasks"], state["interrupts"]) == ({}, [], [], [])
    nothing = STATE - {"values", "next", "tasks", "interrupts"}
    assert {state[key] for key in nothing} == {None}


def test_the_state_after_a_run_is_its_last_checkpoint(api: httpx.Client, thread_id: str) -> None:
    result = wait(api, thread_id, input={"n": 1})
    run = read(api, f"/threads/{thread_id}/runs")[0]
    state = state_of(api, thread_id)
    assert set(state) == STATE
    assert state["values"] == result
    assert (state["next"], state["tasks"], state["interrupts"]) == ([], [], [])
    assert state["checkpoint"] == {
        "checkpoint_id": state["checkpoint_id"],
        "thread_id": thread_id,
        "checkpoint_ns": "",
    }
    assert state["parent_checkpoint"] == {
        "checkpoint_id": state["parent_checkpoint_id"],
        "thread_id": thread_id,
        "checkpoint_ns": "",
    }
    assert state["checkpoint_id"] > state["parent_checkpoint_id"]
    metadata = state["metadata"]
    assert (metadata["source"], metadata["step"], metadata["parents"]) == ("loop", 2, {})
    assert (metadata["run_id"], metadata["thread_id"]) == (run["run_id"], thread_id)
    assert (metadata["graph_id"], metadata["assistant_id"]) == ("log", run["assistant_id"])
    assert datetime.fromisoformat(state["created_at"]).utcoffset() == timedelta(0)


def test_the_state_after_a_question_names_the_task_that_asks(api: httpx.Client, thread_id: str) -> None:
    [interrupt] = wait(api, thread_id, input={"n": 1, "ask": "sure?"})["__interrupt__"]
    shown = {"id": interrupt["id"], "value": {"question": "sure?"}}
    state = state_of(api, thread_id)
    assert state["next"] == ["ask"]
    assert state["interrupts"] == [shown]
    [task] = state["tasks"]
    assert set(task) == TASK
    assert (task["name"], task["interrupts"], task["error"]) == ("ask", [shown], None)
    assert task["path"] == ["__pregel_pull", "ask"]


def test_the_state_after_a_failure_names_the_task_that_failed(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, "fail", input={"kind": "ValueError"})
    state = state_of(api, thread_id)
    assert state["next"] == ["boom"]
    [task] = state["tasks"]
    assert (task["name"], task["error"]) == ("boom", "ValueError('boom ValueError')")
