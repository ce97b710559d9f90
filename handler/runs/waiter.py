"""Waits for runs: brings an accepted run to its end here, or watches it end elsewhere."""

import asyncio
import random
from typing import Any

from handler.domain.models import Run, Thread
from handler.domain.ports import RunStore, SaverFactory, ThreadStore
from handler.errors import LeaseLost, RunNotFound
from handler.runs.admission import Admission, Admitted
from handler.runs.driver import Driver, Ended
from handler.runs.graphs import Graphs
from handler.runs.outcome import error_body, later_answer
from handler.runs.states import checkpoint_config

FIRST_POLL_S = 0.05
LAST_POLL_S = 0.5
"""A waiter looks again after 50 ms at first, then less and less often, at least twice a second."""


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
        self._following: set[asyncio.Task[Ended]] = set()
        self._turns: dict[str, asyncio.Event] = {}

    async def admit(self, run: Run, new_thread: Thread | None) -> Admitted:
        """Admit a run; ThreadBusy or ThreadNotFound if it is refused."""
        return await asyncio.to_thread(self.admission.admit, run, new_thread=new_thread)

    async def follow(self, run: Run, admitted: Admitted | None, window_s: float | None) -> Ended | None:
        """The run at its end; None when the window (None: there is none) closes first: the run goes on."""
        task = asyncio.create_task(self._to_end(run, admitted))
        self._following.add(task)
        task.add_done_callback(self._following.discard)
        done, _ = await asyncio.wait({task}, timeout=window_s)
        return task.result() if done else None

    def turn_has_come(self, run_id: str) -> None:
        """Wake whoever waits in this process for the run's turn; call it on the graph loop."""
        event = self._turns.get(run_id)
        if event is not None:
            event.set()

    async def _to_end(self, run: Run, admitted: Admitted | None) -> Ended:
        claim = admitted.claim if admitted else None
        event = self._turns.setdefault(run.run_id, asyncio.Event())
        try:
            poll_s = FIRST_POLL_S
            while True:
                if claim is not None:
                    try:
                        return await self.driver.drive(claim)
                    except LeaseLost:
                        claim = None
                current = await asyncio.to_thread(self.runs.get, run.tenant, run.thread_id, run.run_id)
                if current is None:
                    raise RunNotFound(run.run_id)
                if current.ended:
                    return Ended(current, await self.answer_of(current))
                thread = await asyncio.to_thread(self.threads.get, run.tenant, run.thread_id)
                if thread is None:
                    raise RunNotFound(run.run_id)
                claim = await asyncio.to_thread(self.admission.claim_turn, current, thread)
                if claim is None:
                    await _pause(event, poll_s)
                    poll_s = min(poll_s * 1.5, LAST_POLL_S)
        finally:
            self._turns.pop(run.run_id, None)

    async def answer_of(self, run: Run) -> Any:
        """What a waiter is told who comes after the run's end: its own result, not the thread's current state."""
        if run.error is not None:
            return error_body(run.error)
        config = checkpoint_config(run.thread_id, run.checkpoint_id)
        async with self.graphs.open(run.graph_id, {**config}, checkpointer=self.savers(run.tenant)) as graph:
            return later_answer(await graph.aget_state(config), graph.output_channels)


async def _pause(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, at most so long, give or take a fifth."""
    try:
        await asyncio.wait_for(event.wait(), seconds * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
    except TimeoutError:
        return
    event.clear()
