"""Runs a graph in the stream modes that were asked for, and names what it emits as the SDKs know it.

| asked for        | LangGraph's mode | events                                                                      |
|------------------|------------------|-----------------------------------------------------------------------------|
| `messages-tuple` | `messages`       | `messages`: chunk and metadata                                              |
| `messages`       | `messages`       | `messages/metadata` once a message, `messages/partial` what there is of it, |
|                  |                  | `messages/complete` for one that no model streams                           |
| `events`         | none             | `events`: LangChain's                                                       |
| `debug`          | `debug`          | `debug`: checkpoints named as the API names them                            |
| any other        | the same         | the same                                                                    |

With subgraphs what one of them emits is named `mode|node:task|…`.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from handler.domain.models import JsonObject
from handler.runs.arguments import GraphArguments

Publish = Callable[[str, Any], None]
"""Takes an event: its name and its data."""

EVENTS = "events"
MESSAGES = "messages"
TUPLES = "messages-tuple"
DEBUG = "debug"
VALUES = "values"


async def run_graph(
    graph: Any,
    arguments: GraphArguments,
    control: Any,
    asked: Sequence[str],
    publish: Publish,
    *,
    subgraphs: bool,
    repeats: bool = False,
) -> AsyncIterator[Any]:
    """Run the graph; yields the root's values, which are gathered for whoever waits, and publishes the events.

    `repeats`: the driver before has published the values with which the graph, going on after it, begins.
    """
    modes = langgraph_modes(asked)
    options = {
        "context": arguments.context,
        "stream_mode": modes,
        "subgraphs": subgraphs,
        "interrupt_before": arguments.interrupt_before,
        "interrupt_after": arguments.interrupt_after,
        "durability": arguments.durability,
        "control": control,
    }
    naming = Naming(asked, publish)
    chunks = (
        _among_events(graph, arguments, options, publish)
        if EVENTS in asked
        else graph.astream(arguments.input, arguments.config, **options)
    )
    async for chunk in chunks:
        namespace, mode, data = chunk if subgraphs else ((), *chunk)
        if mode == VALUES and not namespace:
            yield data
            if repeats:
                repeats = False
                continue
        naming.take(namespace, mode, data)


def langgraph_modes(asked: Sequence[str]) -> list[str]:
    """LangGraph's modes for those that were asked for; values are always among them."""
    named = {MESSAGES if mode == TUPLES else mode for mode in asked if mode != EVENTS}
    return sorted(named | {VALUES})


async def _among_events(
    graph: Any, arguments: GraphArguments, options: JsonObject, publish: Publish
) -> AsyncIterator[Any]:
    """The graph's chunks, taken from LangChain's events, which are published but for those that carry the chunks."""
    configurable = arguments.config["configurable"]
    root = configurable["run_id"]
    config = {"run_name": configurable["graph_id"], **arguments.config, "run_id": uuid.UUID(root)}
    async for event in graph.astream_events(arguments.input, config, version="v2", **options):
        if event["event"] == "on_chain_stream" and event["run_id"] == root:
            yield event["data"]["chunk"]
        elif "langsmith:hidden" not in (event.get("tags") or ()):
            publish(EVENTS, event)


class Naming:
    """Names chunks as events; of messages it gathers what has come so far."""

    def __init__(self, asked: Sequence[str], publish: Publish) -> None:
        self.asked = frozenset(asked)
        self.publish = publish
        self._messages: dict[str | None, Any] = {}

    def take(self, namespace: Sequence[str], mode: str, data: Any) -> None:
        """Publish a chunk, if its mode was asked for."""
        if mode == MESSAGES and TUPLES not in self.asked:
            if MESSAGES in self.asked:
                self._gather(*data)
            return
        if mode not in self.asked and not (mode == MESSAGES and TUPLES in self.asked):
            return
        shown = shown_debug(data) if mode == DEBUG else data
        self.publish("|".join((mode, *namespace)), shown)

    def _gather(self, message: Any, metadata: JsonObject) -> None:
        from langchain_core.messages import BaseMessageChunk, message_chunk_to_message

        if message.id not in self._messages:
            self.publish("messages/metadata", {message.id: {"metadata": metadata}})
        if not isinstance(message, BaseMessageChunk):
            self._messages[message.id] = message
            self.publish("messages/complete", [message])
            return
        before = self._messages.get(message.id)
        whole = before + message if isinstance(before, BaseMessageChunk) else message
        self._messages[message.id] = whole
        self.publish("messages/partial", [message_chunk_to_message(whole)])


def shown_debug(data: JsonObject) -> JsonObject:
    """A chunk of LangGraph's debug mode, with its checkpoints named as the API names them."""
    if data.get("type") != "checkpoint":
        return data
    payload = data["payload"]
    shown = {
        **payload,
        "tasks": [shown_task(task) for task in payload.get("tasks") or ()],
        "checkpoint": named_checkpoint(payload.get("config")),
        "parent_checkpoint": named_checkpoint(payload.get("parent_config")),
    }
    return {**data, "payload": shown}


def shown_task(task: JsonObject) -> JsonObject:
    """A task of a debug chunk; one that is a subgraph names its checkpoint."""
    state = task.get("state")
    if not isinstance(state, dict) or "configurable" not in state:
        return task
    shown = {name: value for name, value in task.items() if name != "state"}
    return {**shown, "checkpoint": state["configurable"]}


def named_checkpoint(config: JsonObject | None) -> JsonObject | None:
    """A checkpoint as the API names it."""
    if not config:
        return None
    configurable = config["configurable"]
    names = ("checkpoint_id", "thread_id", "checkpoint_ns", "checkpoint_map")
    return {name: configurable[name] for name in names if name in configurable}
