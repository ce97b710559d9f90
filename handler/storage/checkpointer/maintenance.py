"""What happens to whole threads and runs: delete, prune, copy; each leaves the sequence numbers as they were."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from handler.errors import LeaseLost
from handler.storage import checkpoint_statements as statements
from handler.storage.checkpointer.codec import Codec
from handler.storage.checkpointer.log import Log, SlotTaken, adoptable, is_ours
from handler.storage.checkpointer.reading import PROBE, LogReader, Span, Tail, merged_writes
from handler.storage.checkpointer.records import (
    FENCE,
    RESET,
    TOMBSTONE,
    BodyWriter,
    Entry,
    build_states,
    id_attribute,
    newest_slot,
    number,
    read_id,
    records_in,
)
from handler.storage.checkpointer.state import State, record_body
from handler.storage.keys import (
    CHECKPOINT_PREFIX,
    CHECKPOINTS_FIRST,
    PK,
    SK,
    base_sk,
    log_end_sk,
    log_namespace,
    log_prefix,
    record_sk,
    slot_of,
    tenant_prefix,
    thread_of,
)
from handler.storage.table import ConditionRefused, Item, Table

RUNS_A_SCAN = 50
"""Run ids that one filter names; DynamoDB takes 100 operands."""


def subgraph_keys(table: Table, pk: str) -> dict[str, list[Item]]:
    """All items of the logs of a thread's subgraphs."""
    return thread_keys(table, pk, low=log_end_sk(""))


def thread_keys(table: Table, pk: str, low: str = CHECKPOINTS_FIRST) -> dict[str, list[Item]]:
    """All items of a thread's logs by namespace, root first, each with the attributes that tell them apart."""
    found: dict[str, list[Item]] = defaultdict(list)
    for item in table.query(statements.read_keys(pk, low)):
        found[log_namespace(item[SK]["S"])].append(item)
    return dict(sorted(found.items()))


def tenant_threads(table: Table, tenant: str) -> list[str]:
    """The partitions of a tenant that have checkpoints: a scan of the whole table."""
    found = (item[PK]["S"] for page in scan(table, statements.scan_logs, tenant_prefix(tenant)) for item in page)
    return list(dict.fromkeys(found))


def scan(table: Table, statement: Any, *arguments: Any) -> Iterator[list[Item]]:
    """Send a scan page after page."""
    start: Item | None = None
    while True:
        items, start = table.scan_page(statement(*arguments, start))
        yield items
        if start is None:
            return


def is_record(item: Mapping[str, Any]) -> bool:
    """Whether an item takes a slot: a record or a mark."""
    return not slot_of(item[SK]["S"])[1]


def delete_keys(table: Table, pk: str, sort_keys: Sequence[str]) -> None:
    """Delete items of one partition."""
    table.batch_delete([{PK: {"S": pk}, SK: {"S": sk}} for sk in sort_keys])


def recurs(namespace: str) -> bool:
    """Whether a namespace may be written again after its thread was deleted: others carry a task's id."""
    return ":" not in namespace.rpartition("|")[2]


def delete_thread(table: Table, pk: str, epoch: int) -> None:
    """Delete a thread's checkpoints; a tombstone stays in the slot that a superseded writer would take next."""
    while True:
        logs = thread_keys(table, pk)
        lasting = {namespace: items for namespace, items in logs.items() if recurs(namespace)}
        try:
            kept = {sk for namespace, items in lasting.items() for sk in bury(table, pk, namespace, items, epoch)}
        except SlotTaken:
            continue
        found = [item for namespace, items in logs.items() for item in items if not stays(namespace, item)]
        bases = [base_sk("")] if "" in logs else []
        delete_keys(table, pk, [*bases, *(item[SK]["S"] for item in found if item[SK]["S"] not in kept)])
        return


def stays(namespace: str, item: Item) -> bool:
    """Whether an item outlasts its log: a mark is in the slot that the writer whom it superseded will try to take."""
    return recurs(namespace) and item.get(statements.KIND, {}).get("S") in (FENCE, RESET)


def bury(table: Table, pk: str, namespace: str, items: Sequence[Item], epoch: int) -> list[str]:
    """Put a tombstone behind a log, unless one is all there is; return the keys that must stay."""
    records = [item for item in items if is_record(item)]
    if not records:
        return []
    newest = records[-1]
    tail = Tail(seq=newest_slot(newest), epoch=number(newest, statements.EPOCH))
    if epoch and tail.epoch > epoch:
        raise LeaseLost(f"Epoch {tail.epoch} has taken over from {epoch}")
    if newest.get(statements.KIND, {}).get("S") == TOMBSTONE:
        return [newest[SK]["S"]]
    # Without a lease nobody else may go on under the last epoch: whoever held it is refused when it reads again.
    Log(table, pk, namespace, epoch).mark(TOMBSTONE, tail, None, b"", epoch=epoch or tail.epoch + 1)
    return [record_sk(namespace, tail.seq + 1)]


@dataclass(frozen=True, slots=True)
class Rewriter:
    """Writes records again as full ones and deletes others, within one log."""

    table: Table
    pk: str
    namespace: str
    codec: Codec
    epoch: int

    @property
    def reader(self) -> LogReader:
        return LogReader(self.table, self.pk, self.namespace)

    def make_full(self, entry: Entry, state: State) -> None:
        """Rewrite a record as a full one: the same checkpoint, but nothing below it is needed."""
        if entry.base == entry.seq:
            return
        sk = record_sk(self.namespace, entry.seq)
        writes = merged_writes(self.codec, entry, state.parent or "")
        body = self.codec.seal(record_body(state, None, {}, writes))
        stays = (statements.ID, statements.EPOCH, statements.RUN)
        attributes = {name: entry.record[name] for name in stays if name in entry.record}
        attributes |= {statements.BASE: {"N": "0"}, **BodyWriter(self.table, self.pk).attributes(sk, body)}
        try:
            if entry.slot.item is None:
                self.table.put(statements.rewrite_record(self.pk, sk, attributes))
            else:
                self._split(entry.slot.item, {**entry.record, **attributes})
        except ConditionRefused as refused:
            BodyWriter(self.table, self.pk).discard(sk, attributes)
            raise SlotTaken(f"{sk} was deleted while it was to be rewritten") from refused
        BodyWriter(self.table, self.pk).discard(sk, entry.record)

    def _split(self, item: Item, full: Item) -> None:
        """Give each record of an item one of its own, and one of them its full form: all of it or nothing."""
        actions = []
        for _, record in records_in(item):
            sk = record[SK]["S"]
            chosen = full if sk == full[SK]["S"] else record
            attributes = {name: value for name, value in chosen.items() if name not in (PK, SK)}
            statement = statements.rewrite_record if sk == item[SK]["S"] else statements.take_slot
            actions.append({"Put": statement(self.pk, sk, attributes)})
        self.table.transact(actions)

    def forget_runs(self, run_ids: frozenset[str]) -> None:
        """Delete the records and writes of runs; what was built on them stays.

        First what stays stops needing what goes, then a mark takes that out of the history, then it is deleted.
        """
        while True:
            tail = self.log().load(self.codec, None)
            entries = list(self.reader.history(Span()))
            doomed = [entry for entry in entries if read_id(entry.record, statements.RUN) in run_ids]
            kept = [entry for entry in entries if entry not in doomed]
            writes = [item for e in kept for item in e.writes if read_id(item, statements.RUN) in run_ids]
            if not doomed and not writes:
                return
            adopted = adoptable([item for item in kept[0].writes if item not in writes]) if kept else b""
            target = kept[0].seq if kept else None
            try:
                for entry, below in pairwise(entries):
                    if entry in kept and below in doomed and (state := self.state_of(entries, entry)):
                        self.make_full(entry, state)
                self.log().mark(RESET, tail, target, adopted, hidden=[entry.seq for entry in doomed])
            except SlotTaken:
                continue
            self.delete(doomed, writes)
            return

    def log(self) -> Log:
        return Log(self.table, self.pk, self.namespace, self.epoch)

    def state_of(self, entries: Sequence[Entry], entry: Entry) -> State | None:
        """The state at one of the entries of a history."""
        chain: list[Entry] = []
        for lower in entries[entries.index(entry) :]:
            chain.append(lower)
            if lower.base == lower.seq:
                break
        state = None
        for state in build_states(self.codec, chain[::-1]):  # noqa: B007 - the last one is wanted
            pass
        return state

    def delete(self, entries: Sequence[Entry], writes: Sequence[Item]) -> None:
        """Delete records with all that belongs to them, and pending writes."""
        keys = [sk for entry in entries for sk in (entry.record[SK]["S"], *entry.slot.chunks)]
        keys += [item[SK]["S"] for entry in entries for item in entry.slot.writes]
        keys += [item[SK]["S"] for item in writes]
        delete_keys(self.table, self.pk, keys)

    def keep_latest(self) -> None:
        """Delete all but the latest checkpoint and what its delta channels are replayed from."""
        while True:
            tail = self.log().load(self.codec, None)
            entries = list(self.reader.history(Span()))
            if not entries:
                return
            oldest = entries[self.needed(entries)]
            try:
                if state := self.state_of(entries, oldest):
                    self.make_full(oldest, state)
                self.log().mark(RESET, tail, entries[0].seq, adoptable(entries[0].writes), floor=oldest.seq)
            except SlotTaken:
                continue
            low, high = log_prefix(self.namespace), record_sk(self.namespace, oldest.seq)
            below = self.table.query(statements.read_keys(self.pk, low, high))
            gone = [item for item in below if not stays(self.namespace, item)]
            delete_keys(self.table, self.pk, [item[SK]["S"] for item in gone if item[SK]["S"] != high])
            return

    def needed(self, entries: Sequence[Entry]) -> int:
        """The place of the oldest entry that the latest checkpoint needs."""
        state = self.state_of(entries, entries[0])
        if state is None:
            return 0
        missing = set(self.codec.load(state.metadata).get("counters_since_delta_snapshot") or ())
        missing -= set(state.channels)
        for place, entry in enumerate(entries):
            if not missing:
                return max(place - 1, 0)
            older = self.state_of(entries, entry)
            missing -= set(older.channels) if older else set()
        return len(entries) - 1


def prune(table: Table, pk: str, codec: Codec, epoch: int) -> None:
    """Keep the latest checkpoint of each namespace."""
    for namespace in thread_keys(table, pk):
        Rewriter(table, pk, namespace, codec, epoch).keep_latest()


def run_logs(table: Table, tenant: str, run_ids: Sequence[str]) -> dict[str, set[str]]:
    """Where runs have written: namespaces by thread."""
    found: dict[str, set[str]] = defaultdict(set)
    for first in range(0, len(run_ids), RUNS_A_SCAN):
        wanted = [id_attribute(run_id) for run_id in run_ids[first : first + RUNS_A_SCAN]]
        for page in scan(table, statements.scan_runs, tenant_prefix(tenant), wanted):
            for item in page:
                if item[SK]["S"].startswith(CHECKPOINT_PREFIX):
                    found[thread_of(item[PK]["S"])].add(log_namespace(item[SK]["S"]))
    return found


def copy_thread(table: Table, source: str, target: str) -> None:
    """Copy the history of a thread behind that of another; the root's newest record comes last, by its slot."""
    for namespace in sorted(thread_keys(table, source), reverse=True):
        newest_there = next(LogReader(table, target, namespace).slots(Span(limit=PROBE)), None)
        offset = newest_there.seq if newest_there else 0
        entries = list(LogReader(table, source, namespace).history(Span()))[::-1]
        if not entries:
            continue
        first = entries[0].seq - 1
        *older, newest = [copies(entry, namespace, target, offset - first) for entry in entries]
        table.batch_put([item for items in older for item in items] + newest[1:])
        take(table, newest[0])
        if not namespace:
            base = entries[-1].base + offset - first
            table.put(statements.note_base(target, namespace, base))


def take(table: Table, record: Item) -> None:
    """Put a copied record into its slot; LeaseLost when somebody else has."""
    pk, sk = record[PK]["S"], record[SK]["S"]
    attributes = {name: value for name, value in record.items() if name not in (PK, SK)}
    try:
        table.put(statements.take_slot(pk, sk, attributes))
    except ConditionRefused as refused:
        if not is_ours(refused.item, attributes):
            raise LeaseLost("The thread was written to while another was copied to it") from refused


def copies(entry: Entry, namespace: str, pk: str, shift: int) -> list[Item]:
    """A record, first, with its chunks and pending writes, under the keys and the epoch of another thread."""
    old, new = record_sk(namespace, entry.seq), record_sk(namespace, entry.seq + shift)
    items = [
        {**item, PK: {"S": pk}, SK: {"S": item[SK]["S"].replace(old, new, 1)}, statements.EPOCH: {"N": "0"}}
        for item in (entry.record, *entry.writes)
    ]
    return items + [
        {PK: {"S": pk}, SK: {"S": sk.replace(old, new, 1)}, statements.BODY: {"B": data}}
        for sk, data in entry.slot.chunks.items()
    ]
