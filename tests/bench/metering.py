"""WSGI middleware before moto that counts DynamoDB requests, bytes and capacity units by AWS's published rules.

| what                    | units                                                                  |
|-------------------------|------------------------------------------------------------------------|
| a write                 | 1 per started KB of the larger of old and new item; twice in a transaction |
| a strongly read item    | 1 per started 4 KB; half that when eventually consistent               |
| a Query or a Scan       | the same, over the sum of the items that it passes                     |
"""

import base64
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from handler.storage.keys import LIST_PK, LIST_SK
from tests.engines import REGION, WsgiApp

Item = dict[str, dict[str, Any]]

MINIMUM, KB = 1, 1024
WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})
HIDING = ("ProjectionExpression", "FilterExpression", "Select")
"""Arguments of a Query that hide what is read and paid for."""


def value_size(value: dict[str, Any]) -> int:
    """Bytes that DynamoDB counts for a value in its JSON form."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "B":
            return len(base64.b64decode(content)) if isinstance(content, str) else len(content)
        case "N":
            digits = content.lstrip("-").replace(".", "").strip("0")
            return 2 + len(digits) // 2
        case "L":
            return 3 + sum(1 + value_size(part) for part in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + value_size(part) for name, part in content.items())
        case "SS" | "NS" | "BS":
            return sum(value_size({kind[0]: part}) for part in content)
    return 1


def item_size(item: Item | None) -> int:
    """Bytes that DynamoDB counts for an item."""
    return sum(len(name.encode()) + value_size(value) for name, value in (item or {}).items())


def index_entry(item: Item | None) -> tuple[str, str] | None:
    """Where an item stands in the index, which projects nothing but keys; None: it does not."""
    if item is None or LIST_PK not in item or LIST_SK not in item:
        return None
    return item[LIST_PK]["S"], item[LIST_SK]["S"]


def write_units(size: int) -> int:
    return max(MINIMUM, math.ceil(size / KB))


def read_units(size: int, *, strong: bool) -> float:
    return max(MINIMUM, math.ceil(size / (4 * KB))) * (1.0 if strong else 0.5)


@dataclass
class Bill:
    """What a phase cost."""

    requests: Counter[str] = field(default_factory=Counter)
    wru: float = 0
    rru: float = 0
    sent: int = 0
    received: int = 0
    index: Counter[str] = field(default_factory=Counter)
    """Entries of the index that were written or deleted, one unit each and not part of `wru`, by operation."""
    put: list[Item] = field(default_factory=list)
    """Items put one by one."""
    refused: int = 0

    @property
    def count(self) -> int:
        return self.requests.total()


class Meter:
    """Stands before a moto application; `bill` is the phase under way."""

    def __init__(self) -> None:
        self.bill = Bill()
        self.on = False

    def __call__(self, app: WsgiApp) -> WsgiApp:
        """The middleware; entered by one request at a time."""
        self.app = app
        return self.serve

    def start(self) -> Bill:
        """Begin a phase."""
        self.on, self.bill = True, Bill()
        return self.bill

    def serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if not self.on or not target.startswith("DynamoDB_"):
            return self.app(environ, start_response)
        raw = environ["wsgi.input"].read()
        environ["wsgi.input"] = io.BytesIO(raw)
        operation, request = target.partition(".")[2], json.loads(raw)
        settle = self._price(operation, request)

        def started(status: str, headers: Any, error: Any = None) -> Any:
            self.bill.refused += not status.startswith("2")
            return start_response(status, headers, error)

        answer = b"".join(self.app(environ, started))
        settle()
        self.bill.requests[operation] += 1
        self.bill.sent += len(raw)
        self.bill.received += len(answer)
        return [answer]

    def _price(self, operation: str, request: dict[str, Any]) -> Callable[[], None]:
        """Look at what is there before the request; the returned function looks again after it."""
        if operation in WRITES:
            factor = 2 if operation == "TransactWriteItems" else 1
            return self._written(operation, [*self._keys_written(operation, request)], factor)
        match operation:
            case "GetItem":
                self._read([self._get(request["TableName"], request["Key"])], request)
            case "BatchGetItem":
                for table, wanted in request["RequestItems"].items():
                    for key in wanted["Keys"]:
                        self._read([self._get(table, key)], wanted)
            case "Query" | "Scan":
                self._read(self._passed(operation, request), request)
            case "DescribeTable":
                pass
            case _:
                raise NotImplementedError(f"no price for {operation}")
        return lambda: None

    def _keys_written(self, operation: str, request: dict[str, Any]) -> Iterator[tuple[str, Item]]:
        """Table and key of each item that a request writes or checks."""
        match operation:
            case "PutItem":
                self.bill.put.append(request["Item"])
                yield request["TableName"], self._key(request["TableName"], request["Item"])
            case "BatchWriteItem":
                for table, orders in request["RequestItems"].items():
                    for order in orders:
                        put = order.get("PutRequest")
                        yield table, self._key(table, put["Item"]) if put else order["DeleteRequest"]["Key"]
            case "TransactWriteItems":
                for entry in request["TransactItems"]:
                    for action in entry.values():
                        yield action["TableName"], action.get("Key") or self._key(action["TableName"], action["Item"])
            case _:
                yield request["TableName"], request["Key"]

    def _written(self, operation: str, keys: list[tuple[str, Item]], factor: int) -> Callable[[], None]:
        before = [self._get(*key) for key in keys]

        def settle() -> None:
            for old, new in zip(before, [self._get(*key) for key in keys], strict=True):
                self.bill.wru += factor * write_units(max(item_size(old), item_size(new)))
                if index_entry(old) != index_entry(new):
                    self.bill.index[operation] += (index_entry(old) is not None) + (index_entry(new) is not None)

        return settle

    def _read(self, items: list[Item | None], request: dict[str, Any]) -> None:
        size = sum(map(item_size, items))
        self.bill.rru += read_units(size, strong=bool(request.get("ConsistentRead")))

    def _passed(self, operation: str, request: dict[str, Any]) -> list[Item | None]:
        """The items that a Query or a Scan passes, whatever it shows of them."""
        plain = {name: value for name, value in request.items() if name not in HIDING}
        words = plain.get("KeyConditionExpression", "")
        for placeholders in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
            used = {name: value for name, value in plain.pop(placeholders, {}).items() if name in words}
            if used:
                plain[placeholders] = used
        found: list[Item | None] = self._call(operation, plain).get("Items", [])
        return found

    def _key(self, table: str, item: Item) -> Item:
        described = self._call("DescribeTable", {"TableName": table})["Table"]
        return {key["AttributeName"]: item[key["AttributeName"]] for key in described["KeySchema"]}

    def _get(self, table: str, key: Item) -> Item | None:
        found = self._call("GetItem", {"TableName": table, "Key": key, "ConsistentRead": True}).get("Item")
        return found or None

    def everything(self) -> list[Item]:
        """All items of all tables."""
        items: list[Item] = []
        for table in self._call("ListTables", {})["TableNames"]:
            start: dict[str, Any] = {}
            while True:
                page = self._call("Scan", {"TableName": table, **start})
                items += page["Items"]
                if "LastEvaluatedKey" not in page:
                    break
                start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        return items

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Ask moto something that is not counted."""
        raw = json.dumps(request).encode()
        credential = f"Credential=testing/20260101/{REGION}/dynamodb/aws4_request"
        environ = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/",
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": f"dynamodb.{REGION}.amazonaws.com",
            "HTTP_X_AMZ_TARGET": f"DynamoDB_20120810.{operation}",
            "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0",
            "CONTENT_TYPE": "application/x-amz-json-1.0",
            "CONTENT_LENGTH": str(len(raw)),
            "wsgi.input": io.BytesIO(raw),
            "wsgi.errors": io.StringIO(),
            "wsgi.url_scheme": "http",
            "wsgi.version": (1, 0),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        answer: dict[str, Any] = json.loads(b"".join(self.app(environ, lambda *_: None)) or b"{}")
        return answer
