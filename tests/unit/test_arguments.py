"""What a graph is called with: whose word counts, what a context keeps, what a command becomes."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypedDict

import pytest
from langgraph.types import Command, Send
from pydantic import BaseModel

from handler.domain.models import Run
from handler.domain.status import RunStatus
from handler.runs.arguments import graph_arguments, graph_config, graph_context, graph_input, to_command

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RUN = Run("acme", "T", "R", "A", "G", RunStatus.RUNNING, NOW, NOW, "enqueue", attempt=2)
OWN = {"thread_id": "T", "run_id": "R", "graph_id": "G", "assistant_id": "A", "user_id": ""}


def asked(**kwargs: Any) -> Run:
    return replace(RUN, kwargs=kwargs)


@dataclass
class DataContext:
    """A context as a dataclass."""

    name: str = "x"
    derived: str = field(default="", init=False)


class ModelContext(BaseModel):
    """A context as a pydantic model."""

    name: str = "x"


class TypedContext(TypedDict, total=False):
    """A context as a typed dictionary."""

    name: str


class BareContext:
    """A context that names no fields."""


class Graph:
    """As much of a graph as its context needs."""

    def __init__(self, schema: Any = None) -> None:
        self.context_schema = schema


def test_a_run_that_asks_for_nothing_is_called_with_what_the_server_decides() -> None:
    assert graph_config(RUN) == {
        "configurable": OWN,
        "metadata": {"graph_id": "G", "assistant_id": "A", "run_attempt": 2},
    }


@pytest.mark.parametrize("name", sorted(OWN))
@pytest.mark.parametrize("place", ["configurable", "context"])
def test_a_caller_cannot_set_what_the_server_decides(name: str, place: str) -> None:
    forged = {name: "forged", "mine": 1}
    run = asked(config={"configurable": forged}) if place == "configurable" else asked(context=forged)
    assert graph_config(run)["configurable"] == {**OWN, "mine": 1}


def test_the_user_that_authentication_named_reaches_the_graph() -> None:
    run = asked(config={"configurable": {"user_id": "forged"}})
    assert graph_config(run, user="ada")["configurable"]["user_id"] == "ada"


def test_metadata_of_the_run_stand_above_those_of_the_config_and_the_servers_above_both() -> None:
    config = {"metadata": {"a": "config", "b": "config", "graph_id": "config", "run_attempt": 9}}
    run = replace(asked(config=config), metadata={"b": "run", "c": "run", "assistant_id": "run"})
    assert graph_config(run)["metadata"] == {
        "a": "config",
        "b": "run",
        "c": "run",
        "graph_id": "G",
        "assistant_id": "A",
        "run_attempt": 2,
    }


def test_tags_and_limits_reach_the_graph_and_nothing_else_does() -> None:
    config = {"tags": ["t"], "recursion_limit": 0, "max_concurrency": 1, "run_name": "n", "callbacks": ["x"]}
    kept = graph_config(asked(config=config))
    kept.pop("configurable")
    kept.pop("metadata")
    assert kept == {"tags": ["t"], "recursion_limit": 0, "max_concurrency": 1, "run_name": "n"}


def test_the_bodys_checkpoint_stands_above_the_configs_and_names_no_other_thread() -> None:
    config = {"configurable": {"checkpoint_id": "old", "checkpoint_ns": "ns", "checkpoint_map": {"": "x"}}}
    checkpoint = {"checkpoint_id": "new", "thread_id": "other", "checkpoint_map": None}
    configurable = graph_config(asked(config=config, checkpoint=checkpoint))["configurable"]
    assert configurable == {**OWN, "checkpoint_id": "new", "checkpoint_ns": "ns", "checkpoint_map": {"": "x"}}


def test_a_context_is_mirrored_into_the_configurable() -> None:
    assert graph_config(asked(context={"tone": "calm"}))["configurable"] == {**OWN, "tone": "calm"}


def test_building_a_config_changes_nothing_of_the_run() -> None:
    run = asked(config={"configurable": {"a": 1}, "metadata": {"m": 1}}, checkpoint={"checkpoint_id": "c"})
    graph_config(run)["configurable"]["b"] = 2
    assert run.kwargs == {
        "config": {"configurable": {"a": 1}, "metadata": {"m": 1}},
        "checkpoint": {"checkpoint_id": "c"},
    }


@pytest.mark.parametrize("schema", [DataContext, ModelContext, TypedContext])
def test_a_context_keeps_what_its_schema_knows(schema: Any) -> None:
    run = asked(context={"name": "ada", "unknown": 1, "derived": "forged"})
    context = graph_context(Graph(schema), graph_config(run), run.kwargs)
    assert context == {"name": "ada"}


@pytest.mark.parametrize("schema", [DataContext, ModelContext, TypedContext])
def test_without_a_context_the_configurable_stands_in(schema: Any) -> None:
    run = asked(config={"configurable": {"name": "ada", "unknown": 1}})
    assert graph_context(Graph(schema), graph_config(run), run.kwargs) == {"name": "ada"}


def test_an_empty_context_is_a_context() -> None:
    run = asked(context={}, config={"configurable": {"name": "ada"}})
    assert graph_context(Graph(DataContext), graph_config(run), run.kwargs) == {}


def test_a_schema_that_names_no_fields_lets_everything_pass_but_the_servers_own() -> None:
    run = asked(config={"configurable": {"name": "ada", "checkpoint_id": "c"}})
    assert graph_context(Graph(BareContext), graph_config(run), run.kwargs) == {"name": "ada"}


@pytest.mark.parametrize("given", [None, {}, {"any": "thing"}])
def test_without_a_schema_a_context_passes_as_it_is(given: Any) -> None:
    run = asked(context=given, config={"configurable": {"name": "ada"}})
    assert graph_context(Graph(), graph_config(run), run.kwargs) == given


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ({"resume": "yes"}, Command(resume="yes")),
        ({"resume": False}, Command(resume=False)),
        ({"resume": 0}, Command(resume=0)),
        ({"resume": {"i" * 32: 1}}, Command(resume={"i" * 32: 1})),
        ({"update": {"a": 1}}, Command(update={"a": 1})),
        ({"update": {}}, Command(update={})),
        ({"goto": "a"}, Command(goto=["a"])),
        ({"goto": ["a", "b"]}, Command(goto=["a", "b"])),
        ({"goto": {"node": "a", "input": {"x": 1}}}, Command(goto=[Send("a", {"x": 1})])),
        ({"goto": ["a", {"node": "b"}]}, Command(goto=["a", Send("b", None)])),
        ({"resume": 1, "update": {"a": 1}, "goto": "b"}, Command(resume=1, update={"a": 1}, goto=["b"])),
        ({"resume": None, "update": None, "goto": None}, None),
        ({"goto": []}, None),
        ({}, None),
    ],
)
def test_a_command_becomes_langgraphs(command: dict[str, Any], expected: Any) -> None:
    assert to_command(command) == expected


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({}, None),
        ({"input": None}, None),
        ({"input": {"a": 1}}, {"a": 1}),
        ({"input": "text"}, "text"),
        ({"input": [], "command": None}, []),
        ({"input": {"a": 1}, "command": {"resume": 1}}, Command(resume=1)),
    ],
)
def test_a_command_stands_in_place_of_the_input(kwargs: dict[str, Any], expected: Any) -> None:
    assert graph_input(kwargs) == expected


def test_a_run_that_goes_on_starts_from_its_last_checkpoint_with_no_input() -> None:
    run = asked(
        input={"a": 1},
        config={"configurable": {"checkpoint_ns": "", "mine": 1}},
        checkpoint={"checkpoint_id": "c", "checkpoint_map": {"": "c"}},
        interrupt_before=["n"],
    )
    fresh = graph_arguments(run, Graph(), resumes=False)
    assert fresh.input == {"a": 1}
    assert fresh.config["configurable"]["checkpoint_id"] == "c"
    again = graph_arguments(run, Graph(), resumes=True)
    assert again.input is None
    assert again.config["configurable"] == {**OWN, "mine": 1}
    assert again.interrupt_before == ["n"]


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({}, (None, None, "async", ("values",))),
        ({"interrupt_before": "*", "interrupt_after": ["a"]}, ("*", ["a"], "async", ("values",))),
        ({"durability": "exit", "stream_mode": ["values"]}, (None, None, "exit", ("values",))),
        ({"stream_mode": ["updates"]}, (None, None, "async", ("values", "updates"))),
    ],
)
def test_the_other_arguments_come_as_they_were_asked_for(kwargs: dict[str, Any], expected: Any) -> None:
    made = graph_arguments(asked(**kwargs), Graph(), resumes=False)
    assert (made.interrupt_before, made.interrupt_after, made.durability, made.stream_modes) == expected
