"""Reads the state of threads through their graphs, as `GET /threads/{id}/state` shows it."""

from typing import TYPE_CHECKING, Any

from handler.domain.models import JsonObject, Thread
from handler.domain.ports import SaverFactory
from handler.runs.graphs import Graphs
from handler.runs.outcome import shown_interrupt

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

CHECKPOINT_KEYS = ("checkpoint_id", "thread_id", "checkpoint_ns", "checkpoint_map")


class States:
    """Reads checkpoints, strongly consistent; graphs run nothing here."""

    def __init__(self, graphs: Graphs, savers: SaverFactory) -> None:
        self.graphs = graphs
        self.savers = savers

    async def state(
        self, thread: Thread, checkpoint: JsonObject | None = None, *, subgraphs: bool = False
    ) -> JsonObject:
        """The state of a thread, at a checkpoint if one is named; empty where there is none."""
        config: RunnableConfig = {
            "configurable": {"checkpoint_ns": "", **(checkpoint or {}), "thread_id": thread.thread_id}
        }
        if thread.graph_id is None or thread.graph_id not in self.graphs.ids:
            return _empty_state(thread, checkpoint)
        async with self.graphs.open(thread.graph_id, {**config}, checkpointer=self.savers(thread.tenant)) as graph:
            snapshot = await graph.aget_state(config, subgraphs=subgraphs)
        if snapshot.created_at is None:
            return _empty_state(thread, checkpoint)
        return shown_state(snapshot)

    async def history(
        self, thread: Thread, checkpoint: JsonObject, *, limit: int, before: str | None, metadata: JsonObject | None
    ) -> list[JsonObject]:
        """The states of a thread or of a subgraph's namespace, newest first, older than the checkpoint `before`."""
        if thread.graph_id is None or thread.graph_id not in self.graphs.ids:
            return []
        config: RunnableConfig = {"configurable": {"checkpoint_ns": "", **checkpoint, "thread_id": thread.thread_id}}
        end = checkpoint_config(thread.thread_id, before) if before else None
        async with self.graphs.open(thread.graph_id, {**config}, checkpointer=self.savers(thread.tenant)) as graph:
            found = graph.aget_state_history(config, filter=metadata or None, before=end, limit=limit)
            return [shown_state(snapshot) async for snapshot in found]

    async def summary(self, thread: Thread) -> tuple[Any, JsonObject]:
        """Values and interrupts (by task id) of a thread at the end of its last run; (None, {}) before the first.

        LangGraph counts what tasks have written since a checkpoint (of two interrupts one may have been answered) only
        where it is asked for the latest state; while a run goes on that is another than the end of the one before.
        """
        if thread.checkpoint_id is None or thread.graph_id is None or thread.graph_id not in self.graphs.ids:
            return None, {}
        latest, last = (checkpoint_config(thread.thread_id, each) for each in (None, thread.checkpoint_id))
        async with self.graphs.open(thread.graph_id, {**last}, checkpointer=self.savers(thread.tenant)) as graph:
            snapshot = await graph.aget_state(last if thread.busy else latest)
            if snapshot.config["configurable"].get("checkpoint_id") != thread.checkpoint_id:
                snapshot = await graph.aget_state(last)
        interrupts = {
            task.id: [shown_interrupt(interrupt) for interrupt in task.interrupts]
            for task in snapshot.tasks
            if task.interrupts
        }
        return snapshot.values, interrupts


def checkpoint_config(thread_id: str, checkpoint_id: str | None) -> "RunnableConfig":
    """The config that names a root checkpoint; None: the latest."""
    named = {"checkpoint_id": checkpoint_id} if checkpoint_id is not None else {}
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": "", **named}}


def _empty_state(thread: Thread, checkpoint: JsonObject | None) -> JsonObject:
    named = {**checkpoint, "thread_id": thread.thread_id} if checkpoint else None
    return {
        "values": {},
        "next": [],
        "tasks": [],
        "metadata": None,
        "created_at": None,
        "checkpoint": named,
        "parent_checkpoint": None,
        "interrupts": [],
        "checkpoint_id": checkpoint.get("checkpoint_id") if checkpoint else None,
        "parent_checkpoint_id": None,
    }


def shown_state(snapshot: Any) -> JsonObject:
    """A LangGraph StateSnapshot as the API shows it."""
    checkpoint = _shown_checkpoint(snapshot.config)
    parent = _shown_checkpoint(snapshot.parent_config)
    return {
        "values": snapshot.values,
        "next": list(snapshot.next),
        "tasks": [_shown_task(task) for task in snapshot.tasks],
        "metadata": {**(snapshot.metadata or {}), "thread_id": snapshot.config["configurable"]["thread_id"]},
        "created_at": snapshot.created_at,
        "checkpoint": checkpoint,
        "parent_checkpoint": parent,
        "interrupts": [shown_interrupt(interrupt) for interrupt in snapshot.interrupts],
        "checkpoint_id": checkpoint["checkpoint_id"] if checkpoint else None,
        "parent_checkpoint_id": parent["checkpoint_id"] if parent else None,
    }


def _shown_task(task: Any) -> JsonObject:
    nested = task.state
    is_config = isinstance(nested, dict) and "configurable" in nested
    return {
        "id": task.id,
        "name": task.name,
        "path": list(task.path),
        "error": repr(task.error) if isinstance(task.error, BaseException) else task.error,
        "interrupts": [shown_interrupt(interrupt) for interrupt in task.interrupts],
        "checkpoint": _shown_checkpoint(nested) if is_config else None,
        "state": shown_state(nested) if nested is not None and not is_config else None,
        "result": task.result,
    }


def _shown_checkpoint(config: Any) -> JsonObject | None:
    if not config:
        return None
    configurable = config["configurable"]
    return {name: configurable[name] for name in CHECKPOINT_KEYS if configurable.get(name) is not None}
