"""Every DynamoDB request about stream events, as pure functions that return the request's arguments.

No request has a condition: a batch's key holds the epoch of its driver and the number of its last event, so nobody but
that driver writes it, and writing it twice is writing it once.
"""

from collections.abc import Mapping
from typing import Any

from handler.domain.events import EventId
from handler.domain.models import Run
from handler.storage import keys
from handler.storage.items import number, text
from handler.storage.schema import EXPIRES_AT
from handler.storage.table import Item

Request = dict[str, Any]

BODY = "b"
"""The events of a batch, packed; a piece of them where `PIECES` says so."""
PIECES = "k"
"""How many items behind the batch hold the rest of it."""
CUT = "c"
"""Up to where the events of the drivers before are part of the stream: on the first batch of one that took over."""


def batch_item(run: Run, last: EventId, body: bytes, expires_at: int, *, pieces: int, cut: EventId | None) -> Item:
    """The item of a batch of events."""
    item = {
        keys.PK: text(keys.thread_pk(run.tenant, run.thread_id)),
        keys.SK: text(keys.events_sk(run.run_id, *last)),
        BODY: {"B": body},
        EXPIRES_AT: number(expires_at),
    }
    if pieces:
        item[PIECES] = number(pieces)
    if cut is not None:
        item[CUT] = text(str(cut))
    return item


def piece_item(batch: Item, place: int, body: bytes) -> Item:
    """The item of a further piece of a batch."""
    sk = text(keys.events_chunk_sk(batch[keys.SK]["S"], place))
    return {keys.PK: batch[keys.PK], keys.SK: sk, BODY: {"B": body}, EXPIRES_AT: batch[EXPIRES_AT]}


def put(item: Item) -> Request:
    """PutItem."""
    return {"Item": item}


def follow_item(run: Run, expires_at: int) -> Item:
    """The mark that somebody elsewhere follows a run."""
    return {**follow_key(run), EXPIRES_AT: number(expires_at)}


def follow_key(run: Run) -> Item:
    """Primary key of that mark."""
    return {
        keys.PK: text(keys.thread_pk(run.tenant, run.thread_id)),
        keys.SK: text(keys.follow_sk(run.run_id)),
    }


def read_after(run: Run, after: EventId) -> Request:
    """Query of the batches that hold events behind `after`, strongly consistent, oldest first."""
    low = keys.events_sk(run.run_id, after.epoch, after.number + 1)
    return _between(run, low, keys.events_end_sk(run.run_id))


def read_last(run: Run, before_epoch: int | None) -> Request:
    """Query of the last batch, or of the last before an epoch; its last piece comes first."""
    high = keys.events_end_sk(run.run_id) if before_epoch is None else keys.events_sk(run.run_id, before_epoch, 0)
    low = keys.events_sk(run.run_id, 0, 0)
    names = {"#pk": keys.PK, "#sk": keys.SK}
    request = _between(run, low, high)
    return {**request, "ExpressionAttributeNames": names, "ProjectionExpression": "#sk"} | {
        "ScanIndexForward": False,
        "Limit": 1,
    }


def _between(run: Run, low: str, high: str) -> Request:
    values: Mapping[str, Any] = {
        ":pk": text(keys.thread_pk(run.tenant, run.thread_id)),
        ":low": text(low),
        ":high": text(high),
    }
    return {
        "KeyConditionExpression": "#pk = :pk AND #sk BETWEEN :low AND :high",
        "ExpressionAttributeNames": {"#pk": keys.PK, "#sk": keys.SK},
        "ExpressionAttributeValues": dict(values),
        "ConsistentRead": True,
    }
