"""Looks at threads that are due: deletes them or their old checkpoints, or sees to it that somebody looks again."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from handler.domain.models import TtlStrategy
from handler.domain.ports import Clock, ThreadStore
from handler.errors import ThreadBusy, ThreadNotFound
from handler.runs.updates import Updates

SOONEST = timedelta(minutes=1)
"""When a thread that is to be looked at again is due at the earliest."""


class Expiry:
    """What is done about a thread that may be due; a message says "look at this thread" and nothing more.

    | the thread                                | what follows                            |
    |-------------------------------------------|-----------------------------------------|
    | is not there, or is kept for ever now     | nothing                                 |
    | is due, its strategy is `delete`          | it is deleted                           |
    | is due, its strategy is `keep_latest`     | it is pruned, and looked at again later |
    | has changed since, or a run keeps it      | it is looked at again when it is due    |
    """

    def __init__(self, threads: ThreadStore, updates: Updates, clock: Clock) -> None:
        self.threads = threads
        self.updates = updates
        self.clock = clock

    async def attend(self, tenant: str, thread_id: str) -> None:
        """Look at a thread that was due when it was last known."""
        if await asyncio.to_thread(self.threads.expire, tenant, thread_id):
            return
        thread = await asyncio.to_thread(self.threads.get, tenant, thread_id)
        if thread is None or thread.ttl is None:
            return
        now = self.clock()
        next_look = thread.ttl.due
        if next_look <= now:
            if thread.ttl.strategy is TtlStrategy.KEEP_LATEST:
                with suppress(ThreadBusy, ThreadNotFound):
                    await self.updates.prune(thread)
            next_look = now + thread.ttl.span
        await asyncio.to_thread(self.threads.arm, tenant, thread_id, max(next_look, now + SOONEST))
