"""The items of the store in DynamoDB: one item each, in an order in which a namespace and all below it lie together."""

import heapq
import math
import operator
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice, repeat
from typing import Any

from handler.domain.filters import passes
from handler.domain.ports import Clock
from handler.domain.store import Namespace, NamespaceListing, StoreItem, StoreSearch, Vector
from handler.errors import BadRequest, Invalid
from handler.storage import keys
from handler.storage import store_statements as statements
from handler.storage.items import Value, instant, json_packed, moment, number, text, unpacked
from handler.storage.schema import EXPIRES_AT
from handler.storage.table import ConditionRefused, Item, Table

MOST_COMPARED = 20_000
"""How many items a search by meaning may compare; each of them is read."""

LONGEST_MINUTES = 100 * 366 * 24 * 60
"""An item that is to live for longer lives for ever, in minutes."""

LONGEST_SK = 1024
"""Bytes that DynamoDB takes as a sort key."""

SEEK_PAGES = (1, 4, 16, 64, 256)
"""How many items are looked at to find the next namespace: more each time, where it begins with expired ones."""


class DynamoDBItems:
    """The port `ItemStore` over one table."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self.table = table
        self.clock = clock

    def get(self, tenant: str, namespace: Namespace, key: str, *, refresh: bool) -> StoreItem | None:
        """Read an item, strongly consistent; `refresh`: its time to live begins anew."""
        item = self.table.get(statements.get_item(item_key(tenant, namespace, key)))
        if item is None or not self._alive(item):
            return None
        if refresh:
            self._refresh(item)
        return shown(item)

    def put(
        self,
        tenant: str,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        *,
        vectors: Sequence[Vector] = (),
        ttl_minutes: float | None = None,
    ) -> None:
        """Store an item in the place of what was there; `vectors` say what it means."""
        now_s = self.clock().timestamp()
        attributes: dict[str, Value] = {"value": json_packed(value), "updated_at": instant(self.clock())}
        if vectors:
            attributes["vectors"] = {"L": [{"B": array("f", vector).tobytes()} for vector in vectors]}
        if ttl_minutes is not None and not ttl_minutes > LONGEST_MINUTES:
            minutes = max(float(ttl_minutes), -1.0)
            attributes["ttl_minutes"] = text(repr(minutes))
            attributes[EXPIRES_AT] = number(end_of(now_s, minutes))
        place = item_key(tenant, namespace, key)
        try:
            self.table.update(statements.put_item(place, attributes, int(now_s)))
        except ConditionRefused:
            self.table.put(statements.replace_expired(place, attributes))

    def delete(self, tenant: str, namespace: Namespace, key: str) -> None:
        """Delete an item, if it is there."""
        self.table.delete(statements.delete_item(item_key(tenant, namespace, key)))

    def search(self, tenant: str, search: StoreSearch, *, meaning: Vector | None = None) -> list[StoreItem]:
        """Read a page of the items below a prefix: by namespace and key, or the nearest in meaning first."""
        fitting = (
            (item, found)
            for item in self._below(tenant, search.prefix, vectors=meaning is not None)
            if passes((found := shown(item)).value, search.filter or {})
        )
        end = search.offset + search.limit
        page = list(islice(fitting, search.offset, end)) if meaning is None else nearest(fitting, meaning, search)
        if search.refresh:
            for item, _ in page:
                self._refresh(item)
        return [found for _, found in page]

    def namespaces(self, tenant: str, listing: NamespaceListing) -> list[Namespace]:
        """Read a page of the namespaces in which there are items, sorted."""
        return list(islice(self._listed(tenant, listing), listing.offset, listing.offset + listing.limit))

    def _listed(self, tenant: str, listing: NamespaceListing) -> Iterator[Namespace]:
        cut = listing.max_depth if not any(kind == "suffix" for kind, _ in listing.conditions) else None
        needed = max((len(path) for _, path in listing.conditions), default=0)
        depth = None if cut is None or cut < needed else cut  # where the cut part decides, its subtree can be skipped
        shards = (
            self._namespaces_of(shard, listing.prefix, depth) for shard in keys.store_shards(tenant, listing.prefix)
        )
        last: Namespace | None = None
        for namespace in heapq.merge(*shards):
            if not listing.matches(namespace):
                continue
            listed = namespace if listing.max_depth is None else namespace[: listing.max_depth]
            if listed != last:
                yield listed
            last = listed

    def _namespaces_of(self, shard: str, prefix: Namespace, depth: int | None) -> Iterator[Namespace]:
        """The namespaces of one partition in their order, each found by seeking behind the one before it."""
        first, last = keys.store_prefix(prefix) or keys.FIRST_SK, keys.behind_subtree(prefix)
        while first < last:
            item = self._next_alive(shard, first, last)
            if item is None:
                return
            namespace, _ = keys.store_place(item[keys.SK]["S"])
            yield namespace
            if depth is not None and len(namespace) >= depth:
                first = keys.behind_subtree(namespace[:depth])
            else:
                first = keys.behind_namespace(namespace)

    def _next_alive(self, shard: str, first: str, last: str) -> Item | None:
        """The first item between two sort keys that has not expired; its sort key alone."""
        request = statements.next_alive(shard, first, last, int(self.clock().timestamp()))
        start: dict[str, Any] = {}
        for limit in chain(SEEK_PAGES, repeat(SEEK_PAGES[-1])):
            items, end = self.table.query_page({**request, **start, "Limit": limit})
            if items or end is None:
                return items[0] if items else None
            start = {"ExclusiveStartKey": end}
        raise AssertionError("unreachable: there is always another page to ask for")

    def _below(self, tenant: str, prefix: Namespace, *, vectors: bool) -> Iterator[Item]:
        """The items in a namespace and below it that are alive, by namespace and key."""
        first, last = keys.store_prefix(prefix) or keys.FIRST_SK, keys.behind_subtree(prefix)
        shards = [
            self.table.query(statements.query_between(shard, first, last, vectors=vectors))
            for shard in keys.store_shards(tenant, prefix)
        ]
        merged = heapq.merge(*shards, key=lambda item: item[keys.SK]["S"])
        return (item for item in merged if self._alive(item))

    def _alive(self, item: Item) -> bool:
        return EXPIRES_AT not in item or int(item[EXPIRES_AT]["N"]) > self.clock().timestamp()

    def _refresh(self, item: Item) -> None:
        """Let the item's time to live begin anew, unless it did so within this second."""
        if "ttl_minutes" not in item:
            return
        seen = int(item[EXPIRES_AT]["N"])
        expires = end_of(self.clock().timestamp(), float(item["ttl_minutes"]["S"]))
        if expires > seen:
            place = {name: item[name] for name in (keys.PK, keys.SK)}
            with suppress(ConditionRefused):  # it was put anew or deleted meanwhile, which counts for more
                self.table.update(statements.refresh(place, expires, seen))


def item_key(tenant: str, namespace: Namespace, key: str) -> Item:
    """Primary key of an item; Invalid where namespace and key are longer than DynamoDB takes."""
    sk = keys.store_sk(namespace, key)
    if len(sk.encode()) > LONGEST_SK:
        raise Invalid(f"namespace and key are longer than the {LONGEST_SK} bytes that they may have together")
    return {keys.PK: text(keys.store_shard(tenant, namespace)), keys.SK: text(sk)}


def end_of(now_s: float, ttl_minutes: float) -> int:
    """When a time to live is over that begins now, in seconds since 1970."""
    return math.ceil(now_s + ttl_minutes * 60)


def shown(item: Item, score: float | None = None) -> StoreItem:
    """An item as it was stored."""
    namespace, key = keys.store_place(item[keys.SK]["S"])
    return StoreItem(
        namespace=namespace,
        key=key,
        value=unpacked(item["value"]["B"]),
        created_at=moment(item, "created_at"),
        updated_at=moment(item, "updated_at"),
        score=score,
    )


def nearest(
    fitting: Iterator[tuple[Item, StoreItem]], meaning: Vector, search: StoreSearch
) -> list[tuple[Item, StoreItem]]:
    """A page of the items by their nearest vector; behind them those that have none.

    BadRequest where there are more of them than can be compared.
    """
    scored: list[tuple[Item, StoreItem]] = []
    without: list[tuple[Item, StoreItem]] = []
    for count, (item, found) in enumerate(fitting):
        if count == MOST_COMPARED:
            raise BadRequest(
                f"more than {MOST_COMPARED} items to compare: search a narrower namespace or with a filter"
            )
        vectors = [array("f", one["B"]) for one in item.get("vectors", {}).get("L", [])]
        if vectors:
            score = max(similarity(meaning, vector) for vector in vectors)
            scored.append((item, replace(found, score=score)))
        else:
            without.append((item, found))
    scored.sort(key=lambda pair: -(pair[1].score or 0.0))
    return [*scored, *without][search.offset : search.offset + search.limit]


def similarity(one: Vector, other: Vector) -> float:
    """The cosine of the angle between two vectors; 0 where one of them is null."""
    norm = math.sqrt(_dot(one, one)) * math.sqrt(_dot(other, other))
    return _dot(one, other) / norm if norm else 0.0


def _dot(one: Vector, other: Vector) -> float:
    return float(sum(map(operator.mul, one, other)))
