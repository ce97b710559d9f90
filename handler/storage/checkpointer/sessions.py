"""The logs that a saver works on, and what it may believe of them without asking the table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from handler.storage.checkpointer.cache import StateCache
from handler.storage.checkpointer.codec import Codec
from handler.storage.checkpointer.log import Log, Step, items_of, starts_chain
from handler.storage.checkpointer.reading import Tail
from handler.storage.checkpointer.records import RESET
from handler.storage.checkpointer.steps import ITEM_OVERHEAD
from handler.storage.checkpointer.takeover import is_dead
from handler.storage.keys import thread_pk
from handler.storage.table import Table

MAX_LOGS = 1024
"""Logs that a saver keeps in mind."""


class Logs:
    """The logs of a saver and its clones, made as they are asked for."""

    def __init__(
        self,
        table: Table,
        tenant: str,
        cache: StateCache,
        *,
        epoch: int,
        heads: Mapping[str, int] | None,
        exclusive: bool,
        newest_base: int | None = None,
    ) -> None:
        self.table = table
        self.tenant = tenant
        self.cache = cache
        self.epoch = epoch
        self.exclusive = exclusive
        self.leased: str | None = None
        """The thread that epoch and heads are about: the first one that the saver is used for."""

        self._has_lease = epoch > 0 or heads is not None
        self._heads = dict(heads or {})
        self._newest_base = newest_base
        self._lock = Lock()
        self._flushing = Lock()
        self._holding = False
        self.broken: BaseException | None = None
        """What a batch failed with: super-steps that were accepted are lost, so none may be stored any more."""

        self._logs: dict[tuple[str, str], Log] = {}

    def pk(self, thread_id: str) -> str:
        """The partition of a thread."""
        return thread_pk(self.tenant, thread_id)

    def epoch_of(self, thread_id: str) -> int:
        """The epoch of the lease on a thread, 0 without one."""
        return self.epoch if thread_id == self.leased else 0

    def log(self, thread_id: str, namespace: str) -> Log:
        """The log of a namespace."""
        with self._lock:
            if self._has_lease and self.leased is None:
                self.leased = thread_id
            log = self._logs.get((thread_id, namespace))
            if log is None:
                self._make_room()
                log = Log(self.table, self.pk(thread_id), namespace, self.epoch_of(thread_id))
                if not namespace and thread_id == self.leased:
                    log.reader.newest_base = self._newest_base
                self._logs[thread_id, namespace] = log
        return log

    def all(self) -> list[tuple[str, Log]]:
        """Every log with its thread."""
        with self._lock:
            return [(thread_id, log) for (thread_id, _), log in self._logs.items()]

    def begin_hold(self) -> bool:
        """Whether super-steps are held from now on, so that the caller has to end it."""
        with self._lock:
            begins, self._holding = not self._holding, True
            return begins

    def end_hold(self) -> None:
        """Make durable what was held; what is put from now on is held anew."""
        with self._lock:
            self._holding = False
        self.flush_batches()

    def flush_batches(self, *, but_last: bool = False) -> "Along | None":
        """Make the super-steps durable that were accepted, those of a subgraph before those of what called it.

        What a parent has put came after what its subgraphs had put: so it is taken in hand first, and stored last.
        `but_last`: what would be the root's last item is returned instead, if it is small.
        """
        along: Along | None = None
        with self._flushing:
            if self.broken is not None:
                raise self.broken
            parents_first = sorted(self.all(), key=lambda entry: depth(entry[1].namespace))
            taken = [(thread_id, log, log.detach()) for thread_id, log in parents_first]
            while taken:
                thread_id, log, batch = taken.pop()
                if but_last and not log.namespace:
                    batch, last = split_last(batch)
                    along = Along(self, thread_id, log, last) if last else None
                if not batch:
                    continue
                try:
                    log.store(batch)
                except BaseException as error:
                    self._break_off(error)
                    raise
                self.cache.put((self.tenant, thread_id, log.namespace), batch[-1].state)
        return along

    def _break_off(self, error: BaseException) -> None:
        """Have whoever puts or flushes from here on be told: in whatever namespace, it may rest on what is lost."""
        self.broken = error
        for thread_id, log in self.all():
            with log.lock:
                log.batch = []
                log.fail(error)
            self.cache.drop((self.tenant, thread_id, log.namespace))

    def _make_room(self) -> None:
        """Of a saver that lives long, the log that was used first goes first."""
        if len(self._logs) >= MAX_LOGS:
            idle = next((place for place, log in self._logs.items() if log.is_idle()), None)
            if idle is not None:
                self._logs.pop(idle)

    def trusts(self, thread_id: str) -> bool:
        """Whether what is remembered of a thread can only be made untrue by who is refused or refuses it."""
        return self.exclusive or thread_id == self.leased

    def tail(self, log: Log, thread_id: str, codec: Codec, *, fresh: bool) -> Tail:
        """The log's tail, read unless it is known; `fresh` accepts only what nobody can have changed."""
        if log.tail is not None and (not fresh or self.trusts(thread_id)):
            return log.tail
        key = (self.tenant, thread_id, log.namespace)
        cached = self.cache.get(key)
        head = self._heads.pop(log.namespace, None) if thread_id == self.leased else None
        if cached is not None and head == cached.seq:
            return log.accept(Tail(seq=cached.seq, epoch=cached.epoch, state=cached))
        tail = log.load(codec, cached)
        if log.namespace and tail.epoch and is_dead(tail, self._root_tail(thread_id, codec, fresh=fresh)):
            return self._bury(log, tail, codec)
        if tail.state is not None:
            self.cache.put(key, tail.state)
        return tail

    def _root_tail(self, thread_id: str, codec: Codec, *, fresh: bool) -> Tail:
        root = self.log(thread_id, "")
        with root.lock:
            return self.tail(root, thread_id, codec, fresh=fresh)

    def _bury(self, log: Log, tail: Tail, codec: Codec) -> Tail:
        """Take what a superseded driver left in a subgraph's log for nothing; under a lease, for everybody."""
        if not log.own_epoch:
            return log.accept(Tail(seq=tail.seq, epoch=tail.epoch))
        log.mark(RESET, tail, None, b"")
        return log.load(codec, None)

    def forget(self, thread_id: str) -> None:
        """Forget what is known of a thread."""
        for owner, log in self.all():
            if owner == thread_id:
                log.forget()
                self.cache.drop((self.tenant, thread_id, log.namespace))
        if thread_id == self.leased:
            self._heads.clear()


ALONG_BYTES = 2048
"""The largest item that a settlement takes along: in a transaction it costs twice, and saves a round trip."""


@dataclass(frozen=True, slots=True)
class Along:
    """The last super-steps of a run, to be written in the transaction that settles it."""

    logs: Logs
    thread_id: str
    log: Log
    steps: Sequence[Step]

    @property
    def action(self) -> dict[str, Any]:
        """The action of the transaction; refused when another writer has gone on."""
        return {"Put": self.log.as_item(self.steps)}

    def store(self) -> None:
        """Write them on their own: the run is not settled after all."""
        self.log.store(self.steps)

    def done(self) -> None:
        """The transaction went through."""
        self.log.stored(self.steps)
        self.logs.cache.put((self.logs.tenant, self.thread_id, self.log.namespace), self.steps[-1].state)


def split_last(batch: list[Step]) -> tuple[list[Step], list[Step]]:
    """A batch, and what of it may go along with a settlement: its last item, if that is small."""
    last = items_of(batch)[-1] if batch else []
    if starts_chain(last) or sum(len(step.body) + ITEM_OVERHEAD for step in last) > ALONG_BYTES:
        return batch, []
    return batch[: len(batch) - len(last)], last


def depth(namespace: str) -> int:
    """How many subgraphs a namespace is inside of."""
    return namespace.count("|") + 1 if namespace else 0
