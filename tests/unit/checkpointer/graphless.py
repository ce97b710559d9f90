"""A thread driven by hand: super-steps and pending writes without a graph."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    create_checkpoint,
    empty_checkpoint,
)

from handler.storage.checkpointer import DynamoDBSaver
from handler.storage.table import Item, Table

Call = tuple[RunnableConfig, Checkpoint, CheckpointMetadata, ChannelVersions]
"""The arguments of a put."""

THREAD = "4dcf8c0b-1d2c-4a47-9b3e-6f1a25b3c001"


class RecordingTable(Table):
    """A table that remembers which requests were sent, and can lose the response to the next ones."""

    requests: list[str]
    lose: Callable[[str], BaseException | None] | None

    def __init__(self, client: Any, name: str) -> None:
        super().__init__(client, name)
        self.requests = []
        self.lose = None

    def _call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        self.requests.append(operation)
        answer = super()._call(operation, request)
        lost = self.lose(operation) if self.lose else None
        if lost is not None:
            raise lost
        return answer

    def items(self) -> list[Item]:
        """All there is."""
        return list(self.client.scan(TableName=self.name)["Items"])

    def sort_keys(self) -> list[str]:
        """All sort keys, in order."""
        return sorted(item["SK"]["S"] for item in self.items())


def config_of(thread_id: str = THREAD, namespace: str = "", checkpoint_id: str | None = None) -> RunnableConfig:
    configurable = {"thread_id": thread_id, "checkpoint_ns": namespace}
    return {"configurable": {**configurable, **({"checkpoint_id": checkpoint_id} if checkpoint_id else {})}}


@dataclass
class Hand:
    """Goes on from the checkpoint that it has put or loaded last, as a graph's loop does."""

    saver: DynamoDBSaver
    namespace: str = ""
    thread_id: str = THREAD
    at: RunnableConfig | None = None
    versions: dict[str, int] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    step: int = 0

    def load(self, checkpoint_id: str | None = None) -> CheckpointTuple | None:
        """Start from the latest checkpoint, or from another one."""
        found = self.saver.get_tuple(config_of(self.thread_id, self.namespace, checkpoint_id))
        if found is not None:
            self.at = found.config
            self.versions = {name: int(version) for name, version in found.checkpoint["channel_versions"].items()}
            self.values = dict(found.checkpoint["channel_values"])
        return found

    def call(self, *, run_id: str | None = None, **values: Any) -> Call:
        """The arguments of a put of a checkpoint in which these channels have changed."""
        self.step += 1
        changed: ChannelVersions = {name: self.versions.get(name, 0) + 1 for name in values}
        checkpoint = create_checkpoint(empty_checkpoint(), None, self.step)
        checkpoint["channel_values"] = {**self.values, **values}
        checkpoint["channel_versions"] = {**self.versions, **changed}
        metadata: CheckpointMetadata = {"source": "loop", "step": self.step, "parents": {}}
        if run_id:
            metadata["run_id"] = run_id
        return self.at or config_of(self.thread_id, self.namespace), checkpoint, metadata, changed

    def put(self, *, run_id: str | None = None, **values: Any) -> str:
        """Put a checkpoint in which these channels have changed, go on from it, and return its id."""
        config, checkpoint, metadata, changed = self.call(run_id=run_id, **values)
        self.at = self.saver.put(config, checkpoint, metadata, changed)
        self.values = dict(checkpoint["channel_values"])
        self.versions |= {name: int(version) for name, version in changed.items()}
        return checkpoint["id"]

    def write(self, *writes: tuple[str, Any], task_id: str = "task-1", path: str = "", run_id: str = "") -> None:
        """Store pending writes of the checkpoint that it is at."""
        assert self.at is not None
        config: RunnableConfig = {**self.at, "metadata": {"run_id": run_id}} if run_id else self.at
        self.saver.put_writes(config, list(writes), task_id, path)

    def read(self) -> CheckpointTuple | None:
        """The latest checkpoint, without starting from it."""
        return self.saver.get_tuple(config_of(self.thread_id, self.namespace))

    def history(self) -> list[str]:
        """The ids of all checkpoints, newest first."""
        listed = self.saver.list(config_of(self.thread_id, self.namespace))
        return [found.checkpoint["id"] for found in listed]


def writes_of(found: CheckpointTuple | None) -> list[tuple[str, Any]]:
    """Channels and values of a checkpoint's pending writes, in order."""
    assert found is not None
    return [(channel, value) for _, channel, value in found.pending_writes or ()]
