"""A graph within a graph; with `ask` the inner one stops for a human."""

import operator
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt


class State(TypedDict, total=False):
    """A topic, notes on it, and whether to ask a human."""

    topic: str
    notes: Annotated[list[str], operator.add]
    ask: bool


def outer(state: State) -> State:
    """Note that the outer graph was here."""
    return {"notes": ["outer"]}


def inner_one(state: State) -> State:
    """Note that the inner graph was here."""
    return {"notes": ["inner_one"]}


def inner_two(state: State) -> State:
    """Note what the human said, or that nobody was asked."""
    return {"notes": [f"asked:{interrupt('sub?')}" if state.get("ask") else "inner_two"]}


class Notes(TypedDict):
    """What the inner graph hands back."""

    notes: Annotated[list[str], operator.add]


inner = StateGraph(State)
inner.add_node("inner_one", inner_one)
inner.add_node("inner_two", inner_two)
inner.add_edge(START, "inner_one")
inner.add_edge("inner_one", "inner_two")
inner.add_edge("inner_two", END)

builder = StateGraph(State)
builder.add_node("outer", outer)
builder.add_node("child", inner.compile())
builder.add_edge(START, "outer")
builder.add_edge("outer", "child")
builder.add_edge("child", END)
graph = builder.compile()
