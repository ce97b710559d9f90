"""Every DynamoDB request about the runs that wait for a thread, or are to come later, as pure functions."""

from collections.abc import Sequence

from handler.domain.lease import Lease
from handler.domain.models import Run, Thread
from handler.domain.ports import Where
from handler.storage import items
from handler.storage.items import Value, instant, number, text
from handler.storage.run_statements import FIRST_RUN_ON_THREAD, RUN_ON_THREAD, config_set, run_values
from handler.storage.statements import (
    EPOCH_AS_SEEN,
    EXISTS,
    FREE,
    NONE_DELAYED,
    NOT_EXPIRED,
    TAKE_LEASE,
    Request,
    expiry_values,
    lease_values,
    update,
)

# A run holds the thread or waits for it.
BUSY = "(attribute_exists(#active) OR (attribute_exists(#queue) AND size(#queue) > :zero))"

# The run is the next in line and nobody holds the thread.
NEXT_IN_LINE = "attribute_not_exists(#active) AND #queue[0] = :run"

# There is room for one more to wait.
LINE_IS_SHORT = "(attribute_not_exists(#queue) OR size(#queue) < :cap)"

# There is room for one more to come later.
FEW_DELAYED = "(attribute_not_exists(#delayed) OR size(#delayed) < :cap)"


def enqueue_on_thread(run: Run, where: Where, cap: int) -> Request:
    """Update of the thread in whose queue a run takes its place, or among those that are to come later."""
    condition = {
        Where.BUSY: f"{EXISTS} AND {BUSY} AND {LINE_IS_SHORT}",
        Where.FREE: f"{EXISTS} AND {FREE} AND {NONE_DELAYED} AND {NOT_EXPIRED}",
        Where.ANY: f"{EXISTS} AND {LINE_IS_SHORT} AND ({BUSY} OR {NOT_EXPIRED})",
    }[where]
    line = "#queue"
    if run.due_at is not None:
        line = "#delayed"
        condition = condition.replace(LINE_IS_SHORT, FEW_DELAYED)
    return update(
        items.thread_key(run.tenant, run.thread_id),
        f"SET {line} = list_append(if_not_exists({line}, :none), :line), {FIRST_RUN_ON_THREAD}, #updated = :now",
        condition,
        {
            **expiry_values(run.updated_at),
            **run_values(run),
            ":none": {"L": []},
            ":line": {"L": [text(run.run_id)]},
            ":cap": number(cap),
            ":zero": number(0),
            ":now": instant(run.updated_at),
        },
    )


def queue_delayed(run: Run, seen: Thread, cap: int) -> Request:
    """UpdateItem: a run that was to come later takes its place in the queue."""
    place = f"#delayed[{seen.delayed.index(run.run_id)}]"
    return update(
        items.thread_key(run.tenant, run.thread_id),
        f"SET #queue = list_append(if_not_exists(#queue, :none), :line) REMOVE {place}",
        f"{EXISTS} AND {place} = :run AND {LINE_IS_SHORT}",
        {
            ":none": {"L": []},
            ":line": line_of([run.run_id]),
            ":run": text(run.run_id),
            ":cap": number(cap),
        },
    )


def start_on_thread(run: Run, lease: Lease, seen: Thread) -> Request:
    """Update of the thread whose first pending run takes the lease."""
    return update(
        items.thread_key(run.tenant, run.thread_id),
        f"SET {TAKE_LEASE}, {RUN_ON_THREAD}{config_set(run)} REMOVE #queue[0], #clean",
        f"{EXISTS} AND {NEXT_IN_LINE} AND {EPOCH_AS_SEEN}",
        {**lease_values(lease), **run_values(run), ":seen": number(seen.epoch)},
    )


def cancel_queued_on_thread(run: Run, seen: Thread) -> Request:
    """Update of the thread on which a pending run no longer waits, or is no longer to come."""
    line, name = (seen.queue, "#queue") if run.run_id in seen.queue else (seen.delayed, "#delayed")
    place = f"{name}[{line.index(run.run_id)}]"
    return update(
        items.thread_key(run.tenant, run.thread_id),
        f"REMOVE {place}",
        f"{EXISTS} AND {place} = :run",
        {":run": text(run.run_id)},
    )


def line_of(run_ids: Sequence[str]) -> Value:
    """The queue as an attribute."""
    return {"L": [text(run_id) for run_id in run_ids]}
