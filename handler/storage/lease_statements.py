"""Every DynamoDB request by which a thread changes hands, as pure functions.

A thread is *busy* while `active_run` is set or `queue` is not empty. `owner`, `epoch` and `until_ms` are the lease of
whoever drives the active run; they say when others may try, the sequence of the checkpoint log says who may write.

     free ──admit──▶ held (active_run, owner) ──settle──▶ free, or the next of the queue is started
                       │ ▲                └─lease dead or handed on─▶ take over (same run, new owner, epoch + 1)
                       └─┘ renew
"""

from datetime import datetime

from handler.domain.lease import STANDARD_TERMS, Lease, LeaseTerms
from handler.domain.models import Claim, Outcome, Run, Thread
from handler.domain.ports import Sighting
from handler.storage import items, keys
from handler.storage.items import instant, number, text
from handler.storage.queue_statements import line_of
from handler.storage.run_statements import RUN_ON_THREAD, config_set, outcome_values, run_values
from handler.storage.statements import (
    EPOCH_AS_SEEN,
    EXISTS,
    FREE,
    HELD,
    LINE_IS_EMPTY,
    NONE_DELAYED,
    NOT_EXPIRED,
    RENEW_TTL,
    TAKE_LEASE,
    Request,
    expiry_values,
    lease_values,
    update,
)

# The last holder let go in good order, so the log needs no fence. Every acquisition removes the mark.
CLEAN = "attribute_exists(#clean)"

# The epoch granted is higher than every one before it, whatever the machines' clocks say.
EPOCH_GROWS = "#epoch < :epoch"

# The run holds the thread, but its driver is gone: it let go of the lease, or the lease is dead.
ABANDONED = "#active = :run AND (attribute_not_exists(#owner) OR #until < :dead)"

# The same runs wait, in the same order, as when the thread was read.
LINE_AS_SEEN = "#queue = :line_seen"

# The same runs are to come later as when the thread was read.
DELAYED_AS_SEEN = "#delayed = :delayed_seen"


def admit_on_thread(run: Run, lease: Lease, *, seen: Sighting | None) -> Request:
    """Update of the thread on which a run is admitted: without a look only if it is clean, else if it is as seen."""
    unchanged = f"{CLEAN} AND {EPOCH_GROWS}" if seen is None else EPOCH_AS_SEEN
    free = FREE if passes_delayed(run) else f"{FREE} AND {NONE_DELAYED}"
    values = {
        **lease_values(lease),
        **run_values(run),
        **expiry_values(run.updated_at),
        ":zero": number(0),
        ":now": instant(run.created_at),
    }
    if seen is not None:
        values[":seen"] = number(seen.epoch)
    return update(
        items.thread_key(run.tenant, run.thread_id),
        f"SET {TAKE_LEASE}, {RUN_ON_THREAD}{config_set(run)}, #updated = :now REMOVE #clean",
        f"{EXISTS} AND {free} AND {NOT_EXPIRED} AND {unchanged}",
        values,
    )


def passes_delayed(run: Run) -> bool:
    """Whether a run may start before those that are to come later, and leave them their turn."""
    return run.multitask_strategy == "enqueue"


def take_over_on_thread(
    run: Run, lease: Lease, seen: Thread, now_ms: int, terms: LeaseTerms = STANDARD_TERMS
) -> Request:
    """Update of the thread whose active run gets another driver."""
    return update(
        items.thread_key(run.tenant, run.thread_id),
        f"SET {TAKE_LEASE} REMOVE #clean",
        f"{EXISTS} AND {ABANDONED} AND {EPOCH_AS_SEEN}",
        {
            **lease_values(lease),
            ":run": text(run.run_id),
            ":seen": number(seen.epoch),
            ":dead": number(now_ms - terms.skew_ms),
        },
    )


def renew(claim: Claim, lease: Lease) -> Request:
    """UpdateItem: prolong one's own lease."""
    return update(
        items.thread_key(claim.run.tenant, claim.run.thread_id),
        "SET #until = :until",
        HELD,
        lease_values(lease),
    )


def usurp_on_thread(victim: Run | None, lease: Lease, seen: Thread, successor: Run | None) -> Request:
    """Update of the thread whose active run is stopped; `successor` takes the place of all that wait."""
    sets, removes, values = [], [], {":seen": number(seen.epoch)}
    conditions = [EXISTS, EPOCH_AS_SEEN]
    tenant, thread_id = seen.tenant, seen.thread_id
    if victim is not None:
        conditions.append("#active = :run")
        sets.append(TAKE_LEASE)
        removes.append("#clean")
        values.update({**lease_values(lease), ":run": text(victim.run_id)})
    else:
        conditions.append("attribute_not_exists(#active)")
    if successor is not None:
        conditions.append(LINE_AS_SEEN if seen.queue else LINE_IS_EMPTY)
        conditions.append(DELAYED_AS_SEEN if seen.delayed else NONE_DELAYED)
        line, empty = ("#queue", "#delayed") if successor.due_at is None else ("#delayed", "#queue")
        sets.append(f"{line} = :line")
        removes.append(empty)
        values[":line"] = line_of([successor.run_id])
        values[":line_seen"] = line_of(seen.queue)
        values[":delayed_seen"] = line_of(seen.delayed)
        values[":zero"] = number(0)
    expression = f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(removes)}" if removes else "")
    return update(items.thread_key(tenant, thread_id), expression, " AND ".join(conditions), values)


def hand_off(claim: Claim, *, clean: bool) -> Request:
    """UpdateItem: let go of the lease but not of the thread; `clean`: the log is in good order."""
    marked, values = ("SET #clean = :clean ", {":clean": {"BOOL": True}}) if clean else ("", {})
    return update(
        items.thread_key(claim.run.tenant, claim.run.thread_id),
        f"{marked}REMOVE #owner, #until",
        HELD,
        {":owner": text(claim.lease.owner), ":epoch": number(claim.lease.epoch), **values},
    )


def settle_on_thread(claim: Claim, outcome: Outcome, now: datetime, *, queued: bool) -> Request:
    """Update of the thread when its run ends; `queued`: whether runs may be waiting."""
    run = claim.run
    values = {
        ":owner": text(claim.lease.owner),
        ":epoch": number(claim.lease.epoch),
        ":status": text(outcome.thread_status),
        ":now": instant(now),
        ":clean": {"BOOL": True},
        ":list_sk": items.listing(run.tenant, run.thread_id, now)[keys.LIST_SK],
        ":zero": number(0),
        **expiry_values(now),
        **outcome_values(outcome),
    }
    sets, removes = ["#updated = :now", "#clean = :clean", RENEW_TTL], ["#owner", "#until", "#active"]
    if not outcome.keeps_thread:
        sets += ["#status = :status", "#state_updated = :now", "#list_sk = :list_sk"]
        if outcome.checkpoint_id is not None:
            sets.append("#checkpoint = :checkpoint")
        if outcome.thread_error is not None:
            sets.append("#error = :thread_error")
        else:
            removes.append("#error")
    return update(
        items.thread_key(run.tenant, run.thread_id),
        f"SET {', '.join(sets)} REMOVE {', '.join(removes)}",
        HELD if queued else f"{HELD} AND {LINE_IS_EMPTY}",
        values,
    )
