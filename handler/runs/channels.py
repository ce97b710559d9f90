"""The streams of runs within this process: who drives a run publishes, who follows it reads, from memory.

What someone may come back for at another process is stored as well, in batches:

| the run                                              | its events are stored                                  |
|------------------------------------------------------|--------------------------------------------------------|
| nobody streams it                                    | never                                                  |
| streamed here, and the stream is followed to its end | never                                                  |
| … and its follower goes away before the end          | from then on, with those before                        |
| streamed, but driven where nobody follows it         | from the beginning                                     |
| `stream_resumable`                                   | from the beginning                                     |
| another process's follower asks for it               | from when the driver sees it, with those before, if it |
|                                                      | has them                                               |
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import Any, Protocol

from handler.domain.events import BEFORE_ALL, Event, EventId
from handler.domain.models import Claim, Run
from handler.domain.ports import EventStore
from handler.errors import ServiceError
from handler.runs.encoding import encode

log = logging.getLogger(__name__)

FLUSH_S = 0.25
"""How long events wait for others to be stored with."""

FLUSH_BYTES = 256_000
"""So many bytes of events are stored without waiting."""

FLUSH_TRIES = 3
"""How often the last batch of a drive is tried; a run does not fail for its stream."""

BATCH_BYTES = 1_000_000
"""Most bytes of a batch, but for one event that is larger."""

MEMORY_BYTES = 20_000_000
"""So many bytes of a run's events stay in memory at least, for those who follow it here, however few are stored."""

LOOK_S = 1.0
"""How often a driver that nobody follows here looks whether somebody elsewhere does."""

SELDOM_LOOK_S = 20.0
"""How often it looks when somebody follows it here, or waits for it."""


class Woken(Protocol):
    """Whoever wants to know that a channel has changed."""

    def wake(self) -> None:
        """Look again."""


class Listener(Woken, Protocol):
    """Whoever wants to know of the runs of a thread."""

    def begun(self, channel: "Channel") -> None:
        """A run has begun, and the listener is among its followers until it has taken itself out."""


class Channel:
    """The stream of one run in this process; everything here happens on the graph loop."""

    def __init__(self, run: Run, store: EventStore | None, most_bytes: int) -> None:
        self.run = run
        self.store = store
        self.most_bytes = most_bytes
        """Most bytes that are stored."""
        self._drives: set[int] = set()
        self.ended: Run | None = None
        """The run, once it has ended here."""
        self.wanted = bool(run.kwargs.get("stream"))
        """Whether events are made at all."""
        self.kept = False
        """Whether they are stored."""
        self.followers: set[Woken] = set()
        self.epoch = 0
        self.continued: set[int] = set()
        """Epochs of drives that went on where another driver had stopped."""
        self.dropped = BEFORE_ALL
        """The last event that is no longer in memory."""
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._number = 0
        self._cut: EventId | None = None
        self._pending: list[Event] = []
        self._pending_bytes = 0
        self._stored_bytes = 0
        self._due = asyncio.Event()
        self._storing = asyncio.Lock()
        self._flusher: asyncio.Task[None] | None = None

    @property
    def driven(self) -> bool:
        """Whether this process drives the run now."""
        return bool(self._drives)

    @property
    def idle(self) -> bool:
        """Whether nobody needs the channel any more."""
        return not self.driven and not self.followers

    @property
    def last(self) -> EventId:
        """The last event that was published here."""
        return EventId(self.epoch, self._number)

    def after(self, place: EventId) -> list[Event]:
        """The events in memory behind a place."""
        if not self._events or self._events[-1].id <= place:
            return []
        return [event for event in self._events if event.id > place]

    def publish(self, epoch: int, name: str, data: Any) -> None:
        """Take an event from a drive; nothing is done if nobody wants it, or if another drive has begun since."""
        if not self.wanted or epoch != self.epoch:
            return
        self._number += 1
        event = Event(EventId(self.epoch, self._number), name, encode(data))
        self._events.append(event)
        self._bytes += len(event.data)
        while self._bytes > max(self.most_bytes, MEMORY_BYTES) and len(self._events) > 1:
            dropped = self._events.popleft()
            self._bytes -= len(dropped.data)
            self.dropped = dropped.id
        if self.kept:
            self._store_soon(event)
        self.wake()

    def wake(self) -> None:
        """Have the followers look again."""
        for follower in self.followers:
            follower.wake()

    def keep(self) -> None:
        """Store the events from now on, and those that are in memory."""
        if self.kept or self.store is None:
            return
        self.kept = self.wanted = True
        for event in self._events:
            if event.id.epoch == self.epoch:
                self._store_soon(event)

    def begin(self, claim: Claim) -> None:
        """A drive begins."""
        self._drives.add(claim.lease.epoch)
        self.epoch, self._number = claim.lease.epoch, 0
        if claim.resumes:
            self.continued.add(self.epoch)
        self.wake()

    async def open(self, claim: Claim, *, elsewhere: bool, repeats: bool = False) -> None:
        """The graph is about to run; `elsewhere`: whoever asked for the stream may be in another process.

        `repeats`: the driver before has told of the run's beginning, up to where the graph goes on.
        """
        kwargs = claim.run.kwargs
        away = (elsewhere or claim.resumes) and not self.followers
        asked = kwargs.get("resumable") or (away and kwargs.get("stream"))
        if asked or (away and await self._is_followed()):
            self.keep()
        if claim.resumes and self.kept and not claim.clean and self.store is not None:
            await self._cut_off(claim)
        if not repeats:
            self.publish(claim.lease.epoch, "metadata", {"run_id": claim.run.run_id, "attempt": claim.run.attempt})

    async def watch(self, *, elsewhere: bool) -> None:
        """Look now and then whether somebody elsewhere follows the run: soon where its stream cannot be followed here.

        A run that is waited for is looked after only as seldom as its lease is renewed.
        """
        streamed = bool(self.run.kwargs.get("stream"))
        while self.store is not None and not self.kept:
            await asyncio.sleep(LOOK_S if (elsewhere or streamed) and not self.followers else SELDOM_LOOK_S)
            if await self._is_followed():
                self.keep()

    async def flush(self) -> None:
        """Store what is still to be stored, so that it is there before the run is seen to have ended."""
        failures = 0
        while self._pending and failures < FLUSH_TRIES:
            failures += 0 if await self._store() else 1

    def close(self, epoch: int) -> None:
        """A drive is over."""
        self._drives.discard(epoch)
        self.wake()
        if self._drives:
            return
        self._pending.clear()
        self._pending_bytes = 0
        if self._flusher is not None:
            self._flusher.cancel()
            self._flusher = None

    async def _is_followed(self) -> bool:
        if self.store is None:
            return False
        try:
            return await asyncio.to_thread(self.store.is_followed, self.run)
        except ServiceError:
            return False  # it is looked again

    async def _cut_off(self, claim: Claim) -> None:
        """Find where the stream of the drivers before ends, which may still write."""
        assert self.store is not None  # noqa: S101 - asked only where there is one
        try:
            self._cut = await asyncio.to_thread(self.store.last, claim.run, claim.lease.epoch)
        except ServiceError:
            return

    def _store_soon(self, event: Event) -> None:
        self._pending.append(event)
        self._pending_bytes += len(event.data)
        if self._flusher is None and self.driven:
            self._flusher = asyncio.create_task(self._flush_now_and_then())
        if self._pending_bytes >= FLUSH_BYTES:
            self._due.set()

    async def _flush_now_and_then(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), FLUSH_S)
            self._due.clear()
            if self._pending:
                await self._store()

    async def _store(self) -> bool:
        """Store the pending events; False if the storage is out of reach: then they stay pending."""
        assert self.store is not None  # noqa: S101 - nothing is pending where there is none
        async with self._storing:
            batch, cut = self._next_batch(), self._cut
            if not batch:
                return True
            if self._stored_bytes > self.most_bytes:
                self._forget(len(batch))
                return True
            try:
                self._stored_bytes += await asyncio.to_thread(self.store.append, self.run, batch, cut)
            except ServiceError as error:
                log.warning("events not stored", extra={"run_id": self.run.run_id, "error": type(error).__name__})
                return False
            self._cut = None
            self._forget(len(batch))
            if self._stored_bytes > self.most_bytes:
                log.warning("no more events are stored", extra={"run_id": self.run.run_id, "bytes": self._stored_bytes})
            return True

    def _next_batch(self) -> list[Event]:
        size, count = 0, 0
        for event in self._pending:
            size += len(event.data)
            if count and (size > BATCH_BYTES or event.id.epoch != self._pending[0].id.epoch):
                break
            count += 1
        return self._pending[:count]

    def _forget(self, count: int) -> None:
        self._pending_bytes -= sum(len(event.data) for event in self._pending[:count])
        del self._pending[:count]


class Channels:
    """The channels of this process, by run."""

    def __init__(self, store: EventStore | None, most_bytes: int) -> None:
        self.store = store if most_bytes else None
        self.most_bytes = most_bytes
        self._channels: dict[str, Channel] = {}
        self._listeners: dict[tuple[str, str], set[Listener]] = {}

    def of(self, run: Run) -> Channel:
        """The channel of a run, made if there is none."""
        if run.run_id not in self._channels:
            self._channels[run.run_id] = Channel(run, self.store, self.most_bytes)
        return self._channels[run.run_id]

    def begun(self, channel: Channel) -> None:
        """A drive has begun: whoever listens to its thread follows it, so that not the shortest run is over before."""
        for listener in self._listeners.get((channel.run.tenant, channel.run.thread_id), ()):
            channel.wanted = True
            channel.followers.add(listener)
            listener.begun(channel)

    def listen(self, tenant: str, thread_id: str, listener: Listener) -> None:
        """Tell somebody of each run that begins on a thread in this process."""
        self._listeners.setdefault((tenant, thread_id), set()).add(listener)

    def unlisten(self, tenant: str, thread_id: str, listener: Listener) -> None:
        """Tell them no more."""
        listeners = self._listeners.get((tenant, thread_id), set())
        listeners.discard(listener)
        if not listeners:
            self._listeners.pop((tenant, thread_id), None)

    def let_go(self, channel: Channel) -> None:
        """Forget a channel that nobody needs."""
        if channel.idle and self._channels.get(channel.run.run_id) is channel:
            del self._channels[channel.run.run_id]
