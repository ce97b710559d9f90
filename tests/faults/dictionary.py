"""A DynamoDB of dictionaries: just the requests that this service sends, each atomic, in about 20 µs.

`test_dictionary.py` holds it against moto, request by request.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from botocore.exceptions import ClientError

Item = dict[str, Any]
Value = dict[str, Any]
Request = Mapping[str, Any]

READS = frozenset({"get_item", "query"})

TOKEN = re.compile(r"\s*(<=|>=|<>|[#:]\w+|\w+|[()=<>,\[\]+-])")


class Scope:
    """What an expression is evaluated against."""

    def __init__(self, item: Item | None, request: Request) -> None:
        self.item = item or {}
        self.names: Mapping[str, str] = request.get("ExpressionAttributeNames", {})
        self.values: Mapping[str, Value] = request.get("ExpressionAttributeValues", {})


Operand = Callable[[Scope], Value | None]
Condition = Callable[[Scope], bool]
Path = tuple[str, int | None]
"""A name's placeholder, and the place in a list if there is one."""


class Tokens:
    """An expression, token by token."""

    def __init__(self, expression: str) -> None:
        self.tokens = TOKEN.findall(expression)
        if "".join(self.tokens) != re.sub(r"\s+", "", expression):
            raise ValueError(f"cannot read {expression!r}")
        self.place = 0

    def peek(self) -> str:
        """The next token, upper case; empty at the end."""
        return self.tokens[self.place].upper() if self.place < len(self.tokens) else ""

    def take(self, *expected: str) -> str:
        """Go on by one token."""
        token: str = self.tokens[self.place]
        if expected and token.upper() not in expected:
            raise ValueError(f"{token!r} where one of {expected} was expected")
        self.place += 1
        return token

    def path(self) -> Path:
        """A name, with or without a place in a list."""
        name = self.take()
        index = None
        if self.peek() == "[":
            self.take("[")
            index = int(self.take())
            self.take("]")
        return name, index


def at_path(scope: Scope, path: Path) -> Value | None:
    """The value at a path, None if there is none."""
    value = scope.item.get(scope.names[path[0]])
    if path[1] is None or value is None:
        return value
    elements = value["L"]
    return elements[path[1]] if path[1] < len(elements) else None


def comparable(value: Value) -> Any:
    """A value as Python compares it; numbers and strings never equal one another."""
    (kind, content), *_ = value.items()
    return (kind, int(content)) if kind == "N" else (kind, content)


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "<>": lambda left, right: left != right,
    "<": lambda left, right: left[0] == right[0] and left < right,
    "<=": lambda left, right: left[0] == right[0] and left <= right,
    ">": lambda left, right: left[0] == right[0] and left > right,
    ">=": lambda left, right: left[0] == right[0] and left >= right,
}


def read_operand(tokens: Tokens) -> Operand:
    """A path, a value, or a function of them."""
    word = tokens.peek()
    if word == "SIZE":
        tokens.take()
        tokens.take("(")
        path = tokens.path()
        tokens.take(")")

        def size(scope: Scope) -> Value | None:
            found = at_path(scope, path)
            return None if found is None else {"N": str(len(next(iter(found.values()))))}

        return size
    if word == "IF_NOT_EXISTS":
        tokens.take()
        tokens.take("(")
        path = tokens.path()
        tokens.take(",")
        default = read_operand(tokens)
        tokens.take(")")
        return lambda scope: found if (found := at_path(scope, path)) is not None else default(scope)
    if word == "LIST_APPEND":
        tokens.take()
        tokens.take("(")
        first = read_operand(tokens)
        tokens.take(",")
        second = read_operand(tokens)
        tokens.take(")")
        return lambda scope: {"L": [*(first(scope) or {})["L"], *(second(scope) or {})["L"]]}
    if word.startswith(":"):
        name = tokens.take()
        return lambda scope: scope.values[name]
    path = tokens.path()
    return lambda scope: at_path(scope, path)


def read_condition(tokens: Tokens) -> Condition:
    """Alternatives of conjunctions."""
    alternatives = [read_conjunction(tokens)]
    while tokens.peek() == "OR":
        tokens.take()
        alternatives.append(read_conjunction(tokens))
    return lambda scope: any(alternative(scope) for alternative in alternatives)


def read_conjunction(tokens: Tokens) -> Condition:
    """Terms joined by AND."""
    terms = [read_term(tokens)]
    while tokens.peek() == "AND":
        tokens.take()
        terms.append(read_term(tokens))
    return lambda scope: all(term(scope) for term in terms)


def read_term(tokens: Tokens) -> Condition:
    """A parenthesis, a function or a comparison."""
    word = tokens.peek()
    if word == "(":
        tokens.take()
        inner = read_condition(tokens)
        tokens.take(")")
        return inner
    if word in ("ATTRIBUTE_EXISTS", "ATTRIBUTE_NOT_EXISTS"):
        tokens.take()
        tokens.take("(")
        path = tokens.path()
        tokens.take(")")
        wanted = word == "ATTRIBUTE_EXISTS"
        return lambda scope: (at_path(scope, path) is not None) is wanted
    if word == "BEGINS_WITH":
        tokens.take()
        tokens.take("(")
        path = tokens.path()
        tokens.take(",")
        prefix = tokens.take()
        tokens.take(")")
        return lambda scope: (at_path(scope, path) or {"S": ""})["S"].startswith(scope.values[prefix]["S"])
    return read_comparison(tokens)


def read_comparison(tokens: Tokens) -> Condition:
    """Two operands, IN a list, or BETWEEN two; with a missing attribute none is true."""
    left = read_operand(tokens)
    operator = tokens.take().upper()
    if operator == "IN":
        tokens.take("(")
        options = [read_operand(tokens)]
        while tokens.take(",", ")") == ",":
            options.append(read_operand(tokens))
        return lambda scope: left(scope) in [option(scope) for option in options]
    right = read_operand(tokens)
    if operator == "BETWEEN":
        tokens.take("AND")
        upper = read_operand(tokens)
        return lambda scope: both(scope, COMPARISONS[">="], left, right) and both(scope, COMPARISONS["<="], left, upper)
    return lambda scope: both(scope, COMPARISONS[operator], left, right)


def both(scope: Scope, compare: Callable[[Any, Any], bool], left: Operand, right: Operand) -> bool:
    """Whether both operands are there and compare like this."""
    one, other = left(scope), right(scope)
    return one is not None and other is not None and compare(comparable(one), comparable(other))


@lru_cache
def condition_of(expression: str) -> Condition:
    """A condition as a function."""
    tokens = Tokens(expression)
    condition = read_condition(tokens)
    if tokens.peek():
        raise ValueError(f"cannot read {expression!r} to its end")
    return condition


Change = Callable[[Scope, Item], None]


@lru_cache
def update_of(expression: str) -> list[Change]:
    """An update expression as functions that change the new item by what the old one was."""
    tokens = Tokens(expression)
    changes: list[Change] = []
    clause = ""
    while tokens.peek():
        if tokens.peek() in ("SET", "REMOVE", "ADD"):
            clause = tokens.take().upper()
        elif tokens.peek() == ",":
            tokens.take()
        path = tokens.path()
        if clause == "SET":
            tokens.take("=")
            changes.append(setter(path, read_sum(tokens)))
        elif clause == "REMOVE":
            changes.append(remover(path))
        else:
            changes.append(adder(path, read_operand(tokens)))
    return changes


def read_sum(tokens: Tokens) -> Operand:
    """An operand, or two and a plus between them."""
    first = read_operand(tokens)
    if tokens.peek() != "+":
        return first
    tokens.take()
    second = read_operand(tokens)

    def added(scope: Scope) -> Value | None:
        values = [first(scope), second(scope)]
        if None in values:
            return None
        return {"N": str(sum(int(value["N"]) for value in values if value is not None))}

    return added


def setter(path: Path, operand: Operand) -> Change:
    """SET: the operand sees the old item."""

    def change(scope: Scope, new: Item) -> None:
        value = operand(scope)
        if path[1] is not None or value is None:
            raise ValueError("an update refers to what is not there")
        new[scope.names[path[0]]] = value

    return change


def remover(path: Path) -> Change:
    """REMOVE, of an attribute or of one element of a list."""

    def change(scope: Scope, new: Item) -> None:
        name = scope.names[path[0]]
        if path[1] is None:
            new.pop(name, None)
        elif name in new:
            elements = new[name]["L"]
            new[name] = {"L": [element for place, element in enumerate(elements) if place != path[1]]}

    return change


def adder(path: Path, operand: Operand) -> Change:
    """ADD, of numbers."""

    def change(scope: Scope, new: Item) -> None:
        name = scope.names[path[0]]
        added = operand(scope) or {"N": "0"}
        new[name] = {"N": str(int(new.get(name, {"N": "0"})["N"]) + int(added["N"]))}

    return change


class Dictionary:
    """One table; `execute` takes the name and the arguments of a boto3 client's method."""

    def __init__(self, watch: Callable[[], None] = lambda: None) -> None:
        self.partitions: dict[str, dict[str, Item]] = {}
        self.watch = watch
        """Called after each change."""

    def execute(self, operation: str, request: Request) -> dict[str, Any]:
        """Answer one request, or raise ClientError as boto3 does."""
        answer: dict[str, Any] = getattr(self, operation)(request)
        if operation not in READS:
            self.watch()
        return answer

    def items(self, pk: str) -> Iterator[Item]:
        """The items of a partition in the order of their sort keys."""
        partition = self.partitions.get(pk, {})
        for sk in sorted(partition):
            yield partition[sk]

    def get_item(self, request: Request) -> dict[str, Any]:
        """GetItem."""
        item = self._get(request["Key"])
        return {"Item": dict(item)} if item is not None else {}

    def put_item(self, request: Request) -> dict[str, Any]:
        """PutItem."""
        self._write("Put", request, self._checked(request))
        return {}

    def update_item(self, request: Request) -> dict[str, Any]:
        """UpdateItem."""
        old = self._checked(request)
        self._write("Update", request, old)
        returned = {"ALL_NEW": self._get(request["Key"]), "ALL_OLD": old}.get(request.get("ReturnValues", "NONE"))
        return {"Attributes": dict(returned)} if returned else {}

    def delete_item(self, request: Request) -> dict[str, Any]:
        """DeleteItem."""
        old = self._checked(request)
        self._write("Delete", request, old)
        return {"Attributes": dict(old)} if old and request.get("ReturnValues") == "ALL_OLD" else {}

    def transact_write_items(self, request: Request) -> dict[str, Any]:
        """TransactWriteItems: all or nothing."""
        actions = [(kind, body) for action in request["TransactItems"] for kind, body in action.items()]
        reasons: list[dict[str, Any]] = []
        for _, body in actions:
            old = self._get(key_of(body))
            if holds(body, old):
                reasons.append({"Code": "None"})
                continue
            shown = body.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and old is not None
            reasons.append({"Code": "ConditionalCheckFailed", **({"Item": dict(old or {})} if shown else {})})
        if any(reason["Code"] != "None" for reason in reasons):
            codes = ", ".join(reason["Code"] for reason in reasons)
            raise refused("TransactionCanceledException", f"[{codes}]", CancellationReasons=reasons)
        for kind, body in actions:
            self._write(kind, body, self._get(key_of(body)))
        return {}

    def batch_write_item(self, request: Request) -> dict[str, Any]:
        """BatchWriteItem: puts and deletes without conditions."""
        for requests in request["RequestItems"].values():
            for one in requests:
                for kind, body in one.items():
                    self._write(kind.removesuffix("Request"), body, None)
        return {"UnprocessedItems": {}}

    def query(self, request: Request) -> dict[str, Any]:
        """Query of one partition, page by page."""
        condition = condition_of(request["KeyConditionExpression"])
        pk = request["ExpressionAttributeValues"][":pk"]["S"]
        found = [item for item in self.items(pk) if condition(Scope(item, request))]
        forward = request.get("ScanIndexForward", True)
        if not forward:
            found.reverse()
        if start := request.get("ExclusiveStartKey"):
            after = start["SK"]["S"]
            found = [item for item in found if (item["SK"]["S"] > after) == forward and item["SK"]["S"] != after]
        limit = request.get("Limit")
        page = found if limit is None else found[:limit]
        passing = condition_of(request["FilterExpression"]) if "FilterExpression" in request else lambda _: True
        shown = [projected(item, request) for item in page if passing(Scope(item, request))]
        answer: dict[str, Any] = {"Items": shown}
        if limit is not None and len(page) == limit:
            answer["LastEvaluatedKey"] = {name: page[-1][name] for name in ("PK", "SK")}
        return answer

    def _get(self, key: Item) -> Item | None:
        return self.partitions.get(key["PK"]["S"], {}).get(key["SK"]["S"])

    def _checked(self, request: Request) -> Item | None:
        old = self._get(key_of(request))
        if not holds(request, old):
            shown = {"Item": dict(old)} if old and "ReturnValuesOnConditionCheckFailure" in request else {}
            raise refused("ConditionalCheckFailedException", "The conditional request failed", **shown)
        return old

    def _write(self, kind: str, request: Request, old: Item | None) -> None:
        key = key_of(request)
        partition = self.partitions.setdefault(key["PK"]["S"], {})
        if kind == "Put":
            partition[key["SK"]["S"]] = dict(request["Item"])
        elif kind == "Delete":
            partition.pop(key["SK"]["S"], None)
        elif kind == "Update":
            new = dict(old) if old is not None else dict(key)
            scope = Scope(old, request)
            for change in update_of(request["UpdateExpression"]):
                change(scope, new)
            partition[key["SK"]["S"]] = new


def key_of(request: Request) -> Item:
    """The key that a write is about."""
    item: Item = request.get("Key") or request["Item"]
    return item


def holds(request: Request, old: Item | None) -> bool:
    """Whether the request's condition is met."""
    expression = request.get("ConditionExpression")
    return expression is None or condition_of(expression)(Scope(old, request))


def projected(item: Item, request: Request) -> Item:
    """The attributes that a request wants to see."""
    if "ProjectionExpression" not in request:
        return dict(item)
    wanted = [request["ExpressionAttributeNames"][name.strip()] for name in request["ProjectionExpression"].split(",")]
    return {name: item[name] for name in wanted if name in item}


def refused(code: str, message: str, **more: Any) -> ClientError:
    """A client error as boto3 raises it."""
    response: Any = {"Error": {"Code": code, "Message": message}, **more}
    return ClientError(response, "Dictionary")
