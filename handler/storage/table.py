"""One DynamoDB table: sends the requests that `statements` builds and turns refusals into domain terms."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from handler.errors import PayloadTooLarge, StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
"""A DynamoDB item in the low-level form: `{"name": {"S": "value"}}`."""


class ConditionRefused(Exception):
    """A conditional write was refused; `items` are the items as they stood (None: there was none, or it was not told).

    For a single write `items` has one element, for a transaction one per action; `refused` tells which actions'
    own conditions failed.
    """

    def __init__(self, items: list[Item | None], refused: list[bool]) -> None:
        super().__init__("a conditional write was refused")
        self.items = items
        self.refused = refused

    @property
    def item(self) -> Item | None:
        """The refused item of a single write."""
        return self.items[0]


class Table:
    """A table by name and a boto3 client; thread-safe, as the client is."""

    def __init__(self, client: "DynamoDBClient", name: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.client = client
        self.name = name
        self.sleep = sleep

    def get(self, request: Mapping[str, Any]) -> Item | None:
        """Send GetItem; None when there is no such item."""
        return self._send("get_item", request).get("Item")

    def put(self, request: Mapping[str, Any]) -> None:
        """Send PutItem; raise ConditionRefused when its condition fails."""
        self._send("put_item", request)

    def update(self, request: Mapping[str, Any]) -> Item:
        """Send UpdateItem and return the attributes it was asked to return."""
        attributes: Item = self._send("update_item", request).get("Attributes", {})
        return attributes

    def delete(self, request: Mapping[str, Any]) -> Item | None:
        """Send DeleteItem and return the old item if it was asked for and existed."""
        return self._send("delete_item", request).get("Attributes")

    def count(self, request: Mapping[str, Any]) -> int:
        """Send Query page after page, and count the items."""
        total = 0
        start: dict[str, Any] = {}
        while True:
            page = self._send("query", {**request, "Select": "COUNT", **start})
            total += int(page["Count"])
            if "LastEvaluatedKey" not in page:
                return total
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def query(self, request: Mapping[str, Any]) -> Iterator[Item]:
        """Send Query page after page, lazily, until the last page or until the caller stops."""
        start: dict[str, Any] = {}
        while True:
            page = self._send("query", {**request, **start})
            yield from page.get("Items", [])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def batch_get(self, keys: list[Item]) -> Iterator[Item]:
        """Get items by key, strongly consistent, 100 a request, in no order; those that are not there are left out."""
        for start in range(0, len(keys), 100):
            todo: Item = {"Keys": keys[start : start + 100], "ConsistentRead": True}
            for attempt in range(CONFLICT_TRIES):
                answer = self._call("batch_get_item", {"RequestItems": {self.name: todo}})
                yield from answer["Responses"].get(self.name, [])
                if self.name not in answer.get("UnprocessedKeys", {}):
                    break
                todo = answer["UnprocessedKeys"][self.name]
                self.sleep(CONFLICT_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            else:
                raise StorageUnavailable("DynamoDB left keys unprocessed again and again")

    def query_page(self, request: Mapping[str, Any]) -> tuple[list[Item], Item | None]:
        """Send one Query; return its items and the key to go on from (None: no more)."""
        page = self._send("query", request)
        return page.get("Items", []), page.get("LastEvaluatedKey")

    def scan_page(self, request: Mapping[str, Any]) -> tuple[list[Item], Item | None]:
        """Send one Scan; return its items and the key to go on from (None: no more)."""
        page = self._send("scan", request)
        return page.get("Items", []), page.get("LastEvaluatedKey")

    def transact(self, actions: list[dict[str, Any]]) -> None:
        """Send TransactWriteItems; raise ConditionRefused when a condition fails."""
        named = [{kind: {"TableName": self.name, **body} for kind, body in action.items()} for action in actions]
        self._call("transact_write_items", {"TransactItems": named})

    def batch_delete(self, keys: list[Item]) -> None:
        """Delete items by key, 25 a request, until none is left unprocessed."""
        self._batch_write([{"DeleteRequest": {"Key": key}} for key in keys])

    def batch_put(self, items: list[Item]) -> None:
        """Put items, without conditions, 25 a request, until none is left unprocessed."""
        self._batch_write([{"PutRequest": {"Item": item}} for item in items])

    def _batch_write(self, requests: list[Item]) -> None:
        for start in range(0, len(requests), 25):
            todo = requests[start : start + 25]
            while todo:
                left = self._call("batch_write_item", {"RequestItems": {self.name: todo}})
                todo = left.get("UnprocessedItems", {}).get(self.name, [])

    def _send(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._call(operation, {"TableName": self.name, **request})

    def _call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        for attempt in range(CONFLICT_TRIES):
            try:
                response: dict[str, Any] = getattr(self.client, operation)(**request)
            except ClientError as error:
                if is_conflict(error) and attempt + 1 < CONFLICT_TRIES:
                    self.sleep(CONFLICT_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                    continue
                raise refusal(error) from error
            except BotoCoreError as error:
                raise StorageUnavailable(f"DynamoDB {operation} failed: {type(error).__name__}") from error
            return response
        raise AssertionError("unreachable: the last attempt returns or raises")


CONFLICT_TRIES = 6
CONFLICT_PAUSE_S = 0.02
"""A request that met another transaction on the same item is sent again after 20 ms, 40 ms and so on, give or take."""


def is_conflict(error: ClientError) -> bool:
    """Whether a request failed only because a transaction was under way on one of its items; botocore retries none."""
    response: Any = error.response
    code = response.get("Error", {}).get("Code", "")
    codes = {reason.get("Code") for reason in response.get("CancellationReasons", [])} - {"None"}
    return code == "TransactionConflictException" or (
        code == "TransactionCanceledException" and codes == {"TransactionConflict"}
    )


def refusal(error: ClientError) -> Exception:
    """The domain's name for a client error; only a request that is wrong in itself stays as it is."""
    response: Any = error.response
    code = response.get("Error", {}).get("Code", "")
    if is_too_large(response):
        return PayloadTooLarge("an item would exceed the 400 KB that DynamoDB takes: send less metadata")
    if code == "ConditionalCheckFailedException":
        return ConditionRefused([response.get("Item")], [True])
    if code == "TransactionCanceledException":
        reasons = response.get("CancellationReasons", [])
        if any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons):
            return ConditionRefused(
                [reason.get("Item") for reason in reasons],
                [reason.get("Code") == "ConditionalCheckFailed" for reason in reasons],
            )
        return StorageUnavailable("DynamoDB transaction cancelled: " + ", ".join(str(r.get("Code")) for r in reasons))
    if code in ("ValidationException", "ValidationError"):
        return error
    return StorageUnavailable(f"DynamoDB refused: {code}")


def is_too_large(response: Any) -> bool:
    """Whether a write was refused, alone or in a transaction, because an item would become too large."""
    said = [response.get("Error", {}), *response.get("CancellationReasons", [])]
    return any(
        one.get("Code") in ("ValidationException", "ValidationError")
        and str(one.get("Message")).startswith("Item size")
        for one in said
    )
