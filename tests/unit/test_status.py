"""The table of moves: every pair, and what is derived from it."""

import itertools
from typing import get_args

import pytest
from langgraph_sdk import schema as sdk

from handler.domain.status import RUN_MOVES, TERMINAL, RunStatus, ThreadStatus, predecessors

ALLOWED = {
    ("pending", "running"),
    ("pending", "interrupted"),
    ("pending", "error"),
    ("running", "running"),
    ("running", "success"),
    ("running", "error"),
    ("running", "interrupted"),
    ("running", "timeout"),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(RunStatus, RunStatus)))
def test_a_run_moves_only_as_the_table_says(before: RunStatus, after: RunStatus) -> None:
    assert (after in RUN_MOVES[before]) is ((before.value, after.value) in ALLOWED)


def test_every_status_stands_in_the_table() -> None:
    assert set(RUN_MOVES) == set(RunStatus)


def test_terminal_statuses_are_those_that_nothing_follows() -> None:
    assert {"success", "error", "interrupted", "timeout"} == TERMINAL
    assert all(not RUN_MOVES[status] for status in TERMINAL)
    assert all(RUN_MOVES[status] for status in RunStatus if status not in TERMINAL)


@pytest.mark.parametrize("status", RunStatus)
def test_predecessors_are_the_table_read_backwards(status: RunStatus) -> None:
    assert set(predecessors(status)) == {before for before, after in ALLOWED if after == status}
    assert len(set(predecessors(status))) == len(predecessors(status))


def test_statuses_are_spelt_as_the_sdk_spells_them() -> None:
    assert set(RunStatus) == set(get_args(sdk.RunStatus))
    assert set(ThreadStatus) == set(get_args(sdk.ThreadStatus))
