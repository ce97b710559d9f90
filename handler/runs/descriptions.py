"""Describes graphs without running them: their drawing, and the JSON schemas of what goes in and out."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, cast

from handler.domain.models import Assistant, JsonObject
from handler.errors import Invalid
from handler.runs.graphs import Graphs

if TYPE_CHECKING:
    from handler.runs.graphs import Graph

log = logging.getLogger(__name__)


class Descriptions:
    """Opens a graph as a run of the assistant would, and looks at it."""

    def __init__(self, graphs: Graphs) -> None:
        self.graphs = graphs

    async def drawing(self, assistant: Assistant, *, xray: bool | int) -> JsonObject:
        """Nodes and edges; `xray`: those of subgraphs in their place, so many levels deep."""
        async with self._opened(assistant) as graph:
            try:
                drawn: JsonObject = (await graph.aget_graph(xray=xray)).to_json()
            except NotImplementedError:
                raise Invalid("The graph does not support visualization") from None
        for node in drawn.get("nodes", []):
            if isinstance(node.get("data"), dict):
                node["data"].pop("id", None)
        return drawn

    async def schemas(self, assistant: Assistant) -> JsonObject:
        """The schemas of the assistant's graph."""
        async with self._opened(assistant) as graph:
            return graph_schemas(graph)

    async def subgraphs(self, assistant: Assistant, namespace: str | None, *, recurse: bool) -> JsonObject:
        """The schemas of subgraphs, by namespace."""
        async with self._opened(assistant) as graph:
            found = graph.aget_subgraphs(namespace=namespace, recurse=recurse)
            return {name: graph_schemas(cast("Graph", subgraph)) async for name, subgraph in found}

    def _opened(self, assistant: Assistant) -> "AbstractAsyncContextManager[Graph]":
        """The assistant's graph, made with its config, and named as it is in langgraph.json."""
        config = {**assistant.config, "configurable": {**(assistant.config.get("configurable") or {})}}
        return self.graphs.open(assistant.graph_id, config, name=assistant.graph_id)


def graph_schemas(graph: "Graph") -> JsonObject:
    """The schemas of a graph; None for those that JSON Schema cannot express."""
    return {
        "input_schema": _schema(graph, "input", graph.get_input_jsonschema),
        "output_schema": _schema(graph, "output", graph.get_output_jsonschema),
        "state_schema": _schema(graph, "state", lambda: _state_schema(graph)),
        "config_schema": _schema(graph, "config", lambda: _config_schema(graph)),
        "context_schema": _schema(graph, "context", graph.get_context_jsonschema),
    }


def _schema(graph: "Graph", which: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:  # whatever pydantic finds wrong with a type of the user's
        log.warning("no schema", extra={"graph": graph.get_name(), "which": which, "error": type(error).__name__})
        return None


def _state_schema(graph: "Graph") -> JsonObject:
    """The schema of all channels that a stream shows, each optional; of what pydantic cannot express anything goes."""
    from pydantic import create_model

    fields: dict[str, Any] = {}
    for name in graph.stream_channels_list:
        kind = graph.channels[name].UpdateType  # type: ignore[union-attr]
        fields[name] = (kind if _is_expressible(kind) else Any, None)
    model: Any = create_model
    schema: JsonObject = model(graph.get_name("State"), **fields).model_json_schema()
    return schema


def _is_expressible(kind: Any) -> bool:
    from pydantic import TypeAdapter

    try:
        TypeAdapter(kind).json_schema()
    except Exception:  # whatever pydantic finds wrong with a type of the user's
        return False
    return True


def _config_schema(graph: "Graph") -> JsonObject:
    """The schema of `configurable`, which is the context's under its older name."""
    context: JsonObject | None = graph.get_context_jsonschema()
    return context or {}
