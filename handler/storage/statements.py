"""Every DynamoDB request about threads and runs, as pure functions that return the request's arguments.

A thread is *busy* while `active_run` is set or `queue` is not empty. `owner`, `epoch` and `until_ms` are the lease of
whoever drives the active run; they say when others may try, the sequence of the checkpoint log says who may write.

     free ──admit──▶ held (active_run, owner) ──settle──▶ free, or the next of the queue is started
                       │ ▲                └─lease dead or handed on─▶ take over (same run, new owner, epoch + 1)
                       └─┘ renew
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from handler.domain.lease import STANDARD_TERMS, Lease, LeaseTerms
from handler.domain.models import (
    CancelAction,
    Claim,
    IdempotencyKey,
    JsonObject,
    Outcome,
    Run,
    Thread,
    ThreadTtl,
    TtlStrategy,
    to_ms,
)
from handler.domain.ports import Sighting, Where
from handler.domain.status import RunStatus, predecessors
from handler.storage import items, keys
from handler.storage.items import Value, instant, json_text, number, text
from handler.storage.schema import EXPIRES_AT
from handler.storage.table import Item

Request = dict[str, Any]
"""Arguments of one boto3 client call, without the table's name."""

NAMES = {
    "#pk": keys.PK,
    "#sk": keys.SK,
    "#status": "status",
    "#metadata": "metadata",
    "#owner": "owner",
    "#epoch": "epoch",
    "#until": "until_ms",
    "#active": "active_run",
    "#queue": "queue",
    "#delayed": "delayed",
    "#clean": "clean",
    "#deleting": "deleting",
    "#graph": "graph_id",
    "#assistant": "assistant_id",
    "#updated": "updated_at",
    "#state_updated": "state_updated_at",
    "#started": "started_at",
    "#ended": "ended_at",
    "#attempt": "attempt",
    "#handoffs": "handoffs",
    "#error": "error",
    "#cancel": "cancel",
    "#present": "present_until_ms",
    "#hook_attempts": "webhook_attempts",
    "#hook_until": "webhook_until",
    "#hook_sent": "webhook_sent_at",
    "#expires": EXPIRES_AT,
    "#checkpoint": "checkpoint_id",
    "#config": "config",
    "#ttl": "ttl",
    "#ttl_ms": "ttl_ms",
    "#due": "due_ms",
    "#list_pk": keys.LIST_PK,
    "#list_sk": keys.LIST_SK,
}

# The thread is there: its item exists and no deletion has begun.
EXISTS = "attribute_exists(#pk) AND attribute_not_exists(#deleting)"

# Nobody holds the thread, nobody waits for it. `size` of a missing attribute is an error, hence the OR.
FREE = "attribute_not_exists(#active) AND (attribute_not_exists(#queue) OR size(#queue) = :zero)"

# No run is to come later either.
NONE_DELAYED = "(attribute_not_exists(#delayed) OR size(#delayed) = :zero)"

# A run holds the thread or waits for it.
BUSY = "(attribute_exists(#active) OR (attribute_exists(#queue) AND size(#queue) > :zero))"

# The last holder let go in good order, so the log needs no fence. Every acquisition removes the mark.
CLEAN = "attribute_exists(#clean)"

# The epoch granted is higher than every one before it, whatever the machines' clocks say.
EPOCH_GROWS = "#epoch < :epoch"

# Nobody has taken the lease since the thread was read.
EPOCH_AS_SEEN = "#epoch = :seen"

# The lease is still the caller's own.
HELD = "#owner = :owner AND #epoch = :epoch"

# The run holds the thread, but its driver is gone: it let go of the lease, or the lease is dead.
ABANDONED = "#active = :run AND (attribute_not_exists(#owner) OR #until < :dead)"

# The run is the next in line and nobody holds the thread.
NEXT_IN_LINE = "attribute_not_exists(#active) AND #queue[0] = :run"

# Nobody waits for the thread.
LINE_IS_EMPTY = "(attribute_not_exists(#queue) OR size(#queue) = :zero)"

# There is room for one more to wait.
LINE_IS_SHORT = "(attribute_not_exists(#queue) OR size(#queue) < :cap)"

# The same runs wait, in the same order, as when the thread was read.
LINE_AS_SEEN = "#queue = :line_seen"

# There is room for one more to come later.
FEW_DELAYED = "(attribute_not_exists(#delayed) OR size(#delayed) < :cap)"

# The same runs are to come later as when the thread was read.
DELAYED_AS_SEEN = "#delayed = :delayed_seen"
# The thread's time is not over; a run that holds it, or waits for it, keeps it.
NOT_EXPIRED = (
    "(attribute_not_exists(#ttl) OR #ttl = :keep_latest OR #due > :now_ms "
    "OR (attribute_exists(#delayed) AND size(#delayed) > :zero))"
)

# The thread's time starts anew. That of a thread that is kept for ever ends far off, and nobody looks.
RENEW_TTL = "#due = if_not_exists(#ttl_ms, :forever) + :now_ms"

FOREVER_MS = 10**14

TAKE_LEASE = "#owner = :owner, #epoch = :epoch, #until = :until"

RUN_ON_THREAD = "#active = :run, #graph = :graph, #assistant = :assistant"

CONFIG_BYTES = 2_000
"""A run's config up to this size is shown on its thread."""


def put_new(item: Item) -> Request:
    """PutItem that refuses to replace."""
    return {
        "Item": item,
        "ConditionExpression": "attribute_not_exists(#pk)",
        "ExpressionAttributeNames": {"#pk": keys.PK},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def put_key(run: Run, key: IdempotencyKey, now: datetime) -> Request:
    """PutItem of an idempotency key, unless one stands that has not expired; TTL may be days late."""
    request = {"Item": items.key_to_item(run, key)}
    condition = "attribute_not_exists(#pk) OR #expires < :now_s"
    return conditional(request, "", condition, {":now_s": number(int(now.timestamp()))})


def get_strong(key: Item) -> Request:
    """GetItem, strongly consistent."""
    return {"Key": key, "ConsistentRead": True}


def query_prefix(tenant: str, thread_id: str, prefix: str, *, forward: bool = True, keys_only: bool = False) -> Request:
    """Query, strongly consistent, over a thread's items whose sort key begins with `prefix` ("" for all)."""
    condition = "#pk = :pk AND begins_with(#sk, :prefix)" if prefix else "#pk = :pk"
    values = {":pk": text(keys.thread_pk(tenant, thread_id)), ":prefix": text(prefix)}
    names = {"#pk": keys.PK, "#sk": keys.SK}
    return {
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": names if prefix or keys_only else {"#pk": keys.PK},
        "ExpressionAttributeValues": values if prefix else {":pk": values[":pk"]},
        "ConsistentRead": True,
        "ScanIndexForward": forward,
        **({"ProjectionExpression": "#pk, #sk"} if keys_only else {}),
    }


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
        f"SET {line} = list_append(if_not_exists({line}, :none), :line), #updated = :now",
        condition,
        {
            **expiry_values(run.updated_at),
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


def hand_off(claim: Claim) -> Request:
    """UpdateItem: let go of the lease but not of the thread; the log is in good order."""
    return update(
        items.thread_key(claim.run.tenant, claim.run.thread_id),
        "SET #clean = :clean REMOVE #owner, #until",
        HELD,
        {":owner": text(claim.lease.owner), ":epoch": number(claim.lease.epoch), ":clean": {"BOOL": True}},
    )


def line_of(run_ids: Sequence[str]) -> Value:
    """The queue as an attribute."""
    return {"L": [text(run_id) for run_id in run_ids]}


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


def run_begins(run: Run, now: datetime, *, handed_on: bool) -> Request:
    """Update of a run on which a driver starts.

    The attempt is as seen: who read the run before another driver began on it would give it its input again.
    """
    move = move_to(RunStatus.RUNNING)
    return update(
        items.run_key(run.tenant, run.thread_id, run.run_id),
        "SET #status = :to, #updated = :now, #started = if_not_exists(#started, :now) "
        "ADD #attempt :one, #handoffs :handed",
        f"{move['condition']} AND #attempt = :attempt",
        {
            **move["values"],
            ":now": instant(now),
            ":one": number(1),
            ":handed": number(int(handed_on)),
            ":attempt": number(run.attempt),
        },
    )


def run_ends(key: Item, outcome: Outcome, now: datetime) -> dict[str, Request]:
    """Update (or Delete, as the outcome wants it) of a run that ends, where the table of moves allows it."""
    move = move_to(outcome.status)
    if outcome.deletes_run:
        return {"Delete": conditional({"Key": key}, "", move["condition"], move["values"])}
    sets = ["#status = :to", "#updated = :now", "#ended = :now"]
    if outcome.checkpoint_id is not None:
        sets.append("#checkpoint = :checkpoint")
    if outcome.error is not None:
        sets.append("#error = :error")
    values = {**move["values"], ":now": instant(now), **outcome_values(outcome)}
    return {"Update": update(key, f"SET {', '.join(sets)}", move["condition"], values)}


def run_is_stopped(run: Run, action: CancelAction, now: datetime) -> Request:
    """Update of an active run that is to be stopped by `action`; the first who says so is heeded."""
    return update(
        items.run_key(run.tenant, run.thread_id, run.run_id),
        "SET #cancel = if_not_exists(#cancel, :action), #updated = :now",
        "#status = :running",
        {":action": text(action), ":running": text(RunStatus.RUNNING), ":now": instant(now)},
    )


def note_presence(run: Run, until_ms: int) -> Request:
    """UpdateItem: a run that has not ended is still waited for."""
    return update(
        items.run_key(run.tenant, run.thread_id, run.run_id),
        "SET #present = :until",
        "attribute_exists(#present) AND attribute_not_exists(#ended)",
        {":until": number(until_ms)},
    )


def begin_webhook(run: Run, until: datetime) -> Request:
    """UpdateItem: one more attempt to tell a run's webhook of its end, unless another has begun since it was read."""
    first = run.webhook_attempts == 0
    as_seen = "attribute_not_exists(#hook_attempts)" if first else "#hook_attempts = :seen"
    return update(
        items.run_key(run.tenant, run.thread_id, run.run_id),
        "SET #hook_attempts = :attempts, #hook_until = :until",
        f"attribute_exists(#ended) AND attribute_not_exists(#hook_sent) AND {as_seen}",
        {
            ":attempts": number(run.webhook_attempts + 1),
            ":until": instant(until),
            ":seen": number(run.webhook_attempts),
        },
    )


def end_webhook(run: Run, now: datetime) -> Request:
    """UpdateItem: a run's webhook needs no more telling."""
    return update(
        items.run_key(run.tenant, run.thread_id, run.run_id),
        "SET #hook_sent = :now",
        "attribute_exists(#pk)",
        {":now": instant(now)},
    )


def move_to(status: RunStatus) -> dict[str, Any]:
    """Condition and values that let a run move to `status`, derived from the table of moves."""
    before = predecessors(status)
    names = [f":from{index}" for index in range(len(before))]
    return {
        "condition": f"#status IN ({', '.join(names)})",
        "values": {":to": text(status), **{name: text(value) for name, value in zip(names, before, strict=True)}},
    }


def lease_values(lease: Lease) -> dict[str, Value]:
    """The values of TAKE_LEASE."""
    return {":owner": text(lease.owner), ":epoch": number(lease.epoch), ":until": number(lease.until_ms)}


def run_values(run: Run) -> dict[str, Value]:
    """The values by which a thread names its run."""
    values = {":run": text(run.run_id), ":graph": text(run.graph_id), ":assistant": text(run.assistant_id)}
    config = shown_config(run)
    return {**values, ":config": json_text(config)} if config else values


def shown_config(run: Run) -> JsonObject | None:
    """The config that a run's thread shows; None for the usual one, which costs nothing, and for one that is large."""
    asked = {name: value for name, value in (run.kwargs.get("config") or {}).items() if name != "configurable"}
    config = {**asked, "configurable": {}}
    return config if asked and len(json_text(config)["S"]) <= CONFIG_BYTES else None


def config_set(run: Run) -> str:
    """The part of an update that notes the config of the thread's run."""
    return ", #config = :config" if shown_config(run) else ""


def expiry_values(now: datetime) -> dict[str, Value]:
    """The values of NOT_EXPIRED and RENEW_TTL."""
    return {
        ":keep_latest": text(TtlStrategy.KEEP_LATEST),
        ":forever": number(FOREVER_MS),
        ":now_ms": number(to_ms(now)),
    }


def outcome_values(outcome: Outcome) -> dict[str, Value]:
    """The values of `outcome_sets`."""
    values: dict[str, Value] = {}
    if outcome.checkpoint_id is not None:
        values[":checkpoint"] = text(outcome.checkpoint_id)
    if outcome.error is not None:
        values[":error"] = json_text(outcome.error)
    if outcome.thread_error is not None:
        values[":thread_error"] = json_text(outcome.thread_error)
    return values


def update(
    key: Item, expression: str, condition: str, values: dict[str, Value], *, returning: str | None = None
) -> Request:
    """Arguments of an UpdateItem, or of an Update in a transaction."""
    request = conditional({"Key": key, "UpdateExpression": expression}, expression, condition, values)
    return {**request, "ReturnValues": returning} if returning else request


def conditional(request: Request, expression: str, condition: str, values: dict[str, Value]) -> Request:
    """A request with a condition, which names just what its expressions use, and is told the item on refusal."""
    used = set(re.findall(r"[#:]\w+", f"{expression} {condition}"))
    present = {name: value for name, value in values.items() if name in used}
    return {
        **request,
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {name: attribute for name, attribute in NAMES.items() if name in used},
        **({"ExpressionAttributeValues": present} if present else {}),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
