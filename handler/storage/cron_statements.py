"""Every DynamoDB request about crons, as pure functions that return the request's arguments.

A cron stands in a partition of its tenant's crons; one that belongs to a thread has a mark in the thread's partition,
written and deleted together with it, by which it goes when the thread goes.
"""

from typing import Any

from handler.domain.models import Cron
from handler.storage import items, keys
from handler.storage.items import number, text
from handler.storage.statements import EXISTS, Request, put_new

# Nobody has changed the cron since it was read.
AS_SEEN = "#revision = :seen"


def create(cron: Cron) -> list[dict[str, Any]]:
    """Transaction: a new cron, and its mark on its thread, which has to be there."""
    actions: list[dict[str, Any]] = [{"Put": put_new(items.cron_to_item(cron))}]
    if cron.thread_id is None:
        return actions
    mark = {"Item": items.cron_mark(cron.tenant, cron.thread_id, cron.cron_id)}
    return [on_thread(cron.tenant, cron.thread_id), {"Put": mark}, *actions]


def on_thread(tenant: str, thread_id: str) -> dict[str, Any]:
    """The part of a transaction that asks for the thread to be there."""
    return {
        "ConditionCheck": {
            "Key": items.thread_key(tenant, thread_id),
            "ConditionExpression": EXISTS,
            "ExpressionAttributeNames": {"#pk": keys.PK, "#deleting": "deleting"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def replace(cron: Cron) -> Request:
    """PutItem: the next revision of a cron in the place of the one it was made from."""
    return {
        "Item": items.cron_to_item(cron),
        "ConditionExpression": AS_SEEN,
        "ExpressionAttributeNames": {"#revision": "revision"},
        "ExpressionAttributeValues": {":seen": number(cron.revision - 1)},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def delete(cron: Cron) -> list[dict[str, Any]]:
    """Transaction: a cron goes, with its mark."""
    actions: list[dict[str, Any]] = [{"Delete": {"Key": items.cron_key(cron.tenant, cron.cron_id)}}]
    if cron.thread_id is not None:
        actions.append({"Delete": {"Key": items.cron_mark(cron.tenant, cron.thread_id, cron.cron_id)}})
    return actions


def query_shard(tenant: str, shard: int) -> Request:
    """Query, strongly consistent, over one partition of a tenant's crons."""
    return {
        "KeyConditionExpression": "#pk = :pk",
        "ExpressionAttributeNames": {"#pk": keys.PK},
        "ExpressionAttributeValues": {":pk": text(keys.cron_shard(tenant, shard))},
        "ConsistentRead": True,
    }
