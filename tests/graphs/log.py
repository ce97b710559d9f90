"""A graph that logs an entry each super-step, asks a question if told to, and shows what reached it."""

import asyncio
import operator
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt


@dataclass
class Context:
    """What a caller may set for a run."""

    user_name: str = "nobody"
    tone: str = "plain"


class Log(TypedDict, total=False):
    """The log and what steers it."""

    entries: Annotated[list[str], operator.add]
    name: str
    """The first half of each entry; the second is the entry's number within its run."""
    n: int
    """How many entries a run appends, one each super-step."""
    seconds: float
    """How long each entry takes."""
    until: str
    """A file for whose coming each entry waits, 30 s at most; empty: none."""
    ask: str
    """A question that ends the run with an interrupt; empty: none."""
    left: int
    answer: Any
    seen: dict[str, Any]


def begin(state: Log, runtime: Runtime[Context]) -> Log:
    """Count from `n` down, and write down what the server handed to the graph."""
    config = get_config()
    seen = {
        "configurable": plain(config.get("configurable", {})),
        "context": asdict(runtime.context),
        "metadata": plain(config.get("metadata", {})),
        "recursion_limit": config.get("recursion_limit"),
        "tags": config.get("tags"),
    }
    return {"left": state.get("n", 3), "seen": seen}


def plain(mapping: dict[str, Any]) -> dict[str, Any]:
    """What of a mapping a state can hold: LangGraph's own objects are left out."""
    return {key: value for key, value in mapping.items() if isinstance(value, str | int) and not key.startswith("__")}


def wait_for_file(file: Path) -> None:
    """Return once there is such a file, or after 30 s."""
    for _ in range(1500):
        if file.exists():
            return
        time.sleep(0.02)


async def append(state: Log) -> Log:
    """Add one entry."""
    await asyncio.sleep(state.get("seconds", 0))
    if file := state.get("until"):
        await asyncio.to_thread(wait_for_file, Path(file))
    return {"entries": [f"{state.get('name', 'e')}-{state.get('n', 3) - state['left']}"], "left": state["left"] - 1}


def ask(state: Log) -> Log:
    """Stop until a caller answers."""
    return {"answer": interrupt({"question": state["ask"]}), "ask": ""}


def onward(state: Log) -> str:
    """Where the run goes after a super-step."""
    if state.get("left", 0) > 0:
        return "append"
    return "ask" if state.get("ask") else END


builder = StateGraph(Log, context_schema=Context)
builder.add_node("begin", begin)
builder.add_node("append", append)
builder.add_node("ask", ask)
builder.add_edge(START, "begin")
builder.add_conditional_edges("begin", onward, ["append", "ask", END])
builder.add_conditional_edges("append", onward, ["append", "ask", END])
builder.add_edge("ask", END)
graph = builder.compile()
