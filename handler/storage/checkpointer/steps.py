"""A super-step on its way into the log: its state, and the form in which a record holds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langgraph.checkpoint.base import ChannelVersions, Checkpoint

from handler.storage.checkpointer.codec import Codec
from handler.storage.checkpointer.state import OWN_FIELDS, State, Stored, Write, record_body

SLACK_BYTES = 4096
"""What a chain may weigh beyond twice its state: short conversations need no snapshots."""

REMEASURED = 1.5
"""Growth after which it is measured again how well a state compresses."""

ITEM_OVERHEAD = 130
"""Bytes of an item's key and attributes beside its body."""


@dataclass(frozen=True, slots=True)
class Put:
    """The arguments of a put, apart from serde and place."""

    checkpoint: Checkpoint
    metadata: Mapping[str, Any]
    new_versions: ChannelVersions
    parent_id: str | None
    run_id: str | None


def next_state(
    codec: Codec, put: Put, parent: State | None, channels: Mapping[str, Stored], *, seq: int, epoch: int
) -> State:
    """The state that a put makes, in the slot that it will take."""
    checkpoint: Mapping[str, Any] = put.checkpoint
    other = {name: value for name, value in checkpoint.items() if name not in OWN_FIELDS}
    return State(
        seq=seq,
        epoch=epoch,
        id=checkpoint["id"],
        parent=put.parent_id,
        run_id=put.run_id,
        fields={name: checkpoint[name] for name in ("v", "ts", "updated_channels") if name in checkpoint},
        other=codec.dump(other) if other else None,
        metadata=codec.dump(dict(put.metadata)),
        versions=dict(checkpoint["channel_versions"]),
        seen={node: dict(seen) for node, seen in checkpoint["versions_seen"].items()},
        channels=channels,
        base=0,
        weight=0,
        ratio=parent.ratio if parent else 0.0,
        measured=parent.measured if parent else 0,
    )


def encode(
    codec: Codec,
    state: State,
    parent: State | None,
    changes: Mapping[str, list[Any]],
    merged: Sequence[Write],
    tail_weight: int,
) -> tuple[bytes, State]:
    """The body of a record: a difference from the parent's, or full once the differences outweigh the state.

    `tail_weight` is what has been stored since the parent's record.
    """
    if parent is not None:
        body = codec.seal(record_body(state, parent, changes, merged))
        weight = parent.weight + tail_weight + len(body) + ITEM_OVERHEAD
        state = replace(state, base=parent.base, weight=weight)
        if state.measured / REMEASURED <= state.size <= state.measured * REMEASURED and not outweighed(state):
            return body, state
    full = codec.seal(record_body(state, None, changes, merged))
    state = replace(state, ratio=len(full) / state.size, measured=state.size)
    if parent is not None and not outweighed(state):
        return body, state
    return full, replace(state, base=state.seq, weight=len(full) + ITEM_OVERHEAD)


def outweighed(state: State) -> bool:
    """Whether reading the state's chain costs more than twice what a full record would."""
    return state.weight > 2 * state.size * state.ratio + SLACK_BYTES
