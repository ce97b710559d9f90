"""Runs for as long as it is told: `steps` super-steps of `seconds` each."""

import asyncio
from typing import TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    """How many steps of how many seconds, and how many are done."""

    steps: int
    seconds: float
    done: int


async def tick(state: State) -> State:
    """Sleep for one step."""
    await asyncio.sleep(state.get("seconds", 1.0))
    return {"done": state.get("done", 0) + 1}


def route(state: State) -> str:
    """Go on until all steps are done."""
    return "tick" if state["done"] < state.get("steps", 1) else END


builder = StateGraph(State)
builder.add_node("tick", tick)
builder.add_edge(START, "tick")
builder.add_conditional_edges("tick", route, ["tick", END])
graph = builder.compile()
