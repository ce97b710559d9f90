"""Threads that are kept for a time: gone when it is over, kept by what changes them, deleted by whoever is told."""

import asyncio
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handler.api.services import Services
from handler.bootstrap import build_services
from handler.domain.lease import Lease
from handler.domain.models import Claim, Outcome, Run, Thread, ThreadTtl, TtlStrategy
from handler.domain.ports import Where
from handler.domain.status import RunStatus, ThreadStatus
from handler.errors import StorageUnavailable, ThreadNotFound
from handler.local_sweeper import LocalSweeper
from handler.runs.updates import Update
from handler.storage.runs import DynamoDBRuns
from handler.storage.table import Table
from handler.storage.threads import DynamoDBThreads
from tests.conftest import new_settings
from tests.integration.conftest import everything

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TEN = timedelta(minutes=10)
DELETE = ThreadTtl(TtlStrategy.DELETE, 10, NOW + TEN)
KEEP = ThreadTtl(TtlStrategy.KEEP_LATEST, 10, NOW + TEN)
THREAD = Thread("acme", "T1", ThreadStatus.IDLE, NOW, NOW, metadata={"a": 1}, ttl=DELETE)


@dataclass
class Clock:
    """A clock that a test sets."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def threads(table: Table, clock: Clock) -> DynamoDBThreads:
    return DynamoDBThreads(table, lambda _tenant, _thread_id: None, clock)


@pytest.fixture
def runs(table: Table, clock: Clock, threads: DynamoDBThreads) -> DynamoDBRuns:
    return DynamoDBRuns(table, clock, threads=threads)


def run_at(now: datetime) -> Run:
    return Run("acme", "T1", str(uuid.uuid4()), "A", "G", RunStatus.PENDING, now, now, "enqueue")


def admitted(runs: DynamoDBRuns, run: Run, new_thread: Thread | None = None) -> Claim | Thread:
    lease = Lease(uuid.uuid4().hex, int(run.created_at.timestamp() * 1000), 0)
    return runs.admit(run, lease, seen=None, new_thread=new_thread)


def armed(table: Table) -> list[str]:
    """When somebody is told to look, and at what."""
    return [item["SK"]["S"] for item in everything(table) if item["PK"]["S"].startswith("X#")]


# --- whether it is there ----------------------------------------------------------------------------------------------


def test_a_thread_is_gone_when_its_time_is_over(threads: DynamoDBThreads, clock: Clock) -> None:
    assert threads.create(THREAD)
    clock.now = NOW + TEN - timedelta(milliseconds=1)
    assert threads.get("acme", "T1") == THREAD
    clock.now = NOW + TEN
    assert threads.get("acme", "T1") is None
    assert threads.get_many("acme", ["T1"]) == {}
    assert threads.merge_metadata("acme", "T1", {"b": 2}, clock.now) is None
    assert threads.delete("acme", "T1") is False


def test_no_run_begins_on_a_thread_whose_time_is_over(
    threads: DynamoDBThreads, runs: DynamoDBRuns, clock: Clock
) -> None:
    threads.create(THREAD)
    clock.now = NOW + TEN
    for where in (Where.ANY, Where.FREE):
        with pytest.raises(ThreadNotFound):
            runs.enqueue(run_at(clock.now), where=where, new_thread=None)
    with pytest.raises(ThreadNotFound):
        admitted(runs, run_at(clock.now))


def test_a_thread_of_the_same_id_begins_anew(
    threads: DynamoDBThreads, runs: DynamoDBRuns, table: Table, clock: Clock
) -> None:
    threads.create(THREAD)
    claim = admitted(runs, run_at(NOW))
    assert isinstance(claim, Claim)
    runs.settle(claim, Outcome(RunStatus.SUCCESS, ThreadStatus.IDLE), NOW)
    clock.now = NOW + TEN
    fresh = replace(THREAD, metadata={"fresh": True}, ttl=None)
    assert threads.create(fresh)
    assert threads.get("acme", "T1") == fresh
    assert not [item for item in everything(table) if item["SK"]["S"].startswith("R#")]


@pytest.mark.parametrize("inline", [True, False])
def test_a_run_may_begin_a_thread_of_the_same_id_anew(
    inline: bool, threads: DynamoDBThreads, runs: DynamoDBRuns, clock: Clock
) -> None:
    threads.create(THREAD)
    clock.now = NOW + TEN
    run, fresh = run_at(clock.now), replace(THREAD, metadata={"fresh": True}, ttl=DELETE.renewed(clock.now))
    if inline:
        assert isinstance(admitted(runs, run, fresh), Claim)
    else:
        assert runs.enqueue(run, where=Where.ANY, new_thread=fresh) is None
    thread = threads.get("acme", "T1")
    assert thread is not None
    assert (thread.metadata, thread.busy) == ({"fresh": True}, True)


# --- what keeps it ----------------------------------------------------------------------------------------------------


def test_a_run_keeps_its_thread_and_its_end_begins_the_time_anew(
    threads: DynamoDBThreads, runs: DynamoDBRuns, clock: Clock
) -> None:
    threads.create(THREAD)
    claim = admitted(runs, run_at(NOW))
    assert isinstance(claim, Claim)
    clock.now = NOW + 3 * TEN
    assert threads.get("acme", "T1") is not None
    assert threads.expire("acme", "T1") is False
    assert runs.enqueue(run_at(clock.now), where=Where.ANY, new_thread=None) is None
    runs.settle(claim, Outcome(RunStatus.SUCCESS, ThreadStatus.IDLE), clock.now)
    thread = threads.get("acme", "T1")
    assert thread is not None
    assert thread.ttl == DELETE.renewed(clock.now)


def test_a_thread_that_waits_for_its_turn_is_kept(threads: DynamoDBThreads, runs: DynamoDBRuns, clock: Clock) -> None:
    threads.create(THREAD)
    assert runs.enqueue(run_at(NOW), where=Where.ANY, new_thread=None) is None
    clock.now = NOW + TEN
    assert threads.expire("acme", "T1") is False
    assert threads.get("acme", "T1") is not None


def test_a_run_that_is_to_come_later_keeps_its_thread(
    threads: DynamoDBThreads, runs: DynamoDBRuns, clock: Clock
) -> None:
    threads.create(THREAD)
    later = replace(run_at(NOW), due_at=NOW + 3 * TEN)
    assert runs.enqueue(later, where=Where.ANY, new_thread=None) is None
    clock.now = NOW + 2 * TEN
    assert threads.expire("acme", "T1") is False
    assert threads.get("acme", "T1") is not None
    assert runs.enqueue(run_at(clock.now), where=Where.ANY, new_thread=None) is None


def test_a_change_of_metadata_begins_the_time_anew(threads: DynamoDBThreads, clock: Clock) -> None:
    threads.create(THREAD)
    clock.now = NOW + TEN / 2
    thread = threads.merge_metadata("acme", "T1", {}, clock.now)
    assert thread is not None
    assert thread.ttl == DELETE.renewed(clock.now)
    assert threads.get("acme", "T1") == thread


def test_another_time_can_be_set(threads: DynamoDBThreads, table: Table, clock: Clock) -> None:
    threads.create(replace(THREAD, ttl=None))
    assert armed(table) == []
    thread = threads.merge_metadata("acme", "T1", {}, NOW, KEEP)
    assert thread is not None
    assert thread.ttl == KEEP
    assert armed(table) == ["2026-01-02T03:14:05.000+00:00#acme#T1"]
    clock.now = NOW + 2 * TEN
    assert threads.get("acme", "T1") == thread, "its checkpoints are pruned, it stays"


def test_a_thread_that_is_kept_for_ever_stays(threads: DynamoDBThreads, runs: DynamoDBRuns, clock: Clock) -> None:
    threads.create(replace(THREAD, ttl=None))
    claim = admitted(runs, run_at(NOW))
    assert isinstance(claim, Claim)
    runs.settle(claim, Outcome(RunStatus.SUCCESS, ThreadStatus.IDLE), NOW)
    clock.now = NOW + timedelta(days=36_500)
    thread = threads.get("acme", "T1")
    assert thread is not None
    assert thread.ttl is None
    assert threads.expire("acme", "T1") is False
    assert isinstance(admitted(runs, run_at(clock.now)), Claim)


# --- who deletes it ---------------------------------------------------------------------------------------------------


def test_who_creates_a_thread_has_armed_its_expiry_before(table: Table, clock: Clock) -> None:
    class Refusing(Table):
        def put(self, request: Any) -> None:
            if request["Item"]["SK"]["S"] == "THREAD":
                raise StorageUnavailable("it died")
            super().put(request)

    threads = DynamoDBThreads(Refusing(table.client, table.name), lambda _tenant, _thread_id: None, clock)
    with pytest.raises(StorageUnavailable):
        threads.create(THREAD)
    assert armed(table) == ["2026-01-02T03:14:05.000+00:00#acme#T1"]


def test_dynamodb_deletes_the_expiry_and_never_the_thread(threads: DynamoDBThreads, table: Table) -> None:
    threads.create(THREAD)
    with_ttl = {item["SK"]["S"]: item["expires_at"]["N"] for item in everything(table) if "expires_at" in item}
    assert with_ttl == {"2026-01-02T03:14:05.000+00:00#acme#T1": str(int((NOW + TEN).timestamp()))}


@pytest.fixture
def services(table: Table, clock: Clock) -> Services:
    settings = new_settings(table_name=table.name)
    return build_services(settings, dynamodb=table.client, clock=clock)


def attend(services: Services) -> None:
    services.loop.submit(services.expiry.attend("acme", "T1")).result()


def with_history(services: Services, ttl: ThreadTtl) -> Thread:
    """A thread with three checkpoints."""
    thread = replace(THREAD, ttl=ttl, graph_id="log", metadata={"graph_id": "log"})
    assert services.threads.create(thread)
    steps = [[Update({"entries": [name]}, "append")] for name in "abc"]
    services.loop.submit(services.updates.update(thread, steps, {})).result()
    return thread


def history(services: Services) -> list[Any]:
    thread = services.threads.get("acme", "T1")
    assert thread is not None
    return services.loop.submit(services.states.history(thread, {}, limit=10, before=None, metadata=None)).result()


def test_a_thread_that_is_due_is_deleted_with_its_history(services: Services, table: Table, clock: Clock) -> None:
    with_history(services, DELETE)
    clock.now = NOW + TEN
    attend(services)
    left = [item["SK"]["S"] for item in everything(table) if item["PK"]["S"].startswith("T#")]
    assert [sk for sk in left if not sk.startswith("C#")] == []
    assert len(left) <= 1, "nothing but the tombstone of the log"
    attend(services)


def test_a_thread_that_was_changed_is_looked_at_again_when_it_is_due(
    services: Services, table: Table, clock: Clock
) -> None:
    with_history(services, DELETE)
    clock.now = NOW + TEN / 2
    services.threads.merge_metadata("acme", "T1", {}, clock.now)
    clock.now = NOW + TEN
    attend(services)
    assert len(history(services)) == 3
    assert armed(table)[-1] == "2026-01-02T03:19:05.000+00:00#acme#T1"


def test_a_thread_that_is_kept_is_pruned_time_and_again(services: Services, table: Table, clock: Clock) -> None:
    with_history(services, KEEP)
    clock.now = NOW + TEN
    attend(services)
    [state] = history(services)
    assert state["values"]["entries"] == ["a", "b", "c"]
    assert armed(table)[-1] == "2026-01-02T03:24:05.000+00:00#acme#T1"


def test_a_thread_that_is_gone_is_looked_at_no_more(services: Services, table: Table, clock: Clock) -> None:
    services.threads.create(THREAD)
    services.threads.delete("acme", "T1")
    clock.now = NOW + TEN
    attend(services)
    assert len(armed(table)) == 1, "what was armed at first, and nothing more"


def test_the_local_server_finds_what_is_due(services: Services, table: Table, clock: Clock) -> None:
    with_history(services, DELETE)
    services.threads.create(replace(THREAD, thread_id="T2", ttl=DELETE.renewed(NOW + TEN)))
    sweeper = LocalSweeper(services.threads, services.expiry, services.loop, clock, 1)
    assert sweeper.sweep() == 0
    clock.now = NOW + TEN + timedelta(seconds=1)
    assert sweeper.sweep() == 1
    assert armed(table) == ["2026-01-02T03:24:05.000+00:00#acme#T2"]
    clock.now = NOW + timedelta(days=3)
    assert sweeper.sweep(days_back=1) == 0, "it is three days back"
    assert sweeper.sweep(days_back=3) == 1
    assert services.threads.expire("acme", "T2") is False, "it is deleted already"
    assert armed(table) == []


async def test_two_who_look_at_once_delete_once(services: Services, clock: Clock) -> None:
    with_history(services, DELETE)
    clock.now = NOW + TEN
    looks = [services.loop.run(services.expiry.attend("acme", "T1")) for _ in range(3)]
    await asyncio.gather(*looks)
    assert services.threads.get("acme", "T1") is None
    assert services.threads.create(replace(THREAD, ttl=None))
