"""What happens to whole threads and runs: delete, prune, copy; each leaves the sequence numbers as they were."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from handler.errors import LeaseLost
from handler.storage import checkpoint_statements as statements
from handler.storage.checkpointer.codec import Codec
from handler.storage.checkpointer.log import Log, adoptable, is_ours
from handler.storage.checkpointer.reading import LogReader, Span, Tail, merged_writes
from handler.storage.checkpointer.records import (
    RESET,
    TOMBSTONE,
    BodyWriter,
    Entry,
    build_states,
    id_attribute,
    read_id,
)
from handler.storage.checkpointer.state import State, record_body
from handler.storage.keys import CHECKPOINT_PREFIX, PK, SK, log_namespace, record_sk, slot_of, tenant_prefix
from handler.storage.table import ConditionRefused, Item, Table

RUNS_A_SCAN = 50
"""Run ids that one filter names; DynamoDB takes 100 operands."""


def thread_keys(table: Table, pk: str) -> dict[str, list[Item]]:
    """All items of a thread's logs by namespace, root first, each with the attributes that tell them apart."""
    found: dict[str, list[Item]] = defaultdict(list)
    for item in table.query(statements.read_keys(pk)):
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


def delete_thread(table: Table, pk: str) -> None:
    """Delete a thread's checkpoints; a tombstone stays in the slot that a superseded writer would take next."""
    while True:
        logs = thread_keys(table, pk)
        lasting = {namespace: items for namespace, items in logs.items() if recurs(namespace)}
        try:
            kept = {sk for namespace, items in lasting.items() for sk in bury(table, pk, namespace, items)}
        except LeaseLost:
            continue
        found = [item[SK]["S"] for items in logs.values() for item in items]
        delete_keys(table, pk, [sk for sk in found if sk not in kept])
        return


def bury(table: Table, pk: str, namespace: str, items: Sequence[Item]) -> list[str]:
    """Put a tombstone behind a log, unless one is all there is; return the keys that must stay."""
    records = [item for item in items if is_record(item)]
    if not records:
        return []
    newest = records[-1]
    if newest.get(statements.KIND, {}).get("S") == TOMBSTONE:
        return [newest[SK]["S"]]
    tail = Tail(seq=slot_of(newest[SK]["S"])[0])
    Log(table, pk, namespace, 0).mark(TOMBSTONE, tail, None, ())
    return [record_sk(namespace, tail.seq + 1)]


@dataclass(frozen=True, slots=True)
class Rewriter:
    """Writes records again as full ones and deletes others, within one log."""

    table: Table
    pk: str
    namespace: str
    codec: Codec

    @property
    def reader(self) -> LogReader:
        return LogReader(self.table, self.pk, self.namespace)

    def make_full(self, entry: Entry, state: State, *, floor: bool) -> None:
        """Rewrite a record as a full one, so that nothing below it is needed; with `floor`, nor visible."""
        sk = record_sk(self.namespace, entry.seq)
        if entry.base == entry.seq and not floor:
            return
        if entry.base == entry.seq:
            attributes = {name: value for name, value in entry.record.items() if name not in (PK, SK)}
        else:
            writes = merged_writes(self.codec, entry, state.parent or "")
            body = self.codec.seal(record_body(state, None, {}, writes))
            stays = (statements.ID, statements.EPOCH, statements.RUN)
            attributes = {name: entry.record[name] for name in stays if name in entry.record}
            attributes |= {statements.BASE: {"N": "0"}, **BodyWriter(self.table, self.pk).attributes(sk, body)}
        if floor:
            attributes[statements.FLOOR] = {"BOOL": True}
        self.table.put(statements.rewrite_record(self.pk, sk, attributes))
        if statements.CHUNKS in entry.record and attributes.get(statements.CHUNKS) != entry.record[statements.CHUNKS]:
            BodyWriter(self.table, self.pk).discard(sk, entry.record)

    def forget_runs(self, run_ids: frozenset[str]) -> None:
        """Delete the records and writes of runs; what was built on them stays."""
        entries = list(self.reader.history(Span()))
        doomed = [entry for entry in entries if read_id(entry.record, statements.RUN) in run_ids]
        survivors = [entry for entry in entries if entry not in doomed]
        if doomed and entries[0] is doomed[0]:
            tail = self.reader.latest(self.codec, None)
            target = self.state_of(entries, survivors[0]) if survivors else None
            adopted = adoptable(survivors[0].writes) if survivors else []
            Log(self.table, self.pk, self.namespace, 0).mark(RESET, tail, target, adopted)
        for entry, below in pairwise(entries):
            if entry in survivors and below in doomed:
                state = self.state_of(entries, entry)
                if state is not None:
                    self.make_full(entry, state, floor=False)
        doomed_writes = [item for entry in survivors for item in entry.writes]
        self.delete(doomed, [item for item in doomed_writes if read_id(item, statements.RUN) in run_ids])

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

    def keep_latest(self, items: Sequence[Item]) -> None:
        """Delete all but the latest checkpoint and what its delta channels are replayed from."""
        entries = list(self.reader.history(Span()))
        if not entries:
            return
        keep = self.needed(entries)
        state = self.state_of(entries, entries[keep])
        if state is None:
            return
        self.make_full(entries[keep], state, floor=True)
        below = [item[SK]["S"] for item in items if slot_of(item[SK]["S"])[0] < entries[keep].seq]
        delete_keys(self.table, self.pk, below)

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


def prune(table: Table, pk: str, codec: Codec) -> None:
    """Keep the latest checkpoint of each namespace."""
    for namespace, items in thread_keys(table, pk).items():
        Rewriter(table, pk, namespace, codec).keep_latest(items)


def delete_for_runs(table: Table, tenant: str, run_ids: Sequence[str], codec: Codec) -> set[str]:
    """Delete what runs have written, wherever it is; return the partitions touched."""
    found: dict[str, set[str]] = defaultdict(set)
    for first in range(0, len(run_ids), RUNS_A_SCAN):
        wanted = [id_attribute(run_id) for run_id in run_ids[first : first + RUNS_A_SCAN]]
        for page in scan(table, statements.scan_runs, tenant_prefix(tenant), wanted):
            for item in page:
                if item[SK]["S"].startswith(CHECKPOINT_PREFIX):
                    found[item[PK]["S"]].add(log_namespace(item[SK]["S"]))
    for pk, namespaces in found.items():
        for namespace in sorted(namespaces):
            Rewriter(table, pk, namespace, codec).forget_runs(frozenset(run_ids))
    return set(found)


def copy_thread(table: Table, source: str, target: str) -> None:
    """Copy the history of a thread behind that of another; the root's newest record comes last, by its slot."""
    there = thread_keys(table, target)
    for namespace in sorted(thread_keys(table, source), reverse=True):
        records = [item for item in there.get(namespace, []) if is_record(item)]
        offset = slot_of(records[-1][SK]["S"])[0] if records else 0
        entries = list(LogReader(table, source, namespace).history(Span()))[::-1]
        if not entries:
            continue
        first = entries[0].seq - 1
        *older, newest = [copies(entry, namespace, target, offset - first) for entry in entries]
        table.batch_put([item for items in older for item in items] + newest[1:])
        take(table, newest[0])


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
    items[0].pop(statements.FLOOR, None)
    return items + [
        {PK: {"S": pk}, SK: {"S": sk.replace(old, new, 1)}, statements.BODY: {"B": data}}
        for sk, data in entry.slot.chunks.items()
    ]
