"""Checkpoint ids go on after those of machines whose clocks are ahead."""

from collections.abc import Iterator

import pytest
from langgraph.checkpoint.base import id as uuid6_clock
from langgraph.checkpoint.base.id import uuid6

from handler.storage.checkpointer.clock import move_uuid6_clock_past


@pytest.fixture(autouse=True)
def clock_as_it_was() -> Iterator[None]:
    before = vars(uuid6_clock)["_last_v6_timestamp"]
    yield
    vars(uuid6_clock)["_last_v6_timestamp"] = before


def ahead(days: int) -> str:
    """An id from a machine whose clock is so many days ahead."""
    value = uuid6().int
    time = ((value >> 80) << 12 | (value >> 64) & 0xFFF) + days * 86_400 * 10**7
    rest = value & ((1 << 64) - 1)
    moved = (time >> 12) << 80 | 0x6 << 76 | (time & 0xFFF) << 64 | rest
    hexed = f"{moved:032x}"
    return f"{hexed[:8]}-{hexed[8:12]}-{hexed[12:16]}-{hexed[16:20]}-{hexed[20:]}"


def test_the_next_id_is_greater_than_one_from_a_clock_that_is_ahead() -> None:
    theirs = ahead(days=30)
    assert str(uuid6()) < theirs
    move_uuid6_clock_past(theirs)
    assert str(uuid6()) > theirs


def test_an_older_id_does_not_set_the_clock_back() -> None:
    theirs = ahead(days=30)
    move_uuid6_clock_past(theirs)
    move_uuid6_clock_past(ahead(days=-60))
    assert str(uuid6()) > theirs


@pytest.mark.parametrize("other", ["not an id", "7c9e6679-7425-40de-944b-e07fc1f90ae7", ""])
def test_ids_of_other_kinds_leave_the_clock_alone(other: str) -> None:
    before = vars(uuid6_clock)["_last_v6_timestamp"]
    move_uuid6_clock_past(other)
    assert vars(uuid6_clock)["_last_v6_timestamp"] == before
