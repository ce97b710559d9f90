"""The queue of wake-ups: SQS, or nothing where runs are driven only where they are awaited."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from handler.domain.messages import Message, Wake, message_from_text
from handler.errors import StorageUnavailable
from handler.telemetry import correlation_id

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MAX_DELAY_S = 900
"""The longest that SQS holds a message back, in seconds."""


class SqsWakes:
    """The port `WakeQueue` over an SQS standard queue."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self.client = client
        self.queue_url = queue_url

    def send(self, tenant: str, thread_id: str, run_id: str, *, delay_s: int = 0) -> None:
        """Have a worker look at a run after so many seconds (0 to 900)."""
        self.post(Wake(tenant, thread_id, run_id, correlation_id(), hint=not delay_s), delay_s=delay_s)

    def post(self, message: Message, *, delay_s: int = 0) -> None:
        """Have a worker get a message after so many seconds (0 to 900)."""
        body, delay = message.to_text(), min(delay_s, MAX_DELAY_S)
        try:
            self.client.send_message(QueueUrl=self.queue_url, MessageBody=body, DelaySeconds=delay)
        except (ClientError, BotoCoreError) as error:
            raise StorageUnavailable(f"SQS SendMessage failed: {type(error).__name__}") from error

    def receive(self, *, wait_s: int, limit: int) -> Iterator[tuple[str, Message]]:
        """Take messages off the queue: receipt and content; for the local server, Lambda does this by itself."""
        try:
            answer: Any = self.client.receive_message(
                QueueUrl=self.queue_url, WaitTimeSeconds=wait_s, MaxNumberOfMessages=limit
            )
        except (ClientError, BotoCoreError) as error:
            raise StorageUnavailable(f"SQS ReceiveMessage failed: {type(error).__name__}") from error
        for message in answer.get("Messages", []):
            yield message["ReceiptHandle"], message_from_text(message["Body"])

    def done(self, receipt: str) -> None:
        """Take a message off the queue for good."""
        try:
            self.client.delete_message(QueueUrl=self.queue_url, ReceiptHandle=receipt)
        except (ClientError, BotoCoreError) as error:
            raise StorageUnavailable(f"SQS DeleteMessage failed: {type(error).__name__}") from error


class NoWakes:
    """The port `WakeQueue` where there is no worker."""

    def send(self, tenant: str, thread_id: str, run_id: str, *, delay_s: int = 0) -> None:
        """Drop the message."""
