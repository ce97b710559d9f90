"""The store in DynamoDB does what LangGraph's InMemoryStore does, and what only a database has to do."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.base import (
    GetOp,
    IndexConfig,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from handler.domain.store import NamespaceListing, StoreSearch
from handler.errors import BadRequest, StorageUnavailable
from handler.runs.project import StoreTtl
from handler.runs.store import Store
from handler.storage import keys, store
from handler.storage.store import DynamoDBItems
from handler.storage.table import Table
from tests.faults.dictionary import Dictionary
from tests.integration.conftest import LosesResponses, everything

NOW = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
SUBJECTS = ("cat", "dog", "sea")


@dataclass
class Watch:
    """A clock that a test moves."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        """What it shows."""
        return self.now

    def pass_minutes(self, minutes: float) -> None:
        """Let time pass."""
        self.now += timedelta(minutes=minutes)


@dataclass
class SubjectIndex:
    """Stands for an index: how often a text speaks of each subject."""

    seen: list[str] = field(default_factory=list)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text."""
        self.seen += texts
        return [[float(text.count(subject)) for subject in SUBJECTS] for text in texts]

    def vectors(self, value: Any, fields: Any) -> list[list[float]]:
        """The vectors of a value's text."""
        return self.embed([value["text"]]) if fields is not False and "text" in value else []

    def meaning(self, query: str) -> list[float]:
        """The vector of a query."""
        return self.embed([query])[0]


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def items(table: Table, watch: Watch) -> DynamoDBItems:
    return DynamoDBItems(table, watch)


LABELS = st.sampled_from(["a", "b", "a!", "a-b", "ab", "A", "é", "#", "%", "$", "~"])
NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)
KEYS = st.sampled_from(["", "k", "k#", "#k", "k.1", "ü", "%23"])
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "n": st.none() | st.integers(0, 3),
        "text": st.sampled_from(["cat", "cat dog", "sea", "nothing"]),
        "deep": st.fixed_dictionaries({"x": st.integers(0, 1)}),
    },
)
FILTERS: st.SearchStrategy[dict[str, Any] | None] = st.none() | st.sampled_from(
    [{}, {"n": 1}, {"n": None}, {"n": {"$ne": 1}}, {"deep": {"x": 1}}, {"n": {"$eq": 2}, "text": "cat"}]
)
PATHS = st.lists(LABELS | st.just("*"), min_size=1, max_size=2).map(tuple)
CONDITIONS = st.lists(st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), PATHS), max_size=2).map(tuple)
OPS: st.SearchStrategy[Op] = st.one_of(
    st.tuples(NAMESPACES, KEYS, VALUES).map(lambda given: PutOp(*given)),
    st.tuples(NAMESPACES, KEYS, VALUES).map(lambda given: PutOp(*given)),
    st.tuples(NAMESPACES, KEYS).map(lambda given: PutOp(*given, None)),
    st.tuples(NAMESPACES, KEYS).map(lambda given: GetOp(*given)),
    st.tuples(st.lists(LABELS, max_size=2).map(tuple), FILTERS).map(lambda given: SearchOp(given[0], given[1], 1000)),
    st.tuples(CONDITIONS, st.none() | st.integers(1, 3), st.integers(0, 5), st.integers(0, 2)).map(
        lambda given: ListNamespacesOp(*given)
    ),
)
BATCHES = st.lists(st.lists(OPS, min_size=1, max_size=3), min_size=1, max_size=12)
ON_ONE_TABLE = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


def shown(op: Op, result: Result) -> Any:
    """What both stores must agree on: all but times, and the order of a search, which neither promises."""
    if isinstance(op, SearchOp):
        assert isinstance(result, list)
        return sorted((item.namespace, item.key, repr(sorted(item.value.items()))) for item in result)  # type: ignore[union-attr]
    if isinstance(op, GetOp):
        return result and (result.namespace, result.key, result.value)  # type: ignore[union-attr]
    return result


class Tidy(InMemoryStore):
    """InMemoryStore without the namespaces that it lists where nothing is left in them, or was only looked for."""

    def batch(self, ops: Any) -> list[Result]:
        """Carry out operations: what reads one by one, then what writes."""
        results = [None if isinstance(op, PutOp) else self._tidied([op])[0] for op in ops]
        self._tidied([op for op in ops if isinstance(op, PutOp)])
        return results

    def _tidied(self, ops: list[Op]) -> list[Result]:
        for namespace in [namespace for namespace, kept in self._data.items() if not kept]:
            del self._data[namespace]
        return super().batch(ops)


def the_same_as_in_memory(batches: list[list[Op]], table: Table) -> None:
    """Hold a store over the table against InMemoryStore, batch by batch."""
    ours = Store(DynamoDBItems(table, Watch()), None, None).of(uuid.uuid4().hex)
    theirs = Tidy()
    for ops in batches:
        expected = [shown(op, result) for op, result in zip(ops, theirs.batch(ops), strict=True)]
        assert [shown(op, result) for op, result in zip(ops, ours.batch(ops), strict=True)] == expected


def quick() -> Table:
    """A table whose requests take microseconds."""
    dictionary = Dictionary()

    class Client:
        def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
            return lambda **request: dictionary.execute(operation, request)

    return Table(cast("Any", Client()), "t")


@settings(ON_ONE_TABLE, max_examples=150)
@given(batches=BATCHES)
def test_the_same_operations_give_the_same_as_in_memory(batches: list[list[Op]]) -> None:
    the_same_as_in_memory(batches, quick())


@settings(ON_ONE_TABLE, max_examples=2, derandomize=True)
@given(batches=BATCHES)
def test_operations_give_the_same_as_in_memory_on_an_engine(
    batches: list[list[Op]], tables: Callable[[str], Table]
) -> None:
    the_same_as_in_memory(batches, tables("moto"))


@pytest.mark.slow
@settings(ON_ONE_TABLE, max_examples=100)
@given(batches=BATCHES)
def test_many_operations_give_the_same_as_in_memory(batches: list[list[Op]], tables: Callable[[str], Table]) -> None:
    the_same_as_in_memory(batches, tables("engine"))


@settings(ON_ONE_TABLE, max_examples=100)
@given(
    contents=st.dictionaries(st.tuples(NAMESPACES, KEYS), VALUES, max_size=8),
    prefix=st.lists(LABELS, max_size=1).map(tuple),
    query=st.sampled_from(["cat", "dog sea"]),
)
def test_a_search_by_meaning_scores_as_in_memory(contents: dict[Any, Any], prefix: tuple[str, ...], query: str) -> None:
    index = SubjectIndex()
    ours = Store(DynamoDBItems(quick(), Watch()), index, None).of(uuid.uuid4().hex)  # type: ignore[arg-type]
    theirs = InMemoryStore(index=IndexConfig(dims=3, embed=index.embed, fields=["text"]))
    for (namespace, key), value in contents.items():
        ours.put(namespace, key, value)
        theirs.put(namespace, key, value)
    search = {"query": query, "limit": 100}
    scored = [
        sorted((item.namespace, item.key, None if item.score is None else round(item.score, 5)) for item in found)
        for found in (ours.search(prefix, **search), theirs.search(prefix, **search))  # type: ignore[arg-type]
    ]
    assert str(scored[0]) == str(scored[1])
    scores = [item.score for item in ours.search(prefix, **search) if item.score is not None]  # type: ignore[arg-type]
    assert scores == sorted(scores, reverse=True)


def test_sort_keys_sort_as_namespaces_do() -> None:
    namespaces = [("a",), ("a", "b"), ("a", "!"), ("a!",), ("a#",), ("a", "é"), ("~",), ("A",), ("a$", "b"), ("\x01",)]
    assert sorted(namespaces) == sorted(namespaces, key=lambda labels: keys.store_sk(labels, "k"))
    for namespace in namespaces:
        assert keys.store_place(keys.store_sk(namespace, "k#%")) == (namespace, "k#%")


def test_half_a_surrogate_pair_is_kept_as_a_question_mark(items: DynamoDBItems) -> None:
    store = Store(items, None, None).of("acme")
    store.put(("a", "x\ud800"), "k\ud83d", {"cut\ud83d": ["y\ud800"], "n": 1})
    for label, key in (("x\ud800", "k\ud83d"), ("x?", "k?")):
        found = store.get(("a", label), key)
        assert found is not None
        assert (found.namespace, found.key, found.value) == (("a", "x?"), "k?", {"cut?": ["y?"], "n": 1})
        assert [item.key for item in store.search(("a", label), filter={"cut?": ["y\ud800"]})] == ["k?"]
        assert store.list_namespaces(prefix=("a", label)) == [("a", "x?")]
    store.delete(("a", "x\ud800"), "k\ud83d")
    assert store.search(("a",)) == []


def in_a_thread(work: Coroutine[Any, Any, None]) -> None:
    """Run async code on a loop of its own, away from the one that the test runner looks after."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def test_a_store_answers_async_code(items: DynamoDBItems) -> None:
    store = Store(items, None, None).of("acme")

    async def use() -> None:
        await store.aput(("a",), "k", {"x": 1})
        found = await store.aget(("a",), "k")
        assert found is not None
        assert (found.value, found.created_at) == ({"x": 1}, NOW)
        assert [item.key for item in await store.asearch(("a",))] == ["k"]
        assert await store.alist_namespaces() == [("a",)]
        await store.adelete(("a",), "k")
        assert await store.aget(("a",), "k") is None

    in_a_thread(use())


def test_a_namespace_that_cannot_be_is_refused_in_a_batch_as_well(items: DynamoDBItems) -> None:
    store = Store(items, None, None).of("acme")
    for op in (PutOp(("a.b",), "k", {}), GetOp(("",), "k"), SearchOp(("a", ""))):
        with pytest.raises(InvalidNamespaceError):
            store.batch([op])
    assert everything(items.table) == []


def test_a_search_reads_over_pages_of_a_megabyte_and_stops_when_its_page_is_full(
    items: DynamoDBItems, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = "".join(f"{uuid.uuid4()}" for _ in range(9_000))
    for number in range(9):
        items.put("acme", ("a", "b"), f"k{number}", {"n": number, "noise": noise})
    asked: list[Any] = []
    send = items.table._call

    def counted(operation: str, request: Any) -> dict[str, Any]:
        asked.append(operation)
        return send(operation, request)

    monkeypatch.setattr(items.table, "_call", counted)
    found = items.search("acme", StoreSearch(("a", "b"), {"n": {"$gte": 7}}))
    assert [item.key for item in found] == ["k7", "k8"]
    assert len(asked) > 1
    asked.clear()
    assert [item.key for item in items.search("acme", StoreSearch(("a", "b"), limit=2))] == ["k0", "k1"]
    assert asked == ["query"]


def test_namespaces_are_found_without_reading_what_is_in_them(
    items: DynamoDBItems, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in range(5):
        for number in range(5):
            items.put("acme", ("users", f"u{user}"), f"k{number}", {"n": number})
    asked: list[Any] = []
    query_page = items.table.query_page

    def counted(request: Any) -> Any:
        page = query_page(request)
        asked.append(len(page[0]))
        return page

    monkeypatch.setattr(items.table, "query_page", counted)
    found = items.namespaces("acme", NamespaceListing((("prefix", ("users",)),)))
    assert found == [("users", f"u{user}") for user in range(5)]
    assert sum(asked) == 5
    assert len(asked) <= 5 + keys.STORE_SHARDS


def test_what_has_expired_is_not_there_though_it_is_not_yet_deleted(items: DynamoDBItems, watch: Watch) -> None:
    for number in range(30):
        items.put("acme", ("a", f"n{number % 3}"), f"k{number}", {"n": number}, ttl_minutes=10)
    items.put("acme", ("b",), "k", {})
    watch.pass_minutes(9.9)
    assert len(items.search("acme", StoreSearch(("a",), limit=100))) == 30
    watch.pass_minutes(0.2)
    assert items.get("acme", ("a", "n0"), "k0", refresh=True) is None
    assert items.search("acme", StoreSearch(("a",), refresh=True)) == []
    assert items.namespaces("acme", NamespaceListing()) == [("b",)]
    assert len(everything(items.table)) == 31
    items.put("acme", ("a", "n0"), "k0", {"anew": True})
    anew = items.get("acme", ("a", "n0"), "k0", refresh=False)
    assert anew is not None
    assert (anew.created_at, anew.value) == (watch.now, {"anew": True})


@pytest.mark.parametrize("read", ["get", "search"])
def test_a_read_lets_the_time_to_live_begin_anew_where_it_is_asked_to(
    read: str, items: DynamoDBItems, watch: Watch
) -> None:
    items.put("acme", ("a",), "k", {}, ttl_minutes=10)

    def look(*, refresh: bool) -> Any:
        if read == "get":
            return items.get("acme", ("a",), "k", refresh=refresh)
        return items.search("acme", StoreSearch(("a",), refresh=refresh))

    watch.pass_minutes(8)
    assert look(refresh=True)
    watch.pass_minutes(8)
    assert look(refresh=False)
    watch.pass_minutes(8)
    assert not look(refresh=False)


def test_what_the_store_is_configured_to_is_what_counts_where_nothing_is_said(
    items: DynamoDBItems, watch: Watch
) -> None:
    store = Store(items, None, StoreTtl(default_minutes=10, refresh_on_read=False)).of("acme")
    store.put(("a",), "default", {})
    store.put(("a",), "forever", {}, ttl=None)
    watch.pass_minutes(8)
    assert store.get(("a",), "default") is not None
    watch.pass_minutes(8)
    assert store.get(("a",), "default") is None
    assert store.get(("a",), "forever") is not None


def test_a_put_that_says_nothing_of_it_lets_an_item_live_and_mean_nothing(items: DynamoDBItems, watch: Watch) -> None:
    items.put("acme", ("a",), "k", {"v": 1}, vectors=[[1.0, 0.0]], ttl_minutes=1)
    items.put("acme", ("a",), "k", {"v": 2})
    watch.pass_minutes(5)
    (found,) = items.search("acme", StoreSearch(("a",)), meaning=[1.0, 0.0])
    assert (found.value, found.score) == ({"v": 2}, None)


@pytest.mark.parametrize(("minutes", "alive"), [(1e300, True), (-1e300, False), (float("inf"), True)])
def test_a_time_to_live_beyond_all_bounds_is_one_all_the_same(
    minutes: float, alive: bool, items: DynamoDBItems, watch: Watch
) -> None:
    items.put("acme", ("a",), "k", {}, ttl_minutes=minutes)
    watch.pass_minutes(60 * 24 * 365)
    assert (items.get("acme", ("a",), "k", refresh=True) is not None) is alive


def test_a_lost_response_changes_nothing_about_a_put(table: Table, watch: Watch) -> None:
    losing = LosesResponses(table)
    items = DynamoDBItems(losing, watch)
    losing.losses = 1
    with pytest.raises(StorageUnavailable):
        items.put("acme", ("a",), "k", {"v": 1})
    first = items.get("acme", ("a",), "k", refresh=False)
    items.put("acme", ("a",), "k", {"v": 1})
    assert items.get("acme", ("a",), "k", refresh=False) == first


def test_the_nearest_of_several_vectors_counts_and_pages_go_on_behind_them(items: DynamoDBItems) -> None:
    items.put("acme", ("a",), "far", {}, vectors=[[0.0, 1.0]])
    items.put("acme", ("a",), "near", {}, vectors=[[0.0, 1.0], [2.0, 0.0]])
    items.put("acme", ("a",), "none", {})
    items.put("acme", ("b",), "elsewhere", {}, vectors=[[1.0, 0.0]])
    search = StoreSearch(("a",), limit=2)
    found = items.search("acme", search, meaning=[1.0, 0.0])
    assert [(item.key, item.score) for item in found] == [("near", 1.0), ("far", 0.0)]
    rest = items.search("acme", StoreSearch(("a",), offset=2), meaning=[1.0, 0.0])
    assert [(item.key, item.score) for item in rest] == [("none", None)]
    assert {item.score for item in items.search("acme", search)} == {None}


def test_more_than_can_be_compared_is_refused_by_name(items: DynamoDBItems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_COMPARED", 2)
    for number in range(3):
        items.put("acme", ("a",), f"k{number}", {"n": number}, vectors=[[1.0]])
    with pytest.raises(BadRequest, match="narrower namespace"):
        items.search("acme", StoreSearch(("a",)), meaning=[1.0])
    assert len(items.search("acme", StoreSearch(("a",), {"n": 1}), meaning=[1.0])) == 1
