"""I1 to I7 under faults: every kind of fault at every storage and queue call of every scenario.

The quick tests try every twelfth fault of a scenario, another twelfth in each; the slow ones try them all, and several
faults at once. A violation says how to see it again: `Trials(scenario).once(Plan({call: fault}, seed))`.
"""

from itertools import islice

import pytest

from tests.faults.scenarios import SCENARIOS
from tests.faults.trials import TALLY, Tally, Trials, Violation
from tests.faults.world import Fault, Plan

SAMPLED = 12

SCENARIO = pytest.mark.parametrize("scenario", SCENARIOS)


def report(found: list[Violation]) -> str:
    """The first few violations, one a line."""
    return "\n".join([f"{len(found)} violations", *map(str, found[:5])])


@SCENARIO
def test_scenario_keeps_its_promises_undisturbed_whoever_comes_first(scenario: str) -> None:
    trials = Trials(scenario)
    tally = TALLY.setdefault(scenario, Tally())
    tally.calls = len(trials.undisturbed().trace)
    assert tally.calls >= 8
    for seed in range(1, 4):
        trials.undisturbed(seed)


@SCENARIO
def test_one_fault_in_twelve_breaks_no_invariant(scenario: str) -> None:
    trials = Trials(scenario)
    first = list(SCENARIOS).index(scenario) % SAMPLED
    found = trials.attempt(islice(trials.every_fault(), first, None, SAMPLED))
    assert not found, report(found)


@pytest.mark.slow
@SCENARIO
def test_no_fault_at_any_call_breaks_an_invariant(scenario: str) -> None:
    trials = Trials(scenario)
    found = trials.attempt(trials.every_fault())
    assert not found, report(found)


@pytest.mark.slow
@SCENARIO
def test_several_faults_at_once_break_no_invariant(scenario: str) -> None:
    trials = Trials(scenario)
    found = trials.attempt(trials.several_faults(25))
    assert not found, report(found)


@pytest.mark.parametrize("scenario", ["plain_wait", "plain_background"])
def test_run_is_found_that_was_admitted_long_after_its_message_by_a_process_that_died(scenario: str) -> None:
    calls = [detail for _, _, detail in Trials(scenario).undisturbed().trace]
    message = calls.index(next(call for call in calls if call.startswith("delay ")))
    admission = calls.index(next(call for call in calls if call.startswith("THREAD + R#")))
    found = Trials(scenario).attempt([Plan({message: Fault.FROZEN_AFTER, admission: Fault.KILL_AFTER})])
    assert not found, report(found)


@pytest.mark.parametrize("scenario", ["hand_offs", "three_enqueued_in_the_background", "long_run", "join"])
def test_run_has_one_watchdog_at_a_time(scenario: str) -> None:
    for seed in range(3):
        world = Trials(scenario).undisturbed(seed)
        assert 0 < world.most_watchdogs <= 1


def test_same_plan_gives_the_same_run() -> None:
    plan = Plan(seed=7)
    traces = [
        [(process, operation) for process, operation, _ in Trials("six_at_once").once(plan)[0].trace] for _ in range(2)
    ]
    assert traces[0] == traces[1]
    assert traces[0] != [(process, operation) for process, operation, _ in Trials("six_at_once").undisturbed(8).trace]
