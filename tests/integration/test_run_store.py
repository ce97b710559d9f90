"""Runs in DynamoDB: who may do what in which state of a thread, and that a refusal changes nothing."""

import base64
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handler.domain.lease import CLOCK_SKEW_MS, Lease
from handler.domain.models import CancelAction, Claim, IdempotencyKey, Outcome, Run, Thread, to_ms
from handler.domain.ports import Where
from handler.domain.status import RunStatus, ThreadStatus
from handler.errors import AlreadyAccepted, LeaseLost, PayloadTooLarge, ThreadNotFound
from handler.storage.run_arguments import INLINE_BYTES
from handler.storage.runs import QUEUE_CAP, DynamoDBRuns
from handler.storage.table import Table
from handler.storage.threads import DynamoDBThreads
from tests.integration.conftest import LosesResponses, everything

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
LATER = NOW + timedelta(seconds=5)
END_MS = to_ms(NOW) + 60_000
THREAD = Thread("acme", "T1", ThreadStatus.IDLE, NOW, NOW, metadata={"a": 1})
DONE = Outcome(RunStatus.SUCCESS, ThreadStatus.IDLE, checkpoint_id="C1")
FAILED = Outcome(RunStatus.ERROR, ThreadStatus.ERROR, error={"error": "E", "message": "m"}, thread_error={"error": "E"})


def run_of(number: int, **changed: Any) -> Run:
    run = Run("acme", "T1", f"R{number:03}", "A", "G", RunStatus.PENDING, NOW, NOW, "enqueue", kwargs={"input": number})
    return replace(run, **changed)


def large(number: int, pieces: int = 3) -> Run:
    """A run whose arguments do not compress into one item."""
    text = base64.b85encode(random.Random(number).randbytes(INLINE_BYTES * pieces)).decode()
    return run_of(number, kwargs={"input": text})


class World:
    """A table with one thread, its stores, and a clock that stands still until it is told."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.now = NOW
        self.epoch = 70
        self.threads = DynamoDBThreads(table, lambda _tenant, _thread_id: None)
        self.runs = DynamoDBRuns(table, lambda: self.now)

    def lease(self) -> Lease:
        self.epoch += 1
        return Lease(f"owner-{self.epoch}", self.epoch, END_MS)

    @property
    def thread(self) -> Thread:
        found = self.threads.get("acme", "T1")
        assert found is not None
        return found

    def run(self, number: int) -> Run:
        found = self.runs.get("acme", "T1", f"R{number:03}")
        assert found is not None
        return found

    def admit(self, number: int, *, seen: Thread | None = None) -> Claim | Thread:
        return self.runs.admit(run_of(number), self.lease(), seen=seen, new_thread=None)

    def claim(self, number: int) -> Claim:
        result = self.admit(number)
        assert isinstance(result, Claim)
        return result

    def enqueue(self, number: int, where: Where = Where.BUSY) -> Thread | None:
        return self.runs.enqueue(run_of(number), where=where, new_thread=None)


@pytest.fixture
def world(table: Table) -> World:
    world = World(table)
    world.threads.create(THREAD)
    return world


# The states of a thread.


def free(_world: World) -> None:
    """Nobody holds the thread."""


def used(world: World) -> None:
    """A run has come and gone."""
    world.runs.settle(world.claim(90), DONE, NOW)


def held(world: World) -> None:
    """A run is driven."""
    world.claim(1)


def awaited(world: World) -> None:
    """A run is driven, and another waits."""
    world.claim(1)
    world.enqueue(2)


def in_line(world: World) -> None:
    """A run waits for a thread that nobody holds."""
    claim = world.claim(90)
    world.enqueue(2)
    world.enqueue(3)
    world.runs.settle(claim, DONE, NOW)


def handed_on(world: World) -> None:
    """A run's driver has let go of it."""
    world.runs.hand_off(world.claim(1), clean=True)


def dead(world: World) -> None:
    """A run's driver is gone, and its lease is dead."""
    world.claim(1)
    world.now = datetime.fromtimestamp((END_MS + CLOCK_SKEW_MS + 1) / 1000, UTC)


def dying(world: World) -> None:
    """A run's lease has ended, but by less than clocks may differ."""
    world.claim(1)
    world.now = datetime.fromtimestamp((END_MS + CLOCK_SKEW_MS - 1) / 1000, UTC)


STATES = [free, used, held, awaited, in_line, handed_on, dead, dying]

# What may be tried, with whether it was done.


def admits(world: World) -> bool:
    return isinstance(world.admit(5), Claim)


def admits_as_seen(world: World) -> bool:
    return isinstance(world.admit(5, seen=world.thread), Claim)


def admits_as_seen_before(world: World) -> bool:
    stale = replace(world.thread, epoch=world.thread.epoch - 1)
    return isinstance(world.admit(5, seen=stale), Claim)


def admits_under_an_old_epoch(world: World) -> bool:
    lease = Lease("old", world.thread.epoch, END_MS)
    return isinstance(world.runs.admit(run_of(5), lease, seen=None, new_thread=None), Claim)


def enqueues_on_busy(world: World) -> bool:
    return world.enqueue(5, Where.BUSY) is None


def enqueues_on_free(world: World) -> bool:
    return world.enqueue(5, Where.FREE) is None


def enqueues_anywhere(world: World) -> bool:
    return world.enqueue(5, Where.ANY) is None


def starts_the_second(world: World) -> bool:
    return world.runs.start(run_of(2), world.lease(), world.thread) is not None


def starts_the_third(world: World) -> bool:
    return world.runs.start(run_of(3), world.lease(), world.thread) is not None


def takes_the_first_over(world: World) -> bool:
    run = run_of(1)
    seen = world.runs.get(run.tenant, run.thread_id, run.run_id) or run
    return world.runs.take_over(seen, world.lease(), world.thread) is not None


def takes_it_over_as_seen_before(world: World) -> bool:
    stale = replace(world.thread, epoch=world.thread.epoch - 1)
    return world.runs.take_over(run_of(1), world.lease(), stale) is not None


def usurps_the_first(world: World) -> bool:
    first = run_of(1, status=RunStatus.RUNNING)
    return world.runs.usurp(first, CancelAction.INTERRUPT, world.lease(), world.thread, None) is not None


def cancels_the_second(world: World) -> bool:
    seen = replace(world.thread, queue=world.thread.queue or ("R002",))
    return world.runs.cancel_queued(run_of(2), CancelAction.INTERRUPT, seen)


ALLOWED: dict[Callable[[World], bool], list[Callable[[World], None]]] = {
    admits: [free, used],
    admits_as_seen: [free, used],
    admits_as_seen_before: [],
    admits_under_an_old_epoch: [],
    enqueues_on_busy: [held, awaited, in_line, handed_on, dead, dying],
    enqueues_on_free: [free, used],
    enqueues_anywhere: STATES,
    starts_the_second: [in_line],
    starts_the_third: [],
    takes_the_first_over: [handed_on, dead],
    takes_it_over_as_seen_before: [],
    usurps_the_first: [held, awaited, handed_on, dead, dying],
    cancels_the_second: [awaited, in_line],
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("attempt", ALLOWED, ids=lambda attempt: attempt.__name__)
def test_each_thing_is_done_in_its_states_and_else_changes_nothing(
    world: World, state: Callable[[World], None], attempt: Callable[[World], bool]
) -> None:
    state(world)
    before = everything(world.table)
    done = attempt(world)
    assert done is (state in ALLOWED[attempt])
    assert (everything(world.table) != before) is done


def test_a_run_comes_back_as_it_was_admitted(world: World) -> None:
    claim = world.claim(1)
    run = world.run(1)
    assert run == claim.run == run_of(1, status=RunStatus.RUNNING, attempt=1, started_at=NOW)
    assert (claim.clean, claim.resumes) == (True, False)
    thread = world.thread
    assert (thread.active_run, thread.graph_id, thread.assistant_id) == ("R001", "G", "A")
    assert (thread.lease, thread.epoch, thread.clean) == (claim.lease, claim.lease.epoch, False)


def test_a_settled_run_has_ended_together_with_its_hold_on_the_thread(world: World) -> None:
    assert world.runs.settle(world.claim(1), DONE, LATER) is None
    run, thread = world.run(1), world.thread
    assert (run.status, run.ended_at, run.checkpoint_id, run.error) == (RunStatus.SUCCESS, LATER, "C1", None)
    assert (thread.status, thread.busy, thread.lease, thread.clean) == (ThreadStatus.IDLE, False, None, True)
    assert (thread.checkpoint_id, thread.state_updated_at, thread.updated_at) == ("C1", LATER, LATER)


def test_a_threads_error_goes_with_the_next_run_that_ends_well(world: World) -> None:
    world.runs.settle(world.claim(1), FAILED, NOW)
    assert (world.thread.status, world.thread.error) == (ThreadStatus.ERROR, {"error": "E"})
    assert world.run(1).error == {"error": "E", "message": "m"}
    world.runs.settle(world.claim(2), DONE, NOW)
    assert (world.thread.status, world.thread.error) == (ThreadStatus.IDLE, None)


def test_a_run_that_is_undone_is_gone_and_the_thread_as_before(world: World) -> None:
    world.runs.settle(world.claim(1), FAILED, NOW)
    before = world.thread
    undone = Outcome(RunStatus.INTERRUPTED, ThreadStatus.IDLE, deletes_run=True, keeps_thread=True)
    world.runs.settle(world.claim(2), undone, LATER)
    assert world.runs.get("acme", "T1", "R002") is None
    after = world.thread
    assert after == replace(before, epoch=after.epoch, updated_at=LATER)


def test_runs_start_in_the_order_of_their_arrival_each_once(world: World) -> None:
    claim = world.claim(0)
    for number in (3, 1, 2):
        assert world.enqueue(number) is None
    started = []
    following = world.runs.settle(claim, DONE, NOW)
    while following is not None:
        started.append(following)
        run = world.runs.get("acme", "T1", following)
        assert run is not None
        next_claim = world.runs.start(run, world.lease(), world.thread)
        assert next_claim is not None
        assert world.runs.start(run, world.lease(), world.thread) is None
        following = world.runs.settle(next_claim, DONE, NOW)
    assert started == ["R003", "R001", "R002"]
    assert not world.thread.busy


def test_of_many_who_admit_or_start_or_take_over_at_once_one_does(world: World) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(world.admit, range(8)))
        claims = [result for result in results if isinstance(result, Claim)]
        assert len(claims) == 1
        first = claims[0].run
        world.runs.hand_off(claims[0], clean=True)
        seen = world.thread
        taken = list(pool.map(lambda n: world.runs.take_over(first, Lease(f"o{n}", 900 + n, END_MS), seen), range(8)))
        assert len([claim for claim in taken if claim]) == 1
    assert len(world.runs.list("acme", "T1", limit=100, offset=0, status=None)) == 1


def test_runs_that_arrive_at_once_all_wait(world: World) -> None:
    world.claim(0)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(world.enqueue, range(1, 17))) == [None] * 16
    assert sorted(world.thread.queue) == [f"R{number:03}" for number in range(1, 17)]


def test_a_full_queue_takes_no_more_and_says_how_long_it_is(world: World) -> None:
    line = tuple(f"R{number:03}" for number in range(1, QUEUE_CAP))
    world.threads.delete("acme", "T1")
    world.threads.create(replace(THREAD, active_run="R000", queue=line))
    assert world.enqueue(QUEUE_CAP) is None
    before = everything(world.table)
    refused = world.enqueue(QUEUE_CAP + 1)
    assert refused is not None
    assert len(refused.queue) == QUEUE_CAP
    assert everything(world.table) == before


def test_who_interrupts_takes_the_place_of_all_that_wait(world: World) -> None:
    claim = world.claim(0)
    for number in (1, 2):
        world.enqueue(number)
    stopping = world.runs.usurp(claim.run, CancelAction.INTERRUPT, world.lease(), world.thread, run_of(9))
    assert stopping is not None
    assert (stopping.run.run_id, stopping.run.cancel, stopping.clean) == ("R000", CancelAction.INTERRUPT, False)
    assert world.thread.queue == ("R009",)
    assert [world.run(number).status for number in (0, 1, 2, 9)] == ["running", "interrupted", "interrupted", "pending"]
    with pytest.raises(LeaseLost):
        world.runs.settle(claim, DONE, NOW)
    ended = Outcome(RunStatus.INTERRUPTED, ThreadStatus.INTERRUPTED)
    assert world.runs.settle(stopping, ended, NOW) == "R009"


@pytest.mark.parametrize("clean", [True, False], ids=["in good order", "cut off"])
def test_a_run_taken_over_goes_on_and_counts_its_drivers(world: World, clean: bool) -> None:
    claim = world.claim(1)
    world.runs.hand_off(claim, clean=clean)
    second = world.runs.take_over(world.run(1), world.lease(), world.thread)
    assert second is not None
    assert (second.resumes, second.handed_on, second.clean) == (True, True, clean)
    assert (second.run.attempt, second.run.handoffs) == (2, 1)
    dead_at = datetime.fromtimestamp((END_MS + CLOCK_SKEW_MS + 1) / 1000, UTC)
    world.now = dead_at
    third = world.runs.take_over(world.run(1), world.lease(), world.thread)
    assert third is not None
    assert (third.resumes, third.handed_on, third.clean) == (True, False, False)
    assert (third.run.attempt, third.run.handoffs) == (3, 1)
    assert world.run(1).attempt == 3


SUPERSEDED: dict[str, Callable[[World, Claim], Any]] = {
    "renew": lambda world, claim: world.runs.renew(claim, replace(claim.lease, until_ms=END_MS * 2)),
    "settle": lambda world, claim: world.runs.settle(claim, DONE, LATER),
    "hand off": lambda world, claim: world.runs.hand_off(claim, clean=True),
}


@pytest.mark.parametrize("act", SUPERSEDED)
def test_a_driver_that_was_superseded_is_told_so_and_changes_nothing(world: World, act: str) -> None:
    claim = world.claim(1)
    world.now = datetime.fromtimestamp((END_MS + CLOCK_SKEW_MS + 1) / 1000, UTC)
    assert world.runs.take_over(world.run(1), world.lease(), world.thread)
    before = everything(world.table)
    with pytest.raises(LeaseLost):
        SUPERSEDED[act](world, claim)
    assert everything(world.table) == before


def test_a_renewed_lease_lasts_longer(world: World) -> None:
    claim = world.claim(1)
    world.runs.renew(claim, Lease(claim.lease.owner, claim.lease.epoch, END_MS + 99))
    assert world.thread.lease == Lease(claim.lease.owner, claim.lease.epoch, END_MS + 99)


def test_a_run_that_has_ended_stays_as_it_ended(world: World) -> None:
    claim = world.claim(1)
    world.runs.settle(claim, DONE, NOW)
    world.claim(2)
    before = everything(world.table)
    with pytest.raises(LeaseLost):
        world.runs.settle(claim, FAILED, LATER)
    assert everything(world.table) == before


# Lost responses.


@pytest.fixture
def losing(world: World) -> World:
    """The same world through a table that can lose responses."""
    table = LosesResponses(world.table)
    lossy = World(table)
    lossy.epoch = 500
    return lossy


def lose_one(world: World) -> None:
    assert isinstance(world.table, LosesResponses)
    world.table.losses = 1


def repeated(call: Callable[[], Any], world: World) -> Any:
    """What a call answers that is repeated because its first response was lost."""
    lose_one(world)
    with pytest.raises(Exception, match="response was lost"):
        call()
    after_first = everything(world.table)
    result = call()
    assert everything(world.table) == after_first
    return result


def test_an_admission_whose_response_was_lost_is_recognised(losing: World) -> None:
    lease = losing.lease()
    claim = repeated(lambda: losing.runs.admit(run_of(1), lease, seen=None, new_thread=None), losing)
    assert isinstance(claim, Claim)
    assert claim.lease == lease
    assert losing.runs.settle(claim, DONE, NOW) is None


def test_an_admission_to_a_new_thread_whose_response_was_lost_is_recognised(losing: World) -> None:
    run, lease = replace(run_of(1), thread_id="T2"), losing.lease()
    new = replace(THREAD, thread_id="T2")
    losing_first = repeated(lambda: losing.runs.admit(run, lease, seen=None, new_thread=new), losing)
    assert isinstance(losing_first, Claim)


def test_a_place_in_the_queue_whose_response_was_lost_is_taken_once(losing: World) -> None:
    losing.claim(1)
    assert repeated(lambda: losing.enqueue(2), losing) is None
    assert losing.thread.queue == ("R002",)


def test_a_start_whose_response_was_lost_is_recognised(losing: World) -> None:
    in_line(losing)
    seen, lease = losing.thread, losing.lease()
    claim = repeated(lambda: losing.runs.start(run_of(2), lease, seen), losing)
    assert claim is not None
    assert (losing.thread.lease, losing.run(2).attempt) == (lease, 1)


def test_a_takeover_whose_response_was_lost_is_recognised(losing: World) -> None:
    handed_on(losing)
    seen, lease, run = losing.thread, losing.lease(), losing.run(1)
    claim = repeated(lambda: losing.runs.take_over(run, lease, seen), losing)
    assert claim is not None
    assert (losing.thread.lease, losing.run(1).attempt, losing.run(1).handoffs) == (lease, 2, 1)


def test_a_hand_off_whose_response_was_lost_is_recognised(losing: World) -> None:
    claim = losing.claim(1)
    assert repeated(lambda: losing.runs.hand_off(claim, clean=True), losing) is None


@pytest.mark.parametrize("waiting", [0, 2])
def test_a_settlement_whose_response_was_lost_is_recognised(losing: World, waiting: int) -> None:
    claim = losing.claim(1)
    for number in range(2, 2 + waiting):
        losing.enqueue(number)
    following = repeated(lambda: losing.runs.settle(claim, DONE, NOW), losing)
    assert following == ("R002" if waiting else None)
    assert losing.run(1).status is RunStatus.SUCCESS


def test_a_theft_whose_response_was_lost_is_recognised(losing: World) -> None:
    victim = losing.claim(1).run
    seen, lease = losing.thread, losing.lease()
    claim = repeated(lambda: losing.runs.usurp(victim, CancelAction.ROLLBACK, lease, seen, run_of(2)), losing)
    assert claim is not None
    assert (losing.thread.lease, losing.thread.queue) == (lease, ("R002",))


# Arguments, reading, tenants.


def test_large_arguments_come_back_whole(world: World) -> None:
    run = large(1)
    assert isinstance(world.runs.admit(run, world.lease(), seen=None, new_thread=None), Claim)
    assert world.run(1).kwargs == run.kwargs
    sort_keys = [item["SK"]["S"] for item in everything(world.table)]
    assert [sk for sk in sort_keys if sk.startswith("P#")] == [f"P#R001#{piece:04}" for piece in range(4)]
    assert world.runs.list("acme", "T1", limit=1, offset=0, status=None)[0].kwargs == run.kwargs


def test_large_arguments_of_a_refused_run_leave_nothing_behind(world: World) -> None:
    before = everything(world.table)
    with pytest.raises(ThreadNotFound):
        world.runs.admit(replace(large(8), thread_id="none"), world.lease(), seen=None, new_thread=None)
    with pytest.raises(ThreadNotFound):
        world.runs.enqueue(replace(large(8), thread_id="none"), where=Where.ANY, new_thread=None)
    assert isinstance(world.runs.enqueue(large(8), where=Where.BUSY, new_thread=None), Thread)
    assert everything(world.table) == before
    world.claim(1)
    before = everything(world.table)
    assert isinstance(world.runs.admit(large(8), world.lease(), seen=None, new_thread=None), Thread)
    stale = replace(world.thread, epoch=1)
    assert world.runs.usurp(world.run(1), CancelAction.INTERRUPT, world.lease(), stale, large(8)) is None
    assert everything(world.table) == before


def test_large_arguments_of_a_request_that_was_answered_before_leave_nothing_behind(world: World) -> None:
    def keyed(number: int) -> Run:
        return replace(large(number), idempotency=IdempotencyKey("T1", "key", "digest", to_ms(LATER) // 1000 + 60))

    assert world.runs.enqueue(keyed(1), where=Where.ANY, new_thread=None) is None
    before = everything(world.table)
    with pytest.raises(AlreadyAccepted):
        world.runs.enqueue(keyed(2), where=Where.ANY, new_thread=None)
    with pytest.raises(AlreadyAccepted):
        world.runs.usurp(None, CancelAction.ROLLBACK, world.lease(), world.thread, keyed(3))
    assert everything(world.table) == before


def test_large_arguments_go_with_a_run_that_is_rolled_back(world: World) -> None:
    claim = world.runs.admit(large(1), world.lease(), seen=None, new_thread=None)
    assert isinstance(claim, Claim)
    world.runs.settle(claim, replace(DONE, deletes_run=True), NOW)
    assert (pieces(world), world.runs.get("acme", "T1", "R001")) == (set(), None)


def pieces(world: World) -> set[str]:
    """The runs whose arguments stand in pieces."""
    found = [item["SK"]["S"] for item in everything(world.table)]
    return {sk.split("#")[1] for sk in found if sk.startswith("P#")}


@pytest.mark.parametrize(("action", "left"), [("interrupt", {"R002", "R003"}), ("rollback", {"R003"})])
def test_large_arguments_go_with_a_run_that_another_pushes_out_of_the_queue(
    world: World, action: str, left: set[str]
) -> None:
    world.claim(1)
    assert world.runs.enqueue(large(2), where=Where.BUSY, new_thread=None) is None
    assert world.runs.usurp(world.run(1), CancelAction(action), world.lease(), world.thread, large(3)) is not None
    assert pieces(world) == left


@pytest.mark.parametrize(("action", "left"), [("interrupt", {"R002", "R003"}), ("rollback", {"R003"})])
def test_large_arguments_go_with_a_run_that_is_taken_out_of_the_queue(
    world: World, action: str, left: set[str]
) -> None:
    world.claim(1)
    for number in (2, 3):
        assert world.runs.enqueue(large(number), where=Where.BUSY, new_thread=None) is None
    assert world.runs.cancel_queued(world.run(2), CancelAction(action), world.thread)
    assert pieces(world) == left


def test_runs_with_large_arguments_go_together_with_those_without(world: World) -> None:
    world.claim(1)
    for number in (2, 3, 4, 5):
        waiting = large(number) if number % 2 else run_of(number)
        assert world.runs.enqueue(waiting, where=Where.BUSY, new_thread=None) is None
    seen = world.thread
    assert world.runs.usurp(world.run(1), CancelAction.ROLLBACK, world.lease(), seen, run_of(6)) is not None
    assert pieces(world) == set()
    left = world.runs.list("acme", "T1", limit=10, offset=0, status=None)
    assert [run.run_id for run in left] == ["R006", "R001"]
    assert world.thread.queue == ("R006",)


def test_runs_with_large_arguments_stay_where_the_thread_has_changed(world: World) -> None:
    world.claim(1)
    assert world.runs.enqueue(large(2), where=Where.BUSY, new_thread=None) is None
    seen = world.thread
    world.enqueue(3)
    before = everything(world.table)
    assert world.runs.usurp(world.run(1), CancelAction.ROLLBACK, world.lease(), seen, large(4)) is None
    assert everything(world.table) == before


class Counts(Table):
    """A table that tells what was sent."""

    def __init__(self, table: Table) -> None:
        super().__init__(table.client, table.name)
        self.sent: list[str] = []

    def _call(self, operation: str, request: Any) -> dict[str, Any]:
        self.sent.append(operation)
        return super()._call(operation, request)


ENDS: dict[str, tuple[Callable[[World], Any], list[str]]] = {
    "cancel a queued run": (
        lambda world: world.runs.cancel_queued(run_of(2), CancelAction.ROLLBACK, world.thread),
        ["get_item", "transact_write_items"],
    ),
    "push queued runs out": (
        lambda world: world.runs.usurp(
            run_of(1, status=RunStatus.RUNNING), CancelAction.ROLLBACK, world.lease(), world.thread, run_of(4)
        ),
        ["get_item", "transact_write_items"],
    ),
    "delete a run": (lambda world: world.runs.delete(run_of(1)), ["delete_item", "query"]),
}


@pytest.mark.parametrize("end", ENDS)
def test_nobody_looks_for_pieces_where_there_are_none(world: World, end: str) -> None:
    awaited(world)
    world.enqueue(3)
    counting = Counts(world.table)
    seen = World(counting)
    seen.epoch = world.epoch
    act, sent = ENDS[end]
    act(seen)
    assert counting.sent == sent


def test_pieces_of_a_queued_run_that_nobody_has_read_cost_one_more_transaction(world: World) -> None:
    world.claim(1)
    for number in (2, 3):
        assert world.runs.enqueue(large(number), where=Where.BUSY, new_thread=None) is None
    counting = Counts(world.table)
    runs = DynamoDBRuns(counting, lambda: NOW)
    assert runs.usurp(world.run(1), CancelAction.ROLLBACK, world.lease(), world.thread, run_of(4)) is not None
    assert counting.sent == ["transact_write_items", "transact_write_items", "batch_write_item"]


def test_arguments_of_an_accepted_run_survive_a_lost_response(losing: World) -> None:
    run, lease = large(1), losing.lease()
    claim = losing.runs.admit(run, lease, seen=None, new_thread=None)
    again = losing.runs.admit(run, lease, seen=None, new_thread=None)
    assert claim == again
    assert losing.run(1).kwargs == run.kwargs


def test_arguments_too_large_for_dynamodb_are_refused_before_anything_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handler.storage.run_arguments.MAX_ARGUMENT_BYTES", 2 * INLINE_BYTES)
    before = everything(world.table)
    with pytest.raises(PayloadTooLarge):
        world.runs.admit(large(1), world.lease(), seen=None, new_thread=None)
    assert everything(world.table) == before


def test_deleting_a_run_takes_its_arguments_along(world: World) -> None:
    before = len(everything(world.table))
    claim = world.runs.admit(large(1), world.lease(), seen=None, new_thread=None)
    assert isinstance(claim, Claim)
    world.runs.settle(claim, DONE, NOW)
    world.runs.delete(claim.run)
    assert len(everything(world.table)) == before
    assert world.runs.get("acme", "T1", "R001") is None


def test_runs_are_listed_newest_first_by_page_and_status(world: World) -> None:
    world.runs.settle(world.claim(1), DONE, NOW)
    world.runs.settle(world.claim(2), FAILED, NOW)
    world.claim(3)
    world.enqueue(4)

    def listed(limit: int = 10, offset: int = 0, status: RunStatus | None = None) -> list[str]:
        return [run.run_id for run in world.runs.list("acme", "T1", limit=limit, offset=offset, status=status)]

    assert listed() == ["R004", "R003", "R002", "R001"]
    assert listed(limit=2, offset=1) == ["R003", "R002"]
    assert listed(limit=0) == listed(offset=9) == []
    assert [listed(status=status) for status in RunStatus] == [["R004"], ["R003"], ["R001"], ["R002"], [], []]


@pytest.mark.parametrize(("tenant", "thread_id"), [("globex", "T1"), ("acme", "T2"), ("acme#T1", "")])
def test_another_tenant_or_thread_has_no_part_in_a_run(world: World, tenant: str, thread_id: str) -> None:
    world.claim(1)
    before = everything(world.table)
    assert world.runs.get(tenant, thread_id, "R001") is None
    assert list(world.runs.list(tenant, thread_id, limit=10, offset=0, status=None)) == []
    theirs = replace(run_of(1), tenant=tenant, thread_id=thread_id)
    with pytest.raises(ThreadNotFound):
        world.runs.admit(theirs, world.lease(), seen=None, new_thread=None)
    with pytest.raises(ThreadNotFound):
        world.runs.enqueue(theirs, where=Where.ANY, new_thread=None)
    stolen = replace(world.thread, tenant=tenant, thread_id=thread_id)
    assert world.runs.take_over(theirs, world.lease(), stolen) is None
    assert world.runs.usurp(theirs, CancelAction.INTERRUPT, world.lease(), stolen, None) is None
    assert everything(world.table) == before


def test_an_admission_creates_the_thread_if_it_may(world: World) -> None:
    new = replace(THREAD, thread_id="T2", metadata={"new": True})
    run = replace(run_of(1), thread_id="T2")
    claim = world.runs.admit(run, world.lease(), seen=None, new_thread=new)
    assert isinstance(claim, Claim)
    found = world.threads.get("acme", "T2")
    assert found is not None
    assert (found.metadata, found.active_run, found.lease) == ({"new": True}, "R001", claim.lease)
    waiting = replace(run_of(2), thread_id="T3")
    assert world.runs.enqueue(waiting, where=Where.FREE, new_thread=replace(new, thread_id="T3")) is None
    queued = world.threads.get("acme", "T3")
    assert queued is not None
    assert queued.queue == ("R002",)


@pytest.mark.parametrize("later", [None, LATER], ids=["in the queue", "to come later"])
def test_a_thread_names_its_first_run_while_that_waits_and_then_the_last_that_began(
    world: World, later: datetime | None
) -> None:
    def other(number: int) -> Run:
        return run_of(number, graph_id="H", assistant_id="B", due_at=later)

    def names() -> tuple[str | None, str | None]:
        return world.thread.graph_id, world.thread.assistant_id

    assert names() == (None, None)
    assert world.runs.enqueue(run_of(1, due_at=later), where=Where.ANY, new_thread=None) is None
    assert names() == ("G", "A")
    assert world.runs.enqueue(other(2), where=Where.ANY, new_thread=None) is None
    assert names() == ("G", "A")
    for number in (1, 2):
        if later:
            assert world.runs.queue_delayed(run_of(number), world.thread)
    claim = world.runs.start(world.run(1), world.lease(), world.thread)
    assert claim is not None
    world.runs.settle(claim, DONE, NOW)
    assert world.runs.start(world.run(2), world.lease(), world.thread) is not None
    assert names() == ("H", "B")
    new = replace(THREAD, thread_id="T4")
    assert world.runs.enqueue(replace(other(3), thread_id="T4"), where=Where.ANY, new_thread=new) is None
    made = world.threads.get("acme", "T4")
    assert made is not None
    assert (made.graph_id, made.assistant_id) == ("H", "B")


def test_an_admission_creates_no_thread_where_there_is_one(world: World) -> None:
    other = replace(THREAD, metadata={"other": True})
    assert isinstance(world.runs.admit(run_of(1), world.lease(), seen=None, new_thread=other), Claim)
    assert world.thread.metadata == {"a": 1}
