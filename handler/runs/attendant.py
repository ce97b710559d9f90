"""Attends to wake-up messages: looks at the run that one names, and drives it if nobody else does."""

import asyncio
import logging
from datetime import timedelta

from handler.domain.messages import CronWake, Message, Wake
from handler.domain.models import Run, made_at, to_ms
from handler.domain.ports import Clock, RunStore, ThreadStore, Timers, WakeQueue
from handler.errors import LeaseLost
from handler.runs.admission import Admission
from handler.runs.crons import Crons
from handler.runs.driver import Driver
from handler.runs.webhooks import Webhooks
from handler.telemetry import correlation_id

log = logging.getLogger(__name__)

TEMPORARY_THREADS_LIVE = timedelta(minutes=15)
"""How long the thread of a run without a thread of the caller's outlives it, unless its result was fetched."""

ADMISSIONS_LAST = timedelta(minutes=16)
"""How long after the making of its id a run may still be admitted: no invocation lasts longer than 15 minutes."""


class Attendant:
    """What a worker does with a message: it says "look at this run" and nothing more.

    | the run               | what follows                                                  |
    |-----------------------|---------------------------------------------------------------|
    | is not there          | it may be about to be admitted: another message looks again   |
    |                       | when that can no longer be, and then nothing                  |
    | has ended             | its webhook is told of it; then nothing, or a temporary       |
    |                       | thread whose result nobody fetched is deleted after a while   |
    | is to come later      | another message looks again when its time has come            |
    | waits for others      | another message looks again later                             |
    | has a live driver     | another message looks again when its lease would be dead      |
    | is next in line       | it is started and driven, with another message as watchdog    |
    | has lost its driver   | it is taken over and driven, with another message as watchdog |

    A hint is followed by no other message: the run's watchdog, sent before its admission, is under way besides.
    """

    def __init__(
        self,
        threads: ThreadStore,
        runs: RunStore,
        admission: Admission,
        driver: Driver,
        wakes: WakeQueue,
        timers: Timers,
        clock: Clock,
        crons: Crons,
        webhooks: Webhooks,
    ) -> None:
        self.webhooks = webhooks
        self.timers = timers
        self.crons = crons
        self.clock = clock
        self.threads = threads
        self.runs = runs
        self.admission = admission
        self.driver = driver
        self.wakes = wakes

    async def take(self, message: Message, limit_s: float | None = None) -> None:
        """Do what a message asks for, in at most `limit_s` seconds."""
        if isinstance(message, CronWake):
            await self.crons.look(message)
        else:
            await self.attend(message.tenant, message.thread_id, message.run_id, limit_s, hint=message.hint)

    async def attend(
        self, tenant: str, thread_id: str, run_id: str, limit_s: float | None = None, *, hint: bool = False
    ) -> None:
        """Look at a run; drive it for at most `limit_s` seconds if it has no driver."""
        run = await asyncio.to_thread(self.runs.get, tenant, thread_id, run_id)
        if run is None:
            if not hint:
                await self._await_admission(tenant, thread_id, run_id)
            return
        if run.ended:
            if await self.webhooks.tell(run) and not hint:
                await self._collect(run)
            return
        if run.due_at is not None and run.is_early(self.clock()):
            wake = Wake(tenant, thread_id, run_id, correlation_id())
            await asyncio.to_thread(self.timers.set, wake, run.due_at)
            return
        thread = await asyncio.to_thread(self.threads.get, tenant, thread_id)
        if thread is None:
            return
        if not hint:
            # Sent before the claim: whoever dies after it, the run is found.
            lease = thread.lease if thread.active_run == run_id else None
            delay_s = self.admission.terms.next_look_s(lease, to_ms(self.clock()))
            await asyncio.to_thread(self.wakes.send, tenant, thread_id, run_id, delay_s=delay_s)
        claim = await asyncio.to_thread(self.admission.claim_turn, run, thread)
        if claim is None:
            return
        try:
            await self.driver.drive(claim, limit_s, whole=True)
        except LeaseLost:
            return  # whoever took the run over has a message of its own under way

    async def _await_admission(self, tenant: str, thread_id: str, run_id: str) -> None:
        """Look again at a run whose admission may still be under way, by a process that was held up after its message.

        Otherwise the run of a process that stood still between message and admission, and died after it, has nobody.
        """
        made = made_at(run_id)
        if made is None or self.clock() - made > ADMISSIONS_LAST:
            return
        left = made + ADMISSIONS_LAST - self.clock()
        await asyncio.to_thread(self.wakes.send, tenant, thread_id, run_id, delay_s=int(left.total_seconds()) + 1)

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
