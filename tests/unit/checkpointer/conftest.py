"""An empty table in this process, whose requests are recorded."""

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from handler.bootstrap import create_table
from tests.unit.checkpointer.graphless import RecordingTable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

numbers = count(1)


@pytest.fixture(scope="module")
def client() -> Iterator["DynamoDBClient"]:
    """A client of a DynamoDB in this process."""
    with mock_aws():
        yield boto3.client(
            "dynamodb", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )


@pytest.fixture
def table(client: "DynamoDBClient") -> RecordingTable:
    """An empty table; `requests` has the operations in order."""
    name = f"checkpoints-{next(numbers)}"
    create_table(client, name)
    return RecordingTable(client, name)
