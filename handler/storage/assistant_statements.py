"""Every DynamoDB request about assistants, as pure functions that return the request's arguments.

A tenant's assistants lie in one partition, each with all that a listing shows: who lists them needs to read them all,
to filter and sort. Their versions lie in partitions of their own.
"""

from typing import Any

from handler.storage import keys
from handler.storage.items import number, text
from handler.storage.table import Item

Request = dict[str, Any]

NAMES = {"#pk": keys.PK, "#sk": keys.SK, "#revision": "revision", "#deleting": "deleting"}

# The assistant is as it was when the change was made of it, and no deletion has begun.
AS_SEEN = "attribute_exists(#pk) AND attribute_not_exists(#deleting) AND #revision = :seen"


def assistant_key(tenant: str, assistant_id: str) -> Item:
    """Primary key of an assistant."""
    return {keys.PK: text(keys.assistants_pk(tenant)), keys.SK: text(assistant_id)}


def version_key(tenant: str, assistant_id: str, version: int) -> Item:
    """Primary key of a version."""
    return {
        keys.PK: text(keys.assistant_versions_pk(tenant, assistant_id)),
        keys.SK: text(keys.assistant_version_sk(version)),
    }


def put_new(item: Item) -> Request:
    """PutItem, alone or in a transaction, that refuses to replace."""
    return {
        "Item": item,
        "ConditionExpression": "attribute_not_exists(#pk)",
        "ExpressionAttributeNames": {"#pk": keys.PK},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def replace_as_seen(item: Item, revision: int) -> Request:
    """PutItem, alone or in a transaction, that replaces the assistant of this revision."""
    return {
        "Item": item,
        "ConditionExpression": AS_SEEN,
        "ExpressionAttributeNames": {name: NAMES[name] for name in ("#pk", "#deleting", "#revision")},
        "ExpressionAttributeValues": {":seen": number(revision)},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def begin_deletion(tenant: str, assistant_id: str) -> Request:
    """UpdateItem: hide the assistant; repeated, it changes nothing."""
    return {
        "Key": assistant_key(tenant, assistant_id),
        "UpdateExpression": "SET #deleting = :true",
        "ConditionExpression": "attribute_exists(#pk)",
        "ExpressionAttributeNames": {name: NAMES[name] for name in ("#pk", "#deleting")},
        "ExpressionAttributeValues": {":true": {"BOOL": True}},
        "ReturnValues": "ALL_OLD",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def finish_deletion(tenant: str, assistant_id: str) -> Request:
    """DeleteItem of an assistant that is hidden; one that was created anew meanwhile stays."""
    return {
        "Key": assistant_key(tenant, assistant_id),
        "ConditionExpression": "attribute_exists(#deleting)",
        "ExpressionAttributeNames": {"#deleting": NAMES["#deleting"]},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def query_partition(pk: str, *, forward: bool = True, keys_only: bool = False) -> Request:
    """Query, strongly consistent, over all of a partition."""
    return {
        "KeyConditionExpression": "#pk = :pk",
        "ExpressionAttributeNames": {"#pk": keys.PK, **({"#sk": keys.SK} if keys_only else {})},
        "ExpressionAttributeValues": {":pk": text(pk)},
        "ConsistentRead": True,
        "ScanIndexForward": forward,
        **({"ProjectionExpression": "#pk, #sk"} if keys_only else {}),
    }
