"""The worker's Lambda entry: what each message of the queue and record of the stream leads to, hand-offs, deadlines."""

import importlib
import json
import os
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import httpx
import pytest

from handler.api.app import create_app
from handler.api.services import Services
from handler.bootstrap import create_queue, create_table
from handler.domain.lease import Lease
from handler.domain.messages import Wake
from handler.domain.models import Claim, Run, Thread, ThreadTtl, TtlStrategy, new_run_id, utc_now
from handler.domain.status import ThreadStatus
from handler.runs.driver import MAX_ATTEMPTS, MAX_HANDOFFS
from handler.settings import get_settings
from handler.storage.keys import EXPIRY_PREFIX
from tests.conftest import GRAPHS, serving
from tests.engines import Engine
from tests.template import stream_definition

TENANT = "default"
PLENTY_S = 60.0
PUMPS = 100
"""More invocations than any of these tests needs."""

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Invocation:
    """What of Lambda's context the worker looks at."""

    seconds: float
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """How long the invocation may still last."""
        return int(self.seconds * 1000)


class Lambda:
    """Stands between queue and worker as Lambda's event source mapping does."""

    def __init__(self, worker: ModuleType, engine: Engine, queue_url: str) -> None:
        self.worker = worker
        self.engine = engine
        self.sqs = engine.sqs()
        self.queue_url = queue_url
        self.services: Services = worker.services

    def receive(self) -> list[Message]:
        """The messages that are due."""
        answer: Any = self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        return list(answer.get("Messages", []))

    def invoke(self, messages: Sequence[Message], seconds: float = PLENTY_S) -> list[str]:
        """Hand messages to the worker, take those that it was done with off the queue, and name the others."""
        answer = self.worker.handler(event_of(messages), Invocation(seconds))
        failed = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
        for message in messages:
            if message["MessageId"] not in failed and "ReceiptHandle" in message:
                self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return failed

    def pump(self, seconds: float = PLENTY_S) -> int:
        """Invoke the worker, batch size 1, until no message is due; the number of invocations."""
        for count in range(PUMPS):
            messages = self.receive()
            if not messages:
                return count
            for message in messages:
                assert self.invoke([message], seconds) == []
        raise AssertionError(f"messages are still due after {PUMPS} rounds")

    def later(self) -> int:
        """How many messages are under way that are not due yet."""
        name: Any = "ApproximateNumberOfMessagesDelayed"
        attributes: Any = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=[name])["Attributes"]
        return int(attributes[name])

    def run(self, thread_id: str, run_id: str) -> Run:
        """A run as it is stored."""
        run = self.services.runs.get(TENANT, thread_id, run_id)
        assert run is not None
        return run

    def thread(self, thread_id: str) -> Thread:
        """A thread as it is stored."""
        thread = self.services.threads.get(TENANT, thread_id)
        assert thread is not None
        return thread

    def claim(self, thread_id: str, run_id: str) -> Claim:
        """Become the driver of a run."""
        claim = self.services.admission.claim_turn(self.run(thread_id, run_id), self.thread(thread_id))
        assert claim is not None
        return claim

    def die(self, claim: Claim) -> None:
        """Be a driver that did nothing and was last heard of long ago."""
        self.services.runs.renew(claim, Lease(claim.lease.owner, claim.lease.epoch, until_ms=0))


def event_of(messages: Sequence[Message]) -> dict[str, Any]:
    """The event that Lambda makes of messages."""
    return {"Records": [record_of(message) for message in messages]}


def record_of(message: Message) -> dict[str, Any]:
    """One record of such an event."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message.get("ReceiptHandle", "receipt"),
        "body": message["Body"],
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1764000000000",
            "SenderId": "AIDAEXAMPLE",
            "ApproximateFirstReceiveTimestamp": "1764000000001",
        },
        "messageAttributes": {},
        "md5OfBody": message.get("MD5OfBody", ""),
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:wakes",
        "awsRegion": "us-east-1",
    }


def message_of(thread_id: str, run_id: str, tenant: str = TENANT) -> Message:
    """A message that nobody took off a queue."""
    return {"MessageId": str(uuid.uuid4()), "Body": Wake(tenant, thread_id, run_id).to_text()}


@pytest.fixture(scope="module")
def functions(engine: Engine) -> Iterator[Lambda]:
    """The worker, imported as Lambda imports it: configured by its environment alone."""
    queue_url = create_queue(engine.sqs(), f"wakes-{uuid.uuid4().hex[:8]}")
    environment = {
        **engine.environment,
        "TABLE_NAME": f"worker-{uuid.uuid4().hex[:8]}",
        "QUEUE_URL": queue_url,
        "LANGGRAPH_CONFIG": str(GRAPHS),
    }
    create_table(engine.dynamodb(), environment["TABLE_NAME"])
    stream: Any = stream_definition()
    engine.dynamodb().update_table(TableName=environment["TABLE_NAME"], StreamSpecification=stream)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setitem(os.environ, name, value)
        get_settings.cache_clear()
        patch.delitem(sys.modules, "handler.worker", raising=False)
        worker = importlib.import_module("handler.worker")
        yield Lambda(worker, engine, queue_url)
        patch.delitem(sys.modules, "handler.worker")
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def client(functions: Lambda) -> Iterator[httpx.Client]:
    """A client of the API that sends to the worker's queue."""
    with (
        serving(create_app(functions.services)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        yield client


@pytest.fixture
def thread(client: httpx.Client, functions: Lambda) -> str:
    """A fresh thread, and a queue without the messages of other tests."""
    functions.sqs.purge_queue(QueueUrl=functions.queue_url)
    created: str = client.post("/threads", json={}).json()["thread_id"]
    return created


def start(client: httpx.Client, thread_id: str, **log: Any) -> str:
    """Start the log graph in the background; the run's id."""
    body = {"assistant_id": "log", "input": {"n": 3, **log}}
    answer = client.post(f"/threads/{thread_id}/runs", json=body)
    assert answer.status_code == 200, answer.text
    run_id: str = answer.json()["run_id"]
    return run_id


def entries(client: httpx.Client, thread_id: str) -> list[str]:
    """The thread's log."""
    logged: list[str] = client.get(f"/threads/{thread_id}/state").json()["values"].get("entries", [])
    return logged


def names(name: str, count: int) -> list[str]:
    """The entries of one run."""
    return [f"{name}-{index}" for index in range(count)]


def test_background_run_ends_by_its_message(functions: Lambda, client: httpx.Client, thread: str) -> None:
    run_id = start(client, thread, name="a")
    assert client.get(f"/threads/{thread}/runs/{run_id}").json()["status"] == "pending"
    assert functions.pump() == 1
    assert client.get(f"/threads/{thread}/runs/{run_id}").json()["status"] == "success"
    assert client.get(f"/threads/{thread}").json()["status"] == "idle"
    assert entries(client, thread) == names("a", 3)
    assert functions.run(thread, run_id).attempt == 1


def test_the_log_tells_a_run_from_request_to_end_and_nothing_of_what_was_said(
    functions: Lambda, client: httpx.Client, thread: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = start(client, thread, name="never-to-be-logged")
    (message, *_) = functions.receive()
    body = {**json.loads(message["Body"]), "correlation_id": "request-1"}
    functions.invoke([{**message, "Body": json.dumps(body)}])
    output = capsys.readouterr().out
    lines = [json.loads(line) for line in output.splitlines()]
    of_run = {line["message"]: line for line in lines if line.get("run_id") == run_id}
    assert {"run begun", "run ended"} <= of_run.keys()
    for line in (of_run["run begun"], of_run["run ended"]):
        assert line["correlation_id"] == "request-1"
        assert line["request_id"] == Invocation(0).aws_request_id
        assert (line["thread_id"], line["attempt"]) == (thread, 1)
        assert line["epoch"] > 0
    assert of_run["run begun"]["QueueToStart"] == of_run["run begun"]["queue_ms"] >= 0
    assert of_run["run ended"]["RunDuration"] >= 0
    assert "never-to-be-logged" not in output


def test_enqueued_runs_follow_each_other_in_order_of_arrival(
    functions: Lambda, client: httpx.Client, thread: str
) -> None:
    runs = [start(client, thread, name=name, n=2) for name in "abcd"]
    functions.pump()
    assert [functions.run(thread, run_id).status for run_id in runs] == ["success"] * 4
    assert entries(client, thread) == [entry for name in "abcd" for entry in names(name, 2)]


def test_each_acceptance_has_a_second_message_under_way(functions: Lambda, client: httpx.Client, thread: str) -> None:
    before = functions.later()
    start(client, thread)
    assert functions.later() == before + 1
    functions.pump()
    assert functions.later() == before + 1


def test_run_is_found_by_its_watchdog_when_the_first_message_is_lost(
    functions: Lambda, client: httpx.Client, thread: str
) -> None:
    run_id = start(client, thread, name="w")
    for message in functions.receive():
        functions.sqs.delete_message(QueueUrl=functions.queue_url, ReceiptHandle=message["ReceiptHandle"])
    assert functions.invoke([message_of(thread, run_id)]) == []
    assert entries(client, thread) == names("w", 3)


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '"text"', "{}", '{"thread_id": "x", "run_id": "y"}'])
def test_message_that_is_no_wake_up_fails_alone(
    functions: Lambda, client: httpx.Client, thread: str, body: str
) -> None:
    run_id = start(client, thread)
    broken = {"MessageId": "broken", "Body": body}
    assert functions.invoke([broken, *functions.receive(), broken]) == ["broken", "broken"]
    assert functions.run(thread, run_id).status == "success"


@pytest.mark.parametrize("what", ["thread", "run", "tenant"])
def test_message_about_nothing_is_done(functions: Lambda, client: httpx.Client, thread: str, what: str) -> None:
    start(client, thread)
    functions.pump()
    before = functions.later()
    long_ago = "01900000-0000-7000-8000-000000000000"
    messages = {
        "thread": message_of(str(uuid.uuid4()), long_ago),
        "run": message_of(thread, str(uuid.uuid4())),
        "tenant": message_of(thread, long_ago, tenant="globex"),
    }
    assert functions.invoke([messages[what]]) == []
    assert functions.later() == before


def test_message_about_a_run_that_may_yet_be_admitted_comes_again_later(functions: Lambda, thread: str) -> None:
    before = functions.later()
    assert functions.invoke([message_of(thread, new_run_id())]) == []
    assert functions.later() == before + 1


def test_message_about_a_deleted_thread_is_done(functions: Lambda, client: httpx.Client, thread: str) -> None:
    start(client, thread)
    assert client.delete(f"/threads/{thread}").status_code == 204
    assert functions.pump() == 1
    assert client.get(f"/threads/{thread}").status_code == 404


def test_message_that_comes_again_has_no_effect(functions: Lambda, client: httpx.Client, thread: str) -> None:
    run_id = start(client, thread, name="d")
    functions.pump()
    before, later = functions.run(thread, run_id), functions.later()
    for _ in range(3):
        assert functions.invoke([message_of(thread, run_id)]) == []
    assert functions.run(thread, run_id) == before
    assert functions.later() == later
    assert entries(client, thread) == names("d", 3)


def test_messages_that_come_at_once_have_one_driver(functions: Lambda, client: httpx.Client, thread: str) -> None:
    run_id = start(client, thread, name="t", n=5, seconds=0.05)
    failures: list[list[str]] = []
    at_once = [
        threading.Thread(target=lambda: failures.append(functions.invoke([message_of(thread, run_id)])))
        for _ in range(6)
    ]
    for one in at_once:
        one.start()
    for one in at_once:
        one.join()
    functions.pump()
    assert failures == [[]] * 6
    assert entries(client, thread) == names("t", 5)
    run = functions.run(thread, run_id)
    assert (run.status, run.attempt, run.handoffs) == ("success", 1, 0)


def test_message_about_a_run_with_a_live_driver_comes_again_later(
    functions: Lambda, client: httpx.Client, thread: str
) -> None:
    run_id = start(client, thread)
    claim = functions.claim(thread, run_id)
    later = functions.later()
    functions.pump()
    assert functions.later() == later  # the message was a hint, beside the run's watchdog
    assert functions.invoke([message_of(thread, run_id)]) == []
    assert functions.later() == later + 1
    assert functions.thread(thread).lease == claim.lease
    functions.die(claim)
    functions.invoke([message_of(thread, run_id)])
    assert functions.run(thread, run_id).status == "success"


def test_message_about_a_run_that_waits_for_others_comes_again_later(
    functions: Lambda, client: httpx.Client, thread: str
) -> None:
    first, second = start(client, thread, name="a"), start(client, thread, name="b")
    claim = functions.claim(thread, first)
    later = functions.later()
    assert functions.invoke([message_of(thread, second)]) == []
    assert functions.later() == later + 1
    assert functions.run(thread, second).status == "pending"
    functions.die(claim)
    functions.pump()
    assert entries(client, thread) == [*names("a", 3), *names("b", 3)]


def test_run_that_was_read_before_another_driver_began_cannot_be_claimed(
    functions: Lambda, client: httpx.Client, thread: str
) -> None:
    run_id = start(client, thread, name="once", n=10, seconds=0.2)
    stale = functions.run(thread, run_id)
    functions.invoke(functions.receive(), seconds=1.5)
    assert functions.thread(thread).lease is None
    assert functions.services.admission.claim_turn(stale, functions.thread(thread)) is None
    functions.pump()
    assert entries(client, thread) == names("once", 10)


def test_long_run_ends_over_many_short_invocations(functions: Lambda, client: httpx.Client, thread: str) -> None:
    later = functions.later()
    run_id = start(client, thread, name="long", n=15, seconds=0.2)
    invocations = functions.pump(seconds=1.5)
    assert functions.later() == later + 1  # one watchdog, however often it was handed on
    run = functions.run(thread, run_id)
    assert run.status == "success"
    assert entries(client, thread) == names("long", 15)
    assert run.handoffs >= 2
    assert run.attempt == run.handoffs + 1 == invocations
    assert functions.thread(thread).lease is None


def test_run_enqueued_behind_a_handed_on_run_waits_for_its_end(
    functions: Lambda, client: httpx.Client, thread: str
) -> None:
    first = start(client, thread, name="a", n=10, seconds=0.2)
    second = start(client, thread, name="b", n=2)
    functions.pump(seconds=1.5)
    assert functions.run(thread, first).handoffs >= 1
    assert functions.run(thread, second).status == "success"
    assert entries(client, thread) == [*names("a", 10), *names("b", 2)]


def test_node_that_outlasts_the_limit_ends_the_run_as_a_timeout_that_names_it(
    functions: Lambda, client: httpx.Client, thread: str
) -> None:
    run_id = start(client, thread, name="slow", n=2, seconds=30)
    functions.pump(seconds=1.5)
    run = functions.run(thread, run_id)
    assert run.status == "timeout"
    assert run.error is not None
    assert "append" in run.error["message"]
    assert run.handoffs <= 1  # the first invocation committed the input, the second nothing
    shown = client.get(f"/threads/{thread}").json()
    assert shown["status"] == "error"
    next_run = start(client, thread, name="next", n=1, seconds=0)
    functions.pump()
    assert functions.run(thread, next_run).status == "success"
    assert entries(client, thread)[-1:] == ["next-0"]


def test_run_on_which_too_many_drivers_died_ends_as_an_error_and_frees_the_thread(
    functions: Lambda, client: httpx.Client, thread: str
) -> None:
    run_id = start(client, thread, name="poison")
    second = start(client, thread, name="next")
    for _ in range(MAX_ATTEMPTS):
        functions.die(functions.claim(thread, run_id))
    functions.pump()
    run = functions.run(thread, run_id)
    assert run.status == "error"
    assert run.attempt == MAX_ATTEMPTS + 1
    assert run.error is not None
    assert str(MAX_ATTEMPTS) in run.error["message"]
    assert functions.run(thread, second).status == "success"
    assert entries(client, thread) == names("next", 3)


def test_run_whose_last_allowed_driver_lives_is_no_error(functions: Lambda, client: httpx.Client, thread: str) -> None:
    run_id = start(client, thread, name="lucky")
    for _ in range(MAX_ATTEMPTS - 1):
        functions.die(functions.claim(thread, run_id))
    functions.pump()
    assert functions.run(thread, run_id).status == "success"
    assert entries(client, thread) == names("lucky", 3)


def test_hand_offs_are_no_deaths_but_are_capped_too(functions: Lambda, client: httpx.Client, thread: str) -> None:
    run_id = start(client, thread)
    for _ in range(MAX_HANDOFFS + 1):
        functions.services.runs.hand_off(functions.claim(thread, run_id), clean=True)
    assert functions.run(thread, run_id).handoffs == MAX_HANDOFFS
    functions.pump()
    run = functions.run(thread, run_id)
    assert run.status == "error"
    assert run.handoffs == MAX_HANDOFFS + 1
    assert run.error is not None
    assert f"{MAX_HANDOFFS} hand-offs" in run.error["message"]


def deletions(functions: Lambda, keys: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records that the table's stream has of items, as Lambda hands them on, once they have been deleted.

    The engine's TTL tells its stream nothing, so the items are deleted by a request; who did it is all that is made up.
    """
    table = functions.services.settings.table_name
    for key in keys:
        functions.engine.dynamodb().delete_item(TableName=table, Key=key)
    streams = functions.engine.streams()
    (stream,) = streams.list_streams(TableName=table)["Streams"]
    (shard,) = streams.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]["Shards"]
    where = {"StreamArn": stream["StreamArn"], "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    found = streams.get_records(ShardIterator=streams.get_shard_iterator(**where)["ShardIterator"])["Records"]
    by_ttl = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    removed = [one for one in found if one["eventName"] == "REMOVE" and one["dynamodb"]["Keys"] in keys]
    told = json.dumps([{**one, "userIdentity": by_ttl} for one in removed], default=datetime.timestamp)
    return list(json.loads(told))


def expiries(functions: Lambda, *thread_ids: str) -> list[dict[str, Any]]:
    """The keys of threads' expiries, in the threads' order."""
    pages = functions.engine.dynamodb().get_paginator("scan").paginate(TableName=functions.services.settings.table_name)
    keys = [{name: item[name] for name in ("PK", "SK")} for page in pages for item in page["Items"]]
    armed = [key for key in keys if key["PK"]["S"].startswith(EXPIRY_PREFIX)]
    return [key for thread_id in thread_ids for key in armed if thread_id in key["SK"]["S"]]


def kept_until(functions: Lambda, due: datetime) -> str:
    """A thread that is due then."""
    thread_id, now = str(uuid.uuid4()), utc_now()
    thread = Thread(TENANT, thread_id, ThreadStatus.IDLE, now, now, ttl=ThreadTtl(TtlStrategy.DELETE, 1, due))
    assert functions.services.threads.create(thread)
    return thread_id


def test_an_expiry_deletes_a_thread_that_is_due_and_leaves_one_that_is_not(functions: Lambda) -> None:
    now = utc_now()
    due, kept = kept_until(functions, now), kept_until(functions, now + timedelta(hours=1))
    records = deletions(functions, expiries(functions, due, kept))
    assert [record["dynamodb"]["StreamViewType"] for record in records] == ["KEYS_ONLY"] * 2
    answer = functions.worker.handler({"Records": records}, Invocation(PLENTY_S))
    assert answer == {"batchItemFailures": []}
    assert functions.services.threads.expire(TENANT, due) is False, "it is gone, not only hidden"
    assert functions.thread(kept).thread_id == kept
    assert len(expiries(functions, due, kept)) == 1, "somebody looks at what is kept again"
    again = functions.worker.handler({"Records": records}, Invocation(PLENTY_S))
    assert again == {"batchItemFailures": []}, "a record that comes twice"


def test_an_expiry_that_cannot_be_read_comes_again_and_keeps_no_other_back(functions: Lambda) -> None:
    due = kept_until(functions, utc_now())
    unreadable = {"PK": {"S": f"{EXPIRY_PREFIX}2026-01-02#0"}, "SK": {"S": "nonsense"}}
    functions.engine.dynamodb().put_item(TableName=functions.services.settings.table_name, Item=unreadable)
    broken, good = deletions(functions, [unreadable, *expiries(functions, due)])
    answer = functions.worker.handler({"Records": [broken, good]}, Invocation(PLENTY_S))
    assert answer == {"batchItemFailures": [{"itemIdentifier": broken["dynamodb"]["SequenceNumber"]}]}
    assert functions.services.threads.expire(TENANT, due) is False
