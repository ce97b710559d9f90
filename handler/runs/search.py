"""Finds threads: a page by time off the index, anything else by looking at the threads themselves."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from handler.domain.filters import contains
from handler.domain.models import JsonObject, Thread
from handler.domain.ports import ThreadStore
from handler.domain.status import ThreadStatus
from handler.errors import NotSupported
from handler.runs.states import States

LOOKED_AT_MOST = 10_000
"""How many threads one search may look at, beyond those that it passes over unseen: one read unit and 0.2 ms each."""

STATES_READ_MOST = 1_000
"""How many states one search may read in order to compare their values."""

READ_AT_ONCE = 100
STATES_AT_ONCE = 8

BY_TIME = "updated_at"
"""The order that the index has."""


@dataclass(frozen=True, slots=True)
class ThreadQuery:
    """Which threads to find."""

    metadata: JsonObject = field(default_factory=dict)
    values: JsonObject = field(default_factory=dict)
    status: ThreadStatus | None = None
    ids: tuple[str, ...] = ()
    """None other than these; empty: any."""
    sort_by: str = BY_TIME
    descending: bool = True
    limit: int = 10
    offset: int = 0

    @property
    def filtered(self) -> bool:
        """Whether a thread has to be looked at to know whether it is wanted."""
        return bool(self.metadata or self.values or self.status)

    @property
    def by_index(self) -> bool:
        """Whether the index has the order that is asked for."""
        return self.sort_by == BY_TIME and not self.ids

    def allows(self, thread: Thread) -> bool:
        """Whether a thread is wanted, as far as it tells by itself."""
        if self.status is not None and thread.shown_status != self.status:
            return False
        return contains(thread.shown_metadata, self.metadata)


@dataclass(frozen=True, slots=True)
class Found:
    """A thread with what its state shows; None, {}: not read, or nothing there."""

    thread: Thread
    values: Any = None
    interrupts: JsonObject = field(default_factory=dict)


class Search:
    """Finds threads; everything here happens on the graph loop, storage calls on its threads.

    `plain` turns a state's values into what JSON would make of them.
    """

    def __init__(self, threads: ThreadStore, states: States, plain: Callable[[Any], Any]) -> None:
        self.threads = threads
        self.states = states
        self.plain = plain

    async def page(self, tenant: str, query: ThreadQuery, *, with_values: bool) -> tuple[list[Found], bool]:
        """The threads of one page, and whether there are more."""
        if query.by_index:
            found = [one async for one in self._in_order(tenant, query, query.offset + query.limit + 1)]
            # Where nothing is compared, threads before the page are passed over by their keys alone.
            start = query.offset if query.filtered else 0
        else:
            everything = [one async for one in self._matching(tenant, query, self._ids(tenant, query, READ_AT_ONCE))]
            found = sorted(everything, key=lambda one: sort_key(one.thread, query.sort_by), reverse=query.descending)
            start = query.offset
        rows = found[start : start + query.limit]
        if with_values and not query.values:
            rows = await self._with_values(rows)
        return rows, len(found) > start + query.limit

    async def count(self, tenant: str, query: ThreadQuery) -> int:
        """How many threads there are of those that are wanted."""
        if not query.filtered:
            return await asyncio.to_thread(self.threads.count, tenant)
        found = 0
        async for _ in self._matching(tenant, query, self._ids(tenant, query, READ_AT_ONCE)):
            found += 1
        return found

    async def _in_order(self, tenant: str, query: ThreadQuery, needed: int) -> AsyncIterator[Found]:
        """The threads of a search by time, no more than needed."""
        ids = self._ids(tenant, query, needed if not query.filtered else READ_AT_ONCE)
        if not query.filtered:
            await asyncio.to_thread(list, islice(ids, query.offset))
            needed -= query.offset
        taken = 0
        async for one in self._matching(tenant, query, ids, needed):
            yield one
            taken += 1
            if taken == needed:
                return

    def _ids(self, tenant: str, query: ThreadQuery, at_once: int) -> Iterator[str]:
        if query.ids:
            return iter(query.ids)
        return self.threads.listed(tenant, newest_first=query.descending or not query.by_index, at_once=at_once)

    async def _matching(
        self, tenant: str, query: ThreadQuery, ids: Iterator[str], needed: int | None = None
    ) -> AsyncIterator[Found]:
        """The threads of these ids that are wanted, in the order of the ids."""
        looked_at = states_read = 0
        at_once = READ_AT_ONCE
        while True:
            if needed is not None and not query.filtered:  # just those that are shown
                at_once = min(needed, READ_AT_ONCE)
            chunk = await asyncio.to_thread(list, islice(ids, at_once))
            if not chunk:
                return
            looked_at += len(chunk)
            if looked_at > LOOKED_AT_MOST:
                raise NotSupported(
                    f"a search that has to look at more than {LOOKED_AT_MOST} threads is not supported: name ids, "
                    "or search by time without a filter"
                )
            found = await asyncio.to_thread(self.threads.get_many, tenant, chunk)
            threads = [found[thread_id] for thread_id in chunk if thread_id in found]
            rows = [Found(thread) for thread in threads if query.allows(thread)]
            if query.values:
                states_read += sum(1 for row in rows if row.thread.has_values)
                if states_read > STATES_READ_MOST:
                    raise NotSupported(
                        f"a search by values among more than {STATES_READ_MOST} states is not supported: "
                        "narrow it by ids, metadata or status"
                    )
                rows = [row for row in await self._with_values(rows) if contains(row.values, query.values)]
            needed = needed - len(rows) if needed is not None else None
            for row in rows:
                yield row

    async def _with_values(self, rows: list[Found]) -> list[Found]:
        """The same threads, with what their states show."""
        slots = asyncio.Semaphore(STATES_AT_ONCE)

        async def read(row: Found) -> Found:
            async with slots:
                values, interrupts = await self.states.summary(row.thread)
            return Found(row.thread, self.plain(values), self.plain(interrupts))

        return list(await asyncio.gather(*(read(row) for row in rows)))


def sort_key(thread: Thread, name: str) -> str:
    """What threads are ordered by."""
    if name == "thread_id":
        return thread.thread_id
    if name == "status":
        return thread.shown_status
    moments = {
        "created_at": thread.created_at,
        "updated_at": thread.updated_at,
        "state_updated_at": thread.state_updated_at or thread.created_at,
    }
    return moments[name].isoformat(timespec="microseconds")


STEP = re.compile(r"\.([^.\[\]]+)|\[(-?\d+)\]|(.)")
"""One step of a path: a name, a place in a list, or something that leads nowhere."""


def extract(row: JsonObject, path: str) -> Any:
    """The value behind a path such as `values.messages[-1].content`; None where there is none."""
    value: Any = row
    for name, place, other in STEP.findall(f".{path}"):
        if name:
            value = value.get(name) if isinstance(value, dict) else None
        elif place:
            inside = isinstance(value, list) and -len(value) <= int(place) < len(value)
            value = value[int(place)] if inside else None
        elif other not in ".[":
            return None
    return value
