"""Threads in DynamoDB."""

from collections.abc import Callable
from datetime import datetime

from pydantic_core import from_json

from handler.domain.models import JsonObject, Thread
from handler.errors import StorageUnavailable
from handler.storage import keys, statements
from handler.storage.items import json_text, thread_from_item, thread_key, thread_to_item
from handler.storage.table import ConditionRefused, Table

MERGE_TRIES = 10
"""How often a metadata merge starts anew after another's came first."""


class DynamoDBThreads:
    """The port `ThreadStore` over one table; `delete_log` removes a thread's checkpoints."""

    def __init__(self, table: Table, delete_log: Callable[[str, str], None]) -> None:
        self.table = table
        self.delete_log = delete_log

    def create(self, thread: Thread) -> bool:
        """Store a new thread; False if there is one with this id already."""
        request = statements.put_new(thread_to_item(thread))
        try:
            self.table.put(request)
        except ConditionRefused as refused:
            if refused.item is None or "deleting" not in refused.item:
                return False
            self._finish_deletion(thread.tenant, thread.thread_id)
            return self.create(thread)
        return True

    def get(self, tenant: str, thread_id: str) -> Thread | None:
        """Read a thread, strongly consistent."""
        item = self.table.get(statements.get_strong(thread_key(tenant, thread_id)))
        return thread_from_item(tenant, thread_id, item) if item else None

    def merge_metadata(self, tenant: str, thread_id: str, changes: JsonObject, now: datetime) -> Thread | None:
        """Merge `changes` into the metadata, key by key at the top level; None if there is no such thread."""
        item = self.table.get(statements.get_strong(thread_key(tenant, thread_id)))
        for _ in range(MERGE_TRIES):
            thread = thread_from_item(tenant, thread_id, item) if item else None
            if item is None or thread is None:
                return None
            seen = item["metadata"]
            merged = json_text({**from_json(seen["S"]), **changes})
            try:
                item = self.table.update(statements.merge_metadata(thread, merged, seen, now))
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
            old = self.table.update(statements.begin_deletion(tenant, thread_id))
        except ConditionRefused:
            return False
        self._finish_deletion(tenant, thread_id)
        return "deleting" not in old

    def _finish_deletion(self, tenant: str, thread_id: str) -> None:
        self.delete_log(tenant, thread_id)
        for prefix in (keys.RUN_PREFIX, keys.PAYLOAD_PREFIX):
            self.table.batch_delete(
                list(self.table.query(statements.query_prefix(tenant, thread_id, prefix, keys_only=True)))
            )
        self.table.delete({"Key": thread_key(tenant, thread_id)})
