"""A graph of somebody else's project: a factory, a local dependency, a package of its own, a variable of its .env."""

import operator
import os
from typing import Annotated, TypedDict

from langgraph.graph import START, StateGraph
from wording import say


class State(TypedDict, total=False):
    count: Annotated[int, operator.add]
    said: str


def count(state: State) -> State:
    return {"count": 1, "said": f"{os.environ['GREETING']} {say(state.get('count', 0) + 1)}"}


def make_graph():
    builder = StateGraph(State)
    builder.add_node("count", count)
    builder.add_edge(START, "count")
    return builder.compile()
