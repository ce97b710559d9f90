"""A checkpoint as the log holds it: serialised channels, and the difference between two of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from langgraph.checkpoint.base import WRITES_IDX_MAP, ChannelVersions, Checkpoint, writes_sort_key

from handler.storage.checkpointer.codec import Codec, Typed, packed_rows

Body = dict[str, Any]
"""What `Codec.seal` packs."""

VALUE, ELEMENTS, SPLICE, GONE = 0, 1, 2, 3
"""Kinds of a channel's change: by value · list by its elements · first elements kept, others follow · no value."""

OWN_FIELDS = ("v", "id", "ts", "updated_channels", "channel_values", "channel_versions", "versions_seen")
"""The fields of a checkpoint that a record has a place for; others travel together."""


@dataclass(frozen=True, slots=True)
class Value:
    """A channel's value, serialised as one."""

    kind: str
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data) + 8


@dataclass(frozen=True, slots=True)
class Elements:
    """A list channel's value, serialised element by element."""

    parts: tuple[bytes, ...]
    size: int = field(compare=False)

    rows: bytes | None = field(compare=False)
    """The `packed_rows` of the objects that were last seen to have these bytes, if that is known."""

    @classmethod
    def of(cls, parts: Sequence[bytes], rows: bytes | None = None) -> "Elements":
        return cls(tuple(parts), sum(map(len, parts)) + 33 * len(parts) + 8, rows)


Stored = Value | Elements


@dataclass(frozen=True, slots=True)
class Write:
    """One pending write, serialised."""

    path: str
    task_id: str
    idx: int
    channel: str
    kind: str
    data: bytes

    def packed(self) -> list[Any]:
        return [self.path, self.task_id, self.idx, self.channel, self.kind, self.data]


@dataclass(frozen=True)
class State:
    """A checkpoint, serialised, with its place in the log."""

    seq: int
    epoch: int
    id: str
    parent: str | None
    run_id: str | None
    fields: Mapping[str, Any]
    """`v`, `ts` and `updated_channels`."""

    other: Typed | None
    """Further fields of the checkpoint, if it has any."""

    metadata: Typed
    versions: ChannelVersions
    seen: Mapping[str, ChannelVersions]
    channels: Mapping[str, Stored]
    base: int
    """Sequence number of the full record that its chain starts from."""

    weight: int
    """Stored bytes from the base up to here: what reading it costs."""

    ratio: float
    """Stored bytes per serialised byte of a full record, as last measured."""

    measured: int
    """The serialised size it was measured at."""

    @cached_property
    def size(self) -> int:
        """Serialised bytes, roughly."""
        skeleton = 24 * (len(self.versions) + sum(map(len, self.seen.values())))
        return 400 + skeleton + len(self.metadata[1]) + sum(v.size + len(k) for k, v in self.channels.items())

    @property
    def footprint(self) -> int:
        """Bytes of memory, roughly."""
        rows = (value.rows for value in self.channels.values() if isinstance(value, Elements))
        return self.size + sum(len(packed) for packed in rows if packed is not None)


def write_list(codec: Codec, writes: Sequence[tuple[str, Any]], task_id: str, path: str) -> list[Write]:
    """Serialise what a task wrote; special channels have places of their own, below zero."""
    return [
        Write(path, task_id, WRITES_IDX_MAP.get(channel, idx), channel, *codec.dump(value))
        for idx, (channel, value) in enumerate(writes)
    ]


def settled_writes(writes: Sequence[Write]) -> list[Write]:
    """Pending writes in the order of the contract; `writes` come in the order in which they were put.

    A regular write stands as it was first put, a special one as it was last.
    """
    places: dict[tuple[str, int], Write] = {}
    for write in writes:
        if write.idx < 0:
            places[write.task_id, write.idx] = write
        else:
            places.setdefault((write.task_id, write.idx), write)
    return sorted(places.values(), key=lambda w: writes_sort_key(w.path, w.task_id, w.idx))


def change_channel(codec: Codec, old: Stored | None, value: Any) -> tuple[Stored, list[Any] | None]:
    """The new value serialised, and how to get there from the old one (None: nothing changed)."""
    if codec.splits and type(value) is list:
        elements = change_list(codec, old if isinstance(old, Elements) else Elements.of(()), value)
        if elements is not None:
            new, keep = elements
            if isinstance(old, Elements) and keep == len(old.parts) == len(new.parts):
                return new, None
            return new, [SPLICE, keep, list(new.parts[keep:])] if keep else [ELEMENTS, list(new.parts)]
    whole = Value(*codec.dump(value))
    return whole, None if whole == old else [VALUE, whole.kind, whole.data]


def change_list(codec: Codec, old: Elements, value: list[Any]) -> tuple[Elements, int] | None:
    """The list's elements and how many of the old ones they start with, by their bytes; None: they have none."""
    rows = packed_rows(value)
    known = rows is not None and old.rows is not None and rows.startswith(old.rows)
    keep = len(old.parts) if known else 0
    added = codec.dump_elements(value[keep:])
    if added is None:
        return None
    parts = list(old.parts[:keep])
    for part in added:
        if keep == len(parts) < len(old.parts) and part == old.parts[keep]:
            part = old.parts[keep]
            keep += 1
        parts.append(part)
    return Elements.of(parts, rows), keep


def apply_change(old: Stored | None, change: Sequence[Any]) -> Stored | None:
    """Undo `change_channel`."""
    kind = change[0]
    if kind == GONE:
        return None
    if kind == VALUE:
        return Value(change[1], change[2])
    if kind == ELEMENTS:
        return Elements.of(change[1])
    if not isinstance(old, Elements):
        raise TypeError("a splice without the list it starts from")
    return Elements.of([*old.parts[: change[1]], *change[2]])


def full_change(value: Stored) -> list[Any]:
    """The change that makes a value out of nothing."""
    return [VALUE, value.kind, value.data] if isinstance(value, Value) else [ELEMENTS, list(value.parts)]


def load_value(codec: Codec, value: Stored) -> Any:
    """Deserialise a channel's value."""
    return codec.load((value.kind, value.data)) if isinstance(value, Value) else codec.load_elements(value.parts)


def load_checkpoint(codec: Codec, state: State) -> Checkpoint:
    """Deserialise a checkpoint; nothing in it is shared with the state."""
    other = codec.load(state.other) if state.other else {}
    checkpoint: Any = {
        **other,
        **state.fields,
        "id": state.id,
        "channel_values": {name: load_value(codec, value) for name, value in state.channels.items()},
        "channel_versions": dict(state.versions),
        "versions_seen": {node: dict(versions) for node, versions in state.seen.items()},
    }
    return checkpoint  # type: ignore[no-any-return]


def next_channels(
    codec: Codec, parent: State | None, checkpoint: Checkpoint, new_versions: ChannelVersions
) -> tuple[dict[str, Stored], dict[str, list[Any]]]:
    """The channels of a checkpoint and their changes since its parent.

    A channel whose version did not move keeps what is stored for it, whether the checkpoint brings its value or not.
    """
    values = checkpoint["channel_values"]
    old = parent.channels if parent else {}
    old_versions = parent.versions if parent else {}
    channels: dict[str, Stored] = {}
    changes: dict[str, list[Any]] = {}
    for name, version in checkpoint["channel_versions"].items():
        if name not in new_versions and parent is not None and old_versions.get(name) == version:
            if name in old:
                channels[name] = old[name]
        elif name in values:
            channels[name], change = change_channel(codec, old.get(name), values[name])
            if change is not None:
                changes[name] = change
    changes.update({name: [GONE] for name in old if name not in channels})
    return channels, changes


def mapping_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Any]:
    """What to set and what to remove to make one mapping of another."""
    return [{k: v for k, v in new.items() if k not in old or old[k] != v}, [k for k in old if k not in new]]


def apply_mapping_change(old: Mapping[str, Any], change: Sequence[Any]) -> dict[str, Any]:
    """Undo `mapping_change`."""
    gone = set(change[1])
    return {**{k: v for k, v in old.items() if k not in gone}, **change[0]}


def record_body(state: State, parent: State | None, changes: Mapping[str, list[Any]], writes: Sequence[Write]) -> Body:
    """The body of a record: a difference from the parent's, or full without one."""
    body: Body = {
        "p": state.parent,
        "f": dict(state.fields),
        "m": list(state.metadata),
        "c": dict(changes) if parent else {name: full_change(value) for name, value in state.channels.items()},
        "v": mapping_change(parent.versions if parent else {}, state.versions),
        "s": mapping_change(parent.seen if parent else {}, state.seen),
    }
    if state.other:
        body["o"] = list(state.other)
    if writes:
        body["w"] = [write.packed() for write in writes]
    return body
