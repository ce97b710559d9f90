"""Runs in DynamoDB, and the transactions in which a run and its thread change together.

A transaction whose response was lost is refused when it is sent again. Each method then looks at the thread that
refused it: an owner, a place in the queue or an epoch that only this very call can have written means "it was mine".
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from handler.domain.lease import STANDARD_TERMS, Lease, LeaseTerms
from handler.domain.models import CancelAction, Claim, Outcome, Run, Thread, to_ms
from handler.domain.ports import Clock, Sighting, ThreadStore, Where
from handler.domain.status import RunStatus, ThreadStatus
from handler.errors import AlreadyAccepted, LeaseLost, StorageUnavailable, ThreadNotFound
from handler.storage import keys, lease_statements, queue_statements, run_statements, statements
from handler.storage.items import run_from_item, run_key, run_to_item, thread_from_item, thread_key, thread_to_item
from handler.storage.run_arguments import RunArguments
from handler.storage.table import ConditionRefused, Item, Table

QUEUE_CAP = 60
"""How many runs may wait on one thread: a transaction that interrupts them all holds at most 100 items."""

DELAYED_CAP = 30
"""How many runs may be to come later on one thread, for the same reason."""


class DynamoDBRuns:
    """The port `RunStore` over one table."""

    def __init__(
        self, table: Table, clock: Clock, terms: LeaseTerms = STANDARD_TERMS, threads: ThreadStore | None = None
    ) -> None:
        self.table = table
        self.arguments = RunArguments(table)
        self.threads = threads
        self.clock = clock
        self.terms = terms

    def get(self, tenant: str, thread_id: str, run_id: str) -> Run | None:
        """Read a run, strongly consistent."""
        item = self.table.get(statements.get_strong(run_key(tenant, thread_id, run_id)))
        return self._read(tenant, thread_id, item) if item else None

    def list(self, tenant: str, thread_id: str, *, limit: int, offset: int, status: RunStatus | None) -> Sequence[Run]:
        """Read the runs of a thread, newest first."""
        found = self.table.query(statements.query_prefix(tenant, thread_id, keys.RUN_PREFIX, forward=False))
        wanted = (item for item in found if status is None or item["status"]["S"] == status)
        return [self._read(tenant, thread_id, item) for item in islice(wanted, offset, offset + limit)]

    def admit(self, run: Run, lease: Lease, *, seen: Sighting | None, new_thread: Thread | None) -> Claim | Thread:
        """Accept a run on a free thread and take the lease; the thread as it stands if it cannot be had like this.

        `seen` is the thread as it was read (its epoch must still hold), None to try without having looked: then the
        thread has to be clean as well. `new_thread` is what to create if there is no thread.
        """
        run, arguments = self.arguments.write(run)
        begun = replace(run, status=RunStatus.RUNNING, attempt=1, started_at=run.created_at, updated_at=run.created_at)
        claim = Claim(run=begun, lease=lease, clean=seen is None or seen.clean)
        on_run = [{"Put": statements.put_new(run_to_item(begun, arguments))}, *self._key_of(run)]
        on_thread = {"Update": lease_statements.admit_on_thread(run, lease, seen=seen)}
        with self.arguments.forgotten_if_refused(run):
            thread = self._transact(run, on_thread, *on_run)
            if thread is ACCEPTED:
                return claim
            if thread is None:
                thread = self._create(new_thread and held_thread(new_thread, begun, lease), run, *on_run)
                if thread is ACCEPTED:
                    return replace(claim, clean=True)
        assert isinstance(thread, Thread)  # noqa: S101 - neither accepted nor missing
        if owned(thread, lease):
            return claim
        self.arguments.forget(run)
        return thread

    def enqueue(self, run: Run, *, where: Where, new_thread: Thread | None) -> Thread | None:
        """Accept a run that is to wait its turn; the thread as it stands if it was refused, None if accepted.

        `where` says on what threads it may wait; `new_thread` is what to create if there is no thread.
        """
        run, arguments = self.arguments.write(run)
        on_run = [{"Put": statements.put_new(run_to_item(run, arguments))}, *self._key_of(run)]
        cap = QUEUE_CAP if run.due_at is None else DELAYED_CAP
        on_thread = {"Update": queue_statements.enqueue_on_thread(run, where, cap)}
        with self.arguments.forgotten_if_refused(run):
            thread = self._transact(run, on_thread, *on_run)
            if thread is None:
                thread = self._create(new_thread and awaited_thread(new_thread, run), run, *on_run)
        if not isinstance(thread, Thread) or run.run_id in (*waiting_on(thread), thread.active_run):
            return None
        self.arguments.forget(run)
        return thread

    def _create(self, thread: Thread | None, run: Run, *on_run: dict[str, Any]) -> Thread | object:
        """Accept a run together with the thread that it needs; what is left of one that is gone makes room first."""
        if thread is None:
            raise ThreadNotFound(run.thread_id)
        if thread.ttl and self.threads:
            self.threads.arm(thread.tenant, thread.thread_id, thread.ttl.due)
        on_thread = {"Put": statements.put_new(thread_to_item(thread))}
        found = self._transact(run, on_thread, *on_run)
        if found is None and self.threads and self.threads.expire(thread.tenant, thread.thread_id):
            found = self._transact(run, on_thread, *on_run)
        if found is None:
            self.arguments.forget(run)
            raise StorageUnavailable("the thread is being deleted")
        return found

    def start(self, run: Run, lease: Lease, seen: Thread) -> Claim | None:
        """Take the lease for the pending run at the head of the queue."""
        return self._begin(run, lease, seen, queue_statements.start_on_thread(run, lease, seen))

    def queue_delayed(self, run: Run, seen: Thread) -> bool:
        """Put a delayed run whose time has come at the end of the queue; False if the thread has changed or is full."""
        try:
            self.table.update(queue_statements.queue_delayed(run, seen, QUEUE_CAP))
        except ConditionRefused:
            return False
        return True

    def take_over(self, run: Run, lease: Lease, seen: Thread) -> Claim | None:
        """Take the lease for a run whose driver is gone or has handed it on."""
        now_ms = to_ms(self.clock())
        return self._begin(run, lease, seen, lease_statements.take_over_on_thread(run, lease, seen, now_ms, self.terms))

    def _begin(self, run: Run, lease: Lease, seen: Thread, on_thread: statements.Request) -> Claim | None:
        now = self.clock()
        handed_on = seen.active_run == run.run_id and seen.lease is None
        on_run = {"Update": run_statements.run_begins(run, now, handed_on=handed_on)}
        thread = self._transact(run, {"Update": on_thread}, on_run)
        if thread is None or (isinstance(thread, Thread) and not owned(thread, lease)):
            return None
        begun = replace(
            run,
            status=RunStatus.RUNNING,
            attempt=run.attempt + 1,
            handoffs=run.handoffs + int(handed_on),
            started_at=run.started_at or now,
        )
        return Claim(run=begun, lease=lease, clean=seen.clean, resumes=run.attempt > 0, handed_on=handed_on)

    def usurp(
        self, victim: Run | None, action: CancelAction, lease: Lease, seen: Thread, successor: Run | None
    ) -> Claim | None:
        """Take the thread from its active run, in order to stop it, and put `successor` in the place of all that wait.

        The claim is for the victim, to be settled by `action`. Without a victim the claim is for nobody: its run is
        the successor, which is then the next in line.
        """
        now = self.clock()
        on_victim: list[dict[str, Any]] = []
        on_successor: list[dict[str, Any]] = []
        if victim is not None:
            on_victim.append({"Update": run_statements.run_is_stopped(victim, action, now)})
        if successor is not None:
            successor, arguments = self.arguments.write(successor)
            on_successor.append({"Put": statements.put_new(run_to_item(successor, arguments))})
            on_successor += self._key_of(successor)
        run = victim or successor
        assert run is not None  # noqa: S101 - one of them is given
        on_thread = {"Update": lease_statements.usurp_on_thread(victim, lease, seen, successor)}
        waiting = waiting_on(seen) if successor else ()
        large: dict[str, Run] = {}
        while True:
            ends = [unstarted_ends(seen, run_id, action, now, unread=run_id not in large) for run_id in waiting]
            try:
                with self.arguments.forgotten_if_refused(successor):
                    thread = self._transact(run, on_thread, *on_victim, *ends, *on_successor)
                break
            except UnreadPieces as unread:
                large |= {one.run_id: one for one in unread.runs}
        mine = thread is ACCEPTED
        if isinstance(thread, Thread):
            mine = owned(thread, lease) if victim else successor is not None and successor.run_id in waiting_on(thread)
        if not mine:
            self.arguments.forget(successor)
            return None
        self.arguments.forget(*large.values())
        stopped = replace(run, cancel=victim.cancel or action) if victim else run
        return Claim(run=stopped, lease=lease, clean=False)

    def cancel_queued(self, run: Run, action: CancelAction, seen: Thread) -> bool:
        """Take a pending run out of the queue and end it; False if the thread has changed."""
        on_thread = {"Update": queue_statements.cancel_queued_on_thread(run, seen)}
        done = self._transact(run, on_thread, unstarted_ends(seen, run.run_id, action, self.clock())) is ACCEPTED
        if done and action is not CancelAction.INTERRUPT:
            self.arguments.forget(run)
        return done

    def hand_off(self, claim: Claim, *, clean: bool) -> None:
        """Let go of the lease so that another driver goes on with the run. LeaseLost if another has it."""
        self._held(claim, lease_statements.hand_off(claim, clean=clean))

    def renew(self, claim: Claim, lease: Lease) -> None:
        """Prolong the lease; LeaseLost if another has it."""
        self._held(claim, lease_statements.renew(claim, lease))

    def _held(self, claim: Claim, request: statements.Request) -> None:
        try:
            self.table.update(request)
        except ConditionRefused as refused:
            item = refused.item or {}
            let_go = "owner" not in item and item.get("epoch", {}).get("N") == str(claim.lease.epoch)
            if let_go and item.get("active_run", {}).get("S") == claim.run.run_id:
                return  # this very hand-off, whose first response was lost
            raise LeaseLost(f"lease of epoch {claim.lease.epoch} is gone") from refused

    def settle(
        self, claim: Claim, outcome: Outcome, now: datetime, *, along: Sequence[dict[str, Any]] = ()
    ) -> str | None:
        """End run and hold together; the id of the pending run that is next, if any. LeaseLost if another has it.

        `along`: the checkpointer's last writes, which happen with it or not at all.
        """
        run = claim.run
        on_run = run_statements.run_ends(run_key(run.tenant, run.thread_id, run.run_id), outcome, now)
        following: str | None = None
        for queued in (False, True):
            on_thread = {"Update": lease_statements.settle_on_thread(claim, outcome, now, queued=queued)}
            thread = self._transact(run, on_thread, on_run, *along)
            if thread is ACCEPTED:
                if outcome.deletes_run:
                    self.arguments.forget(run)
                return following
            if not isinstance(thread, Thread):
                break
            if thread.lease is None and thread.epoch == claim.lease.epoch and thread.active_run != run.run_id:
                return thread.queue[0] if thread.queue else None  # settled before, and the response was lost
            if queued or not owned(thread, claim.lease) or not thread.queue:
                break
            following = thread.queue[0]
        raise LeaseLost(f"lease of epoch {claim.lease.epoch} is gone")

    def note_presence(self, run: Run, until_ms: int) -> None:
        """A run that has not ended is still waited for."""
        try:
            self.table.update(run_statements.note_presence(run, until_ms))
        except ConditionRefused:
            return  # it has ended

    def begin_webhook(self, run: Run, until: datetime) -> bool:
        """Note that a run's webhook is told of its end, until then; False if another does so, or has done it."""
        try:
            self.table.update(run_statements.begin_webhook(run, until))
        except ConditionRefused:
            return False
        return True

    def end_webhook(self, run: Run, now: datetime) -> None:
        """Note that a run's webhook needs no more telling."""
        try:
            self.table.update(run_statements.end_webhook(run, now))
        except ConditionRefused:
            return  # the run was deleted meanwhile

    def delete(self, run: Run) -> None:
        """Delete a run that has ended, with its stream."""
        self.table.delete({"Key": run_key(run.tenant, run.thread_id, run.run_id)})
        self.arguments.forget(run)
        events = statements.query_prefix(run.tenant, run.thread_id, keys.follow_sk(run.run_id), keys_only=True)
        self.table.batch_delete(list(self.table.query(events)))

    def _transact(
        self, run: Run | None, on_thread: dict[str, Any], *others: dict[str, Any]
    ) -> "Thread | object | None":
        """ACCEPTED, or the thread that refused (None: there is none)."""
        assert run is not None  # noqa: S101 - a transaction is always about a run
        try:
            self.table.transact([on_thread, *others])
        except ConditionRefused as refused:
            self._check_key(refused, others)
            item: Item | None = refused.items[0]
            if not refused.refused[0]:  # the thread agreed, so it was not reported
                check_pieces(run, refused, others)
                item = self.table.get(statements.get_strong(thread_key(run.tenant, run.thread_id)))
            thread = thread_from_item(run.tenant, run.thread_id, item) if item else None
            return None if thread is None or thread.expired(self.clock()) else thread
        return ACCEPTED

    def _key_of(self, run: Run) -> Sequence[dict[str, Any]]:
        """The part of an admission that keeps its idempotency key."""
        return [{"Put": run_statements.put_key(run, run.idempotency, self.clock())}] if run.idempotency else []

    def _check_key(self, refused: ConditionRefused, others: Sequence[dict[str, Any]]) -> None:
        """AlreadyAccepted if the key of an admission stands for another run."""
        item = refused.items[-1]
        if item is None or item[keys.SK]["S"] != keys.IDEMPOTENCY_SK:
            return
        if item["run_id"] != others[-1]["Put"]["Item"]["run_id"]:
            raise AlreadyAccepted(item["thread_id"]["S"], item["run_id"]["S"], item["fingerprint"]["S"])

    def _read(self, tenant: str, thread_id: str, item: Item) -> Run:
        return run_from_item(tenant, thread_id, item, self.arguments.read(tenant, thread_id, item))


ACCEPTED = object()
"""What a transaction that went through returns."""


class UnreadPieces(Exception):
    """These runs, of which nothing was read, were to be deleted, and their arguments stand in pieces."""

    def __init__(self, runs: list[Run]) -> None:
        super().__init__("runs have pieces")
        self.runs = runs


def check_pieces(run: Run, refused: ConditionRefused, others: Sequence[dict[str, Any]]) -> None:
    """UnreadPieces if pieces are what kept runs of the thread from being deleted."""
    found = [
        run_from_item(run.tenant, run.thread_id, item, {})
        for item, action in zip(refused.items[1:], others, strict=True)
        if item
        and "pieces" in item
        and run_statements.NO_PIECES in action.get("Delete", {}).get("ConditionExpression", "")
    ]
    if found:
        raise UnreadPieces(found)


def unstarted_ends(
    thread: Thread, run_id: str, action: CancelAction, now: datetime, *, unread: bool = False
) -> dict[str, Any]:
    """The part of a transaction that ends a run that has not begun."""
    deletes = action is not CancelAction.INTERRUPT
    outcome = Outcome(RunStatus.INTERRUPTED, ThreadStatus.INTERRUPTED, deletes_run=deletes)
    key = run_key(thread.tenant, thread.thread_id, run_id)
    return dict(run_statements.run_ends(key, outcome, now, unread=unread))


def waiting_on(thread: Thread) -> tuple[str, ...]:
    """The pending runs of a thread, those that are to come later included."""
    return (*thread.queue, *thread.delayed)


def owned(thread: Thread, lease: Lease) -> bool:
    """Whether the thread's lease is this very one."""
    return thread.lease is not None and thread.lease.owner == lease.owner


def awaited_thread(thread: Thread, run: Run) -> Thread:
    """A new thread for which its first run already waits."""
    line = (run.run_id,)
    thread = replace(thread, graph_id=thread.graph_id or run.graph_id, assistant_id=run.assistant_id)
    return replace(thread, queue=line) if run.due_at is None else replace(thread, delayed=line)


def held_thread(thread: Thread, run: Run, lease: Lease) -> Thread:
    """A new thread that its first run already holds."""
    return replace(
        thread,
        lease=lease,
        epoch=lease.epoch,
        active_run=run.run_id,
        graph_id=run.graph_id,
        assistant_id=run.assistant_id,
        config=run_statements.shown_config(run),
        clean=False,
    )
