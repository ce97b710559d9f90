"""Order of checkpoint ids: LangGraph's process-wide uuid6 clock, moved past what other machines have written."""

from threading import Lock
from uuid import UUID

from langgraph.checkpoint.base import id as uuid6_clock

LAST = "_last_v6_timestamp"
"""The clock's only state: LangGraph offers no other way to move it."""

_lock = Lock()


def move_uuid6_clock_past(checkpoint_id: str) -> None:
    """Make the next checkpoint id of this process greater than this one, whatever the two machines' clocks say."""
    try:
        value = UUID(checkpoint_id)
    except ValueError:
        return
    if value.version != 6:
        return
    time = (value.int >> 80) << 12 | (value.int >> 64) & 0x0FFF
    with _lock:
        if time > (getattr(uuid6_clock, LAST) or 0):
            setattr(uuid6_clock, LAST, time)
