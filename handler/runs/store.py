"""The store: the items of a tenant, with their meaning and their time to live, for the API and for graphs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from handler.domain.ports import ItemStore
from handler.domain.store import Namespace, NamespaceListing, StoreItem, StoreSearch
from handler.runs.project import StoreTtl
from handler.runs.semantics import SemanticIndex

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore

Fields = Literal[False] | Sequence[str] | None
"""What of a value is embedded; None: what is configured, False: nothing."""


class Store:
    """The port `ItemStore` with what langgraph.json says of `store`; every call blocks."""

    def __init__(self, items: ItemStore, index: SemanticIndex | None, ttl: StoreTtl | None) -> None:
        self.items = items
        self.index = index
        self.ttl = ttl

    def get(self, tenant: str, namespace: Namespace, key: str, *, refresh: bool | None = None) -> StoreItem | None:
        """Read an item; `refresh`: its time to live begins anew (None: as configured)."""
        return self.items.get(tenant, namespace, key, refresh=self.refreshes(refresh))

    def put(
        self,
        tenant: str,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        *,
        fields: Fields = None,
        ttl_minutes: float | None = None,
    ) -> None:
        """Store an item, found by the meaning of `fields`, for so many minutes (None: for ever)."""
        vectors = self.index.vectors(value, fields) if self.index else ()
        self.items.put(tenant, namespace, key, value, vectors=vectors, ttl_minutes=ttl_minutes)

    def delete(self, tenant: str, namespace: Namespace, key: str) -> None:
        """Delete an item, if it is there."""
        self.items.delete(tenant, namespace, key)

    def search(
        self, tenant: str, search: StoreSearch, *, query: str | None = None, refresh: bool | None = None
    ) -> list[StoreItem]:
        """Read a page of items; those nearest in meaning to `query` first, where the store has an index."""
        meaning = self.index.meaning(query) if self.index and query else None
        return self.items.search(tenant, replace(search, refresh=self.refreshes(refresh)), meaning=meaning)

    def namespaces(self, tenant: str, listing: NamespaceListing) -> list[Namespace]:
        """Read a page of the namespaces in which there are items, sorted."""
        return self.items.namespaces(tenant, listing)

    def refreshes(self, asked: bool | None) -> bool:
        """Whether a read makes the time to live begin anew."""
        if asked is not None:
            return asked
        return self.ttl.refresh_on_read if self.ttl else True

    @property
    def default_minutes(self) -> float | None:
        """For how long an item lives for which nothing was said."""
        return self.ttl.default_minutes if self.ttl else None

    def check(self) -> None:
        """Import the embedding function, so that a broken one is found at start-up."""
        if self.index is not None:
            _ = self.index.embeddings

    def of(self, tenant: str) -> "BaseStore":
        """The tenant's items as LangGraph's store, for a graph."""
        from handler.runs.graph_store import GraphStore

        return GraphStore(self, tenant)
