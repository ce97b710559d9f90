"""A takeover, a rollback, a deletion: who was superseded is refused or counts for nothing."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from langgraph.checkpoint.serde.types import INTERRUPT, RESUME

from handler.errors import LeaseLost
from handler.storage.checkpointer import DynamoDBSaver
from tests.unit.checkpointer.graphless import THREAD, Hand, RecordingTable, config_of, writes_of


def saver(table: RecordingTable, epoch: int = 0, **options: Any) -> DynamoDBSaver:
    return DynamoDBSaver(table, **{"hold": 0, "epoch": epoch, **options})


def driver(table: RecordingTable, epoch: int, namespace: str = "") -> Hand:
    """A driver under a lease, whose saver knows which thread that is about."""
    lead = saver(table, epoch)
    lead.get_tuple(config_of())
    hand = Hand(lead, namespace)
    hand.load()
    return hand


def test_the_former_driver_is_refused_after_a_fence(table: RecordingTable) -> None:
    old = driver(table, 1)
    kept = old.put(log=[1])
    new = driver(table, 2)
    new.saver.fence(THREAD)
    with pytest.raises(LeaseLost):
        old.put(log=[1, "old"])
    new.load()
    newest = new.put(log=[1, "new"])
    with pytest.raises(LeaseLost):
        old.load()
    assert new.history() == [newest, kept]


def test_a_fence_waits_for_nobody_and_adopts_what_came_before_it(table: RecordingTable) -> None:
    old = driver(table, 1)
    old.put(log=[1])
    new = saver(table, 2)
    steps = iter(range(2, 5))
    query_page = table.query_page

    def one_step_ahead(request: Any) -> Any:
        page = query_page(request)
        for length in islice(steps, 1):
            old.put(log=list(range(length)))
        return page

    table.query_page = one_step_ahead  # type: ignore[method-assign]
    new.fence(THREAD)
    table.query_page = query_page  # type: ignore[method-assign]
    found = Hand(new).load()
    assert found is not None
    assert found.checkpoint["channel_values"]["log"] == old.values["log"]
    with pytest.raises(LeaseLost):
        old.put(log=["late"])


def test_pending_writes_count_when_the_fence_adopts_them_and_not_when_they_come_later(table: RecordingTable) -> None:
    old = driver(table, 1)
    old.put(log=[1])
    old.write((INTERRUPT, "asked before"), task_id="task")
    new = saver(table, 2)
    new.fence(THREAD)
    old.write(("log", "written after"), task_id="other")
    expected = [(INTERRUPT, "asked before")]
    assert writes_of(Hand(new).load()) == expected
    assert writes_of(Hand(saver(table)).read()) == expected
    hand = Hand(new)
    hand.load()
    hand.write((RESUME, "answered"), task_id="task")
    expected = [(RESUME, "answered"), (INTERRUPT, "asked before")]
    assert writes_of(Hand(saver(table)).read()) == expected
    hand.put(log=[1, 2])
    assert writes_of(list(saver(table).list(config_of()))[1]) == expected


def test_the_former_driver_is_refused_in_its_subgraphs_too(table: RecordingTable) -> None:
    old = driver(table, 1)
    old.put(log=[1])
    inner = Hand(old.saver, "child:1")
    kept = inner.put(text="before")
    new = saver(table, 2)
    new.fence(THREAD)
    with pytest.raises(LeaseLost):
        inner.put(text="after")
    found = Hand(new, "child:1").load()
    assert found is not None
    assert found.checkpoint["id"] == kept


def test_a_subgraph_that_the_former_driver_opens_later_counts_for_nothing(table: RecordingTable) -> None:
    old = driver(table, 1)
    old.put(log=[1])
    new = saver(table, 2)
    new.fence(THREAD)
    late = Hand(old.saver, "child:1")
    late.put(text="too late")
    assert Hand(saver(table), "child:1").read() is None
    assert Hand(saver(table), "child:1").history() == []
    mine = Hand(new, "child:1")
    assert mine.load() is None
    kept = mine.put(text="mine")
    with pytest.raises(LeaseLost):
        late.put(text="later still")
    assert Hand(saver(table), "child:1").history() == [kept]


def test_a_rightful_driver_steps_over_what_a_superseded_one_appended(table: RecordingTable) -> None:
    old = driver(table, 1)
    old.put(log=[1])
    new = saver(table, 2)
    new.fence(THREAD)
    mine = Hand(new, "child:1")
    assert mine.load() is None
    late = Hand(old.saver, "child:1")
    late.put(text="a slot that is not free any more")
    kept = mine.put(text="mine")
    again = mine.put(text="mine too")
    assert Hand(saver(table), "child:1").history() == [again, kept]
    with pytest.raises(LeaseLost):
        late.put(text="later still")


def test_old_subgraphs_stay_readable_after_a_takeover(table: RecordingTable) -> None:
    first = driver(table, 1)
    first.put(log=[1])
    kept = Hand(first.saver, "child:1").put(text="done long ago")
    second = driver(table, 2)
    second.put(log=[1, 2])
    saver(table, 3).fence(THREAD)
    found = Hand(saver(table), "child:1").read()
    assert found is not None
    assert found.checkpoint["id"] == kept


def test_a_thread_without_checkpoints_can_be_fenced(table: RecordingTable) -> None:
    old = driver(table, 1)
    new = saver(table, 2)
    new.fence(THREAD)
    with pytest.raises(LeaseLost):
        old.put(log=["old"])
    hand = Hand(new)
    assert hand.load() is None
    kept = hand.put(log=["new"])
    assert hand.history() == [kept]


def test_a_superseded_driver_can_neither_fence_nor_roll_back_nor_delete(table: RecordingTable) -> None:
    old = driver(table, 1)
    old.put(log=[1], run_id="run-1")
    new = driver(table, 2)
    new.saver.fence(THREAD)
    new.load()
    newest = new.put(log=[1, 2])
    calls: list[Callable[[], None]] = [
        lambda: old.saver.fence(THREAD),
        lambda: old.saver.rollback(THREAD, run_id="run-1"),
        lambda: old.saver.delete_thread(THREAD),
        lambda: old.saver.prune([THREAD]),
    ]
    for call in calls:
        with pytest.raises(LeaseLost):
            call()
    assert new.history()[0] == newest


def test_a_rollback_leaves_the_thread_as_it_was_before_the_run(table: RecordingTable) -> None:
    hand = driver(table, 1)
    before = hand.put(log=[1], run_id="run-1")
    hand.write((INTERRUPT, "asked"), run_id="run-1")
    hand.write((RESUME, "answered by run 2"), run_id="run-2", task_id="task-2")
    undone = [hand.put(log=[1, number], run_id="run-2") for number in range(10)]
    inner = Hand(hand.saver, "child:1")
    inner.put(text="of run 2", run_id="run-2")
    thief = saver(table, 2)
    thief.rollback(THREAD, run_id="run-2")
    thief.rollback(THREAD, run_id="run-2")
    found = Hand(thief).load()
    assert found is not None
    assert found.checkpoint["id"] == before
    assert found.checkpoint["channel_values"] == {"log": [1]}
    assert writes_of(found) == [(INTERRUPT, "asked")]
    assert Hand(saver(table)).history() == [before]
    assert all(saver(table).get_tuple(config_of(checkpoint_id=gone)) is None for gone in undone)
    assert Hand(saver(table), "child:1").read() is None
    with pytest.raises(LeaseLost):
        hand.put(log=[1, "victim"], run_id="run-2")
    again = Hand(thief)
    again.load()
    newest = again.put(log=[1, "again"], run_id="run-3")
    assert Hand(saver(table)).history() == [newest, before]


def test_a_rollback_of_a_run_that_left_only_writes_takes_these_back(table: RecordingTable) -> None:
    hand = driver(table, 1)
    hand.put(log=[1], run_id="run-1")
    hand.write((INTERRUPT, "asked"), run_id="run-1", task_id="task")
    hand.write((RESUME, "answered"), run_id="run-2", task_id="task")
    saver(table, 2).rollback(THREAD, run_id="run-2")
    assert writes_of(Hand(saver(table)).read()) == [(INTERRUPT, "asked")]


def test_a_rollback_of_the_only_run_leaves_nothing(table: RecordingTable) -> None:
    hand = driver(table, 1)
    hand.put(log=[1], run_id="run-1")
    thief = saver(table, 2)
    thief.rollback(THREAD, run_id="run-1")
    assert Hand(saver(table)).read() is None
    anew = Hand(thief)
    anew.load()
    newest = anew.put(log=["new"], run_id="run-2")
    assert Hand(saver(table)).history() == [newest]


def test_a_rollback_of_a_run_that_left_nothing_writes_nothing(table: RecordingTable) -> None:
    hand = driver(table, 1)
    hand.put(log=[1], run_id="run-1")
    keys = table.sort_keys()
    saver(table, 2).rollback(THREAD, run_id="run-9")
    assert table.sort_keys() == keys


def test_sequence_numbers_are_not_used_again_after_a_deletion(table: RecordingTable) -> None:
    hand = driver(table, 1)
    for number in range(60):
        hand.put(log=[number])
    Hand(hand.saver, "child:1").put(text="inner")
    table.requests.clear()
    saver(table).delete_thread(THREAD)
    assert table.requests.count("batch_write_item") == 3
    assert table.sort_keys() == ["C##0000000061"]
    with pytest.raises(LeaseLost):
        hand.put(log=["after"])
    anew = driver(table, 3)
    assert anew.at is None
    newest = anew.put(log=["new"])
    assert anew.history() == [newest]
    assert table.sort_keys() == ["B#", "C##0000000061", "C##0000000062"]
    saver(table).delete_thread(THREAD)
    saver(table).delete_thread(THREAD)
    assert table.sort_keys() == ["C##0000000063"]


def test_deleting_a_thread_that_has_no_checkpoints_writes_nothing(table: RecordingTable) -> None:
    saver(table).delete_thread(THREAD)
    assert table.items() == []
