"""What a wait costs in DynamoDB: requests, how many of them one after another, units; `make bench` prints it.

| counted           | how                                                                                      |
|-------------------|------------------------------------------------------------------------------------------|
| requests, units   | by `metering`, in front of moto: AWS's published sizes, twice in transactions            |
| index writes      | a unit for each entry of the index that is written or deleted; one that moves is both    |
| one after another | the longest chain of requests of which each began after the one before it had ended      |
"""

import random
import statistics
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from handler.bootstrap import build_services, create_table
from handler.settings import Settings
from tests.bench.metering import Bill, Meter
from tests.bench.workload import MESSAGE_BYTES, MESSAGES_PER_TURN, prose
from tests.conftest import new_settings
from tests.engines import Engine, moto_serialised
from tests.in_lambda import InLambda

MOST_REQUESTS, MOST_UNITS = 8, 14
MOST_IN_A_CHAIN = 3
"""Admission, a read where this process does not know the thread, settlement, which takes the checkpoints along."""

TURNS = 40
MOST_UNITS_OF_A_TURN = 22
CHAT = Path(__file__).parent / "langgraph.json"

TRIES = 4
"""Of so many waits the cheapest counts: where CPU is short, super-steps come too far apart to share an item."""

SETTLED_S = 1.5
"""After so long a joiner polls at its slowest."""

WATCHED_S = 6


@dataclass
class Timeline:
    """When a client's requests began and ended."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    def watch(self, client: Any) -> None:
        """Take note of all that a boto3 client sends from now on."""
        began = "before-call.dynamodb"
        client.meta.events.register(began, lambda context, **_: context.update(began=time.monotonic()))
        client.meta.events.register(
            "after-call.dynamodb", lambda context, **_: self.spans.append((context["began"], time.monotonic()))
        )

    def longest_chain(self) -> int:
        """How many requests came one after another."""
        chain, end = 0, float("-inf")
        for began, ended in sorted(self.spans, key=lambda span: span[1]):
            if began >= end:
                chain, end = chain + 1, ended
        return chain


@pytest.fixture(scope="module")
def metered() -> Iterator[tuple[Engine, Meter]]:
    """moto behind a meter."""
    meter = Meter()
    with moto_serialised(meter) as engine:
        yield engine, meter


@dataclass(frozen=True)
class Process:
    """One process of the service, and its requests."""

    service: InLambda
    timeline: Timeline

    @classmethod
    def start(cls, engine: Engine, settings: Settings) -> "Process":
        """A process that knows nothing yet."""
        client, timeline = engine.new_dynamodb(), Timeline()
        timeline.watch(client)
        return cls(InLambda(build_services(settings, dynamodb=client)), timeline)

    def wait(self, thread_id: str) -> None:
        """A trivial wait: one node."""
        body = {"assistant_id": "long", "input": {"steps": 1, "seconds": 0.0}, "if_not_exists": "create"}
        answer = self.service.wait(thread_id, body)
        assert (answer.status, answer.json()["done"] >= 1) == (200, True)
        self.service.quiet()


def new_deployment(engine: Engine, **changed: Any) -> Settings:
    """Settings with a table that is there."""
    settings = new_settings(tenant_claim="", gateway_timeout_seconds=25, **changed)
    create_table(engine.dynamodb(), settings.table_name)
    return settings


def show(capsys: pytest.CaptureFixture[str], name: str, bill: Bill, chain: int | None = None) -> None:
    """Print a line of figures."""
    requests = ", ".join(f"{operation} {count}" for operation, count in sorted(bill.requests.items()))
    chained = f", {chain} one after another" if chain is not None else ""
    units = f"{bill.wru:.0f} write units and {bill.index.total()} of the index, {bill.rru:g} read units"
    with capsys.disabled():
        print(f"\n{name}: {bill.count} requests{chained} ({requests}); {units}")


@pytest.mark.parametrize("warm", [False, True], ids=["cold-process", "warm-process"])
def test_a_trivial_wait_on_an_existing_thread(
    metered: tuple[Engine, Meter], capsys: pytest.CaptureFixture[str], warm: bool
) -> None:
    engine, meter = metered
    settings, thread_id = new_deployment(engine), str(uuid.uuid4())
    before = Process.start(engine, settings)
    before.wait(thread_id)
    tries: list[tuple[int, int, Bill]] = []
    for number in range(TRIES):
        process = before if warm else Process.start(engine, settings)
        process.timeline.spans.clear()
        bill = meter.start()
        process.wait(thread_id)
        meter.on = False
        tries.append((process.timeline.longest_chain(), number, bill))
    chain, _, bill = min(tries)
    show(capsys, f"a trivial wait, {'warm' if warm else 'cold'} process", bill, chain)
    assert 0 < bill.count <= MOST_REQUESTS
    assert chain <= MOST_IN_A_CHAIN
    assert bill.wru + bill.index.total() <= MOST_UNITS
    assert set(bill.index) <= {"TransactWriteItems"}, "a super-step writes to no index"


def test_a_turn_of_a_chat_costs_the_same_whenever_it_comes(
    metered: tuple[Engine, Meter], capsys: pytest.CaptureFixture[str]
) -> None:
    engine, meter = metered
    settings, thread_id = new_deployment(engine, langgraph_config=CHAT), str(uuid.uuid4())
    service, source = Process.start(engine, settings).service, random.Random(11)
    bills: list[Bill] = []
    for turn in range(1, TURNS + 1):
        said = {"messages": [{"role": "user", "content": prose(source, MESSAGE_BYTES)}]}
        bill = meter.start()
        answer = service.wait(thread_id, {"assistant_id": "chat", "input": said, "if_not_exists": "create"})
        service.quiet()
        meter.on = False
        assert len(answer.json()["messages"]) == MESSAGES_PER_TURN * turn
        bills.append(bill)
    mean = sum(bill.wru + bill.index.total() for bill in bills) / TURNS
    requests = sum(bill.count for bill in bills) / TURNS
    with capsys.disabled():
        print(
            f"\n{TURNS} turns of W: {median(bills):g} write units (median), {mean:.1f} (mean), {requests:.1f} requests"
        )
    assert median(bills) <= MOST_UNITS_OF_A_TURN
    assert median(bills[-10:]) <= median(bills[5:15]) + 1, "the length of the conversation does not matter"


def median(bills: list[Bill]) -> float:
    """The write units of a usual turn, its entries of the index included."""
    return statistics.median(bill.wru + bill.index.total() for bill in bills)


def test_a_joiner_reads_twice_a_second_and_one_unit_each(
    metered: tuple[Engine, Meter], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    engine, meter = metered
    settings, thread_id, gate = new_deployment(engine), str(uuid.uuid4()), tmp_path / "gate"
    driving, joining = Process.start(engine, settings), Process.start(engine, settings)
    body = {"assistant_id": "log", "input": {"n": 1, "until": str(gate)}, "if_not_exists": "create"}
    first = driving.service.wait(thread_id, body, prefer="wait=1")
    joined = joining.service.begin_get(first.headers["location"])
    time.sleep(SETTLED_S)
    bill = meter.start()
    time.sleep(WATCHED_S)
    meter.on = False
    gate.touch()
    assert joined.result(30).json()["entries"] == ["e-0"]
    driving.service.quiet()
    show(capsys, f"{WATCHED_S} waiting seconds of a joiner", bill)
    assert set(bill.requests) == {"GetItem"}
    assert WATCHED_S <= bill.count <= 2 * WATCHED_S + 1  # jitter may move one across the edge
    assert bill.rru == bill.count
