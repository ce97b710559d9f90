"""Wake-ups: their text, and what a failing queue is to a caller."""

from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from handler.domain.messages import Wake, message_from_text
from handler.errors import StorageUnavailable
from handler.storage.queue import MAX_DELAY_S, NoWakes, SqsWakes
from handler.telemetry import correlated


class Queue:
    """An SQS client that keeps what it is sent, or fails as it is told to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.sent: list[dict[str, Any]] = []

    def send_message(self, **message: Any) -> None:
        if self.failure:
            raise self.failure
        self.sent.append(message)

    def receive_message(self, **_request: Any) -> dict[str, Any]:
        if self.failure:
            raise self.failure
        return {"Messages": [{"ReceiptHandle": "r1", "Body": Wake("acme", "T", "R").to_text()}]}


@pytest.mark.parametrize("tenant", ["acme", 'a"b', "a#b", "ü"])
def test_a_wake_up_comes_back_out_of_its_text(tenant: str) -> None:
    wake = Wake(tenant, "T", "R")
    assert message_from_text(wake.to_text()) == wake


def test_a_message_says_which_request_it_goes_back_to_where_that_is_known() -> None:
    queue = Queue()
    with correlated(correlation_id="request-1"):
        SqsWakes(cast("Any", queue), "url").send("acme", "T", "R")
    (sent,) = queue.sent
    assert message_from_text(sent["MessageBody"]) == Wake("acme", "T", "R", "request-1", hint=True)
    assert "correlation" not in Wake("acme", "T", "R").to_text()


def test_a_message_that_does_not_say_that_it_is_a_hint_is_a_watchdog() -> None:
    assert message_from_text('{"tenant": "acme", "thread_id": "T", "run_id": "R"}') == Wake(
        "acme", "T", "R", hint=False
    )
    assert "hint" not in Wake("acme", "T", "R").to_text()
    hint = Wake("acme", "T", "R", hint=True)
    assert message_from_text(hint.to_text()) == hint


@pytest.mark.parametrize("text", ["", "x", "[]", "5", "null", "{}", '{"tenant": "a", "thread_id": "T"}'])
def test_what_is_no_wake_up_is_told_as_such(text: str) -> None:
    with pytest.raises(ValueError):
        message_from_text(text)


@pytest.mark.parametrize(("asked", "sent"), [(0, 0), (65, 65), (900, 900), (5000, MAX_DELAY_S)])
def test_a_message_is_held_back_as_long_as_sqs_can(asked: int, sent: int) -> None:
    queue = Queue()
    SqsWakes(cast("Any", queue), "url").send("acme", "T", "R", delay_s=asked)
    body = Wake("acme", "T", "R", hint=not asked).to_text()
    assert queue.sent == [{"QueueUrl": "url", "MessageBody": body, "DelaySeconds": sent}]


@pytest.mark.parametrize(
    "failure",
    [
        ClientError(cast("Any", {"Error": {"Code": "Throttling"}}), "SendMessage"),
        EndpointConnectionError(endpoint_url="http://127.0.0.1"),
    ],
    ids=["refused", "out of reach"],
)
def test_a_queue_that_fails_is_unavailable_for_now(failure: Exception) -> None:
    with pytest.raises(StorageUnavailable, match="SQS SendMessage failed"):
        SqsWakes(cast("Any", Queue(failure)), "url").send("acme", "T", "R")
    with pytest.raises(StorageUnavailable, match="SQS ReceiveMessage failed"):
        list(SqsWakes(cast("Any", Queue(failure)), "url").receive(wait_s=0, limit=1))


def test_messages_are_taken_off_with_their_receipts() -> None:
    wakes = SqsWakes(cast("Any", Queue()), "url")
    assert list(wakes.receive(wait_s=0, limit=1)) == [("r1", Wake("acme", "T", "R"))]


def test_without_a_worker_a_message_goes_nowhere() -> None:
    sent: object = NoWakes.send(NoWakes(), "acme", "T", "R", delay_s=1)  # type: ignore[func-returns-value]
    assert sent is None
