"""Configs and checkpoint tuples, as LangGraph wants them, out of what the log holds."""

from collections.abc import Sequence

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple, DeltaChannelHistory

from handler.storage.checkpointer.codec import Codec
from handler.storage.checkpointer.reading import LogReader
from handler.storage.checkpointer.state import State, Write, load_checkpoint, load_value


def place_of(config: RunnableConfig) -> tuple[str, str]:
    """Thread and namespace of a config."""
    configurable = config["configurable"]
    return str(configurable["thread_id"]), configurable.get("checkpoint_ns", "")


def config_of(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    """The config that names a checkpoint."""
    return {
        "configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id},
    }


def delta_history(
    codec: Codec, reader: LogReader, checkpoint_id: str | None, channels: Sequence[str]
) -> dict[str, DeltaChannelHistory]:
    """Walk from a checkpoint (None: the latest) to its ancestors until each channel's stored value is found."""
    found: dict[str, DeltaChannelHistory] = {channel: {"writes": []} for channel in channels}
    remaining = set(channels)
    wanted, started = checkpoint_id, False
    for state, writes in reader.checkpoints(codec):
        if wanted is not None and state.id != wanted:
            continue
        if started:
            for channel in remaining:
                own = [(w.task_id, channel, codec.load((w.kind, w.data))) for w in writes if w.channel == channel]
                found[channel]["writes"] = own + found[channel]["writes"]
            for channel in remaining & set(state.channels):
                found[channel]["seed"] = load_value(codec, state.channels[channel])
            remaining -= set(state.channels)
        started, wanted = True, state.parent
        if wanted is None or not remaining:
            break
    return found


def checkpoint_tuple(
    codec: Codec, thread_id: str, namespace: str, state: State, writes: Sequence[Write]
) -> CheckpointTuple:
    """A checkpoint as LangGraph wants it."""
    return CheckpointTuple(
        config=config_of(thread_id, namespace, state.id),
        checkpoint=load_checkpoint(codec, state),
        metadata=codec.load(state.metadata),
        parent_config=config_of(thread_id, namespace, state.parent) if state.parent else None,
        pending_writes=[(write.task_id, write.channel, codec.load((write.kind, write.data))) for write in writes],
    )
