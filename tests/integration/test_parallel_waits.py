"""Parallel waits on one thread, over real sockets: nothing is lost, and each has its turn."""

import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from handler.api.app import create_app
from handler.bootstrap import build_services
from handler.storage.queue import SqsWakes
from tests.conftest import Server, TenantFromHeader, serving
from tests.engines import Engine

WAITS = 10
APPENDS = 3


@pytest.fixture(scope="module")
def second_server(engine: Engine, server: Server) -> Iterator[Server]:
    """Another process's worth of services over the same table."""
    settings = server.services.settings
    wakes = SqsWakes(engine.sqs(), settings.queue_url)
    services = build_services(settings, dynamodb=engine.new_dynamodb(), wakes=wakes)
    with serving(TenantFromHeader(create_app(services))) as url:
        yield Server(url, services)


@pytest.fixture
def second_api(second_server: Server) -> Iterator[httpx.Client]:
    with second_server.client("acme") as client:
        yield client


def wait(client: httpx.Client, thread_id: str, name: str, **fields: Any) -> httpx.Response:
    body = {"assistant_id": "log", "input": {"name": name, "n": APPENDS, "seconds": 0}, **fields}
    return client.post(f"/threads/{thread_id}/runs/wait", json=body)


def entries(client: httpx.Client, thread_id: str) -> list[str]:
    found: list[str] = client.get(f"/threads/{thread_id}/state").json()["values"]["entries"]
    return found


def expect_all_in_blocks(logged: list[str], names: list[str]) -> list[str]:
    """Every run's entries are there, in one piece and in their order; the order of the runs is returned."""
    assert len(logged) == len(names) * APPENDS
    blocks = [logged[start : start + APPENDS] for start in range(0, len(logged), APPENDS)]
    order = [block[0].rpartition("-")[0] for block in blocks]
    assert blocks == [[f"{name}-{number}" for number in range(APPENDS)] for name in order]
    assert sorted(order) == sorted(names)
    return order


def expect_settled(client: httpx.Client, thread_id: str, statuses: dict[str, int]) -> None:
    runs = client.get(f"/threads/{thread_id}/runs", params={"limit": 100}).json()
    assert Counter(run["status"] for run in runs) == statuses
    assert client.get(f"/threads/{thread_id}").json()["status"] == "idle"


def test_ten_parallel_waits_of_three_appends_leave_thirty_entries(api: httpx.Client, thread_id: str) -> None:
    names = [f"w{number}" for number in range(WAITS)]
    with ThreadPoolExecutor(WAITS) as pool:
        answers = list(pool.map(lambda name: wait(api, thread_id, name), names))
    assert [answer.status_code for answer in answers] == [200] * WAITS
    order = expect_all_in_blocks(entries(api, thread_id), names)
    # Each wait was answered with the values at its own run's end: all before it, then its own entries.
    seen = {name: len(answer.json()["entries"]) for name, answer in zip(names, answers, strict=True)}
    assert [seen[name] for name in order] == [APPENDS * place for place in range(1, WAITS + 1)]
    expect_settled(api, thread_id, {"success": WAITS})


def test_parallel_waits_on_two_servers_lose_nothing(
    api: httpx.Client, second_api: httpx.Client, thread_id: str
) -> None:
    names = [f"w{number}" for number in range(WAITS)]
    clients = [api, second_api] * (WAITS // 2)
    with ThreadPoolExecutor(WAITS) as pool:
        answers = list(pool.map(lambda client, name: wait(client, thread_id, name), clients, names))
    assert [answer.status_code for answer in answers] == [200] * WAITS
    order = expect_all_in_blocks(entries(api, thread_id), names)
    assert entries(second_api, thread_id) == entries(api, thread_id)
    seen = {name: len(answer.json()["entries"]) for name, answer in zip(names, answers, strict=True)}
    assert [seen[name] for name in order] == [APPENDS * place for place in range(1, WAITS + 1)]
    expect_settled(second_api, thread_id, {"success": WAITS})


def test_parallel_waits_that_create_their_thread_share_one(api: httpx.Client, second_api: httpx.Client) -> None:
    thread_id = str(uuid.uuid4())
    names = [f"w{number}" for number in range(6)]
    clients = [api, second_api] * 3

    def create(client: httpx.Client, name: str) -> int:
        return wait(client, thread_id, name, if_not_exists="create").status_code

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(create, clients, names)) == [200] * 6
    expect_all_in_blocks(entries(api, thread_id), names)


class Occupied:
    """A thread that a run holds until it is told to end."""

    def __init__(self, client: httpx.Client, thread_id: str, directory: Path) -> None:
        self.client = client
        self.thread_id = thread_id
        self.end = directory / "end"
        self.answers: list[httpx.Response] = []
        body = {"name": "slow", "n": 1, "until": str(self.end)}
        self.thread = threading.Thread(target=lambda: self.answers.append(self.wait(input=body)))

    def wait(self, **fields: Any) -> httpx.Response:
        return wait(self.client, self.thread_id, "slow", **fields)

    def __enter__(self) -> "Occupied":
        self.thread.start()
        self.until(lambda: bool(self.client.get(f"/threads/{self.thread_id}/state").json()["next"] == ["append"]))
        return self

    def __exit__(self, *_: object) -> None:
        self.end.touch()
        self.thread.join(30)

    def runs(self) -> list[dict[str, Any]]:
        """The thread's runs, in order of arrival."""
        rows: list[dict[str, Any]] = self.client.get(f"/threads/{self.thread_id}/runs", params={"limit": 100}).json()
        return rows[::-1]

    @staticmethod
    def until(condition: Callable[[], bool]) -> None:
        """Look a bounded number of times until the condition holds."""
        pause = threading.Event()
        for _ in range(500):
            if condition():
                return
            pause.wait(0.01)
        raise AssertionError("it did not happen")


def test_enqueued_waits_run_in_order_of_arrival_whichever_server_took_them(
    api: httpx.Client, second_api: httpx.Client, thread_id: str, tmp_path: Path
) -> None:
    names = [f"q{number}" for number in range(5)]
    with ThreadPoolExecutor(5) as pool, Occupied(api, thread_id, tmp_path) as occupied:
        answers = []
        for number, name in enumerate(names):
            client = (api, second_api)[number % 2]
            answers.append(pool.submit(wait, client, thread_id, name, multitask_strategy="enqueue"))
            Occupied.until(lambda number=number: len(occupied.runs()) == number + 2)  # type: ignore[misc]
        assert [run["status"] for run in occupied.runs()[1:]] == ["pending"] * 5
    assert [answer.result().status_code for answer in answers] == [200] * 5
    logged = entries(api, thread_id)
    assert logged[0] == "slow-0"
    assert expect_all_in_blocks(logged[1:], names) == names


def test_a_rejected_wait_is_told_409_and_changes_nothing(
    api: httpx.Client,
    second_api: httpx.Client,
    thread_id: str,
    seen: Callable[[str], dict[str, Any]],
    tmp_path: Path,
) -> None:
    with Occupied(api, thread_id, tmp_path) as occupied:
        before = seen(thread_id)
        for client in (api, second_api):
            refused = wait(client, thread_id, "never", multitask_strategy="reject")
            assert refused.status_code == 409
            assert refused.json()["detail"].startswith("Thread is already running a task")
        assert seen(thread_id) == before
    assert occupied.answers[0].json()["entries"] == ["slow-0"]
    expect_settled(api, thread_id, {"success": 1})


def test_reject_also_heeds_runs_that_only_wait(api: httpx.Client, thread_id: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool, Occupied(api, thread_id, tmp_path) as occupied:
        queued = pool.submit(wait, api, thread_id, "queued")
        Occupied.until(lambda: len(occupied.runs()) == 2)
        assert wait(api, thread_id, "never", multitask_strategy="reject").status_code == 409
    assert queued.result().status_code == 200
    assert wait(api, thread_id, "now", multitask_strategy="reject").status_code == 200


def test_one_of_many_that_reject_at_once_gets_a_free_thread(
    api: httpx.Client, second_api: httpx.Client, thread_id: str
) -> None:
    def attempt(number: int) -> int:
        client = (api, second_api)[number % 2]
        body = {"name": str(number), "n": 1, "seconds": 0.5}
        return wait(client, thread_id, "", input=body, multitask_strategy="reject").status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = Counter(pool.map(attempt, range(6)))
    assert set(statuses) <= {200, 409}
    assert statuses[200] >= 1
    assert len(entries(api, thread_id)) == statuses[200]


def test_a_join_on_the_other_server_gets_the_runs_result(
    api: httpx.Client, second_api: httpx.Client, thread_id: str, tmp_path: Path
) -> None:
    with Occupied(api, thread_id, tmp_path) as occupied:
        run_id = occupied.runs()[0]["run_id"]
        with second_api.stream("GET", f"/threads/{thread_id}/runs/{run_id}/join") as joined:
            assert occupied.answers == []
            occupied.end.touch()
            assert json.loads(joined.read())["entries"] == ["slow-0"]
    again = second_api.get(f"/threads/{thread_id}/runs/{run_id}/join").json()
    assert again["entries"] == ["slow-0"]


def test_threads_do_not_wait_for_each_other(api: httpx.Client, thread_id: str, tmp_path: Path) -> None:
    with Occupied(api, thread_id, tmp_path) as occupied:
        other = str(uuid.uuid4())
        assert wait(api, other, "free", if_not_exists="create").status_code == 200
        assert occupied.runs()[0]["status"] == "running"
