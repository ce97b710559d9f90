"""Tries every order of events of a scenario, and holds each state and each move against the invariants."""

from collections import deque
from dataclasses import dataclass

from tests.faults.model.protocol import (
    FINAL,
    GONE,
    NEW,
    NOBODY,
    PENDING,
    REFUSED,
    RUNNING,
    STEPS,
    SUCCESS,
    WATCHDOG,
    Scenario,
    State,
    effective,
)


@dataclass(frozen=True)
class Result:
    """What a search came to."""

    states: int
    moves: int
    violation: str | None = None
    """The name of the first invariant that does not hold, and why."""
    path: tuple[State, ...] = ()
    """How it came to that."""


def search(scenario: Scenario, *, ignoring: tuple[str, ...] = ()) -> Result:
    """Every reachable state once, breadth first, until an invariant does not hold that is not to be ignored."""
    start = scenario.start()
    known: dict[State, State | None] = {start: None}
    fair_before: dict[State, list[State]] = {}
    todo = deque([start])
    moves = 0
    while todo:
        state = todo.popleft()
        for fair, after in scenario.moves(state):
            moves += 1
            broken = broken_by_move(state, after)
            if after not in known:
                known[after] = state
                todo.append(after)
                broken = broken or broken_in(after)
            if broken and not broken.startswith(ignoring):
                return Result(len(known), moves, broken, (*path_to(known, state), after))
            if fair:
                fair_before.setdefault(after, []).append(state)
    stuck = next(iter(stuck_states(known, fair_before)), None)
    if stuck is not None:
        return Result(len(known), moves, "stuck: no idle state can be reached any more", path_to(known, stuck))
    return Result(len(known), moves)


def stuck_states(known: dict[State, State | None], fair_before: dict[State, list[State]]) -> list[State]:
    """The states from which messages and processes alone, without another fault or client, lead to no idle state."""
    good = {state for state in known if is_idle(state)}
    todo = deque(good)
    while todo:
        for before in fair_before.get(todo.popleft(), ()):
            if before not in good:
                good.add(before)
                todo.append(before)
    return [state for state in known if state not in good]


def is_idle(state: State) -> bool:
    """Whether no thread is busy and every accepted run has ended."""
    thread = state.thread
    ended = all(run.status in FINAL or run.status == NEW for run in state.runs)
    return ended and thread.active == NOBODY and not thread.queue and not thread.held


def path_to(known: dict[State, State | None], state: State) -> tuple[State, ...]:
    """The states on a shortest way to a state."""
    path: list[State] = []
    at: State | None = state
    while at is not None:
        path.append(at)
        at = known[at]
    return tuple(reversed(path))


def broken_in(state: State) -> str | None:
    """The invariant that a state breaks."""
    return one_history(state) or found_again(state) or run_and_thread(state) or in_order(state)


def one_history(state: State) -> str | None:
    """I1, I5: epochs in the log never fall, and the steps of each run stand together, each once, in order."""
    epochs = [record.epoch for record in state.log]
    if epochs != sorted(epochs):
        return "I1: a superseded driver has written after its successor"
    history = effective(state.log)
    turns: list[int] = []
    steps: dict[int, list[int]] = {}
    for record in history:
        if turns[-1:] != [record.run]:
            turns.append(record.run)
        steps.setdefault(record.run, []).append(record.number)
    if len(turns) != len(set(turns)):
        return "I1: the steps of two runs are mixed"
    for index, run in enumerate(state.runs):
        own = steps.get(index, [])
        if own != list(range(len(own))):
            return f"I1: run {index} has the steps {own}"
        if run.status == SUCCESS and len(own) != STEPS:
            return f"I3: run {index} is a success with the steps {own}"
        if run.status in (GONE, REFUSED) and own:
            return f"I5: run {index} is gone and has the steps {own}"
    return None


def found_again(state: State) -> str | None:
    """I2: the watchdog of each accepted run that has not ended is under way, or in the hands of a process."""
    for index, run in enumerate(state.runs):
        if run.status not in (PENDING, RUNNING) or index in state.messages:
            continue
        if not any(process.run == index and process.message == WATCHDOG for process in state.processes):
            return f"I2: nobody will look at run {index} again"
    return None


def run_and_thread(state: State) -> str | None:
    """I3: run and thread have changed together."""
    thread = state.thread
    for index, run in enumerate(state.runs):
        if (run.status == RUNNING) != (thread.active == index):
            return f"I3: run {index} has status {run.status}, and the thread's active run is {thread.active}"
        if (run.status == PENDING) != (index in thread.queue):
            return f"I3: run {index} has status {run.status}, and the queue is {thread.queue}"
    if thread.held and thread.active == NOBODY:
        return "I3: the thread is held for no run"
    return None


def in_order(state: State) -> str | None:
    """I4: runs start in order of arrival, each once."""
    ranks = [state.arrived.index(index) for index in state.started]
    if ranks != sorted(set(ranks)):
        return f"I4: arrived {state.arrived}, started {state.started}"
    return None


def broken_by_move(before: State, after: State) -> str | None:
    """The invariant that a move breaks."""
    for index, (run, then) in enumerate(zip(before.runs, after.runs, strict=True)):
        if run.status in FINAL and then != run:
            return f"I3: the end of run {index} was not final: {run} became {then}"
    if len(after.log) > len(before.log) and before.runs[after.log[-1].run].status in FINAL:
        return f"I1: {after.log[-1]} was written after its run had ended"
    return None
