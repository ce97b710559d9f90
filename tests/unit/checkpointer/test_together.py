"""Super-steps that come together: one item, all of them or none, and nothing of them after a refusal."""

from typing import Any

import pytest

from handler.errors import LeaseLost, StorageUnavailable
from handler.storage.checkpointer import DynamoDBSaver
from handler.storage.table import ConditionRefused
from tests.unit.checkpointer.graphless import THREAD, Hand, RecordingTable, config_of, writes_of

CHAIN = 60
"""Super-steps of a conversation that has had full records in between."""


def leased(table: RecordingTable, epoch: int = 1, **options: Any) -> DynamoDBSaver:
    """A saver as a driver has it: under a lease, durable at the flush."""
    saver = DynamoDBSaver(table, epoch=epoch, later=True, **options)
    saver.get_tuple(config_of())
    return saver


def three(hand: Hand, run_id: str | None = None) -> list[str]:
    """Put three super-steps; returns their ids."""
    before = hand.values.get("log", [])
    return [hand.put(log=[*before, *range(number)], run_id=run_id) for number in (1, 2, 3)]


def test_they_share_an_item_and_each_has_its_slot(table: RecordingTable) -> None:
    hand = Hand(leased(table))
    made = three(hand)
    assert table.sort_keys() == []
    hand.saver.flush()
    assert table.sort_keys() == ["C##0000000001"]
    assert Hand(DynamoDBSaver(table)).history() == made[::-1]
    hand.put(log=[1, 2, 3, 4])
    hand.saver.flush()
    assert table.sort_keys() == ["C##0000000001", "C##0000000004"]


def test_each_of_them_can_be_found_and_built_upon(table: RecordingTable) -> None:
    hand = Hand(leased(table))
    made = three(hand)
    hand.saver.flush()
    other = Hand(DynamoDBSaver(table))
    found = other.load(made[1])
    assert found is not None
    assert found.checkpoint["channel_values"] == {"log": [0, 1]}
    fork = other.put(log=["fork"])
    assert Hand(DynamoDBSaver(table)).history() == [fork, *made[::-1]]


def test_nothing_is_stored_that_was_accepted_while_others_were_refused(table: RecordingTable) -> None:
    """A driver that stood still: its successor has the slot, its graph goes on putting while it is told."""
    zombie = Hand(leased(table))
    three(zombie)
    Hand(leased(table, epoch=2)).saver.fence(THREAD)
    put = table.put

    def slow(request: Any) -> None:
        table.put = put  # type: ignore[method-assign]
        zombie.put(log=["late"])
        put(request)

    table.put = slow  # type: ignore[method-assign]
    with pytest.raises(LeaseLost):
        zombie.saver.flush()
    for late in (zombie.saver.flush, lambda: zombie.put(log=["later"]), zombie.read):
        with pytest.raises(LeaseLost):
            late()
    assert table.sort_keys() == ["C##0000000001"]
    assert Hand(DynamoDBSaver(table)).history() == []


def test_a_lost_response_is_recognised(table: RecordingTable) -> None:
    hand = Hand(leased(table))
    made = three(hand)
    put = table.put

    def twice(request: Any) -> None:
        put(request)
        put(request)

    table.put = twice  # type: ignore[method-assign]
    hand.saver.flush()
    assert Hand(DynamoDBSaver(table)).history() == made[::-1]


def test_a_storage_that_fails_is_told_at_the_next_call(table: RecordingTable) -> None:
    hand = Hand(leased(table))
    three(hand)
    table.lose = lambda operation: StorageUnavailable("lost") if operation == "put_item" else None
    with pytest.raises(StorageUnavailable):
        hand.saver.flush()
    table.lose = None
    with pytest.raises(StorageUnavailable):
        hand.put(log=["more"])
    with pytest.raises(StorageUnavailable):
        hand.saver.flush()


def test_a_subgraphs_are_stored_before_those_of_its_parent(table: RecordingTable) -> None:
    saver = leased(table)
    parent, child, grandchild = Hand(saver), Hand(saver, "child:1"), Hand(saver, "child:1|inner:2")
    for hand in (parent, child, grandchild, parent):
        hand.put(text=hand.namespace)
    order: list[str] = []
    put = table.put

    def noted(request: Any) -> None:
        order.append(request["Item"]["SK"]["S"])
        put(request)

    table.put = noted  # type: ignore[method-assign]
    saver.flush()
    assert order == ["C#child:1|inner:2#0000000001", "C#child:1#0000000001", "C##0000000001"]


def test_pending_writes_of_their_own_come_after_the_super_steps(table: RecordingTable) -> None:
    hand = Hand(leased(table, hold=0))
    three(hand)
    hand.saver.flush()
    hand.put(log=["asks"])
    hand.saver.flush()
    hand.write(("__interrupt__", "what now?"))
    found = Hand(DynamoDBSaver(table)).read()
    assert writes_of(found) == [("__interrupt__", "what now?")]


def test_the_last_ones_go_with_the_settlement_or_not_at_all(table: RecordingTable) -> None:
    hand = Hand(leased(table))
    made = three(hand)
    along = hand.saver.flush_but_last()
    assert along is not None
    assert table.sort_keys() == []
    assert hand.saver.heads == {"": 3}
    found = hand.read()
    assert found is not None
    assert found.checkpoint["id"] == made[-1]
    table.transact([along.action])
    along.done()
    assert Hand(DynamoDBSaver(table)).history() == made[::-1]
    with pytest.raises(ConditionRefused):
        table.transact([along.action])


def test_what_is_large_goes_on_its_own(table: RecordingTable) -> None:
    hand = Hand(leased(table))
    hand.put(text="".join(chr(33 + (number * number) % 90) for number in range(9_000)), blob=bytes(range(256)) * 20)
    hand.put(blob=b"".join(number.to_bytes(4, "big") for number in range(0, 4_000_000, 977)))
    assert hand.saver.flush_but_last() is None
    assert table.sort_keys() == ["C##0000000001"]


def test_runs_do_not_share_an_item(table: RecordingTable) -> None:
    hand = Hand(leased(table))
    three(hand, "run-1")
    three(hand, "run-2")
    hand.saver.flush()
    assert table.sort_keys() == ["C##0000000001", "C##0000000004"]


def test_pruning_gives_the_latest_an_item_of_its_own(table: RecordingTable) -> None:
    hand = Hand(leased(table))
    made = three(hand)
    hand.saver.flush()
    DynamoDBSaver(table).prune([THREAD])
    cold = Hand(DynamoDBSaver(table))
    found = cold.load()
    assert found is not None
    assert (cold.history(), found.checkpoint["channel_values"]) == ([made[-1]], {"log": [0, 1, 2]})


def test_a_deletion_knows_the_last_slot_of_an_item(table: RecordingTable) -> None:
    hand = Hand(leased(table))
    three(hand)
    hand.saver.flush()
    DynamoDBSaver(table).delete_thread(THREAD)
    assert table.sort_keys() == ["C##0000000004"]


def long_conversation(table: RecordingTable) -> Hand:
    hand = Hand(DynamoDBSaver(table, exclusive=True))
    for number in range(CHAIN):
        hand.put(log=[f"{step:04d}" * 200 for step in range(number + 1)], run_id=f"run-{number // 2}")
    return hand


def test_a_cold_read_of_a_long_conversation_is_one_query(table: RecordingTable) -> None:
    hand = long_conversation(table)
    table.requests.clear()
    found = Hand(DynamoDBSaver(table)).read()
    assert found is not None
    assert found.checkpoint["channel_values"] == hand.values
    assert table.requests == ["get_item", "query"]


def test_who_was_told_where_to_start_asks_only_for_the_chain(table: RecordingTable) -> None:
    hand = long_conversation(table)
    base = DynamoDBSaver(table).look_for_base(THREAD)
    table.requests.clear()
    found = Hand(DynamoDBSaver(table, epoch=1, newest_base=base)).read()
    assert found is not None
    assert found.checkpoint["channel_values"] == hand.values
    assert table.requests == ["query"]


@pytest.mark.parametrize("gone", range(1, 12))
def test_a_pointer_to_what_was_undone_is_a_hint_only(table: RecordingTable, gone: int) -> None:
    hand = long_conversation(table)
    last = CHAIN // 2 - 1
    saver = DynamoDBSaver(table, epoch=2)
    for number in range(last, last - gone, -1):
        saver.rollback(THREAD, run_id=f"run-{number}")
    found = Hand(DynamoDBSaver(table)).read()
    assert found is not None
    assert found.checkpoint["channel_values"]["log"] == hand.values["log"][: CHAIN - 2 * gone]


def test_a_copy_has_a_pointer_of_its_own(table: RecordingTable) -> None:
    hand = long_conversation(table)
    DynamoDBSaver(table).copy_thread(THREAD, "copy")
    table.requests.clear()
    found = Hand(DynamoDBSaver(table), thread_id="copy").read()
    assert found is not None
    assert found.checkpoint["channel_values"] == hand.values
    assert table.requests == ["get_item", "query"]
