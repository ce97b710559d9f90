"""The shape of the one table: what create_table needs where no template has made it."""

from typing import Any

from handler.storage.keys import LIST_INDEX, LIST_PK, LIST_SK, PK, SK

EXPIRES_AT = "expires_at"
"""The TTL attribute, in epoch seconds; DynamoDB may take days, so nothing that has a meaning may rest on it."""

TABLE: dict[str, Any] = {
    "AttributeDefinitions": [
        {"AttributeName": PK, "AttributeType": "S"},
        {"AttributeName": SK, "AttributeType": "S"},
        {"AttributeName": LIST_PK, "AttributeType": "S"},
        {"AttributeName": LIST_SK, "AttributeType": "S"},
    ],
    "KeySchema": [
        {"AttributeName": PK, "KeyType": "HASH"},
        {"AttributeName": SK, "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": LIST_INDEX,
            "KeySchema": [
                {"AttributeName": LIST_PK, "KeyType": "HASH"},
                {"AttributeName": LIST_SK, "KeyType": "RANGE"},
            ],
            # An update of an item that leaves its keys alone then writes no index: super-steps and leases stay cheap.
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
"""create_table's arguments but for the name; template.yaml says the same, and a test holds the two together."""
