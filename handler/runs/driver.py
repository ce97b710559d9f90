"""Drives one run under one lease: runs the graph, keeps the lease alive, settles run and thread together.

claim ──▶ fence, if the last holder did not let go in good order
      ──▶ stopped, if the run is to be stopped           ──▶ settle
      ──▶ the graph runs; a heartbeat renews the lease
            ├─ its end, an error                         ──▶ settle
            ├─ the deadline is near: drain               ──▶ hand off, wake the next driver
            ├─ a node outlasts the deadline              ──▶ settle as timeout
            └─ the lease is lost                         ──▶ stop, touch nothing
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from handler.domain.lease import STANDARD_TERMS, Lease, LeaseTerms
from handler.domain.models import CancelAction, Claim, JsonObject, Outcome, Run, to_ms
from handler.domain.ports import Clock, RunStore, SaverFactory, WakeQueue
from handler.domain.status import RunStatus, ThreadStatus
from handler.errors import LeaseLost, StorageUnavailable
from handler.runs.arguments import INTERRUPTING_MODE, graph_arguments, graph_config
from handler.runs.channels import Channels
from handler.runs.graphs import Graphs
from handler.runs.outcome import Answer, describe_error, error_body
from handler.runs.parts import run_graph
from handler.runs.recall import Recall, Recollection
from handler.runs.states import checkpoint_config

log = logging.getLogger(__name__)

DRAIN_MARGIN_S = 20.0
"""How long before its deadline a driver asks the graph to stop at the next super-step, in seconds."""

STOP_MARGIN_S = 5.0
"""How long before its deadline a driver stops a node that is still at work, in seconds."""

MAX_ATTEMPTS = 5
"""How many drivers may die on a run before it is given up; a hand-off does not count."""

MAX_HANDOFFS = 200
"""How often a run may be handed on before it is given up."""

USER_INTERRUPT = {"error": "UserInterrupt", "message": "User interrupted the run"}
"""What a thread shows as its error after its run was cancelled."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A run at its end, with what its waiters are told."""

    run: Run
    body: Any


@dataclass(frozen=True, slots=True)
class HandedOn:
    """A run that another driver goes on with."""

    run: Run


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds one run, whoever drives it."""

    terms: LeaseTerms = STANDARD_TERMS
    drain_margin_s: float = DRAIN_MARGIN_S
    """At most; a fifth of a driver's time where that is less."""
    stop_margin_s: float = STOP_MARGIN_S
    """At most; a tenth of a driver's time where that is less."""
    max_attempts: int = MAX_ATTEMPTS
    max_handoffs: int = MAX_HANDOFFS


class Driver:
    """Runs claimed runs; everything here happens on the graph loop, storage calls on its threads."""

    def __init__(
        self,
        runs: RunStore,
        graphs: Graphs,
        savers: SaverFactory,
        wakes: WakeQueue,
        clock: Clock,
        recall: Recall,
        limits: Limits | None = None,
        *,
        channels: Channels | None = None,
        store: Callable[[str], Any] = lambda _tenant: None,
    ) -> None:
        self.store = store
        self.channels = channels or Channels(None, 0)
        self.recall = recall
        self.runs = runs
        self.graphs = graphs
        self.savers = savers
        self.wakes = wakes
        self.clock = clock
        self.limits = limits or Limits()
        self.on_next: Callable[[str], None] = lambda _run_id: None
        """Told on the graph loop which pending run is next, for those who wait for it in this process."""
        self._driving: dict[str, Drive] = {}

    async def drive(self, claim: Claim, limit_s: float | None = None, *, whole: bool = False) -> Ended | HandedOn:
        """Bring the claimed run to its end, or on to the next driver when `limit_s` seconds are nearly over.

        `whole`: these are all the seconds that any driver has, so that a run which gets nowhere in them never will.
        LeaseLost when another driver has taken over; its `partial` is what a waiter would have been told so far.
        StorageUnavailable when the log cannot be written: the lease runs out, and another driver goes on.
        """
        drive = Drive(self, claim, limit_s, whole=whole)
        self._driving[claim.run.run_id] = drive
        try:
            return await drive.run()
        finally:
            if self._driving.get(claim.run.run_id) is drive:
                del self._driving[claim.run.run_id]

    def drives(self, run_id: str) -> bool:
        """Whether this process drives the run."""
        return run_id in self._driving

    def abandon(self, run_id: str, epoch: int) -> None:
        """Stop driving a run that was taken from this process by a claim of `epoch`, without waiting to be refused."""
        drive = self._driving.get(run_id)
        if drive is not None and drive.claim.lease.epoch < epoch:
            drive.cancel("superseded")


class Drive:
    """One claim being driven."""

    def __init__(self, driver: Driver, claim: Claim, limit_s: float | None, *, whole: bool) -> None:
        self.driver = driver
        self.limits = driver.limits
        self.claim = claim
        self.limit_s = limit_s
        self.whole = whole
        modes = claim.run.kwargs.get("stream_mode") or []
        self.answer = Answer(interrupts_alone=INTERRUPTING_MODE in modes)
        self.channel = driver.channels.of(claim.run)
        self.stopped_by: str | None = None
        self._heads: dict[str, int] | None = None
        self._along: Any = None
        self._control: Any = None
        self._drain = False
        self._work: asyncio.Task[Outcome | None] | None = None
        self._fields = {
            "thread_id": claim.run.thread_id,
            "run_id": claim.run.run_id,
            "attempt": claim.run.attempt,
            "epoch": claim.lease.epoch,
        }

    def cancel(self, reason: str) -> None:
        """Stop the graph where it is; `reason` decides what becomes of the run."""
        if self.stopped_by is None:
            self.stopped_by = reason
        if self._work is not None:
            self._work.cancel()

    async def run(self) -> Ended | HandedOn:
        """Drive to the end of the run or of the time, with a heartbeat beside it."""
        log.info("run begun", extra={**self._fields, **self._beginning()})
        self._work = asyncio.create_task(self._end())
        heartbeat = asyncio.create_task(self._keep_alive())
        clock = asyncio.create_task(self._watch_deadline())
        followers = asyncio.create_task(self.channel.watch(elsewhere=self.whole))
        self.channel.begin(self.claim)
        self.driver.channels.begun(self.channel)
        try:
            await asyncio.wait({self._work, heartbeat}, return_when=asyncio.FIRST_COMPLETED)
            if heartbeat.done() and not self._work.done():
                self.cancel("superseded")
            # Heartbeat and settlement never overlap: they would conflict with each other.
            await _stop(heartbeat)
            await asyncio.wait({self._work})
            # Stopped while it was still fencing, it has nothing to settle: it ends as if it had been superseded.
            stopped = self._work.cancelled()
            if stopped or (self.stopped_by == "superseded" and self._work.exception() is None):
                raise LeaseLost("another driver has taken over")
            outcome = self._work.result()
            await self.channel.flush()
            return await (self._hand_on() if outcome is None else self._settle(outcome))
        except LeaseLost as lost:
            lost.partial = self.answer.body()
            log.info("lease lost", extra=self._fields)
            raise
        finally:
            for task in (clock, heartbeat, followers, self._work):
                await _stop(task)
            self.channel.close(self.claim.lease.epoch)
            self.driver.channels.let_go(self.channel)

    def _beginning(self) -> JsonObject:
        """What there is to say of how the run came here; None: nothing."""
        run = self.claim.run
        if run.cancel is not None:
            return {"cancel": run.cancel}
        queued_ms = to_ms(self.driver.clock()) - to_ms(run.created_at)
        return {
            "queue_ms": max(queued_ms, 0) if run.attempt == 1 else None,
            "taken_over": 1 if self.claim.resumes and not self.claim.handed_on else None,
        }

    async def _end(self) -> Outcome | None:
        """The outcome of the run; None if another driver is to go on with it. Every error becomes an outcome."""
        run = self.claim.run
        saver: Any = self.driver.savers(run.tenant, self.claim)
        if not self.claim.clean:
            await asyncio.to_thread(saver.fence, run.thread_id)
        try:
            if run.cancel is not None:
                return await self._stop_run(run.cancel, saver)
            if await self._abandoned_by_waiter():
                return interrupted()
            if run.attempt - run.handoffs > self.limits.max_attempts:
                return failed("RunAbandoned", f"given up after {self.limits.max_attempts} drivers died on the run")
            if run.handoffs > self.limits.max_handoffs:
                return failed("RunAbandoned", f"given up after {self.limits.max_handoffs} hand-offs")
            given = {"checkpointer": saver, "store": self.driver.store(run.tenant)}
            async with self.driver.graphs.open(run.graph_id, graph_config(run), **given) as graph:
                return await self._invoke(graph, saver)
        except asyncio.CancelledError:
            return None if self.stopped_by == "deadline" else interrupted()
        except Exception as error:
            return self._failure(error)

    async def _invoke(self, graph: Any, saver: Any) -> Outcome | None:
        outcome: Outcome | None = Outcome(RunStatus.SUCCESS, ThreadStatus.IDLE)
        try:
            drained = await self._stream(graph)
            if drained:
                outcome = None
        except asyncio.CancelledError:
            outcome = interrupted()
        except Exception as error:
            outcome = self._failure(error)
        ends_well = outcome is not None and outcome.status is RunStatus.SUCCESS and self.stopped_by is None
        self._along = await asyncio.to_thread(saver.flush_but_last if ends_well else saver.flush)
        if self.stopped_by == "superseded":
            return None
        if self.stopped_by == "deadline" and self._along is None:
            outcome = None
        self._heads = dict(saver.heads)
        state = await graph.aget_state(checkpoint_config(self.claim.run.thread_id, None))
        if outcome is None:
            stuck = self.whole and self.stopped_by == "deadline" and not saver.appended
            outcome = timed_out(state.next, self.limit_s) if stuck else None
        if outcome is None:
            return None
        if outcome.thread_status is ThreadStatus.IDLE and state.next:
            outcome = replace(outcome, thread_status=ThreadStatus.INTERRUPTED)
        return replace(outcome, checkpoint_id=state.config["configurable"].get("checkpoint_id"))

    async def _stream(self, graph: Any) -> bool:
        """Run the graph; True if it stopped because it was asked to drain."""
        from langgraph.errors import EmptyInputError, GraphDrained
        from langgraph.runtime import RunControl

        self._control = RunControl()
        if self._drain:
            self._control.request_drain("deadline")
        has_begun = await self._has_begun(graph)
        arguments = graph_arguments(self.claim.run, graph, resumes=has_begun)
        checkpoint_id = arguments.config["configurable"].get("checkpoint_id")
        if checkpoint_id and await graph.checkpointer.aget_tuple(arguments.config) is None:
            raise EmptyInputError(f"Checkpoint {checkpoint_id} not found on this thread")
        kwargs, epoch = self.claim.run.kwargs, self.claim.lease.epoch
        repeats = has_begun and self.claim.clean
        await self.channel.open(self.claim, elsewhere=self.whole, repeats=repeats)
        publish = partial(self.channel.publish, epoch)
        if kwargs.get("protocol"):
            from handler.runs.protocol_run import run_protocol

            chunks = run_protocol(graph, arguments, self._control, publish, repeats=repeats)
        else:
            modes, subgraphs = kwargs.get("stream_mode") or (), bool(kwargs.get("subgraphs"))
            chunks = run_graph(graph, arguments, self._control, modes, publish, subgraphs=subgraphs, repeats=repeats)
        try:
            async for values in chunks:
                self.answer.add(values)
        except GraphDrained:
            return True
        return False

    async def _has_begun(self, graph: Any) -> bool:
        """Whether an earlier driver left a checkpoint of this very run, so that its input is in the log already."""
        if not self.claim.resumes:
            return False
        latest = await graph.checkpointer.aget_tuple(checkpoint_config(self.claim.run.thread_id, None))
        return latest is not None and latest.metadata.get("run_id") == self.claim.run.run_id

    async def _stop_run(self, action: CancelAction, saver: Any) -> Outcome:
        """End a run that is to be stopped; its own driver was fenced off before."""
        run = self.claim.run
        if action is CancelAction.ROLLBACK:
            await asyncio.to_thread(saver.rollback, run.thread_id, run_id=run.run_id)
            return Outcome(RunStatus.INTERRUPTED, ThreadStatus.IDLE, deletes_run=True, keeps_thread=True)
        latest = await saver.aget_tuple(checkpoint_config(run.thread_id, None))
        checkpoint_id = latest.config["configurable"]["checkpoint_id"] if latest else None
        return replace(interrupted(), checkpoint_id=checkpoint_id, deletes_run=action is CancelAction.DELETE)

    async def _keep_alive(self) -> None:
        """Renew the lease until it is lost."""
        while True:
            await asyncio.sleep(self.limits.terms.heartbeat_s)
            until_ms = to_ms(self.driver.clock()) + self.limits.terms.lasts_ms
            lease = Lease(self.claim.lease.owner, self.claim.lease.epoch, until_ms)
            try:
                await asyncio.to_thread(self.driver.runs.renew, self.claim, lease)
                if await self._abandoned_by_waiter():
                    self.cancel("waiter gone")
            except LeaseLost:
                return
            except Exception as error:  # storage is out of reach: the lease may still be renewed in time
                log.warning("heartbeat failed", extra={**self._fields, "error": type(error).__name__})

    async def _abandoned_by_waiter(self) -> bool:
        """Whether a run that is cancelled with its waiter has none any more."""
        run = self.claim.run
        if run.present_until_ms is None:
            return False
        now_ms = to_ms(self.driver.clock())
        if run.present_until_ms >= now_ms:
            return False
        current = await asyncio.to_thread(self.driver.runs.get, run.tenant, run.thread_id, run.run_id)
        return current is not None and (current.present_until_ms or 0) < now_ms

    async def _watch_deadline(self) -> None:
        """Ask for a drain when the time is nearly over, and stop what does not heed it."""
        if self.limit_s is None:
            return
        drain_s = min(self.limits.drain_margin_s, self.limit_s / 5)
        stop_s = min(self.limits.stop_margin_s, self.limit_s / 10)
        await asyncio.sleep(max(self.limit_s - drain_s, 0))
        self._drain = True
        if self._control is not None:
            self._control.request_drain("deadline")
        await asyncio.sleep(max(drain_s - stop_s, 0))
        self.cancel("deadline")

    async def _settle(self, outcome: Outcome) -> Ended:
        run, now = self.claim.run, self.driver.clock()
        actions = [self._along.action] if self._along is not None else []
        following = await asyncio.to_thread(self.driver.runs.settle, self.claim, outcome, now, along=actions)
        if self._along is not None:
            self._along.done()
        has_failed = outcome.status in (RunStatus.ERROR, RunStatus.TIMEOUT)
        duration_ms = to_ms(now) - to_ms(run.started_at or now)
        ending = {"status": outcome.status, "duration_ms": duration_ms, "failures": 1 if has_failed else None}
        log.info("run ended", extra={**self._fields, **ending})
        if following is not None:
            self.driver.on_next(following)
            await asyncio.to_thread(self.driver.wakes.send, run.tenant, run.thread_id, following)
        elif self._heads is not None:
            self.driver.recall.note(run, Recollection(self.claim.lease.epoch, self._heads))
        if outcome.deletes_run:
            await asyncio.to_thread(self.driver.runs.delete, run)
        elif run.kwargs.get("webhook"):
            with suppress(StorageUnavailable):  # then the watchdog finds it untold
                await asyncio.to_thread(self.driver.wakes.send, run.tenant, run.thread_id, run.run_id)
        ended = replace(
            run,
            status=outcome.status,
            error=outcome.error,
            checkpoint_id=outcome.checkpoint_id,
            updated_at=now,
            ended_at=now,
        )
        self.channel.ended = ended
        return Ended(ended, error_body(outcome.error) if outcome.error else self.answer.body())

    async def _hand_on(self) -> HandedOn:
        run = self.claim.run
        if self._along is not None:
            await asyncio.to_thread(self._along.store)
        # Cut off, it may have left something behind: events that were not told, writes that are still under way.
        await asyncio.to_thread(self.driver.runs.hand_off, self.claim, clean=self.stopped_by is None)
        log.info("run handed on", extra=self._fields)
        await asyncio.to_thread(self.driver.wakes.send, run.tenant, run.thread_id, run.run_id)
        return HandedOn(run)

    def _failure(self, error: Exception) -> Outcome:
        """The outcome of a graph's exception; those of the driver itself, however wrapped, are raised as such."""
        from langgraph.errors import UnknownInterruptError

        own = _own_failure(error)
        if own is not None:
            raise own
        log.warning("run failed", extra={**self._fields, "error": type(error).__name__})
        described = describe_error(error)
        if isinstance(error, UnknownInterruptError):  # a strict resume: nothing was done, and the question stands
            return Outcome(RunStatus.ERROR, ThreadStatus.IDLE, error=described)
        return failed(described["error"], described["message"])


def failed(error: str, message: str) -> Outcome:
    """The outcome of a run that failed."""
    described: JsonObject = {"error": error, "message": message}
    return Outcome(RunStatus.ERROR, ThreadStatus.ERROR, error=described, thread_error=described)


def interrupted() -> Outcome:
    """The outcome of a run that was stopped."""
    return Outcome(RunStatus.INTERRUPTED, ThreadStatus.INTERRUPTED, thread_error=USER_INTERRUPT)


def timed_out(nodes: tuple[str, ...], limit_s: float | None) -> Outcome:
    """The outcome of a run whose node outlasted all the time that a driver has."""
    message = f"node {', '.join(nodes) or '?'} did not finish within the {limit_s:.0f} s that a driver has"
    described: JsonObject = {"error": "NodeTimeout", "message": message}
    return Outcome(RunStatus.TIMEOUT, ThreadStatus.ERROR, error=described, thread_error=described)


async def _stop(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait for its end, whatever that is."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})


def _own_failure(error: BaseException) -> LeaseLost | StorageUnavailable | None:
    """The loss of lease or storage in the chain of causes of an error, which LangGraph or a group may have wrapped.

    A run is not failed by it: whoever has the lease, or takes it over when storage answers again, goes on.
    """
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        current = todo.pop()
        if current is None or id(current) in seen:
            continue
        if isinstance(current, LeaseLost | StorageUnavailable):
            return current
        seen.add(id(current))
        todo += [current.__cause__, current.__context__, *getattr(current, "exceptions", ())]
    return None
