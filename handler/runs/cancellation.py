"""Cancels runs: those that wait, those that run here or elsewhere, and those whose driver is dead."""

import asyncio
from collections.abc import Collection, Iterable
from itertools import islice

from handler.domain.models import CancelAction, Claim, Run, Thread
from handler.domain.ports import RunStore, ThreadStore
from handler.domain.status import RunStatus
from handler.errors import NotSupported, StorageUnavailable
from handler.runs.admission import ADMISSION_TRIES, Admission
from handler.runs.search import LOOKED_AT_MOST
from handler.runs.waiter import Waiter

READ_AT_ONCE = 100
"""How many threads are read at a time."""


class Cancellation:
    """Stops runs; everything here happens on the graph loop, storage calls on its threads."""

    def __init__(self, threads: ThreadStore, runs: RunStore, admission: Admission, waiter: Waiter) -> None:
        self.threads = threads
        self.runs = runs
        self.admission = admission
        self.waiter = waiter
        self.looks_at_most = LOOKED_AT_MOST

    async def cancel(self, run: Run, action: CancelAction) -> bool:
        """Stop a run, and return when it has ended; False if it had ended before."""
        tried = False
        for _ in range(ADMISSION_TRIES):
            # The thread first: nobody else has taken it since, if its epoch holds, so the run is as it is.
            thread = await asyncio.to_thread(self.threads.get, run.tenant, run.thread_id)
            current = await asyncio.to_thread(self.runs.get, run.tenant, run.thread_id, run.run_id)
            if current is None or current.ended or thread is None:
                # What was refused may have been a repetition of what had its effect, and the response was lost.
                return tried and (current is None or current.status is RunStatus.INTERRUPTED)
            stopped = await asyncio.to_thread(self.admission.stop, current, thread, action)
            if isinstance(stopped, Claim):
                await self.waiter.stop(stopped)
            if stopped:
                return True
            tried = True
        raise StorageUnavailable("the thread changes hands too often at the moment")

    async def cancel_named(self, thread: Thread, run_ids: Iterable[str], action: CancelAction) -> int:
        """Stop these runs of a thread; how many there were to stop.

        The one under way comes last: with its end the next one would begin.
        """
        stopped = 0
        for run_id in sorted(run_ids, key=lambda run_id: run_id == thread.active_run):
            run = await asyncio.to_thread(self.runs.get, thread.tenant, thread.thread_id, run_id)
            if run is not None and await self.cancel(run, action):
                stopped += 1
        return stopped

    async def cancel_waiting(self, thread: Thread, statuses: Collection[RunStatus], action: CancelAction) -> int:
        """Stop the runs of a thread that have one of these statuses; how many there were."""
        waiting = [*thread.queue, *thread.delayed, *([thread.active_run] if thread.active_run else [])]
        found = [await asyncio.to_thread(self.runs.get, thread.tenant, thread.thread_id, run_id) for run_id in waiting]
        chosen = [run.run_id for run in found if run is not None and run.status in statuses]
        return await self.cancel_named(thread, chosen, action)

    async def cancel_everywhere(self, tenant: str, statuses: Collection[RunStatus], action: CancelAction) -> int:
        """Stop the runs of a tenant that have one of these statuses; NotSupported if it has too many threads."""
        stopped = 0
        for thread in await asyncio.to_thread(self._busy, tenant):
            stopped += await self.cancel_waiting(thread, statuses, action)
        return stopped

    def _busy(self, tenant: str) -> list[Thread]:
        """The threads of a tenant on which runs are under way or to come."""
        listed = self.threads.listed(tenant, newest_first=True, at_once=READ_AT_ONCE)
        busy: list[Thread] = []
        looked_at = 0
        while some := list(islice(listed, READ_AT_ONCE)):
            looked_at += len(some)
            if looked_at > self.looks_at_most:
                raise NotSupported(
                    f"a cancel that has to look at more than {self.looks_at_most} threads is not supported: "
                    "name thread_id"
                )
            threads = self.threads.get_many(tenant, some).values()
            busy += [thread for thread in threads if thread.busy or thread.delayed]
        return busy
