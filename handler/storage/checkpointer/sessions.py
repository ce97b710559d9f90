"""The logs that a saver works on, and what it may believe of them without asking the table."""

from collections.abc import Mapping
from threading import Lock

from handler.storage.checkpointer.cache import StateCache
from handler.storage.checkpointer.codec import Codec
from handler.storage.checkpointer.log import Log
from handler.storage.checkpointer.reading import Tail
from handler.storage.checkpointer.records import RESET
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
        self._lock = Lock()
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
                self._logs[thread_id, namespace] = log
        return log

    def all(self) -> list[tuple[str, Log]]:
        """Every log with its thread."""
        with self._lock:
            return [(thread_id, log) for (thread_id, _), log in self._logs.items()]

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
