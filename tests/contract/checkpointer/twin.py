"""A saver that is two: it puts every call to LangGraph's InMemorySaver and to ours, and notes each difference.

One graph runs on both at once, so ids, versions, tasks and timestamps are the same and answers can be compared whole.
"""

import copy
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.memory import InMemorySaver

from handler.storage.checkpointer import DynamoDBSaver


class Oracle(InMemorySaver):
    """InMemorySaver with the three calls that it lacks, as their docstrings in LangGraph describe them."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        for namespace, checkpoints in self.storage[source_thread_id].items():
            self.storage[target_thread_id][namespace].update(checkpoints)
        for (thread, namespace, checkpoint_id), writes in list(self.writes.items()):
            if thread == source_thread_id:
                self.writes[target_thread_id, namespace, checkpoint_id] = dict(writes)
        for (thread, namespace, channel, version), blob in list(self.blobs.items()):
            if thread == source_thread_id:
                self.blobs[target_thread_id, namespace, channel, version] = blob

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        self._drop(lambda _thread, _namespace, saved: self.serde.loads_typed(saved[1]).get("run_id") in run_ids)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        if strategy == "delete":
            for thread_id in thread_ids:
                self.delete_thread(thread_id)
            return
        latest = {
            (thread_id, namespace): checkpoints[max(checkpoints)]
            for thread_id in thread_ids
            for namespace, checkpoints in self.storage[thread_id].items()
            if checkpoints
        }
        self._drop(lambda thread, namespace, saved: thread in thread_ids and saved is not latest[thread, namespace])

    def _drop(self, unwanted: Callable[[str, str, Any], bool]) -> None:
        for thread, namespaces in self.storage.items():
            for namespace, checkpoints in namespaces.items():
                for checkpoint_id, saved in list(checkpoints.items()):
                    if unwanted(thread, namespace, saved):
                        del checkpoints[checkpoint_id]
                        self.writes.pop((thread, namespace, checkpoint_id), None)


@dataclass
class Findings:
    """What differed, in the order in which it was seen."""

    differences: list[str] = field(default_factory=list)
    compared: int = 0

    def compare(self, call: str, expected: Any, actual: Any) -> None:
        """Note a difference between two values, types included, by its path."""
        self.compared += 1
        self.differences += list(differing(call, expected, actual))


class Twin(BaseCheckpointSaver[str]):
    """Answers with what ours says, so that a wrong answer also has its consequences."""

    def __init__(self, ours: DynamoDBSaver, fresh: Callable[[], DynamoDBSaver]) -> None:
        super().__init__()
        self.memory = Oracle()
        self.ours = ours
        self.fresh = fresh
        """Makes a saver that has seen nothing of what the other wrote."""
        self.findings = Findings()

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> "Twin":
        clone = copy.copy(self)
        clone.ours = self.ours.with_allowlist(extra_allowlist)  # type: ignore[assignment]
        clone.memory = self.memory.with_allowlist(extra_allowlist)  # type: ignore[assignment]
        return clone

    def get_next_version(self, current: str | None, channel: None) -> str:
        # InMemorySaver finds values by version: it needs versions that are unique across forks, ours does not
        return self.memory.get_next_version(current, channel)

    def restart(self) -> None:
        """Let ours go on as a process that has seen nothing."""
        self.ours.flush()
        self.ours = self.fresh()

    # ---- writing

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        expected = self.memory.put(config, checkpoint, metadata, new_versions)
        actual = self.ours.put(config, checkpoint, metadata, new_versions)
        self.findings.compare("put", expected, actual)
        return actual

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        expected = self.memory.put(config, checkpoint, metadata, new_versions)
        actual = await self.ours.aput(config, checkpoint, metadata, new_versions)
        self.findings.compare("aput", expected, actual)
        return actual

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        self.memory.put_writes(config, writes, task_id, task_path)
        self.ours.put_writes(config, writes, task_id, task_path)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        self.memory.put_writes(config, writes, task_id, task_path)
        await self.ours.aput_writes(config, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:
        self.memory.delete_thread(thread_id)
        self.ours.delete_thread(thread_id)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        self.memory.copy_thread(source_thread_id, target_thread_id)
        self.ours.copy_thread(source_thread_id, target_thread_id)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        self.memory.delete_for_runs(run_ids)
        self.ours.delete_for_runs(run_ids)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        self.memory.prune(thread_ids, strategy=strategy)
        self.ours.prune(thread_ids, strategy=strategy)

    # ---- reading

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        expected = self.memory.get_tuple(config)
        actual = self.ours.get_tuple(config)
        self.findings.compare(f"get_tuple({named(config)})", shape(expected), shape(actual))
        return actual

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        expected = self.memory.get_tuple(config)
        actual = await self.ours.aget_tuple(config)
        self.findings.compare(f"aget_tuple({named(config)})", shape(expected), shape(actual))
        return actual

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        expected = [*self.memory.list(config, filter=filter, before=before, limit=limit)]
        actual = [*self.ours.list(config, filter=filter, before=before, limit=limit)]
        self.findings.compare(f"list({named(config)})", [*map(shape, expected)], [*map(shape, actual)])
        return iter(actual)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        expected = [*self.memory.list(config, filter=filter, before=before, limit=limit)]
        actual = [item async for item in self.ours.alist(config, filter=filter, before=before, limit=limit)]
        self.findings.compare(f"alist({named(config)})", [*map(shape, expected)], [*map(shape, actual)])
        for item in actual:
            yield item

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        expected = self.memory.get_delta_channel_history(config=config, channels=channels)
        actual = self.ours.get_delta_channel_history(config=config, channels=channels)
        self.findings.compare(f"get_delta_channel_history({named(config)})", expected, actual)
        return actual

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        expected = self.memory.get_delta_channel_history(config=config, channels=channels)
        actual = await self.ours.aget_delta_channel_history(config=config, channels=channels)
        self.findings.compare(f"aget_delta_channel_history({named(config)})", expected, actual)
        return actual

    # ---- judging

    def compare_all(self, threads: Sequence[str]) -> None:
        """Compare every namespace of every thread: as the writer sees it, and as a saver sees it that comes cold."""
        self.ours.flush()
        cold = self.fresh()
        for thread in threads:
            namespaces = [ns for ns, checkpoints in self.memory.storage[thread].items() if checkpoints]
            everything = [*cold.list({"configurable": {"thread_id": thread}})]
            seen = sorted({named_namespace(item) for item in everything})
            self.findings.compare(f"namespaces of {thread}", sorted(namespaces), seen)
            for namespace in {*namespaces, ""}:
                config = thread_config(thread, namespace)
                expected = [*self.memory.list(config)]
                listed = [item for item in everything if named_namespace(item) == namespace]
                where = f"list({named(config)}), cold"
                self.findings.compare(where, [*map(shape, expected)], [*map(shape, listed)])
                latest = shape(self.memory.get_tuple(config))
                for eyes, saver in (("cold", cold), ("warm", self.ours)):
                    where = f"get_tuple({named(config)}), {eyes}"
                    self.findings.compare(where, latest, shape(saver.get_tuple(config)))


def thread_config(thread: str, namespace: str = "", checkpoint_id: str | None = None) -> RunnableConfig:
    """A config that names a namespace of a thread."""
    configurable = {"thread_id": thread, "checkpoint_ns": namespace}
    if checkpoint_id:
        configurable["checkpoint_id"] = checkpoint_id
    return {"configurable": configurable}


def named_namespace(found: CheckpointTuple) -> str:
    """The namespace of a checkpoint."""
    namespace: str = found.config["configurable"]["checkpoint_ns"]
    return namespace


def named(config: RunnableConfig | None) -> str:
    """What a config points at, to be read by people."""
    return "/".join(str(part) for part in pointer(config).values() if part) if config else "all"


def pointer(config: RunnableConfig | None) -> dict[str, Any]:
    """The three names of a config that say which checkpoint it means."""
    configurable = (config or {}).get("configurable", {})
    return {name: configurable.get(name) or "" for name in ("thread_id", "checkpoint_ns", "checkpoint_id")}


def shape(found: CheckpointTuple | None) -> dict[str, Any] | None:
    """All of a checkpoint tuple that the contract promises."""
    if found is None:
        return None
    return {
        "config": pointer(found.config),
        "parent": pointer(found.parent_config) if found.parent_config else None,
        "checkpoint": dict(found.checkpoint),
        "metadata": dict(found.metadata),
        "pending_writes": [tuple(write) for write in found.pending_writes or ()],
    }


def differing(path: str, expected: Any, actual: Any) -> Iterator[str]:
    """Where two values differ; unlike `==` it tells True from 1 and a tuple from a list."""
    if type(expected) is not type(actual):
        yield f"{path}: {brief(expected)} became {brief(actual)}"
    elif isinstance(expected, dict):
        for key in [*expected, *(key for key in actual if key not in expected)]:
            if key not in actual or key not in expected:
                yield f"{path}[{key!r}] only in {'ours' if key in actual else 'memory'}"
            else:
                yield from differing(f"{path}[{key!r}]", expected[key], actual[key])
    elif isinstance(expected, list | tuple):
        if len(expected) != len(actual):
            yield f"{path}: {len(expected)} elements became {len(actual)}: {brief(expected)} became {brief(actual)}"
        for index, (before, after) in enumerate(zip(expected, actual, strict=False)):
            yield from differing(f"{path}[{index}]", before, after)
    elif expected != actual:
        yield f"{path}: {brief(expected)} became {brief(actual)}"


def brief(value: Any) -> str:
    """A value's type and the beginning of its text."""
    text = repr(value)
    return f"{type(value).__name__} {text[:150]}{'…' if len(text) > 150 else ''}"
