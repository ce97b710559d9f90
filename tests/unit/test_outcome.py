"""What a waiter is told: values and interrupts, and as much of an error as is good to tell."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import HTTPException
from langgraph.errors import EmptyInputError, GraphRecursionError, InvalidUpdateError
from langgraph.types import Interrupt

from handler.runs.outcome import (
    HIDDEN_MESSAGE,
    MESSAGE_LIMIT,
    Answer,
    describe_error,
    error_body,
    later_answer,
    shown_interrupt,
)

ONE = Interrupt(value="first?", id="1" * 32)
TWO = Interrupt(value="second?", id="2" * 32)


def told(*chunks: Any, interrupts_alone: bool = False) -> Any:
    answer = Answer(interrupts_alone=interrupts_alone)
    for chunk in chunks:
        answer.add(chunk)
    return answer.body()


@pytest.mark.parametrize(
    ("chunks", "body"),
    [
        ((), None),
        (({"a": 1},), {"a": 1}),
        (({"a": 1}, {"a": 2}), {"a": 2}),
        (({"a": 1}, {"__interrupt__": (ONE,)}), {"a": 1, "__interrupt__": [ONE]}),
        (({"a": 1}, {"a": 2, "__interrupt__": (ONE,)}), {"a": 2, "__interrupt__": [ONE]}),
        (({"a": 1}, {"__interrupt__": (ONE, TWO)}), {"__interrupt__": [ONE, TWO]}),
        (({"a": 1}, {"__interrupt__": (ONE,)}, {"__interrupt__": (TWO,)}), {"__interrupt__": [ONE, TWO]}),
        (({"a": 1}, {"__interrupt__": (ONE,)}, {"__interrupt__": (ONE,)}), {"a": 1, "__interrupt__": [ONE]}),
        # a static breakpoint: LangGraph names no interrupt, and the values so far are the answer
        (({"a": 1}, {"__interrupt__": ()}), {"a": 1}),
        (({"__interrupt__": (ONE,)},), {"__interrupt__": [ONE]}),
        (("text", {"__interrupt__": (ONE,)}), {"__interrupt__": [ONE]}),
        (("text",), "text"),
        (({},), {}),
    ],
)
def test_a_waiter_is_told_the_last_values_and_what_is_asked(chunks: tuple[Any, ...], body: Any) -> None:
    assert told(*chunks) == body


def test_under_updates_an_interrupt_stands_alone_and_values_stay_values() -> None:
    assert told({"a": 1}, {"__interrupt__": (ONE,)}, interrupts_alone=True) == {"__interrupt__": [ONE]}
    assert told({"a": 1}, interrupts_alone=True) == {"a": 1}
    assert told({"a": 1}, {"__interrupt__": ()}, interrupts_alone=True) == {"a": 1}


def test_gathering_an_answer_changes_no_chunk() -> None:
    chunk = {"a": 1, "__interrupt__": (ONE,)}
    told(chunk)
    assert chunk == {"a": 1, "__interrupt__": (ONE,)}


class Mine(Exception):
    """An error of an application."""


class MineToShow(ValueError):
    """An error of an application that derives from one that is shown."""


class Speechless(ValueError):
    """An error that cannot be put into words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("why"),
        TypeError("why"),
        AttributeError("why"),
        RuntimeError("why"),
        RecursionError("why"),
        TimeoutError("why"),
        MineToShow("why"),
        GraphRecursionError("why"),
        InvalidUpdateError("why"),
        EmptyInputError("why"),
    ],
)
def test_a_message_that_a_caller_can_use_is_shown(error: Exception) -> None:
    assert describe_error(error) == {"error": type(error).__name__, "message": "why"}


def test_key_errors_and_http_errors_are_shown_as_they_print() -> None:
    assert describe_error(KeyError("name")) == {"error": "KeyError", "message": "'name'"}
    assert describe_error(HTTPException(418, "teapot")) == {"error": "HTTPException", "message": "418: teapot"}


@pytest.mark.parametrize(
    "error", [Mine("secret"), OSError("secret"), ZeroDivisionError("secret"), Exception("secret"), MemoryError("s")]
)
def test_of_any_other_error_only_the_class_is_told(error: Exception) -> None:
    assert describe_error(error) == {"error": type(error).__name__, "message": HIDDEN_MESSAGE}


def test_a_message_is_cut_so_that_it_fits_beside_run_and_thread() -> None:
    message = describe_error(ValueError("x" * 1_000_000))["message"]
    assert len(message) == MESSAGE_LIMIT
    assert message.endswith("…")
    assert describe_error(ValueError("x" * MESSAGE_LIMIT))["message"] == "x" * MESSAGE_LIMIT


def test_a_message_that_is_no_utf8_is_told_as_far_as_it_goes() -> None:
    message = describe_error(ValueError("half \ud800 pair"))["message"]
    assert message.encode() == b"half \\ud800 pair"


def test_an_error_without_words_ends_a_run_like_any_other() -> None:
    assert describe_error(Speechless()) == {"error": "Speechless", "message": HIDDEN_MESSAGE}


def test_a_failed_run_answers_with_its_error_alone() -> None:
    assert error_body({"error": "E", "message": "m"}) == {"__error__": {"error": "E", "message": "m"}}


@pytest.mark.parametrize(
    ("values", "channels", "interrupts", "body"),
    [
        ({"a": 1, "hidden": 2}, ["a"], (), {"a": 1}),
        ({"a": 1}, ["a", "b"], (), {"a": 1}),
        ({"a": 1}, ["a"], (ONE,), {"__interrupt__": [{"id": ONE.id, "value": "first?"}]}),
        ({"a": 1}, "__root__", (), {"a": 1}),
        ("text", "__root__", (), "text"),
        ({}, ["a"], (), {}),
    ],
)
def test_who_joins_later_is_told_the_output_or_what_is_asked(
    values: Any, channels: Any, interrupts: Any, body: Any
) -> None:
    assert later_answer(SimpleNamespace(values=values, interrupts=interrupts), channels) == body


def test_an_interrupt_is_shown_without_its_schema() -> None:
    assert shown_interrupt(Interrupt(value={"q": 1}, id="x")) == {"id": "x", "value": {"q": 1}}
