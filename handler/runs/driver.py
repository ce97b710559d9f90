"""Drives one run under one lease: runs the graph, keeps the lease alive, settles run and thread together."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from handler.domain.lease import HEARTBEAT_S, LEASE_MS, Lease
from handler.domain.models import Claim, Outcome, Run, to_ms
from handler.domain.ports import Clock, RunStore, SaverFactory
from handler.domain.status import RunStatus, ThreadStatus
from handler.errors import LeaseLost
from handler.runs.arguments import INTERRUPTING_MODE, GraphArguments, graph_arguments, graph_config
from handler.runs.graphs import Graphs
from handler.runs.outcome import Answer, describe_error, error_body
from handler.runs.states import checkpoint_config

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """A run at its end, with what its waiters are told."""

    run: Run
    body: Any


class Driver:
    """Runs claimed runs; everything here happens on the graph loop, storage calls on its threads."""

    def __init__(
        self,
        runs: RunStore,
        graphs: Graphs,
        savers: SaverFactory,
        clock: Clock,
        *,
        wake: Callable[[Run, str], None] = lambda _run, _next: None,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self.runs = runs
        self.graphs = graphs
        self.savers = savers
        self.clock = clock
        self.wake = wake
        self.heartbeat_s = heartbeat_s
        self._driving: dict[str, asyncio.Task[Any]] = {}

    async def drive(self, claim: Claim) -> Ended:
        """Run the claimed run to its end; LeaseLost when another driver has taken over."""
        work = asyncio.create_task(self._execute(claim))
        heartbeat = asyncio.create_task(self._keep_alive(claim))
        self._driving[claim.run.run_id] = work
        try:
            await asyncio.wait({work, heartbeat}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await _stop(work)
                heartbeat.result()  # raises LeaseLost: nothing else ends the heartbeat first
            # Heartbeat and settlement never overlap: they would conflict with each other.
            await _stop(heartbeat)
            outcome, body = work.result()
            return await self._settle(claim, outcome, body)
        finally:
            del self._driving[claim.run.run_id]
            for task in (work, heartbeat):
                await _stop(task)

    def cancel(self, run_id: str) -> bool:
        """Stop a run that this process drives; it ends as interrupted. False if it drives no such run."""
        work = self._driving.get(run_id)
        return work is not None and work.cancel()

    async def _execute(self, claim: Claim) -> tuple[Outcome, Any]:
        """Run the graph; every way in which a run can end, but for the loss of its lease, comes back as an outcome."""
        run = claim.run
        answer = Answer(interrupts_alone=INTERRUPTING_MODE in (run.kwargs.get("stream_mode") or []))
        saver = self.savers(run.tenant, claim)
        try:
            await asyncio.to_thread(self._fence, claim, saver)
            async with self.graphs.open(run.graph_id, graph_config(run), checkpointer=saver) as graph:
                return await self._invoke(claim, graph, saver, answer)
        except LeaseLost:
            raise
        except asyncio.CancelledError:
            return Outcome(RunStatus.INTERRUPTED, ThreadStatus.INTERRUPTED), answer.body()
        except Exception as error:
            lost = _lease_loss(error)
            if lost is not None:
                raise lost from error
            log.warning("run failed", extra={"run_id": run.run_id, "error": type(error).__name__})
            described = describe_error(error)
            return Outcome(RunStatus.ERROR, ThreadStatus.ERROR, error=described), error_body(described)

    async def _invoke(self, claim: Claim, graph: Any, saver: Any, answer: Answer) -> tuple[Outcome, Any]:
        arguments = graph_arguments(claim.run, graph, resumes=claim.resumes)
        outcome = Outcome(RunStatus.SUCCESS, ThreadStatus.IDLE)
        body: Any = None
        try:
            await self._stream(graph, arguments, answer)
            body = answer.body()
        except asyncio.CancelledError:
            outcome = Outcome(RunStatus.INTERRUPTED, ThreadStatus.INTERRUPTED)
            body = answer.body()
        except Exception as error:
            lost = _lease_loss(error)
            if lost is not None:
                raise lost from error
            log.warning("run failed", extra={"run_id": claim.run.run_id, "error": type(error).__name__})
            described = describe_error(error)
            outcome = Outcome(RunStatus.ERROR, ThreadStatus.ERROR, error=described)
            body = error_body(described)
        await _flush(saver)
        state = await graph.aget_state(checkpoint_config(claim.run.thread_id, None))
        if outcome.status is RunStatus.SUCCESS and state.next:
            outcome = replace(outcome, thread_status=ThreadStatus.INTERRUPTED)
        return replace(outcome, checkpoint_id=state.config["configurable"].get("checkpoint_id")), body

    async def _stream(self, graph: Any, arguments: GraphArguments, answer: Answer) -> None:
        checkpoint_id = arguments.config["configurable"].get("checkpoint_id")
        if checkpoint_id and await graph.checkpointer.aget_tuple(arguments.config) is None:
            from langgraph.errors import EmptyInputError

            raise EmptyInputError(f"Checkpoint {checkpoint_id} not found on this thread")
        chunks = graph.astream(
            arguments.input,
            arguments.config,
            context=arguments.context,
            stream_mode="values",
            interrupt_before=arguments.interrupt_before,
            interrupt_after=arguments.interrupt_after,
            durability=arguments.durability,
        )
        async for values in chunks:
            answer.add(values)

    async def _keep_alive(self, claim: Claim) -> None:
        while True:
            await asyncio.sleep(self.heartbeat_s)
            until_ms = to_ms(self.clock()) + LEASE_MS
            lease = Lease(claim.lease.owner, claim.lease.epoch, until_ms)
            await asyncio.to_thread(self.runs.renew, claim, lease)

    def _fence(self, claim: Claim, saver: Any) -> None:
        if not claim.clean:
            saver.fence(claim.run.thread_id)

    async def _settle(self, claim: Claim, outcome: Outcome, body: Any) -> Ended:
        now = self.clock()
        following = await asyncio.to_thread(self.runs.settle, claim, outcome, now)
        if following is not None:
            await asyncio.to_thread(self.wake, claim.run, following)
        run = replace(
            claim.run,
            status=outcome.status,
            error=outcome.error,
            checkpoint_id=outcome.checkpoint_id,
            updated_at=now,
            ended_at=now,
        )
        return Ended(run, body)


async def _stop(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait for its end, whatever that is."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})


async def _flush(saver: Any) -> None:
    flush = getattr(saver, "aflush", None)
    if flush is not None:
        await flush()


def _lease_loss(error: BaseException) -> LeaseLost | None:
    """The loss of the lease in the chain of causes of an error, which LangGraph or a group may have wrapped."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        current = todo.pop()
        if current is None or id(current) in seen:
            continue
        if isinstance(current, LeaseLost):
            return current
        seen.add(id(current))
        todo += [current.__cause__, current.__context__, *getattr(current, "exceptions", ())]
    return None
