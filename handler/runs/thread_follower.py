"""Follows the streams of a thread's runs, one after another, as they begin.

Epochs grow from run to run, so that a place in one run's stream is a place in the thread's.
"""

import asyncio
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from handler.domain.events import BEFORE_ALL, Event, EventId
from handler.domain.models import Run
from handler.domain.ports import ThreadStore
from handler.domain.status import RunStatus
from handler.errors import StorageUnavailable
from handler.runs.channels import Channel
from handler.runs.follower import Follower, Streams
from handler.runs.protocol import place_of
from handler.runs.waiter import jittered

FIRST_LOOK_S = 0.1
LAST_LOOK_S = 1.0
"""A thread on which nothing happens is looked at after 100 ms at first, then less and less often."""

RUNS_AT_ONCE = 20
"""How many runs are read at a time."""


@dataclass(frozen=True, slots=True)
class Told:
    """What happened on a thread: events of a run, and its end when that came."""

    run: Run
    at: EventId
    """The last event that was read of the run; before all if it had none."""
    events: tuple[Event, ...] = ()
    ended: Run | None = None
    """The run, with the last of its events."""


class ThreadFollower:
    """One reader of a thread's streams; everything here happens on the graph loop, storage calls on its threads."""

    def __init__(self, streams: Streams, threads: ThreadStore, tenant: str, thread_id: str) -> None:
        self.streams = streams
        self.threads = threads
        self.tenant = tenant
        self.thread_id = thread_id
        self.gone = False
        """Whether the thread was deleted."""
        self.idle = False
        """Whether no run was active or waiting when the thread was last looked at, and all were told."""
        self._after = BEFORE_ALL
        self._from_now = False
        self._under_way: str | None = None
        self._current: Follower | None = None
        self._done: set[str] = set()
        self._earlier: set[str] = set()
        """Runs that had ended before, of which nothing was told so far: perhaps nothing is kept of them."""
        self._seen: Hashable = BEFORE_ALL
        """What the thread looked like last; None is how one looks that is gone."""
        self._held: dict[str, Channel] = {}
        self._changed = asyncio.Event()
        self._look_s = FIRST_LOOK_S

    async def begin(self, after: EventId | None, since: datetime) -> None:
        """Take up a place: behind an event, with the runs that ended after `since`; None: from now on."""
        self.streams.channels.listen(self.tenant, self.thread_id, self)
        for run in await self._runs(lambda run: run.ended and run.updated_at < since):
            if run.ended and (after is None or run.updated_at < since):
                self._done.add(run.run_id)
            elif run.ended:
                self._earlier.add(run.run_id)
            elif run.status is RunStatus.RUNNING:
                self._under_way = run.run_id
        self._after, self._from_now = after or BEFORE_ALL, after is None

    async def next(self, timeout_s: float) -> Told | None:
        """What happens next; None when the time is over, or the thread is gone."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not self.gone:
            left = max(deadline - loop.time(), 0)
            if self._current is None:
                self._changed.clear()
                await self._find_next()
            if self._current is not None:
                told = await self._of_current(left)
                if told is not None:
                    return told
            elif left and not self.gone:
                await self._pause(left)
            if not left:
                return None
        return None

    async def leave(self) -> None:
        """Follow no more; who did may come back for what is still to come of the present run."""
        self.streams.channels.unlisten(self.tenant, self.thread_id, self)
        for run_id in list(self._held):
            self._let_go(run_id)
        if self._current is not None:
            await self._current.leave(keep=self._current.ended is None)

    def wake(self) -> None:
        """A run of the thread has something to tell."""

    def begun(self, channel: Channel) -> None:
        """A run has begun on the thread in this process."""
        self._held[channel.run.run_id] = channel
        self._changed.set()

    def _let_go(self, run_id: str) -> None:
        """Follow a run no more as one that has just begun."""
        channel = self._held.pop(run_id, None)
        if channel is not None:
            channel.followers.discard(self)
            self.streams.channels.let_go(channel)

    async def _of_current(self, timeout_s: float) -> Told | None:
        follower = self._current
        assert follower is not None  # noqa: S101 - asked only while a run is followed
        events, ended = await follower.next(timeout_s), follower.ended
        if ended is not None:
            self._done.add(follower.run.run_id)
            self._current = None
            await follower.leave(keep=False)
        if events:
            self._earlier.discard(follower.run.run_id)
        if not events and ended is None:
            return None
        at = follower.at if events else await self._place_of_end(follower)
        return None if at is None else Told(follower.run, at, tuple(events), ended)

    async def _place_of_end(self, follower: Follower) -> EventId | None:
        """The last event of a run of which only the end is left to tell; None if that is none of this reader's."""
        run, after = follower.run, self._after
        if follower.at != after or run.run_id == self._under_way:
            return follower.at
        if run.run_id not in self._earlier:
            return BEFORE_ALL  # it came later, and had no events
        events, resumable = self.streams.channels.store, run.kwargs.get("resumable")
        if after == BEFORE_ALL or events is None:
            return BEFORE_ALL if resumable else None  # one whose events are kept had none
        with suppress(StorageUnavailable):
            last = await asyncio.to_thread(events.last, run, None)
            if last == after:
                return after
            if last is None and resumable and place_of(run, BEFORE_ALL) > after:
                return BEFORE_ALL
        return None

    async def _find_next(self) -> None:
        """Follow the run that began first of those that were not followed yet."""
        try:
            thread = await asyncio.to_thread(self.threads.get, self.tenant, self.thread_id)
            state = None if thread is None else (thread.epoch, thread.active_run, thread.queue)
            if state == self._seen:
                return
            runs = await self._runs(lambda run: run.run_id in self._done)
            if thread is not None and thread.active_run is not None:
                active = await asyncio.to_thread(self.streams.runs.get, self.tenant, self.thread_id, thread.active_run)
                runs += [active] if active is not None else []
        except StorageUnavailable:
            return  # it is looked again
        begun = [run for run in runs if run.run_id not in self._done and run.status is not RunStatus.PENDING]
        if not begun:
            self._seen = state
            self.gone = thread is None
            self.idle = thread is None or not thread.busy
            return
        self.idle = False
        self._look_s = FIRST_LOOK_S
        run = min(begun, key=lambda run: (run.started_at or run.updated_at, run.run_id))
        place = None if self._from_now and run.run_id == self._under_way else self._after
        self._current = await self.streams.follow(run, place, asks=not run.ended)
        self._let_go(run.run_id)

    async def _runs(self, enough: Callable[[Run], bool]) -> list[Run]:
        """The runs of the thread, newest first, as far as the first one that is enough."""
        found: list[Run] = []
        while True:
            offset = len(found)
            page = await asyncio.to_thread(
                self.streams.runs.list, self.tenant, self.thread_id, limit=RUNS_AT_ONCE, offset=offset, status=None
            )
            found += page
            if len(page) < RUNS_AT_ONCE or any(enough(run) for run in page):
                return found

    async def _pause(self, left_s: float) -> None:
        """Wait for a run that begins here; one that begins elsewhere is looked for after a while."""
        pause_s = min(left_s, jittered(self._look_s))
        self._look_s = min(self._look_s * 1.5, LAST_LOOK_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), pause_s)
