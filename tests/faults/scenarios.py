"""The scenarios: what clients do, and what befalls them before any fault is added."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from itertools import product

from handler.domain.models import CancelAction
from handler.domain.status import RunStatus
from handler.runs.admission import MultitaskStrategy
from handler.runs.driver import Limits
from tests.faults.world import Asked, Fault, Process, World

Scenario = Callable[[World], Awaitable[None]]

SCENARIOS: dict[str, Scenario] = {}


def scenario(work: Scenario) -> Scenario:
    """Add a scenario under its function's name."""
    SCENARIOS[work.__name__] = work
    return work


async def settled(world: World, name: str = "old", n: int = 1) -> Asked:
    """A thread with a run that has ended, undisturbed."""
    asked = world.run(name, n=n)
    await world.wait(world.process("before"), asked)
    return asked


@scenario
async def plain_wait(world: World) -> None:
    """One wait on a new thread."""
    world.wait(world.process("api"), world.run("a"))


@scenario
async def plain_background(world: World) -> None:
    """One background run."""
    world.background(world.process("api"), world.run("a"))


@scenario
async def two_turns_in_one_process(world: World) -> None:
    """A conversation whose second turn finds the first one in memory."""
    api = world.process("api")
    await world.wait(api, world.run("a", n=2))
    world.wait(api, world.run("b", n=2))


@scenario
async def three_turns_in_two_processes(world: World) -> None:
    """A conversation that changes processes, so that what one has in memory is no longer true."""
    one, other = world.process("one", 0.8), world.process("other", -0.8)
    await world.wait(one, world.run("a", n=1))
    await world.wait(other, world.run("b", n=1))
    world.wait(one, world.run("c", n=2))


def pair(first: str, second: str, *, together: bool, same_process: bool = False) -> Scenario:
    """Two waits on one thread."""

    async def two_waits(world: World) -> None:
        one = world.process("one", 0.5)
        other = one if same_process else world.process("other", -0.5)
        world.wait(one, world.run("a", first, n=2, seconds=0.02))
        await asyncio.sleep(0 if together else 0.04)
        world.wait(other, world.run("b", second, n=2, seconds=0.005))

    return two_waits


for _first, _second in product(MultitaskStrategy, MultitaskStrategy):
    SCENARIOS[f"two_waits_{_first}_{_second}_together"] = pair(_first, _second, together=True)
for _second in MultitaskStrategy:
    SCENARIOS[f"two_waits_{_second}_second"] = pair("enqueue", _second, together=False)
    SCENARIOS[f"two_waits_{_second}_in_one_process"] = pair("enqueue", _second, together=False, same_process=True)


@scenario
async def three_enqueued_in_the_background(world: World) -> None:
    """Background runs take turns in order of arrival."""
    api = world.process("api")
    for name in ("a", "b", "c"):
        await world.background(api, world.run(name, n=1, seconds=0.01))


@scenario
async def interrupt_sweeps_the_queue(world: World) -> None:
    """A run that interrupts ends the running one and all that wait."""
    world.wait(world.process("one"), world.run("a", seconds=0.02))
    await asyncio.sleep(0.02)
    world.background(world.process("two"), world.run("b", n=1))
    await asyncio.sleep(0.015)
    world.wait(world.process("three"), world.run("c", "interrupt", n=1))


@scenario
async def rollback_on_history(world: World) -> None:
    """A run that rolls back leaves the thread as before the run, and goes on from there."""
    await settled(world)
    world.wait(world.process("one"), world.run("a", seconds=0.01))
    await asyncio.sleep(0.03)
    world.wait(world.process("two"), world.run("b", "rollback", n=1))


def cancelled(action: CancelAction, after_s: float, *, same_process: bool = False) -> Scenario:
    """A run that is cancelled so many seconds after it was asked for."""

    async def cancel(world: World) -> None:
        await settled(world)
        one = world.process("one")
        asked = world.run("a", n=2, seconds=0.005)
        world.wait(one, asked)
        await asyncio.sleep(after_s)
        world.cancel(one if same_process else world.process("two"), asked, action)

    return cancel


for _action in CancelAction:
    SCENARIOS[f"cancel_{_action}_early"] = cancelled(_action, 0.015)
    SCENARIOS[f"cancel_{_action}_racing_finish"] = cancelled(_action, 0.032)
    SCENARIOS[f"cancel_{_action}_in_one_process"] = cancelled(_action, 0.02, same_process=True)


@scenario
async def cancel_a_queued_run(world: World) -> None:
    """A run is cancelled while it waits, or as it starts."""
    one = world.process("one")
    world.wait(one, world.run("a", n=2, seconds=0.01))
    await asyncio.sleep(0.01)
    asked = world.run("b", n=1)
    world.background(one, asked)
    await asyncio.sleep(0.025)
    world.cancel(world.process("two"), asked, CancelAction.INTERRUPT)


@scenario
async def hand_offs(world: World) -> None:
    """A run that lasts several invocations."""
    world.worker_limit_s = 0.5
    world.background(world.process("api"), world.run("a", n=4, seconds=0.19))


@scenario
async def hand_off_from_a_wait(world: World) -> None:
    """An inline run whose invocation ends before it does."""
    api = world.process("api")
    world.wait(api, world.run("a", n=3, seconds=0.2), limit_s=0.5)


@scenario
async def wait_is_handed_on(world: World) -> None:
    """An inline run whose second node is cut off by the end of the invocation, and is done by a worker."""
    world.wait(world.process("api"), world.run("a", n=2, seconds=0.4), limit_s=0.6)


@scenario
async def node_outlasts_its_driver(world: World) -> None:
    """One node needs more time than any driver has: the run ends as a timeout."""
    world.worker_limit_s = 0.5
    world.failing["a"] = RunStatus.TIMEOUT
    world.background(world.process("api"), world.run("a", n=2, seconds=3.0))


@scenario
async def long_run(world: World) -> None:
    """A run that outlasts its first lease, renewed by heartbeats; a second waits."""
    world.wait(world.process("one"), world.run("a", n=2, seconds=45.0), window_s=None)
    await asyncio.sleep(1)
    world.background(world.process("two"), world.run("b", n=1))


@scenario
async def crash(world: World) -> None:
    """A driver dies in the midst of a run; a worker goes on."""
    one = world.process("one")
    world.wait(one, world.run("a", seconds=0.01))
    await asyncio.sleep(0.03)
    one.kill()


@scenario
async def crash_with_another_waiting(world: World) -> None:
    """A driver dies in the midst of a run, and another run waits, inline."""
    one = world.process("one")
    world.wait(one, world.run("a", seconds=0.01))
    await asyncio.sleep(0.025)
    world.wait(world.process("two"), world.run("b", n=1), window_s=None)
    await asyncio.sleep(0.01)
    one.kill()


@scenario
async def duplicate_messages(world: World) -> None:
    """Each message is delivered three times, to different workers at once."""
    world.duplicates = 3
    api = world.process("api")
    world.background(api, world.run("a", n=2))
    world.background(api, world.run("b", n=1))


@scenario
async def zombie(world: World) -> None:
    """A driver stands still, is taken over, and goes on when all is over."""
    await settled(world)
    one = world.process("one")
    world.wait(one, world.run("a", seconds=0.01))
    await asyncio.sleep(0.03)
    one.frozen = True


@scenario
async def zombie_while_taken_over(world: World) -> None:
    """A driver that stood still goes on in the midst of its successor's work."""
    one = world.process("one")
    asked = world.run("a", n=4, seconds=2.0)
    world.wait(one, asked)
    await asyncio.sleep(3.0)
    one.frozen = True
    while all(not name.startswith("worker") or "C##" not in detail for name, _, detail in world.trace):
        await asyncio.sleep(0.05)
        if world.loop.time() > 2000:
            break
    one.thaw(world.loop)


@scenario
async def interrupted_zombie(world: World) -> None:
    """A driver stands still, its run is interrupted and another follows; then it goes on."""
    one = world.process("one")
    world.wait(one, world.run("a", seconds=0.01))
    await asyncio.sleep(0.03)
    one.frozen = True
    world.wait(world.process("two"), world.run("b", "interrupt", n=2))


@scenario
async def poison(world: World) -> None:
    """A run on which every driver dies is given up, and the thread is free for the next."""
    world.limits = Limits(max_attempts=3)
    world.failing["a"] = RunStatus.ERROR

    def befalls(process: Process, operation: str, detail: str) -> Fault | None:
        seen = world.memory.get("stored")
        run = seen.runs.get(asked.run.run_id) if seen is not None else None
        if run is None or run.status is not RunStatus.RUNNING or "fence" in detail:
            return None
        record = re.search(r"C##(\d+)", detail) if operation == "put_item" else None
        steps = record is not None and (run.attempt == 1 or int(record[1]) >= 3)
        ends = "#ended" in detail and run.attempt <= world.limits.max_attempts
        return Fault.KILL_BEFORE if steps or ends else None

    asked = world.run("a", n=2)
    world.befallen = befalls
    world.background(world.process("api"), asked)
    await asyncio.sleep(1)
    world.background(world.process("other"), world.run("b", n=1))


@scenario
async def join(world: World) -> None:
    """A second client joins a background run."""
    asked = world.run("a", n=2, seconds=0.01)
    await world.background(world.process("one"), asked)
    if asked.accepted:
        world.join(world.process("two"), asked)


@scenario
async def question_and_answer(world: World) -> None:
    """A run that stops for a human, and the run that resumes it by command."""
    one, two = world.process("one"), world.process("two")
    asked = world.run("a", n=1, input={"ask": "Sure?"})
    await world.wait(one, asked)
    if asked.accepted:
        world.wait(two, world.run("b", n=0, command={"resume": "yes"}))


@scenario
async def enqueue_racing_release(world: World) -> None:
    """A run takes its place in line at the moment when the thread is let go."""
    world.wait(world.process("one"), world.run("a", n=1))
    await asyncio.sleep(0.026)
    world.background(world.process("two"), world.run("b", n=1))
    world.wait(world.process("three"), world.run("c", n=1))


@scenario
async def six_at_once(world: World) -> None:
    """Several clients at once."""
    for number in range(6):
        world.wait(world.process(f"p{number}", 0.3 * number - 1), world.run(f"r{number}", n=1))
