"""Waits for runs: brings an accepted run to its end here, or watches it end elsewhere."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from handler.domain.models import Claim, Run, Thread
from handler.domain.ports import RunStore, SaverFactory, ThreadStore
from handler.domain.status import RunStatus
from handler.errors import LeaseLost, RunNotFound, StorageUnavailable
from handler.runs.admission import Admission, Admitted
from handler.runs.driver import Driver, Ended
from handler.runs.graphs import Graphs
from handler.runs.outcome import error_body, later_answer, output_of
from handler.runs.states import checkpoint_config

FIRST_POLL_S = 0.05
LAST_POLL_S = 0.5
"""A waiter looks again after 50 ms at first, then less and less often, at least twice a second."""

JITTER = random.Random()  # noqa: S311 - of its own: graphs and tests may rest on the state of the module's


class Waiter:
    """Follows runs to their end; everything here happens on the graph loop, storage calls on its threads."""

    def __init__(
        self,
        threads: ThreadStore,
        runs: RunStore,
        admission: Admission,
        driver: Driver,
        graphs: Graphs,
        savers: SaverFactory,
    ) -> None:
        self.threads = threads
        self.runs = runs
        self.admission = admission
        self.driver = driver
        self.graphs = graphs
        self.savers = savers
        self._following: set[asyncio.Task[Ended | None]] = set()
        self._turns: dict[str, asyncio.Event] = {}

    async def admit(self, run: Run, new_thread: Thread | None, *, inline: bool) -> Admitted:
        """Admit a run and stop what is in its way; ThreadBusy or ThreadNotFound if it is refused."""
        looks_ahead = inline and not run.kwargs.get("temporary") and not self.admission.recall.knows(run)
        ahead = (
            asyncio.to_thread(self.savers.look_ahead, run.tenant, run.thread_id) if looks_ahead else asyncio.sleep(0)
        )
        accepting = asyncio.to_thread(self.admission.admit, run, inline=inline, new_thread=new_thread)
        admitted, _ = await asyncio.gather(accepting, ahead)
        if admitted.stops is not None:
            await self.stop(admitted.stops)
        return admitted

    async def stop(self, claim: Claim) -> None:
        """End a run that was usurped; somebody else's doing so first is as good."""
        self.driver.abandon(claim.run.run_id, claim.lease.epoch)
        try:
            await self.driver.drive(claim)
        except LeaseLost:
            return

    async def follow(
        self, run: Run, admitted: Admitted | None, *, window_s: float | None = None, limit_s: float | None = None
    ) -> Ended | None:
        """The run at its end; None when the window (None: there is none) closes first: the run goes on.

        With `admitted` the run is driven here, now or when its turn comes, for at most `limit_s` seconds.
        """
        closed = asyncio.Event()
        task = asyncio.create_task(self._to_end(run, admitted, limit_s, closed))
        self._following.add(task)
        task.add_done_callback(self._following.discard)
        try:
            done, _ = await asyncio.wait({task}, timeout=window_s)
            return task.result() if done else None
        finally:
            # Not cancelled, since it may be just about to drive: it ends by itself if it only watches, or waits its
            # turn, for which a message is under way.
            closed.set()
            self.turn_has_come(run.run_id)

    @property
    def busy(self) -> bool:
        """Whether runs are followed or driven in this process."""
        return bool(self._following)

    async def idle(self, timeout_s: float) -> None:
        """Return when nothing is followed any more, or after so many seconds."""
        if self._following:
            await asyncio.wait(self._following, timeout=timeout_s)

    def turn_has_come(self, run_id: str) -> None:
        """Wake whoever waits in this process for the run's turn; call it on the graph loop."""
        event = self._turns.get(run_id)
        if event is not None:
            event.set()

    async def _to_end(
        self, run: Run, admitted: Admitted | None, limit_s: float | None, closed: asyncio.Event
    ) -> Ended | None:
        loop = asyncio.get_running_loop()
        deadline = None if limit_s is None else loop.time() + limit_s
        claim = admitted.claim if admitted else None
        partial: Any = None
        drives = admitted is not None
        event = self._turns.setdefault(run.run_id, asyncio.Event())
        try:
            poll_s = FIRST_POLL_S
            while True:
                try:
                    if claim is not None:
                        driven = await self.driver.drive(claim, None if deadline is None else deadline - loop.time())
                        if isinstance(driven, Ended):
                            return driven
                        drives = False  # the time of this process is over: the next driver is a worker
                    current = await asyncio.to_thread(self.runs.get, run.tenant, run.thread_id, run.run_id)
                    if current is None:
                        return await self._rolled_back(run, partial)
                    if current.ended:
                        return Ended(current, await self.answer_of(current))
                    claim = await self._claim_turn(current) if drives and not closed.is_set() else None
                except LeaseLost as lost:
                    claim, partial = None, lost.partial
                except StorageUnavailable:
                    claim = None  # the run was accepted: its waiter waits for better times
                if claim is None:
                    if closed.is_set():
                        return None
                    await _pause(event, poll_s)
                    poll_s = min(poll_s * 1.5, LAST_POLL_S)
        finally:
            self._turns.pop(run.run_id, None)

    async def _claim_turn(self, run: Run) -> Claim | None:
        if run.is_early(self.admission.clock()):
            return None
        thread = await asyncio.to_thread(self.threads.get, run.tenant, run.thread_id)
        if thread is None:
            raise RunNotFound(run.run_id)
        return await asyncio.to_thread(self.admission.claim_turn, run, thread)

    async def _rolled_back(self, run: Run, partial: Any) -> Ended:
        """A run that is gone while its thread is there was rolled back: its waiter gets what it had come to."""
        if await asyncio.to_thread(self.threads.get, run.tenant, run.thread_id) is None:
            raise RunNotFound(run.run_id)
        body = partial if partial is not None else await self.answer_of(run)
        return Ended(replace(run, status=RunStatus.INTERRUPTED), body)

    async def answer_of(self, run: Run) -> Any:
        """What a waiter is told who comes after the run's end: its own result, not the thread's current state."""
        if run.error is not None:
            return error_body(run.error)
        return await self._of_state(run, later_answer)

    async def values_of(self, run: Run) -> Any:
        """The values at a run's end, whatever that was; None if it came to no checkpoint."""
        return None if run.checkpoint_id is None else await self._of_state(run, output_of)

    async def _of_state(self, run: Run, part: Callable[[Any, Any], Any]) -> Any:
        config = checkpoint_config(run.thread_id, run.checkpoint_id)
        async with self.graphs.open(run.graph_id, {**config}, checkpointer=self.savers(run.tenant)) as graph:
            return part(await graph.aget_state(config), graph.output_channels)


def jittered(seconds: float) -> float:
    """So long, give or take a fifth."""
    return seconds * JITTER.uniform(0.8, 1.2)


async def _pause(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, at most so long, give or take a fifth."""
    try:
        await asyncio.wait_for(event.wait(), jittered(seconds))
    except TimeoutError:
        return
    event.clear()
