"""Reading a namespace's log, newest first: slots, what marks leave of them, and the states they make."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from handler.storage import checkpoint_statements as statements
from handler.storage.checkpointer.clock import move_uuid6_clock_past
from handler.storage.checkpointer.codec import Codec
from handler.storage.checkpointer.records import (
    FENCE,
    RESET,
    Entry,
    Mark,
    Slot,
    build_states,
    number,
    records_in,
    write_digest,
)
from handler.storage.checkpointer.state import State, Write, settled_writes
from handler.storage.keys import SK, log_end_sk, record_sk, slot_end_sk, slot_items_sk, slot_of
from handler.storage.table import Item, Table

PROBE = 6
"""Items that a Query asks for where nothing says how far to read: the newest record tells where its chain starts."""

FIND_PROBE = 32
"""Items that the first Query for a certain checkpoint asks for."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Span:
    """How far the next page of a read goes; its reader narrows it as it learns more."""

    low: int = 0
    """Sequence number to stop at; 0: the start of the log."""

    limit: int | None = None
    """Items of the next page, as many as fit if None."""

    above: int | None = None
    """A sequence number whose state is known: read what is above its record, and end with its slot."""

    jump: int | None = None
    """A sequence number to go on from: what is between the page read last and it does not count."""

    hinted: bool = False
    """Whether `low` is a guess: where it was too high, the read goes on below it."""

    exhausted: bool = False
    """Whether there is no history below what was read."""


@dataclass(slots=True)
class Tail:
    """The newest end of a log as a read found it."""

    seq: int = 0
    epoch: int = 0
    mark: Mark | None = None
    """The mark after the current state, if the log ends with one."""

    state: State | None = None
    writes: list[Write] = field(default_factory=list)
    """The current state's pending writes, in the order in which they were put."""

    items: list[Item] = field(default_factory=list)
    """Those writes as items."""

    weight: int = 0
    """Stored bytes of those items and of marks."""

    def add(self, writes: list[Write], item: Item, size: int) -> None:
        """Take note of an item of pending writes, unless the tail was read with it."""
        if any(known[SK] == item[SK] for known in self.items):
            return
        self.items.append(item)
        self.writes.extend(writes)
        self.weight += size


class LogReader:
    """Reads one namespace of one thread, strongly consistent."""

    def __init__(self, table: Table, pk: str, namespace: str) -> None:
        self.table = table
        self.pk = pk
        self.namespace = namespace
        self.newest_base: int | None = None
        """Where the newest full record was when it was looked for; None: nobody has looked."""

    def look_for_base(self) -> int:
        """Read the pointer to the newest full record; 0: there is none."""
        pointer = self.table.get(statements.get_base(self.pk, self.namespace))
        return number(pointer, statements.NEWEST_BASE) if pointer else 0

    def slots(self, span: Span, high: int | None = None) -> Iterator[Slot]:
        """Slots from the newest (or `high`) down: those that hold a record or a mark, and the known one."""
        high_sk = log_end_sk(self.namespace) if high is None else slot_end_sk(self.namespace, high)
        start: Item | None = None
        floating: dict[int, Slot] = {}
        while True:
            low = span.low
            request = statements.read_log(self.pk, self._low_sk(span), high_sk, span.limit, start)
            items, start = self.table.query_page(request)
            for item in items:
                seq, rest = slot_of(item[SK]["S"])
                if rest:
                    floating.setdefault(seq, Slot(seq)).add(item)
                    continue
                for place, record in records_in(item):
                    slot = floating.pop(place, None) or Slot(place)
                    slot.add(record)
                    slot.item = item if statements.MORE in item else None
                    yield slot
                floating = {}
            if start is None and not span.hinted:
                break
            if start is None:
                high_sk = slot_end_sk(self.namespace, min(low - 1, low - 1 if span.jump is None else span.jump))
                span.low, span.limit = (span.low, None) if span.low < low else (0, PROBE)
                span.hinted, floating = False, {}
            elif span.jump is not None and slot_of(start[SK]["S"])[0] > span.jump:
                high_sk, start, floating = slot_end_sk(self.namespace, span.jump), None, {}
            span.jump = None
        span.exhausted = not low
        if span.above is not None and span.low <= span.above:
            yield floating.get(span.above) or Slot(span.above)

    def _low_sk(self, span: Span) -> str:
        if span.above is not None and span.low <= span.above:
            return slot_items_sk(self.namespace, span.above)
        return record_sk(self.namespace, span.low)

    def history(self, span: Span, high: int | None = None, tail: Tail | None = None) -> Iterator[Entry]:
        """The records that are part of the history, newest first; `tail` learns what the log ends with."""
        marks: list[Mark] = []
        hidden: list[range] = []
        target: int | None = None
        floor = 0
        for slot in self.slots(span, high):
            record = slot.record or {}
            if tail is not None and not tail.seq:
                tail.seq, tail.epoch = slot.seq, number(record, statements.EPOCH)
            if (target is not None and slot.seq > target) or any(slot.seq in part for part in hidden):
                if tail is not None:
                    tail.weight += slot.size
                continue
            kind = record.get(statements.KIND, {}).get("S")
            if kind is None:
                yield Entry(slot, record, [item for item in slot.writes if counts(item, slot.seq, marks)])
                marks, target, tail = [], None, None
                if slot.seq <= floor:
                    break
                continue
            mark = Mark.of(slot, kind)
            marks.append(mark)
            if tail is not None:
                tail.mark = tail.mark or mark
                tail.weight += slot.size
            if kind != FENCE and not mark.target:
                break
            if kind == RESET:
                target = span.jump = mark.target
                floor = max(floor, mark.floor)
                hidden += mark.hidden
        else:
            return
        span.exhausted = True

    def latest(self, codec: Codec, known: State | None) -> Tail:
        """The newest end of the log; of a state that is known, only what came after it is read."""
        if known is not None:
            tail = self._read_tail(codec, Span(limit=PROBE, above=known.seq), known)
            if tail is not None:
                return tail
        return self._read_tail(codec, self._whole_chain(), None) or Tail()

    def _whole_chain(self) -> Span:
        """What a cold read asks for first: a root's chain has a pointer to its start, a subgraph's is short."""
        if self.namespace:
            return Span(limit=PROBE)
        low, self.newest_base = self.newest_base, None
        if low is None:
            low = self.look_for_base()
        return Span(low=low, hinted=low > 0)

    def _read_tail(self, codec: Codec, span: Span, known: State | None) -> Tail | None:
        tail = Tail()
        chain: list[Entry] = []
        for entry in self.history(span, tail=tail):
            chain.append(entry)
            if entry.base == entry.seq:
                break
            span.low, span.limit = entry.base, None
        if not chain:
            return None if known else tail
        tail.items, oldest = chain[0].writes, chain[-1]
        if known is not None and oldest.seq == known.seq:
            tail.state = last(build_states(codec, chain[-2::-1], known)) if len(chain) > 1 else known
            tail.epoch = tail.epoch or known.epoch
        else:
            tail.state = last(build_states(codec, chain[::-1]))
        if tail.state is None:
            logger.warning("The log of %r in %s has no base for slot %d", self.namespace, self.pk, chain[0].seq)
        else:
            tail.writes = chain[0].pending(codec)
        return tail

    def find(self, codec: Codec, checkpoint_id: str) -> tuple[State, list[Write]] | None:
        """A checkpoint of the history, with its pending writes in the order of the contract."""
        span = Span(limit=FIND_PROBE)
        above: Entry | None = None
        chain: list[Entry] = []
        for entry in self.history(span):
            if not chain and above is None:
                move_uuid6_clock_past(entry.id)
            if not chain and entry.id != checkpoint_id:
                above = entry
                span.limit = None
                continue
            chain.append(entry)
            if entry.base == entry.seq:
                break
            span.low, span.limit = entry.base, None
        state = last(build_states(codec, chain[::-1]))
        if state is None:
            return None
        return state, settled_writes(chain[0].pending(codec) + merged_writes(codec, above, checkpoint_id))

    def checkpoints(self, codec: Codec, wanted: int | None = None) -> Iterator[tuple[State, list[Write]]]:
        """Every checkpoint of the history, newest first, with its pending writes in the order of the contract.

        `wanted` says how many the caller will look at, so that no more is read than these and their chains.
        """
        done: set[str] = set()
        above: Entry | None = None
        high: int | None = None
        first_page = None if wanted is None else wanted + PROBE
        span = Span()
        while not span.exhausted:
            span = Span(limit=first_page)
            segment: list[Entry] = []
            for entry in self.history(span, high):
                if above is None and not segment:
                    move_uuid6_clock_past(entry.id)
                segment.append(entry)
                if entry.base != entry.seq:
                    if wanted is not None:
                        span.low, span.limit = entry.base, None
                    continue
                for lower, state in zip(segment, reversed(list(build_states(codec, segment[::-1]))), strict=True):
                    if state.id not in done:
                        done.add(state.id)
                        writes = lower.pending(codec) + merged_writes(codec, above, state.id)
                        yield state, settled_writes(writes)
                    above = lower
                segment = []
                span.low, span.limit, high = 0, first_page, entry.seq - 1
            if segment:
                logger.warning("The log of %r in %s has no base for slot %d", self.namespace, self.pk, segment[0].seq)
                return


def counts(item: Item, seq: int, marks: list[Mark]) -> bool:
    """Whether pending writes were put by someone who knew of every mark after them, or were adopted by it."""
    known = seq + number(item, statements.KNOWN)
    return all(known >= mark.seq or write_digest(item) in mark.adopted for mark in marks)


def merged_writes(codec: Codec, above: Entry | None, checkpoint_id: str) -> list[Write]:
    """The writes of a checkpoint that the record after it carries."""
    if above is None:
        return []
    body = above.opened(codec)
    return [Write(*packed) for packed in body.get("w", ())] if body["p"] == checkpoint_id else []


def last(states: Iterator[State]) -> State | None:
    """The last of the states, if there is any."""
    final = None
    for state in states:
        final = state
    return final
