"""Real processes that are killed and frozen at random: every accepted run ends, every entry is there once."""

import os
import random
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import httpx
import pytest

from handler.api.services import Services
from handler.bootstrap import build_services, create_table
from handler.domain.models import Run
from handler.embedded import CREDENTIALS, embedded_engine
from handler.settings import Settings
from handler.storage.queue import NoWakes
from tests.conftest import GRAPHS
from tests.faults.cluster import Blow, Chaos, Node
from tests.faults.history import STEPS, Tally, entries_of, tally

SEED = int(os.environ.get("CHAOS_SEED", "4"))
NODES = 3
THREADS = 20
RUNS = 200
CLIENTS = 16
STRATEGIES = ("enqueue", "enqueue", "enqueue", "enqueue", "enqueue", "reject", "interrupt", "rollback")
TENANT = "default"
REDELIVERY_S = 8
"""When the queue gives a message again that its receiver neither finished nor gave back."""

PATIENCE_S = 10.0
"""When a client takes its server for dead and asks another."""

END_WITHIN_S = 180.0
"""How long after the last blow all threads have to be free."""


@dataclass(frozen=True)
class Request:
    """What one client is to ask for."""

    name: str
    thread_id: str
    strategy: str
    background: bool
    first_node: int

    @property
    def body(self) -> dict[str, object]:
        """The request's body."""
        return {
            "assistant_id": "log",
            "multitask_strategy": self.strategy,
            "on_disconnect": "continue",
            "if_not_exists": "create",
            "input": {"name": self.name, "n": STEPS, "seconds": 0.2},
        }


@dataclass(frozen=True)
class Answered:
    """What a client was told in the end."""

    request: Request
    status: int
    run_id: str | None
    tries: int


@dataclass(frozen=True)
class Deployment:
    """The nodes, and the service as the test reads it."""

    nodes: list[Node]
    services: Services

    def active(self, thread_ids: list[str]) -> Mapping[str, int]:
        """By id of each run that holds a thread, how many drivers have started on it."""
        found: dict[str, int] = {}
        for thread_id in thread_ids:
            thread = self.services.threads.get(TENANT, thread_id)
            if thread is not None and thread.active_run is not None:
                run = self.services.runs.get(TENANT, thread_id, thread.active_run)
                if run is not None:
                    found[run.run_id] = run.attempt
        return found

    def await_idle(self, thread_ids: list[str]) -> float:
        """Return once no thread is busy, with the seconds it took."""
        started = time.monotonic()
        while busy := [one for one in thread_ids if self.busy(one)]:
            if time.monotonic() - started > END_WITHIN_S:
                threads = [self.services.threads.get(TENANT, one) for one in busy]
                raise AssertionError(f"threads are stuck: {threads}")
            time.sleep(0.25)
        return time.monotonic() - started

    def busy(self, thread_id: str) -> bool:
        """Whether a run holds the thread or waits for it."""
        thread = self.services.threads.get(TENANT, thread_id)
        return thread is not None and thread.busy


@contextmanager
def deployed(directory: Path) -> Iterator[Deployment]:
    """Processes over one engine and one queue; whatever their state, they are gone at the end."""
    with embedded_engine() as endpoint:
        options = {"region_name": "us-east-1", "endpoint_url": endpoint}
        access = {
            "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        }
        dynamodb = boto3.client("dynamodb", **options, **access)  # type: ignore[call-overload]
        sqs = boto3.client("sqs", **options, **access)  # type: ignore[call-overload]
        attributes = {"VisibilityTimeout": str(REDELIVERY_S)}
        queue_url = sqs.create_queue(QueueName="wakes", Attributes=attributes)["QueueUrl"]
        create_table(dynamodb, "chaos")
        environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": endpoint,
            "TABLE_NAME": "chaos",
            "QUEUE_URL": queue_url,
            "LANGGRAPH_CONFIG": str(GRAPHS),
            "MAX_ATTEMPTS": "50",  # this storm is worse than a poison run
            "NO_PROXY": "127.0.0.1",
        }
        settings = Settings(table_name="chaos", langgraph_config=GRAPHS)
        services = build_services(settings, dynamodb=dynamodb, wakes=NoWakes())
        nodes = [Node(environment, directory / f"node{index}.log") for index in range(NODES)]
        try:
            for node in nodes:
                node.start()
            for node in nodes:
                node.await_health()
            yield Deployment(nodes, services)
        finally:
            for node in nodes:
                node.kill()


def ask(nodes: list[Node], request: Request) -> Answered:
    """Ask until somebody answers: one request, one key, whichever process dies."""
    kind = "runs" if request.background else "runs/wait"
    timeout = httpx.Timeout(PATIENCE_S, connect=2)
    for tries in range(1, 100):
        node = nodes[(request.first_node + tries) % len(nodes)]
        try:
            with httpx.Client(base_url=node.url, timeout=timeout, trust_env=False) as client:
                answer = client.post(
                    f"/threads/{request.thread_id}/{kind}",
                    json=request.body,
                    headers={"Idempotency-Key": request.name},
                )
        except httpx.HTTPError:
            time.sleep(0.2)
            continue
        if answer.status_code in (500, 503):
            time.sleep(0.5)
            continue
        location = answer.headers.get("content-location")
        return Answered(request, answer.status_code, location.rpartition("/")[2] if location else None, tries)
    raise AssertionError(f"nobody answered {request}")


def requests_of(seed: int) -> list[Request]:
    """The runs, in an order that the seed decides."""
    chosen = random.Random(seed)
    thread_ids = [str(uuid.UUID(int=chosen.getrandbits(128), version=4)) for _ in range(THREADS)]
    requests = [
        Request(
            name=f"r{index}",
            thread_id=thread_ids[index % THREADS],
            strategy=chosen.choice(STRATEGIES),
            background=chosen.random() < 0.5,
            first_node=chosen.randrange(NODES),
        )
        for index in range(RUNS)
    ]
    chosen.shuffle(requests)
    return requests


def recoveries(runs: list[Run], blows: list[Blow], kind: str) -> list[float]:
    """Seconds from the last blow that cost a run its driver to its end."""
    found = []
    for run in runs:
        before_last = [blow for blow in blows if blow.attempts.get(run.run_id) == run.attempt - 1]
        if before_last and run.ended_at is not None and before_last[-1].kind == kind:
            found.append(run.ended_at.timestamp() - before_last[-1].at)
    return found


def examine(deployment: Deployment, answers: list[Answered]) -> tuple[Tally, list[Run]]:
    """What became of all accepted runs, thread by thread."""
    total, ended = Tally(), []
    services = deployment.services
    for thread_id in sorted({answer.request.thread_id for answer in answers}):
        thread = services.threads.get(TENANT, thread_id)
        assert thread is not None
        accepted = [one for one in answers if one.request.thread_id == thread_id and one.status != 409]
        runs = {
            one.request.name: services.runs.get(TENANT, thread_id, one.run_id) if one.run_id else None
            for one in accepted
        }
        found = tally(runs, thread, entries_of(services, thread))
        total.statuses += found.statuses
        total.violations += [f"{thread_id}: {violation}" for violation in found.violations]
        ended += [run for run in runs.values() if run is not None]
    return total, ended


def figures(found: list[float]) -> str:
    """Count, median and maximum."""
    if not found:
        return "none"
    return f"{len(found)}, median {statistics.median(found):.1f} s, max {max(found):.1f} s"


@pytest.mark.slow
def test_runs_outlive_processes_that_are_killed_and_frozen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    requests = requests_of(SEED)
    thread_ids = sorted({request.thread_id for request in requests})
    with deployed(tmp_path) as deployment:
        chaos = Chaos(deployment.nodes, SEED, lambda: deployment.active(thread_ids))
        chaos.start()
        with ThreadPoolExecutor(CLIENTS) as clients:
            answers = list(clients.map(lambda request: ask(deployment.nodes, request), requests))
        chaos.stop()
        drained_s = deployment.await_idle(thread_ids)
        found, runs = examine(deployment, answers)
    blows = Counter(blow.kind for blow in chaos.blows)
    taken_over = sum(run.attempt > 1 for run in runs)
    with capsys.disabled():
        print(f"\n{RUNS} requests, {THREADS} threads, {NODES} processes: {dict(blows)}; {dict(found.statuses)}")
        print(
            f"answers {dict(Counter(one.status for one in answers))}, asked again {sum(o.tries > 1 for o in answers)}"
        )
        print(f"runs with a second driver: {taken_over}; all idle {drained_s:.1f} s after the last blow")
        for kind in ("kill", "freeze"):
            print(f"{kind} to end of run: {figures(recoveries(runs, chaos.blows, kind))}")
    assert not found.violations, "\n".join(found.violations)
    assert {one.status for one in answers} <= {200, 404, 409}
    assert all(one.request.strategy == "reject" for one in answers if one.status == 409)
    assert blows["kill"] >= 2
    assert blows["freeze"] >= 1
    assert taken_over >= 1
    assert found.statuses["success"] >= RUNS // 4
