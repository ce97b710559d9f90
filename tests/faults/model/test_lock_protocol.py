"""The model of the lock protocol keeps the invariants in every order of events, and planted bugs are found."""

from dataclasses import replace

import pytest

from tests.faults.model.protocol import INTERRUPT, REJECT, ROLLBACK, Bugs, Request, Scenario
from tests.faults.model.search import search

pytestmark = pytest.mark.slow  # minutes, on a machine that is short of CPU

INLINE, BACKGROUND = Request(inline=True), Request()
INTERRUPTS, ROLLS_BACK = Request(INTERRUPT, inline=True), Request(ROLLBACK, inline=True)

SCENARIOS = [
    Scenario("one wait", (INLINE,), crashes=2, mistakes=1),
    Scenario("one background run, handed on", (BACKGROUND,), handoffs=1),
    Scenario("one background run, three processes", (BACKGROUND,), processes=3),
    Scenario("enqueue and a zombie", (INLINE, BACKGROUND), crashes=0),
    Scenario("enqueue and a crash", (INLINE, BACKGROUND), mistakes=0),
    Scenario("reject", (BACKGROUND, Request(REJECT)), mistakes=0),
    Scenario("interrupt and a zombie", (INLINE, INTERRUPTS), crashes=0),
    Scenario("interrupt and a crash", (INLINE, INTERRUPTS), mistakes=0),
    Scenario("rollback and a zombie", (BACKGROUND, ROLLS_BACK), crashes=0),
    Scenario("rollback and a crash", (INLINE, ROLLS_BACK), mistakes=0),
    Scenario("cancel twice", (INLINE,), cancels=((0, INTERRUPT), (0, ROLLBACK)), mistakes=0),
    Scenario("enqueue, then interrupt", (INLINE, BACKGROUND, INTERRUPTS), crashes=0, mistakes=0),
]

DEEPER = [
    Scenario("enqueue, a crash and a zombie", (INLINE, BACKGROUND)),
    Scenario("interrupt, a crash and a zombie", (INLINE, INTERRUPTS)),
    Scenario("rollback, a crash and a zombie", (BACKGROUND, ROLLS_BACK)),
    Scenario("cancel of a run that waits", (INLINE, BACKGROUND), cancels=((1, ROLLBACK),), mistakes=0),
    Scenario("cancel twice, a crash and a zombie", (INLINE,), cancels=((0, INTERRUPT), (0, ROLLBACK))),
    Scenario("enqueue, then interrupt, and a zombie", (INLINE, BACKGROUND, INTERRUPTS), crashes=0),
]

ALL = [*SCENARIOS, *(pytest.param(scenario, marks=pytest.mark.slow) for scenario in DEEPER)]


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_no_order_of_events_breaks_an_invariant(scenario: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    result = search(scenario)
    with capsys.disabled():
        print(f"\n{scenario.name}: {result.states} states, {result.moves} moves", end=" ")
    assert result.violation is None, "\n".join(str(state) for state in result.path)
    assert result.states > 100


PLANTED = [
    ("settle_without_epoch", Scenario("", (INLINE,), cancels=((0, ROLLBACK),)), ("I1", "I3", "I5")),
    ("no_fence", Scenario("", (INLINE, INTERRUPTS), crashes=0), ("I1",)),
    ("no_watchdog", Scenario("", (INLINE, BACKGROUND), mistakes=0), ("I2",)),
    ("stale_run", Scenario("", (BACKGROUND,), crashes=1), ("I1",)),
    ("missing_is_done", Scenario("", (INLINE,)), ("I2",)),
    ("watchdog_ends", Scenario("", (BACKGROUND,), mistakes=0), ("I2",)),
]


@pytest.mark.parametrize(("bug", "scenario", "breaks"), PLANTED, ids=[bug for bug, _, _ in PLANTED])
def test_planted_bug_is_found(
    bug: str, scenario: Scenario, breaks: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(scenario).violation is None
    result = search(replace(scenario, bugs=Bugs(**{bug: True})))
    with capsys.disabled():
        print(f"\n{bug}: after {result.states} states, in {len(result.path) - 1} moves: {result.violation}", end=" ")
    assert result.violation is not None
    assert result.violation.startswith(breaks)


def test_thread_that_nobody_is_told_of_is_found_to_be_stuck() -> None:
    bugs = Bugs(no_watchdog=True)
    result = search(Scenario("lost wake", (INLINE, BACKGROUND), mistakes=0, bugs=bugs), ignoring=("I2",))
    assert result.violation is not None
    assert result.violation.startswith("stuck")
