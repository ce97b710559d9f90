"""The states of a run and of a thread, and the one table of moves between them."""

from collections.abc import Mapping
from enum import StrEnum


class RunStatus(StrEnum):
    """What has become of a run; the values are the SDK's."""

    PENDING = "pending"
    """Accepted; waits for its turn on the thread."""
    RUNNING = "running"
    """Holds the thread; a driver works on it, or a message that wakes one is under way."""
    SUCCESS = "success"
    """Ended; the last checkpoint is durable. A stop for a human is a success."""
    ERROR = "error"
    """Ended by an exception, or by too many attempts."""
    INTERRUPTED = "interrupted"
    """Cancelled, or superseded by a run that interrupts."""
    TIMEOUT = "timeout"
    """Ended because one node outlasted what the platform allows."""


class ThreadStatus(StrEnum):
    """What a thread is doing; the values are the SDK's."""

    IDLE = "idle"
    """No run, and nothing left to do."""
    BUSY = "busy"
    """A run holds the thread or waits for it."""
    INTERRUPTED = "interrupted"
    """Stopped before a node: for a human, at a breakpoint, or by a cancel."""
    ERROR = "error"
    """The last run failed."""


RUN_MOVES: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.RUNNING, RunStatus.INTERRUPTED, RunStatus.ERROR}),
    RunStatus.RUNNING: frozenset(
        {RunStatus.RUNNING, RunStatus.SUCCESS, RunStatus.ERROR, RunStatus.INTERRUPTED, RunStatus.TIMEOUT}
    ),
    RunStatus.SUCCESS: frozenset(),
    RunStatus.ERROR: frozenset(),
    RunStatus.INTERRUPTED: frozenset(),
    RunStatus.TIMEOUT: frozenset(),
}
"""From each status the ones that may follow; running follows running when another driver takes the run over."""

TERMINAL = frozenset(status for status, following in RUN_MOVES.items() if not following)
"""The statuses that are final."""


def predecessors(status: RunStatus) -> tuple[RunStatus, ...]:
    """The statuses from which `status` may be reached, in the order of the table."""
    return tuple(before for before, following in RUN_MOVES.items() if status in following)
