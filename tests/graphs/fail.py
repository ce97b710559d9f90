"""A graph whose second node raises what its input names."""

import operator
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph


class CustomError(Exception):
    """An exception class that no server knows."""


ERRORS: dict[str, type[Exception]] = {
    error.__name__: error
    for error in (
        AttributeError,
        CustomError,
        KeyError,
        OSError,
        RecursionError,
        RuntimeError,
        TimeoutError,
        TypeError,
        ValueError,
        ZeroDivisionError,
    )
}


class State(TypedDict, total=False):
    """Which error to raise, and which nodes have run."""

    kind: str
    """The name of an exception class; empty: the run succeeds."""
    entries: Annotated[list[str], operator.add]


def first(state: State) -> State:
    """Leave a trace, so that a test sees whether this node ran again."""
    return {"entries": ["first"]}


def boom(state: State) -> State:
    """Raise what the input names."""
    if kind := state.get("kind"):
        raise ERRORS[kind](f"boom {kind}")
    return {"entries": ["boom"]}


builder = StateGraph(State)
builder.add_node("first", first)
builder.add_node("boom", boom)
builder.add_edge(START, "first")
builder.add_edge("first", "boom")
builder.add_edge("boom", END)
graph = builder.compile()
