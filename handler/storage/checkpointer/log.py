"""One namespace of one thread as a saver knows it: reads its tail, appends super-steps, marks and writes."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import RLock
from typing import Any
from uuid import uuid4

from handler.errors import LeaseLost, PayloadTooLarge, StorageUnavailable
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

BATCH_BYTES = 64 * 1024
"""What one item takes along of records that were put together; a larger record has one of its own."""

LOADED = 2
"""States remembered by their id: the head and the one that a fork may start from."""


class SlotTaken(LeaseLost):
    """A slot is taken: another writer has gone on."""


class Straggler(SlotTaken):
    """A slot is taken by a writer of an earlier epoch, who does not know yet that it was superseded."""


@dataclass(frozen=True, slots=True)
class Step:
    """A super-step on its way into the log."""

    body: bytes
    state: State

    @property
    def joins(self) -> bool:
        """Whether it may share an item with those before it: a chain starts where an item does."""
        return self.state.base != self.state.seq


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

        self.batch: list[Step] = []
        """Super-steps that were accepted and are not durable yet, in their order."""

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

    def goes_on_from(self, parent_id: str | None) -> bool:
        """Whether a put with this parent follows the super-step accepted last, or is the first of its log."""
        tail = self.tail
        if parent_id is None and not self.batch:
            return True
        return tail is not None and tail.state is not None and tail.state.id == parent_id and not tail.items

    @property
    def batched_bytes(self) -> int:
        """Bytes of the super-steps that are not durable yet."""
        return sum(len(step.body) for step in self.batch)

    def settle_writes(self) -> None:
        """Make all writes durable whose checkpoint is."""
        with self.lock:
            pass  # a put under way has taken some along
        self.pending.flush()

    def detach(self) -> list[Step]:
        """Hand over what is to be made durable; whoever takes it stores it or breaks the log off."""
        with self.lock:
            batch, self.batch = self.batch, []
            return batch

    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            return self.pending.idle and not self.batch
        finally:
            self.lock.release()

    # ------------------------------------------------------------------ super-steps

    def put(self, codec: Codec, put: Put, *, later: bool = False) -> State:
        """Append a super-step: a difference from the state before it, or a full record; `later`: with those to come."""
        tail = self.tail
        if tail is None:
            raise LeaseLost("The log was not read before it was appended to")
        if tail.state is not None and self.uncertain == put.checkpoint["id"] == tail.state.id:
            self.uncertain = None
            return tail.state
        parent = self._parent(codec, tail, put.parent_id)
        held = self._taken_along(tail, parent, put.parent_id)
        try:
            step = self._step(codec, put, tail, parent, held)
            self.writer.check(step.body)
            if later:
                self.batch.append(step)
            else:
                self._store([step])
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
        self._accepted(step.state, later=later)
        for writes in held:
            writes.finish()
        return step.state

    def _accepted(self, state: State, *, later: bool) -> None:
        """A super-step is the newest one; unless it is to be stored later, it may get writes and children."""
        self.appended = True
        if self.tail is None or self.tail.state is None:
            self.pending.begin(state.id)
        self.tail = Tail(seq=state.seq, epoch=state.epoch, state=state)
        if later:
            move_uuid6_clock_past(state.id)
        else:
            self.remember(state, 0)

    def _taken_along(self, tail: Tail, parent: State | None, parent_id: str | None) -> list[Held]:
        """The writes that a record carries: its parent's, if nothing came between; else they are stored first."""
        held = self.pending.take(parent_id)
        if parent is not None and parent is tail.state and tail.seq == parent.seq:
            return held
        if self.batch:
            raise SlotTaken("Two writers put super-steps of one namespace at once")
        self.pending.store_all(held)
        return []

    def _step(self, codec: Codec, put: Put, tail: Tail, parent: State | None, held: Sequence[Held]) -> Step:
        channels, changes = next_channels(codec, parent, put.checkpoint, put.new_versions)
        state = next_state(codec, put, parent, channels, seq=tail.seq + 1, epoch=self.epoch)
        merged = [write for writes in held for write in writes.writes]
        follows = parent is not None and parent is tail.state
        return Step(*encode(codec, state, parent if follows else None, changes, merged, tail.weight))

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

    def store(self, batch: Sequence[Step]) -> None:
        """Make super-steps durable that were accepted before, as few items as they fit into."""
        for steps in items_of(batch):
            self._store(steps)
            self.stored(steps)

    def stored(self, steps: Sequence[Step]) -> None:
        """Super-steps are durable: they may get writes and children."""
        with self.lock:
            for step in steps:
                self.remember(step.state, 0)

    def _store(self, steps: Sequence[Step]) -> None:
        """Append one item."""
        try:
            self._take_slot(self.as_item(steps))
        except LeaseLost:
            raise
        except BaseException:
            self.uncertain = steps[-1].state.id
            raise
        if starts_chain(steps) and not self.namespace:
            with suppress(StorageUnavailable):  # it is a hint
                self.table.put(statements.note_base(self.pk, self.namespace, steps[0].state.seq))

    def as_item(self, steps: Sequence[Step]) -> statements.Request:
        """The request that appends super-steps as one item."""
        own, *more = [self._attributes(step) for step in steps]
        if more:
            own |= {statements.MORE: {"L": [{"M": each} for each in more]}, statements.SPAN: {"N": str(len(more))}}
        return statements.take_slot(self.pk, record_sk(self.namespace, steps[0].state.seq), own)

    def _attributes(self, step: Step) -> dict[str, Any]:
        state = step.state
        sk = record_sk(self.namespace, state.seq)
        return {
            statements.ID: id_attribute(state.id),
            statements.EPOCH: {"N": str(state.epoch)},
            statements.BASE: {"N": str(state.seq - state.base)},
            **({statements.RUN: id_attribute(state.run_id)} if state.run_id else {}),
            **self.writer.attributes(sk, step.body),
        }

    def _take_slot(self, request: statements.Request) -> None:
        """Sequence CAS: LeaseLost when the slot is taken, unless by this very write, whose response was lost."""
        item = request["Item"]
        sk = item[SK]["S"]
        try:
            self.table.put(request)
        except ConditionRefused as refused:
            if is_ours(refused.item, item):
                return
            self.writer.discard(sk, item)
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
                self._take_slot(statements.take_slot(self.pk, sk, attributes))
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
        self._take_slot(statements.take_slot(self.pk, record_sk(self.namespace, seq), attributes))
        self.forget()


def items_of(batch: Sequence[Step]) -> list[list[Step]]:
    """Super-steps by the item that they go into: each chain starts one, and none becomes too large."""
    items: list[list[Step]] = []
    size = 0
    for step in batch:
        size += len(step.body)
        if not items or not step.joins or size > BATCH_BYTES or step.state.run_id != items[-1][0].state.run_id:
            items.append([])
            size = len(step.body)
        items[-1].append(step)
    return items


def starts_chain(steps: Sequence[Step]) -> bool:
    """Whether an item is a new start of a chain, to which the log's pointer must move."""
    return bool(steps) and not steps[0].joins and steps[0].state.seq > 1


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
