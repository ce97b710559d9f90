"""Keeps a note in the store and finds it again, from a synchronous node, an asynchronous one and a subgraph."""

from typing import Any, TypedDict

from langgraph.config import get_store
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime


class State(TypedDict, total=False):
    """A note of a user's, and what was found."""

    user: str
    note: str
    found: list[str]
    nearest: list[Any]
    from_subgraph: list[str]


def keep(state: State, runtime: Runtime[None]) -> State:
    """Put the note."""
    assert runtime.store is not None
    count = len(runtime.store.search(("notes", state["user"])))
    runtime.store.put(("notes", state["user"]), f"n{count}", {"text": state["note"]})
    return {}


async def find(state: State, runtime: Runtime[None]) -> State:
    """Search all notes, and those near to cats."""
    assert runtime.store is not None
    found = await runtime.store.asearch(("notes", state["user"]))
    near = await runtime.store.asearch(("notes",), query="cat", limit=1)
    return {
        "found": [item.value["text"] for item in found],
        "nearest": [[item.value["text"], round(item.score or 0, 3)] for item in near],
    }


def look(state: State) -> State:
    """Read within the subgraph."""
    return {"from_subgraph": [item.key for item in get_store().search(("notes", state["user"]))]}


inner = StateGraph(State)
inner.add_node("look", look)
inner.add_edge(START, "look")
inner.add_edge("look", END)

builder = StateGraph(State)
builder.add_node("keep", keep)
builder.add_node("find", find)
builder.add_node("child", inner.compile())
builder.add_edge(START, "keep")
builder.add_edge("keep", "find")
builder.add_edge("find", "child")
builder.add_edge("child", END)
graph = builder.compile()
