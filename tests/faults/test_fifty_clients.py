"""Fifty clients on one thread, with all strategies at once: no update is lost, none is there twice."""

import random
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest

from handler.api.app import create_app
from handler.api.services import Services
from handler.bootstrap import build_services, create_queue, create_table
from handler.domain.models import Thread
from handler.local_worker import LocalWorker
from handler.storage.queue import SqsWakes
from tests.conftest import GRAPHS, new_settings, serving
from tests.engines import Engine
from tests.faults.history import STEPS, entries_of, tally

pytestmark = pytest.mark.slow  # minutes, on a machine that is short of CPU

CLIENTS = 50
SEED = 20261124
ARRIVE_WITHIN_S = 8.0
"""Those who mix strategies come one after the other, so that some runs are long done when others are stopped."""

STRATEGIES = (*("enqueue",) * 8, "reject", "reject", "interrupt", "rollback")
TENANT = "default"


@dataclass(frozen=True)
class Attempt:
    """What one client did and was told."""

    name: str
    strategy: str
    status: int
    run_id: str | None


@dataclass(frozen=True)
class Deployment:
    """An API with a worker beside it."""

    url: str
    services: Services


@pytest.fixture(scope="module")
def deployment(engine: Engine) -> Iterator[Deployment]:
    """An API and a worker over one table and one queue."""
    queue_url = create_queue(engine.sqs(), f"fifty-{uuid.uuid4().hex[:8]}")
    settings = new_settings(queue_url=queue_url, tenant_claim="", langgraph_config=GRAPHS)
    create_table(engine.dynamodb(), settings.table_name)
    wakes = SqsWakes(engine.sqs(), queue_url)
    services = build_services(settings, dynamodb=engine.new_dynamodb(), wakes=wakes)
    worker = LocalWorker(wakes, services.attendant, services.loop)
    worker.start()
    with serving(create_app(services)) as url:
        yield Deployment(url, services)
    worker.stop()


def attempt(url: str, thread_id: str, number: int, strategy: str, delay_s: float) -> Attempt:
    """One client: a wait, or every fourth time a background run that is joined."""
    time.sleep(delay_s)
    name = f"c{number}"
    body = {
        "assistant_id": "log",
        "multitask_strategy": strategy,
        "input": {"name": name, "n": STEPS, "seconds": 0.02},
    }
    kind = "runs" if number % 4 == 0 else "runs/wait"
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
        answer = client.post(f"/threads/{thread_id}/{kind}", json=body)
        location = answer.headers.get("content-location")
        if answer.status_code == 200 and kind == "runs":
            client.get(f"{location}/join")
    return Attempt(name, strategy, answer.status_code, location.rpartition("/")[2] if location else None)


def ended(deployment: Deployment, thread_id: str) -> Thread:
    """The thread, once nothing runs or waits on it."""
    with httpx.Client(base_url=deployment.url, timeout=120, trust_env=False) as client:
        while True:
            thread = deployment.services.threads.get(TENANT, thread_id)
            assert thread is not None
            waiting = [*thread.queue, *([thread.active_run] if thread.active_run else [])]
            if not waiting:
                return thread
            client.get(f"/threads/{thread_id}/runs/{waiting[-1]}/join")


def plan(mix: str) -> list[tuple[int, str, float]]:
    """Number, strategy and delay of each client."""
    chosen = random.Random(SEED)
    if mix != "mixed":
        return [(number, mix, 0.0) for number in range(CLIENTS)]
    return [(number, chosen.choice(STRATEGIES), chosen.uniform(0, ARRIVE_WITHIN_S)) for number in range(CLIENTS)]


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "mix",
    ["mixed", *(pytest.param(strategy, marks=SLOW) for strategy in ("enqueue", "interrupt", "rollback"))],
)
def test_fifty_clients_on_one_thread_lose_no_update(
    deployment: Deployment, mix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with httpx.Client(base_url=deployment.url, trust_env=False) as client:
        thread_id = client.post("/threads", json={}).json()["thread_id"]
    with ThreadPoolExecutor(CLIENTS) as clients:
        made = list(clients.map(lambda one: attempt(deployment.url, thread_id, *one), plan(mix)))
    thread = ended(deployment, thread_id)
    accepted = {one.name: one.run_id for one in made if one.run_id is not None}
    runs = {name: deployment.services.runs.get(TENANT, thread_id, run_id) for name, run_id in accepted.items()}
    entries = entries_of(deployment.services, thread)
    found = tally(runs, thread, entries)
    answers = Counter((one.strategy, one.status) for one in made)
    with capsys.disabled():
        print(f"\n{mix}: {CLIENTS} clients, {len(accepted)} accepted, {dict(found.statuses)}, {len(entries)} entries")
    assert not found.violations, "\n".join(found.violations)
    allowed = {("reject", 409), *((strategy, 200) for strategy in STRATEGIES)}
    assert set(answers) <= allowed, answers
    if mix == "enqueue":
        assert len(entries) == CLIENTS * STEPS
    else:
        assert len(entries) >= found.statuses["success"] * STEPS
        assert found.statuses["success"] >= (2 if mix == "mixed" else 1)
