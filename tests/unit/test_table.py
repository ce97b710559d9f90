"""What a DynamoDB error means, and which requests are sent again."""

from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from handler.errors import PayloadTooLarge, StorageUnavailable
from handler.storage.table import CONFLICT_TRIES, ConditionRefused, Table


def client_error(code: str, message: str = "", **more: Any) -> ClientError:
    return ClientError(cast("Any", {"Error": {"Code": code, "Message": message}, **more}), "Operation")


def cancelled(*codes: str, **more: Any) -> ClientError:
    reasons = [{"Code": code, **more} for code in codes]
    return client_error("TransactionCanceledException", CancellationReasons=reasons)


class Client:
    """A DynamoDB client that answers with what it was told to, in order, and then with nothing."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Any:
            self.requests.append((operation, request))
            answer = self.answers.pop(0) if self.answers else {}
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def table_of(*answers: Any) -> tuple[Table, Client, list[float]]:
    client, pauses = Client(*answers), list[float]()
    return Table(cast("Any", client), "t", sleep=pauses.append), client, pauses


def test_a_refused_write_tells_the_item_that_refused_it() -> None:
    item = {"owner": {"S": "other"}}
    table, _, _ = table_of(client_error("ConditionalCheckFailedException", Item=item))
    with pytest.raises(ConditionRefused) as refused:
        table.put({"Item": {}})
    assert (refused.value.item, refused.value.refused) == (item, [True])


def test_a_refused_write_without_an_item_tells_none() -> None:
    table, _, _ = table_of(client_error("ConditionalCheckFailedException"))
    with pytest.raises(ConditionRefused) as refused:
        table.update({"Key": {}})
    assert refused.value.item is None


def test_a_refused_transaction_tells_which_condition_failed() -> None:
    item = {"owner": {"S": "other"}}
    error = client_error(
        "TransactionCanceledException",
        CancellationReasons=[{"Code": "None"}, {"Code": "ConditionalCheckFailed", "Item": item}],
    )
    table, _, _ = table_of(error)
    with pytest.raises(ConditionRefused) as refused:
        table.transact([{"Put": {}}, {"Put": {}}])
    assert (refused.value.items, refused.value.refused) == ([None, item], [False, True])


@pytest.mark.parametrize(
    "code",
    [
        "AccessDeniedException",
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "ResourceNotFoundException",
        "ThrottlingException",
    ],
)
def test_what_may_pass_later_is_unavailable_for_now(code: str) -> None:
    table, client, pauses = table_of(client_error(code))
    with pytest.raises(StorageUnavailable, match=code):
        table.get({"Key": {}})
    assert (len(client.requests), pauses) == (1, [])


def test_a_lost_connection_is_unavailable_for_now() -> None:
    table, _, _ = table_of(ReadTimeoutError(endpoint_url="http://127.0.0.1"))
    with pytest.raises(StorageUnavailable, match="get_item failed: ReadTimeoutError"):
        table.get({"Key": {}})


def test_a_request_that_is_wrong_in_itself_stays_as_it_is() -> None:
    error = client_error("ValidationException", "One or more parameter values were invalid")
    table, _, _ = table_of(error)
    with pytest.raises(ClientError) as raised:
        table.get({"Key": {}})
    assert raised.value is error


def test_a_transaction_that_met_another_is_sent_again() -> None:
    table, client, pauses = table_of(cancelled("TransactionConflict", "None"), cancelled("None", "TransactionConflict"))
    table.transact([{"Put": {"Item": {}}}])
    sent = ("transact_write_items", {"TransactItems": [{"Put": {"TableName": "t", "Item": {}}}]})
    assert client.requests == [sent] * 3
    assert len(pauses) == 2
    assert all(0 < pause < 2 for pause in pauses)


def test_a_write_that_met_a_transaction_is_sent_again() -> None:
    conflict = client_error("TransactionConflictException")
    table, client, pauses = table_of(conflict, conflict, {"Attributes": {"a": {"S": "x"}}})
    assert table.update({"Key": {}}) == {"a": {"S": "x"}}
    assert (len(client.requests), len(pauses)) == (3, 2)


@pytest.mark.parametrize(
    "conflict", [cancelled("TransactionConflict"), client_error("TransactionConflictException")], ids=["both", "one"]
)
def test_a_conflict_that_does_not_end_is_unavailable_for_now(conflict: ClientError) -> None:
    table, client, pauses = table_of(*[conflict] * (CONFLICT_TRIES + 5))
    with pytest.raises(StorageUnavailable, match="TransactionConflict"):
        table.transact([{"Put": {}}])
    assert (len(client.requests), len(pauses)) == (CONFLICT_TRIES, CONFLICT_TRIES - 1)


def test_a_refusal_beside_a_conflict_is_a_refusal() -> None:
    table, client, _ = table_of(cancelled("TransactionConflict", "ConditionalCheckFailed"))
    with pytest.raises(ConditionRefused) as refused:
        table.transact([{"Put": {}}, {"Put": {}}])
    assert refused.value.refused == [False, True]
    assert len(client.requests) == 1


@pytest.mark.parametrize(
    "error",
    [
        client_error("ValidationException", "Item size has exceeded the maximum allowed size"),
        client_error("ValidationException", "Item size to update has exceeded the maximum allowed size"),
        client_error(
            "TransactionCanceledException",
            CancellationReasons=[
                {"Code": "None"},
                {"Code": "ValidationError", "Message": "Item size to update has exceeded the maximum allowed size"},
            ],
        ),
    ],
)
def test_an_item_that_grows_too_large_is_the_callers_to_mend(error: ClientError) -> None:
    table, _, _ = table_of(error)
    with pytest.raises(PayloadTooLarge, match="400 KB"):
        table.transact([{"Put": {}}])


def test_another_invalid_request_is_a_fault_of_ours() -> None:
    table, _, _ = table_of(client_error("ValidationException", "Invalid UpdateExpression"))
    with pytest.raises(ClientError, match="Invalid UpdateExpression"):
        table.update({"Key": {}})


def test_a_transaction_cancelled_for_another_reason_names_it() -> None:
    table, _, _ = table_of(cancelled("None", "ThrottlingError"))
    with pytest.raises(StorageUnavailable, match="ThrottlingError"):
        table.transact([{"Put": {}}])


def test_a_query_reads_page_after_page_only_as_far_as_it_is_wanted() -> None:
    pages = [{"Items": [{"n": {"N": "1"}}], "LastEvaluatedKey": {"k": {"S": "1"}}}, {"Items": [{"n": {"N": "2"}}]}]
    table, client, _ = table_of(*pages)
    found = table.query({"KeyConditionExpression": "x"})
    assert next(found) == {"n": {"N": "1"}}
    assert len(client.requests) == 1
    assert list(found) == [{"n": {"N": "2"}}]
    assert client.requests[1][1]["ExclusiveStartKey"] == {"k": {"S": "1"}}


def test_one_page_tells_where_to_go_on() -> None:
    table, _, _ = table_of({"Items": [{}], "LastEvaluatedKey": {"k": {"S": "1"}}})
    assert table.query_page({}) == ([{}], {"k": {"S": "1"}})


def test_a_batch_deletes_by_25_and_what_was_left_once_more() -> None:
    keys: list[dict[str, Any]] = [{"PK": {"S": str(number)}} for number in range(30)]
    left = {"UnprocessedItems": {"t": [{"DeleteRequest": {"Key": keys[3]}}]}}
    table, client, _ = table_of(left)
    table.batch_delete(keys)
    sent = [[one["DeleteRequest"]["Key"] for one in request["RequestItems"]["t"]] for _, request in client.requests]
    assert sent == [keys[:25], [keys[3]], keys[25:]]


def test_a_deletion_returns_what_was_there() -> None:
    table, _, _ = table_of({"Attributes": {"a": {"S": "x"}}})
    assert table.delete({"Key": {}}) == {"a": {"S": "x"}}
