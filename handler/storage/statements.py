"""What every DynamoDB request about threads and runs is made of: their attributes, conditions that several share.

The requests stand by subject: `lease_statements`, `queue_statements`, `run_statements`, `thread_statements`.
"""

import re
from datetime import datetime
from typing import Any

from handler.domain.lease import Lease
from handler.domain.models import TtlStrategy, to_ms
from handler.storage import keys
from handler.storage.items import Value, number, text
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
    "#pieces": "pieces",
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

# Nobody has taken the lease since the thread was read.
EPOCH_AS_SEEN = "#epoch = :seen"

# The lease is still the caller's own.
HELD = "#owner = :owner AND #epoch = :epoch"

# Nobody waits for the thread.
LINE_IS_EMPTY = "(attribute_not_exists(#queue) OR size(#queue) = :zero)"

# The thread's time is not over; a run that holds it, or waits for it, keeps it.
NOT_EXPIRED = (
    "(attribute_not_exists(#ttl) OR #ttl = :keep_latest OR #due > :now_ms "
    "OR (attribute_exists(#delayed) AND size(#delayed) > :zero))"
)

# The thread's time starts anew. That of a thread that is kept for ever ends far off, and nobody looks.
RENEW_TTL = "#due = if_not_exists(#ttl_ms, :forever) + :now_ms"

FOREVER_MS = 10**14

TAKE_LEASE = "#owner = :owner, #epoch = :epoch, #until = :until"


def put_new(item: Item) -> Request:
    """PutItem that refuses to replace."""
    return {
        "Item": item,
        "ConditionExpression": "attribute_not_exists(#pk)",
        "ExpressionAttributeNames": {"#pk": keys.PK},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


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


def lease_values(lease: Lease) -> dict[str, Value]:
    """The values of TAKE_LEASE."""
    return {":owner": text(lease.owner), ":epoch": number(lease.epoch), ":until": number(lease.until_ms)}


def expiry_values(now: datetime) -> dict[str, Value]:
    """The values of NOT_EXPIRED and RENEW_TTL."""
    return {
        ":keep_latest": text(TtlStrategy.KEEP_LATEST),
        ":forever": number(FOREVER_MS),
        ":now_ms": number(to_ms(now)),
    }


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
