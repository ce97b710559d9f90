"""What a page of threads costs where there are many: the same as where there are few."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handler.bootstrap import create_table
from handler.domain.models import JsonObject, Thread
from handler.domain.status import ThreadStatus
from handler.errors import NotSupported
from handler.runs import search
from handler.runs.search import Search, ThreadQuery
from handler.storage.items import thread_to_item
from handler.storage.table import Table
from handler.storage.threads import DynamoDBThreads
from tests.engines import Engine

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)

MANY, FEW = "m" * 600, "f" * 600
"""Tenants with 3,000 and with 300 threads; their names are so long that a shard's keys are more than 1 MB."""


class Metered(Table):
    """A table that counts its requests, the items they give back, and their bytes."""

    def __init__(self, table: Table) -> None:
        super().__init__(table.client, table.name)
        self.requests: Counter[str] = Counter()
        self.items: Counter[str] = Counter()
        self.pages_cut_off = 0

    def _call(self, operation: str, request: Any) -> dict[str, Any]:
        answer = super()._call(operation, {**request, "ReturnConsumedCapacity": "TOTAL"})
        items = answer.get("Items", answer.get("Responses", {}).get(self.name, []))
        self.requests[operation] += 1
        self.items[operation] += len(items)
        self.pages_cut_off += "LastEvaluatedKey" in answer and "Limit" not in request
        return answer


class NoStates:
    """States of threads that have none; reading one is an error."""

    async def summary(self, thread: Thread) -> tuple[Any, JsonObject]:
        assert not thread.has_values
        return None, {}


def threads_of(tenant: str, count: int) -> list[Thread]:
    """Threads that changed one second after the other."""
    first = Thread(tenant, "", ThreadStatus.IDLE, NOW, NOW)
    return [
        replace(
            first,
            thread_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{tenant}{number}")),
            updated_at=NOW + timedelta(seconds=number),
            metadata={"number": number, "even": number % 2 == 0},
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def stored(moto: Engine) -> Table:
    name = f"t-{uuid.uuid4().hex[:12]}"
    create_table(moto.dynamodb(), name)
    table = Table(moto.dynamodb(), name)
    table.batch_put([thread_to_item(one) for one in threads_of(MANY, 3000) + threads_of(FEW, 300)])
    return table


@pytest.fixture
def metered(stored: Table) -> Metered:
    return Metered(stored)


def searching(table: Table) -> Search:
    states: Any = NoStates()
    return Search(DynamoDBThreads(table, lambda _tenant, _thread_id: None), states, lambda value: value)


async def numbers(table: Table, tenant: str, **asked: Any) -> list[int]:
    """Which threads are on a page."""
    rows, _ = await searching(table).page(tenant, ThreadQuery(**asked), with_values=True)
    return [row.thread.metadata["number"] for row in rows]


def newest(count: int, among: int) -> Sequence[int]:
    return list(range(among - 1, among - 1 - count, -1))


@pytest.mark.parametrize("asked", [{}, {"limit": 100}, {"limit": 10, "offset": 200}, {"descending": False}], ids=str)
async def test_a_page_costs_the_same_among_300_threads_and_among_3000(asked: dict[str, Any], stored: Table) -> None:
    few, many = Metered(stored), Metered(stored)
    assert await numbers(few, FEW, **asked)
    assert await numbers(many, MANY, **asked)
    # How far the shards are read ahead depends on how the ids happen to fall: by a page of a shard at most.
    assert few.requests["batch_get_item"] == many.requests["batch_get_item"]
    assert few.items["batch_get_item"] == many.items["batch_get_item"] == asked.get("limit", 10) + 1
    assert abs(few.requests["query"] - many.requests["query"]) <= 4
    assert few.requests["query"] <= 12
    shown = asked.get("offset", 0) + asked.get("limit", 10)
    assert max(few.items["query"], many.items["query"]) <= 2 * shown + 80


async def test_the_first_page_is_four_queries_and_one_batch(metered: Metered) -> None:
    assert await numbers(metered, MANY) == newest(10, among=3000)
    assert metered.requests == {"query": 4, "batch_get_item": 1}
    assert (metered.items["batch_get_item"], metered.items["query"]) == (11, 40)


@pytest.mark.slow
async def test_all_pages_together_are_all_threads(metered: Metered) -> None:
    found: list[int] = []
    for offset in range(0, 3000, 1000):
        found += await numbers(metered, MANY, limit=1000, offset=offset)
    assert found == newest(3000, among=3000)


async def test_a_filter_looks_only_as_far_as_the_page_goes(metered: Metered) -> None:
    assert await numbers(metered, MANY, metadata={"even": True}, limit=3) == [2998, 2996, 2994]
    assert metered.requests["batch_get_item"] == 1
    assert metered.items["batch_get_item"] == 100


@pytest.mark.slow
async def test_a_filter_that_fits_one_of_3000_finds_it(metered: Metered) -> None:
    assert await numbers(metered, MANY, metadata={"number": 7}) == [7]
    assert metered.items["batch_get_item"] == 3000


@pytest.mark.slow
async def test_another_order_looks_at_all_threads(metered: Metered) -> None:
    ids = sorted(one.thread_id for one in threads_of(MANY, 3000))
    rows, more = await searching(metered).page(
        MANY, ThreadQuery(sort_by="thread_id", descending=False, limit=5), with_values=False
    )
    assert [row.thread.thread_id for row in rows] == ids[:5]
    assert more
    assert metered.items["batch_get_item"] == 3000


async def test_keys_over_a_megabyte_are_counted_page_by_page(metered: Metered) -> None:
    assert await searching(metered).count(MANY, ThreadQuery()) == 3000
    assert metered.requests["query"] > 4, "each shard has more than one page"
    assert metered.pages_cut_off == metered.requests["query"] - 4
    assert metered.items == {"query": 0}


async def test_a_search_that_would_look_at_too_many_threads_says_so(
    metered: Metered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOKED_AT_MOST", 300)
    with pytest.raises(NotSupported, match="more than 300 threads"):
        await numbers(metered, MANY, metadata={"number": 7})
    assert await numbers(metered, FEW, metadata={"number": 7}) == [7]
