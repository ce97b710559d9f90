"""Changes the state of threads without a run: updates, super-steps given at creation, pruning, copies.

Whoever changes a state takes the thread's lease for a moment, under an epoch of its own. It stops no run: whoever
admits one takes the thread all the same, and what the holder then tries to write is refused by the log. So nothing has
to be cleaned up after a holder that died, and no message is needed.
"""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from handler.domain.models import Claim, JsonObject, Run, StateChange, Thread
from handler.domain.ports import Clock, SaverFactory, ThreadStore
from handler.domain.status import RunStatus, ThreadStatus
from handler.errors import BadRequest, LeaseLost, ServiceError, StorageUnavailable, ThreadBusy, ThreadNotFound
from handler.runs.admission import Admission
from handler.runs.arguments import to_command
from handler.runs.graphs import Graphs
from handler.runs.outcome import describe_error
from handler.runs.states import checkpoint_config

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

Result = TypeVar("Result")

TRIES = 12
"""How often an update is begun anew after another's came first."""

PAUSE_S = 0.02
"""An update waits for another's end 20 ms at first, then longer, at most half a second."""

IN_FLIGHT = "Thread {} has in-flight runs: wait for them to finish, or cancel them"

NO_GRAPH = (
    "Thread '{}' has no assigned graph ID: it gets one with its first run, or by setting 'graph_id' in its metadata"
)


@dataclass(frozen=True, slots=True)
class Update:
    """What to change as if a node had done it."""

    values: Any
    as_node: str | None = None
    command: JsonObject | None = None
    """In place of values."""


class Updates:
    """Changes states; everything here happens on the graph loop, storage calls on its threads."""

    def __init__(
        self,
        threads: ThreadStore,
        graphs: Graphs,
        savers: SaverFactory,
        admission: Admission,
        clock: Clock,
    ) -> None:
        self.threads = threads
        self.graphs = graphs
        self.savers = savers
        self.admission = admission
        self.clock = clock

    def graph_of(self, thread: Thread) -> str:
        """The graph that a thread's state belongs to; BadRequest for a thread that has none, or one not served."""
        if thread.graph_id is None:
            raise BadRequest(NO_GRAPH.format(thread.thread_id))
        if thread.graph_id not in self.graphs.ids:
            raise BadRequest(f"Graph '{thread.graph_id}' not found. Expected one of: {list(self.graphs.ids)}")
        return thread.graph_id

    async def update(
        self, thread: Thread, supersteps: Sequence[Sequence[Update]], checkpoint: JsonObject
    ) -> JsonObject:
        """Apply updates at a checkpoint (empty: the latest), and return the configurable of the new one.

        ThreadBusy while a run holds the thread; BadRequest for what the graph refuses.
        """
        self.graph_of(thread)

        async def apply(held: Thread, saver: Any) -> tuple[JsonObject, StateChange]:
            return await self._apply(held, saver, supersteps, checkpoint)

        return await self._changing(thread, apply)

    async def _apply(
        self, thread: Thread, saver: Any, supersteps: Sequence[Sequence[Update]], checkpoint: JsonObject
    ) -> tuple[JsonObject, StateChange]:
        graph_id = self.graph_of(thread)
        config: RunnableConfig = {
            "configurable": {"checkpoint_ns": "", **checkpoint, "thread_id": thread.thread_id},
            "metadata": {"graph_id": graph_id},
        }
        async with self.graphs.open(graph_id, {**config}, checkpointer=saver) as graph:
            if checkpoint.get("checkpoint_id") and await saver.aget_tuple(config) is None:
                raise BadRequest(f"Checkpoint {checkpoint['checkpoint_id']} not found on this thread")
            try:
                updated = await graph.abulk_update_state(config, [_state_updates(step) for step in supersteps])
            except ServiceError:
                raise
            except Exception as error:
                raise refused_update(error) from error
            await saver.aflush()
            latest = await graph.aget_state(checkpoint_config(thread.thread_id, None))
        status = ThreadStatus.INTERRUPTED if latest.next else ThreadStatus.IDLE
        checkpoint_id = latest.config["configurable"].get("checkpoint_id")
        return dict(updated["configurable"]), StateChange(status, checkpoint_id)

    async def prune(self, thread: Thread) -> None:
        """Delete all of a thread's checkpoints but the latest; ThreadBusy while a run holds it."""

        async def keep_latest(held: Thread, saver: Any) -> tuple[None, None]:
            await saver.aprune([held.thread_id], strategy="keep_latest")
            return None, None

        await self._changing(thread, keep_latest)

    async def copy(self, thread: Thread, copy: Thread) -> None:
        """Make a new thread with the history of another; what a run is about to add may be missing."""
        saver: Any = self.savers(thread.tenant)
        await saver.acopy_thread(thread.thread_id, copy.thread_id)
        await asyncio.to_thread(self.threads.create, copy)

    async def _changing(
        self, thread: Thread, change: Callable[[Thread, Any], Awaitable[tuple[Result, StateChange | None]]]
    ) -> Result:
        """Run `change` under the thread's lease; it is begun anew when another came first and nothing was written."""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(min(PAUSE_S * 2**attempt, 0.5) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            current = await asyncio.to_thread(self.threads.get, thread.tenant, thread.thread_id)
            if current is None:
                raise ThreadNotFound(thread.thread_id)
            if current.busy or current.delayed:
                raise ThreadBusy(IN_FLIGHT.format(thread.thread_id))
            lease = self.admission.new_lease(current)
            if not await asyncio.to_thread(self.threads.hold, current, lease, self.clock()):
                continue
            noted: StateChange | None = None
            done = False
            try:
                saver: Any = self.savers(thread.tenant, Claim(nobodys_run(current), lease, clean=current.clean))
                if not current.clean:
                    await asyncio.to_thread(saver.fence, thread.thread_id)
                result, noted = await change(current, saver)
                done = True
            except LeaseLost:
                continue
            finally:
                await asyncio.to_thread(self.threads.release, current, lease, noted, self.clock(), clean=done)
            return result
        raise StorageUnavailable("the thread changes hands too often at the moment")


def nobodys_run(thread: Thread) -> Run:
    """What stands in a claim for the run of a change that none makes; super-steps are durable one by one."""
    return Run(
        tenant=thread.tenant,
        thread_id=thread.thread_id,
        run_id=str(uuid.UUID(int=0)),
        assistant_id=thread.assistant_id or "",
        graph_id=thread.graph_id or "",
        status=RunStatus.RUNNING,
        created_at=thread.updated_at,
        updated_at=thread.updated_at,
        multitask_strategy="reject",
        kwargs={"durability": "sync"},
    )


def copy_of(thread: Thread, thread_id: str, clock: Clock) -> Thread:
    """A new idle thread with another's metadata, before its history is there."""
    now = clock()
    fresh = Thread(thread.tenant, thread_id, ThreadStatus.IDLE, now, now, metadata=thread.metadata, config={})
    return replace(fresh, graph_id=thread.graph_id, assistant_id=thread.assistant_id)


def refused_update(error: Exception) -> Exception:
    """What the caller is told of an update that the graph refused; a failure of the service's own stays itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ServiceError):
            return cause
        cause = cause.__cause__ or cause.__context__
    if type(error).__name__ in ("InvalidUpdateError", "ValueError"):
        return BadRequest(str(error))
    described = describe_error(error)
    return BadRequest(f"{described['error']}: {described['message']}")


def _state_updates(step: Sequence[Update]) -> list[Any]:
    from langgraph.types import StateUpdate

    def values_of(update: Update) -> Any:
        return to_command(update.command) if update.command else update.values

    return [StateUpdate(values_of(update), update.as_node) for update in step]
