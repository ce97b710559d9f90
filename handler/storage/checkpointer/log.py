"""One namespace of one thread as a saver knows it: reads its tail, appends super-steps, marks and writes."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import RLock
from typing import Any
from uuid import uuid4

from handler.errors import LeaseLost, PayloadTooLarge
from handler.storage import checkpoint_statements as statements
from handler.storage.checkpointer.clock import move_uuid6_clock_past
from handler.storage.checkpointer.codec import Codec
from handler.storage.checkpointer.pending import Held, PendingWrites
from handler.storage.checkpointer.reading import LogReader, Tail
from handler.storage.checkpointer.records import RESET, BodyWriter, hidden_attribute, id_attribute, number, write_digest
from handler.storage.checkpointer.state import State, next_channels
from handler.storage.checkpointer.steps import ITEM_OVERHEAD, Put, encode, next_state
from handler.storage.keys import PK, SK, record_sk, writes_number, writes_sk
from handler.storage.table import ConditionRefused, Table

NULL_TASK_ID = "00000000-0000-0000-0000-000000000000"
"""The task under which LangGraph writes what belongs to no task: the values of a resume."""

LOADED = 2
"""States remembered by their id: the head and the one that a fork may start from."""


class SlotTaken(LeaseLost):
    """A slot is taken: another writer has gone on."""


class Straggler(SlotTaken):
    """A slot is taken by a writer of an earlier epoch, who does not know yet that it was superseded."""


class Log:
    """A namespace's log, appended to by one saver; `lock` orders puts and reads, pending writes need no order."""

    def __init__(self, table: Table, pk: str, namespace: str, epoch: int) -> None:
        self.namespace = namespace
        self.pk = pk
        self.table = table
        self.reader = LogReader(table, pk, namespace)
        self.writer = BodyWriter(table, pk)
        self.pending = PendingWrites(self._send)
        self.lock = RLock()
        self.own_epoch = epoch
        self.owner = uuid4().hex[:12]
        self.tail: Tail | None = None
        self.appended = False
        """Whether a super-step or a task got on by this saver; a resume, which each driver repeats, does not count."""

        self.uncertain: str | None = None
        """A checkpoint whose put failed without telling whether it was stored."""

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
        self.tail = tail
        self.pending.recover()
        if tail.state is not None:
            numbers = [writes_number(item[SK]["S"]) + 1 for item in tail.items]
            self.remember(tail.state, max(numbers, default=0))
        return tail

    def forget(self) -> None:
        """Forget the tail, so that the next call reads it."""
        self.tail = None
        self.loaded = {}

    def remember(self, state: State, writes: int) -> None:
        """Take note of a checkpoint that was read or written: it may get writes and children."""
        move_uuid6_clock_past(state.id)
        known = {name: other for name, other in self.loaded.items() if name != state.id}
        self.loaded = dict([*known.items(), (state.id, state)][-LOADED:])
        self.pending.place(state.id, state.seq, writes)

    def fail(self, error: BaseException) -> None:
        """A put failed: no later checkpoint of its run will come, and the tail is read again."""
        self.pending.fail(error)
        self.forget()

    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            return self.pending.idle
        finally:
            self.lock.release()

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
        state = next_state(codec, put, parent, channels, seq=tail.seq + 1, epoch=self.epoch)
        held = self.pending.take(put.parent_id)
        if parent is None or not follows or tail.seq != parent.seq:
            self.pending.store_all(held)
            held = []
        try:
            stored = self._append(codec, tail, state, parent if follows else None, changes, held)
        except PayloadTooLarge:
            self.pending.store_all(held)
            raise
        except Straggler:
            self.pending.store_all(held)
            self._cut(codec, tail)
            return self.put(codec, put)
        except BaseException as error:
            for writes in held:
                writes.fail(error)
            raise
        self.appended = True
        self.tail = Tail(seq=stored.seq, epoch=stored.epoch, state=stored)
        self.remember(stored, 0)
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
        body, state = encode(codec, state, parent, changes, merged, tail.weight)
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

    def _send(self, held: Held) -> None:
        body = held.codec.seal([write.packed() for write in held.writes])
        first = held.writes[0]
        stored = False
        while not stored:
            seq, count = self.pending.next_place(held.checkpoint_id)
            tail = self.tail
            epoch = self.epoch
            sk = writes_sk(self.namespace, seq, first.path, first.task_id, epoch, count)
            attributes = {
                statements.ID: {"S": f"{self.owner}{id(held):x}"},
                statements.EPOCH: {"N": str(epoch)},
                statements.KNOWN: {"N": str(max(tail.seq - seq, 0) if tail else 0)},
                **({statements.RUN: id_attribute(held.run_id)} if held.run_id else {}),
                **self.writer.attributes(sk, body),
            }
            with suppress(SlotTaken):
                self._take_slot(sk, attributes)
                stored = True
        self.appended = self.appended or first.task_id != NULL_TASK_ID
        tail = self.tail
        if tail is not None and tail.state is not None and tail.state.id == held.checkpoint_id:
            tail.add(held.writes, {PK: {"S": self.pk}, SK: {"S": sk}, **attributes}, len(body) + ITEM_OVERHEAD)

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


def is_ours(stored: Mapping[str, Any] | None, attributes: Mapping[str, Any]) -> bool:
    """Whether a refused write was stored before and its response lost: same id, same epoch."""
    return stored is not None and all(
        stored.get(name) == attributes.get(name) for name in (statements.ID, statements.EPOCH, statements.KIND)
    )
