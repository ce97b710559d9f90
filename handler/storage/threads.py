"""Threads in DynamoDB."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json

from handler.domain.lease import STANDARD_TERMS, Lease, LeaseTerms
from handler.domain.models import JsonObject, StateChange, Thread, ThreadTtl, utc_now
from handler.domain.ports import Clock
from handler.errors import StorageUnavailable
from handler.storage import keys, statements, thread_statements
from handler.storage.items import cron_key, json_text, thread_from_item, thread_key, thread_to_item
from handler.storage.table import ConditionRefused, Item, Table

MERGE_TRIES = 10
"""How often a metadata merge starts anew after another's came first."""

SHARD_SLACK = 8
"""By how many keys a shard may be ahead of its share before its next page is read."""


class DynamoDBThreads:
    """The port `ThreadStore` over one table; `delete_log` removes a thread's checkpoints."""

    def __init__(
        self,
        table: Table,
        delete_log: Callable[[str, str], None],
        clock: Clock = utc_now,
        terms: LeaseTerms = STANDARD_TERMS,
    ) -> None:
        self.table = table
        self.delete_log = delete_log
        self.clock = clock
        self.terms = terms

    def create(self, thread: Thread) -> bool:
        """Store a new thread; False if there is one with this id already."""
        request = statements.put_new(thread_to_item(thread))
        if thread.ttl:
            self.arm(thread.tenant, thread.thread_id, thread.ttl.due)
        try:
            self.table.put(request)
        except ConditionRefused:
            if not self.expire(thread.tenant, thread.thread_id):
                return False
            return self.create(thread)
        return True

    def get(self, tenant: str, thread_id: str) -> Thread | None:
        """Read a thread, strongly consistent."""
        return self._visible(tenant, thread_id, self.table.get(statements.get_strong(thread_key(tenant, thread_id))))

    def _visible(self, tenant: str, thread_id: str, item: Item | None) -> Thread | None:
        """The thread in an item, unless its time is over; who deletes it then may be late."""
        thread = thread_from_item(tenant, thread_id, item) if item else None
        return None if thread is None or thread.expired(self.clock()) else thread

    def get_many(self, tenant: str, thread_ids: Sequence[str]) -> Mapping[str, Thread]:
        """Read threads by id, strongly consistent; those that are not there are left out."""
        found: dict[str, Thread] = {}
        wanted = [thread_key(tenant, thread_id) for thread_id in dict.fromkeys(thread_ids)]
        for item in self.table.batch_get(wanted):
            thread_id = keys.thread_of(item[keys.PK]["S"])
            thread = self._visible(tenant, thread_id, item)
            if thread is not None:
                found[thread_id] = thread
        return found

    def listed(self, tenant: str, *, newest_first: bool, at_once: int) -> Iterator[str]:
        """The ids of a tenant's threads by the time of their last change, read about `at_once` at a time.

        The index follows a change within moments, not at once. Each shard is read as far as it is asked for.
        """
        limit = at_once // keys.LISTING_SHARDS + SHARD_SLACK
        shards = [
            self.table.query(thread_statements.list_shard(tenant, shard, newest_first=newest_first, limit=limit))
            for shard in range(keys.LISTING_SHARDS)
        ]
        for entry in heapq.merge(*shards, key=lambda item: str(item[keys.LIST_SK]["S"]), reverse=newest_first):
            yield keys.thread_of(entry[keys.PK]["S"])

    def count(self, tenant: str) -> int:
        """How many threads a tenant has, as the index has it."""
        shards = range(keys.LISTING_SHARDS)
        return sum(self.table.count(thread_statements.list_shard(tenant, shard)) for shard in shards)

    def hold(self, thread: Thread, lease: Lease, now: datetime) -> bool:
        """Take the lease of a free thread for a moment, without a run; False if it is not free, or not as seen."""
        try:
            self.table.update(thread_statements.hold(thread, lease, now, self.terms))
        except ConditionRefused as refused:
            owner: str | None = (refused.item or {}).get("owner", {}).get("S")
            return owner == lease.owner  # it was this very call, whose first response was lost
        return True

    def release(self, thread: Thread, lease: Lease, change: StateChange | None, now: datetime, *, clean: bool) -> bool:
        """Let go of a held thread and note what became of its state; False if a run has taken it meanwhile."""
        try:
            self.table.update(thread_statements.release(thread, lease, change, now, clean=clean))
        except ConditionRefused as refused:
            item = refused.item or {}
            epoch: str | None = item.get("epoch", {}).get("N")
            return "owner" not in item and epoch == str(lease.epoch)  # the same
        return True

    def merge_metadata(
        self, tenant: str, thread_id: str, changes: JsonObject, now: datetime, ttl: ThreadTtl | None = None
    ) -> Thread | None:
        """Merge `changes` into the metadata, key by key at the top level; None if there is no such thread."""
        graph_id = changes["graph_id"] if isinstance(changes.get("graph_id"), str) else None
        item = self.table.get(statements.get_strong(thread_key(tenant, thread_id)))
        for _ in range(MERGE_TRIES):
            thread = self._visible(tenant, thread_id, item)
            if item is None or thread is None:
                return None
            seen = item["metadata"]
            merged = json_text({**from_json(seen["S"]), **changes})
            kept = ttl or (thread.ttl and thread.ttl.renewed(now))
            if ttl:
                self.arm(tenant, thread_id, ttl.due)
            try:
                item = self.table.update(
                    thread_statements.merge_metadata(thread, merged, seen, now, graph_id=graph_id, ttl=kept)
                )
            except ConditionRefused as refused:
                item = refused.item
                continue
            return thread_from_item(tenant, thread_id, item)
        raise StorageUnavailable("the thread's metadata change too often at the moment")

    def delete(self, tenant: str, thread_id: str) -> bool:
        """Delete a thread with its runs and checkpoints; False if there is no such thread.

        The thread is hidden first, so that a deletion that is cut short leaves nothing to see, and is finished by
        whoever deletes or creates the thread again.
        """
        try:
            old = self.table.update(thread_statements.begin_deletion(tenant, thread_id))
        except ConditionRefused:
            return False
        self._finish_deletion(tenant, thread_id)
        return self._visible(tenant, thread_id, old) is not None

    def expire(self, tenant: str, thread_id: str) -> bool:
        """Delete a thread whose time is over, or whose deletion was cut short; False if it has neither."""
        try:
            self.table.update(thread_statements.begin_expiry(tenant, thread_id, self.clock()))
        except ConditionRefused:
            return False
        self._finish_deletion(tenant, thread_id)
        return True

    def arm(self, tenant: str, thread_id: str, due: datetime) -> None:
        """Have somebody look at the thread once it is due."""
        self.table.put(thread_statements.put_expiry(tenant, thread_id, due))

    def due(self, days_back: int, now: datetime) -> Iterator[tuple[Item, str, str]]:
        """What was armed for today or up to so many days ago and is due: key, tenant, thread; for the local server."""
        today = now.astimezone(UTC).date()
        for days in range(days_back, -1, -1):
            for shard in range(keys.LISTING_SHARDS):
                request = thread_statements.list_expiries(today - timedelta(days=days), shard, now)
                for item in list(self.table.query(request)):
                    key = {name: item[name] for name in (keys.PK, keys.SK)}
                    yield key, *keys.expiring_thread(item[keys.SK]["S"])

    def disarm(self, key: Mapping[str, Any]) -> None:
        """Forget what was armed, as DynamoDB does by itself."""
        self.table.delete({"Key": key})

    def _finish_deletion(self, tenant: str, thread_id: str) -> None:
        self.delete_log(tenant, thread_id)
        marks = list(self.table.query(statements.query_prefix(tenant, thread_id, keys.CRON_PREFIX, keys_only=True)))
        # The crons before their marks: what is cut short here is found again by the marks that are left.
        self.table.batch_delete([cron_key(tenant, keys.cron_id_of(mark[keys.SK]["S"])) for mark in marks])
        self.table.batch_delete(marks)
        for prefix in (keys.RUN_PREFIX, keys.PAYLOAD_PREFIX, keys.EVENT_PREFIX):
            self.table.batch_delete(
                list(self.table.query(statements.query_prefix(tenant, thread_id, prefix, keys_only=True)))
            )
        self.table.delete({"Key": thread_key(tenant, thread_id)})
