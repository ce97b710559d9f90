"""LangGraph's checkpoint port on DynamoDB: an append log per thread namespace, fenced by its sequence numbers."""

import asyncio
import builtins
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Any, ParamSpec, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from handler.errors import LeaseLost, StorageUnavailable
from handler.storage.checkpoint_statements import RUN
from handler.storage.checkpointer import maintenance, takeover
from handler.storage.checkpointer.cache import StateCache
from handler.storage.checkpointer.codec import Codec, make_serde
from handler.storage.checkpointer.log import Held, Log, Put
from handler.storage.checkpointer.reading import LogReader, Tail
from handler.storage.checkpointer.records import RESET, read_id
from handler.storage.checkpointer.state import (
    State,
    Write,
    load_checkpoint,
    load_value,
    settled_writes,
    write_list,
)
from handler.storage.checkpointer.takeover import is_dead
from handler.storage.keys import thread_of, thread_pk
from handler.storage.table import Table

P = ParamSpec("P")
R = TypeVar("R")

HOLD_SECONDS = 0.005
"""How long writes wait for the record that takes them along: LangGraph puts it about 1 ms after them."""

PATIENCE_SECONDS = 60.0
"""How long writes wait for the put of their checkpoint, which LangGraph may start later than them."""

MAX_LOGS = 1024
"""Logs that a saver keeps in mind."""

CACHE_BYTES = 64 * 1024 * 1024

EXECUTOR = ThreadPoolExecutor(max_workers=32, thread_name_prefix="checkpointer")
"""Threads of the async face, its own: nodes and others may fill the event loop's default executor."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Go on when the future is done or the time is up."""

    future: "Future[None]"
    seconds: float | None


Steps = Generator[Wait | Callable[[], None], None, None]
"""A call as a series of waits and blocking pieces of work; each face runs them in its own way."""


class Logs:
    """The logs that a saver and its clones work on."""

    def __init__(self, table: Table, tenant: str, cache: StateCache) -> None:
        self.table = table
        self.tenant = tenant
        self.cache = cache
        self.lock = Lock()
        self.logs: dict[tuple[str, str], Log] = {}
        self.leased: str | None = None
        """The thread that epoch and heads are about: the first one that the saver is used for."""

    def forget_idle(self) -> None:
        """Make room for one more log; of a saver that lives long, those used first go first."""
        if len(self.logs) >= MAX_LOGS:
            idle = next((place for place, log in self.logs.items() if log.is_idle()), None)
            if idle is not None:
                self.logs.pop(idle)


class DynamoDBSaver(BaseCheckpointSaver[int]):
    """Saves checkpoints as one compressed item per super-step.

    `epoch` and `heads` are what the thread's lease says; they belong to the first thread that the saver is used for.
    `heads` gives the last sequence number of a namespace, so that a state in the cache needs no reading. `exclusive`
    says that nobody else writes the saver's threads as long as it lives; who is wrong about it is refused at the next
    put. Without either, each reading of the latest state asks the table.
    """

    def __init__(
        self,
        table: Table,
        *,
        tenant: str = "default",
        epoch: int = 0,
        heads: Mapping[str, int] | None = None,
        cache: StateCache | None = None,
        serde: SerializerProtocol | None = None,
        exclusive: bool = False,
        hold: float = HOLD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(serde=serde or make_serde(strict=True, allowed=(), aes_key=None))
        self.epoch = epoch
        self.exclusive = exclusive
        self.hold = hold
        self.clock = clock
        self._known_heads = dict(heads) if heads is not None else None
        self._logs = Logs(table, tenant, cache if cache is not None else StateCache(CACHE_BYTES))

    # ------------------------------------------------------------------ logs

    def _log(self, thread_id: str, namespace: str) -> Log:
        logs = self._logs
        with logs.lock:
            if logs.leased is None and (self.epoch or self._known_heads is not None):
                logs.leased = thread_id
            log = logs.logs.get((thread_id, namespace))
            if log is None:
                logs.forget_idle()
                epoch = self.epoch if thread_id == logs.leased else 0
                log = Log(logs.table, thread_pk(logs.tenant, thread_id), namespace, epoch)
                logs.logs[thread_id, namespace] = log
        return log

    def _trusted(self, thread_id: str) -> bool:
        """Whether what this saver remembers of a thread can only be made untrue by who is refused or refuses it."""
        return self.exclusive or thread_id == self._logs.leased

    def _tail(self, log: Log, thread_id: str, *, fresh: bool) -> Tail:
        """The log's tail, read unless it is known; `fresh` accepts only what nobody can have changed."""
        if log.tail is not None and (not fresh or self._trusted(thread_id)):
            return log.tail
        cache, key = self._logs.cache, (self._logs.tenant, thread_id, log.namespace)
        cached = cache.get(key)
        heads = self._known_heads if thread_id == self._logs.leased else None
        head = heads.pop(log.namespace, None) if heads is not None else None
        if cached is not None and head == cached.seq:
            return log.accept(Tail(seq=cached.seq, epoch=cached.epoch, state=cached))
        codec = Codec(self.serde)
        tail = log.load(codec, cached)
        if log.namespace and tail.epoch and is_dead(tail, self._root_tail(thread_id, fresh=fresh)):
            if log.own_epoch:
                log.mark(RESET, tail, None, b"")
                return log.load(codec, None)
            return log.accept(Tail(seq=tail.seq, epoch=tail.epoch))
        if tail.state is not None:
            cache.put(key, tail.state)
        return tail

    def _root_tail(self, thread_id: str, *, fresh: bool) -> Tail:
        root = self._log(thread_id, "")
        with root.lock:
            return self._tail(root, thread_id, fresh=fresh)

    @property
    def heads(self) -> dict[str, int]:
        """The last sequence number by namespace, of those that end with a state that has no pending writes.

        Only these may be given to the next saver as `heads`: what else there is must be read.
        """
        with self._logs.lock:
            logs = [log for (thread, _), log in self._logs.logs.items() if thread == (self._logs.leased or thread)]
        tails = [(log.namespace, log.tail) for log in logs]
        return {
            namespace: tail.seq
            for namespace, tail in tails
            if tail is not None and tail.state is not None and tail.seq == tail.state.seq and not tail.writes
        }

    @property
    def appended(self) -> bool:
        """Whether the run got on by this saver, in whatever namespace."""
        with self._logs.lock:
            return any(log.appended for log in self._logs.logs.values())

    # ------------------------------------------------------------------ the port, sync

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the config names, or the latest one of its namespace."""
        thread_id, namespace = place_of(config)
        log = self._log(thread_id, namespace)
        codec = Codec(self.serde)
        checkpoint_id = get_checkpoint_id(config)
        with log.lock:
            log.store_held()
            if checkpoint_id is None or (log.tail is not None and self._trusted(thread_id)):
                tail = self._tail(log, thread_id, fresh=True)
                if tail.state is not None and checkpoint_id in (None, tail.state.id):
                    return checkpoint_tuple(codec, thread_id, namespace, tail.state, settled_writes(tail.writes))
                if checkpoint_id is None:
                    return None
            found = log.reader.find(codec, checkpoint_id)
            if found is None:
                return None
            log.remember(*found)
            return checkpoint_tuple(codec, thread_id, namespace, *found)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - the port's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints newest first: of a namespace, of a thread or, without config, of the tenant."""
        if limit is not None and limit <= 0:
            return
        threads = [config["configurable"]["thread_id"]] if config else self._threads()
        namespace = config["configurable"].get("checkpoint_ns") if config else None
        found = (
            entry
            for thread_id in threads
            for name in (
                [namespace] if namespace is not None else maintenance.thread_keys(self._logs.table, self._pk(thread_id))
            )
            for entry in self._list_namespace(thread_id, name, filter, before, limit)
        )
        wanted = get_checkpoint_id(config) if config else None
        yield from islice((e for e in found if wanted is None or e.checkpoint["id"] == wanted), limit)

    def _threads(self) -> "builtins.list[str]":
        return [thread_of(pk) for pk in maintenance.tenant_threads(self._logs.table, self._logs.tenant)]

    def _list_namespace(
        self,
        thread_id: str,
        namespace: str,
        only: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Iterator[CheckpointTuple]:
        log = self._log(thread_id, namespace)
        codec = Codec(self.serde)
        log.store_held()
        if namespace and self._tail(log, thread_id, fresh=True).state is None:
            return
        bound = get_checkpoint_id(before) if before else None
        wanted = None if only or bound else limit
        for state, writes in log.reader.checkpoints(codec, wanted):
            if bound is not None and state.id >= bound:
                continue
            if only:
                metadata = codec.load(state.metadata)
                if any(metadata.get(name) != value for name, value in only.items()):
                    continue
            yield checkpoint_tuple(codec, thread_id, namespace, state, writes)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Append a checkpoint; it is durable on return. LeaseLost: another writer has gone on from its parent."""
        thread_id, namespace = place_of(config)
        log = self._log(thread_id, namespace)
        stored_metadata = get_checkpoint_metadata(config, metadata)
        run_id = stored_metadata.get("run_id")
        put = Put(checkpoint, stored_metadata, new_versions, get_checkpoint_id(config), run_id and str(run_id))
        with log.lock:
            try:
                self._tail(log, thread_id, fresh=False)
                state = log.put(Codec(self.serde), put)
            except Exception as error:
                log.fail(error)
                self._logs.cache.drop((self._logs.tenant, thread_id, namespace))
                raise
            self._logs.cache.put((self._logs.tenant, thread_id, namespace), state)
        return config_of(thread_id, namespace, checkpoint["id"])

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote; it is durable on return, in the next record or as an item of its own."""
        for step in self._put_writes(config, writes, task_id, task_path):
            if isinstance(step, Wait):
                wait({step.future}, step.seconds)
            else:
                step()

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote, without blocking the event loop."""
        for step in self._put_writes(config, writes, task_id, task_path):
            if isinstance(step, Wait):
                waited = asyncio.wrap_future(step.future)
                # The futures tell those who ask for their results; one that is not asked any more is no news.
                waited.add_done_callback(lambda done: done.cancelled() or done.exception())
                await asyncio.wait({waited}, timeout=step.seconds)
            else:
                await in_thread(step)

    def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> Steps:
        if not writes:
            return
        thread_id, namespace = place_of(config)
        log = self._log(thread_id, namespace)
        codec = Codec(self.serde)
        checkpoint_id = config["configurable"]["checkpoint_id"]
        run_id = get_checkpoint_metadata(config, {}).get("run_id")
        held = Held(checkpoint_id, write_list(codec, writes, task_id, task_path), run_id and str(run_id), codec)
        log.hold(held)
        if not held.placed.done():
            if log.tail is None:
                yield lambda: self._locate(log, thread_id, held)
            if not held.placed.done():
                yield Wait(held.placed, PATIENCE_SECONDS)
            if not held.placed.done():
                yield lambda: self._locate(log, thread_id, held)
            if not held.placed.done() and log.claim(held):
                held.fail(StorageUnavailable(f"Checkpoint {checkpoint_id} was never put, its writes came alone"))
            held.placed.result()
        started = self.clock()
        while not held.done.done() and (left := started + self.hold - self.clock()) > 0:
            yield Wait(held.done, left)
        if log.claim(held):
            yield lambda: log.store(held)
        if not held.done.done():
            yield Wait(held.done, None)
        held.done.result()

    def _locate(self, log: Log, thread_id: str, held: Held) -> None:
        """Find the slot of a checkpoint that this saver has neither read nor written."""
        with log.lock:
            self._tail(log, thread_id, fresh=False)
            if held.placed.done():
                return
            found = log.reader.find(Codec(self.serde), held.checkpoint_id)
            if found is not None:
                log.remember(*found)

    def flush(self) -> None:
        """Make all held writes durable; raise what a put or a write has failed with."""
        with self._logs.lock:
            logs = list(self._logs.logs.values())
        for log in logs:
            with log.lock:
                log.store_held()
                if isinstance(log.failure, LeaseLost | StorageUnavailable):
                    raise log.failure

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """The writes to delta channels since the nearest stored value of each, in one walk down the log."""
        if not channels:
            return {}
        thread_id, namespace = place_of(config)
        log = self._log(thread_id, namespace)
        log.store_held()
        return delta_history(Codec(self.serde), log.reader, get_checkpoint_id(config), channels)

    # ------------------------------------------------------------------ changing hands

    def fence(self, thread_id: str) -> None:
        """Take the thread over from a driver that may still be alive, so that it is refused from here on."""
        table, root = self._logs.table, self._log(thread_id, "")
        with self._changing(thread_id) as pk, root.lock:
            takeover.fence(
                root,
                Codec(self.serde),
                lambda: maintenance.thread_keys(table, pk),
                lambda namespace: self._log(thread_id, namespace),
            )

    def rollback(self, thread_id: str, *, run_id: str) -> None:
        """Leave the thread's state as it was before the run, subgraphs first; doing it twice is doing it once."""
        self._log(thread_id, "")
        with self._changing(thread_id) as pk:
            keys = maintenance.thread_keys(self._logs.table, pk)
            for namespace, items in sorted(keys.items(), reverse=True):
                if any(read_id(item, RUN) == run_id for item in items):
                    log = self._log(thread_id, namespace)
                    with log.lock:
                        takeover.rollback(log, Codec(self.serde), run_id)

    # ------------------------------------------------------------------ whole threads

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread's checkpoints; a tombstone keeps its sequence numbers from being used again."""
        with self._changing(thread_id) as pk:
            maintenance.delete_thread(self._logs.table, pk, self._epoch_of(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete what runs have written, in whatever thread: a scan of the table."""
        logs, codec = self._logs, Codec(self.serde)
        found = maintenance.run_logs(logs.table, logs.tenant, run_ids)
        for thread_id, namespaces in found.items():
            with self._changing(thread_id) as pk:
                for namespace in sorted(namespaces):
                    rewriter = maintenance.Rewriter(logs.table, pk, namespace, codec, self._epoch_of(thread_id))
                    rewriter.forget_runs(frozenset(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread's history behind that of another thread."""
        with self._changing(target_thread_id) as pk:
            maintenance.copy_thread(self._logs.table, self._pk(source_thread_id), pk)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the latest checkpoint of each namespace, or none."""
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"Unknown pruning strategy: {strategy}")
        for thread_id in thread_ids:
            if strategy == "delete":
                self.delete_thread(thread_id)
            else:
                with self._changing(thread_id) as pk:
                    maintenance.prune(self._logs.table, pk, Codec(self.serde), self._epoch_of(thread_id))

    def _epoch_of(self, thread_id: str) -> int:
        return self.epoch if thread_id == self._logs.leased else 0

    def _pk(self, thread_id: str) -> str:
        return thread_pk(self._logs.tenant, thread_id)

    @contextmanager
    def _changing(self, thread_id: str) -> Iterator[str]:
        """Change a thread as a whole, and forget what was known of it, however far it came."""
        try:
            yield self._pk(thread_id)
        finally:
            self._forget(thread_id)

    def _forget(self, thread_id: str) -> None:
        logs = self._logs
        with logs.lock:
            gone = [(key, log) for key, log in logs.logs.items() if key[0] == thread_id]
        for (_, namespace), log in gone:
            log.forget()
            logs.cache.drop((logs.tenant, thread_id, namespace))
        if self._known_heads is not None and thread_id == logs.leased:
            self._known_heads.clear()

    # ------------------------------------------------------------------ the port, async

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


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a blocking call on a thread of the checkpointer."""
    context = copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(EXECUTOR, lambda: context.run(function, *args, **kwargs))


def place_of(config: RunnableConfig) -> tuple[str, str]:
    """Thread and namespace of a config."""
    configurable = config["configurable"]
    return str(configurable["thread_id"]), configurable.get("checkpoint_ns", "")


def config_of(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    """The config that names a checkpoint."""
    return {
        "configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id},
    }


def delta_history(
    codec: Codec, reader: LogReader, checkpoint_id: str | None, channels: Sequence[str]
) -> dict[str, DeltaChannelHistory]:
    """Walk from a checkpoint (None: the latest) to its ancestors until each channel's stored value is found."""
    found: dict[str, DeltaChannelHistory] = {channel: {"writes": []} for channel in channels}
    remaining = set(channels)
    wanted, started = checkpoint_id, False
    for state, writes in reader.checkpoints(codec):
        if wanted is not None and state.id != wanted:
            continue
        if started:
            for channel in remaining:
                own = [(w.task_id, channel, codec.load((w.kind, w.data))) for w in writes if w.channel == channel]
                found[channel]["writes"] = own + found[channel]["writes"]
            for channel in remaining & set(state.channels):
                found[channel]["seed"] = load_value(codec, state.channels[channel])
            remaining -= set(state.channels)
        started, wanted = True, state.parent
        if wanted is None or not remaining:
            break
    return found


def checkpoint_tuple(
    codec: Codec, thread_id: str, namespace: str, state: State, writes: Sequence[Write]
) -> CheckpointTuple:
    """A checkpoint as LangGraph wants it."""
    return CheckpointTuple(
        config=config_of(thread_id, namespace, state.id),
        checkpoint=load_checkpoint(codec, state),
        metadata=codec.load(state.metadata),
        parent_config=config_of(thread_id, namespace, state.parent) if state.parent else None,
        pending_writes=[(write.task_id, write.channel, codec.load((write.kind, write.data))) for write in writes],
    )
