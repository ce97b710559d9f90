"""Writes on their way are in one hand at a time, and whoever waits for them hears what became of them."""

from typing import Any

import pytest

from handler.errors import LeaseLost, StorageUnavailable
from handler.storage.checkpointer.codec import Codec, make_serde
from handler.storage.checkpointer.pending import Held, PendingWrites
from handler.storage.checkpointer.state import write_list

CODEC = Codec(make_serde(strict=True, allowed=(), aes_key=None))


class Sender:
    """Stands where the log stores writes; fails for the tasks it is told to."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.sent: list[str] = []

    def __call__(self, held: Held) -> None:
        task_id = held.writes[0].task_id
        if task_id in self.failing:
            raise StorageUnavailable(task_id)
        self.sent.append(task_id)


def held(task_id: str = "task", checkpoint_id: str = "c1", value: Any = 1) -> Held:
    return Held(checkpoint_id, write_list(CODEC, [("channel", value)], task_id, ""), None, CODEC)


def test_writes_of_a_checkpoint_without_a_slot_wait_for_it() -> None:
    pending = PendingWrites(Sender())
    early = held()
    pending.hold(early)
    assert not early.placed.done()
    pending.place("c1", 1, 0)
    assert early.placed.done()
    assert not early.done.done()


def test_writes_of_a_checkpoint_before_the_first_belong_to_nothing() -> None:
    sender = Sender()
    pending = PendingWrites(sender)
    early, own = held(checkpoint_id="c0"), held(checkpoint_id="c1")
    pending.hold(early)
    pending.hold(own)
    pending.begin("c1")
    late = held(checkpoint_id="c0")
    pending.hold(late)
    assert early.done.done()
    assert late.done.done()
    assert not own.done.done()
    assert not pending.claim(late)
    assert pending.take("c1") == [own]
    assert sender.sent == []
    assert pending.idle


def test_what_a_record_takes_along_nobody_else_can_claim() -> None:
    pending = PendingWrites(Sender())
    one = held()
    pending.hold(one)
    assert pending.take("c1") == [one]
    assert not pending.claim(one)
    assert pending.idle


def test_a_record_takes_only_the_writes_of_its_parent() -> None:
    pending = PendingWrites(Sender())
    one, other = held(checkpoint_id="c1"), held(checkpoint_id="c2")
    pending.hold(one)
    pending.hold(other)
    assert pending.take("c1") == [one]
    assert pending.take("c2") == [other]


def test_flush_stores_what_has_a_slot_and_leaves_what_has_none() -> None:
    sender = Sender()
    pending = PendingWrites(sender)
    pending.place("c1", 1, 0)
    placed, early = held("placed"), held("early", "c2")
    pending.hold(placed)
    pending.hold(early)
    pending.flush()
    assert sender.sent == ["placed"]
    assert placed.done.result(0) is None
    assert not early.done.done()


def test_one_failure_does_not_keep_the_others_from_being_stored() -> None:
    sender = Sender("second")
    pending = PendingWrites(sender)
    pending.place("c1", 1, 0)
    writes = [held("first"), held("second"), held("third")]
    for one in writes:
        pending.hold(one)
    with pytest.raises(StorageUnavailable, match="second"):
        pending.flush()
    assert sender.sent == ["first", "third"]
    assert isinstance(writes[1].done.exception(0), StorageUnavailable)
    assert pending.idle


def test_after_a_failed_put_writes_of_later_checkpoints_are_refused_at_once() -> None:
    pending = PendingWrites(Sender())
    early = held()
    pending.hold(early)
    pending.fail(LeaseLost("superseded"))
    assert isinstance(early.placed.exception(0), LeaseLost)
    assert isinstance(early.done.exception(0), LeaseLost)
    with pytest.raises(LeaseLost):
        pending.hold(held(checkpoint_id="c2"))
    pending.recover()
    pending.hold(held(checkpoint_id="c2"))


def test_after_a_failed_put_writes_of_the_checkpoint_before_it_can_still_be_stored() -> None:
    sender = Sender()
    pending = PendingWrites(sender)
    pending.place("c1", 1, 0)
    pending.fail(StorageUnavailable("no answer"))
    late = held()
    pending.hold(late)
    pending.flush()
    assert late.done.result(0) is None


def test_writes_that_were_given_up_are_not_stored_later() -> None:
    sender = Sender()
    pending = PendingWrites(sender)
    one = held()
    pending.hold(one)
    pending.drop(one, StorageUnavailable("never put"))
    pending.place("c1", 1, 0)
    pending.flush()
    assert sender.sent == []
    assert isinstance(one.done.exception(0), StorageUnavailable)


def test_every_item_of_a_checkpoint_gets_a_number_of_its_own() -> None:
    pending = PendingWrites(Sender())
    pending.place("c1", 7, 2)
    pending.place("c1", 7, 0)
    assert [pending.next_place("c1") for _ in range(3)] == [(7, 2), (7, 3), (7, 4)]


def test_writes_are_not_held_in_vain_for_long() -> None:
    pending = PendingWrites(Sender())
    held_at = []
    for number in range(17):
        checkpoint_id = f"c{number}"
        pending.place(checkpoint_id, number, 0)
        if pending.worth_holding:
            held_at.append(number)
        pending.hold(held(checkpoint_id=checkpoint_id))
        pending.next_place(checkpoint_id)
        pending.flush()
        assert pending.take(checkpoint_id) == []
    assert held_at == [0, 1, 2, 8, 16]
    pending.place("c17", 17, 0)
    pending.hold(held(checkpoint_id="c17"))
    assert len(pending.take("c17")) == 1
    assert pending.worth_holding
