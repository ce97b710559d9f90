"""Two nodes side by side that stop for a human, both or one; a channel of the graph's own counts its super-steps."""

import operator
import time
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.stream import StreamChannel, StreamTransformer
from langgraph.types import interrupt


class Pair(TypedDict, total=False):
    """What was answered, by whom, and what else was written."""

    answers: Annotated[list[str], operator.add]
    note: str
    until: str
    """A file for whose coming the second node waits, 30 s at most, in place of asking; empty: none."""


class Steps(StreamTransformer):
    """Tells how many states there were so far."""

    required_stream_modes = ("values",)

    def init(self) -> dict[str, Any]:
        """Open the channel."""
        self.count = 0
        self.steps: StreamChannel[Any] = StreamChannel("steps")
        return {"steps": self.steps}

    def process(self, event: Any) -> bool:
        """Count the graph's own states."""
        if event["method"] == "values" and not event["params"]["namespace"]:
            self.count += 1
            self.steps.push({"count": self.count})
        return True


def left(state: Pair) -> Pair:
    """Ask the one."""
    return {"answers": [f"left {interrupt('left?')}"]}


def right(state: Pair) -> Pair:
    """Ask the other, or wait for the file."""
    if file := state.get("until"):
        for _ in range(1500):
            if Path(file).exists():
                return {"answers": ["right came"]}
            time.sleep(0.02)
    return {"answers": [f"right {interrupt('right?')}"]}


def last(state: Pair) -> Pair:
    """Say that all is done."""
    return {"answers": ["last"]}


builder = StateGraph(Pair)
builder.add_node("left", left)
builder.add_node("right", right)
builder.add_node("last", last)
builder.add_edge(START, "left")
builder.add_edge(START, "right")
builder.add_edge(["left", "right"], "last")
builder.add_edge("last", END)
graph = builder.compile(transformers=[Steps])
