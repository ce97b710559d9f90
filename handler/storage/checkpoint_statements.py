"""Every DynamoDB request of the checkpointer: pure functions that return request arguments."""

from collections.abc import Mapping
from typing import Any

from handler.storage.keys import CHECKPOINTS_FIRST, CHECKPOINTS_LAST, PK, SK, base_sk

Request = dict[str, Any]
Attributes = Mapping[str, Any]
"""Attributes of an item without its key, in the low-level form."""

ID = "i"
"""Checkpoint id of a record; of pending writes, the name of the saver that put them."""

EPOCH = "e"
"""Lease epoch of the writer."""

KIND = "m"
"""Kind of a mark; absent from records of super-steps."""

BODY = "b"
"""The sealed body, unless it is chunked."""

CHUNKS = "k"
"""Name and number of the chunks: `name#number`."""

BASE = "d"
"""How many slots before a record its chain starts (0: it is full); for a mark, those of the state it points at."""

RUN = "r"
"""The run that wrote it."""

TARGET = "t"
"""How many slots before a mark the state is that it makes the current one; absent: none."""

ADOPTED = "a"
"""The pending writes that a mark leaves standing: digests of their keys, one after the other."""

KNOWN = "q"
"""How many slots behind their checkpoint the last one was that the putter of pending writes knew."""

FLOOR = "f"
"""On a mark: how many slots before it the history begins; what is below is no part of it any more."""

HIDDEN = "h"
"""On a mark: the slots that are no part of the history any more, as distances back from it, `far-near`."""

MORE = "x"
"""On a record: the attributes of those that follow it in the same item, one map each; they take the next slots."""

SPAN = "s"
"""How many those are; absent: none."""

NEWEST_BASE = "d"
"""On the pointer to a log's newest full record: its sequence number. A hint: it may be late, or of a part undone."""

SLOT_IS_FREE = "attribute_not_exists(#pk)"
"""Sequence CAS: a slot is taken once, so that a superseded writer is refused at its next record."""

STILL_THE_SAME = "#i = :i"
"""A record may be rewritten in another form, never replaced by another checkpoint."""


def take_slot(pk: str, sk: str, attributes: Attributes) -> Request:
    """Append a record or a mark to a log; ALL_OLD tells who took the slot."""
    return {
        "Item": {PK: {"S": pk}, SK: {"S": sk}, **attributes},
        "ConditionExpression": SLOT_IS_FREE,
        "ExpressionAttributeNames": {"#pk": PK},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def rewrite_record(pk: str, sk: str, attributes: Attributes) -> Request:
    """Write a record once more in another form."""
    return {
        "Item": {PK: {"S": pk}, SK: {"S": sk}, **attributes},
        "ConditionExpression": STILL_THE_SAME,
        "ExpressionAttributeNames": {"#i": ID},
        "ExpressionAttributeValues": {":i": attributes[ID]},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def put_chunk(pk: str, sk: str, data: bytes) -> Request:
    """Write a chunk under a name that nobody else uses."""
    return {"Item": {PK: {"S": pk}, SK: {"S": sk}, BODY: {"B": data}}}


def note_base(pk: str, namespace: str, seq: int) -> Request:
    """Say where the newest full record of a log is, so that a cold read asks for its chain at once."""
    return {"Item": {PK: {"S": pk}, SK: {"S": base_sk(namespace)}, NEWEST_BASE: {"N": str(seq)}}}


def get_base(pk: str, namespace: str) -> Request:
    """Read what `note_base` said."""
    return {"Key": {PK: {"S": pk}, SK: {"S": base_sk(namespace)}}, "ConsistentRead": True}


def read_log(pk: str, low: str, high: str, limit: int | None, start: Attributes | None) -> Request:
    """Read a log between two sort keys, newest first."""
    request: Request = {
        "KeyConditionExpression": "#pk = :pk AND #sk BETWEEN :low AND :high",
        "ExpressionAttributeNames": {"#pk": PK, "#sk": SK},
        "ExpressionAttributeValues": {":pk": {"S": pk}, ":low": {"S": low}, ":high": {"S": high}},
        "ConsistentRead": True,
        "ScanIndexForward": False,
    }
    if limit is not None:
        request["Limit"] = limit
    if start is not None:
        request["ExclusiveStartKey"] = dict(start)
    return request


def read_keys(pk: str, low: str = CHECKPOINTS_FIRST, high: str = CHECKPOINTS_LAST) -> Request:
    """Read what tells the items of a thread's logs from each other, oldest first."""
    return {
        "KeyConditionExpression": "#pk = :pk AND #sk BETWEEN :low AND :high",
        "ProjectionExpression": "#sk, #i, #e, #m, #r, #s",
        "ExpressionAttributeNames": {"#pk": PK, "#sk": SK, "#i": ID, "#e": EPOCH, "#m": KIND, "#r": RUN, "#s": SPAN},
        "ExpressionAttributeValues": {":pk": {"S": pk}, ":low": {"S": low}, ":high": {"S": high}},
        "ConsistentRead": True,
    }


def scan_runs(partition_prefix: str, run_ids: list[Attributes], start: Attributes | None) -> Request:
    """Find the records of runs in every thread of a tenant."""
    names = [f":run{place}" for place in range(len(run_ids))]
    return scan(
        f"begins_with(#pk, :prefix) AND #run IN ({', '.join(names)})",
        {"#pk": PK, "#sk": SK, "#run": RUN},
        {":prefix": {"S": partition_prefix}, **dict(zip(names, run_ids, strict=True))},
        start,
    )


def scan_logs(partition_prefix: str, start: Attributes | None) -> Request:
    """Find every thread of a tenant that has checkpoints."""
    return scan(
        "begins_with(#pk, :prefix) AND begins_with(#sk, :checkpoint)",
        {"#pk": PK, "#sk": SK},
        {":prefix": {"S": partition_prefix}, ":checkpoint": {"S": CHECKPOINTS_FIRST}},
        start,
    )


def scan(condition: str, names: Attributes, values: Attributes, start: Attributes | None) -> Request:
    """Read the keys of all items that meet a condition."""
    request: Request = {
        "FilterExpression": condition,
        "ProjectionExpression": "#pk, #sk",
        "ExpressionAttributeNames": dict(names),
        "ExpressionAttributeValues": dict(values),
        "ConsistentRead": True,
    }
    if start is not None:
        request["ExclusiveStartKey"] = dict(start)
    return request
