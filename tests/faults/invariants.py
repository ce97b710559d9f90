"""What must hold after each write, and what must hold when a world has come to rest: I1 to I7, and I9.

| checked after each write                                                              | invariant  |
|---------------------------------------------------------------------------------------|------------|
| a run's status moves as the table of moves allows, and a terminal one is final          | I3         |
| the active run is `running`, queued runs are `pending`, and no other run is either       | I2, I3, I4 |
| a run ends as `success` only when its last checkpoint is the newest one in the log       | I3         |
| the thread's epoch never falls; no record is appended below the epoch of one before it   | I1         |
| only the process that took a lease renews it, lets go of it, or ends its run              | I1         |

| checked at rest                                                                       | invariant  |
|---------------------------------------------------------------------------------------|------------|
| no run holds the thread or waits for it; every run has ended                            | I2         |
| an accepted run is there, unless someone asked for it to be undone or deleted           | I2, I7     |
| the entries are whole blocks, one a run, in order of acceptance, each entry once          | I1, I4, I6 |
| a success has all its entries, a stopped run a beginning of them, an undone run none    | I3, I5     |
| a rejected run was never stored                                                         | I5         |
| the history is one chain, each of its states the one before it and no more than one entry | I1, I9     |
| clients hold answers that the table bears out, or an error that a client may see          | I3, I7     |
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from handler.domain.models import Run, Thread
from handler.domain.status import RUN_MOVES, TERMINAL, RunStatus
from handler.errors import Conflict, RunNotFound, StorageUnavailable, ThreadBusy
from handler.runs.driver import Ended
from handler.runs.outcome import INTERRUPT
from handler.runs.states import checkpoint_config
from handler.storage import checkpoint_statements, keys
from handler.storage.checkpointer.records import id_attribute, records_in
from handler.storage.items import run_from_item, thread_from_item
from tests.faults.dictionary import Item
from tests.faults.world import TENANT, Asked, Process, World

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig


class Violated(AssertionError):
    """An invariant does not hold."""


def require(holds: bool, invariant: str, what: str) -> None:
    """Raise Violated unless it holds."""
    if not holds:
        raise Violated(f"{invariant}: {what}")


@dataclass(frozen=True)
class Stored:
    """What the table holds of the scenario's thread."""

    thread: Thread | None
    runs: dict[str, Run]
    records: list[Item]
    """The root log's records and marks, oldest first."""


def stored(world: World) -> Stored:
    """Read the table from outside, without a call that counts."""
    thread: Thread | None = None
    runs: dict[str, Run] = {}
    records: list[Item] = []
    root = keys.log_prefix("")
    for item in world.table.items(keys.thread_pk(TENANT, world.thread_id)):
        sk = item[keys.SK]["S"]
        if sk == keys.THREAD_SK:
            thread = thread_from_item(TENANT, world.thread_id, item)
        elif sk.startswith(keys.RUN_PREFIX):
            bare = {name: value for name, value in item.items() if name != "kwargs"}
            run = run_from_item(TENANT, world.thread_id, bare, {})
            runs[run.run_id] = run
        elif sk.startswith(root) and "#" not in sk.removeprefix(root):
            records += [record for _, record in reversed(records_in(item))]
    return Stored(thread, runs, records)


def watch(world: World) -> None:
    """Check what must hold after each write. A violation is kept and raised at rest: a process might swallow it."""
    try:
        _watch(world)
    except Violated as violated:
        world.memory.setdefault("violated", violated)


def _watch(world: World) -> None:
    now = stored(world)
    before: Stored = world.memory.get("stored") or Stored(None, {}, [])
    world.memory["stored"] = now
    if now.thread is not None:
        _watch_thread(now.thread, now.runs)
        _watch_lease(world, before, now)
    for run_id, run in now.runs.items():
        old = before.runs.get(run_id)
        if old is None:
            world.memory.setdefault("order", []).append(run_id)
        elif old.status is not run.status:
            require(run.status in RUN_MOVES[old.status], "I3", f"a run moved from {old.status} to {run.status}")
            if run.status is RunStatus.SUCCESS:
                _watch_success(run, now.records)
    for run_id, run in before.runs.items():
        if run_id not in now.runs:
            world.memory.setdefault("gone", {})[run_id] = run
    for lower, upper in pairwise(now.records):
        require(epoch_of(lower) <= epoch_of(upper), "I1", f"{upper[keys.SK]['S']} is of a superseded driver")


def _watch_lease(world: World, before: Stored, now: Stored) -> None:
    old = before.thread.lease if before.thread is not None else None
    new = now.thread.lease if now.thread is not None else None
    holders: dict[str, Process | None] = world.memory.setdefault("holders", {})
    if before.thread is not None and now.thread is not None:
        require(now.thread.epoch >= before.thread.epoch, "I1", "the thread's epoch fell")
    if new is not None and new.owner not in holders:
        require(old is None or new.epoch > old.epoch, "I1", "a lease was taken over without a higher epoch")
        holders[new.owner] = world.actor
        world.taken_over()
    elif old is not None and new != old:
        require(holders[old.owner] is world.actor, "I1", "a superseded driver has let go of another's lease")
    ended = [
        run_id for run_id, run in now.runs.items() if run.ended and before.runs.get(run_id, run).status != run.status
    ]
    drove = [run_id for run_id in ended if before.runs[run_id].status is RunStatus.RUNNING]
    if drove:
        holds = old is not None and holders[old.owner] is world.actor
        require(holds, "I1", f"{drove} was ended by who did not hold the thread")


def _watch_thread(thread: Thread, runs: dict[str, Run]) -> None:
    waiting = [run.run_id for run in runs.values() if run.status is RunStatus.PENDING]
    require(sorted(thread.queue) == sorted(waiting), "I4", f"{thread.queue} wait, {waiting} are pending")
    holding = [run.run_id for run in runs.values() if run.status is RunStatus.RUNNING]
    active = [thread.active_run] if thread.active_run else []
    require(holding == active, "I3", f"{active} holds the thread, {holding} are running")
    require(thread.lease is None or bool(active), "I2", "a lease without a run")


def _watch_success(run: Run, records: list[Item]) -> None:
    last = next((record for record in reversed(records) if checkpoint_statements.KIND not in record), None)
    found = last is not None and last[checkpoint_statements.ID] == id_attribute(run.checkpoint_id or "")
    require(found, "I3", f"{run.run_id} ended as a success, and its checkpoint is not the newest")


def epoch_of(record: Item) -> int:
    """The lease's epoch under which a record was written; no epoch is below that of a tombstone."""
    return int(record[checkpoint_statements.EPOCH]["N"])


async def check_rest(world: World, reader: Process) -> None:
    """Check what must hold when nothing happens any more."""
    if violated := world.memory.get("violated"):
        raise violated
    now = stored(world)
    _check_errors(world)
    if now.thread is None:
        require(not now.runs, "I2", "runs without a thread")
        require(not any(asked.accepted for asked in world.asked), "I2", "accepted runs without a thread")
        return
    require(not now.thread.busy, "I2", f"the thread is busy: {now.thread.active_run}, {now.thread.queue}")
    for run in now.runs.values():
        require(run.status in TERMINAL, "I2", f"{run.run_id} is {run.status}")
    entries, history = await read_history(reader, world.thread_id)
    for asked in world.asked:
        await _check_run(world, reader, asked, now, entries)
    _check_blocks(world, entries)
    _check_history(history, entries)


async def read_history(reader: Process, thread_id: str) -> tuple[list[str], list[Any]]:
    """The thread's entries, and its states, newest first."""
    graphs, savers = reader.services.graphs, reader.services.states.savers
    config: RunnableConfig = checkpoint_config(thread_id, None)
    async with graphs.open("log", {}, checkpointer=savers(TENANT)) as graph:
        history = [snapshot async for snapshot in graph.aget_state_history(config)]
        latest = await graph.aget_state(config)
    require(not history or history[0].config == latest.config, "I9", "the latest state is not the newest one")
    return list(latest.values.get("entries", [])), history


def own(entries: list[str], name: str) -> list[str]:
    """The entries of one run."""
    return [entry for entry in entries if entry.rpartition("-")[0] == name]


async def _check_run(world: World, reader: Process, asked: Asked, now: Stored, entries: list[str]) -> None:
    run_id = asked.run.run_id
    run = now.runs.get(run_id)
    whole = [f"{asked.name}-{number}" for number in range(asked.n)]
    mine = own(entries, asked.name)
    ever = run_id in world.memory.get("order", [])
    undoing = (asked.stopped_by | strategies(world)) & {"rollback", "delete"}
    if isinstance(asked.error, ThreadBusy):
        require(not ever, "I5", f"{asked.name} was rejected and stored")
    if asked.accepted:
        require(ever, "I2", f"{asked.name} was accepted and never stored")
    if run is None:
        require(not ever or bool(undoing), "I2", f"{asked.name} is gone, and nobody asked for that")
        deleted = "delete" in asked.stopped_by
        require(mine == (whole[: len(mine)] if deleted else []), "I5", f"{asked.name} was undone and left {mine}")
    elif run.status is RunStatus.SUCCESS:
        require(asked.name not in world.failing, "I2", f"{asked.name} cannot have succeeded")
        require(mine == whole, "I1", f"{asked.name} succeeded with {mine} of {whole}; all: {entries}")
        async with reader.services.graphs.open("log", {}, checkpointer=reader.services.states.savers(TENANT)) as graph:
            state = await graph.aget_state(checkpoint_config(world.thread_id, run.checkpoint_id))
        require(own(state.values["entries"], asked.name) == whole, "I3", f"{asked.name}'s checkpoint lacks entries")
    else:
        require(mine == whole[: len(mine)], "I5", f"{asked.name} is {run.status} with {mine}")
        if run.status is RunStatus.INTERRUPTED:
            stopped = asked.stopped_by or {"interrupt", "rollback"} & strategies(world)
            require(bool(stopped), "I2", f"{asked.name} is interrupted, and nobody asked for that")
        else:
            expected = world.failing.get(asked.name)
            require(run.status is expected, "I2", f"{asked.name} ended as {run.status}: {run.error}")
    if isinstance(asked.answer, Ended):
        _check_answer(asked, asked.answer, run, whole)


def strategies(world: World) -> set[str]:
    """The strategies of all runs."""
    return {asked.strategy for asked in world.asked}


def _check_answer(asked: Asked, answer: Ended, run: Run | None, whole: list[str]) -> None:
    kept = run.status if run is not None else RunStatus.INTERRUPTED
    told = answer.run.status
    require(told is kept, "I3", f"the waiter of {asked.name} was told {told}, and it is {kept}")
    if told is RunStatus.SUCCESS:
        if INTERRUPT in answer.body and "entries" not in answer.body:
            return  # who comes after the end is told the questions alone
        entries = answer.body["entries"]
        require(entries[len(entries) - len(whole) :] == whole, "I9", f"the waiter of {asked.name} was told {entries}")


def _check_blocks(world: World, entries: list[str]) -> None:
    names = [entry.rpartition("-")[0] for entry in entries]
    blocks = [name for place, name in enumerate(names) if place == 0 or names[place - 1] != name]
    by_id = {asked.run.run_id: asked.name for asked in world.asked}
    order = [by_id[run_id] for run_id in world.memory.get("order", [])]
    expected = [name for name in order if name in blocks]
    require(blocks == expected, "I4", f"the blocks {blocks} are not in order of acceptance {order}")
    require(len(set(entries)) == len(entries), "I1", f"an entry is there twice: {entries}")


def _check_history(history: list[Any], entries: list[str]) -> None:
    newer_entries, expected = entries, history[0].config["configurable"]["checkpoint_id"] if history else None
    for snapshot in history:
        found = snapshot.config["configurable"]["checkpoint_id"]
        require(found == expected, "I1", f"the history is not one chain at {found}")
        here = list(snapshot.values.get("entries", []))
        require(here == newer_entries[: len(here)], "I9", f"{here} came before {newer_entries}")
        require(len(newer_entries) - len(here) <= 1, "I1", f"{newer_entries} came after {here} in one super-step")
        newer_entries = here
        expected = snapshot.parent_config["configurable"]["checkpoint_id"] if snapshot.parent_config else None
    require(expected is None, "I1", f"the history begins after {expected}")


def _check_errors(world: World) -> None:
    for process, error in world.errors:
        if isinstance(error, ThreadBusy | Conflict):
            continue
        if isinstance(error, RunNotFound) and any(asked.stopped_by for asked in world.asked):
            continue
        allowed = isinstance(error, StorageUnavailable) and process.touched
        require(allowed, "I7", f"{process.name} was told {type(error).__name__}: {error}")
