"""Timers over the queue and over EventBridge Scheduler, as an emulator of AWS serves it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from handler.domain.messages import CronWake, Message, Wake, message_from_text
from handler.embedded import embedded_engine
from handler.errors import StorageUnavailable
from handler.storage.queue import SqsWakes
from handler.storage.timers import FARTHEST, LEAD, NoTimers, QueueTimers, SchedulerTimers
from tests.engines import DUMMY_CREDENTIALS, REGION

NOW = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)
GROUP = "the-group"
ROLE = "arn:aws:iam::000000000000:role/scheduler"
CRON = CronWake("acme", "C", NOW + timedelta(days=2), NOW)
RUN = Wake("acme", "T", "R")


class Aws:
    """The emulator, with a queue and a group."""

    def __init__(self, endpoint_url: str) -> None:
        options: Any = {"endpoint_url": endpoint_url, "region_name": REGION, **DUMMY_CREDENTIALS}
        self.scheduler = boto3.client("scheduler", **options)
        self.sqs = boto3.client("sqs", **options)
        self.scheduler.create_schedule_group(Name=GROUP)
        self.queue_url = self.sqs.create_queue(QueueName="wakes")["QueueUrl"]
        self.queue_arn = self.arn(self.queue_url)
        self.dead_letter_queue_arn = self.arn(self.sqs.create_queue(QueueName="dead-letters")["QueueUrl"])

    def arn(self, queue_url: str) -> str:
        attributes = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]
        return str(attributes["QueueArn"])

    def timers(self, now: datetime = NOW, client: Any = None) -> SchedulerTimers:
        near = QueueTimers(SqsWakes(self.sqs, self.queue_url), lambda: now)
        scheduler = self.scheduler if client is None else client
        return SchedulerTimers(
            lambda: scheduler,
            near,
            lambda: now,
            group=GROUP,
            queue_arn=self.queue_arn,
            dead_letter_queue_arn=self.dead_letter_queue_arn,
            role_arn=ROLE,
        )

    def schedules(self) -> dict[str, Any]:
        names = [one["Name"] for one in self.scheduler.list_schedules(GroupName=GROUP)["Schedules"]]
        return {name: self.scheduler.get_schedule(Name=name, GroupName=GROUP) for name in names}


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with embedded_engine(services="scheduler,sqs,events") as endpoint_url:
        yield Aws(endpoint_url)


@pytest.fixture(autouse=True)
def _empty(aws: Aws) -> None:
    for name in aws.schedules():
        aws.scheduler.delete_schedule(Name=name, GroupName=GROUP)
    aws.sqs.purge_queue(QueueUrl=aws.queue_url)


@pytest.mark.parametrize(("message", "name"), [(CRON, "cron-C"), (RUN, "run-R")])
def test_what_is_far_ahead_is_a_schedule_that_fires_once_and_goes(aws: Aws, message: Message, name: str) -> None:
    aws.timers().set(message, NOW + timedelta(days=2))
    ((found, schedule),) = aws.schedules().items()
    assert found == name
    assert schedule["ScheduleExpression"] == "at(2026-03-04T11:59:30)"
    assert (schedule["ScheduleExpressionTimezone"], schedule["ActionAfterCompletion"]) == ("UTC", "DELETE")
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert (schedule["Target"]["Arn"], schedule["Target"]["RoleArn"]) == (aws.queue_arn, ROLE)
    assert schedule["Target"]["DeadLetterConfig"] == {"Arn": aws.dead_letter_queue_arn}
    assert message_from_text(schedule["Target"]["Input"]) == message


def test_a_schedule_takes_the_place_of_the_one_before(aws: Aws) -> None:
    aws.timers().set(CRON, NOW + timedelta(days=2))
    aws.timers().set(CRON, NOW + timedelta(days=1))
    assert aws.schedules()["cron-C"]["ScheduleExpression"] == "at(2026-03-03T11:59:30)"


@pytest.mark.parametrize("seconds", [-5, 0, 10, 900])
def test_what_is_near_goes_to_the_queue(aws: Aws, seconds: int) -> None:
    aws.timers().set(RUN, NOW + timedelta(seconds=seconds))
    assert aws.schedules() == {}
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"]
    counts = aws.sqs.get_queue_attributes(QueueUrl=aws.queue_url, AttributeNames=names)["Attributes"]
    assert {name: int(count) for name, count in counts.items()} == {
        "ApproximateNumberOfMessages": int(seconds <= 0),
        "ApproximateNumberOfMessagesDelayed": int(seconds > 0),
    }


def test_what_is_farther_than_a_schedule_reaches_comes_early(aws: Aws) -> None:
    aws.timers().set(RUN, NOW + timedelta(days=36_500))
    assert aws.schedules()["run-R"]["ScheduleExpression"] == f"at({NOW + FARTHEST:%Y-%m-%dT%H:%M:%S})"


def test_what_is_taken_back_is_gone_and_may_be_taken_back_again(aws: Aws) -> None:
    aws.timers().set(CRON, NOW + timedelta(days=2))
    for _ in range(2):
        aws.timers().clear(CRON)
    assert aws.schedules() == {}


@pytest.mark.slow
def test_a_schedule_sends_its_message_to_the_queue(aws: Aws) -> None:
    due = datetime.now(UTC) + LEAD
    aws.timers(now=due - timedelta(hours=1)).set(CRON, due)
    answer: Any = {}
    for _ in range(3):
        answer = aws.sqs.receive_message(QueueUrl=aws.queue_url, WaitTimeSeconds=10)
        if answer.get("Messages"):
            break
    (message,) = answer["Messages"]
    assert message_from_text(message["Body"]) == CRON
    assert aws.schedules() == {}


class Scheduler:
    """A client whose calls fail as they are told to, one after another."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.sent: list[str] = []

    def __getattr__(self, operation: str) -> Any:
        def send(**_request: Any) -> None:
            self.sent.append(operation)
            failure = self.failures.pop(0)
            if failure:
                raise failure

        return send


def refused(code: str) -> ClientError:
    return ClientError(cast("Any", {"Error": {"Code": code}}), "Operation")


CONFLICT, MISSING = refused("ConflictException"), refused("ResourceNotFoundException")
LOST = EndpointConnectionError(endpoint_url="nowhere")


@pytest.mark.parametrize(
    ("failures", "sent"),
    [
        ([None], ["create"]),
        ([CONFLICT, None], ["create", "update"]),
        # It fired, and went, in between.
        ([CONFLICT, MISSING, None], ["create", "update", "create"]),
    ],
)
def test_create_and_update_take_turns(aws: Aws, failures: list[Any], sent: list[str]) -> None:
    client = Scheduler(*failures)
    aws.timers(client=client).set(CRON, NOW + timedelta(days=2))
    assert client.sent == [f"{kind}_schedule" for kind in sent]


@pytest.mark.parametrize(
    "failures", [[LOST], [refused("ThrottlingException")], [CONFLICT, LOST], [CONFLICT, MISSING] * 3]
)
def test_a_schedule_that_cannot_be_set_is_told_as_such(aws: Aws, failures: list[Any]) -> None:
    with pytest.raises(StorageUnavailable):
        aws.timers(client=Scheduler(*failures)).set(CRON, NOW + timedelta(days=2))


@pytest.mark.parametrize("failure", [LOST, refused("ThrottlingException")])
def test_a_schedule_that_cannot_be_taken_back_is_told_as_such(aws: Aws, failure: Any) -> None:
    with pytest.raises(StorageUnavailable):
        aws.timers(client=Scheduler(failure)).clear(CRON)


def test_the_queue_alone_holds_a_message_as_long_as_it_can(aws: Aws) -> None:
    sent: list[Any] = []

    class Queue:
        def send_message(self, **message: Any) -> None:
            sent.append(message)

    timers = QueueTimers(SqsWakes(cast("Any", Queue()), "url"), lambda: NOW)
    for ahead in (timedelta(days=2), timedelta(seconds=1.2), timedelta(seconds=-3)):
        timers.set(CRON, NOW + ahead)
    timers.clear(CRON)
    assert [message["DelaySeconds"] for message in sent] == [900, 2, 0]
    assert {message_from_text(message["MessageBody"]) for message in sent} == {CRON}


def test_where_nothing_works_later_nothing_is_sent() -> None:
    for done in (NoTimers().set(CRON, NOW), NoTimers().clear(CRON)):  # type: ignore[func-returns-value]
        assert done is None


@pytest.mark.parametrize("message", [CRON, RUN, Wake("ü#", "T", "R", "request-1")])
def test_a_message_comes_back_out_of_its_text(message: Message) -> None:
    assert message_from_text(message.to_text()) == message


@pytest.mark.parametrize("message", [CRON, RUN])
def test_a_message_comes_back_out_of_what_scheduler_leaves_of_it_as_a_dead_letter(message: Message) -> None:
    # As AWS documents it: the request to SQS that could not be made.
    left = {"MessageBody": message.to_text(), "QueueUrl": "https://sqs.eu-west-1.example/1/wakes"}
    assert message_from_text(json.dumps(left)) == message


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        5,
        {},
        {"MessageBody": 5},
        {"MessageBody": "x"},
        {"MessageBody": "{}"},
        {"cron_id": "C"},
        {"cron_id": "C", "tenant": "a", "due": 5, "armed_at": "x"},
    ],
)
def test_what_is_no_message_is_told_as_such(content: Any) -> None:
    with pytest.raises(ValueError):
        message_from_text(json.dumps(content))
