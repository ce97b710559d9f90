"""What a filter lets pass: JSON containment for metadata, LangGraph's operators for the values of store items."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from handler.errors import BadRequest

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def contains(whole: Any, part: Any) -> bool:
    """Whether a JSON value contains another: objects by their keys, lists by their elements, as in `jsonb @>`."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            name in whole and contains(whole[name], value) for name, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(contains(one, wanted) for one in whole) for wanted in part)
    return same(whole, part)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; 1 is not true."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def passes(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a store item's value passes a filter; BadRequest for an operator that there is not."""
    return all(_field_passes(value.get(name), condition) for name, condition in wanted.items())


def _field_passes(value: Any, condition: Any) -> bool:
    if isinstance(condition, dict):
        if any(name.startswith("$") for name in condition):
            return all(_compares(value, name, operand) for name, operand in condition.items())
        return isinstance(value, dict) and all(_field_passes(value.get(name), one) for name, one in condition.items())
    if isinstance(condition, list | tuple):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(condition)
            and all(_field_passes(one, wanted) for one, wanted in zip(value, condition, strict=True))
        )
    return bool(value == condition)


def _compares(value: Any, name: str, operand: Any) -> bool:
    if name == "$eq":
        return bool(value == operand)
    if name == "$ne":
        return bool(value != operand)
    if name not in COMPARISONS:
        raise BadRequest(f"Unsupported operator: {name}")
    compare = COMPARISONS[name]
    try:
        return compare(float(value), float(operand))
    except (TypeError, ValueError):  # not two numbers: two strings compare as such, anything else does not
        return isinstance(value, str) and isinstance(operand, str) and compare(value, operand)
