"""The things of the service as frozen values: threads, runs, assistants, callers."""

import os
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from handler.domain.lease import Lease
from handler.domain.status import TERMINAL, RunStatus, ThreadStatus

JsonObject = dict[str, Any]

SYSTEM_NAMESPACE = uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""Namespace of the system assistants' ids, as the reference server derives them."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request; the tenant is part of every key."""

    tenant: str
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Assistant:
    """A graph together with a configuration; each graph of langgraph.json has a system assistant."""

    assistant_id: str
    graph_id: str
    name: str
    created_at: datetime
    updated_at: datetime
    config: JsonObject = field(default_factory=dict)
    context: JsonObject = field(default_factory=dict)
    metadata: JsonObject = field(default_factory=dict)
    version: int = 1
    description: str | None = None
    newest: int = 1
    """The highest version there is; `version` is the one in force."""
    revision: int = 1
    """Grows with each change, so that no change is built on another than it has seen."""


def system_assistant_id(graph_id: str) -> str:
    """The id of a graph's system assistant."""
    return str(uuid.uuid5(SYSTEM_NAMESPACE, graph_id))


MAX_TTL_MINUTES = 10 * 366 * 24 * 60
"""The longest time for which a thread can be kept, if not for ever: ten years."""


class TtlStrategy(StrEnum):
    """What becomes of a thread that nothing has changed for long."""

    DELETE = "delete"
    """It goes, with its runs and checkpoints."""
    KEEP_LATEST = "keep_latest"
    """All of its checkpoints but the latest go."""


@dataclass(frozen=True, slots=True)
class ThreadTtl:
    """How long a thread is kept after its last change."""

    strategy: TtlStrategy
    minutes: float
    due: datetime

    @property
    def span(self) -> timedelta:
        """The minutes as a span of time."""
        return timedelta(minutes=self.minutes)

    def renewed(self, now: datetime) -> "ThreadTtl":
        """The same, counted from now."""
        return ThreadTtl(self.strategy, self.minutes, now + self.span)


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation: metadata, the lease that guards it, and where its state stands."""

    tenant: str
    thread_id: str
    status: ThreadStatus
    """What the last run left; `shown_status` is what callers see."""
    created_at: datetime
    updated_at: datetime
    state_updated_at: datetime | None = None
    """When the last run ended; None: none has."""
    metadata: JsonObject = field(default_factory=dict)
    graph_id: str | None = None
    """The graph that last ran on the thread, or is the first to."""
    assistant_id: str | None = None
    epoch: int = 0
    """The highest epoch ever granted."""
    lease: Lease | None = None
    active_run: str | None = None
    """The run that holds the thread, with a live driver or without."""
    queue: tuple[str, ...] = ()
    """Ids of the pending runs, in order of arrival."""
    delayed: tuple[str, ...] = ()
    """Ids of the pending runs that are not to start before their time; they are in nobody's way until then."""
    clean: bool = True
    """Whether the last holder let go in good order; otherwise the next one has to fence the log first."""
    checkpoint_id: str | None = None
    """The root checkpoint at the end of the last run; None: no run has left one."""
    error: JsonObject | None = None
    """Why the last run failed: `{"error": class, "message": text}`."""
    config: JsonObject | None = None
    """What the last run was configured to beyond the usual; None: nothing."""
    ttl: ThreadTtl | None = None
    """How long it is kept; None: until somebody deletes it."""

    def expired(self, now: datetime) -> bool:
        """Whether it counts as gone, though it may still be stored."""
        ttl, kept = self.ttl, self.busy or self.delayed
        return ttl is not None and ttl.strategy is TtlStrategy.DELETE and ttl.due <= now and not kept

    @property
    def has_values(self) -> bool:
        """Whether a run or an update has left a state to show."""
        return self.checkpoint_id is not None

    @property
    def shown_config(self) -> JsonObject:
        """The config as callers see it."""
        if self.config is not None:
            return self.config
        return {"configurable": {}} if self.assistant_id is not None else {}

    @property
    def busy(self) -> bool:
        """Whether a run holds the thread or waits for it."""
        return self.active_run is not None or bool(self.queue)

    @property
    def shown_status(self) -> ThreadStatus:
        """The status as callers see it."""
        return ThreadStatus.BUSY if self.busy or self.delayed else self.status

    @property
    def shown_metadata(self) -> JsonObject:
        """The metadata as callers see it: the last run's graph and assistant are part of it."""
        names = {"graph_id": self.graph_id, "assistant_id": self.assistant_id}
        return {**self.metadata, **{name: value for name, value in names.items() if value is not None}}


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's name for a request: the same key in the same scope is the same run."""

    scope: str
    """The thread's id, or `-` for runs without a thread of the caller's."""
    key: str
    fingerprint: str
    """Digest of the request, so that another request under the same key is noticed."""
    expires_at: int
    """When the key may be used anew, in seconds since 1970."""


class CancelAction(StrEnum):
    """How a run is stopped before its end."""

    INTERRUPT = "interrupt"
    """It ends as interrupted; its finished super-steps are kept."""
    ROLLBACK = "rollback"
    """It is undone: the thread is as before it, and the run is gone."""
    DELETE = "delete"
    """It is gone, and its finished super-steps are kept."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of an assistant on a thread."""

    tenant: str
    thread_id: str
    run_id: str
    assistant_id: str
    graph_id: str
    status: RunStatus
    created_at: datetime
    updated_at: datetime
    multitask_strategy: str
    metadata: JsonObject = field(default_factory=dict)
    kwargs: JsonObject = field(default_factory=dict)
    """What was asked for: input, command, config, context and the other fields of the body that shape the run."""
    attempt: int = 0
    """How many drivers have started on it."""
    handoffs: int = 0
    """How many of those were handed the run by their predecessor."""
    cancel: CancelAction | None = None
    """Set once it is to be stopped: whoever takes it over settles it instead of driving it."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: JsonObject | None = None
    checkpoint_id: str | None = None
    """The root checkpoint at its end."""
    due_at: datetime | None = None
    """Before when it is not to start; None: at once."""
    present_until_ms: int | None = None
    """When its waiter counts as gone unless it asks again, in milliseconds since 1970; None: that does not matter."""
    webhook_attempts: int = 0
    """How often its end was to be told to its webhook."""
    webhook_until: datetime | None = None
    """Until when the last of these attempts has time; the next one comes after it."""
    webhook_sent_at: datetime | None = None
    """When its webhook took the news, or was given up."""
    idempotency: IdempotencyKey | None = None
    """The key under which it is to be admitted; not kept on the run."""
    pieces: int = 0
    """In how many items of their own its arguments are stored; 0: in none."""

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in TERMINAL

    def is_early(self, now: datetime) -> bool:
        """Whether its time is still to come."""
        return self.due_at is not None and now < self.due_at


@dataclass(frozen=True, slots=True)
class Cron:
    """A run that is started again and again, by a schedule."""

    tenant: str
    cron_id: str
    assistant_id: str
    schedule: str
    """When it fires: minute, hour, day of the month, month, day of the week, and perhaps second and year."""
    next_run_date: datetime
    """When it fires next, if it is enabled and its end is not before."""
    created_at: datetime
    updated_at: datetime
    thread_id: str | None = None
    """The thread on which it runs; None: each run gets one of its own."""
    user_id: str | None = None
    timezone: str | None = None
    """The IANA name of the time zone in which the schedule is meant; None: UTC."""
    end_time: datetime | None = None
    """After when it fires no more."""
    enabled: bool = True
    on_run_completed: str | None = None
    """Without a thread: whether the thread of each run goes (`delete`) or stays (`keep`) after it."""
    payload: JsonObject = field(default_factory=dict)
    """The body with which it was created, and so its runs are."""
    metadata: JsonObject = field(default_factory=dict)
    revision: int = 0
    """Grows with every change."""

    @property
    def ends_before_next(self) -> bool:
        """Whether it has fired for the last time."""
        return self.end_time is not None and self.end_time < self.next_run_date


@dataclass(frozen=True, slots=True)
class Claim:
    """A run together with the lease under which the holder of this value drives it."""

    run: Run
    lease: Lease
    clean: bool
    """Whether the last holder let go in good order; otherwise the log has to be fenced before the first super-step."""
    resumes: bool = False
    """Whether an earlier driver has worked on the run, so that it goes on from the last checkpoint."""
    handed_on: bool = False
    """Whether that driver let go of the run, rather than losing it."""
    heads: dict[str, int] | None = None
    """Per namespace of the log the last sequence number, where this process knows it; None: it has to look."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, as it is written to run and thread in one transaction."""

    status: RunStatus
    thread_status: ThreadStatus
    error: JsonObject | None = None
    """Why the run failed."""
    thread_error: JsonObject | None = None
    """What the thread shows as its error."""
    checkpoint_id: str | None = None
    deletes_run: bool = False
    """Whether the run goes rather than being kept as ended."""
    keeps_thread: bool = False
    """Whether status, error and checkpoint of the thread stay as they were before the run."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """What an update of a thread's state leaves on the thread."""

    status: ThreadStatus
    checkpoint_id: str | None
    """The latest root checkpoint."""


def new_run_id() -> str:
    """A version 7 UUID: unique, and sorted by the time of its making."""
    milliseconds = time.time_ns() // 1_000_000
    value = int.from_bytes(milliseconds.to_bytes(6, "big") + os.urandom(10), "big")
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return str(uuid.UUID(int=value))


def made_at(run_id: str) -> datetime | None:
    """When a run's id was made; None for an id of another make."""
    try:
        value = uuid.UUID(run_id)
    except ValueError:
        return None
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC) if value.version == 7 else None


def utc_now() -> datetime:
    """The wall clock; whoever needs time is handed this function or a fake of it."""
    return datetime.now(UTC)


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return int(moment.timestamp() * 1000)
