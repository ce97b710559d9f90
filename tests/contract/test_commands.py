"""POST /threads/{id}/commands: the runs that it starts, the interrupts that it answers, what it refuses."""

import uuid
from typing import Any

import httpx
import pytest

from tests.contract.calls import LOG_ASSISTANT, UNKNOWN, Json, Seen, busy, last_run, read, state_of, until, wait


def command(api: httpx.Client, thread_id: str, method: str, **params: Any) -> Json:
    """The envelope that answers a command."""
    response = api.post(f"/threads/{thread_id}/commands", json={"id": 7, "method": method, "params": params})
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    assert answer["id"] == 7
    return answer


def start(api: httpx.Client, thread_id: str, assistant_id: str = "log", **params: Any) -> str:
    """The id of the run that a `run.start` has begun."""
    answer = command(api, thread_id, "run.start", assistant_id=assistant_id, **params)
    assert answer["type"] == "success", answer
    assert set(answer) == {"type", "id", "result", "meta"}
    return str(answer["result"]["run_id"])


def refused(api: httpx.Client, thread_id: str, method: str, **params: Any) -> tuple[str, str]:
    """Code and message of a refusal."""
    answer = command(api, thread_id, method, **params)
    assert set(answer) == {"type", "id", "error", "message"}
    assert answer["type"] == "error"
    return answer["error"], answer["message"]


def ended(api: httpx.Client, thread_id: str, run_id: str) -> Json:
    """The run, once it has ended."""
    path = f"/threads/{thread_id}/runs/{run_id}"
    until(lambda: read(api, path)["status"] not in ("pending", "running"), "the run ends")
    run: Json = read(api, path)
    return run


def interrupt_of(api: httpx.Client, thread_id: str) -> str:
    """The id of the one interrupt at which a thread stands."""
    (task,) = read(api, f"/threads/{thread_id}")["interrupts"].values()
    return str(task[0]["id"])


def test_a_run_is_started_in_the_background_with_what_it_was_given(api: httpx.Client, thread_id: str) -> None:
    run_id = start(
        api,
        thread_id,
        LOG_ASSISTANT,
        input={"n": 2},
        config={"configurable": {"a": 1}, "tags": ["t"]},
        metadata={"m": 1},
        multitaskStrategy="reject",
    )
    run = ended(api, thread_id, run_id)
    assert run["status"] == "success"
    assert run["metadata"]["m"] == 1
    assert run["multitask_strategy"] == "reject"
    seen = state_of(api, thread_id)["values"]["seen"]
    assert (seen["configurable"]["a"], seen["tags"], seen["metadata"]["m"]) == (1, ["t"], 1)


def test_a_run_makes_its_thread(api: httpx.Client) -> None:
    thread_id = str(uuid.uuid4())
    ended(api, thread_id, start(api, thread_id, input={"n": 1}))
    assert read(api, f"/threads/{thread_id}")["status"] == "idle"


def test_an_input_answers_the_interrupt_at_which_the_thread_stands(api: httpx.Client, thread_id: str) -> None:
    ended(api, thread_id, start(api, thread_id, "human", input={"question": "q"}))
    run_id = start(api, thread_id, "human", input="yes")
    assert ended(api, thread_id, run_id)["kwargs"]["command"] == {"resume": "yes"}
    assert state_of(api, thread_id)["values"] == {"question": "q", "answer": "yes", "done": True}


def test_an_input_begins_anew_on_a_thread_that_was_cancelled(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id, entries=30):
        api.post(f"/threads/{thread_id}/runs/{last_run(api, thread_id)['run_id']}/cancel", params={"wait": "true"})
    run = ended(api, thread_id, start(api, thread_id, input={"n": 1, "name": "new", "seconds": 0}))
    assert run["kwargs"]["command"] is None
    assert state_of(api, thread_id)["values"]["entries"][-1] == "new-0"


def test_a_response_goes_on_where_the_run_has_stopped(api: httpx.Client, thread_id: str) -> None:
    ended(api, thread_id, start(api, thread_id, "human", input={"question": "q"}))
    answer = command(
        api,
        thread_id,
        "input.respond",
        interrupt_id=interrupt_of(api, thread_id),
        namespace=[],
        response={"sure": True},
        metadata={"m": 2},
        config={"tags": ["again"]},
    )
    assert answer == {"type": "success", "id": 7, "result": {}, "meta": {"applied_through_seq": 0}}
    run = ended(api, thread_id, last_run(api, thread_id)["run_id"])
    assert (run["metadata"]["m"], run["kwargs"]["config"]["tags"]) == (2, ["again"])
    assert state_of(api, thread_id)["values"]["answer"] == {"sure": True}


def test_a_response_may_bring_an_update_and_a_way(api: httpx.Client, thread_id: str) -> None:
    ended(api, thread_id, start(api, thread_id, "log", input={"n": 1, "ask": "sure?"}))
    response = {"interrupt_id": interrupt_of(api, thread_id), "response": "yes"}
    command(api, thread_id, "input.respond", **response, update={"name": "updated"}, goto="begin")
    ended(api, thread_id, last_run(api, thread_id)["run_id"])
    values = state_of(api, thread_id)["values"]
    assert values["answer"] == "yes"
    assert values["entries"][0] == "e-0"
    assert "updated-0" in values["entries"]


def test_responses_come_in_a_list(api: httpx.Client, thread_id: str) -> None:
    ended(api, thread_id, start(api, thread_id, "subgraph", input={"topic": "t", "ask": True}))
    entry = {"interrupt_id": interrupt_of(api, thread_id), "namespace": ["child:x"], "response": "yes"}
    assert command(api, thread_id, "input.respond", responses=[entry])["type"] == "success"
    ended(api, thread_id, last_run(api, thread_id)["run_id"])
    assert "asked:yes" in state_of(api, thread_id)["values"]["notes"]


def test_an_interrupt_is_answered_once(api: httpx.Client, thread_id: str) -> None:
    ended(api, thread_id, start(api, thread_id, "human", input={"question": "q"}))
    response = {"interrupt_id": interrupt_of(api, thread_id), "response": "yes"}
    command(api, thread_id, "input.respond", **response)
    ended(api, thread_id, last_run(api, thread_id)["run_id"])
    runs = len(read(api, f"/threads/{thread_id}/runs"))
    assert refused(api, thread_id, "input.respond", **response)[0] == "no_such_interrupt"
    assert len(read(api, f"/threads/{thread_id}/runs")) == runs


def test_a_run_branches_off_the_checkpoint_that_its_config_names(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    first = state_of(api, thread_id)["checkpoint_id"]
    wait(api, thread_id, input={"n": 1, "name": "dropped"})
    config = {"configurable": {"checkpoint_id": first}}
    ended(api, thread_id, start(api, thread_id, input={"n": 1, "name": "kept"}, config=config))
    assert state_of(api, thread_id)["values"]["entries"] == ["e-0", "kept-0"]


def test_the_same_idempotency_key_is_the_same_run(api: httpx.Client, thread_id: str) -> None:
    body = {"id": 1, "method": "run.start", "params": {"assistant_id": "log", "input": {"n": 1}}}
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    answers = [api.post(f"/threads/{thread_id}/commands", json=body, headers=headers).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(read(api, f"/threads/{thread_id}/runs")) == 1


def test_a_busy_thread_queues_a_run_or_refuses_it_as_it_is_asked_to(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id, entries=3):
        code, message = refused(
            api, thread_id, "run.start", assistant_id="log", input={"n": 1}, multitaskStrategy="reject"
        )
        assert (code, "already running" in message) == ("unknown_error", True)
        run_id = start(api, thread_id, input={"n": 1, "name": "queued", "seconds": 0})
        assert read(api, f"/threads/{thread_id}/runs/{run_id}")["status"] == "pending"
    ended(api, thread_id, run_id)
    assert state_of(api, thread_id)["values"]["entries"] == ["old-0", "old-1", "old-2", "queued-0"]


REFUSALS: list[tuple[str, Json, str, str]] = [
    ("nope", {}, "unknown_command", "nope"),
    ("agent.getTree", {}, "not_supported", "agent.getTree"),
    ("input.inject", {}, "not_supported", "input.inject"),
    ("state.get", {"namespace": []}, "not_supported", "state.get"),
    ("state.fork", {}, "not_supported", "state.fork"),
    ("subscription.subscribe", {"channels": ["values"]}, "not_supported", "subscription.subscribe"),
    ("run.start", {}, "invalid_argument", "assistant_id"),
    ("run.start", {"assistant_id": 1}, "invalid_argument", "assistant_id"),
    ("run.start", {"assistant_id": "nope"}, "invalid_argument", "nope"),
    ("run.start", {"assistant_id": UNKNOWN}, "invalid_argument", "not found"),
    ("run.start", {"assistant_id": "log", "multitaskStrategy": "zz"}, "invalid_argument", "multitask_strategy"),
    ("run.start", {"assistant_id": "log", "config": "x"}, "invalid_argument", "config"),
    ("run.start", {"assistant_id": "log", "metadata": []}, "invalid_argument", "metadata"),
    (
        "run.start",
        {"assistant_id": "log", "config": {"configurable": {"checkpoint_id": "zz"}}},
        "invalid_argument",
        "checkpoint_id",
    ),
    ("run.start", {"assistant_id": "log", "langsmith_tracer": {}}, "not_supported", "langsmith_tracer"),
    ("input.respond", {}, "invalid_argument", "interrupt_id"),
    ("input.respond", {"interrupt_id": 1, "response": 1}, "invalid_argument", "interrupt_id"),
    ("input.respond", {"interrupt_id": "a", "namespace": "x"}, "invalid_argument", "namespace"),
    ("input.respond", {"interrupt_id": "a", "namespace": [1]}, "invalid_argument", "namespace"),
    ("input.respond", {"responses": []}, "invalid_argument", "response"),
    ("input.respond", {"responses": {}}, "invalid_argument", "response"),
    ("input.respond", {"responses": [1]}, "invalid_argument", "interrupt_id"),
    ("input.respond", {"interrupt_id": "a", "response": 1}, "no_such_interrupt", "'a'"),
    ("input.respond", {"responses": [{"interrupt_id": "b"}]}, "no_such_interrupt", "'b'"),
]


@pytest.mark.parametrize(("method", "params", "code", "word"), REFUSALS)
def test_a_command_that_is_refused_says_why_and_changes_nothing(
    method: str, params: Json, code: str, word: str, api: httpx.Client, thread_id: str, seen: Seen
) -> None:
    wait(api, thread_id, "human", input={"question": "q"})
    before = seen(thread_id)
    found, message = refused(api, thread_id, method, **params)
    assert (found, word in message) == (code, True), message
    assert seen(thread_id) == before


@pytest.mark.parametrize("body", [[], {"id": "x", "method": "run.start"}, {"id": 1}, {"id": True, "method": "a"}, {}])
def test_what_is_no_command_is_400_in_an_envelope(body: Any, api: httpx.Client, thread_id: str) -> None:
    response = api.post(f"/threads/{thread_id}/commands", json=body)
    named = body.get("id") if isinstance(body, dict) else None
    assert response.status_code == 400
    assert {**response.json(), "message": ""} == {
        "type": "error",
        "id": named,
        "error": "invalid_argument",
        "message": "",
    }


def test_an_interrupt_of_an_unknown_thread_is_not_there(api: httpx.Client) -> None:
    body = {"id": 1, "method": "input.respond", "params": {"interrupt_id": "a", "response": 1}}
    response = api.post(f"/threads/{UNKNOWN}/commands", json=body)
    assert (response.status_code, list(response.json())) == (404, ["detail"])


def test_a_thread_is_named_by_a_uuid(api: httpx.Client) -> None:
    body = {"id": 1, "method": "run.start", "params": {"assistant_id": "log"}}
    assert api.post("/threads/abc/commands", json=body).status_code == 422
