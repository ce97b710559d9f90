"""Assistants: each graph of langgraph.json has its system assistant, the same for every tenant; the rest is stored."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from handler.domain.models import Assistant, system_assistant_id
from handler.errors import StorageUnavailable, SystemAssistant
from handler.storage import assistant_statements as statements
from handler.storage import keys
from handler.storage.items import assistant_from_item, assistant_to_item
from handler.storage.statements import get_strong
from handler.storage.table import ConditionRefused, Item, Table

CHANGE_TRIES = 20
CHANGE_PAUSE_S = 0.01
"""A change that met another one is made anew after 10 ms, 20 ms and so on, give or take."""


def system_assistants(graphs: dict[str, str | None], since: datetime) -> list[Assistant]:
    """The assistants of the graphs of these names and descriptions."""
    return [
        Assistant(
            assistant_id=system_assistant_id(name),
            graph_id=name,
            name=name,
            created_at=since,
            updated_at=since,
            metadata={"created_by": "system"},
            description=description,
        )
        for name, description in graphs.items()
    ]


class DynamoDBAssistants:
    """The port `AssistantStore` over one table and the graphs' names."""

    def __init__(self, table: Table, graphs: dict[str, str | None], since: datetime) -> None:
        self.table = table
        self.system = {assistant.assistant_id: assistant for assistant in system_assistants(graphs, since)}
        self.graphs = frozenset(graphs)

    def get(self, tenant: str, assistant_id: str) -> Assistant | None:
        """Read an assistant, strongly consistent; None for one whose graph is not served."""
        system = self.system.get(assistant_id)
        if system is not None:
            return system
        item = self.table.get(get_strong(statements.assistant_key(tenant, assistant_id)))
        return self._shown(item)

    def list(self, tenant: str) -> Sequence[Assistant]:
        """Read all assistants of a tenant."""
        stored = self.table.query(statements.query_partition(keys.assistants_pk(tenant)))
        shown = [assistant for assistant in map(self._shown, stored) if assistant is not None]
        return [*self.system.values(), *shown]

    def create(self, tenant: str, assistant: Assistant) -> bool:
        """Store a new assistant with its first version; False if there is one with this id already."""
        if assistant.assistant_id in self.system:
            return False
        try:
            self._write(tenant, assistant, None)
        except ConditionRefused as refused:
            item = refused.items[0]
            if item is None or "deleting" not in item:
                return False
            self._finish_deletion(tenant, assistant.assistant_id)
            return self.create(tenant, assistant)
        return True

    def change(
        self, tenant: str, assistant_id: str, changed: Callable[[Assistant], Assistant], now: datetime
    ) -> Assistant | None:
        """Put a new version in force, made of the one that is; None if there is no such assistant."""

        def next_version(current: Assistant) -> Assistant:
            number = current.newest + 1
            return replace(changed(current), version=number, newest=number, updated_at=now)

        return self._change(tenant, assistant_id, next_version)

    def versions(self, tenant: str, assistant_id: str) -> Sequence[Assistant]:
        """Read the versions of an assistant, newest first; none if there is no such assistant."""
        current = self.get(tenant, assistant_id)
        if current is None:
            return []
        if assistant_id in self.system:
            return [current]
        query = statements.query_partition(keys.assistant_versions_pk(tenant, assistant_id), forward=False)
        return [assistant_from_item(assistant_id, item) for item in self.table.query(query)]

    def set_version(self, tenant: str, assistant_id: str, version: int, now: datetime) -> Assistant | None:
        """Put an earlier version in force; None if there is none of this number."""
        item = self.table.get(get_strong(statements.version_key(tenant, assistant_id, version)))
        if assistant_id in self.system:
            return self.system[assistant_id] if version == 1 else None
        if item is None:
            return None
        wanted = assistant_from_item(assistant_id, item)

        def restored(current: Assistant) -> Assistant:
            return replace(wanted, created_at=current.created_at, updated_at=now, newest=current.newest)

        return self._change(tenant, assistant_id, restored)

    def delete(self, tenant: str, assistant_id: str) -> bool:
        """Delete an assistant with its versions; False if there is no such assistant.

        It is hidden first, so that a deletion that is cut short leaves nothing to see, and is finished by whoever
        deletes or creates it again.
        """
        if assistant_id in self.system:
            raise SystemAssistant(assistant_id)
        try:
            old = self.table.update(statements.begin_deletion(tenant, assistant_id))
        except ConditionRefused:
            return False
        self._finish_deletion(tenant, assistant_id)
        return "deleting" not in old

    def _change(self, tenant: str, assistant_id: str, changed: Callable[[Assistant], Assistant]) -> Assistant | None:
        if assistant_id in self.system:
            raise SystemAssistant(assistant_id)
        item = self.table.get(get_strong(statements.assistant_key(tenant, assistant_id)))
        for attempt in range(CHANGE_TRIES):
            current = self._shown(item)
            if current is None:
                return None
            new = replace(changed(current), revision=current.revision + 1)
            try:
                self._write(tenant, new, current)
            except ConditionRefused:
                self.table.sleep(CHANGE_PAUSE_S * attempt * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                item = self.table.get(get_strong(statements.assistant_key(tenant, assistant_id)))
                continue
            return new
        raise StorageUnavailable("the assistant changes too often at the moment")

    def _write(self, tenant: str, new: Assistant, current: Assistant | None) -> None:
        """Write an assistant and, where it is a new one, its version, both or neither."""
        item = {**statements.assistant_key(tenant, new.assistant_id), **assistant_to_item(new)}
        put = statements.put_new(item) if current is None else statements.replace_as_seen(item, current.revision)
        if current is not None and new.newest == current.newest:
            self.table.put(put)
            return
        version = {**statements.version_key(tenant, new.assistant_id, new.version), **assistant_to_item(new)}
        self.table.transact([{"Put": put}, {"Put": statements.put_new(version)}])

    def _finish_deletion(self, tenant: str, assistant_id: str) -> None:
        partition = keys.assistant_versions_pk(tenant, assistant_id)
        self.table.batch_delete(list(self.table.query(statements.query_partition(partition, keys_only=True))))
        with suppress(ConditionRefused):
            self.table.delete(statements.finish_deletion(tenant, assistant_id))

    def _shown(self, item: Item | None) -> Assistant | None:
        if item is None or "deleting" in item:
            return None
        assistant = assistant_from_item(item[keys.SK]["S"], item)
        return assistant if assistant.graph_id in self.graphs else None
