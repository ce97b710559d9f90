"""Stops for a human: `interrupt` asks, `command: {"resume": …}` answers."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt


class State(TypedDict, total=False):
    """A question, a human's answer, and whether all is done."""

    question: str
    answer: str
    done: bool


def ask(state: State) -> State:
    """Wait for the human."""
    return {"answer": interrupt({"question": state.get("question", "")})}


def finish(state: State) -> State:
    """Mark the end."""
    return {"done": True}


builder = StateGraph(State)
builder.add_node("ask", ask)
builder.add_node("finish", finish)
builder.add_edge(START, "ask")
builder.add_edge("ask", "finish")
builder.add_edge("finish", END)
graph = builder.compile()
