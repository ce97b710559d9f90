"""Attends to wake-up messages: looks at the run that one names, and drives it if nobody else does."""

import asyncio
import logging

from handler.domain.ports import RunStore, ThreadStore, WakeQueue
from handler.errors import LeaseLost
from handler.runs.admission import WATCHDOG_S, Admission
from handler.runs.driver import Driver

log = logging.getLogger(__name__)


class Attendant:
    """What a worker does with a message: it says "look at this run" and nothing more.

    | the run               | what follows                                                  |
    |-----------------------|---------------------------------------------------------------|
    | is gone, has ended    | nothing: the last message of its chain is done                |
    | waits for others      | another message looks again later                             |
    | has a live driver     | another message looks again when its lease would be dead      |
    | is next in line       | it is started and driven, with another message as watchdog    |
    | has lost its driver   | it is taken over and driven, with another message as watchdog |
    """

    def __init__(
        self, threads: ThreadStore, runs: RunStore, admission: Admission, driver: Driver, wakes: WakeQueue
    ) -> None:
        self.threads = threads
        self.runs = runs
        self.admission = admission
        self.driver = driver
        self.wakes = wakes

    async def attend(self, tenant: str, thread_id: str, run_id: str, limit_s: float | None = None) -> None:
        """Look at a run; drive it for at most `limit_s` seconds if it has no driver."""
        run = await asyncio.to_thread(self.runs.get, tenant, thread_id, run_id)
        if run is None or run.ended:
            return
        thread = await asyncio.to_thread(self.threads.get, tenant, thread_id)
        if thread is None:
            return
        # Sent before the claim: whoever dies after it, the run is found.
        await asyncio.to_thread(self.wakes.send, tenant, thread_id, run_id, delay_s=WATCHDOG_S)
        claim = await asyncio.to_thread(self.admission.claim_turn, run, thread)
        if claim is None:
            return
        try:
            await self.driver.drive(claim, limit_s)
        except LeaseLost:
            return  # whoever took the run over has a message of its own under way
