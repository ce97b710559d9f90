"""Filters: containment as jsonb has it, and the operators of LangGraph's store."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.domain.filters import contains, passes
from handler.errors import BadRequest

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from("ab"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_everything_contains_itself(value: Any) -> None:
    assert contains(value, value)


@given(st.dictionaries(st.sampled_from("xyz"), JSON), st.sampled_from("xyz"), JSON)
def test_an_object_contains_what_is_left_of_it(whole: dict[str, Any], name: str, value: Any) -> None:
    assert contains({**whole, name: value}, {name: value})
    assert contains({**whole, name: value}, {key: one for key, one in whole.items() if key != name})


@pytest.mark.parametrize(
    ("whole", "part", "expected"),
    [
        ({"a": 1}, {}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"b": None}, False),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}, True),
        ({"a": [1, 2, {"b": 1, "c": 2}]}, {"a": [{"c": 2}, 1]}, True),
        ({"a": [1]}, {"a": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": None}, {"a": None}, True),
        ({}, [], False),
    ],
    ids=str,
)
def test_containment(whole: Any, part: Any, expected: bool) -> None:
    assert contains(whole, part) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"$gt": 1}, False),
        ({"$gte": 1}, True),
        ({"$lt": "2"}, True),
        ({"$lte": 0}, False),
        ({"$gt": None}, False),
        ({"$lt": "a"}, False),
        ({"$gt": 0, "$lt": 2}, True),
        ({"$gt": 0, "$ne": 1}, False),
        ({}, False),
    ],
    ids=str,
)
def test_a_number_compares_with_what_is_one(condition: dict[str, Any], expected: bool) -> None:
    assert passes({"n": 1}, {"n": condition}) is expected


def test_texts_compare_as_such_and_what_is_missing_does_not_compare() -> None:
    assert passes({"at": "2026-02-01"}, {"at": {"$gt": "2026-01-31"}})
    assert not passes({}, {"at": {"$gt": "2026-01-31"}})
    assert not passes({"at": {"x": 1}}, {"at": {"$lt": 3}})


def test_an_operator_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(BadRequest, match=r"Unsupported operator: \$regex"):
        passes({"n": 1}, {"n": {"$regex": "1"}})
