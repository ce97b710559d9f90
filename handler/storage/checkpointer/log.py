"""One namespace of one thread as a saver knows it: its tail, its current state, and the writes that it holds back."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from threading import Lock, RLock
from typing import Any
from uuid import uuid4

from langgraph.checkpoint.base import ChannelVersions, Checkpoint

from handler.errors import LeaseLost, PayloadTooLarge
from handler.storage import checkpoint_statements as statements
from handler.storage.checkpointer.clock import move_uuid6_clock_past
from handler.storage.checkpointer.codec import Codec
from handler.storage.checkpointer.reading import LogReader, Tail
from handler.storage.checkpointer.records import RESET, BodyWriter, hidden_attribute, id_attribute, number, write_digest
from handler.storage.checkpointer.state import OWN_FIELDS, State, Write, next_channels, record_body
from handler.storage.keys import PK, SK, record_sk, writes_number, writes_sk
from handler.storage.table import ConditionRefused, Table

SLACK_BYTES = 4096
"""What a chain may weigh beyond twice its state: short conversations need no snapshots."""

REMEASURED = 1.5
"""Growth after which it is measured again how well a state compresses."""

ITEM_OVERHEAD = 130
"""Bytes of an item's key and attributes beside its body."""

NULL_TASK_ID = "00000000-0000-0000-0000-000000000000"
"""The task under which LangGraph writes what belongs to no task: the values of a resume."""

REMEMBERED = 64
"""Checkpoints whose place in the log is remembered for pending writes that come late."""


class SlotTaken(LeaseLost):
    """A slot is taken: another writer has gone on."""


class Straggler(SlotTaken):
    """A slot is taken by a writer of an earlier epoch, who does not know yet that it was superseded."""


@dataclass(slots=True, eq=False)
class Held:
    """A task's writes on their way: held until the record that follows takes them along or the time is up."""

    checkpoint_id: str
    writes: list[Write]
    run_id: str | None
    codec: Codec
    placed: "Future[None]" = field(default_factory=Future)
    """Done when the checkpoint has its slot."""

    done: "Future[None]" = field(default_factory=Future)
    """Done when the writes are durable."""

    claimed: bool = False

    def fail(self, error: BaseException) -> None:
        """Tell the task that its writes are not durable."""
        for future in (self.placed, self.done):
            if not future.done():
                future.set_exception(error)

    def finish(self) -> None:
        """Tell the task that its writes are durable."""
        self.place()
        if not self.done.done():
            self.done.set_result(None)

    def place(self) -> None:
        if not self.placed.done():
            self.placed.set_result(None)


@dataclass(frozen=True, slots=True)
class Put:
    """The arguments of a put, apart from serde and place."""

    checkpoint: Checkpoint
    metadata: Mapping[str, Any]
    new_versions: ChannelVersions
    parent_id: str | None
    run_id: str | None


class Log:
    """A namespace's log, appended to by one saver; `lock` orders its requests, `gate` guards what is held."""

    def __init__(self, table: Table, pk: str, namespace: str, epoch: int) -> None:
        self.namespace = namespace
        self.pk = pk
        self.table = table
        self.reader = LogReader(table, pk, namespace)
        self.writer = BodyWriter(table, pk)
        self.lock = RLock()
        self.gate = Lock()
        self.own_epoch = epoch
        self.owner = uuid4().hex[:12]
        self.tail: Tail | None = None
        self.appended = False
        """Whether a super-step or a task got on by this saver; a resume, which each driver repeats, does not count."""

        self.failure: BaseException | None = None
        self.uncertain: str | None = None
        """A checkpoint whose put failed without telling whether it was stored."""

        self.places: dict[str, tuple[int, int]] = {}
        """Slot and number of stored writes of the checkpoints seen last."""

        self.held: list[Held] = []
        self.storing: list[Held] = []
        self.loaded: dict[str, State] = {}
        """The states read last by their id: parents of forks."""

    # ------------------------------------------------------------------ knowing the tail

    @property
    def epoch(self) -> int:
        """The epoch to write under: the lease's, or without a lease the one found."""
        return self.own_epoch or (self.tail.epoch if self.tail else 0)

    def load(self, codec: Codec, known: State | None) -> Tail:
        """Read the tail; refuse to go on when a later epoch has written there."""
        tail = self.reader.latest(codec, known)
        return self.accept(tail)

    def accept(self, tail: Tail) -> Tail:
        """Take what was read (or remembered) as the log's tail."""
        if self.own_epoch and tail.epoch > self.own_epoch:
            self.forget()
            raise LeaseLost(f"Epoch {tail.epoch} has taken over from {self.own_epoch}")
        with self.gate:
            self.tail = tail
            self.failure = None
            if tail.state is not None:
                self._remember(tail.state)
                numbers = [writes_number(item[SK]["S"]) + 1 for item in tail.items]
                self._place(tail.state.id, tail.state.seq, max(numbers, default=0))
        if tail.state is not None:
            move_uuid6_clock_past(tail.state.id)
        return tail

    def forget(self) -> None:
        """Forget the tail, so that the next call reads it."""
        with self.gate:
            self.tail = None
            self.loaded.clear()

    def remember(self, state: State, writes: Sequence[Write]) -> None:
        """Take note of a checkpoint that was read: it may get writes and children."""
        move_uuid6_clock_past(state.id)
        with self.gate:
            self._remember(state)
            self._place(state.id, state.seq, len(writes))

    def _remember(self, state: State) -> None:
        self.loaded[state.id] = state
        while len(self.loaded) > 2:
            self.loaded.pop(next(iter(self.loaded)))

    def _place(self, checkpoint_id: str, seq: int, count: int) -> None:
        self.places[checkpoint_id] = (seq, max(count, self.places.get(checkpoint_id, (0, 0))[1]))
        while len(self.places) > REMEMBERED:
            self.places.pop(next(iter(self.places)))
        for held in self.held:
            if held.checkpoint_id == checkpoint_id:
                held.place()

    def fail(self, error: BaseException) -> None:
        """A put failed: writes of checkpoints that have no slot will never be stored, and the tail is read again."""
        with self.gate:
            self.failure = error
            lost = [held for held in self.held if held.checkpoint_id not in self.places]
            self.held = [held for held in self.held if held.checkpoint_id in self.places]
        for writes in lost:
            writes.fail(error)
        self.forget()

    # ------------------------------------------------------------------ super-steps

    def put(self, codec: Codec, put: Put) -> State:
        """Append a super-step: a difference from the state before it, or a full record."""
        tail = self.tail
        if tail is None:
            raise LeaseLost("The log was not read before it was appended to")
        if tail.state is not None and self.uncertain == put.checkpoint["id"] == tail.state.id:
            self.uncertain = None
            return tail.state
        parent = self._parent(codec, tail, put.parent_id)
        follows = parent is not None and parent is tail.state
        channels, changes = next_channels(codec, parent, put.checkpoint, put.new_versions)
        state = self._next_state(codec, tail, put, parent, channels)
        held = self._take(put.parent_id)
        if parent is None or not follows or tail.seq != parent.seq:
            self._store_all(held)
            held = []
        try:
            stored = self._append(codec, tail, state, parent if follows else None, changes, held)
        except PayloadTooLarge:
            self._store_all(held)
            raise
        except Straggler:
            self._store_all(held)
            self._cut(codec, tail)
            return self.put(codec, put)
        except BaseException as error:
            for writes in held:
                writes.fail(error)
            raise
        with self.gate:
            self.appended = True
            self.tail = Tail(seq=stored.seq, epoch=stored.epoch, state=stored)
            self._remember(stored)
            self._place(stored.id, stored.seq, 0)
        for writes in held:
            writes.finish()
        return stored

    def _cut(self, codec: Codec, tail: Tail) -> None:
        """Hide what a superseded writer has appended since this one took over, and go on from the state known."""
        adopted = adoptable(tail.items)
        while True:
            there = self.reader.latest(codec, None)
            if self.own_epoch < there.epoch:
                raise LeaseLost(f"Epoch {there.epoch} has taken over from {self.own_epoch}")
            try:
                self.mark(RESET, there, place_of(tail), adopted)
            except Straggler:
                continue
            self.load(codec, tail.state)
            return

    def _parent(self, codec: Codec, tail: Tail, parent_id: str | None) -> State | None:
        if parent_id is None:
            return None
        if tail.state is not None and tail.state.id == parent_id:
            return tail.state
        if parent_id in self.loaded:
            return self.loaded[parent_id]
        found = self.reader.find(codec, parent_id)
        return found[0] if found else None

    def _next_state(self, codec: Codec, tail: Tail, put: Put, parent: State | None, channels: dict[str, Any]) -> State:
        checkpoint: Mapping[str, Any] = put.checkpoint
        other = {name: value for name, value in checkpoint.items() if name not in OWN_FIELDS}
        return State(
            seq=tail.seq + 1,
            epoch=self.epoch,
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

    def _append(
        self,
        codec: Codec,
        tail: Tail,
        state: State,
        parent: State | None,
        changes: Mapping[str, list[Any]],
        held: Sequence[Held],
    ) -> State:
        merged = [write for writes in held for write in writes.writes]
        body, state = self._encode(codec, tail, state, parent, changes, merged)
        self.writer.check(body)
        sk = record_sk(self.namespace, state.seq)
        attributes = {
            statements.ID: id_attribute(state.id),
            statements.EPOCH: {"N": str(state.epoch)},
            statements.BASE: {"N": str(state.seq - state.base)},
            **({statements.RUN: id_attribute(state.run_id)} if state.run_id else {}),
            **self.writer.attributes(sk, body),
        }
        try:
            self._take_slot(sk, attributes)
        except LeaseLost:
            raise
        except BaseException:
            self.uncertain = state.id
            raise
        return state

    def _encode(
        self,
        codec: Codec,
        tail: Tail,
        state: State,
        parent: State | None,
        changes: Mapping[str, list[Any]],
        merged: Sequence[Write],
    ) -> tuple[bytes, State]:
        """The body of a record: a difference, or full once the differences outweigh the state."""
        if parent is not None:
            body = codec.seal(record_body(state, parent, changes, merged))
            weight = parent.weight + tail.weight + len(body) + ITEM_OVERHEAD
            state = replace(state, base=parent.base, weight=weight)
            if state.measured / REMEASURED <= state.size <= state.measured * REMEASURED and not outweighed(state):
                return body, state
        full = codec.seal(record_body(state, None, changes, merged))
        state = replace(state, ratio=len(full) / state.size, measured=state.size)
        if parent is not None and not outweighed(state):
            return body, state
        return full, replace(state, base=state.seq, weight=len(full) + ITEM_OVERHEAD)

    def _take_slot(self, sk: str, attributes: Mapping[str, Any]) -> None:
        """Sequence CAS: LeaseLost when the slot is taken, unless by this very write, whose response was lost."""
        try:
            self.table.put(statements.take_slot(self.pk, sk, attributes))
        except ConditionRefused as refused:
            if is_ours(refused.item, attributes):
                return
            self.writer.discard(sk, attributes)
            if refused.item is not None and number(refused.item, statements.EPOCH) < self.own_epoch:
                raise Straggler(f"{sk} is taken by a superseded writer") from refused
            raise SlotTaken(f"{sk} is taken: another writer has gone on") from refused

    # ------------------------------------------------------------------ pending writes

    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            return not self.held and not self.storing and self.failure is None
        finally:
            self.lock.release()

    def hold(self, held: Held) -> None:
        """Take writes in charge; they are durable once `held.done` is."""
        with self.gate:
            placed = held.checkpoint_id in self.places
            if self.failure is not None and not placed:
                raise self.failure
            self.held.append(held)
            if placed:
                held.place()

    def _take(self, checkpoint_id: str | None) -> list[Held]:
        with self.gate:
            taken = [held for held in self.held if held.checkpoint_id == checkpoint_id]
            self.held = [held for held in self.held if held.checkpoint_id != checkpoint_id]
        return taken

    def claim(self, held: Held) -> bool:
        """Whether the caller is the one to store these writes: no record has taken them along."""
        with self.gate:
            if held in self.held:
                self.held.remove(held)
                self.storing.append(held)
                return True
            return False

    def store_held(self) -> None:
        """Make all writes durable whose checkpoint has its slot; return when those under way are."""
        with self.gate:
            ready = [held for held in self.held if held.checkpoint_id in self.places]
            self.held = [held for held in self.held if held.checkpoint_id not in self.places]
            under_way = list(self.storing)
        self._store_all(ready)
        for held in under_way:
            held.done.result()

    def _store_all(self, batch: Sequence[Held]) -> None:
        errors: list[Exception] = []
        for held in batch:
            try:
                self.store(held)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def store(self, held: Held) -> None:
        """Store writes as an item of their own; many may be under way at once."""
        try:
            self._store(held)
        except BaseException as error:
            held.fail(error)
            raise
        finally:
            with self.gate:
                if held in self.storing:
                    self.storing.remove(held)
        held.finish()

    def _store(self, held: Held) -> None:
        body = held.codec.seal([write.packed() for write in held.writes])
        first = held.writes[0]
        while True:
            with self.gate:
                seq, count = self.places[held.checkpoint_id]
                self.places[held.checkpoint_id] = (seq, count + 1)
                known = max((self.tail.seq if self.tail else 0) - seq, 0)
                epoch = self.epoch
            sk = writes_sk(self.namespace, seq, first.path, first.task_id, epoch, count)
            attributes = {
                statements.ID: {"S": f"{self.owner}{id(held):x}"},
                statements.EPOCH: {"N": str(epoch)},
                statements.KNOWN: {"N": str(known)},
                **({statements.RUN: id_attribute(held.run_id)} if held.run_id else {}),
                **self.writer.attributes(sk, body),
            }
            try:
                self._take_slot(sk, attributes)
            except SlotTaken:
                continue
            break
        self.appended = self.appended or first.task_id != NULL_TASK_ID
        with self.gate:
            tail = self.tail
            if tail is not None and tail.state is not None and tail.state.id == held.checkpoint_id:
                tail.writes.extend(held.writes)
                tail.items.append({PK: {"S": self.pk}, SK: {"S": sk}, **attributes})
                tail.weight += len(body) + ITEM_OVERHEAD

    # ------------------------------------------------------------------ marks

    def mark(
        self,
        kind: str,
        tail: Tail,
        target: int | None,
        adopted: bytes,
        *,
        epoch: int = 0,
        floor: int | None = None,
        hidden: Sequence[int] = (),
    ) -> None:
        """Append a mark after a tail, back to the slot `target`; LeaseLost when its slot is taken."""
        seq = tail.seq + 1
        attributes: dict[str, Any] = {
            statements.ID: {"S": uuid4().hex[:12]},
            statements.EPOCH: {"N": str(epoch or self.own_epoch or tail.epoch)},
            statements.KIND: {"S": kind},
            **({statements.ADOPTED: {"B": adopted}} if adopted else {}),
            **({statements.TARGET: {"N": str(seq - target)}} if target else {}),
            **({statements.FLOOR: {"N": str(seq - floor)}} if floor else {}),
            **({statements.HIDDEN: hidden_attribute(seq, hidden)} if hidden else {}),
        }
        self._take_slot(record_sk(self.namespace, seq), attributes)
        self.forget()


def place_of(tail: Tail) -> int | None:
    """The slot of the current state."""
    return tail.state.seq if tail.state else None


def adoptable(items: Sequence[Mapping[str, Any]]) -> bytes:
    """The names under which a mark adopts pending writes."""
    return b"".join(write_digest(item) for item in items)


def outweighed(state: State) -> bool:
    """Whether reading the state's chain costs more than twice what a full record would."""
    return state.weight > 2 * state.size * state.ratio + SLACK_BYTES


def is_ours(stored: Mapping[str, Any] | None, attributes: Mapping[str, Any]) -> bool:
    """Whether a refused write was stored before and its response lost: same id, same epoch."""
    return stored is not None and all(
        stored.get(name) == attributes.get(name) for name in (statements.ID, statements.EPOCH, statements.KIND)
    )
