"""Each field of the body of POST /threads/{id}/runs/wait, and what it does."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.contract.calls import LOG_ASSISTANT, UNKNOWN, Json, Seen, busy, last_run, read, state_of, until, wait

STREAM_MODES: list[Any] = [
    "values",
    "updates",
    "messages",
    "messages-tuple",
    "debug",
    "events",
    "tasks",
    "checkpoints",
    "custom",
    ["values", "updates"],
    [],
]

OPTIONAL = [
    "checkpoint",
    "checkpoint_id",
    "command",
    "config",
    "context",
    "durability",
    "if_not_exists",
    "interrupt_after",
    "interrupt_before",
    "metadata",
    "multitask_strategy",
    "on_completion",
    "on_disconnect",
    "stream",
    "stream_mode",
    "stream_subgraphs",
    "webhook",
    "after_seconds",
]


def post(api: httpx.Client, thread_id: str, **fields: Any) -> httpx.Response:
    """The answer to a run of `log` with one entry, waited for."""
    body = {"assistant_id": "log", "input": {"n": 1}, **fields}
    return api.post(f"/threads/{thread_id}/runs/wait", json=body)


def asked(api: httpx.Client, thread_id: str, **fields: Any) -> Json:
    """The result of a run that ends with a question."""
    return wait(api, thread_id, input={"n": 1, "ask": "sure?"}, **fields)


# --- the answer -------------------------------------------------------------------------------------------------------


def test_the_answer_names_the_run_and_where_to_join_it(api: httpx.Client, thread_id: str) -> None:
    response = post(api, thread_id)
    run_id = last_run(api, thread_id)["run_id"]
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/json")
    assert response.headers["content-location"].endswith(f"/threads/{thread_id}/runs/{run_id}")
    assert response.headers["location"].endswith(f"/threads/{thread_id}/runs/{run_id}/join")
    assert response.json()["entries"] == ["e-0"]


@pytest.mark.parametrize("field", OPTIONAL)
def test_null_for_an_optional_field_is_as_if_it_were_absent(field: str, api: httpx.Client, thread_id: str) -> None:
    response = post(api, thread_id, **{field: None})
    assert response.status_code == 200, response.text
    assert response.json()["entries"] == ["e-0"]
    assert read(api, f"/threads/{thread_id}")["status"] == "idle"


@pytest.mark.parametrize(
    "kind", ["ValueError", "TypeError", "AttributeError", "RuntimeError", "RecursionError", "TimeoutError"]
)
def test_the_message_of_a_common_error_is_shown(kind: str, api: httpx.Client, thread_id: str) -> None:
    error = {"error": kind, "message": f"boom {kind}"}
    assert wait(api, thread_id, "fail", input={"kind": kind}) == {"__error__": error}
    thread = read(api, f"/threads/{thread_id}")
    assert thread["status"] == "error"
    assert thread["error"] == error
    assert last_run(api, thread_id)["status"] == "error"


@pytest.mark.parametrize("kind", ["CustomError", "OSError", "ZeroDivisionError"])
def test_the_message_of_any_other_error_is_hidden(kind: str, api: httpx.Client, thread_id: str) -> None:
    error = {"error": kind, "message": "An internal error occurred"}
    assert wait(api, thread_id, "fail", input={"kind": kind}) == {"__error__": error}
    assert read(api, f"/threads/{thread_id}")["error"] == error


# --- assistant_id -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("assistant_id", ["log", LOG_ASSISTANT, LOG_ASSISTANT.upper()])
def test_assistant_id_is_a_graph_name_or_a_uuid(assistant_id: str, api: httpx.Client, thread_id: str) -> None:
    assert wait(api, thread_id, assistant_id, input={"n": 1})["entries"] == ["e-0"]
    assert last_run(api, thread_id)["assistant_id"] == LOG_ASSISTANT
    metadata = read(api, f"/threads/{thread_id}")["metadata"]
    assert metadata == {"graph_id": "log", "assistant_id": LOG_ASSISTANT}


def test_another_assistant_may_take_over_a_thread(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, "fail", input={})
    assert wait(api, thread_id, "log", input={"n": 1})["entries"] == ["first", "boom", "e-0"]
    assert read(api, f"/threads/{thread_id}")["metadata"]["graph_id"] == "log"


# --- input ------------------------------------------------------------------------------------------------------------


def test_input_reaches_the_graph_and_its_unknown_keys_do_not(api: httpx.Client, thread_id: str) -> None:
    result = wait(api, thread_id, input={"n": 2, "name": "given", "nonsense": 1})
    assert result["entries"] == ["given-0", "given-1"]
    assert "nonsense" not in result
    assert state_of(api, thread_id)["values"] == result


def test_a_second_input_continues_the_conversation(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    assert wait(api, thread_id, input={"n": 1, "name": "b"})["entries"] == ["e-0", "b-0"]


@pytest.mark.parametrize("fields", [{}, {"input": None}], ids=["absent", "null"])
def test_no_input_on_a_fresh_thread_fails_the_run(fields: Json, api: httpx.Client, thread_id: str) -> None:
    error = {"error": "EmptyInputError", "message": "Received no input for __start__"}
    assert wait(api, thread_id, **fields) == {"__error__": error}
    assert read(api, f"/threads/{thread_id}")["status"] == "error"


def test_no_input_on_a_finished_thread_gives_the_same_values_and_no_checkpoint(
    api: httpx.Client, thread_id: str
) -> None:
    first = wait(api, thread_id, input={"n": 1})
    before = state_of(api, thread_id)
    assert wait(api, thread_id, input=None) == first
    assert state_of(api, thread_id) == before
    assert len(read(api, f"/threads/{thread_id}/runs")) == 2


def test_no_input_on_a_failed_thread_retries_only_what_failed(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, "fail", input={"kind": "ValueError"})
    assert wait(api, thread_id, "fail", input=None)["__error__"]["error"] == "ValueError"
    state = state_of(api, thread_id)
    assert state["values"]["entries"] == ["first"]
    assert state["next"] == ["boom"]


def test_no_input_on_an_interrupted_thread_repeats_the_question(api: httpx.Client, thread_id: str) -> None:
    first = asked(api, thread_id)
    again = wait(api, thread_id, input=None)
    assert again["__interrupt__"] == first["__interrupt__"]
    assert again["entries"] == ["e-0"]


# --- config and context -----------------------------------------------------------------------------------------------


def test_config_reaches_the_graph(api: httpx.Client, thread_id: str) -> None:
    config = {"configurable": {"colour": "red"}, "tags": ["t"], "metadata": {"from": "config"}, "recursion_limit": 9}
    seen = wait(api, thread_id, input={"n": 1}, config=config)["seen"]
    assert seen["configurable"]["colour"] == "red"
    assert seen["tags"] == ["t"]
    assert seen["metadata"]["from"] == "config"
    assert seen["recursion_limit"] == 9


def test_the_recursion_limit_ends_a_run_that_goes_on(api: httpx.Client, thread_id: str) -> None:
    error = wait(api, thread_id, input={"n": 9}, config={"recursion_limit": 4})["__error__"]
    assert error["error"] == "GraphRecursionError"
    assert "Recursion limit of 4" in error["message"]


def test_the_server_sets_the_ids_in_configurable(api: httpx.Client, thread_id: str) -> None:
    ids = ["thread_id", "run_id", "graph_id", "assistant_id"]
    configurable = dict.fromkeys(ids, UNKNOWN)
    seen = wait(api, thread_id, input={"n": 1}, config={"configurable": configurable})["seen"]["configurable"]
    assert [seen[key] for key in ids] == [thread_id, last_run(api, thread_id)["run_id"], "log", LOG_ASSISTANT]


def test_config_is_of_one_run_only(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1}, config={"configurable": {"colour": "red"}, "tags": ["t"]})
    seen = wait(api, thread_id, input={"n": 1})["seen"]
    assert "colour" not in seen["configurable"]
    assert not seen["tags"]


def test_a_checkpoint_id_in_configurable_names_a_checkpoint(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    first = state_of(api, thread_id)["checkpoint_id"]
    wait(api, thread_id, input={"n": 1, "name": "b"})
    config = {"configurable": {"checkpoint_id": first}}
    assert wait(api, thread_id, input={"n": 1, "name": "c"}, config=config)["entries"] == ["e-0", "c-0"]
    config = {"configurable": {"checkpoint_id": UNKNOWN}}
    assert wait(api, thread_id, input={"n": 1}, config=config)["__error__"]["error"] == "EmptyInputError"


def test_context_reaches_the_graph_and_is_mirrored_into_configurable(api: httpx.Client, thread_id: str) -> None:
    seen = wait(api, thread_id, input={"n": 1}, context={"user_name": "ann", "nonsense": 1})["seen"]
    assert seen["context"] == {"user_name": "ann", "tone": "plain"}
    assert seen["configurable"]["user_name"] == "ann"


def test_without_context_configurable_acts_as_context(api: httpx.Client, thread_id: str) -> None:
    config = {"configurable": {"user_name": "bob", "colour": "red"}}
    assert wait(api, thread_id, input={"n": 1}, config=config)["seen"]["context"]["user_name"] == "bob"


@pytest.mark.parametrize(
    ("context", "configurable"), [({}, {"user_name": "b"}), ({"user_name": "b"}, {})], ids=["configurable", "context"]
)
def test_an_empty_context_and_an_empty_configurable_contradict_nothing(
    context: Json, configurable: Json, api: httpx.Client, thread_id: str
) -> None:
    response = post(api, thread_id, context=context, config={"configurable": configurable})
    assert response.status_code == 200, response.text
    assert response.json()["entries"] == ["e-0"]


# --- checkpoint -------------------------------------------------------------------------------------------------------


def at(checkpoint_id: str, shape: str) -> Json:
    """The fields that start a run at a checkpoint."""
    if shape == "checkpoint_id":
        return {"checkpoint_id": checkpoint_id}
    return {"checkpoint": {"checkpoint_id": checkpoint_id, "checkpoint_ns": ""}}


@pytest.mark.parametrize("shape", ["checkpoint_id", "checkpoint"])
def test_a_checkpoint_with_input_starts_a_branch(shape: str, api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    base = state_of(api, thread_id)["checkpoint_id"]
    wait(api, thread_id, input={"n": 1, "name": "b"})
    branch = wait(api, thread_id, input={"n": 1, "name": "c"}, **at(base, shape))
    assert branch["entries"] == ["e-0", "c-0"]
    assert state_of(api, thread_id)["values"]["entries"] == ["e-0", "c-0"]
    assert wait(api, thread_id, input={"n": 1, "name": "d"})["entries"] == ["e-0", "c-0", "d-0"]


@pytest.mark.parametrize("shape", ["checkpoint_id", "checkpoint"])
def test_a_checkpoint_without_input_replays_what_came_after_it(shape: str, api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    old = state_of(api, thread_id)
    before_the_last_step = old["parent_checkpoint_id"]
    wait(api, thread_id, input={"n": 1, "name": "b"})

    replayed = wait(api, thread_id, input=None, **at(before_the_last_step, shape))

    assert replayed["entries"] == ["e-0"]
    state = state_of(api, thread_id)
    assert state["values"]["entries"] == ["e-0"]
    assert state["checkpoint_id"] > old["checkpoint_id"]
    assert state["parent_checkpoint_id"] != before_the_last_step, "the replay starts with a fork of its own"
    assert state["metadata"]["step"] == old["metadata"]["step"] + 1


def test_an_empty_checkpoint_is_the_latest(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    for checkpoint in ({}, {"checkpoint_ns": ""}):
        assert wait(api, thread_id, input={"n": 1, "name": "b"}, checkpoint=checkpoint)["entries"][-1] == "b-0"
    assert state_of(api, thread_id)["values"]["entries"] == ["e-0", "b-0", "b-0"]


# --- stream, stream_mode, stream_subgraphs ----------------------------------------------------------------------------


def test_stream_asks_for_the_events_and_false_is_the_default(api: httpx.Client, thread_id: str) -> None:
    streamed = post(api, thread_id, stream=True)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text.startswith("event: metadata")
    assert post(api, thread_id, stream=False).json()["entries"] == ["e-0", "e-0"]


@pytest.mark.parametrize("mode", STREAM_MODES, ids=str)
def test_the_result_is_the_same_under_every_stream_mode(mode: Any, api: httpx.Client, thread_id: str) -> None:
    response = post(api, thread_id, stream_mode=mode)
    assert response.status_code == 200, response.text
    assert response.json()["entries"] == ["e-0"]


@pytest.mark.parametrize("mode", ["values", [], None], ids=str)
def test_a_question_comes_with_the_values(mode: Any, api: httpx.Client, thread_id: str) -> None:
    result = asked(api, thread_id, stream_mode=mode)
    assert result["entries"] == ["e-0"]
    [interrupt] = result["__interrupt__"]
    assert set(interrupt) == {"value", "id", "response_schema"}
    assert interrupt["value"] == {"question": "sure?"}
    assert interrupt["response_schema"] is None


@pytest.mark.parametrize("mode", ["updates", ["updates"]], ids=str)
def test_under_updates_a_question_comes_alone(mode: Any, api: httpx.Client, thread_id: str) -> None:
    result = asked(api, thread_id, stream_mode=mode)
    assert set(result) == {"__interrupt__"}
    assert [interrupt["value"] for interrupt in result["__interrupt__"]] == [{"question": "sure?"}]


@pytest.mark.parametrize("subgraphs", [True, False])
def test_stream_subgraphs_does_not_change_the_result(subgraphs: bool, api: httpx.Client, thread_id: str) -> None:
    assert post(api, thread_id, stream_subgraphs=subgraphs).json()["entries"] == ["e-0"]
    assert last_run(api, thread_id)["kwargs"]["subgraphs"] is subgraphs


# --- on_disconnect, on_completion -------------------------------------------------------------------------------------


def hang_up(api: httpx.Client, thread_id: str, **fields: Any) -> None:
    """Start a run of several seconds and go away while it is under way."""
    body = {"assistant_id": "log", "input": {"n": 16, "seconds": 0.25}, **fields}
    with pytest.raises(httpx.ReadTimeout):
        api.post(f"/threads/{thread_id}/runs/wait", json=body, timeout=2).read()


def ended(api: httpx.Client, thread_id: str) -> str:
    """The status of a thread's last run, once it is a final one."""
    until(lambda: last_run(api, thread_id)["status"] not in {"pending", "running"}, "the run ends")
    return str(last_run(api, thread_id)["status"])


def test_on_disconnect_continue_keeps_the_run_of_a_caller_who_hangs_up(api: httpx.Client, thread_id: str) -> None:
    hang_up(api, thread_id, on_disconnect="continue")
    assert ended(api, thread_id) == "success"
    assert len(state_of(api, thread_id)["values"]["entries"]) == 16


@pytest.mark.parametrize("fields", [{"on_disconnect": "cancel"}, {}], ids=["given", "by default"])
def test_on_disconnect_cancel_ends_the_run_of_a_caller_who_hangs_up(
    fields: Json, api: httpx.Client, thread_id: str
) -> None:
    hang_up(api, thread_id, **fields)
    assert ended(api, thread_id) == "interrupted"
    assert read(api, f"/threads/{thread_id}")["status"] == "interrupted"
    state = state_of(api, thread_id)
    assert state["next"] == ["append"]
    assert len(state["values"]["entries"]) < 16


@pytest.mark.parametrize(("query", "status"), [("", "success"), ("0", "success"), ("1", "interrupted")])
def test_who_joins_a_run_cancels_it_by_hanging_up_only_if_asked_to(
    query: str, status: str, api: httpx.Client, thread_id: str
) -> None:
    given = {"input": {"n": 16, "seconds": 0.25}, "on_disconnect": "continue"}
    run_id = api.post(f"/threads/{thread_id}/runs", json={"assistant_id": "log", **given}).json()["run_id"]
    params = {"cancel_on_disconnect": query} if query else {}
    with pytest.raises(httpx.ReadTimeout):
        api.get(f"/threads/{thread_id}/runs/{run_id}/join", params=params, timeout=2).read()
    assert ended(api, thread_id) == status


@pytest.mark.parametrize("value", ["cancel", "continue"])
def test_on_disconnect_changes_nothing_for_a_caller_who_stays(value: str, api: httpx.Client, thread_id: str) -> None:
    assert post(api, thread_id, on_disconnect=value).json()["entries"] == ["e-0"]
    assert last_run(api, thread_id)["status"] == "success"


@pytest.mark.parametrize("value", ["delete", "keep"])
def test_on_completion_does_not_touch_a_thread_that_was_there(value: str, api: httpx.Client, thread_id: str) -> None:
    assert post(api, thread_id, on_completion=value).json()["entries"] == ["e-0"]
    assert read(api, f"/threads/{thread_id}")["status"] == "idle"
    assert state_of(api, thread_id)["values"]["entries"] == ["e-0"]


# --- multitask_strategy -----------------------------------------------------------------------------------------------


def test_reject_answers_409_and_leaves_the_other_run_alone(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id) as old:
        refused = post(api, thread_id, multitask_strategy="reject")
        assert refused.status_code == 409
        assert refused.json()["detail"].startswith("Thread is already running a task.")
        assert len(read(api, f"/threads/{thread_id}/runs")) == 1
    assert old.result()["entries"] == ["old-0", "old-1", "old-2", "old-3"]
    assert last_run(api, thread_id)["status"] == "success"


@pytest.mark.parametrize("fields", [{"multitask_strategy": "enqueue"}, {}], ids=["given", "by default"])
def test_enqueue_waits_for_its_turn(fields: Json, api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id) as old:
        new = wait(api, thread_id, input={"n": 1, "name": "new", "seconds": 0}, **fields)
    assert old.result()["entries"] == ["old-0", "old-1", "old-2", "old-3"]
    assert new["entries"] == ["old-0", "old-1", "old-2", "old-3", "new-0"]
    runs = read(api, f"/threads/{thread_id}/runs")
    assert [(run["status"], run["multitask_strategy"]) for run in runs] == [("success", "enqueue")] * 2


def test_ten_parallel_waits_lose_nothing(api: httpx.Client, thread_id: str) -> None:
    with ThreadPoolExecutor(max_workers=10) as pool:
        results = list(pool.map(lambda i: wait(api, thread_id, input={"n": 3, "name": f"w{i}"}), range(10)))
    entries = state_of(api, thread_id)["values"]["entries"]
    assert sorted(entries) == sorted(f"w{i}-{k}" for i in range(10) for k in range(3))
    assert sorted(len(result["entries"]) for result in results) == list(range(3, 31, 3))
    assert read(api, f"/threads/{thread_id}")["status"] == "idle"


def stolen(api: httpx.Client, thread_id: str, strategy: str) -> tuple[Json, Json, str]:
    """What the new run and the old one's waiter get when a run takes a busy thread, and the old run's id."""
    with busy(api, thread_id, entries=20) as old:
        until(lambda: "old-0" in (state_of(api, thread_id)["values"].get("entries") or []), "the old run has a step")
        victim = last_run(api, thread_id)["run_id"]
        given = {"n": 1, "name": "new", "seconds": 0}
        new = wait(api, thread_id, input=given, multitask_strategy=strategy)
    return new, old.result(), victim


def test_interrupt_starts_on_the_steps_that_the_other_run_made(api: httpx.Client, thread_id: str) -> None:
    new, old, victim = stolen(api, thread_id, "interrupt")
    assert new["entries"][-1] == "new-0"
    kept = new["entries"][:-1]
    assert kept == [f"old-{i}" for i in range(len(kept))]
    assert 1 <= len(kept) < 20
    assert len(old["entries"]) < 20, "the old waiter gets what there was"
    assert read(api, f"/threads/{thread_id}/runs/{victim}")["status"] == "interrupted"
    assert last_run(api, thread_id)["status"] == "success"
    assert read(api, f"/threads/{thread_id}")["status"] == "idle"


def test_rollback_starts_as_if_the_other_run_had_never_been(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1, "name": "before"})
    new, old, victim = stolen(api, thread_id, "rollback")
    assert new["entries"] == ["before-0", "new-0"]
    assert len(old["entries"]) < 20, "the old waiter gets what there was"
    assert api.get(f"/threads/{thread_id}/runs/{victim}").status_code == 404
    assert [run["status"] for run in read(api, f"/threads/{thread_id}/runs")] == ["success", "success"]
    assert state_of(api, thread_id)["values"]["entries"] == ["before-0", "new-0"]


@pytest.mark.parametrize("strategy", ["reject", "enqueue", "interrupt", "rollback"])
def test_every_strategy_runs_at_once_on_a_free_thread(strategy: str, api: httpx.Client, thread_id: str) -> None:
    assert post(api, thread_id, multitask_strategy=strategy).json()["entries"] == ["e-0"]
    assert last_run(api, thread_id)["multitask_strategy"] == strategy


# --- command ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["yes", 0, False, "", [], {"a": 1}], ids=repr)
def test_resume_answers_the_question(answer: Any, api: httpx.Client, thread_id: str) -> None:
    asked(api, thread_id)
    result = wait(api, thread_id, command={"resume": answer})
    assert result["answer"] == answer
    assert type(result["answer"]) is type(answer)
    assert "__interrupt__" not in result
    thread = read(api, f"/threads/{thread_id}")
    assert (thread["status"], thread["interrupts"]) == ("idle", {})


def test_resume_may_name_the_interrupt(api: httpx.Client, thread_id: str) -> None:
    [interrupt] = asked(api, thread_id)["__interrupt__"]
    ignored = wait(api, thread_id, command={"resume": {"0" * 32: "nobody"}})
    assert ignored["__interrupt__"] == [interrupt]
    assert wait(api, thread_id, command={"resume": {interrupt["id"]: "named"}})["answer"] == "named"


@pytest.mark.parametrize("resume", [{"0" * 32: "nobody"}, {}], ids=str)
def test_a_strict_resume_that_answers_no_waiting_interrupt_fails_and_the_question_stands(
    resume: Json, api: httpx.Client, thread_id: str
) -> None:
    [interrupt] = asked(api, thread_id)["__interrupt__"]
    before, thread = state_of(api, thread_id), read(api, f"/threads/{thread_id}")
    failed = wait(api, thread_id, command={"resume": resume}, strict_resume=True)
    assert failed["__error__"]["error"] == "UnknownInterruptError"
    assert last_run(api, thread_id)["status"] == "error"
    assert state_of(api, thread_id) == before
    shown = ("status", "interrupts", "values", "error")
    assert [read(api, f"/threads/{thread_id}").get(name) for name in shown] == [thread.get(name) for name in shown]
    answered = wait(api, thread_id, command={"resume": {interrupt["id"]: "named"}}, strict_resume=True)
    assert answered["answer"] == "named"
    assert read(api, "/info")["flags"]["strict_resume"] is True


def test_resume_with_nothing_to_resume_changes_nothing(api: httpx.Client, thread_id: str) -> None:
    first = wait(api, thread_id, input={"n": 1})
    assert wait(api, thread_id, command={"resume": "what?"}) == first


@pytest.mark.parametrize("update", [{"entries": ["u"], "name": "z"}, [["entries", ["u"]], ["name", "z"]]], ids=str)
def test_update_changes_the_state(update: Any, api: httpx.Client, thread_id: str, seen: Seen) -> None:
    wait(api, thread_id, input={"n": 1})
    result = wait(api, thread_id, command={"update": update})
    assert (result["entries"], result["name"]) == (["e-0", "u"], "z")
    assert seen(thread_id)["state"]["values"] == result
    assert seen(thread_id)["thread"]["values"] == result
    assert wait(api, thread_id, input={"n": 1})["entries"] == ["e-0", "u", "z-0"]


def test_resume_and_update_go_together(api: httpx.Client, thread_id: str) -> None:
    asked(api, thread_id)
    result = wait(api, thread_id, command={"resume": "yes", "update": {"name": "z"}})
    assert (result["answer"], result["name"]) == ("yes", "z")


@pytest.mark.parametrize("goto", ["append", ["append"]], ids=str)
def test_goto_runs_the_node_it_names(goto: Any, api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    result = wait(api, thread_id, command={"goto": goto, "update": {"left": 1, "name": "again"}})
    assert result["entries"] == ["e-0", "again-0"]


@pytest.mark.parametrize("many", [False, True], ids=["one", "a list"])
def test_goto_may_send_a_node_its_own_input(many: bool, api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    send = {"node": "append", "input": {"left": 1, "n": 2, "name": "sent"}}
    assert wait(api, thread_id, command={"goto": [send] if many else send})["entries"] == ["e-0", "sent-1"]


def test_goto_an_unknown_node_changes_nothing(api: httpx.Client, thread_id: str) -> None:
    first = wait(api, thread_id, input={"n": 1})
    assert wait(api, thread_id, command={"goto": "nowhere"}) == first
    assert read(api, f"/threads/{thread_id}")["status"] == "idle"


@pytest.mark.parametrize("command", [{}, {"nonsense": 1}, {"resume": None}], ids=str)
def test_a_command_that_says_nothing_starts_nothing(command: Json, api: httpx.Client, thread_id: str) -> None:
    assert "__error__" in wait(api, thread_id, command=command)
    assert read(api, f"/threads/{thread_id}")["status"] == "error"
    assert state_of(api, thread_id)["values"] == {}


# --- interrupt_before, interrupt_after --------------------------------------------------------------------------------


@pytest.mark.parametrize("nodes", ["append", ["append"], ["begin", "append"]], ids=str)
def test_interrupt_after_stops_behind_a_node(nodes: Any, api: httpx.Client, thread_id: str) -> None:
    result = wait(api, thread_id, input={"n": 2}, interrupt_after=nodes)
    if nodes == ["begin", "append"]:
        assert result["entries"] == []
        return
    assert result["entries"] == ["e-0"]
    assert "__interrupt__" not in result
    thread = read(api, f"/threads/{thread_id}")
    assert (thread["status"], thread["interrupts"]) == ("interrupted", {})
    assert last_run(api, thread_id)["status"] == "success"
    assert state_of(api, thread_id)["next"] == ["append"]
    assert wait(api, thread_id, input=None)["entries"] == ["e-0", "e-1"]


@pytest.mark.parametrize("nodes", ["append", ["append"]], ids=str)
def test_interrupt_before_stops_in_front_of_a_node(nodes: Any, api: httpx.Client, thread_id: str) -> None:
    result = wait(api, thread_id, input={"n": 1}, interrupt_before=nodes)
    assert result["entries"] == []
    assert result["left"] == 1
    assert "__interrupt__" not in result
    assert state_of(api, thread_id)["next"] == ["append"]
    assert wait(api, thread_id, input=None)["entries"] == ["e-0"]


@pytest.mark.parametrize(("field", "following"), [("interrupt_before", ["begin"]), ("interrupt_after", ["append"])])
def test_a_star_stands_for_every_node(field: str, following: list[str], api: httpx.Client, thread_id: str) -> None:
    assert post(api, thread_id, **{field: "*"}).json()["entries"] == []
    assert state_of(api, thread_id)["next"] == following
    assert read(api, f"/threads/{thread_id}")["status"] == "interrupted"


@pytest.mark.parametrize("field", ["interrupt_before", "interrupt_after"])
@pytest.mark.parametrize("nodes", [[], ["nowhere"]], ids=str)
def test_a_node_that_does_not_exist_interrupts_nothing(
    field: str, nodes: list[str], api: httpx.Client, thread_id: str
) -> None:
    assert post(api, thread_id, **{field: nodes}).json()["entries"] == ["e-0"]
    assert read(api, f"/threads/{thread_id}")["status"] == "idle"


# --- metadata, if_not_exists ------------------------------------------------------------------------------------------


def test_metadata_belongs_to_the_run_and_its_checkpoints(api: httpx.Client, thread_id: str) -> None:
    seen = wait(api, thread_id, input={"n": 1}, metadata={"purpose": "test"})["seen"]
    assert seen["metadata"]["purpose"] == "test"
    assert last_run(api, thread_id)["metadata"]["purpose"] == "test"
    assert state_of(api, thread_id)["metadata"]["purpose"] == "test"
    assert "purpose" not in read(api, f"/threads/{thread_id}")["metadata"]


def test_if_not_exists_create_makes_the_thread(api: httpx.Client, thread_id: str) -> None:
    api.delete(f"/threads/{thread_id}").raise_for_status()
    config = {"metadata": {"from": "config"}}
    result = wait(api, thread_id, input={"n": 1}, if_not_exists="create", metadata={"purpose": "test"}, config=config)
    assert result["entries"] == ["e-0"]
    metadata = read(api, f"/threads/{thread_id}")["metadata"]
    assert metadata == {"graph_id": "log", "assistant_id": LOG_ASSISTANT, "purpose": "test", "from": "config"}


def test_if_not_exists_create_leaves_a_thread_that_exists(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1}, if_not_exists="create", metadata={"purpose": "test"})
    assert "purpose" not in read(api, f"/threads/{thread_id}")["metadata"]


@pytest.mark.parametrize("fields", [{"if_not_exists": "reject"}, {}], ids=["given", "by default"])
def test_if_not_exists_reject_needs_the_thread(fields: Json, api: httpx.Client, thread_id: str) -> None:
    assert post(api, thread_id, **fields).json()["entries"] == ["e-0"]
    api.delete(f"/threads/{thread_id}").raise_for_status()
    refused = post(api, thread_id, **fields)
    assert refused.status_code == 404
    assert refused.json() == {"detail": "Thread or assistant not found."}
    assert api.get(f"/threads/{thread_id}").status_code == 404


# --- durability -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields", [{"durability": "sync"}, {"durability": "async"}, {}, {"checkpoint_during": True}], ids=str
)
def test_a_checkpoint_is_kept_for_each_super_step(fields: Json, api: httpx.Client, thread_id: str) -> None:
    assert wait(api, thread_id, input={"n": 3}, **fields)["entries"] == ["e-0", "e-1", "e-2"]
    state = state_of(api, thread_id)
    assert state["metadata"]["step"] == 4
    # A branch without an entry of its own shows what the checkpoint before the last one held.
    branch = wait(api, thread_id, input={"n": 0}, checkpoint_id=state["parent_checkpoint_id"])
    assert branch["entries"] == ["e-0", "e-1"]


@pytest.mark.parametrize("fields", [{"durability": "exit"}, {"checkpoint_during": False}], ids=str)
def test_durability_exit_keeps_one_checkpoint(fields: Json, api: httpx.Client, thread_id: str) -> None:
    assert wait(api, thread_id, input={"n": 3}, **fields)["entries"] == ["e-0", "e-1", "e-2"]
    state = state_of(api, thread_id)
    assert state["metadata"]["step"] == 4
    assert state["parent_checkpoint_id"] is None
    assert state["parent_checkpoint"] is None
    assert wait(api, thread_id, input={"n": 1, "name": "b"}, **fields)["entries"][-1] == "b-0"
    assert state_of(api, thread_id)["parent_checkpoint_id"] == state["checkpoint_id"]


def test_durability_exit_shows_nothing_while_the_run_goes_on(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id, durability="exit") as old:
        until(lambda: last_run(api, thread_id)["status"] == "running", "the run starts")
        assert state_of(api, thread_id)["values"] == {}
        assert not old.done()
    assert len(state_of(api, thread_id)["values"]["entries"]) == 4


def test_durability_sync_shows_each_super_step_while_the_run_goes_on(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id, durability="sync") as old:
        until(lambda: "old-0" in state_of(api, thread_id)["values"].get("entries", []), "the first entry is seen")
        assert not old.done()
    assert len(state_of(api, thread_id)["values"]["entries"]) == 4
