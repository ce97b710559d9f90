"""Cancels runs: those that wait, those that run here or elsewhere, and those whose driver is dead."""

import asyncio

from handler.domain.models import CancelAction, Claim, Run
from handler.domain.ports import RunStore, ThreadStore
from handler.errors import StorageUnavailable
from handler.runs.admission import ADMISSION_TRIES, Admission
from handler.runs.waiter import Waiter


class Cancellation:
    """Stops runs; everything here happens on the graph loop, storage calls on its threads."""

    def __init__(self, threads: ThreadStore, runs: RunStore, admission: Admission, waiter: Waiter) -> None:
        self.threads = threads
        self.runs = runs
        self.admission = admission
        self.waiter = waiter

    async def cancel(self, run: Run, action: CancelAction) -> bool:
        """Stop a run, and return when it has ended; False if it had ended before."""
        for _ in range(ADMISSION_TRIES):
            # The thread first: nobody else has taken it since, if its epoch holds, so the run is as it is.
            thread = await asyncio.to_thread(self.threads.get, run.tenant, run.thread_id)
            current = await asyncio.to_thread(self.runs.get, run.tenant, run.thread_id, run.run_id)
            if current is None or current.ended or thread is None:
                return False
            stopped = await asyncio.to_thread(self.admission.stop, current, thread, action)
            if isinstance(stopped, Claim):
                await self.waiter.stop(stopped)
            if stopped:
                return True
        raise StorageUnavailable("the thread changes hands too often at the moment")
