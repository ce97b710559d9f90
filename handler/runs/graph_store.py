"""The store as graphs see it: LangGraph's BaseStore over a tenant's items."""

import asyncio
from collections.abc import Iterable
from typing import Any

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)
from langgraph.store.base import validate_op_namespace as check_namespace

from handler.domain.store import Namespace, NamespaceListing, StoreItem, StoreSearch
from handler.runs.encoding import without_surrogates
from handler.runs.store import Store


class GraphStore(BaseStore):
    """A tenant's items; of a batch, what reads comes before what writes, and the last write of an item counts.

    Half a surrogate pair is kept, and looked for, as the question mark as which the API shows it.
    """

    supports_ttl = True

    def __init__(self, store: Store, tenant: str) -> None:
        self.store = store
        self.tenant = tenant
        if store.ttl is not None:
            self.ttl_config = TTLConfig(
                default_ttl=store.ttl.default_minutes, refresh_on_read=store.ttl.refresh_on_read
            )

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out operations; blocks."""
        results: list[Result] = []
        writes: dict[tuple[Namespace, str], PutOp] = {}
        for op in map(without_surrogates, ops):
            check_namespace(op)
            if isinstance(op, PutOp):
                writes[op.namespace, op.key] = op
                results.append(None)
            else:
                results.append(self._read(op))
        for write in writes.values():
            self._write(write)
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out operations on a thread of its own."""
        return await asyncio.to_thread(self.batch, list(ops))

    def _read(self, op: Op) -> Result:
        if isinstance(op, GetOp):
            found = self.store.get(self.tenant, op.namespace, op.key, refresh=op.refresh_ttl)
            return Item(**_fields(found)) if found else None
        if isinstance(op, SearchOp):
            search = StoreSearch(op.namespace_prefix, op.filter, op.limit, op.offset)
            page = self.store.search(self.tenant, search, query=op.query, refresh=op.refresh_ttl)
            return [SearchItem(**_fields(item), score=item.score) for item in page]
        if isinstance(op, ListNamespacesOp):
            conditions = tuple((one.match_type, tuple(one.path)) for one in op.match_conditions or ())
            return self.store.namespaces(self.tenant, NamespaceListing(conditions, op.max_depth, op.limit, op.offset))
        raise ValueError(f"Unknown operation type: {type(op)}")

    def _write(self, op: PutOp) -> None:
        if op.value is None:
            self.store.delete(self.tenant, op.namespace, op.key)
        else:
            self.store.put(self.tenant, op.namespace, op.key, op.value, fields=op.index, ttl_minutes=op.ttl)


def _fields(item: StoreItem) -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "key": item.key,
        "value": item.value,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }
