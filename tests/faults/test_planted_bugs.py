"""The harness finds bugs: each of these tables forgets one thing that the protocol rests upon."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.faults.dictionary import Dictionary
from tests.faults.invariants import Violated
from tests.faults.trials import Trials
from tests.faults.world import NeverRests, Plan

Request = Mapping[str, Any]


class Careless(Dictionary):
    """A table that changes each single write before it takes it."""

    def __init__(self, careless: Callable[[Request], Request]) -> None:
        super().__init__()
        self.careless = careless

    def execute(self, operation: str, request: Request) -> dict[str, Any]:
        """As ever, but carelessly."""
        if operation == "transact_write_items":
            actions = [{kind: self.careless(body) for kind, body in one.items()} for one in request["TransactItems"]]
            return super().execute(operation, {**request, "TransactItems": actions})
        return super().execute(operation, self.careless(request))


def without_condition(request: Request, condition: str) -> Request:
    """The request without one of its conditions."""
    whole = request.get("ConditionExpression", "")
    if condition not in whole:
        return request
    return {**request, "ConditionExpression": whole.replace(condition, "attribute_exists(#pk)")}


def release_by_anyone(request: Request) -> Request:
    """Settlement that does not ask whether the lease is still its own."""
    if "SET #updated = :now, #clean = :clean" not in request.get("UpdateExpression", ""):
        return request
    return without_condition(
        {**request, "ExpressionAttributeNames": {**request["ExpressionAttributeNames"], "#pk": "PK"}},
        "#owner = :owner AND #epoch = :epoch",
    )


def slots_taken_twice(request: Request) -> Request:
    """A log whose records replace one another."""
    if not request.get("Item", {}).get("SK", {}).get("S", "").startswith("C#"):
        return request
    return {name: value for name, value in request.items() if name != "ConditionExpression"}


def admission_of_anyone(request: Request) -> Request:
    """Admission that does not ask whether the thread is free."""
    return without_condition(
        request, "attribute_not_exists(#active) AND (attribute_not_exists(#queue) OR size(#queue) = :zero)"
    )


def terminal_that_moves(request: Request) -> Request:
    """Runs whose status moves from anywhere to anywhere, on threads that anyone may settle."""
    if "#status IN" not in request.get("ConditionExpression", ""):
        return release_by_anyone(request)
    return {name: value for name, value in request.items() if name != "ConditionExpression"}


def line_that_is_overlooked(request: Request) -> Request:
    """Settlement that does not notice a run which has just taken its place in line, and so wakes nobody."""
    return without_condition(request, "(attribute_not_exists(#queue) OR size(#queue) = :zero)")


BUGS = [
    (release_by_anyone, "plain_wait", {"I1"}),
    (slots_taken_twice, "zombie_while_taken_over", {"I1", "I3"}),
    (admission_of_anyone, "enqueue_racing_release", {"I4"}),
    (terminal_that_moves, "plain_wait", {"I1", "I3"}),
    (line_that_is_overlooked, "enqueue_racing_release", {"I2"}),
]


def first_found(bug: Callable[[Request], Request], scenario: str) -> BaseException | None:
    """The first violation that a bug leads to; none if it stays hidden."""
    trials = Trials(scenario, lambda: Careless(bug))
    for plan in (Plan(), *Trials(scenario).every_fault(), *(Plan(seed=seed) for seed in range(1, 40))):
        _, error = trials.once(plan)
        if error is not None:
            return error
    return None


@pytest.mark.parametrize(("bug", "scenario", "invariants"), BUGS)
def test_planted_bug_is_found(bug: Callable[[Request], Request], scenario: str, invariants: set[str]) -> None:
    error = first_found(bug, scenario)
    assert isinstance(error, Violated | NeverRests)
    assert str(error).partition(":")[0] in invariants
