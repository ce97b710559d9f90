"""Runs a graph for the thread-wide streaming protocol: LangGraph's own events of version 3, ready to be kept and sent.

| LangGraph's event | here                                                                              |
|-------------------|-----------------------------------------------------------------------------------|
| `messages`        | the content-block event alone; whole messages are left out: the values have them   |
| `checkpoints`     | `id`, `parent_id`, `step`, `source`, in place of the whole state                   |
| `lifecycle`       | under the namespace that it tells of                                              |
| any other         | as it is                                                                          |

An event is named `method|node:task|…`, as those of the other stream modes are, and its data is the protocol's event.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from langchain_core._api import suppress_langchain_beta_warning
from langgraph.stream import StreamTransformer

from handler.domain.models import JsonObject
from handler.runs.arguments import GraphArguments
from handler.runs.outcome import INTERRUPT
from handler.runs.parts import Publish


class FurtherModes(StreamTransformer):
    """Has the graph emit what the protocol has channels for, beyond what LangGraph itself asks for."""

    required_stream_modes = ("updates", "custom", "checkpoints", "tools")

    def init(self) -> dict[str, Any]:
        """Project nothing."""
        return {}

    def process(self, _event: Any) -> bool:
        """Let every event pass."""
        return True


async def run_protocol(
    graph: Any, arguments: GraphArguments, control: Any, publish: Publish, *, repeats: bool = False
) -> AsyncIterator[Any]:
    """Run the graph; yields the root's values, which are gathered for whoever waits, and publishes the events.

    `repeats`: the driver before has published the values with which the graph, going on after it, begins.
    """
    with suppress_langchain_beta_warning():
        stream = await graph.astream_events(
            arguments.input,
            arguments.config,
            version="v3",
            transformers=[FurtherModes],
            context=arguments.context,
            interrupt_before=arguments.interrupt_before,
            interrupt_after=arguments.interrupt_after,
            durability=arguments.durability,
            control=control,
        )
    async with stream:
        async for event in stream:
            method, params = event["method"], event["params"]
            if method == "values" and not params["namespace"]:
                yield answered(params)
                if repeats:
                    repeats = False
                    continue
            kept = kept_params(method, params)
            if kept is not None:
                name = "|".join((method, *kept["namespace"]))
                publish(name, {"type": "event", "method": method, "params": kept})


def answered(params: JsonObject) -> Any:
    """The root's values as the stream mode `values` has them, interrupts among them."""
    values, interrupts = params["data"], params.get("interrupts")
    return {**values, INTERRUPT: interrupts} if interrupts and isinstance(values, Mapping) else values


def kept_params(method: str, params: JsonObject) -> JsonObject | None:
    """What is kept of an event; None: nothing."""
    data = params["data"]
    if method == "messages":
        payload = data[0] if isinstance(data, tuple) else data
        return {**params, "data": payload} if isinstance(payload, dict) and "event" in payload else None
    if method == "checkpoints":
        return {**params, "data": checkpoint_of(data)}
    if method == "lifecycle":
        return {**params, "namespace": data["namespace"]}
    return params


def checkpoint_of(data: JsonObject) -> JsonObject:
    """A checkpoint as the protocol names it."""
    parent, metadata = data.get("parent_config"), data.get("metadata") or {}
    parents = {"parent_id": parent["configurable"]["checkpoint_id"]} if parent else {}
    checkpoint_id = data["config"]["configurable"]["checkpoint_id"]
    return {"id": checkpoint_id, **parents, "step": metadata.get("step"), "source": metadata.get("source")}
