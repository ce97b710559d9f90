"""Crons in DynamoDB."""

from collections.abc import Sequence
from dataclasses import replace

from handler.domain.models import Cron
from handler.errors import StorageUnavailable, ThreadNotFound
from handler.storage import cron_statements, keys
from handler.storage.items import cron_from_item, cron_key
from handler.storage.statements import get_strong
from handler.storage.table import ConditionRefused, Table


class DynamoDBCrons:
    """The port `CronStore` over one table."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def create(self, cron: Cron) -> None:
        """Store a new cron; ThreadNotFound if its thread is not there.

        A transaction whose response was lost is refused when it is sent again, by the cron that is there already.
        """
        try:
            self.table.transact(cron_statements.create(cron))
        except ConditionRefused as refused:
            if cron.thread_id is not None and refused.refused[0]:
                raise ThreadNotFound(cron.thread_id) from None
            if self.get(cron.tenant, cron.cron_id) is None:
                raise StorageUnavailable("the cron was refused") from refused

    def get(self, tenant: str, cron_id: str) -> Cron | None:
        """Read a cron, strongly consistent."""
        item = self.table.get(get_strong(cron_key(tenant, cron_id)))
        return cron_from_item(tenant, item) if item else None

    def list(self, tenant: str) -> Sequence[Cron]:
        """Read all crons of a tenant, strongly consistent, in any order."""
        return [
            cron_from_item(tenant, item)
            for shard in range(keys.CRON_SHARDS)
            for item in self.table.query(cron_statements.query_shard(tenant, shard))
        ]

    def replace(self, cron: Cron) -> Cron | None:
        """Store a cron in place of its revision, as the next one; None if that has changed or is gone."""
        following = replace(cron, revision=cron.revision + 1)
        try:
            self.table.put(cron_statements.replace(following))
        except ConditionRefused as refused:
            mine = refused.item is not None and cron_from_item(cron.tenant, refused.item) == following
            return following if mine else None  # written before, and the response was lost
        return following

    def delete(self, tenant: str, cron_id: str) -> bool:
        """Delete a cron; False if there is none."""
        cron = self.get(tenant, cron_id)
        if cron is None:
            return False
        self.table.transact(cron_statements.delete(cron))
        return True
