"""Admits runs to threads: the multitask strategies, each decided by one conditional write."""

import uuid
from dataclasses import dataclass
from enum import StrEnum

from handler.domain.lease import LEASE_MS, Lease
from handler.domain.models import Claim, Run, Thread, to_ms
from handler.domain.ports import Clock, RunStore
from handler.errors import Conflict, StorageUnavailable, ThreadBusy

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
    """The old run is stopped; its finished super-steps are kept."""
    ROLLBACK = "rollback"
    """The old run is stopped and undone."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """An accepted run; with a claim the caller has to drive it, without one it waits its turn."""

    run: Run
    claim: Claim | None


class Admission:
    """Decides over new runs; synchronous, for a thread of its own."""

    def __init__(self, runs: RunStore, clock: Clock) -> None:
        self.runs = runs
        self.clock = clock

    def admit(self, run: Run, *, new_thread: Thread | None = None) -> Admitted:
        """Accept a run; ThreadBusy if the strategy rejects, ThreadNotFound if there is no thread and none to create."""
        seen: Thread | None = None
        for _ in range(ADMISSION_TRIES):
            lease = self.new_lease(seen)
            result = self.runs.admit(run, lease, seen=seen, new_thread=new_thread)
            if isinstance(result, Claim):
                return Admitted(result.run, result)
            seen = result
            if not result.busy:
                continue
            if run.multitask_strategy == MultitaskStrategy.REJECT:
                raise ThreadBusy(BUSY)
            left = self.runs.enqueue(run)
            if left is None:
                return Admitted(run, None)
            if left.busy:
                raise Conflict(f"{len(left.queue)} runs wait on this thread already")
            seen = left
        raise StorageUnavailable("the thread changes hands too often at the moment")

    def claim_turn(self, run: Run, thread: Thread) -> Claim | None:
        """Take the lease for an accepted run if it is its turn, or if its driver is gone; None if not."""
        if run.ended:
            return None
        if thread.active_run is None and thread.queue[:1] == (run.run_id,):
            return self.runs.start(run, self.new_lease(thread), thread)
        if thread.active_run == run.run_id:
            gone = thread.lease is None or thread.lease.is_dead(to_ms(self.clock()))
            return self.runs.take_over(run, self.new_lease(thread), thread) if gone else None
        return None

    def new_lease(self, seen: Thread | None) -> Lease:
        """A lease that nobody else can hold.

        Its epoch is the time, so that it needs no look at the thread; after a look, it is above what was seen.
        """
        now_ms = to_ms(self.clock())
        epoch = max(now_ms, seen.epoch + 1) if seen else now_ms
        return Lease(owner=uuid.uuid4().hex, epoch=epoch, until_ms=now_ms + LEASE_MS)
