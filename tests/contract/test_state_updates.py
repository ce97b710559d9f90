"""States that change without a run: POST state, super-steps at creation, copies, pruning."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.contract.calls import UNKNOWN, Json, busy, last_run, read, state_of, until, wait


def update(api: httpx.Client, thread_id: str, **body: object) -> Json:
    """Change a thread's state."""
    response = api.post(f"/threads/{thread_id}/state", json=body)
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def history(api: httpx.Client, thread_id: str) -> list[Json]:
    """All states of a thread, newest first."""
    states: list[Json] = read(api, f"/threads/{thread_id}/history?limit=1000")
    return states


def create(api: httpx.Client, **body: object) -> Json:
    """A new thread."""
    response = api.post("/threads", json=body)
    assert response.status_code == 200, response.text
    thread: Json = response.json()
    return thread


# --- POST state -------------------------------------------------------------------------------------------------------


def test_an_update_is_a_checkpoint_of_its_own(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    before = state_of(api, thread_id)
    answer = update(api, thread_id, values={"entries": ["mine"]}, as_node="append")
    state = state_of(api, thread_id)
    assert answer["checkpoint"] == {
        "thread_id": thread_id,
        "checkpoint_ns": "",
        "checkpoint_id": state["checkpoint_id"],
    }
    assert (answer["configurable"], answer["checkpoint_id"]) == (answer["checkpoint"], state["checkpoint_id"])
    assert state["parent_checkpoint_id"] == before["checkpoint_id"]
    assert state["values"]["entries"] == ["e-0", "mine"]
    assert (state["metadata"]["source"], state["metadata"]["step"]) == ("update", before["metadata"]["step"] + 1)


def test_an_update_shows_on_the_thread(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    before = read(api, f"/threads/{thread_id}")
    update(api, thread_id, values={"entries": ["mine"]}, as_node="append")
    thread = read(api, f"/threads/{thread_id}")
    assert thread["values"] == state_of(api, thread_id)["values"]
    assert thread["status"] == "idle"
    assert thread["updated_at"] > before["updated_at"]
    assert thread["state_updated_at"] > before["state_updated_at"]


def test_a_thread_that_never_ran_can_be_updated_once_it_has_a_graph(api: httpx.Client, thread_id: str) -> None:
    response = api.post(f"/threads/{thread_id}/state", json={"values": {"n": 1}})
    assert response.status_code == 400
    assert "no assigned graph ID" in response.json()["detail"]
    api.patch(f"/threads/{thread_id}", json={"metadata": {"graph_id": "log"}}).raise_for_status()
    update(api, thread_id, values={"n": 1, "entries": ["a"]})
    thread = read(api, f"/threads/{thread_id}")
    assert (thread["status"], thread["values"]) == ("interrupted", {"n": 1, "entries": ["a"]})
    assert state_of(api, thread_id)["next"] == ["begin"]


def test_the_next_run_goes_on_from_the_update(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    update(api, thread_id, values={"entries": ["mine"]}, as_node="append")
    assert wait(api, thread_id, input={"n": 1})["entries"] == ["e-0", "mine", "e-0"]


def test_an_update_answers_a_question_in_the_nodes_place(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1, "ask": "sure?"})
    assert read(api, f"/threads/{thread_id}")["status"] == "interrupted"
    update(api, thread_id, values={"answer": "yes", "ask": ""}, as_node="ask")
    thread = read(api, f"/threads/{thread_id}")
    assert (thread["status"], thread["interrupts"], thread["values"]["answer"]) == ("idle", {}, "yes")


def test_an_update_clears_an_error(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, "fail", input={"kind": "ValueError"})
    update(api, thread_id, values={"kind": ""}, as_node="first")
    thread = read(api, f"/threads/{thread_id}")
    assert (thread["status"], thread["error"]) == ("interrupted", None)
    assert wait(api, thread_id, "fail", input=None)["entries"] == ["first", "boom"]


@pytest.mark.parametrize("shape", ["checkpoint_id", "checkpoint"])
def test_an_update_at_a_checkpoint_is_a_branch(shape: str, api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 2})
    fork_at = history(api, thread_id)[1]
    at = {"checkpoint_id": fork_at["checkpoint_id"]}
    named = at if shape == "checkpoint_id" else {"checkpoint": at}
    update(api, thread_id, values={"entries": ["branch"]}, as_node="append", **named)
    state = state_of(api, thread_id)
    assert state["values"]["entries"] == ["e-0", "branch"]
    assert state["parent_checkpoint_id"] == fork_at["checkpoint_id"]
    assert read(api, f"/threads/{thread_id}")["values"]["entries"] == ["e-0", "branch"]


def test_an_update_at_a_checkpoint_that_is_not_there_is_refused(api: httpx.Client, thread_id: str) -> None:
    result = wait(api, thread_id, input={"n": 1})
    body = {"values": {"entries": ["lost"]}, "as_node": "append", "checkpoint_id": UNKNOWN}
    response = api.post(f"/threads/{thread_id}/state", json=body)
    assert (response.status_code, "not found on this thread" in response.text) == (400, True)
    assert api.post(f"/threads/{thread_id}/state", json={**body, "checkpoint_id": "abc"}).status_code == 422
    assert state_of(api, thread_id)["values"] == result


def test_an_update_without_values_changes_none(api: httpx.Client, thread_id: str) -> None:
    result = wait(api, thread_id, input={"n": 1})
    update(api, thread_id)
    update(api, thread_id, values=None)
    assert state_of(api, thread_id)["values"] == result
    assert len(history(api, thread_id)) == 6


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"values": {"n": 1}, "as_node": "nope"}, 400, "Node nope does not exist"),
        ({"values": [1]}, 400, "Expected dict"),
        ({"values": {"entries": 5}, "as_node": "append"}, 400, "TypeError"),
        ({"values": "x"}, 422, "values"),
        ({"values": {}, "as_node": 5}, 422, "as_node"),
    ],
    ids=str,
)
def test_what_the_graph_refuses_changes_nothing(
    body: Json, status: int, detail: str, api: httpx.Client, thread_id: str
) -> None:
    wait(api, thread_id, input={"n": 1})
    before = history(api, thread_id), read(api, f"/threads/{thread_id}")
    response = api.post(f"/threads/{thread_id}/state", json=body)
    assert response.status_code == status, response.text
    assert detail in response.json()["detail"]
    assert (history(api, thread_id), read(api, f"/threads/{thread_id}")) == before
    assert wait(api, thread_id, input={"n": 1})["entries"] == ["e-0", "e-0"]


def test_an_update_of_an_unknown_thread_is_not_found(api: httpx.Client) -> None:
    assert api.post(f"/threads/{UNKNOWN}/state", json={"values": {}}).status_code == 404


def test_an_update_while_a_run_is_under_way_is_a_conflict(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id) as old:
        until(lambda: last_run(api, thread_id)["status"] == "running", "the run starts")
        response = api.post(f"/threads/{thread_id}/state", json={"values": {"n": 1}})
        assert response.status_code == 409
        assert "in-flight runs" in response.json()["detail"]
        assert not old.done()
    update(api, thread_id, values={"entries": ["after"]}, as_node="append")
    assert state_of(api, thread_id)["values"]["entries"][-1] == "after"


def test_an_update_before_a_run_that_is_to_come_later_is_a_conflict(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    later = {"assistant_id": "log", "input": {"n": 1}, "after_seconds": 600}
    api.post(f"/threads/{thread_id}/runs", json=later).raise_for_status()
    assert api.post(f"/threads/{thread_id}/state", json={"values": {"n": 1}}).status_code == 409


def test_updates_at_once_lose_none(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 0, "left": 0})
    with ThreadPoolExecutor(6) as pool:
        names = [f"u{number}" for number in range(6)]
        list(pool.map(lambda name: update(api, thread_id, values={"entries": [name]}, as_node="append"), names))
    assert sorted(state_of(api, thread_id)["values"]["entries"]) == names


def test_a_subgraphs_state_can_be_updated(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, "subgraph", input={"topic": "x", "ask": True})
    before = read(api, f"/threads/{thread_id}/state?subgraphs=true")
    [task] = before["tasks"]
    at = {"checkpoint_ns": task["state"]["checkpoint"]["checkpoint_ns"]}
    answer = update(api, thread_id, values={"notes": ["edit"]}, checkpoint=at)
    assert answer["checkpoint"]["checkpoint_ns"] == at["checkpoint_ns"]
    after = read(api, f"/threads/{thread_id}/state?subgraphs=true")
    assert after["checkpoint_id"] == before["checkpoint_id"]
    inner = after["tasks"][0]["state"]
    assert inner["checkpoint_id"] == answer["checkpoint_id"]
    assert inner["values"]["notes"] == ["outer", "inner_one", "edit"]
    states = api.post(f"/threads/{thread_id}/history", json={"checkpoint": at, "limit": 10}).json()
    assert states[0]["checkpoint_id"] == answer["checkpoint_id"]
    thread = read(api, f"/threads/{thread_id}")
    assert (thread["status"], thread["values"]["notes"]) == ("interrupted", ["outer"])
    assert "edit" in wait(api, thread_id, "subgraph", command={"resume": "yes"})["notes"]


# --- super-steps at creation ------------------------------------------------------------------------------------------


def test_a_thread_can_be_created_with_a_history(api: httpx.Client) -> None:
    thread = create(
        api,
        metadata={"graph_id": "log"},
        supersteps=[
            {"updates": [{"values": {"n": 1, "entries": ["a"]}, "as_node": "__input__"}]},
            {"updates": [{"values": {"left": 0}, "as_node": "begin"}]},
            {"updates": [{"values": {"entries": ["b"]}, "as_node": "append"}]},
        ],
    )
    assert thread["status"] == "idle"
    assert thread["values"]["entries"][-1] == "b"
    assert thread == read(api, f"/threads/{thread['thread_id']}")
    assert [state["metadata"]["source"] for state in history(api, thread["thread_id"])] == ["update", "update", "input"]
    assert wait(api, thread["thread_id"], input={"n": 1})["entries"][-1] == "e-0"


@pytest.mark.parametrize(
    ("metadata", "steps", "status", "detail"),
    [
        ({}, [{"updates": [{"values": {"n": 1}, "as_node": "append"}]}], 400, "no assigned graph ID"),
        ({"graph_id": "nope"}, [{"updates": [{"values": {}, "as_node": "append"}]}], 400, "Graph 'nope' not found"),
        ({"graph_id": "log"}, [{"updates": [{"values": {}, "as_node": "nope"}]}], 400, "Node nope does not exist"),
        ({"graph_id": "log"}, [{"updates": []}], 400, "No updates provided"),
        ({"graph_id": "log"}, [{}], 422, "updates"),
        ({"graph_id": "log"}, [{"updates": [{"values": {}}]}], 422, "as_node"),
    ],
    ids=str,
)
def test_a_thread_whose_supersteps_fail_is_not_created(
    metadata: Json, steps: list[Json], status: int, detail: str, api: httpx.Client
) -> None:
    thread_id = "22222222-2222-4333-8444-555555555555"
    response = api.post("/threads", json={"thread_id": thread_id, "metadata": metadata, "supersteps": steps})
    assert response.status_code == status, response.text
    assert detail in response.json()["detail"]
    assert api.get(f"/threads/{thread_id}").status_code == 404


def test_supersteps_are_not_applied_to_a_thread_that_was_there(api: httpx.Client) -> None:
    steps = [{"updates": [{"values": {"entries": ["a"]}, "as_node": "append"}]}]
    thread = create(api, metadata={"graph_id": "log"}, supersteps=steps)
    again = create(
        api,
        thread_id=thread["thread_id"],
        metadata={"graph_id": "log"},
        if_exists="do_nothing",
        supersteps=steps,
    )
    assert again == thread


# --- copy -------------------------------------------------------------------------------------------------------------


def test_a_copy_has_the_history_and_neither_runs_nor_values(api: httpx.Client) -> None:
    thread_id = create(api, metadata={"k": "v"})["thread_id"]
    wait(api, thread_id, input={"n": 2})
    response = api.post(f"/threads/{thread_id}/copy")
    assert response.status_code == 200, response.text
    copy = response.json()
    assert copy["thread_id"] != thread_id
    assert (copy["status"], copy["values"], copy["config"]) == ("idle", None, {})
    assert copy["metadata"] == read(api, f"/threads/{thread_id}")["metadata"]
    assert read(api, f"/threads/{copy['thread_id']}") == copy
    assert read(api, f"/threads/{copy['thread_id']}/runs") == []
    ours, theirs = history(api, thread_id), history(api, copy["thread_id"])
    assert [state["values"] for state in theirs] == [state["values"] for state in ours]
    assert [state["checkpoint_id"] for state in theirs] == [state["checkpoint_id"] for state in ours]


def test_a_copy_goes_its_own_way(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    copy = api.post(f"/threads/{thread_id}/copy").json()["thread_id"]
    assert wait(api, copy, input={"n": 1, "name": "copy"})["entries"] == ["e-0", "copy-0"]
    assert wait(api, thread_id, input={"n": 1, "name": "old"})["entries"] == ["e-0", "old-0"]


def test_a_copy_asks_what_its_original_asked(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1, "ask": "sure?"})
    copy = api.post(f"/threads/{thread_id}/copy").json()["thread_id"]
    assert wait(api, copy, command={"resume": "yes"})["answer"] == "yes"
    assert state_of(api, thread_id)["next"] == ["ask"]


@pytest.mark.parametrize(("thread_id", "status"), [(UNKNOWN, 409), ("abc", 400)])
def test_a_copy_of_nothing_is_refused(thread_id: str, status: int, api: httpx.Client) -> None:
    assert api.post(f"/threads/{thread_id}/copy").status_code == status


# --- prune ------------------------------------------------------------------------------------------------------------


def test_prune_deletes_threads(api: httpx.Client) -> None:
    ids = [create(api)["thread_id"] for _ in range(2)]
    response = api.post("/threads/prune", json={"thread_ids": [*ids, UNKNOWN, ids[0]]})
    assert (response.status_code, response.json()) == (200, {"pruned_count": 2})
    assert [api.get(f"/threads/{one}").status_code for one in ids] == [404, 404]


def test_prune_can_keep_the_latest_checkpoint(api: httpx.Client, thread_id: str) -> None:
    result = wait(api, thread_id, input={"n": 3})
    before = read(api, f"/threads/{thread_id}")
    assert len(history(api, thread_id)) > 1
    body = {"thread_ids": [thread_id, UNKNOWN], "strategy": "keep_latest"}
    assert api.post("/threads/prune", json=body).json() == {"pruned_count": 1}
    [state] = history(api, thread_id)
    assert state["values"] == result
    assert read(api, f"/threads/{thread_id}") == before
    assert wait(api, thread_id, input={"n": 1})["entries"] == ["e-0", "e-1", "e-2", "e-0"]


def test_prune_leaves_the_checkpoints_of_a_busy_thread(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id):
        until(lambda: last_run(api, thread_id)["status"] == "running", "the run starts")
        body = {"thread_ids": [thread_id], "strategy": "keep_latest"}
        assert api.post("/threads/prune", json=body).json() == {"pruned_count": 0}
    assert len(history(api, thread_id)) > 1


@pytest.mark.parametrize(
    "body",
    [{}, {"thread_ids": None}, {"thread_ids": ["abc"]}, {"thread_ids": [], "strategy": "x"}],
    ids=str,
)
def test_a_prune_that_says_nothing_sensible_is_refused(body: Json, api: httpx.Client) -> None:
    assert api.post("/threads/prune", json=body).status_code == 422
