"""Runs in DynamoDB, and the transactions in which a run and its thread change together."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from handler.domain.lease import Lease
from handler.domain.models import Claim, Outcome, Run, Thread, to_ms
from handler.domain.ports import Clock
from handler.domain.status import RunStatus
from handler.errors import LeaseLost, PayloadTooLarge, RunNotFound, StorageUnavailable, ThreadNotFound
from handler.storage import keys, statements
from handler.storage.items import (
    json_packed,
    run_from_item,
    run_key,
    run_to_item,
    thread_from_item,
    thread_key,
    thread_to_item,
    unpacked,
)
from handler.storage.table import ConditionRefused, Item, Table

INLINE_BYTES = 200_000
"""Packed arguments up to this size stand in the run's item; larger ones in pieces of this size, written before."""

MAX_ARGUMENT_BYTES = 20_000_000
"""Packed arguments above this size are refused."""

QUEUE_CAP = 500
"""How many runs may wait on one thread; the thread's item holds their ids."""


class DynamoDBRuns:
    """The port `RunStore` over one table."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self.table = table
        self.clock = clock

    def get(self, tenant: str, thread_id: str, run_id: str) -> Run | None:
        """Read a run, strongly consistent."""
        item = self.table.get(statements.get_strong(run_key(tenant, thread_id, run_id)))
        return self._read(tenant, thread_id, item) if item else None

    def list(self, tenant: str, thread_id: str, *, limit: int, offset: int, status: RunStatus | None) -> Sequence[Run]:
        """Read the runs of a thread, newest first."""
        found = self.table.query(statements.query_prefix(tenant, thread_id, keys.RUN_PREFIX, forward=False))
        wanted = (item for item in found if status is None or item["status"]["S"] == status)
        return [self._read(tenant, thread_id, item) for item in islice(wanted, offset, offset + limit)]

    def admit(self, run: Run, lease: Lease, *, seen: Thread | None, new_thread: Thread | None) -> Claim | Thread:
        """Accept a run on a free thread and take the lease; the thread as it stands if it cannot be had like this.

        `seen` is the thread as it was read (its epoch must still hold), None to try without having looked: then the
        thread has to be clean as well. `new_thread` is what to create if there is no thread.
        """
        begun = replace(run, status=RunStatus.RUNNING, attempt=1, started_at=run.created_at, updated_at=run.created_at)
        kwargs = self._write_arguments(run)
        action = {"Update": statements.admit_on_thread(run, lease, seen=seen)}
        try:
            self._transact(action, {"Put": statements.put_new(run_to_item(begun, kwargs))})
        except ConditionRefused as refused:
            thread = self._thread_of(run, refused)
            if thread is not None:
                return thread
            if new_thread is None:
                raise ThreadNotFound(run.thread_id) from None
            return self._admit_on_new(begun, lease, new_thread, kwargs)
        return Claim(run=begun, lease=lease, clean=seen is None or seen.clean)

    def _admit_on_new(self, begun: Run, lease: Lease, thread: Thread, kwargs: dict[str, Any] | None) -> Claim | Thread:
        held = replace(
            thread,
            lease=lease,
            epoch=lease.epoch,
            active_run=begun.run_id,
            graph_id=begun.graph_id,
            assistant_id=begun.assistant_id,
            clean=False,
        )
        put_thread = {"Put": statements.put_new(thread_to_item(held))}
        try:
            self._transact(put_thread, {"Put": statements.put_new(run_to_item(begun, kwargs))})
        except ConditionRefused as refused:
            other = self._thread_of(begun, refused)
            if other is None:
                raise StorageUnavailable("the thread is being deleted") from None
            return other
        return Claim(run=begun, lease=lease, clean=True)

    def enqueue(self, run: Run) -> Thread | None:
        """Accept a run behind others on a busy thread; the thread as it stands if it was refused, None if accepted."""
        kwargs = self._write_arguments(run)
        action = {"Update": statements.enqueue_on_thread(run, QUEUE_CAP)}
        try:
            self._transact(action, {"Put": statements.put_new(run_to_item(run, kwargs))})
        except ConditionRefused as refused:
            thread = self._thread_of(run, refused)
            if thread is None:
                raise ThreadNotFound(run.thread_id) from None
            return thread
        return None

    def start(self, run: Run, lease: Lease, seen: Thread) -> Claim | None:
        """Take the lease for the pending run at the head of the queue."""
        return self._begin(run, lease, seen, statements.start_on_thread(run, lease, seen))

    def take_over(self, run: Run, lease: Lease, seen: Thread) -> Claim | None:
        """Take the lease for a run whose driver is gone or has handed it on."""
        now_ms = to_ms(self.clock())
        return self._begin(run, lease, seen, statements.take_over_on_thread(run, lease, seen, now_ms))

    def _begin(self, run: Run, lease: Lease, seen: Thread, on_thread: statements.Request) -> Claim | None:
        now = self.clock()
        handed_on = seen.active_run == run.run_id and seen.lease is None
        on_run = statements.run_begins(run, now, handed_on=handed_on)
        try:
            self._transact({"Update": on_thread}, {"Update": on_run})
        except ConditionRefused:
            return None
        begun = replace(
            run,
            status=RunStatus.RUNNING,
            attempt=run.attempt + 1,
            handoffs=run.handoffs + int(handed_on),
            started_at=run.started_at or now,
        )
        return Claim(run=begun, lease=lease, clean=seen.clean, resumes=run.attempt > 0)

    def renew(self, claim: Claim, lease: Lease) -> None:
        """Prolong the lease; LeaseLost if another has it."""
        try:
            self.table.update(statements.renew(claim, lease))
        except ConditionRefused as refused:
            raise LeaseLost(f"lease of epoch {claim.lease.epoch} is gone") from refused

    def settle(self, claim: Claim, outcome: Outcome, now: datetime) -> str | None:
        """End run and hold together; the id of the pending run that is next, if any. LeaseLost if another has it."""
        run = claim.run
        on_run = {"Update": statements.run_ends(run, outcome, now)}
        for queued in (False, True):
            on_thread = {"Update": statements.settle_on_thread(claim, outcome, now, queued=queued)}
            try:
                self._transact(on_thread, on_run)
            except ConditionRefused as refused:
                thread = self._thread_of(run, refused)
                mine = thread is not None and thread.lease is not None and thread.lease.owner == claim.lease.owner
                if thread is None or not mine or queued or not thread.queue:
                    raise LeaseLost(f"lease of epoch {claim.lease.epoch} is gone") from refused
                following = thread.queue[0]
                continue
            return following if queued else None
        raise AssertionError("unreachable: the second round returns or raises")

    def _transact(self, on_thread: dict[str, Any], on_run: dict[str, Any]) -> None:
        self.table.transact([on_thread, on_run])

    def _thread_of(self, run: Run, refused: ConditionRefused) -> Thread | None:
        """The thread as it stood when its part of a transaction was refused."""
        item: Item | None = refused.items[0]
        if item is None and not refused.refused[0]:
            # Only the run's part was refused: the thread's item was not reported.
            item = self.table.get(statements.get_strong(thread_key(run.tenant, run.thread_id)))
        return thread_from_item(run.tenant, run.thread_id, item) if item else None

    def _write_arguments(self, run: Run) -> dict[str, Any] | None:
        packed = json_packed(run.kwargs)
        data: bytes = packed["B"]
        if len(data) <= INLINE_BYTES:
            return packed
        if len(data) > MAX_ARGUMENT_BYTES:
            raise PayloadTooLarge(f"the run's arguments are larger than {MAX_ARGUMENT_BYTES} bytes when compressed")
        for index, start in enumerate(range(0, len(data), INLINE_BYTES)):
            key = {**run_key(run.tenant, run.thread_id, run.run_id), keys.SK: {"S": keys.payload_sk(run.run_id, index)}}
            self.table.put({"Item": {**key, "data": {"B": data[start : start + INLINE_BYTES]}}})
        return None

    def _read(self, tenant: str, thread_id: str, item: Item) -> Run:
        if "kwargs" in item:
            return run_from_item(tenant, thread_id, item)
        prefix = keys.payload_prefix(keys.run_id_of(item[keys.SK]["S"]))
        pieces = self.table.query(statements.query_prefix(tenant, thread_id, prefix))
        data = b"".join(piece["data"]["B"] for piece in pieces)
        if not data:
            raise RunNotFound(keys.run_id_of(item[keys.SK]["S"]))
        return run_from_item(tenant, thread_id, item, unpacked(data))
