"""Differences between checkpoints lead from one to the other, whatever a channel does."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME

from handler.storage.checkpointer.codec import Codec, make_serde
from handler.storage.checkpointer.state import (
    ELEMENTS,
    SPLICE,
    Elements,
    apply_change,
    apply_mapping_change,
    change_channel,
    load_value,
    mapping_change,
    settled_writes,
    write_list,
)

CODEC = Codec(make_serde(strict=True, allowed=(), aes_key=None))
INTEGERS = st.integers(-(2**63), 2**63)
VALUES = st.lists(INTEGERS | st.text(max_size=3) | st.none()) | st.text() | st.none() | st.binary()


@given(st.lists(VALUES, min_size=2, max_size=6))
def test_each_value_is_reached_from_the_one_before_it(values: list[Any]) -> None:
    written = read = None
    for value in values:
        written, change = change_channel(CODEC, written, value)
        if change is not None:
            read = apply_change(read, change)
        assert read == written
        assert read is not None
        assert load_value(CODEC, read) == value


@given(st.lists(INTEGERS, min_size=1), st.lists(INTEGERS, min_size=1))
def test_a_longer_list_is_stored_as_what_was_appended(start: list[int], more: list[int]) -> None:
    old, _ = change_channel(CODEC, None, start)
    _, change = change_channel(CODEC, old, [*start, *more])
    assert change == [SPLICE, len(start), [CODEC.dump_element(element) for element in more]]


def test_a_list_whose_first_element_changed_is_stored_by_value() -> None:
    old, _ = change_channel(CODEC, None, [1, 2, 3])
    _, change = change_channel(CODEC, old, [9, 2, 3, 4])
    assert change is not None
    assert change[0] == ELEMENTS


def test_an_edit_that_compares_equal_is_an_edit() -> None:
    old, _ = change_channel(CODEC, None, [1, 1.0, True])
    new, change = change_channel(CODEC, old, [1, True, 1.0])
    assert change is not None
    assert [type(element) for element in load_value(CODEC, new)] == [int, bool, float]


def test_a_list_that_did_not_change_is_not_stored_again() -> None:
    old, _ = change_channel(CODEC, None, [1, 2])
    assert change_channel(CODEC, old, [1, 2]) == (old, None)


def test_an_element_in_another_place_is_not_taken_for_the_same() -> None:
    old, _ = change_channel(CODEC, None, ["a", "b"])
    new, _ = change_channel(CODEC, old, ["b", "a"])
    assert isinstance(new, Elements)
    assert load_value(CODEC, new) == ["b", "a"]


@given(st.dictionaries(st.text(max_size=2), st.integers()), st.dictionaries(st.text(max_size=2), st.integers()))
def test_one_mapping_is_reached_from_another(old: dict[str, int], new: dict[str, int]) -> None:
    assert apply_mapping_change(old, mapping_change(old, new)) == new


def test_regular_writes_stand_as_first_put_and_special_ones_as_last_put() -> None:
    writes = [
        *write_list(CODEC, [("a", 1), (INTERRUPT, "first")], "task", "path"),
        *write_list(CODEC, [("a", 2), ("b", 3), (INTERRUPT, "second")], "task", "path"),
    ]
    settled = [(write.channel, CODEC.load((write.kind, write.data))) for write in settled_writes(writes)]
    assert settled == [(INTERRUPT, "second"), ("a", 1), ("b", 3)]


def test_writes_are_in_task_path_order_then_by_task_then_by_place() -> None:
    put = [("~b", "t3", 12), ("~a", "t2", 2), ("~a", "t1", 11)]
    writes = [
        write
        for path, task, count in put
        for write in write_list(CODEC, [(f"c{number}", None) for number in range(count)], task, path)
    ]
    order = [(write.path, write.task_id, write.idx) for write in settled_writes(writes)]
    assert order == sorted(order)
    assert [place for _, _, place in order[:11]] == list(range(11))


def test_special_channels_have_places_that_no_regular_write_has() -> None:
    writes = write_list(CODEC, [(ERROR, 1), (INTERRUPT, 2), (RESUME, 3), ("a", 4)], "task", "")
    assert [write.idx for write in writes] == [-1, -3, -4, 3]
