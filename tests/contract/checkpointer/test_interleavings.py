"""Two writers on one thread, each of every pair of calls, cut at every request by every fault: one history remains."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from langgraph.checkpoint.base import CheckpointTuple, create_checkpoint, empty_checkpoint

from handler.errors import LeaseLost, StorageUnavailable
from handler.storage.checkpointer import DynamoDBSaver
from handler.storage.checkpointer.records import records_in
from handler.storage.keys import slot_of, thread_pk
from handler.storage.table import Table
from tests.contract.checkpointer.conftest import NewTable
from tests.contract.checkpointer.faults import Fault, FaultyClient
from tests.contract.checkpointer.twin import thread_config

THREAD = "thread"
COPY = "thread-copy"


@dataclass
class Writer:
    """A driver with its epoch: goes on from the latest state and remembers what it was told."""

    name: str
    saver: DynamoDBSaver
    acknowledged: list[str] = field(default_factory=list)
    """Ids of the checkpoints whose put was confirmed, in order."""
    wrote: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The channels of the pending writes that were confirmed, by checkpoint."""
    told: BaseException | None = None
    """What ended the last call, if not success."""
    latest: CheckpointTuple | None = None
    number: int = 0
    last_put: tuple[Any, ...] | None = None

    def load(self) -> None:
        self.latest = self.saver.get_tuple(thread_config(THREAD))

    def put(self, run_id: str = "") -> None:
        """Append a super-step: the list channel gets this checkpoint's id appended."""
        self.prepare(run_id)
        self.again()

    def put_three(self) -> None:
        """Append three super-steps that share an item."""
        self.put_together(3)

    def put_together(self, count: int, run_id: str = "") -> None:
        """Append super-steps that share an item; they count once it is durable."""
        self.saver.later = True
        made = []
        try:
            for _ in range(count):
                self.prepare(run_id)
                assert self.last_put
                config = self.saver.put(*self.last_put)
                self.latest = CheckpointTuple(config, self.last_put[1], self.last_put[2], self.last_put[0], [])
                made.append(self.last_put[1]["id"])
            self.saver.flush()
        finally:
            self.saver.later = False
        self.acknowledged += made

    def prepare(self, run_id: str) -> None:
        before = self.latest
        self.number += 1
        checkpoint = create_checkpoint(before.checkpoint if before else empty_checkpoint(), None, self.number)
        version = self.saver.get_next_version(checkpoint["channel_versions"].get("log"), None)  # type: ignore[arg-type]
        old = before.checkpoint["channel_values"].get("log", []) if before else []
        checkpoint["channel_values"] = {"log": [*old, checkpoint["id"]]}
        checkpoint["channel_versions"] = {"log": version}
        metadata = {"source": "loop", "step": self.number, "parents": {}, "run_id": run_id or f"run-of-{self.name}"}
        config = before.config if before else thread_config(THREAD)
        self.last_put = (config, checkpoint, metadata, {"log": version})

    def again(self) -> None:
        """Put the last checkpoint, for the first time or once more."""
        assert self.last_put
        config = self.saver.put(*self.last_put)
        self.saver.flush()
        checkpoint = self.last_put[1]
        if checkpoint["id"] not in self.acknowledged:
            self.acknowledged.append(checkpoint["id"])
        self.latest = CheckpointTuple(config, checkpoint, self.last_put[2], self.last_put[0], [])

    def write(self) -> None:
        """Store pending writes of the latest checkpoint, and wait until they are durable."""
        if self.latest is None:
            return
        channels = (f"by-{self.name}", "shared")
        writes = [(channel, self.name) for channel in channels]
        self.saver.put_writes(self.latest.config, writes, f"task-{self.name}", f"path-{self.name}")
        self.saver.flush()
        self.wrote[self.latest.checkpoint["id"]] = channels

    def write_and_put(self) -> None:
        """Pending writes, and at once the super-step that they lead to."""
        if self.latest is not None:
            self.saver.put_writes(self.latest.config, [("shared", self.name)], f"task-{self.name}", "path")
        self.put()

    def fence(self) -> None:
        self.saver.fence(THREAD)

    def delete(self) -> None:
        self.saver.delete_thread(THREAD)
        self.latest = None

    def roll_back(self) -> None:
        self.saver.rollback(THREAD, run_id="run-2")
        self.load()

    def delete_run(self) -> None:
        self.saver.delete_for_runs(["run-1"])

    def prune(self) -> None:
        self.saver.prune([THREAD], strategy="keep_latest")

    def copy(self) -> None:
        self.saver.copy_thread(THREAD, COPY)

    def read(self) -> None:
        found = self.saver.get_tuple(thread_config(THREAD))
        check_value(found)
        check_chain([*self.saver.list(thread_config(THREAD))])

    def attempt(self, call: Callable[["Writer"], None]) -> bool:
        """Make a call; whether it was confirmed."""
        try:
            call(self)
        except (LeaseLost, StorageUnavailable) as error:
            self.told = error
            return False
        self.told = None
        return True


CALLS: dict[str, Callable[[Writer], None]] = {
    "put": Writer.put,
    "put_three": Writer.put_three,
    "write": Writer.write,
    "write_and_put": Writer.write_and_put,
    "fence": Writer.fence,
    "delete": Writer.delete,
    "roll_back": Writer.roll_back,
    "delete_run": Writer.delete_run,
    "prune": Writer.prune,
    "copy": Writer.copy,
    "read": Writer.read,
}
REMOVING = {"delete", "roll_back", "delete_run", "prune"}
"""Calls after which acknowledged checkpoints may be gone."""
REWRITING = {"roll_back", "delete_run", "prune", "copy"}
"""Calls that find super-steps which share an item."""


@dataclass
class Story:
    """One interleaving: the first writer's call is cut by the second's takeover and call."""

    table: Table
    thread_keys: str
    first_call: str
    second_call: str | None
    fault: Fault
    at: int
    shared: bool
    """Whether the super-steps before it share items."""

    def tell(self) -> bool:
        """Play it and check it; whether the call has a request number `at`."""
        self.client = FaultyClient(self.table.client, self.fault, self.at, self.take_over)
        faulty = Table(self.client, self.table.name)  # type: ignore[arg-type]
        self.first = Writer("first", self.first_saver(faulty))
        self.second = Writer("second", DynamoDBSaver(self.table, tenant=self.thread_keys, epoch=2, scans=True))
        self.taken_over = self.second_confirmed = False
        self.first.load()
        if self.shared:
            self.first.put_together(2, "run-1")
        else:
            self.first.put("run-1")
            self.first.put("run-1")
        self.first.put("run-2")
        self.before = list(self.first.acknowledged)
        self.client.armed = True
        self.first_confirmed = self.first.attempt(CALLS[self.first_call])
        first_told = self.first.told
        self.client.settle()
        self.client.armed = False
        if not self.client.happened:
            return False
        self.check(first_told)
        return True

    def first_saver(self, faulty: Table) -> DynamoDBSaver:
        return DynamoDBSaver(faulty, tenant=self.thread_keys, epoch=1, scans=True)

    def take_over(self) -> None:
        """What a second driver does: fence, load, call, go on."""
        if self.second_call is None or self.taken_over:
            return
        self.taken_over = True
        self.second.fence()
        self.second.load()
        check_value(self.second.latest)
        self.second_confirmed = self.second.attempt(CALLS[self.second_call])

    def check(self, first_told: BaseException | None) -> None:
        if self.taken_over:
            assert self.second_confirmed, f"the rightful writer was refused: {self.second.told}"
            refused = not self.first.attempt(Writer.put)
            assert refused, "the superseded writer put a super-step"
            broken = self.first_call == "put_three" and isinstance(first_told, StorageUnavailable)
            told = self.first.told
            assert told is first_told if broken else isinstance(told, LeaseLost), f"the superseded was told {told!r}"
            assert self.second.attempt(Writer.put), f"the rightful writer was refused: {self.second.told}"
        else:
            self.check_alone(first_told)
        self.check_history()

    def check_alone(self, first_told: BaseException | None) -> None:
        """Nobody has taken over: no fault may look like one, and the writer can go on."""
        assert not isinstance(first_told, LeaseLost), "a writer was refused by itself"
        if not self.first_confirmed and self.first_call == "put_three":
            # Super-steps that were promised are lost: their saver is of no use any more, the next driver has its own.
            self.first.saver = self.first_saver(self.table)
        if not self.first_confirmed and self.first_call in ("put", "write_and_put"):
            self.first.load()
            assert self.first.attempt(Writer.again), f"the same put again failed: {self.first.told!r}"
        self.first.load()
        assert self.first.attempt(Writer.put), f"the next put failed: {self.first.told!r}"

    def check_history(self) -> None:
        cold = DynamoDBSaver(self.table, tenant=self.thread_keys)
        history = [*cold.list(thread_config(THREAD))]
        check_chain(history)
        latest = cold.get_tuple(thread_config(THREAD))
        check_value(latest)
        assert latest is not None
        assert latest.checkpoint["id"] == history[0].checkpoint["id"]
        self.check_slots()
        there = [found.checkpoint["id"] for found in history]
        acknowledged = [*self.first.acknowledged, *self.second.acknowledged]
        assert there[0] == acknowledged[-1], "the latest state is older than what was acknowledged"
        tried = {self.first_call, self.second_call if self.taken_over else None}
        if not tried & REMOVING:
            assert [name for name in reversed(there) if name in acknowledged] == acknowledged
        self.check_removals(set(there))
        self.check_writes(history)
        copied = [*cold.list(thread_config(COPY))]
        check_chain(copied)

    def check_removals(self, there: set[str]) -> None:
        """What was confirmed as removed is gone, what nobody removed is there."""
        done = [self.first_call] * self.first_confirmed + [self.second_call or ""] * self.second_confirmed
        one, two, three = self.before
        gone = {
            "delete": {one, two, three},
            "roll_back": {three},
            "delete_run": {one, two},
            # a rollback that came first makes the second checkpoint the latest
            "prune": {one} if "roll_back" in {self.first_call, self.second_call} else {one, two},
        }
        for call in done:
            assert not gone.get(call, set()) & there, f"{call} was confirmed"
        tried = {self.first_call, self.second_call}
        for name, removed_by in ((one, REMOVING - {"roll_back"}), (three, REMOVING - {"delete_run"})):
            assert name in there or tried & removed_by

    def check_writes(self, history: list[CheckpointTuple]) -> None:
        """A task's writes are there once and whole, and those that were confirmed are there.

        Writes that a superseded writer put after the fence count for nothing: it is told at its next super-step.
        """
        for found in history:
            checkpoint_id = found.checkpoint["id"]
            keys = [(task, channel) for task, channel, _ in found.pending_writes or ()]
            assert len(keys) == len(set(keys)), "a write is there twice"
            for writer in (self.first, self.second):
                names = {channel for task, channel in keys if task == f"task-{writer.name}"}
                confirmed = set(writer.wrote.get(checkpoint_id, ()))
                if writer is self.first and self.taken_over:
                    assert not names or not confirmed or names == confirmed, "half of a task's writes are there"
                else:
                    assert names >= confirmed, "confirmed writes are gone"

    def check_slots(self) -> None:
        """Sequence numbers are dense from the first that is left."""
        pk = thread_pk(self.thread_keys, THREAD)
        request = {
            "KeyConditionExpression": "#pk = :pk AND begins_with(#sk, :sk)",
            "ExpressionAttributeNames": {"#pk": "PK", "#sk": "SK"},
            "ExpressionAttributeValues": {":pk": {"S": pk}, ":sk": {"S": "C##"}},
        }
        taken = [item for item in self.table.query(request) if not slot_of(item["SK"]["S"])[1]]
        numbers = sorted(number for item in taken for number, _ in records_in(item))
        assert len(set(numbers)) == len(numbers)
        if "prune" not in {self.first_call, self.second_call} and "delete_run" not in {
            self.first_call,
            self.second_call,
        }:
            assert numbers == list(range(numbers[0], numbers[-1] + 1)), "the sequence has a hole"


def check_value(found: CheckpointTuple | None) -> None:
    """A checkpoint's value says its own id last: the chain of differences was read whole."""
    if found is not None:
        assert found.checkpoint["channel_values"]["log"][-1] == found.checkpoint["id"]


def check_chain(history: list[CheckpointTuple]) -> None:
    """Newest first: each checkpoint is there once and builds on the one listed after it."""
    ids = [found.checkpoint["id"] for found in history]
    assert len(ids) == len(set(ids)), "a checkpoint is there twice"
    assert ids == sorted(ids, reverse=True), "the order of ids is not the order of the log"
    for newer, older in itertools.pairwise(history):
        log = newer.checkpoint["channel_values"]["log"]
        assert newer.parent_config, "a second history begins in the middle"
        assert newer.parent_config["configurable"]["checkpoint_id"] == older.checkpoint["id"], "the history forks"
        assert log[:-1] == older.checkpoint["channel_values"]["log"], "a super-step lost what came before"
    for found in history:
        check_value(found)


numbering = itertools.count(1)


def stories(table: Table, first: str, second: str | None, fault: Fault, *, shared: bool = False) -> Iterator[int]:
    """Tell a story for each request of the first writer's call, each in a tenant of its own; yields their numbers."""
    for at in itertools.count(1):
        story = Story(table, f"tenant-{next(numbering)}", first, second, fault, at, shared)
        try:
            happened = story.tell()
        except AssertionError as error:
            requests = story.client.seen
            error.add_note(
                f"{first} of the first writer, {fault} at request {at} of {requests}, {second} of the second"
            )
            raise
        if not happened:
            return
        yield at


PAIRS = [(first, second) for first in CALLS for second in CALLS]
COUNTED: dict[str, int] = {}


@pytest.mark.parametrize("first", CALLS)
def test_every_pair_of_calls_leaves_one_history(new_atomic_table: NewTable, first: str) -> None:
    table = new_atomic_table()
    told = sum(1 for second in CALLS for _ in stories(table, first, second, Fault.PAUSE))
    if first in REWRITING:
        told += sum(1 for second in CALLS for _ in stories(table, first, second, Fault.PAUSE, shared=True))
    COUNTED[f"pause/{first}"] = told
    assert told >= len(CALLS)


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.PAUSE])
@pytest.mark.parametrize("first", [call for call in CALLS if call != "read"])
def test_every_fault_at_every_request_leaves_one_history(new_atomic_table: NewTable, first: str, fault: Fault) -> None:
    table, shared = new_atomic_table(), first in REWRITING
    told = sum(1 for second in (None, "put", "delete") for _ in stories(table, first, second, fault, shared=shared))
    COUNTED[f"{fault}/{first}"] = told
    assert told >= 3


def test_interleavings_tried(capsys: pytest.CaptureFixture[str]) -> None:
    if len(COUNTED) < len(CALLS):
        pytest.skip("counts what the tests above have tried")
    with capsys.disabled():
        print(f"\n{sum(COUNTED.values())} interleavings tried: ", end="")
        for fault in Fault:
            print(f"{fault} {sum(n for name, n in COUNTED.items() if name.startswith(f'{fault}/'))} ", end="")
    assert sum(COUNTED.values()) > len(PAIRS)


class Unconditional:
    """A client that forgets the condition of every put: the bug that sequence CAS prevents."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        send = getattr(self.client, name)
        return partial(self._put, send) if name == "put_item" else send

    def _put(self, send: Callable[..., Any], **request: Any) -> Any:
        dropped = ("ConditionExpression", "ReturnValuesOnConditionCheckFailure")
        rest = {name: value for name, value in request.items() if name not in dropped}
        if "ConditionExpression" in request:
            words = request["ConditionExpression"]
            for field_name in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
                kept = {name: value for name, value in request.get(field_name, {}).items() if name not in words}
                rest.pop(field_name, None)
                if kept:
                    rest[field_name] = kept
        return send(**rest)


def test_a_saver_without_the_condition_would_be_caught(new_atomic_table: NewTable) -> None:
    table = new_atomic_table()
    careless = Table(Unconditional(table.client), table.name)  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        list(stories(careless, "put", "put", Fault.PAUSE))
