"""LangGraph's checkpoint port on DynamoDB: an append log per thread namespace, fenced by its sequence numbers."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
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
from handler.storage.checkpointer.faces import Steps, TwoFaces, Wait, in_thread
from handler.storage.checkpointer.log import BATCH_BYTES, Log
from handler.storage.checkpointer.pending import Held
from handler.storage.checkpointer.records import read_id
from handler.storage.checkpointer.sessions import Along, Logs
from handler.storage.checkpointer.state import settled_writes, write_list
from handler.storage.checkpointer.steps import Put
from handler.storage.checkpointer.tuples import checkpoint_tuple, config_of, delta_history, place_of
from handler.storage.keys import thread_of
from handler.storage.table import Table

HOLD_SECONDS = 0.025
"""How long writes wait for the record that takes them along: it comes about 1 ms later, more where CPU is short."""

TOGETHER_SECONDS = 0.1
"""How long super-steps wait for others to share an item with, where they need not be durable at once: a process that
dies loses so much more of an unfinished run. Quick steps come some milliseconds apart, more where CPU is short."""

PATIENCE_SECONDS = 60.0
"""How long writes wait for the put of their checkpoint, which LangGraph may start later than them."""

CACHE_BYTES = 64 * 1024 * 1024


class DynamoDBSaver(TwoFaces):
    """Saves checkpoints as one compressed item per super-step.

    `epoch` and `heads` are what the thread's lease says; they belong to the first thread that the saver is used for.
    `heads` gives the last sequence number of a namespace, so that a state in the cache needs no reading. `exclusive`
    says that nobody else writes the saver's threads as long as it lives; who is wrong about it is refused at the next
    put. Without either, each reading of the latest state asks the table.

    `newest_base` is what `look_for_base` said of that thread, shortly before: so much less is to be asked.

    `scans` says that the caller may read the whole table, whoever else's it is, as `delete_for_runs` and a `list`
    without config have to: no index is written for them. The service may not, and refuses them by name.

    `later` says that a put may return before it is durable: super-steps that come within TOGETHER_SECONDS share an
    item, and `flush` is when they are safe, as LangGraph's durability `async` has it. Only for one who holds the lease.
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
        later: bool = False,
        newest_base: int | None = None,
        scans: bool = False,
        hold: float = HOLD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(serde=serde or make_serde(strict=True, allowed=(), aes_key=None))
        self.hold = hold
        self.later = later
        self.scans = scans
        self.clock = clock
        states = cache if cache is not None else StateCache(CACHE_BYTES)
        self._logs = Logs(table, tenant, states, epoch=epoch, heads=heads, exclusive=exclusive, newest_base=newest_base)

    @property
    def heads(self) -> dict[str, int]:
        """The last sequence number by namespace, of those that end with a state that has no pending writes.

        Only these may be given to the next saver as `heads`: what else there is must be read.
        """
        leased = self._logs.leased
        tails = [(log.namespace, log.tail) for owner, log in self._logs.all() if owner == (leased or owner)]
        return {
            namespace: tail.seq
            for namespace, tail in tails
            if tail is not None and tail.state is not None and tail.seq == tail.state.seq and not tail.writes
        }

    @property
    def appended(self) -> bool:
        """Whether the run got on by this saver, in whatever namespace."""
        return any(log.appended for _, log in self._logs.all())

    # ------------------------------------------------------------------ the port

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the config names, or the latest one of its namespace."""
        thread_id, namespace = place_of(config)
        log = self._logs.log(thread_id, namespace)
        codec = Codec(self.serde)
        checkpoint_id = get_checkpoint_id(config)
        known = log.tail.state if log.tail is not None and self._logs.trusts(thread_id) else None
        if known is None or checkpoint_id not in (None, known.id):
            self._logs.flush_batches()
        log.settle_writes()
        with log.lock:
            if checkpoint_id is None or (log.tail is not None and self._logs.trusts(thread_id)):
                tail = self._logs.tail(log, thread_id, codec, fresh=True)
                if tail.state is not None and checkpoint_id in (None, tail.state.id):
                    return checkpoint_tuple(codec, thread_id, namespace, tail.state, settled_writes(tail.writes))
                if checkpoint_id is None:
                    return None
            found = log.reader.find(codec, checkpoint_id)
            if found is None:
                return None
            log.remember(found[0], len(found[1]))
            return checkpoint_tuple(codec, thread_id, namespace, *found)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - the port's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints newest first: of a namespace, of a thread or, without config and with `scans`, of the tenant."""
        if config is None:
            self._require_scans("a list without config")
        if limit is not None and limit <= 0:
            return
        wanted = get_checkpoint_id(config) if config else None
        found = (
            entry
            for thread_id, namespace in self._places(config)
            for entry in self._list_namespace(thread_id, namespace, filter, before, limit)
            if wanted is None or entry.checkpoint["id"] == wanted
        )
        yield from islice(found, limit)

    def _places(self, config: RunnableConfig | None) -> Iterable[tuple[str, str]]:
        """The namespaces that a config is about."""
        table = self._logs.table
        if config is not None and config["configurable"].get("checkpoint_ns") is not None:
            yield place_of(config)
            return
        pks = (
            maintenance.tenant_threads(table, self._logs.tenant) if config is None else [self._pk(place_of(config)[0])]
        )
        for pk in pks:
            for namespace in maintenance.thread_keys(table, pk):
                yield thread_of(pk), namespace

    def _list_namespace(
        self,
        thread_id: str,
        namespace: str,
        only: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Iterator[CheckpointTuple]:
        log = self._logs.log(thread_id, namespace)
        codec = Codec(self.serde)
        self._logs.flush_batches()
        log.settle_writes()
        if namespace and self._logs.tail(log, thread_id, codec, fresh=True).state is None:
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
        log = self._logs.log(thread_id, namespace)
        codec = Codec(self.serde)
        stored_metadata = get_checkpoint_metadata(config, metadata)
        run_id = stored_metadata.get("run_id")
        put = Put(checkpoint, stored_metadata, new_versions, get_checkpoint_id(config), run_id and str(run_id))
        if self.later and not log.goes_on_from(put.parent_id):
            self._logs.flush_batches()
        with log.lock:
            if self._logs.broken is not None:
                raise self._logs.broken
            try:
                self._logs.tail(log, thread_id, codec, fresh=False)
                state = log.put(codec, put, later=self.later)
            except Exception as error:
                log.fail(error)
                self._logs.cache.drop((self._logs.tenant, thread_id, namespace))
                raise
            if not self.later:
                self._logs.cache.put((self._logs.tenant, thread_id, namespace), state)
        if log.batched_bytes > BATCH_BYTES:
            self._logs.flush_batches()
        return config_of(thread_id, namespace, checkpoint["id"])

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        put = await super().aput(config, checkpoint, metadata, new_versions)
        if self.later and self._logs.begin_hold():
            asyncio.get_running_loop().call_later(TOGETHER_SECONDS, self._end_hold)
        return put

    def _end_hold(self) -> None:
        flush = asyncio.ensure_future(in_thread(self._logs.end_hold))
        # What it fails with breaks the log off: the next put or flush tells.
        flush.add_done_callback(lambda done: done.cancelled() or done.exception())

    def put_writes_in_steps(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> Steps:
        """Hold the writes until the next record takes them along, or the time is up and they go on their own."""
        if not writes:
            return
        thread_id, namespace = place_of(config)
        log = self._logs.log(thread_id, namespace)
        codec = Codec(self.serde)
        checkpoint_id = config["configurable"]["checkpoint_id"]
        run_id = get_checkpoint_metadata(config, {}).get("run_id")
        held = Held(checkpoint_id, write_list(codec, writes, task_id, task_path), run_id and str(run_id), codec)
        # A run that asks or fails puts no checkpoint after it.
        last = any(write.idx < 0 for write in held.writes)
        log.pending.hold(held)
        yield from self._await_place(log, thread_id, held, 0 if last else TOGETHER_SECONDS)
        until = self.clock() + (0 if last or not log.pending.worth_holding else self.hold)
        while not held.done.done() and (left := until - self.clock()) > 0:
            yield Wait(held.done, left)
        if log.pending.claim(held):
            yield lambda: self._store_alone(log, held)
        if not held.done.done():
            yield Wait(held.done, None)
        held.done.result()

    def _await_place(self, log: Log, thread_id: str, held: Held, hold: float) -> Steps:
        """Wait until the checkpoint of writes has its slot."""
        if held.placed.done():
            return
        if log.tail is None:
            yield lambda: self._locate(log, thread_id, held)
        until = self.clock() + PATIENCE_SECONDS
        while not held.placed.done() and (left := until - self.clock()) > 0:
            yield Wait(held.placed, hold if self.later else left)
            if not held.placed.done():
                # Its checkpoint may be held itself, until the run goes on, which it may do after these writes only.
                yield self._flush_quietly
            hold = TOGETHER_SECONDS
        if not held.placed.done():
            yield lambda: self._locate(log, thread_id, held)
        if not held.placed.done():
            log.pending.drop(
                held, StorageUnavailable(f"Checkpoint {held.checkpoint_id} was never put, only its writes")
            )
        held.placed.result()

    def _flush_quietly(self) -> None:
        with suppress(Exception):  # the saver is broken off, and whoever puts or flushes next is told
            self._logs.flush_batches()

    def _store_alone(self, log: Log, held: Held) -> None:
        """Store writes as an item of their own, after the super-steps that they presuppose."""
        try:
            self._logs.flush_batches()
        except BaseException as error:
            log.pending.give_up(held, error)
            raise
        log.pending.store(held)

    def _locate(self, log: Log, thread_id: str, held: Held) -> None:
        """Find the slot of a checkpoint that this saver has neither read nor written."""
        codec = held.codec
        with log.lock:
            self._logs.tail(log, thread_id, codec, fresh=False)
            if held.placed.done():
                return
            found = log.reader.find(codec, held.checkpoint_id)
            if found is not None:
                log.remember(found[0], len(found[1]))

    def flush(self) -> None:
        """Make all that was put durable; raise what a put or a write has failed with."""
        self._logs.flush_batches()
        for _, log in self._logs.all():
            log.settle_writes()
            failure = log.pending.failure
            if isinstance(failure, LeaseLost | StorageUnavailable):
                raise failure

    def flush_but_last(self) -> Along | None:
        """As `flush`, but the run's last item is for the caller to write, in the transaction that settles the run.

        None where there is nothing to take along: all is durable.
        """
        root = next((log for owner, log in self._logs.all() if owner == self._logs.leased and not log.namespace), None)
        if root is None or not root.pending.idle:
            self.flush()
            return None
        along = self._logs.flush_batches(but_last=True)
        self.flush()
        return along

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """The writes to delta channels since the nearest stored value of each, in one walk down the log."""
        if not channels:
            return {}
        thread_id, namespace = place_of(config)
        log = self._logs.log(thread_id, namespace)
        self._logs.flush_batches()
        log.settle_writes()
        return delta_history(Codec(self.serde), log.reader, get_checkpoint_id(config), channels)

    def look_for_base(self, thread_id: str) -> int:
        """What a saver may be given as `newest_base`: a hint, which nothing but cost rests on."""
        return self._logs.log(thread_id, "").reader.look_for_base()

    # ------------------------------------------------------------------ changing hands

    def fence(self, thread_id: str) -> None:
        """Take the thread over from a driver that may still be alive, so that it is refused from here on."""
        table, root = self._logs.table, self._logs.log(thread_id, "")
        with self._changing(thread_id) as pk, root.lock:
            takeover.fence(
                root,
                Codec(self.serde),
                lambda: maintenance.subgraph_keys(table, pk),
                lambda namespace: self._logs.log(thread_id, namespace),
            )

    def rollback(self, thread_id: str, *, run_id: str) -> None:
        """Leave the thread's state as it was before the run, subgraphs first; doing it twice is doing it once."""
        self._logs.log(thread_id, "")
        with self._changing(thread_id) as pk:
            keys = maintenance.subgraph_keys(self._logs.table, pk)
            touched = [name for name, items in keys.items() if any(read_id(item, RUN) == run_id for item in items)]
            for namespace in [*touched, ""]:
                log = self._logs.log(thread_id, namespace)
                with log.lock:
                    takeover.rollback(log, Codec(self.serde), run_id)

    # ------------------------------------------------------------------ whole threads

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread's checkpoints; a tombstone keeps its sequence numbers from being used again."""
        with self._changing(thread_id) as pk:
            maintenance.delete_thread(self._logs.table, pk, self._logs.epoch_of(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete what runs have written, in whatever thread; only with `scans`."""
        self._require_scans("delete_for_runs")
        logs, codec = self._logs, Codec(self.serde)
        logs.flush_batches()
        found = maintenance.run_logs(logs.table, logs.tenant, run_ids)
        for thread_id, namespaces in found.items():
            with self._changing(thread_id) as pk:
                for namespace in sorted(namespaces):
                    rewriter = maintenance.Rewriter(logs.table, pk, namespace, codec, self._logs.epoch_of(thread_id))
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
                    maintenance.prune(self._logs.table, pk, Codec(self.serde), self._logs.epoch_of(thread_id))

    def _require_scans(self, what: str) -> None:
        """NotImplementedError, as of a saver that lacks a capability, unless the whole table may be read."""
        if not self.scans:
            raise NotImplementedError(
                f"{what} reads the whole table, which this saver may not: name the thread instead"
            )

    def _pk(self, thread_id: str) -> str:
        return self._logs.pk(thread_id)

    @contextmanager
    def _changing(self, thread_id: str) -> Iterator[str]:
        """Change a thread as a whole, and forget what was known of it, however far it came."""
        self._logs.flush_batches()
        try:
            yield self._pk(thread_id)
        finally:
            self._logs.forget(thread_id)
