"""Every DynamoDB request that lists threads or changes their state without a run, as pure functions."""

from datetime import datetime

from handler.domain.lease import STANDARD_TERMS, Lease, LeaseTerms
from handler.domain.models import StateChange, Thread, to_ms
from handler.storage import items, keys
from handler.storage.items import instant, number, text
from handler.storage.statements import (
    EPOCH_AS_SEEN,
    EXISTS,
    FREE,
    HELD,
    TAKE_LEASE,
    Request,
    lease_values,
    update,
)

# Nobody else changes the state at this moment; a run, which asks for nobody's lease but a run's, comes before.
NOT_HELD = "(attribute_not_exists(#owner) OR #until < :dead)"


def list_shard(tenant: str, shard: int, *, newest_first: bool = True, limit: int | None = None) -> Request:
    """Query of the keys of threads in one shard of the index by time; `limit` is for a page, not for the whole."""
    return {
        "IndexName": keys.LIST_INDEX,
        "KeyConditionExpression": "#list_pk = :shard",
        "ExpressionAttributeNames": {"#list_pk": keys.LIST_PK},
        "ExpressionAttributeValues": {":shard": text(keys.thread_list_shard(tenant, shard))},
        "ScanIndexForward": not newest_first,
        **({"Limit": limit} if limit is not None else {}),
    }


def hold(thread: Thread, lease: Lease, now: datetime, terms: LeaseTerms = STANDARD_TERMS) -> Request:
    """UpdateItem: take the lease of a free thread, without a run.

    No run waits for the holder: whoever admits one takes the thread, and fences the log, since `clean` is gone.
    """
    return update(
        items.thread_key(thread.tenant, thread.thread_id),
        f"SET {TAKE_LEASE} REMOVE #clean",
        f"{EXISTS} AND {FREE} AND {NOT_HELD} AND {EPOCH_AS_SEEN}",
        {
            **lease_values(lease),
            ":zero": number(0),
            ":seen": number(thread.epoch),
            ":dead": number(to_ms(now) - terms.skew_ms),
        },
    )


def release(thread: Thread, lease: Lease, change: StateChange | None, now: datetime, *, clean: bool) -> Request:
    """UpdateItem: let go of a held thread, and note what became of its state, if anything did."""
    values = {**lease_values(lease), ":clean": {"BOOL": True}}
    sets, removes = ["#clean = :clean"] if clean else [], ["#owner", "#until"]
    if change is not None:
        sets += ["#status = :status", "#updated = :now", "#state_updated = :now", "#list_sk = :list_sk"]
        removes.append("#error")
        values[":status"] = text(change.status)
        values[":now"] = instant(now)
        values[":list_sk"] = items.listing(thread.tenant, thread.thread_id, now)[keys.LIST_SK]
        if change.checkpoint_id is not None:
            sets.append("#checkpoint = :checkpoint")
            values[":checkpoint"] = text(change.checkpoint_id)
    return update(
        items.thread_key(thread.tenant, thread.thread_id),
        (f"SET {', '.join(sets)} " if sets else "") + f"REMOVE {', '.join(removes)}",
        HELD,
        values,
    )
