"""What the run lifecycle and the API need of the world, as protocols that `storage` fulfils."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from handler.domain.events import Event, EventId
from handler.domain.lease import Lease
from handler.domain.messages import Message
from handler.domain.models import (
    Assistant,
    CancelAction,
    Claim,
    Cron,
    JsonObject,
    Outcome,
    Run,
    StateChange,
    Thread,
    ThreadTtl,
)
from handler.domain.status import RunStatus
from handler.domain.store import Namespace, NamespaceListing, StoreItem, StoreSearch, Vector

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

Clock = Callable[[], datetime]
"""Returns the present moment in UTC."""


class Sighting(Protocol):
    """How a thread stood when it was last seen."""

    @property
    def epoch(self) -> int:
        """The highest epoch ever granted."""

    @property
    def clean(self) -> bool:
        """Whether the last holder let go in good order."""


class Where(StrEnum):
    """On what threads a run may take its place in the queue."""

    BUSY = "busy"
    """Where another run holds the thread or waits for it."""
    FREE = "free"
    """Where none does, and none is to come later."""
    ANY = "any"
    """On either."""


class ThreadStore(Protocol):
    """Threads by tenant and id."""

    def create(self, thread: Thread) -> bool:
        """Store a new thread; False if there is one with this id already."""

    def get(self, tenant: str, thread_id: str) -> Thread | None:
        """Read a thread, strongly consistent."""

    def merge_metadata(
        self, tenant: str, thread_id: str, changes: JsonObject, now: datetime, ttl: ThreadTtl | None = None
    ) -> Thread | None:
        """Merge `changes` into the metadata, key by key at the top level; None if there is no such thread.

        `ttl` is how long the thread is kept from now on; None: as it was, counted anew.
        """

    def delete(self, tenant: str, thread_id: str) -> bool:
        """Delete a thread with its runs and checkpoints; False if there is no such thread."""

    def expire(self, tenant: str, thread_id: str) -> bool:
        """Delete a thread whose time is over, or whose deletion was cut short; False if it has neither."""

    def arm(self, tenant: str, thread_id: str, due: datetime) -> None:
        """Have somebody look at the thread once it is due."""

    def due(self, days_back: int, now: datetime) -> Iterator[tuple[Mapping[str, Any], str, str]]:
        """What was armed for today or up to so many days ago and is due: its key, tenant and thread."""

    def disarm(self, key: Mapping[str, Any]) -> None:
        """Forget what was armed."""

    def get_many(self, tenant: str, thread_ids: Sequence[str]) -> Mapping[str, Thread]:
        """Read threads by id, strongly consistent; those that are not there are left out."""

    def listed(self, tenant: str, *, newest_first: bool, at_once: int) -> Iterator[str]:
        """The ids of a tenant's threads by the time of their last change, read about `at_once` at a time."""

    def count(self, tenant: str) -> int:
        """How many threads a tenant has."""

    def hold(self, thread: Thread, lease: Lease, now: datetime) -> bool:
        """Take the lease of a free thread for a moment, without a run; False if it is not free, or not as seen."""

    def release(self, thread: Thread, lease: Lease, change: StateChange | None, now: datetime, *, clean: bool) -> bool:
        """Let go of a held thread and note what became of its state; False if a run has taken it meanwhile.

        `clean`: nothing that was written under the lease is still under way.
        """


class RunStore(Protocol):
    """Runs, and the transactions in which a run and its thread change together.

    A method that returns None was refused by the thread's present state: read, decide anew, try again.
    """

    def get(self, tenant: str, thread_id: str, run_id: str) -> Run | None:
        """Read a run, strongly consistent."""

    def list(self, tenant: str, thread_id: str, *, limit: int, offset: int, status: RunStatus | None) -> Sequence[Run]:
        """Read the runs of a thread, newest first."""

    def admit(self, run: Run, lease: Lease, *, seen: Sighting | None, new_thread: Thread | None) -> Claim | Thread:
        """Accept a run on a free thread and take the lease; the thread as it stands if it cannot be had like this.

        `seen` is the thread as it was read (its epoch must still hold), None to try without having looked;
        `new_thread` is created if it is not there.
        """

    def enqueue(self, run: Run, *, where: Where, new_thread: Thread | None) -> Thread | None:
        """Accept a run that is to wait its turn; the thread as it stands if it was refused, None if accepted.

        `where` says on what threads it may wait; `new_thread` is what to create if there is no thread.
        """

    def start(self, run: Run, lease: Lease, seen: Thread) -> Claim | None:
        """Take the lease for the pending run at the head of the queue."""

    def queue_delayed(self, run: Run, seen: Thread) -> bool:
        """Put a delayed run whose time has come at the end of the queue; False if the thread has changed or is full."""

    def take_over(self, run: Run, lease: Lease, seen: Thread) -> Claim | None:
        """Take the lease for a run whose driver is gone or has handed it on."""

    def usurp(
        self, victim: Run | None, action: CancelAction, lease: Lease, seen: Thread, successor: Run | None
    ) -> Claim | None:
        """Take the thread from its active run, in order to stop it, and put `successor` in the place of all that wait.

        The claim is for the victim, to be settled by `action`. Without a victim the claim is for nobody: its run is
        the successor, which is then the next in line.
        """

    def cancel_queued(self, run: Run, action: CancelAction, seen: Thread) -> bool:
        """Take a pending run out of the queue and end it; False if the thread has changed."""

    def hand_off(self, claim: Claim, *, clean: bool) -> None:
        """Let go of the lease so that another driver goes on with the run. LeaseLost if another has it.

        `clean`: the run stopped between two super-steps, and nothing of it is still under way.
        """

    def delete(self, run: Run) -> None:
        """Delete a run that has ended."""

    def note_presence(self, run: Run, until_ms: int) -> None:
        """A run that has not ended is still waited for; nothing if it has, or if its waiter does not matter."""

    def begin_webhook(self, run: Run, until: datetime) -> bool:
        """Note that a run's webhook is told of its end, until then; False if another does so, or has done it."""

    def end_webhook(self, run: Run, now: datetime) -> None:
        """Note that a run's webhook needs no more telling."""

    def renew(self, claim: Claim, lease: Lease) -> None:
        """Prolong the lease; LeaseLost if another has it."""

    def settle(self, claim: Claim, outcome: Outcome, now: datetime, *, along: Sequence[JsonObject] = ()) -> str | None:
        """End run and hold together; the id of the pending run that is next, if any. LeaseLost if another has it.

        `along`: the checkpointer's last writes, which happen with it or not at all.
        """


class WakeQueue(Protocol):
    """Messages that say "look at this run"; they may be late, repeated or reordered."""

    def send(self, tenant: str, thread_id: str, run_id: str, *, delay_s: int = 0) -> None:
        """Have a worker look at a run after so many seconds (0 to 900).

        At once: a hint, besides the run's watchdog. Later: the watchdog itself, which goes on until the run has ended.
        """


class Timers(Protocol):
    """Messages that come at a moment; they may be lost, late, early, repeated or reordered."""

    def set(self, message: Message, due: datetime) -> None:
        """Have a worker get a message then, in place of an earlier one of the same name."""

    def clear(self, message: Message) -> None:
        """Take back what can be taken back; the message may still come."""


class CronStore(Protocol):
    """Crons by tenant and id."""

    def create(self, cron: Cron) -> None:
        """Store a new cron; ThreadNotFound if its thread is not there."""

    def get(self, tenant: str, cron_id: str) -> Cron | None:
        """Read a cron, strongly consistent."""

    def list(self, tenant: str) -> Sequence[Cron]:
        """Read all crons of a tenant, strongly consistent, in any order."""

    def replace(self, cron: Cron) -> Cron | None:
        """Store a cron in place of its revision, as the next one; None if that has changed or is gone."""

    def delete(self, tenant: str, cron_id: str) -> bool:
        """Delete a cron; False if there is none."""


class EventStore(Protocol):
    """The events of runs that somebody may come back for."""

    def append(self, run: Run, events: Sequence[Event], cut: EventId | None = None) -> int:
        """Store events of one epoch, in order; returns the bytes that they take.

        `cut`, from a driver that took over: what the one before has stored behind it is no part of the stream.
        """

    def read(self, run: Run, after: EventId) -> Sequence[Event]:
        """Some of the events behind `after`, in order; none if there are none yet."""

    def last(self, run: Run, before_epoch: int | None) -> EventId | None:
        """The last event stored, or the last before an epoch."""

    def follow(self, run: Run) -> None:
        """Ask whoever drives the run to store its events from now on."""

    def is_followed(self, run: Run) -> bool:
        """Whether somebody asked so."""


class AssistantStore(Protocol):
    """Assistants by id; those of langgraph.json's graphs are always there, and nobody changes them."""

    def get(self, tenant: str, assistant_id: str) -> Assistant | None:
        """Read an assistant, strongly consistent; None for one whose graph is not served."""

    def list(self, tenant: str) -> Sequence[Assistant]:
        """Read all assistants of a tenant."""

    def create(self, tenant: str, assistant: Assistant) -> bool:
        """Store a new assistant with its first version; False if there is one with this id already."""

    def change(
        self, tenant: str, assistant_id: str, changed: Callable[[Assistant], Assistant], now: datetime
    ) -> Assistant | None:
        """Put a new version in force, made of the one that is; None if there is no such assistant.

        `changed` is called anew where another change came first.
        """

    def versions(self, tenant: str, assistant_id: str) -> Sequence[Assistant]:
        """Read the versions of an assistant, newest first; none if there is no such assistant."""

    def set_version(self, tenant: str, assistant_id: str, version: int, now: datetime) -> Assistant | None:
        """Put an earlier version in force; None if there is none of this number."""

    def delete(self, tenant: str, assistant_id: str) -> bool:
        """Delete an assistant with its versions; False if there is no such assistant."""


class ItemStore(Protocol):
    """The items of the store, by tenant, namespace and key; those whose time is over are not there."""

    def get(self, tenant: str, namespace: Namespace, key: str, *, refresh: bool) -> StoreItem | None:
        """Read an item, strongly consistent; `refresh`: its time to live begins anew."""

    def put(
        self,
        tenant: str,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        *,
        vectors: Sequence[Vector] = (),
        ttl_minutes: float | None = None,
    ) -> None:
        """Store an item in the place of what was there; `vectors` say what it means."""

    def delete(self, tenant: str, namespace: Namespace, key: str) -> None:
        """Delete an item, if it is there."""

    def search(self, tenant: str, search: StoreSearch, *, meaning: Vector | None = None) -> list[StoreItem]:
        """Read a page of the items below a prefix: by namespace and key, or the nearest in meaning first."""

    def namespaces(self, tenant: str, listing: NamespaceListing) -> list[Namespace]:
        """Read a page of the namespaces in which there are items, sorted."""


class SaverFactory(Protocol):
    """Makes the checkpointer through which one driver or one reader sees a tenant's threads."""

    def __call__(self, tenant: str, claim: Claim | None = None) -> "BaseCheckpointSaver[str]":
        """A saver that writes under the claim's lease, or one that only reads."""

    def look_ahead(self, tenant: str, thread_id: str) -> None:
        """Find out what makes the first reading of a thread cheaper, for the saver that is made next for it."""
