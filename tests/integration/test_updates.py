"""An update of the state against others who change the thread: the log lets one of them write."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handler.api.services import Services
from handler.bootstrap import build_services
from handler.domain.models import Run, StateChange, Thread, new_run_id
from handler.domain.ports import Where
from handler.domain.status import RunStatus, ThreadStatus
from handler.errors import LeaseLost, StorageUnavailable, ThreadBusy
from handler.runs.updates import Update, Updates
from handler.storage.table import Table
from tests.conftest import new_settings
from tests.integration.conftest import everything

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def services(table: Table) -> Services:
    return build_services(new_settings(table_name=table.name), dynamodb=table.client)


@pytest.fixture
def thread(services: Services) -> Thread:
    thread = Thread(
        "acme", str(uuid.uuid4()), ThreadStatus.IDLE, NOW, NOW, metadata={"graph_id": "log"}, graph_id="log"
    )
    assert services.threads.create(thread)
    return thread


def entry(name: str) -> list[list[Update]]:
    """The update that adds an entry."""
    return [[Update({"entries": [name]}, "append")]]


async def update(services: Services, thread: Thread, name: str) -> None:
    await services.loop.run(services.updates.update(thread, entry(name), {}))


async def entries(services: Services, thread: Thread) -> list[str]:
    current = services.threads.get(thread.tenant, thread.thread_id)
    assert current is not None
    state = await services.loop.run(services.states.state(current))
    found: list[str] = state["values"].get("entries", [])
    return found


def a_run(thread: Thread, **given: Any) -> Run:
    now = datetime.now(UTC)
    kwargs = {"input": {"n": 1, "name": "run"}, "config": {}, **given}
    return Run(
        "acme", thread.thread_id, new_run_id(), "A", "log", RunStatus.PENDING, now, now, "enqueue", kwargs=kwargs
    )


class Interposed(Updates):
    """Updates into whose middle something comes."""

    comes: Any = None

    async def _apply(self, *args: Any) -> Any:
        comes, self.comes = self.comes, None
        if comes is not None:
            await comes()
        return await super()._apply(*args)


def interposed(services: Services) -> Interposed:
    ours = services.updates
    return Interposed(ours.threads, ours.graphs, ours.savers, ours.admission, ours.clock)


async def test_a_run_that_comes_in_the_middle_goes_first_and_the_update_follows(
    services: Services, thread: Thread
) -> None:
    await update(services, thread, "before")
    updates = interposed(services)

    async def comes() -> None:
        admitted = await services.waiter.admit(a_run(thread), None, inline=True)
        assert admitted.claim is not None, "an update keeps no run waiting"
        await services.driver.drive(admitted.claim)

    updates.comes = comes
    await services.loop.run(updates.update(thread, entry("after"), {}))
    assert await entries(services, thread) == ["before", "run-0", "after"]


async def test_an_update_that_a_run_has_overtaken_is_a_conflict(services: Services, thread: Thread) -> None:
    updates = interposed(services)

    async def comes() -> None:
        admitted = await services.waiter.admit(a_run(thread), None, inline=True)
        assert admitted.claim is not None
        fencing: Any = services.updates.savers("acme", admitted.claim)
        await asyncio.to_thread(fencing.fence, thread.thread_id)

    updates.comes = comes
    with pytest.raises(ThreadBusy):
        await services.loop.run(updates.update(thread, entry("lost"), {}))
    assert await entries(services, thread) == []


async def test_an_updater_that_died_keeps_no_run_waiting_and_others_only_for_its_lease(
    services: Services, thread: Thread
) -> None:
    now = datetime.now(UTC)
    lease = services.admission.new_lease(thread)
    assert services.threads.hold(thread, lease, now)
    held = services.threads.get("acme", thread.thread_id)
    assert held is not None
    assert not held.busy
    other = services.admission.new_lease(held)
    assert not services.threads.hold(held, other, now)
    assert services.threads.hold(held, other, now + timedelta(seconds=63))
    admitted = await services.loop.run(services.waiter.admit(a_run(thread), None, inline=True))
    assert admitted.claim is not None
    assert not admitted.claim.clean, "the log is fenced against whoever held the thread"
    assert not services.threads.release(held, other, None, now, clean=True)


async def test_a_thread_for_which_a_run_waits_is_not_held(services: Services, thread: Thread) -> None:
    assert services.runs.enqueue(a_run(thread), where=Where.FREE, new_thread=None) is None
    lease = services.admission.new_lease(thread)
    assert not services.threads.hold(thread, lease, datetime.now(UTC))
    with pytest.raises(ThreadBusy):
        await update(services, thread, "lost")


async def test_who_lost_a_response_knows_his_own_hold_and_release(services: Services, thread: Thread) -> None:
    now = datetime.now(UTC)
    lease = services.admission.new_lease(thread)
    for _ in range(2):
        assert services.threads.hold(thread, lease, now)
    change = StateChange(ThreadStatus.INTERRUPTED, "C")
    for _ in range(2):
        assert services.threads.release(thread, lease, change, now, clean=True)
    after = services.threads.get("acme", thread.thread_id)
    assert after is not None
    assert (after.status, after.checkpoint_id, after.clean, after.lease) == ("interrupted", "C", True, None)


async def test_an_update_that_fails_leaves_a_thread_that_the_next_one_fences(
    services: Services, thread: Thread, table: Table
) -> None:
    class Broken(Interposed):
        async def _apply(self, *args: Any) -> Any:
            raise StorageUnavailable("the table is out of reach")

    ours = services.updates
    broken = Broken(ours.threads, ours.graphs, ours.savers, ours.admission, ours.clock)
    with pytest.raises(StorageUnavailable):
        await services.loop.run(broken.update(thread, entry("lost"), {}))
    after = services.threads.get("acme", thread.thread_id)
    assert after is not None
    assert (after.clean, after.lease) == (False, None)
    await update(services, thread, "kept")
    assert await entries(services, thread) == ["kept"]
    marks = [item["m"]["S"] for item in everything(table) if "m" in item]
    assert marks == ["fence"], "what the one who failed may still write counts for nothing"


async def test_a_superseded_update_is_begun_anew(services: Services, thread: Thread) -> None:
    class SupersededOnce(Interposed):
        times = 0

        async def _apply(self, *args: Any) -> Any:
            self.times += 1
            if self.times == 1:
                raise LeaseLost("somebody was faster")
            return await super()._apply(*args)

    ours = services.updates
    updates = SupersededOnce(ours.threads, ours.graphs, ours.savers, ours.admission, ours.clock)
    await services.loop.run(updates.update(thread, entry("mine"), {}))
    assert updates.times == 2
    assert await entries(services, thread) == ["mine"]


class LosesOneRecord(Table):
    """A table that stores the first record of a log, and says that it did not."""

    lost = False

    def put(self, request: Any) -> None:
        super().put(request)
        if request["Item"]["SK"]["S"].startswith("C#") and not self.lost:
            self.lost = True
            raise StorageUnavailable("the response was lost")


async def test_an_update_whose_response_was_lost_has_taken_effect_and_spoils_nothing(
    thread: Thread, table: Table
) -> None:
    services = build_services(new_settings(table_name=table.name), dynamodb=table.client)
    savers: Any = services.updates.savers
    savers.table = LosesOneRecord(table.client, table.name)
    with pytest.raises(StorageUnavailable):
        await update(services, thread, "first")
    await update(services, thread, "second")
    assert await entries(services, thread) == ["first", "second"]
