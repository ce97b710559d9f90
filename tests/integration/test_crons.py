"""Crons: each firing once, whatever becomes of messages and processes; what ends them and what changes them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from handler.domain.messages import CronWake, Message, Wake
from handler.domain.models import Cron, new_run_id, system_assistant_id
from handler.errors import CronNotFound, StorageUnavailable, ThreadNotFound
from handler.runs.schedules import next_fire
from tests.engines import Engine
from tests.integration.desk import BEGINNING, TENANT, Desk

MINUTE = timedelta(minutes=1)
FIRST = BEGINNING + timedelta(seconds=30)
"""When a cron of each minute fires for the first time."""


@pytest.fixture(scope="module")
def shared(engine: Engine) -> Desk:
    return Desk(engine)


@pytest.fixture
def desk(shared: Desk) -> Desk:
    """The service at its beginning, with nothing under way."""
    shared.now = BEGINNING
    shared.posted.clear()
    return shared


def cron_of(desk: Desk, thread_id: str | None, **changed: Any) -> Cron:
    """A cron of each minute."""
    schedule = changed.get("schedule", "* * * * *")
    assistant_id = system_assistant_id("log")
    cron = Cron(
        TENANT,
        new_run_id(),
        assistant_id,
        schedule,
        next_run_date=next_fire(schedule, None, desk.now),
        created_at=desk.now,
        updated_at=desk.now,
        thread_id=thread_id,
        on_run_completed=None if thread_id else "delete",
        payload={"assistant_id": assistant_id, "input": {"n": 1}, "config": {"configurable": {"cron_id": "C"}}},
    )
    return replace(cron, **changed)


def created(desk: Desk, thread_id: str | None, **changed: Any) -> Cron:
    cron = cron_of(desk, thread_id, **changed)
    desk.services.crons.create(cron)
    return cron


def kept(desk: Desk, cron: Cron) -> Cron:
    found = desk.services.crons.store.get(TENANT, cron.cron_id)
    assert found is not None
    return found


def under_way(desk: Desk) -> list[Message]:
    return [one.message for one in desk.posted if isinstance(one.message, CronWake)]


def test_a_cron_fires_at_each_of_its_times(desk: Desk) -> None:
    thread_id = desk.thread()
    cron = created(desk, thread_id)
    desk.at(FIRST - timedelta(microseconds=1))
    assert desk.runs(thread_id) == []
    desk.at(FIRST + 4 * MINUTE)
    runs = desk.runs(thread_id)
    assert [run.created_at for run in runs] == [FIRST + index * MINUTE for index in range(5)]
    assert kept(desk, cron).next_run_date == FIRST + 5 * MINUTE
    assert len(under_way(desk)) == 1


def test_the_run_of_a_cron_is_what_its_payload_asks_for(desk: Desk) -> None:
    thread_id = desk.thread()
    created(desk, thread_id, metadata={"a": 1, "b": 1}, payload={**cron_of(desk, None).payload, "metadata": {"b": 2}})
    desk.at(FIRST)
    (run,) = desk.runs(thread_id)
    assert (run.graph_id, run.kwargs["input"], run.status) == ("log", {"n": 1}, "pending")
    assert run.metadata == {"created_by": "system", "a": 1, "b": 2}
    assert run.kwargs["config"]["configurable"]["cron_id"] == "C"
    assert run.kwargs["temporary"] is False


@pytest.mark.parametrize(("on_run_completed", "temporary"), [("delete", True), ("keep", False)])
def test_a_cron_without_a_thread_makes_one_for_each_run(desk: Desk, on_run_completed: str, temporary: bool) -> None:
    created(desk, None, on_run_completed=on_run_completed)
    desk.at(FIRST + MINUTE)
    woken = {one.message for one in desk.posted if isinstance(one.message, Wake) and one.message.hint}
    assert len(woken) == 2
    runs = [desk.services.runs.get(wake.tenant, wake.thread_id, wake.run_id) for wake in woken]
    assert {run.thread_id for run in runs if run} != {None}
    assert [run.kwargs["temporary"] for run in runs if run] == [temporary, temporary]


def test_a_context_goes_without_the_crons_id(desk: Desk) -> None:
    thread_id = desk.thread()
    created(desk, thread_id, payload={**cron_of(desk, None).payload, "context": {"tone": "loud"}})
    desk.at(FIRST)
    (run,) = desk.runs(thread_id)
    assert run.kwargs["context"] == {"tone": "loud"}


@pytest.mark.parametrize("answers_last", [False, True], ids=["before the call", "after it"])
def test_wherever_a_process_dies_each_firing_is_one_run(desk: Desk, answers_last: bool) -> None:
    deaths = 0
    for call in range(1, 100):
        desk.now = BEGINNING
        desk.posted.clear()
        thread_id = desk.thread()
        # So close that the next firing is due before SQS hands the message of the first one out again.
        cron = created(desk, thread_id, schedule="*/6 * * * *")
        desk.now = first = cron.next_run_date
        (message,) = under_way(desk)
        desk.posted.clear()
        died = False
        with desk.dying_at(call, answers_last=answers_last):
            try:
                desk.take(message)
            except StorageUnavailable:
                died = True
        if died:
            deaths += 1
            desk.at(first + 16 * MINUTE)
            desk.take(message)
        desk.at(first + 24 * MINUTE)
        dates = [run.created_at for run in desk.runs(thread_id)]
        assert len(dates) == 5, f"died with call {call}"
        assert dates == sorted(dates)
        assert kept(desk, cron).next_run_date == first + 30 * MINUTE
        desk.services.crons.delete(TENANT, cron.cron_id)
        if not died:
            break
    assert deaths >= 6


def test_a_message_that_comes_twice_fires_once(desk: Desk) -> None:
    thread_id = desk.thread()
    created(desk, thread_id)
    desk.now = FIRST
    (message,) = under_way(desk)
    desk.posted.clear()
    for _ in range(3):
        desk.take(message)
    assert len(desk.runs(thread_id)) == 1


def test_messages_that_come_twice_do_not_multiply(desk: Desk) -> None:
    thread_id = desk.thread()
    created(desk, thread_id)
    desk.posted *= 4
    desk.at(FIRST + 30 * MINUTE)
    assert len(desk.runs(thread_id)) == 31
    assert len(under_way(desk)) == 1


def test_a_message_that_comes_early_is_sent_again(desk: Desk) -> None:
    thread_id = desk.thread()
    created(desk, thread_id, schedule="0 0 1 1 *")
    (message,) = under_way(desk)
    desk.posted.clear()
    desk.take(message)
    (again,) = desk.posted
    assert again.due == BEGINNING.replace(year=2027, month=1, day=1, hour=0, minute=0, second=0)
    assert desk.runs(thread_id) == []


def test_a_cron_whose_writer_was_held_up_is_found(desk: Desk) -> None:
    thread_id = desk.thread()
    cron = cron_of(desk, thread_id)
    desk.services.crons._arm(cron)
    desk.at(FIRST + 5 * MINUTE)
    desk.services.crons.store.create(cron)
    desk.at(FIRST + 17 * MINUTE)
    assert len(desk.runs(thread_id)) > 0
    assert len(under_way(desk)) == 1


def test_a_cron_that_was_never_written_is_forgotten(desk: Desk) -> None:
    desk.services.crons._arm(cron_of(desk, None))
    desk.at(FIRST + 60 * MINUTE)
    assert desk.posted == []


def test_what_was_missed_within_the_hour_is_made_up_for(desk: Desk) -> None:
    thread_id = desk.thread()
    created(desk, thread_id)
    desk.now = FIRST + 10 * MINUTE
    desk.deliver()
    assert len(desk.runs(thread_id)) == 11


def test_after_a_long_silence_only_the_last_hour_is_made_up_for(desk: Desk) -> None:
    thread_id = desk.thread()
    cron = created(desk, thread_id, schedule="*/10 * * * *")
    due = cron.next_run_date
    desk.now = due + timedelta(days=3)
    desk.deliver()
    # The one that was awaited, and those of the last hour.
    assert len(desk.runs(thread_id)) == 1 + 6
    assert kept(desk, cron).next_run_date == desk.now + timedelta(minutes=10)


def test_a_cron_ends_at_its_end(desk: Desk) -> None:
    thread_id = desk.thread()
    created(desk, thread_id, end_time=FIRST + 2 * MINUTE)
    desk.at(FIRST + 60 * MINUTE)
    assert len(desk.runs(thread_id)) == 3
    assert desk.posted == [one for one in desk.posted if not isinstance(one.message, CronWake)]


def test_a_cron_that_is_not_enabled_sets_no_timer(desk: Desk) -> None:
    created(desk, desk.thread(), enabled=False)
    assert desk.posted == []


def disable(cron: Cron) -> Cron:
    return replace(cron, enabled=False)


def postpone(cron: Cron) -> Cron:
    return replace(cron, schedule="0 0 1 1 *", next_run_date=next_fire("0 0 1 1 *", None, BEGINNING))


@pytest.mark.parametrize("change", [disable, postpone])
def test_a_change_before_the_firing_is_heeded(desk: Desk, change: Callable[[Cron], Cron]) -> None:
    thread_id = desk.thread()
    cron = created(desk, thread_id)
    desk.services.crons.change(TENANT, cron.cron_id, change)
    desk.at(FIRST + 60 * MINUTE)
    assert desk.runs(thread_id) == []


def test_a_change_amid_a_firing_loses_neither(desk: Desk) -> None:
    thread_id = desk.thread()
    cron = created(desk, thread_id)
    desk.now = FIRST
    start = desk.services.crons.start
    changed: list[Cron] = []

    def meanwhile(fired: Cron) -> Any:
        if not changed:
            changed.append(
                desk.services.crons.change(TENANT, cron.cron_id, lambda one: replace(one, metadata={"x": 1}))
            )
        return start(fired)

    desk.services.crons.start = meanwhile
    try:
        desk.deliver()
    finally:
        desk.services.crons.start = start
    assert len(desk.runs(thread_id)) == 1
    assert kept(desk, cron).metadata == {"x": 1}
    assert kept(desk, cron).next_run_date == FIRST + MINUTE


def test_a_deleted_cron_fires_no_more(desk: Desk) -> None:
    thread_id = desk.thread()
    cron = created(desk, thread_id)
    assert desk.services.crons.delete(TENANT, cron.cron_id)
    assert not desk.services.crons.delete(TENANT, cron.cron_id)
    desk.at(FIRST + 60 * MINUTE)
    assert desk.runs(thread_id) == []
    assert desk.posted == []
    with pytest.raises(CronNotFound):
        desk.services.crons.change(TENANT, cron.cron_id, lambda one: one)


def test_crons_go_with_their_thread(desk: Desk) -> None:
    thread_id, other = desk.thread(), desk.thread()
    gone = [created(desk, thread_id) for _ in range(3)]
    stays = created(desk, other)
    assert desk.services.threads.delete(TENANT, thread_id)
    assert [desk.services.crons.store.get(TENANT, cron.cron_id) for cron in gone] == [None] * 3
    assert kept(desk, stays) == stays


def test_a_cron_needs_its_thread(desk: Desk) -> None:
    with pytest.raises(ThreadNotFound):
        created(desk, new_run_id())
    thread_id = desk.thread()
    assert desk.services.threads.delete(TENANT, thread_id)
    with pytest.raises(ThreadNotFound):
        created(desk, thread_id)


def test_a_cron_whose_thread_is_gone_goes_at_its_next_firing(desk: Desk) -> None:
    thread_id = desk.thread()
    cron = created(desk, thread_id)
    table = desk.services.crons.store.table  # type: ignore[attr-defined]
    table.delete({"Key": {"PK": {"S": f"T#{TENANT}#{thread_id}"}, "SK": {"S": "THREAD"}}})
    desk.at(FIRST)
    assert desk.services.crons.store.get(TENANT, cron.cron_id) is None


@pytest.mark.parametrize(
    "payload",
    [{"assistant_id": "x", "input": {}, "multitask_strategy": "reject"}, {"assistant_id": "x", "context": "no object"}],
    ids=["the thread is busy", "the payload is none any more"],
)
def test_a_firing_that_is_refused_is_left_out(desk: Desk, payload: dict[str, Any]) -> None:
    thread_id = desk.thread()
    cron = created(desk, thread_id, payload=payload)
    created(desk, thread_id, schedule="*/3 * * * *")
    desk.at(FIRST + 5 * MINUTE)
    assert kept(desk, cron).next_run_date == FIRST + 6 * MINUTE
    refused = [run for run in desk.runs(thread_id) if run.multitask_strategy == "reject"]
    assert len(refused) <= 3


def test_a_cron_whose_assistant_is_gone_waits_for_it(desk: Desk) -> None:
    thread_id = desk.thread()
    cron = created(desk, thread_id, assistant_id=new_run_id())
    desk.at(FIRST + MINUTE)
    assert desk.runs(thread_id) == []
    assert kept(desk, cron).next_run_date == FIRST + 2 * MINUTE


def test_two_tenants_crons_are_two(desk: Desk) -> None:
    cron = created(desk, None)
    crons = desk.services.crons
    assert crons.store.get("globex", cron.cron_id) is None
    assert [one.cron_id for one in crons.store.list("globex")] == []
    assert not crons.delete("globex", cron.cron_id)
    with pytest.raises(CronNotFound):
        crons.change("globex", cron.cron_id, lambda one: one)
    assert kept(desk, cron) == cron


def test_many_crons_are_all_listed(engine: Engine) -> None:
    desk = Desk(engine)
    made = {created(desk, None, payload={"text": "x" * 10}).cron_id for _ in range(40)}
    assert {cron.cron_id for cron in desk.services.crons.store.list(TENANT)} == made
