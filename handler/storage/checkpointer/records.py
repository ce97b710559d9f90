"""Items of a log: a record, a mark, pending writes and their chunks, to DynamoDB and back."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

from handler.errors import PayloadTooLarge, StorageUnavailable
from handler.storage import checkpoint_statements as statements
from handler.storage.checkpointer.codec import Codec
from handler.storage.checkpointer.state import Body, State, Write, apply_change, apply_mapping_change
from handler.storage.keys import CHUNK_MARK, PK, SK, WRITES_MARK, chunk_sk, log_namespace, record_sk, slot_of
from handler.storage.table import Item, Table

CHUNK_BYTES = 380 * 1024
"""What one item carries of a body; DynamoDB takes 400 KB with keys and attributes."""

MAX_BODY_BYTES = 64 * CHUNK_BYTES
"""The largest body, compressed: 23.75 MB."""

DIGEST_BYTES = 8

FENCE, RESET, TOMBSTONE = "fence", "reset", "tombstone"
"""Kinds of marks: a takeover · back to an earlier state · nothing before this."""


@dataclass(slots=True)
class Slot:
    """All that is stored under one sequence number; `record` is None where only leftovers of a refused writer are."""

    seq: int
    record: Item | None = None
    chunks: dict[str, bytes] = field(default_factory=dict)
    writes: list[Item] = field(default_factory=list)
    size: int = 0
    item: Item | None = None
    """The item that holds the record, if it holds others as well."""

    def add(self, item: Item) -> None:
        """File an item of this slot."""
        _, rest = slot_of(item[SK]["S"])
        self.size += item_size(item)
        if CHUNK_MARK in rest:
            self.chunks[item[SK]["S"]] = item[statements.BODY]["B"]
        elif rest.startswith(WRITES_MARK):
            self.writes.append(item)
        else:
            self.record = item


def records_in(item: Item) -> list[tuple[int, Item]]:
    """The records of an item by their slots, newest first, each as if it had an item of its own."""
    seq, _ = slot_of(item[SK]["S"])
    if statements.MORE not in item:
        return [(seq, item)]
    namespace = log_namespace(item[SK]["S"])
    first = {name: value for name, value in item.items() if name not in (statements.MORE, statements.SPAN)}
    own = [first, *(entry["M"] for entry in item[statements.MORE]["L"])]
    keys = [{PK: item[PK], SK: {"S": record_sk(namespace, seq + place)}} for place in range(len(own))]
    return [(seq + place, {**own[place], **keys[place]}) for place in reversed(range(len(own)))]


def newest_slot(item: Item) -> int:
    """The last sequence number that a record's item takes."""
    return slot_of(item[SK]["S"])[0] + number(item, statements.SPAN)


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark in the log, by the slot it is in."""

    seq: int
    kind: str
    epoch: int
    target: int
    """The sequence number of the state that is current after it; 0: there is none."""

    adopted: frozenset[bytes]
    """Digests of the keys of the pending writes that it leaves standing."""

    floor: int
    """The slot that the history begins with; 0: the first one."""

    hidden: Sequence[range]
    """Slots that are no part of the history."""

    @classmethod
    def of(cls, slot: Slot, kind: str) -> "Mark":
        record = slot.record or {}
        back = number(record, statements.TARGET)
        digests = bytes(record.get(statements.ADOPTED, {}).get("B", b""))
        return cls(
            seq=slot.seq,
            kind=kind,
            epoch=number(record, statements.EPOCH),
            target=slot.seq - back if back else 0,
            adopted=frozenset(digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)),
            floor=slot.seq - number(record, statements.FLOOR) if statements.FLOOR in record else 0,
            hidden=[slots_between(slot.seq, entry["S"]) for entry in record.get(statements.HIDDEN, {}).get("L", [])],
        )


@dataclass(slots=True)
class Entry:
    """A record that is part of the history, with the pending writes that count."""

    slot: Slot
    record: Item
    writes: list[Item]
    _opened: Body | None = None

    @property
    def seq(self) -> int:
        return self.slot.seq

    @property
    def id(self) -> str:
        return read_id(self.record, statements.ID) or ""

    @property
    def base(self) -> int:
        return self.slot.seq - number(self.record, statements.BASE)

    def opened(self, codec: Codec) -> Body:
        """The record's body."""
        if self._opened is None:
            self._opened = codec.open(read_body(self.record, self.slot.chunks))
        return self._opened

    def pending(self, codec: Codec) -> list[Write]:
        """The writes stored as items of their own, in the order in which they were put."""
        items = sorted(self.writes, key=lambda item: item[SK]["S"].rpartition("#")[2])
        return [Write(*packed) for item in items for packed in codec.open(read_body(item, self.slot.chunks))]


def write_digest(item: Mapping[str, Any]) -> bytes:
    """What a mark names pending writes by: short, for a fan-out may have left thousands."""
    return hashlib.sha256(item[SK]["S"].partition(WRITES_MARK)[2].encode()).digest()[:DIGEST_BYTES]


def slots_between(seq: int, distances: str) -> range:
    """The slots that a mark hides by one entry."""
    far, _, near = distances.partition("-")
    return range(seq - int(far), seq - int(near) + 1)


def hidden_attribute(seq: int, hidden: Sequence[int]) -> dict[str, Any]:
    """Slots to hide as the attribute of the mark in slot `seq`."""
    spans: list[list[int]] = []
    for slot in sorted(hidden):
        if spans and spans[-1][1] == slot - 1:
            spans[-1][1] = slot
        else:
            spans.append([slot, slot])
    return {"L": [{"S": f"{seq - first}-{seq - last}"} for first, last in spans]}


def number(item: Mapping[str, Any], name: str) -> int:
    """A numeric attribute, 0 when absent."""
    return int(item[name]["N"]) if name in item else 0


def id_attribute(value: str) -> dict[str, Any]:
    """An id as an attribute: 16 bytes when it is a UUID in its usual form, else as it is."""
    try:
        parsed = UUID(value)
    except ValueError:
        return {"S": value}
    return {"B": parsed.bytes} if str(parsed) == value else {"S": value}


def read_id(item: Mapping[str, Any], name: str) -> str | None:
    """Undo `id_attribute`; None when there is none."""
    if name not in item:
        return None
    value = item[name]
    return str(UUID(bytes=bytes(value["B"]))) if "B" in value else str(value["S"])


def item_size(item: Mapping[str, Any]) -> int:
    """Bytes that DynamoDB counts for an item, near enough to weigh a read."""
    return sum(len(name) + sum(size_of(part) for part in value.values()) for name, value in item.items())


def size_of(part: Any) -> int:
    if isinstance(part, str | bytes):
        return len(part)
    return 3 + sum(1 + item_size({"": entry}) for entry in part) if isinstance(part, list) else 1


def read_body(item: Item, chunks: Mapping[str, bytes]) -> bytes:
    """The sealed body of an item, from the item or from its chunks."""
    if statements.CHUNKS not in item:
        return bytes(item[statements.BODY]["B"])
    name, _, count = item[statements.CHUNKS]["S"].partition("#")
    try:
        return b"".join(bytes(chunks[chunk_sk(item[SK]["S"], name, place)]) for place in range(int(count)))
    except KeyError:
        raise StorageUnavailable(f"A chunk of {item[SK]['S']} is missing: it was deleted while it was read") from None


class BodyWriter:
    """Turns a sealed body into attributes, writing the chunks of a large one first."""

    def __init__(self, table: Table, pk: str) -> None:
        self.table = table
        self.pk = pk

    def check(self, body: bytes) -> None:
        """Refuse a body that is too large, before anything is written."""
        if len(body) > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"A super-step of {len(body)} bytes, compressed, exceeds {MAX_BODY_BYTES}")

    def attributes(self, sk: str, body: bytes) -> dict[str, Any]:
        """The attributes that hold the body or point at its chunks, which are durable by then."""
        self.check(body)
        if len(body) <= CHUNK_BYTES:
            return {statements.BODY: {"B": body}}
        name = uuid4().hex[:12]
        parts = [body[start : start + CHUNK_BYTES] for start in range(0, len(body), CHUNK_BYTES)]
        for place, part in enumerate(parts):
            self.table.put(statements.put_chunk(self.pk, chunk_sk(sk, name, place), part))
        return {statements.CHUNKS: {"S": f"{name}#{len(parts)}"}}

    def discard(self, sk: str, attributes: Mapping[str, Any]) -> None:
        """Delete the chunks of an item that was refused."""
        if statements.CHUNKS in attributes:
            name, _, count = attributes[statements.CHUNKS]["S"].partition("#")
            keys = [{PK: {"S": self.pk}, SK: {"S": chunk_sk(sk, name, place)}} for place in range(int(count))]
            self.table.batch_delete(keys)


def build_states(codec: Codec, entries: Sequence[Entry], below: State | None = None) -> Iterator[State]:
    """The states of a chain; `entries` come oldest first and start with a full record or right after `below`."""
    parent = below
    for entry in entries:
        body = entry.opened(codec)
        full = entry.base == entry.seq
        if not full and parent is None:
            return
        parent = read_state(entry, body, None if full else parent)
        yield parent


def read_state(entry: Entry, body: Body, parent: State | None) -> State:
    """A record's state, out of its body and the state before it."""
    channels = dict(parent.channels) if parent else {}
    for name, change in body["c"].items():
        value = apply_change(channels.pop(name, None), change)
        if value is not None:
            channels[name] = value
    own = entry.slot.size
    state = State(
        seq=entry.seq,
        epoch=number(entry.record, statements.EPOCH),
        id=entry.id,
        parent=body["p"],
        run_id=read_id(entry.record, statements.RUN),
        fields=body["f"],
        other=tuple(body["o"]) if "o" in body else None,
        metadata=tuple(body["m"]),
        versions=apply_mapping_change(parent.versions if parent else {}, body["v"]),
        seen=apply_mapping_change(parent.seen if parent else {}, body["s"]),
        channels=channels,
        base=entry.base,
        weight=(parent.weight + own) if parent else own,
        ratio=parent.ratio if parent else 0.0,
        measured=parent.measured if parent else 0,
    )
    return state if parent else replace(state, ratio=own / state.size, measured=state.size)
