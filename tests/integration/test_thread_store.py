"""Threads in DynamoDB: created once, merged without loss, deleted to the end."""

import base64
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handler.domain.lease import Lease
from handler.domain.models import Claim, Outcome, Run, Thread
from handler.domain.status import RunStatus, ThreadStatus
from handler.errors import LeaseLost, PayloadTooLarge, StorageUnavailable
from handler.storage.run_arguments import INLINE_BYTES
from handler.storage.runs import DynamoDBRuns
from handler.storage.table import Table
from handler.storage.threads import DynamoDBThreads
from tests.integration.conftest import LosesResponses, everything

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
THREAD = Thread("acme", "T1", ThreadStatus.IDLE, NOW, NOW, metadata={"a": 1})


def nothing(_tenant: str, _thread_id: str) -> None:
    """No checkpoints to delete."""


@pytest.fixture
def threads(table: Table) -> DynamoDBThreads:
    return DynamoDBThreads(table, nothing)


def test_a_thread_comes_back_as_it_was_stored(threads: DynamoDBThreads) -> None:
    thread = replace(THREAD, graph_id="g", metadata={"a": {"ü": [1, None, 1.5]}, "": "empty"})
    assert threads.create(thread)
    assert threads.get("acme", "T1") == thread


def test_a_thread_is_created_once(threads: DynamoDBThreads) -> None:
    assert threads.create(THREAD)
    assert not threads.create(replace(THREAD, metadata={"b": 2}))
    assert threads.get("acme", "T1") == THREAD


def test_of_many_who_create_a_thread_at_once_one_does(table: Table) -> None:
    threads = DynamoDBThreads(table, nothing)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: threads.create(replace(THREAD, metadata={"by": number})), range(8)))
    assert made.count(True) == 1
    found = threads.get("acme", "T1")
    assert found is not None
    assert found.metadata == {"by": made.index(True)}


@pytest.mark.parametrize(("tenant", "thread_id"), [("globex", "T1"), ("acme", "T2"), ("acme#T1", ""), ("", "acme#T1")])
def test_what_is_not_there_or_is_anothers_is_none(threads: DynamoDBThreads, tenant: str, thread_id: str) -> None:
    threads.create(THREAD)
    before = everything(threads.table)
    assert threads.get(tenant, thread_id) is None
    assert threads.merge_metadata(tenant, thread_id, {"x": 1}, LATER) is None
    assert threads.delete(tenant, thread_id) is False
    assert everything(threads.table) == before


def test_two_tenants_have_threads_of_the_same_id(threads: DynamoDBThreads) -> None:
    other = replace(THREAD, tenant="globex", metadata={"b": 2})
    assert threads.create(THREAD)
    assert threads.create(other)
    assert threads.delete("acme", "T1")
    assert threads.get("globex", "T1") == other


def test_metadata_are_merged_at_the_top_level(threads: DynamoDBThreads) -> None:
    threads.create(replace(THREAD, metadata={"a": {"x": 1}, "b": 2}))
    merged = threads.merge_metadata("acme", "T1", {"a": {"y": 1}, "c": None}, LATER)
    assert merged == replace(THREAD, metadata={"a": {"y": 1}, "b": 2, "c": None}, updated_at=LATER)
    assert threads.get("acme", "T1") == merged


def test_merges_at_the_same_time_lose_nothing(table: Table) -> None:
    threads = DynamoDBThreads(table, nothing)
    threads.create(replace(THREAD, metadata={}))
    with ThreadPoolExecutor(4) as pool:
        merged = list(pool.map(lambda n: threads.merge_metadata("acme", "T1", {str(n): n}, LATER), range(8)))
    assert all(merged)
    found = threads.get("acme", "T1")
    assert found is not None
    assert found.metadata == {str(number): number for number in range(8)}


class Meddled(Table):
    """A table in which something happens just before each conditional update."""

    def __init__(self, table: Table, meddle: Callable[[], Any]) -> None:
        super().__init__(table.client, table.name)
        self.meddle = meddle

    def update(self, request: Any) -> Any:
        self.meddle()
        return super().update(request)


def test_a_merge_that_always_comes_second_gives_up_without_a_trace(table: Table) -> None:
    threads = DynamoDBThreads(table, nothing)
    threads.create(THREAD)
    numbers = iter(range(1000))
    meddled = Meddled(table, lambda: threads.merge_metadata("acme", "T1", {"other": next(numbers)}, LATER))
    with pytest.raises(StorageUnavailable, match="too often"):
        DynamoDBThreads(meddled, nothing).merge_metadata("acme", "T1", {"mine": 1}, LATER)
    found = threads.get("acme", "T1")
    assert found is not None
    assert found.metadata == {"a": 1, "other": 9}


def test_a_merge_into_a_thread_that_is_deleted_meanwhile_finds_none(table: Table) -> None:
    threads = DynamoDBThreads(table, nothing)
    threads.create(THREAD)
    meddled = Meddled(table, lambda: threads.delete("acme", "T1"))
    assert DynamoDBThreads(meddled, nothing).merge_metadata("acme", "T1", {"mine": 1}, LATER) is None
    assert everything(table) == []


def test_metadata_that_no_item_can_hold_are_refused_and_change_nothing(threads: DynamoDBThreads) -> None:
    threads.create(THREAD)
    before = everything(threads.table)
    with pytest.raises(PayloadTooLarge):
        threads.create(replace(THREAD, thread_id="T2", metadata={"x": "y" * 450_000}))
    with pytest.raises(PayloadTooLarge):
        threads.merge_metadata("acme", "T1", {"x": "y" * 450_000}, LATER)
    assert everything(threads.table) == before


def held(table: Table, *, large: bool = False) -> tuple[DynamoDBRuns, Claim]:
    """A thread on which a run is under way and another waits."""
    runs = DynamoDBRuns(table, lambda: NOW)
    text = base64.b85encode(random.Random(1).randbytes(3 * INLINE_BYTES)).decode()
    kwargs = {"input": text} if large else {}
    run = Run("acme", "T1", "R1", "A", "G", RunStatus.PENDING, NOW, NOW, "enqueue", kwargs=kwargs)
    claim = runs.admit(run, Lease("me", 70, 10**13), seen=None, new_thread=THREAD)
    assert isinstance(claim, Claim)
    return runs, claim


def test_deleting_a_thread_leaves_nothing_of_it(table: Table) -> None:
    deleted: list[tuple[str, str]] = []
    threads = DynamoDBThreads(table, lambda tenant, thread_id: deleted.append((tenant, thread_id)))
    held(table, large=True)
    assert threads.delete("acme", "T1")
    assert everything(table) == []
    assert deleted == [("acme", "T1")]
    assert not threads.delete("acme", "T1")


def test_the_driver_of_a_deleted_thread_stops_and_brings_nothing_back(table: Table) -> None:
    runs, claim = held(table)
    DynamoDBThreads(table, nothing).delete("acme", "T1")
    with pytest.raises(LeaseLost):
        runs.renew(claim, claim.lease)
    with pytest.raises(LeaseLost):
        runs.hand_off(claim, clean=True)
    with pytest.raises(LeaseLost):
        runs.settle(claim, Outcome(RunStatus.SUCCESS, ThreadStatus.IDLE), LATER)
    assert everything(table) == []


class CutShort(Exception):
    """The process that deletes dies."""


def cut_short(_tenant: str, _thread_id: str) -> None:
    raise CutShort


def test_a_thread_whose_deletion_was_cut_short_is_gone_for_everyone(table: Table) -> None:
    runs, claim = held(table)
    with pytest.raises(CutShort):
        DynamoDBThreads(table, cut_short).delete("acme", "T1")
    threads = DynamoDBThreads(table, nothing)
    assert threads.get("acme", "T1") is None
    assert threads.merge_metadata("acme", "T1", {"x": 1}, LATER) is None
    with pytest.raises(LeaseLost):
        runs.settle(claim, Outcome(RunStatus.SUCCESS, ThreadStatus.IDLE), LATER)
    with pytest.raises(LeaseLost):
        runs.renew(claim, claim.lease)
    assert everything(table) != []


def test_a_deletion_that_was_cut_short_is_finished_by_the_next_one(table: Table) -> None:
    held(table)
    with pytest.raises(CutShort):
        DynamoDBThreads(table, cut_short).delete("acme", "T1")
    assert DynamoDBThreads(table, nothing).delete("acme", "T1") is False
    assert everything(table) == []


def test_a_deletion_that_was_cut_short_is_finished_by_who_creates_the_thread_anew(table: Table) -> None:
    held(table)
    with pytest.raises(CutShort):
        DynamoDBThreads(table, cut_short).delete("acme", "T1")
    threads = DynamoDBThreads(table, nothing)
    fresh = replace(THREAD, metadata={"fresh": True})
    assert threads.create(fresh)
    assert threads.get("acme", "T1") == fresh
    assert len(everything(table)) == 1


def test_a_deletion_whose_first_response_was_lost_is_done_by_the_second(table: Table) -> None:
    held(table)
    losing = LosesResponses(table)
    losing.losses = 1
    threads = DynamoDBThreads(losing, nothing)
    with pytest.raises(StorageUnavailable):
        threads.delete("acme", "T1")
    assert threads.get("acme", "T1") is None
    threads.delete("acme", "T1")
    assert everything(table) == []
