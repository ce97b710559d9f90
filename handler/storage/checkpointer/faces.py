"""The port's two colours: every call is written once, blocking, and runs on a thread for those who must not block."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)

P = ParamSpec("P")
R = TypeVar("R")

EXECUTOR = ThreadPoolExecutor(max_workers=32, thread_name_prefix="checkpointer")
"""Threads of the async face, its own: nodes and others may fill the event loop's default executor."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Go on when the future is done or the time is up."""

    future: "Future[None]"
    seconds: float | None


Steps = Generator[Wait | Callable[[], None], None, None]
"""A call as a series of waits and blocking pieces of work; each face runs them in its own way."""


def run_blocking(steps: Steps) -> None:
    """Run a call on the caller's thread."""
    for step in steps:
        if isinstance(step, Wait):
            wait({step.future}, step.seconds)
        else:
            step()


async def run_waiting(steps: Steps) -> None:
    """Run a call without blocking the event loop: its waits cost no thread."""
    for step in steps:
        if isinstance(step, Wait):
            waited = asyncio.wrap_future(step.future)
            # A future tells those who ask for its result; that nobody does any more is no news.
            waited.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.wait({waited}, timeout=step.seconds)
        else:
            await in_thread(step)


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a blocking call on a thread of the checkpointer."""
    context = copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(EXECUTOR, lambda: context.run(function, *args, **kwargs))


class TwoFaces(BaseCheckpointSaver[int]):
    """The async face of a saver, over its blocking one."""

    def put_writes_in_steps(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> Steps:
        """`put_writes` as a series of waits and pieces of work."""
        raise NotImplementedError

    def flush(self) -> None:
        """Make all that was put durable."""
        raise NotImplementedError

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote; it is durable on return, in the next record or as an item of its own."""
        run_blocking(self.put_writes_in_steps(config, writes, task_id, task_path))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As `put_writes`."""
        await run_waiting(self.put_writes_in_steps(config, writes, task_id, task_path))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return await in_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - the port's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As `list`."""
        found = self.list(config, filter=filter, before=before, limit=limit)
        while (entry := await in_thread(next, found, None)) is not None:
            yield entry

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        return await in_thread(self.put, config, checkpoint, metadata, new_versions)

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        await in_thread(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As `delete_for_runs`."""
        await in_thread(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As `copy_thread`."""
        await in_thread(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As `prune`."""
        await in_thread(self.prune, thread_ids, strategy=strategy)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As `get_delta_channel_history`."""
        return await in_thread(self.get_delta_channel_history, config=config, channels=channels)

    async def aflush(self) -> None:
        """As `flush`."""
        await in_thread(self.flush)
