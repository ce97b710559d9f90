"""Every DynamoDB request about the items of the store, as pure functions that return the request's arguments."""

from typing import Any

from handler.storage import keys
from handler.storage.items import Value, number, text
from handler.storage.schema import EXPIRES_AT
from handler.storage.table import Item

Request = dict[str, Any]

NAMES = {
    "#pk": keys.PK,
    "#sk": keys.SK,
    "#value": "value",
    "#created": "created_at",
    "#updated": "updated_at",
    "#ttl": "ttl_minutes",
    "#expires": EXPIRES_AT,
    "#vectors": "vectors",
}

# What is there may be written over: TTL may be days late, and what has expired lends nobody its time of creation.
FREE_OR_ALIVE = "attribute_not_exists(#expires) OR #expires > :now_s"

# Nobody has put the item anew or deleted it since it was read.
EXPIRES_AS_SEEN = "#expires = :seen"


def get_item(key: Item) -> Request:
    """GetItem, strongly consistent."""
    return {"Key": key, "ConsistentRead": True}


def put_item(key: Item, attributes: dict[str, Value], now_s: int) -> Request:
    """UpdateItem in the place of what is there, which keeps its time of creation; refused where that has expired."""
    names = {"#value": ":value", "#updated": ":updated", "#vectors": ":vectors", "#ttl": ":ttl", "#expires": ":expires"}
    given = {name: value for name, value in names.items() if NAMES[name] in attributes}
    sets = ["#created = if_not_exists(#created, :updated)", *(f"{name} = {value}" for name, value in given.items())]
    gone = [name for name in names if name not in given]
    return {
        "Key": key,
        "UpdateExpression": f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(gone)}" if gone else ""),
        "ConditionExpression": FREE_OR_ALIVE,
        "ExpressionAttributeNames": {name: NAMES[name] for name in {"#created", "#expires", *names}},
        "ExpressionAttributeValues": {
            ":now_s": number(now_s),
            **{value: attributes[NAMES[name]] for name, value in given.items()},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def replace_expired(key: Item, attributes: dict[str, Value]) -> Request:
    """PutItem in the place of an item that has expired."""
    return {"Item": {**key, **attributes, NAMES["#created"]: attributes[NAMES["#updated"]]}}


def refresh(key: Item, expires_s: int, seen_s: int) -> Request:
    """UpdateItem: let an item live until then, if it is the one that was read."""
    return {
        "Key": key,
        "UpdateExpression": "SET #expires = :expires",
        "ConditionExpression": EXPIRES_AS_SEEN,
        "ExpressionAttributeNames": {"#expires": NAMES["#expires"]},
        "ExpressionAttributeValues": {":expires": number(expires_s), ":seen": number(seen_s)},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def delete_item(key: Item) -> Request:
    """DeleteItem; repeated, it changes nothing."""
    return {"Key": key}


def query_between(pk: str, first: str, last: str, *, vectors: bool) -> Request:
    """Query, strongly consistent, over the items between two sort keys; with their vectors only where needed."""
    shown = ["#pk", "#sk", "#value", "#created", "#updated", "#ttl", "#expires", *(["#vectors"] if vectors else [])]
    return {
        "KeyConditionExpression": "#pk = :pk AND #sk BETWEEN :first AND :last",
        "ProjectionExpression": ", ".join(shown),
        "ExpressionAttributeNames": {name: NAMES[name] for name in shown},
        "ExpressionAttributeValues": {":pk": text(pk), ":first": text(first), ":last": text(last)},
        "ConsistentRead": True,
    }


def next_alive(pk: str, first: str, last: str, now_s: int) -> Request:
    """Query for the sort keys of items between two others that have not expired, to be read one page at a time."""
    shown = ("#pk", "#sk", "#expires")
    return {
        "KeyConditionExpression": "#pk = :pk AND #sk BETWEEN :first AND :last",
        "FilterExpression": FREE_OR_ALIVE,
        "ProjectionExpression": "#sk",
        "ExpressionAttributeNames": {name: NAMES[name] for name in shown},
        "ExpressionAttributeValues": {
            ":pk": text(pk),
            ":first": text(first),
            ":last": text(last),
            ":now_s": number(now_s),
        },
        "ConsistentRead": True,
    }
