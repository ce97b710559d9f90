"""Keeps notes in the store that the server hands to a graph."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime


class State(TypedDict, total=False):
    """Where to keep a note, the note, and all that are kept there."""

    place: str
    note: str
    kept: list[str]


async def keep(state: State, runtime: Runtime[None]) -> State:
    """Put a note into the store, and list what is there."""
    store = runtime.store
    assert store is not None
    await store.aput((state["place"],), state["note"], {"text": state["note"]})
    found = await store.asearch((state["place"],))
    return {"kept": sorted(item.key for item in found)}


builder = StateGraph(State)
builder.add_node("keep", keep)
builder.add_edge(START, "keep")
builder.add_edge("keep", END)
graph = builder.compile()
