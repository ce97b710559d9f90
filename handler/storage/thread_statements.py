"""Every DynamoDB request that lists, changes or deletes threads without a run, as pure functions."""

import math
from datetime import UTC, date, datetime

from handler.domain.lease import STANDARD_TERMS, Lease, LeaseTerms
from handler.domain.models import StateChange, Thread, ThreadTtl, TtlStrategy, to_ms
from handler.storage import items, keys
from handler.storage.items import Value, instant, number, text
from handler.storage.schema import EXPIRES_AT
from handler.storage.statements import (
    EPOCH_AS_SEEN,
    EXISTS,
    FREE,
    HELD,
    NONE_DELAYED,
    RENEW_TTL,
    TAKE_LEASE,
    Request,
    expiry_values,
    lease_values,
    update,
)

# Nobody else changes the state at this moment; a run, which asks for nobody's lease but a run's, comes before.
NOT_HELD = "(attribute_not_exists(#owner) OR #until < :dead)"


# The thread's time is over, and no run keeps it.
EXPIRED = f"#ttl = :delete AND #due <= :now_ms AND {FREE} AND {NONE_DELAYED}"


def merge_metadata(
    thread: Thread,
    merged: Value,
    seen: Value,
    now: datetime,
    *,
    graph_id: str | None = None,
    ttl: ThreadTtl | None = None,
) -> Request:
    """UpdateItem: replace the metadata if they are still as seen; with `graph_id` they bind the thread to a graph."""
    list_sk = items.listing(thread.tenant, thread.thread_id, now)[keys.LIST_SK]
    values = {":merged": merged, ":seen": seen, ":now": instant(now), ":list_sk": list_sk}
    if graph_id:
        values[":graph"] = text(graph_id)
    sets = ["#metadata = :merged", "#updated = :now", "#list_sk = :list_sk"]
    sets += ["#graph = :graph"] if graph_id else []
    if ttl:
        sets += ["#ttl = :ttl", "#ttl_ms = :ttl_ms", "#due = :due_ms"]
        values.update({f":{name}": value for name, value in items.ttl_attributes(ttl).items()})
    return update(
        items.thread_key(thread.tenant, thread.thread_id),
        f"SET {', '.join(sets)}",
        f"{EXISTS} AND #metadata = :seen",
        values,
        returning="ALL_NEW",
    )


def begin_deletion(tenant: str, thread_id: str) -> Request:
    """UpdateItem: hide the thread and take it from whoever holds it; repeated, it changes nothing."""
    return update(
        items.thread_key(tenant, thread_id),
        "SET #deleting = :true REMOVE #owner, #until, #active, #queue, #delayed, #clean, #list_pk, #list_sk",
        "attribute_exists(#pk)",
        {":true": {"BOOL": True}},
        returning="ALL_OLD",
    )


def begin_expiry(tenant: str, thread_id: str, now: datetime) -> Request:
    """UpdateItem: hide a thread whose time is over, or one that was hidden before; otherwise refused."""
    return update(
        items.thread_key(tenant, thread_id),
        begin_deletion(tenant, thread_id)["UpdateExpression"],
        f"attribute_exists(#deleting) OR ({EXPIRED})",
        {
            ":true": {"BOOL": True},
            ":delete": text(TtlStrategy.DELETE),
            ":now_ms": number(to_ms(now)),
            ":zero": number(0),
        },
    )


def put_expiry(tenant: str, thread_id: str, due: datetime) -> Request:
    """PutItem of what DynamoDB deletes when a thread is due, so that somebody is told to look."""
    moment = due.astimezone(UTC)
    return {
        "Item": {
            keys.PK: text(keys.expiry_pk(moment.date().isoformat(), keys.expiry_shard(thread_id))),
            keys.SK: text(keys.expiry_sk(moment.isoformat(timespec="milliseconds"), tenant, thread_id)),
            EXPIRES_AT: number(math.ceil(moment.timestamp())),
        }
    }


def list_expiries(day: date, shard: int, until: datetime) -> Request:
    """Query of the expiries of a day up to a moment."""
    end = until.astimezone(UTC).isoformat(timespec="milliseconds")
    return {
        "KeyConditionExpression": "#pk = :pk AND #sk < :end",
        "ExpressionAttributeNames": {"#pk": keys.PK, "#sk": keys.SK},
        "ExpressionAttributeValues": {":pk": text(keys.expiry_pk(day.isoformat(), shard)), ":end": text(end)},
        "ConsistentRead": True,
    }


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
    values = {**lease_values(lease), **expiry_values(now), ":clean": {"BOOL": True}}
    sets, removes = ["#clean = :clean"] if clean else [], ["#owner", "#until"]
    if change is not None:
        sets += [RENEW_TTL, "#status = :status", "#updated = :now", "#state_updated = :now", "#list_sk = :list_sk"]
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
