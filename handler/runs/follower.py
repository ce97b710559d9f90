"""Follows the stream of a run: from memory where this process drives it, else from what its driver stores."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from handler.domain.events import BEFORE_ALL, Event, EventId
from handler.domain.models import Run
from handler.domain.ports import RunStore
from handler.domain.status import RunStatus
from handler.errors import RunNotFound, ServiceError, StorageUnavailable
from handler.runs.admission import Admitted
from handler.runs.channels import Channel, Channels
from handler.runs.driver import Ended
from handler.runs.outcome import tells_of_interrupt
from handler.runs.waiter import FIRST_POLL_S, LAST_POLL_S, Waiter, jittered


class Streams:
    """Makes the followers of runs."""

    def __init__(self, runs: RunStore, channels: Channels, waiter: Waiter) -> None:
        self.runs = runs
        self.channels = channels
        self.waiter = waiter

    async def follow(
        self,
        run: Run,
        after: EventId | None,
        admitted: Admitted | None = None,
        *,
        asks: bool = True,
        window_s: float | None = None,
        limit_s: float | None = None,
    ) -> "Follower":
        """Follow a run from an event on (None: from now on); with `admitted` the run is driven here, as for a wait.

        `asks`: whether to tell a driver elsewhere that its events are wanted.
        """
        follower = Follower(self, run, after or BEFORE_ALL)
        if admitted is not None:
            drive = self.waiter.follow(run, admitted, window_s=window_s, limit_s=limit_s)
            follower.drive(drive, at_once=admitted.claim is not None)
        elif follower.channel.driven:
            follower.at = follower.channel.last if after is None else after
        else:
            await follower.join(after, asks=asks and not run.ended)
        return follower

    async def has_asked(self, run: Run) -> bool:
        """Whether what a run has told so far, as far as it is kept, has an interrupt in it."""
        follower = Follower(self, run, BEFORE_ALL)
        try:
            while not follower.asked and await follower.next(0):
                continue
            return follower.asked
        finally:
            await follower.leave(keep=False)

    async def has_more(self, run: Run, after: EventId) -> bool:
        """Whether a stream that was read up to an event has more to tell: events, or how its run failed."""
        if not run.ended or run.error is not None:
            return True
        store = self.channels.store
        return store is not None and bool(await asyncio.to_thread(store.read, run, after))


class Follower:
    """One reader of a run's stream; everything here happens on the graph loop, storage calls on its threads."""

    def __init__(self, streams: Streams, run: Run, at: EventId) -> None:
        self.streams = streams
        self.run = run
        self.at = at
        """The last event that was read."""
        self.asked = False
        """Whether an interrupt was among the events that were read: the run ends with its super-step."""
        self.ended: Run | None = None
        """The run once all its events were read; it may be gone, then it is as it was last seen."""
        self.driving: asyncio.Task[Ended | None] | None = None
        self.channel: Channel = streams.channels.of(run)
        self.channel.followers.add(self)
        self.channel.wanted = True
        self._over = run if run.ended else None
        self._about_to_drive = False
        self._found_nothing = 0
        self._caught_up: set[int] = set()
        self._changed = asyncio.Event()
        self._poll_s = FIRST_POLL_S

    def drive(self, work: Coroutine[Any, Any, Ended | None], *, at_once: bool) -> None:
        """Have the run driven here; `at_once`: its lease is taken."""
        self._about_to_drive = at_once
        self.driving = asyncio.create_task(work)
        self.driving.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def join(self, after: EventId | None, *, asks: bool) -> None:
        """Take up a place in a stream whose driver is elsewhere."""
        events = self.streams.channels.store
        if events is None:
            return
        if asks and not self.run.kwargs.get("resumable"):
            await asyncio.to_thread(events.follow, self.run)
        if after is None:
            last = await asyncio.to_thread(lambda: events.last(self.run, None))
            self.at = last or BEFORE_ALL

    async def next(self, timeout_s: float) -> Sequence[Event]:
        """Events that follow; none when the time is over, or when the stream is: then `ended` is set."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            self._changed.clear()
            over = self._over or await self._seen_to_end()
            found = await self._read()
            if found:
                self.at = found[-1].id
                self.asked = self.asked or any(map(tells_of_interrupt, found))
                self._poll_s, self._found_nothing = FIRST_POLL_S, 0
                return found
            if over is not None:
                self.ended = over
                return ()
            left = deadline - loop.time()
            if left <= 0:
                return ()
            await self._pause(left)

    async def leave(self, *, keep: bool) -> None:
        """Follow no more; `keep`: whoever did may come back elsewhere for what follows `at`."""
        self.channel.followers.discard(self)
        if keep and (self.channel.driven or self._about_to_drive or self.channel.after(self.at)):
            self.channel.keep()
            if not self.channel.driven:
                await self.channel.flush()
        self.streams.channels.let_go(self.channel)

    def wake(self) -> None:
        """The channel has changed."""
        self._about_to_drive = False
        self._changed.set()

    async def _seen_to_end(self) -> Run | None:
        """The run, if it is known to have ended; where this process does not drive it, it is looked at."""
        if self.channel.ended is not None:
            self._over = self.channel.ended
        elif self.driving is not None and self.driving.done():
            self._over = self._driven()
        elif not self.channel.driven and self.driving is None and self._found_nothing % 2:
            self._over = await self._looked_at()  # every other time, as long as nothing comes
        return self._over

    def _driven(self) -> Run | None:
        """What has become of the run that this follower had driven; None if its window has closed."""
        assert self.driving is not None  # noqa: S101 - asked only once it is done
        driving, self.driving = self.driving, None
        try:
            result = driving.result()
        except ServiceError as error:
            described = {"error": type(error).__name__, "message": str(error)}
            return replace(self.run, status=RunStatus.ERROR, error=described)
        return result.run if result is not None else None

    async def _looked_at(self) -> Run | None:
        try:
            current = await asyncio.to_thread(
                self.streams.runs.get, self.run.tenant, self.run.thread_id, self.run.run_id
            )
        except (StorageUnavailable, RunNotFound):
            return None
        if current is None:  # rolled back or deleted
            return replace(self.run, status=RunStatus.INTERRUPTED)
        return current if current.ended else None

    async def _read(self) -> Sequence[Event]:
        """What there is behind the last event that was read."""
        here = self.channel.after(self.at)
        if here:
            epoch = here[0].id.epoch
            if epoch in self.channel.continued and epoch not in self._caught_up:
                before = [event for event in await self._stored() if event.id.epoch < epoch]
                if before:
                    return before
                self._caught_up.add(epoch)
            if self.channel.dropped > self.at and self.channel.kept:
                return await self._stored() or here
            return [event for event in here if event.id.epoch == epoch]
        if self.channel.driven or self._about_to_drive:
            return ()
        self._found_nothing += 1
        return await self._stored()

    async def _stored(self) -> Sequence[Event]:
        if self.streams.channels.store is None:
            return ()
        try:
            return await asyncio.to_thread(self.streams.channels.store.read, self.run, self.at)
        except StorageUnavailable:
            return ()  # the run goes on: its follower waits for better times

    async def _pause(self, left_s: float) -> None:
        """Wait for a change; where it cannot be seen here, look again after a while, give or take a fifth."""
        pause_s = left_s
        if not (self.channel.driven or self._about_to_drive):
            pause_s = min(left_s, jittered(self._poll_s))
            self._poll_s = min(self._poll_s * 1.5, LAST_POLL_S)
        changed: asyncio.Task[Any] = asyncio.create_task(self._changed.wait())
        waits = {changed, self.driving} if self.driving is not None else {changed}
        try:
            await asyncio.wait(waits, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
