"""Admits runs to threads: the multitask strategies, each decided by one conditional write.

Before a run is accepted, a message that has a worker look at it later is under way: whoever dies after the
acceptance, the run is found.
"""

import uuid
from dataclasses import dataclass, replace
from enum import StrEnum

from handler.domain.lease import STANDARD_TERMS, Lease, LeaseTerms
from handler.domain.messages import Wake
from handler.domain.models import CancelAction, Claim, Run, Thread, to_ms
from handler.domain.ports import Clock, RunStore, Sighting, Timers, WakeQueue, Where
from handler.errors import Conflict, StorageUnavailable, ThreadBusy
from handler.runs.recall import Recall
from handler.telemetry import correlation_id

BUSY = "Thread is already running a task. Wait for it to finish or choose a different multitask strategy."

ADMISSION_TRIES = 20
"""How often an admission is decided anew after the thread changed under it."""


class MultitaskStrategy(StrEnum):
    """What becomes of a new run on a busy thread."""

    REJECT = "reject"
    """The new run is refused; nothing changes."""
    ENQUEUE = "enqueue"
    """The new run waits its turn, in order of arrival."""
    INTERRUPT = "interrupt"
    """The old runs are stopped; finished super-steps are kept."""
    ROLLBACK = "rollback"
    """The old runs are stopped and undone."""


STOPS_BY = {
    MultitaskStrategy.INTERRUPT: CancelAction.INTERRUPT,
    MultitaskStrategy.ROLLBACK: CancelAction.ROLLBACK,
}
"""How a strategy stops the runs that are in its way."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """An accepted run.

    With `claim` the caller has to drive it now. Without, it waits its turn; with `stops` the caller has to drive that
    claim first, which ends the run that is in its way.
    """

    run: Run
    claim: Claim | None = None
    stops: Claim | None = None
    joined: bool = False
    """Whether it was accepted before, by an earlier request under the same idempotency key."""


class Admission:
    """Decides over new runs; synchronous, for a thread of its own."""

    def __init__(
        self,
        runs: RunStore,
        wakes: WakeQueue,
        timers: Timers,
        clock: Clock,
        recall: Recall,
        terms: LeaseTerms = STANDARD_TERMS,
    ) -> None:
        self.terms = terms
        self.recall = recall
        self.runs = runs
        self.wakes = wakes
        self.timers = timers
        self.clock = clock

    def admit(self, run: Run, *, inline: bool, new_thread: Thread | None = None) -> Admitted:
        """Accept a run; ThreadBusy if the strategy rejects, ThreadNotFound if there is no thread and none to create.

        `inline`: the caller drives it; otherwise a worker will, once it is told to.
        """
        inline = inline and run.due_at is None
        if run.due_at is None:
            self.wakes.send(run.tenant, run.thread_id, run.run_id, delay_s=self.terms.watchdog_s)
        else:
            self.timers.set(Wake(run.tenant, run.thread_id, run.run_id, correlation_id()), run.due_at)
        known = self.recall.take(run) if inline else None
        seen: Sighting | None = known
        for _ in range(ADMISSION_TRIES):
            free = self._admit_on_free(run, seen, inline=inline, new_thread=new_thread)
            if isinstance(free, Admitted) and free.claim is not None and known is not None and seen is known:
                return Admitted(free.run, claim=replace(free.claim, heads=known.heads))
            if isinstance(free, Admitted):
                return free
            seen = free
            if not in_the_way(run, free):
                continue
            behind = self._admit_on_busy(run, free)
            if behind is not None:
                return behind
            seen = None
        raise StorageUnavailable("the thread changes hands too often at the moment")

    def _admit_on_free(
        self, run: Run, seen: Sighting | None, *, inline: bool, new_thread: Thread | None
    ) -> Admitted | Thread:
        if inline:
            result = self.runs.admit(run, self.new_lease(seen), seen=seen, new_thread=new_thread)
            return Admitted(result.run, claim=result) if isinstance(result, Claim) else result
        waits_anywhere = run.multitask_strategy == MultitaskStrategy.ENQUEUE
        where = Where.ANY if waits_anywhere else Where.FREE
        return self.runs.enqueue(run, where=where, new_thread=new_thread) or Admitted(run)

    def _admit_on_busy(self, run: Run, thread: Thread) -> Admitted | None:
        """What the strategy says; None if the thread has changed meanwhile."""
        strategy = MultitaskStrategy(run.multitask_strategy)
        if strategy is MultitaskStrategy.REJECT:
            raise ThreadBusy(BUSY)
        if strategy is MultitaskStrategy.ENQUEUE:
            left = self.runs.enqueue(run, where=Where.BUSY if run.due_at is None else Where.ANY, new_thread=None)
            if left is None:
                return Admitted(run)
            if run.due_at is not None:
                raise Conflict(f"{len(left.delayed)} runs are to come later on this thread already")
            if left.busy:
                raise Conflict(f"{len(left.queue)} runs wait on this thread already")
            return None
        victim = None
        if thread.active_run is not None:
            victim = self.runs.get(run.tenant, run.thread_id, thread.active_run)
            if victim is None:
                return None
        claim = self.runs.usurp(victim, STOPS_BY[strategy], self.new_lease(thread), thread, successor=run)
        if claim is None:
            return None
        for run_id in thread.delayed:  # no message looks at them before their time, and webhooks want to know
            self.wakes.send(run.tenant, run.thread_id, run_id)
        return Admitted(run, stops=claim if victim else None)

    def claim_turn(self, run: Run, thread: Thread) -> Claim | None:
        """Take the lease for an accepted run if it is its turn, or if its driver is gone; None if not."""
        if run.ended:
            return None
        if run.run_id in thread.delayed:
            if run.is_early(self.clock()) or not self.runs.queue_delayed(run, thread):
                return None
            delayed = tuple(run_id for run_id in thread.delayed if run_id != run.run_id)
            thread = replace(thread, queue=(*thread.queue, run.run_id), delayed=delayed)
        if thread.active_run is None and thread.queue[:1] == (run.run_id,):
            return self.runs.start(run, self.new_lease(thread), thread)
        if thread.active_run == run.run_id:
            gone = thread.lease is None or thread.lease.is_dead(to_ms(self.clock()), self.terms)
            return self.runs.take_over(run, self.new_lease(thread), thread) if gone else None
        return None

    def stop(self, run: Run, thread: Thread, action: CancelAction) -> Claim | bool:
        """Stop an accepted run: True if it is done, a claim to drive if it was running, False if the thread changed."""
        if run.run_id in (*thread.queue, *thread.delayed):
            cancelled = self.runs.cancel_queued(run, action, thread)
            if cancelled and run.kwargs.get("webhook"):
                self.wakes.send(run.tenant, run.thread_id, run.run_id)
            return cancelled
        if thread.active_run == run.run_id:
            return self.runs.usurp(run, action, self.new_lease(thread), thread, successor=None) or False
        return False

    def new_lease(self, seen: Sighting | None) -> Lease:
        """A lease that nobody else can hold.

        Its epoch is the time, so that it needs no look at the thread; after a look, it is above what was seen.
        """
        now_ms = to_ms(self.clock())
        epoch = max(now_ms, seen.epoch + 1) if seen else now_ms
        return Lease(owner=uuid.uuid4().hex, epoch=epoch, until_ms=now_ms + self.terms.lasts_ms)


def in_the_way(run: Run, thread: Thread) -> bool:
    """Whether runs of the thread keep a new one from its place, so that its strategy decides."""
    waits = run.multitask_strategy == MultitaskStrategy.ENQUEUE
    return thread.busy or (bool(thread.delayed) and (not waits or run.due_at is not None))
