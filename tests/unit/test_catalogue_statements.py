"""The requests about assistants and store items, pinned: what they ask, and that a refusal tells the item."""

import re
from typing import Any

import pytest

from handler.storage import assistant_statements, store_statements

KEY: dict[str, Any] = {"PK": {"S": "p"}, "SK": {"S": "s"}}
VALUE: dict[str, Any] = {"value": {"B": b"v"}, "updated_at": {"S": "2026"}}
TTL: dict[str, Any] = {"ttl_minutes": {"S": "1.0"}, "expires_at": {"N": "160"}}

REQUESTS: list[dict[str, Any]] = [
    assistant_statements.put_new({**KEY, "name": {"S": "n"}}),
    assistant_statements.replace_as_seen({**KEY, "name": {"S": "n"}}, 3),
    assistant_statements.begin_deletion("t", "a"),
    assistant_statements.finish_deletion("t", "a"),
    assistant_statements.query_partition("p", keys_only=True),
    store_statements.put_item(KEY, VALUE, 100),
    store_statements.put_item(KEY, {**VALUE, **TTL, "vectors": {"L": []}}, 100),
    store_statements.replace_expired(KEY, VALUE),
    store_statements.refresh(KEY, 200, 160),
    store_statements.query_between("p", "a", "b", vectors=True),
    store_statements.next_alive("p", "a", "b", 100),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: str(sorted(request))[:60])
def test_names_and_values_are_those_that_the_expressions_use(request_: dict[str, Any]) -> None:
    used = set(re.findall(r"[#:]\w+", " ".join(v for k, v in request_.items() if k.endswith("Expression"))))
    named = {*request_.get("ExpressionAttributeNames", ()), *request_.get("ExpressionAttributeValues", ())}
    assert used == named
    conditional = "ConditionExpression" in request_
    assert (request_.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD") is conditional


def test_a_put_without_a_time_to_live_takes_away_the_one_before() -> None:
    assert store_statements.put_item(KEY, VALUE, 100) == {
        "Key": KEY,
        "UpdateExpression": "SET #created = if_not_exists(#created, :updated), #value = :value, #updated = :updated"
        " REMOVE #vectors, #ttl, #expires",
        "ConditionExpression": "attribute_not_exists(#expires) OR #expires > :now_s",
        "ExpressionAttributeNames": {
            "#created": "created_at",
            "#value": "value",
            "#updated": "updated_at",
            "#vectors": "vectors",
            "#ttl": "ttl_minutes",
            "#expires": "expires_at",
        },
        "ExpressionAttributeValues": {":now_s": {"N": "100"}, ":value": {"B": b"v"}, ":updated": {"S": "2026"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def test_an_assistant_is_replaced_only_as_it_was_seen() -> None:
    request = assistant_statements.replace_as_seen({**KEY, "name": {"S": "n"}}, 3)
    assert request["ConditionExpression"] == (
        "attribute_exists(#pk) AND attribute_not_exists(#deleting) AND #revision = :seen"
    )
    assert request["ExpressionAttributeValues"] == {":seen": {"N": "3"}}
