"""Histories and states at a checkpoint, as the reference server shows them."""

import httpx
import pytest

from tests.contract.calls import UNKNOWN, Json, read, state_of, wait


def history(api: httpx.Client, thread_id: str, **body: object) -> list[Json]:
    response = api.post(f"/threads/{thread_id}/history", json={"limit": 100, **body})
    assert response.status_code == 200, response.text
    states: list[Json] = response.json()
    return states


def test_the_history_is_listed_newest_first_and_begins_with_the_state(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 2}, metadata={"turn": 1})
    states = history(api, thread_id)
    assert states[0] == state_of(api, thread_id)
    assert [state["metadata"]["step"] for state in states] == [3, 2, 1, 0, -1]
    assert [state["values"].get("entries", []) for state in states] == [["e-0", "e-1"], ["e-0"], [], [], []]
    assert [state["parent_checkpoint_id"] for state in states[:-1]] == [state["checkpoint_id"] for state in states[1:]]
    assert read(api, f"/threads/{thread_id}/history?limit=2") == states[:2]


def test_the_history_before_a_checkpoint_is_listed_however_it_is_named(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 2})
    states = history(api, thread_id)
    before = states[1]["checkpoint_id"]
    assert history(api, thread_id, before=before) == states[2:]
    assert history(api, thread_id, before={"checkpoint_id": before}) == states[2:]
    assert history(api, thread_id, before={"configurable": {"checkpoint_id": before}}) == states[2:]
    assert read(api, f"/threads/{thread_id}/history?limit=100&before={before}") == states[2:]
    assert read(api, f"/threads/{thread_id}/history?limit=100&before=abc") == states


def test_the_history_is_filtered_by_metadata(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1}, metadata={"turn": 1})
    wait(api, thread_id, input={"n": 1}, metadata={"turn": 2})
    turns = {state["metadata"]["turn"] for state in history(api, thread_id, metadata={"turn": 2})}
    assert turns == {2}
    assert history(api, thread_id, metadata={"turn": 3}) == []


def test_a_thread_without_runs_has_no_history_and_a_limit_must_be_a_number(api: httpx.Client, thread_id: str) -> None:
    assert history(api, thread_id) == []
    assert read(api, f"/threads/{thread_id}/history?limit=0") == []
    assert read(api, f"/threads/{thread_id}/history?limit=-1") == []
    assert read(api, f"/threads/{thread_id}/history?limit=1001") == []
    for limit in (0, 1001):
        assert api.post(f"/threads/{thread_id}/history", json={"limit": limit}).status_code == 422
    response = api.get(f"/threads/{thread_id}/history?limit=x")
    assert (response.status_code, response.json()) == (422, {"detail": "Invalid limit x"})
    assert api.get(f"/threads/{UNKNOWN}/history").status_code == 404


def test_a_history_is_one_state_long_unless_more_are_asked_for(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 2})
    assert read(api, f"/threads/{thread_id}/history") == [state_of(api, thread_id)]
    assert api.post(f"/threads/{thread_id}/history", json={}).json() == [state_of(api, thread_id)]


def test_the_state_at_a_checkpoint_is_the_one_in_the_history(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 2})
    older = history(api, thread_id)[1]
    at = older["checkpoint_id"]
    assert read(api, f"/threads/{thread_id}/state/{at}") == older
    response = api.post(f"/threads/{thread_id}/state/checkpoint", json={"checkpoint": older["checkpoint"]})
    assert response.json() == older


def test_the_state_at_an_unknown_checkpoint_is_empty(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    state = read(api, f"/threads/{thread_id}/state/{UNKNOWN}")
    assert (state["values"], state["next"], state["created_at"]) == ({}, [], None)
    assert state["checkpoint"] == {"checkpoint_id": UNKNOWN, "thread_id": thread_id}


@pytest.mark.parametrize(
    ("select", "keys"),
    [
        (["values"], None),
        (["values.entries", "next"], {"entries"}),
        (["values.entries", "values.nothing"], {"entries"}),
        (["values", "values.entries"], None),
        (["checkpoint", "metadata", "created_at", "tasks", "interrupts", "parent_checkpoint"], None),
    ],
    ids=str,
)
def test_of_a_state_what_is_selected_is_shown(
    select: list[str], keys: set[str] | None, api: httpx.Client, thread_id: str
) -> None:
    wait(api, thread_id, input={"n": 1})
    whole = state_of(api, thread_id)
    expected = {name: whole[name] for name in (one.partition(".")[0] for one in select)}
    if keys is not None:
        expected["values"] = {name: whole["values"][name] for name in keys}
    by = {"select": select}
    answers = [
        api.get(f"/threads/{thread_id}/state", params=by).json(),
        api.get(f"/threads/{thread_id}/state/{whole['checkpoint_id']}", params=by).json(),
        api.post(f"/threads/{thread_id}/state/checkpoint", json={"checkpoint": whole["checkpoint"], **by}).json(),
        history(api, thread_id, **by)[0],
        api.get(f"/threads/{thread_id}/history", params=by).json()[0],
    ]
    assert answers == [expected] * 5


@pytest.mark.parametrize("field", ["value", "valuesx", "run_id", ""])
def test_a_field_that_no_state_has_is_refused(field: str, api: httpx.Client, thread_id: str) -> None:
    at = {"checkpoint": {"checkpoint_id": UNKNOWN}, "select": [field]}
    for answer in (
        api.get(f"/threads/{thread_id}/state", params={"select": field}),
        api.get(f"/threads/{thread_id}/state/{UNKNOWN}", params={"select": ["values", field]}),
        api.post(f"/threads/{thread_id}/state/checkpoint", json=at),
        api.post(f"/threads/{thread_id}/history", json={"select": [field]}),
        api.get(f"/threads/{thread_id}/history", params={"select": field}),
    ):
        assert answer.status_code == 422
        assert repr(field) in answer.json()["detail"]
