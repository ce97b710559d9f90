"""Turns what a run was asked for into the arguments of the graph's `astream`."""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal

from handler.domain.models import JsonObject, Run

if TYPE_CHECKING:
    from langgraph.types import Command

All = Literal["*"]
Nodes = list[str] | All | None

OWN_CONFIGURABLE = ("thread_id", "run_id", "graph_id", "assistant_id", "user_id")
"""What the server alone decides in `configurable`."""

CHECKPOINT_KEYS = ("checkpoint_id", "checkpoint_ns", "checkpoint_map")
"""What names a checkpoint, in `configurable` as in the body's `checkpoint`."""

STRICT_RESUME = "__pregel_strict_resume"
"""Where LangGraph looks, in `configurable`, whether a resume that answers no waiting interrupt is an error."""

INTERRUPTING_MODE = "updates"
"""The stream mode under which an interrupted run answers with its interrupts alone."""


@dataclass(frozen=True, slots=True)
class GraphArguments:
    """The arguments with which one driver calls a graph."""

    input: Any
    config: JsonObject
    context: Any = None
    interrupt_before: Nodes = None
    interrupt_after: Nodes = None
    durability: str = "async"
    stream_modes: tuple[str, ...] = field(default=("values",))


def graph_config(run: Run, user: str | None = None) -> JsonObject:
    """The RunnableConfig of a run: what the caller configured, below what the server decides."""
    asked = run.kwargs.get("config") or {}
    configurable = {
        name: value for name, value in (asked.get("configurable") or {}).items() if name not in OWN_CONFIGURABLE
    }
    context = run.kwargs.get("context")
    if isinstance(context, dict):
        configurable.update({name: value for name, value in context.items() if name not in OWN_CONFIGURABLE})
    checkpoint = run.kwargs.get("checkpoint") or {}
    configurable.update({name: checkpoint[name] for name in CHECKPOINT_KEYS if checkpoint.get(name)})
    configurable.update(
        thread_id=run.thread_id,
        run_id=run.run_id,
        graph_id=run.graph_id,
        assistant_id=run.assistant_id,
        user_id=user or "",
    )
    metadata = {
        **(asked.get("metadata") or {}),
        **run.metadata,
        "graph_id": run.graph_id,
        "assistant_id": run.assistant_id,
        "run_attempt": run.attempt,
    }
    kept = {name: asked[name] for name in ("tags", "recursion_limit", "max_concurrency", "run_name") if name in asked}
    return {**kept, "configurable": configurable, "metadata": metadata}


def graph_arguments(run: Run, graph: Any, *, resumes: bool) -> GraphArguments:
    """What to call `graph` with; `resumes`: an earlier driver has left checkpoints of this very run."""
    kwargs = run.kwargs
    config = graph_config(run)
    if resumes:
        for name in CHECKPOINT_KEYS:
            config["configurable"].pop(name, None)
    context = graph_context(graph, config, kwargs)
    if kwargs.get("strict_resume"):
        config["configurable"][STRICT_RESUME] = True
    modes = kwargs.get("stream_mode") or []
    return GraphArguments(
        input=None if resumes else graph_input(kwargs),
        config=config,
        context=context,
        interrupt_before=kwargs.get("interrupt_before"),
        interrupt_after=kwargs.get("interrupt_after"),
        durability=kwargs.get("durability") or "async",
        stream_modes=("values", "updates") if INTERRUPTING_MODE in modes else ("values",),
    )


def graph_input(kwargs: JsonObject) -> Any:
    """The input, or the command that stands in its place."""
    command = kwargs.get("command")
    return to_command(command) if command is not None else kwargs.get("input")


def to_command(command: JsonObject) -> "Command[Any] | None":
    """The API's command as LangGraph's; None for one that asks for nothing."""
    from langgraph.types import Command

    given = {name: command[name] for name in ("resume", "update") if command.get(name) is not None}
    goto = command.get("goto")
    if goto:
        targets = goto if isinstance(goto, list) else [goto]
        given["goto"] = [_target(target) for target in targets]
    if not given:
        return None
    return Command(**given)


def _target(target: Any) -> Any:
    from langgraph.types import Send

    return Send(target["node"], target.get("input")) if isinstance(target, dict) else target


def graph_context(graph: Any, config: JsonObject, kwargs: JsonObject) -> Any:
    """The context: what was given, else the configurable, without keys that the graph's context schema lacks."""
    schema = getattr(graph, "context_schema", None)
    given = kwargs.get("context")
    if schema is None:
        return given
    if given is None:
        given = {
            name: value
            for name, value in config["configurable"].items()
            if name not in (*OWN_CONFIGURABLE, *CHECKPOINT_KEYS)
        }
    known = _field_names(schema)
    return given if known is None else {name: value for name, value in given.items() if name in known}


def _field_names(schema: Any) -> set[str] | None:
    if is_dataclass(schema):
        return {one.name for one in fields(schema) if one.init}
    if hasattr(schema, "model_fields"):
        return set(schema.model_fields)
    annotations = getattr(schema, "__annotations__", None)
    return set(annotations) if annotations else None
