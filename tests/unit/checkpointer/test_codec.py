"""Bodies survive their sealing, and equal rows mean equal bytes."""

import uuid
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
        "0328b52ffd2059a50100140286a170c0a16681a176040180a16382920191c403a26869a176920190a173928090050052e49e042a40e9113743a19b700209",
        (
            "0128b52ffd2059c9020086a170c0a16681a17604a16d92a76d73677061636bc40180a16382a86d65737361676573920191c"
            "403a26869af6272616e63683a746f3a6167656e749300a46e756c6cc400a1769281a86d657373616765730190a173928090"
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


@pytest.mark.parametrize(
    "elements",
    [
        [],
        [HumanMessage("one", id="1"), AIMessage("x" * 300, id="2"), AIMessage("y" * 70_000, id="3")],
        [uuid.UUID(int=5), HumanMessage("a", id="1")],
        [HumanMessage("a", id="1"), {"plain": 1}],
        ["words", 3, None, [1, 2]],
    ],
    ids=["none", "messages of every length", "extensions", "an object among messages", "plain values"],
)
def test_elements_serialised_at_once_are_those_serialised_one_by_one(elements: list[Any]) -> None:
    assert codec().dump_elements(elements) == [codec().dump_element(element) for element in elements]
