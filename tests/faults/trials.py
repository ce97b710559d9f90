"""Runs scenarios: undisturbed, with every fault at every call, and with several faults at once."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tests.faults.dictionary import READS, Dictionary
from tests.faults.invariants import check_rest, watch
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import Plan, World, faults_of

POLLS = 4
"""How many reads of one thing by one process are disturbed."""


@dataclass(frozen=True)
class Violation:
    """A trial that went wrong, with all that it takes to see it again."""

    scenario: str
    plan: Plan
    calls: str
    error: BaseException

    def __str__(self) -> str:
        faults = ", ".join(f"{number}: {fault}" for number, fault in self.plan.faults.items())
        return f"{self.scenario}, seed {self.plan.seed}, {{{faults}}} at {self.calls}: {self.error!r}"


@dataclass
class Tally:
    """What has been tried of a scenario."""

    calls: int = 0
    """Of the undisturbed scenario."""
    tried: int = 0
    violations: int = 0


TALLY: dict[str, Tally] = {}


@dataclass
class Trials:
    """The trials of one scenario, over tables of its own."""

    scenario: str
    new_table: Callable[[], Dictionary] = Dictionary
    found: list[Violation] = field(default_factory=list)

    def once(self, plan: Plan) -> tuple[World, BaseException | None]:
        """Run the scenario; the world at its end, and what went wrong."""
        world = World(plan, watch, self.new_table())

        async def run() -> None:
            await SCENARIOS[self.scenario](world)
            await world.rest()
            world.resting = True
            await check_rest(world, world.process("reader"))

        try:
            world.loop.run_until_complete(run())
        except Exception as error:
            return world, error
        else:
            return world, None
        finally:
            world.close()

    def undisturbed(self, seed: int = 0) -> World:
        """Run the scenario without a fault; it must hold all that it promises."""
        world, error = self.once(Plan(seed=seed))
        if error is not None:
            raise AssertionError(f"{self.scenario}, seed {seed}, undisturbed: {error!r}") from error
        return world

    def every_fault(self, seed: int = 0) -> Iterator[Plan]:
        """One plan for each fault at each call of the undisturbed scenario.

        Of a poll, which asks the same thing again and again, the first few.
        """
        asked: Counter[tuple[str, str, str]] = Counter()
        for number, call in enumerate(self.undisturbed(seed).trace):
            asked[call] += 1
            if call[1] in READS and asked[call] > POLLS:
                continue
            for fault in faults_of(call[1]):
                yield Plan({number: fault}, seed)

    def several_faults(self, count: int) -> Iterator[Plan]:
        """So many plans of two or three faults each, in worlds where others come first."""
        for seed in range(1, count + 1):
            dice = random.Random(f"{self.scenario} {seed}")
            trace = self.undisturbed(seed).trace
            numbers = sorted(dice.sample(range(len(trace) + 10), k=min(dice.choice((2, 2, 3)), len(trace))))
            operations = [trace[number][1] if number < len(trace) else "update_item" for number in numbers]
            yield Plan(
                {
                    number: dice.choice(faults_of(operation))
                    for number, operation in zip(numbers, operations, strict=True)
                },
                seed,
            )

    def attempt(self, plans: Iterable[Plan]) -> list[Violation]:
        """Try each plan, and keep count; the violations."""
        tally = TALLY.setdefault(self.scenario, Tally())
        for plan in plans:
            world, error = self.once(plan)
            tally.tried += 1
            if error is not None:
                tally.violations += 1
                calls = "; ".join(" ".join(world.trace[n]) for n in plan.faults if n < len(world.trace))
                self.found.append(Violation(self.scenario, plan, calls, error))
        return self.found
