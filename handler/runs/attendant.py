"""Attends to wake-up messages: looks at the run that one names, and drives it if nobody else does."""

import asyncio
import logging
from datetime import timedelta

from handler.domain.models import Run
from handler.domain.ports import Clock, RunStore, ThreadStore, WakeQueue
from handler.errors import LeaseLost
from handler.runs.admission import Admission
from handler.runs.driver import Driver

log = logging.getLogger(__name__)

TEMPORARY_THREADS_LIVE = timedelta(minutes=15)
"""How long the thread of a run without a thread of the caller's outlives it, unless its result was fetched."""


class Attendant:
    """What a worker does with a message: it says "look at this run" and nothing more.

    | the run               | what follows                                                  |
    |-----------------------|---------------------------------------------------------------|
    | is gone, has ended    | nothing: the last message of its chain is done; a temporary   |
    |                       | thread whose result nobody fetched is deleted after a while   |
    | waits for others      | another message looks again later                             |
    | has a live driver     | another message looks again when its lease would be dead      |
    | is next in line       | it is started and driven, with another message as watchdog    |
    | has lost its driver   | it is taken over and driven, with another message as watchdog |
    """

    def __init__(
        self,
        threads: ThreadStore,
        runs: RunStore,
        admission: Admission,
        driver: Driver,
        wakes: WakeQueue,
        clock: Clock,
    ) -> None:
        self.clock = clock
        self.threads = threads
        self.runs = runs
        self.admission = admission
        self.driver = driver
        self.wakes = wakes

    async def attend(self, tenant: str, thread_id: str, run_id: str, limit_s: float | None = None) -> None:
        """Look at a run; drive it for at most `limit_s` seconds if it has no driver."""
        run = await asyncio.to_thread(self.runs.get, tenant, thread_id, run_id)
        if run is None:
            return
        if run.ended:
            await self._collect(run)
            return
        thread = await asyncio.to_thread(self.threads.get, tenant, thread_id)
        if thread is None:
            return
        # Sent before the claim: whoever dies after it, the run is found.
        watchdog_s = self.admission.terms.watchdog_s
        await asyncio.to_thread(self.wakes.send, tenant, thread_id, run_id, delay_s=watchdog_s)
        claim = await asyncio.to_thread(self.admission.claim_turn, run, thread)
        if claim is None:
            return
        try:
            await self.driver.drive(claim, limit_s, whole=True)
        except LeaseLost:
            return  # whoever took the run over has a message of its own under way

    async def _collect(self, run: Run) -> None:
        """Delete the temporary thread of a run whose result nobody fetched in time."""
        if not run.kwargs.get("temporary"):
            return
        age = self.clock() - (run.ended_at or run.updated_at)
        if age > TEMPORARY_THREADS_LIVE:
            await asyncio.to_thread(self.threads.delete, run.tenant, run.thread_id)
            return
        delay_s = int(TEMPORARY_THREADS_LIVE.total_seconds())
        await asyncio.to_thread(self.wakes.send, run.tenant, run.thread_id, run.run_id, delay_s=delay_s)
