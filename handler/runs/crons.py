"""Crons: kept with a timer for their next firing, and fired when a message says that one may be due.

The date of the next firing stands on the cron; messages are hints. Before the date is written, a message for it is
under way: whoever dies in between, the cron is looked at. A firing is a run under the idempotency key (cron, date), so
that any number of messages, at any time and in any order, start it once.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from handler.domain.messages import CronWake
from handler.domain.models import Cron, IdempotencyKey, Run, Thread
from handler.domain.ports import Clock, CronStore, Timers, WakeQueue
from handler.errors import AlreadyAccepted, CronNotFound, ServiceError, StorageUnavailable, ThreadNotFound
from handler.runs.schedules import next_fire
from handler.runs.waiter import Waiter

log = logging.getLogger(__name__)

Start = Callable[[Cron], tuple[Run, Thread | None]]
"""Makes the run of one firing, and the thread to create for it; a ServiceError where none can be made."""

MADE_UP_FOR = timedelta(hours=1)
"""Firings that nobody attended to are made up for if they were due this long ago at most; of older ones, only the last
that was awaited."""

CHANGES_LAST = timedelta(minutes=16)
"""How long after its message a cron may still be written: no invocation lasts longer than 15 minutes."""

KEYS_LIVE = timedelta(days=7)
"""How long it is known that a firing was started."""

CHANGE_TRIES = 10
"""How often a change starts anew after another's came first."""


class Crons:
    """The crons of all tenants; storage calls run on threads, the rest on the graph loop."""

    def __init__(
        self, store: CronStore, waiter: Waiter, wakes: WakeQueue, timers: Timers, clock: Clock, start: Start
    ) -> None:
        self.store = store
        self.waiter = waiter
        self.wakes = wakes
        self.timers = timers
        self.clock = clock
        self.start = start

    def create(self, cron: Cron) -> None:
        """Keep a new cron; ThreadNotFound if its thread is not there."""
        self._arm(cron)
        self.store.create(cron)

    def change(self, tenant: str, cron_id: str, change: Callable[[Cron], Cron]) -> Cron:
        """Keep what `change` makes of a cron, which may be asked several times; CronNotFound if there is none."""
        for _ in range(CHANGE_TRIES):
            cron = self.store.get(tenant, cron_id)
            if cron is None:
                raise CronNotFound(cron_id)
            changed = change(cron)
            self._arm(changed)
            kept = self.store.replace(changed)
            if kept is not None:
                return kept
        raise StorageUnavailable("the cron changes too often at the moment")

    def delete(self, tenant: str, cron_id: str) -> bool:
        """Delete a cron; False if there is none."""
        if not self.store.delete(tenant, cron_id):
            return False
        now = self.clock()
        try:
            self.timers.clear(CronWake(tenant, cron_id, now, now))
        except StorageUnavailable as error:  # its message finds no cron
            log.warning("timer not cleared", extra={"cron_id": cron_id, "error": type(error).__name__})
        return True

    def delete_of_assistant(self, tenant: str, assistant_id: str) -> None:
        """Delete the crons of an assistant that is gone; what a dead process leaves of them starts no runs."""
        for cron in self.store.list(tenant):
            if cron.assistant_id == assistant_id:
                self.delete(tenant, cron.cron_id)

    async def look(self, wake: CronWake) -> None:
        """Do what is to be done about a cron.

        | the cron                         | what follows                                          |
        |----------------------------------|-------------------------------------------------------|
        | is due, whatever the message says| its run is started, and its next date written         |
        | is due later, as the message says| the message came early: the timer is set again        |
        | is not as the message says       | it may be about to be written: another message looks  |
        |                                  | again when that can no longer be, and then nothing    |
        """
        for _ in range(CHANGE_TRIES):
            cron = await asyncio.to_thread(self.store.get, wake.tenant, wake.cron_id)
            now = self.clock()
            if cron is None or not cron.enabled or cron.ends_before_next or now < cron.next_run_date != wake.due:
                await self._await_change(wake, now)
                return
            if now < cron.next_run_date:
                await asyncio.to_thread(self._arm, cron)
                return
            if await self._fire(cron, now):
                return
        raise StorageUnavailable("the cron changes too often at the moment")

    async def _await_change(self, wake: CronWake, now: datetime) -> None:
        over = wake.armed_at + CHANGES_LAST
        if now <= over:
            await asyncio.to_thread(self.timers.set, wake, over + timedelta(seconds=1))

    async def _fire(self, cron: Cron, now: datetime) -> bool:
        """Start the run that is due, and write the next date; False if the cron was changed meanwhile."""
        since = max(cron.next_run_date, now - MADE_UP_FOR)
        following = replace(cron, next_run_date=next_fire(cron.schedule, cron.timezone, since))
        await asyncio.to_thread(self._arm, following)
        fields = {"cron_id": cron.cron_id, "due": cron.next_run_date.isoformat()}
        try:
            run_id = await self._start(cron, now)
        except ThreadNotFound:  # it went by its time to live, which takes no cron with it
            await asyncio.to_thread(self.store.delete, cron.tenant, cron.cron_id)
            log.warning("cron deleted with its thread", extra=fields)
            return True
        except StorageUnavailable:
            raise
        except ServiceError as refused:  # the thread is busy, the assistant is gone: nothing comes of this firing
            log.warning("cron not fired", extra={**fields, "error": type(refused).__name__})
        else:
            log.info("cron fired", extra={**fields, "run_id": run_id})
        return await asyncio.to_thread(self.store.replace, following) is not None

    async def _start(self, cron: Cron, now: datetime) -> str:
        """Start the run of a firing, once; its id."""
        due = cron.next_run_date.isoformat()
        key = IdempotencyKey(f"cron:{cron.cron_id}", due, due, int((now + KEYS_LIVE).timestamp()))
        run, new_thread = await asyncio.to_thread(self.start, cron)
        try:
            await self.waiter.admit(replace(run, idempotency=key), new_thread, inline=False)
        except AlreadyAccepted as before:
            return before.run_id
        await asyncio.to_thread(self.wakes.send, run.tenant, run.thread_id, run.run_id)
        return run.run_id

    def _arm(self, cron: Cron) -> None:
        """Have a message under way for the next firing, if there is to be one."""
        if cron.enabled and not cron.ends_before_next:
            wake = CronWake(cron.tenant, cron.cron_id, cron.next_run_date, self.clock())
            self.timers.set(wake, cron.next_run_date)
