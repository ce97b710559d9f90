"""Deletes the threads that ran an assistant last, when it is deleted with them."""

from collections.abc import Iterator
from itertools import islice

from handler.domain.models import Thread
from handler.domain.ports import ThreadStore

AT_ONCE = 100
"""How many threads are read at a time."""


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
