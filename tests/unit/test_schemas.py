"""Bodies of requests: null is absent, wrong types are refused, a bare node name is a list of one."""

from datetime import UTC, datetime
from typing import Any

import pytest

from handler.api.bodies import checked
from handler.api.runs import count
from handler.api.schemas import (
    RUN_FIELDS,
    AssistantSearchBody,
    CheckpointBody,
    CommandBody,
    ConfigBody,
    RunBody,
    ThreadCreateBody,
    ThreadPatchBody,
    as_uuid,
    shown_run,
    shown_thread,
)
from handler.api.starts import command_of, merged_config, refuse_unsupported, thread_for
from handler.domain.models import Run, Thread
from handler.domain.status import RunStatus, ThreadStatus
from handler.errors import BadRequest, Invalid, NotSupported

UUID = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OPTIONAL = [name for name in RunBody.model_fields if name != "assistant_id"]

GOOD: dict[str, list[Any]] = {
    "input": [{}, [], "", 0, False, {"a": None}],
    "command": [{}, {"resume": 1}, {"update": [["a", 1]]}, {"goto": ["a", {"node": "b", "input": 1}]}],
    "config": [{}, {"tags": ["a"], "recursion_limit": 0, "configurable": {"a": 1}}, {"callbacks": 5}],
    "context": [{}, {"a": None}],
    "checkpoint": [{}, {"checkpoint_id": UUID, "checkpoint_map": {}}],
    "checkpoint_id": [UUID, ""],
    "metadata": [{}, {"a": {"b": 1}}],
    "stream": [True, False],
    "stream_mode": ["values", "messages-tuple", ["values", "updates"], []],
    "stream_subgraphs": [True],
    "stream_resumable": [True, False],
    "on_disconnect": ["cancel", "continue"],
    "on_completion": ["delete", "keep"],
    "multitask_strategy": ["reject", "interrupt", "rollback", "enqueue"],
    "interrupt_before": ["*", [], ["a"], "a"],
    "interrupt_after": ["*", [], ["a"], "a"],
    "if_not_exists": ["create", "reject"],
    "durability": ["sync", "async", "exit"],
    "checkpoint_during": [True, False],
    "webhook": ["https://example.com"],
    "after_seconds": [0, 1, 1.5],
    "feedback_keys": [[], ["a"]],
    "strict_resume": [True, False],
    "langsmith_tracer": [{}, {"project_name": "p"}],
}
BAD: dict[str, list[Any]] = {
    "assistant_id": [None, 1, [], {}, True],
    "command": ["x", [], {"goto": 1}, {"goto": {"input": 1}}, {"goto": {"node": 1, "input": 1}}, {"update": "x"}],
    "config": ["x", {"tags": "a"}, {"tags": [1]}, {"recursion_limit": "5"}, {"recursion_limit": True}],
    "context": ["x", [], 1],
    "checkpoint": ["x", {"checkpoint_id": "x"}, {"checkpoint_id": 5}, {"thread_id": 5}],
    "checkpoint_id": ["x", 5, {}],
    "metadata": ["x", []],
    "stream": ["true", 1],
    "stream_mode": ["nope", 1, ["values", "nope"]],
    "stream_subgraphs": ["yes", 0],
    "stream_resumable": ["yes"],
    "on_disconnect": ["stay", ""],
    "on_completion": ["x"],
    "multitask_strategy": ["x", ["reject"]],
    "interrupt_before": [1, [1], {"a": 1}],
    "interrupt_after": [True, [None]],
    "if_not_exists": ["x", True],
    "durability": ["x", 1],
    "checkpoint_during": ["x", 0],
    "webhook": ["", 1],
    "after_seconds": ["1", True, []],
    "feedback_keys": ["a", [1]],
    "strict_resume": ["x", 0],
    "langsmith_tracer": ["p", []],
}


def body(**fields: Any) -> RunBody:
    return checked(RunBody, {"assistant_id": "agent", **fields})


@pytest.mark.parametrize("name", OPTIONAL)
def test_null_for_an_optional_field_is_the_same_as_its_absence(name: str) -> None:
    assert body(**{name: None}) == body()
    assert getattr(body(), name) is None


@pytest.mark.parametrize("model", [ConfigBody, CheckpointBody, CommandBody])
def test_null_within_an_optional_object_is_the_same_as_its_absence(model: Any) -> None:
    assert checked(model, dict.fromkeys(model.model_fields)) == checked(model, {})


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_a_value_that_the_page_allows_is_taken(name: str, value: Any) -> None:
    assert getattr(body(**{name: value}), name) is not None


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_value_of_the_wrong_kind_is_refused_by_name_and_not_repeated(name: str, value: Any) -> None:
    with pytest.raises(Invalid) as refused:
        body(**{name: value})
    assert str(refused.value).startswith(name)


def test_every_field_has_a_value_that_is_taken_and_one_that_is_not() -> None:
    assert set(GOOD) == set(OPTIONAL)
    assert set(BAD) | {"input"} == set(RunBody.model_fields)


@pytest.mark.parametrize("value", [None, [], "x", 5, {}, {"input": {}}])
def test_a_body_without_an_assistant_is_refused(value: Any) -> None:
    with pytest.raises(Invalid):
        checked(RunBody, value)


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(Invalid) as refused:
        body(durability="my secret")
    assert "secret" not in str(refused.value)


def test_unknown_fields_are_ignored() -> None:
    assert body(whatever=1) == body()


@pytest.mark.parametrize("name", ["interrupt_before", "interrupt_after"])
def test_a_bare_node_name_is_a_list_of_one_and_a_star_is_all(name: str) -> None:
    assert getattr(body(**{name: "node"}), name) == ["node"]
    assert getattr(body(**{name: "*"}), name) == "*"


def test_what_is_not_done_is_refused_by_name() -> None:
    with pytest.raises(NotSupported, match="feedback_keys"):
        refuse_unsupported(body(feedback_keys=["a"], stream=True))
    with pytest.raises(NotSupported, match="langsmith_tracer"):
        refuse_unsupported(body(langsmith_tracer={"project_name": "p"}))


def test_what_is_asked_not_to_be_done_is_not_refused() -> None:
    refuse_unsupported(body(stream=True, stream_resumable=False, feedback_keys=[]))
    refuse_unsupported(body(feedback_keys=["a"]))  # events of a stream: on a wait there are none to send


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (None, None),
        ({}, None),
        ({"resume": None}, None),
        ({"resume": False}, {"resume": False}),
        ({"update": [["a", 1], ["b", 2]]}, {"update": {"a": 1, "b": 2}}),
        ({"goto": {"node": "n", "input": 1}, "update": None}, {"goto": {"node": "n", "input": 1}}),
    ],
)
def test_a_command_keeps_what_it_says(command: Any, expected: Any) -> None:
    assert command_of(body(command=command)) == expected


def test_the_requests_config_lies_over_the_assistants() -> None:
    assistant = {"tags": ["a"], "recursion_limit": 5, "configurable": {"x": 1, "y": 1}}
    assert merged_config(assistant, {"recursion_limit": 9, "configurable": {"y": 2}}) == {
        "tags": ["a"],
        "recursion_limit": 9,
        "configurable": {"x": 1, "y": 2},
    }
    assert merged_config({}, {}) == {"configurable": {}}


RUN = Run("acme", UUID, "R", "A", "G", RunStatus.PENDING, NOW, NOW, "enqueue", metadata={"m": 1, "graph_id": "forged"})


def test_a_new_thread_takes_the_metadata_of_config_and_body_but_not_reserved_names() -> None:
    asked = body(config={"metadata": {"a": 1, "b": 1}}, metadata={"b": 2, "thread_id": "x", "assistant_id": "x"})
    thread = thread_for(RUN, asked)
    assert (thread.metadata, thread.tenant, thread.thread_id) == ({"a": 1, "b": 2}, "acme", UUID)
    assert thread_for(RUN, body()).metadata == {}


@pytest.mark.parametrize("value", ["x", "", "1.5", "9" * 5000])
def test_a_count_that_is_no_number_is_a_bad_request(value: str) -> None:
    with pytest.raises(BadRequest):
        count(value)


@pytest.mark.parametrize("value", ["-1", str(2**63), "9" * 30])
def test_a_count_out_of_range_is_refused(value: str) -> None:
    with pytest.raises(Invalid):
        count(value)


def test_a_count_is_a_number() -> None:
    assert [count(value) for value in ("0", "7", "1000000")] == [0, 7, 1_000_000]


@pytest.mark.parametrize("text", [UUID, UUID.upper(), UUID.replace("-", ""), "{" + UUID + "}", "urn:uuid:" + UUID])
def test_an_id_has_one_canonical_form(text: str) -> None:
    assert as_uuid(text, "thread") == UUID


@pytest.mark.parametrize("text", ["", "x", UUID[:-1], UUID + "0", UUID + "#x"])
def test_an_id_that_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="Invalid thread ID: must be a UUID"):
        as_uuid(text, "thread")


@pytest.mark.parametrize("limit", [0, 1001, "5", True, 1.5])
def test_a_page_has_between_one_row_and_the_most(limit: Any) -> None:
    with pytest.raises(Invalid, match="limit"):
        checked(AssistantSearchBody, {"limit": limit})


def test_an_empty_body_creates_or_patches_a_thread() -> None:
    assert checked(ThreadCreateBody, {}).if_exists == "raise"
    assert checked(ThreadPatchBody, {}).metadata == {}


def test_a_run_is_shown_with_all_fields_that_can_be_selected() -> None:
    shown = shown_run(RUN)
    assert set(RUN_FIELDS) <= set(shown)
    assert shown["metadata"] == {"m": 1, "graph_id": "G", "assistant_id": "A"}
    assert (shown["created_at"], shown["started_at"]) == ("2026-01-02T03:04:05+00:00", None)


def test_a_thread_is_shown_with_its_present_status() -> None:
    thread = Thread("acme", UUID, ThreadStatus.IDLE, NOW, NOW, active_run="R", metadata={"a": 1})
    shown = shown_thread(thread, {"v": 1}, {})
    assert (shown["status"], shown["values"], shown["metadata"]) == ("busy", {"v": 1}, {"a": 1})
    assert shown["state_updated_at"] == shown["created_at"]
    assert "tenant" not in shown
