"""A graph with every kind of channel, fan-out, interrupts and both kinds of subgraph, told by its input what to do."""

import operator
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.channels.topic import Topic
from langgraph.channels.untracked_value import UntrackedValue
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Overwrite, Send, interrupt

Order = tuple[Any, ...]
"""A verb and its arguments, as `obey` reads them."""


class Spill(Exception):
    """A node fails because it was told to."""


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {**(old or {}), **new}


def extended(state: list[Any], writes: Sequence[list[Any]]) -> list[Any]:
    return [*(state or []), *(element for write in writes for element in write)]


class Kitchen(TypedDict, total=False):
    orders: list[Order]
    messages: Annotated[list[AnyMessage], add_messages]
    log: Annotated[list[Any], operator.add]
    queue: list[Any]
    box: Any
    tally: Annotated[dict[str, Any], merged]
    trail: Annotated[list[Any], DeltaChannel(extended, snapshot_frequency=3)]
    bell: Annotated[list[Any], Topic(int, accumulate=True)]
    scratch: Annotated[int, UntrackedValue(int)]
    share: int


class Corner(TypedDict, total=False):
    orders: list[Order]
    log: Annotated[list[Any], operator.add]
    trail: Annotated[list[Any], DeltaChannel(extended, snapshot_frequency=3)]
    own: Annotated[list[Any], operator.add]


def obey(state: Kitchen) -> dict[str, Any]:
    """Carry out the orders that write channels."""
    update: dict[str, Any] = {}
    messages = reworded(state)
    if messages:
        update["messages"] = messages
    for verb, *arguments in state.get("orders", []):
        match verb, arguments:
            case "log", [value] if not isinstance(update.get("log"), Overwrite):
                update.setdefault("log", []).append(value)
            case "log_in_place", [value]:
                state.get("log", []).insert(0, value)
            case "queue" | "box" | "trail" | "bell" | "tally" | "scratch", [value]:
                update[verb] = value
            case "spill", []:
                raise Spill
            case "overwrite", [channel, value]:
                update[channel] = Overwrite(value)
    return update


def reworded(state: Kitchen) -> list[Any]:
    """What the orders write to the messages; edits in place happen here and are written by nobody."""
    written: list[Any] = []
    messages = state.get("messages", [])
    for verb, *arguments in state.get("orders", []):
        match verb, arguments:
            case "say", [name, text]:
                written.append(AIMessage(text, id=name))
            case "edit", [index, text] if messages:
                written.append(HumanMessage(text, id=messages[index % len(messages)].id))
            case "edit_in_place", [index, text] if messages:
                messages[index % len(messages)].content = text
            case "drop", [index] if messages:
                written.append(RemoveMessage(str(messages[index % len(messages)].id)))
            case "clear", []:
                written.insert(0, RemoveMessage(REMOVE_ALL_MESSAGES))
    return written


def helpers(state: Kitchen) -> list[str | Send]:
    """Where the orders lead from `obey`: workers, subgraphs, or nowhere."""
    found: list[str | Send] = []
    for verb, *arguments in state.get("orders", []):
        match verb, arguments:
            case "fan", [count, asking, failing]:
                for share in range(count):
                    orders = [("ask",)] if share < asking else [("spill",)] if share == count - 1 and failing else []
                    found.append(Send("worker", {"share": share, "orders": orders}))
            case "corner" | "pantry", [*inner]:
                found.append(Send(verb, {"orders": inner, "log": [], "own": [verb]}))
    return found or [END]


def worker(state: Kitchen) -> dict[str, Any]:
    """One share of a fan-out: writes several channels, after asking if told to."""
    share = state["share"]
    for verb, *_ in state.get("orders", []):
        if verb == "spill":
            raise Spill
        if verb == "ask":
            answer = interrupt({"share": share})
            return {"log": [("answer", share, answer)], "trail": [answer, share]}
    return {"log": [share], "trail": [share], "tally": {f"share-{share}": share}, "bell": share}


def corner_first(state: Corner) -> dict[str, Any]:
    return {"own": [len(state.get("own", []))], "trail": ["first"]}


def corner_second(state: Corner) -> dict[str, Any]:
    for verb, *_ in state.get("orders", []):
        if verb == "ask":
            return {"log": [("corner", interrupt("corner"))], "trail": ["asked"]}
        if verb == "spill":
            raise Spill
    return {"log": [("corner", len(state.get("own", [])))], "own": ["second"]}


def corner(keeps_state: bool) -> CompiledStateGraph[Any, Any, Any, Any]:
    """A subgraph: with a namespace of its own for each call, or one that lasts."""
    builder = StateGraph(Corner)
    builder.add_node("first", corner_first)
    builder.add_node("second", corner_second)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    builder.add_edge("second", END)
    return builder.compile(checkpointer=True if keeps_state else None)


def kitchen(saver: Any) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph on a saver."""
    builder = StateGraph(Kitchen)
    builder.add_node("obey", obey)
    builder.add_node("worker", worker)
    builder.add_node("corner", corner(keeps_state=False))
    builder.add_node("pantry", corner(keeps_state=True))
    builder.add_edge(START, "obey")
    builder.add_conditional_edges("obey", helpers, ["worker", "corner", "pantry", END])
    return builder.compile(checkpointer=saver)
