"""Bodies survive their sealing, and equal rows mean equal bytes."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from handler.storage.checkpointer.codec import Codec, list_header, make_serde, packed_rows

KEY = b"0123456789abcdef"
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.builds(HumanMessage, st.text(), id=st.text(max_size=3)) | st.builds(AIMessage, st.text())


@dataclass
class Order:
    """A type of the user's own."""

    number: int


def codec(aes_key: bytes | None = None) -> Codec:
    return Codec(make_serde(strict=True, allowed=(), aes_key=aes_key))


@given(PLAIN)
def test_a_body_comes_back_as_it_was_sealed(body: Any) -> None:
    assert codec().open(codec().seal(body)) == body


FIXED_BODY: dict[str, Any] = {
    "p": None,
    "f": {"v": 4},
    "m": ["msgpack", b"\x80"],
    "c": {"messages": [1, [b"\xa2hi"]], "branch:to:agent": [0, "null", b""]},
    "v": [{"messages": 1}, []],
    "s": [{}, []],
}


@pytest.mark.parametrize(
    "stored",
    [
        "0378bb404fc79f6b5b587060615a23305122a72446607a69825b318971e211e6451999e82e848702d0cf88e28411e4a9860900280627fb",
        (
            "0178016b5b587060615ae3c2329685b99396e716a7172426671f616c5898dcb42237b5b838313db57812e3c423cc8b3232d7271525e6"
            "25675895e45b0185f34a26332cc92bcdc939c2b0b06c52235c35e38485c5931a260000280627fb"
        ),
    ],
    ids=["with the first dictionary", "without one"],
)
def test_bodies_stored_in_earlier_forms_stay_readable(stored: str) -> None:
    assert codec().open(bytes.fromhex(stored)) == FIXED_BODY


def test_an_encrypted_body_holds_nothing_readable_and_needs_the_key() -> None:
    sealed = codec(KEY).seal({"secret": "the word is swordfish"})
    assert b"swordfish" not in sealed
    assert codec(KEY).open(sealed) == {"secret": "the word is swordfish"}
    with pytest.raises(ValueError, match="no key"):
        codec().open(sealed)
    with pytest.raises(ValueError, match="MAC check failed"):
        codec(b"another-key-1234").open(sealed)


def test_with_a_key_older_bodies_without_encryption_stay_readable() -> None:
    assert codec(KEY).open(codec().seal([1, 2])) == [1, 2]


@given(st.lists(MESSAGES | PLAIN, max_size=20))
def test_a_list_put_together_from_its_elements_is_what_the_serde_makes_of_it(elements: list[Any]) -> None:
    parts = [codec().dump_element(element) for element in elements]
    assert all(part is not None for part in parts)
    whole = list_header(len(elements)) + b"".join(part for part in parts if part)
    assert ("msgpack", whole) == codec().dump(elements)
    assert codec().load_elements([part for part in parts if part]) == codec().load(codec().dump(elements))


@pytest.mark.parametrize("length", [0, 15, 16, 65_535, 65_536])
def test_lists_of_every_length_have_the_right_header(length: int) -> None:
    assert codec().load(("msgpack", list_header(length) + b"\xc0" * length)) == [None] * length


@given(st.lists(MESSAGES | PLAIN, max_size=5), st.lists(MESSAGES | PLAIN, max_size=5))
def test_equal_rows_mean_equal_serialised_elements(one: list[Any], other: list[Any]) -> None:
    rows, others = packed_rows(one), packed_rows(other)
    if rows is not None and rows == others:
        assert codec().dump(one) == codec().dump(other)


def test_a_message_edited_in_place_has_other_rows() -> None:
    message = AIMessage("before", response_metadata={"model": "a"})
    before = packed_rows([message])
    message.response_metadata["model"] = "b"
    assert packed_rows([message]) != before


def test_values_that_are_not_plain_have_no_rows() -> None:
    assert packed_rows([{"order": Order(1)}]) is None
    assert packed_rows([HumanMessage("hello", additional_kwargs={"queue": deque([1])})]) is None


def test_a_strict_serde_makes_no_objects_of_types_that_are_not_allowed() -> None:
    stored = codec().dump(Order(7))
    allowed = make_serde(strict=True, allowed=[(Order.__module__, "Order")], aes_key=None)
    assert codec().load(stored) == {"number": 7}
    assert Codec(allowed).load(stored) == Order(7)
    assert Codec(make_serde(strict=False, allowed=(), aes_key=None)).load(stored) == Order(7)


@pytest.mark.parametrize("strict", [True, False])
def test_no_serde_of_the_service_pickles(strict: bool) -> None:
    serde = make_serde(strict=strict, allowed=(), aes_key=None)
    pickled = JsonPlusSerializer(pickle_fallback=True).dumps_typed(object())
    assert pickled[0] == "pickle"
    with pytest.raises(TypeError):
        serde.dumps_typed(object())
    with pytest.raises(NotImplementedError):
        serde.loads_typed(pickled)
