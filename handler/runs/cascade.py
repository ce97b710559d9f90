"""What goes with an assistant: its crons, and the threads that ran it last where they are to go as well."""

from collections.abc import Iterator
from itertools import islice

from handler.domain.models import Thread
from handler.domain.ports import ThreadStore
from handler.runs.crons import Crons

AT_ONCE = 100
"""How many threads are read at a time."""


def delete_crons_of(crons: Crons, tenant: str, assistant_id: str) -> int:
    """Delete an assistant's crons; how many there were."""
    found = [cron for cron in crons.store.list(tenant) if cron.assistant_id == assistant_id]
    return sum(crons.delete(tenant, cron.cron_id) for cron in found)


def delete_threads_of(threads: ThreadStore, tenant: str, assistant_id: str) -> int:
    """Delete them, whatever runs on them; how many there were. All of the tenant's threads are looked at.

    Cut short, it has deleted some: repeated, it goes on.
    """
    count = 0
    for thread in _all_threads(threads, tenant):
        if thread.assistant_id == assistant_id:
            count += threads.delete(tenant, thread.thread_id)
    return count


def _all_threads(threads: ThreadStore, tenant: str) -> Iterator[Thread]:
    ids = threads.listed(tenant, newest_first=False, at_once=AT_ONCE)
    while some := list(islice(ids, AT_ONCE)):
        yield from threads.get_many(tenant, some).values()
