"""A run that takes four windows of the gateway: every client gets its result, by one POST."""

import asyncio
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client, get_sync_client

from tests.gateway import Gateway, Invocation, pumped
from tests.rie import sandbox

pytestmark = pytest.mark.slow  # windows are real time: seconds, for a machine that has its CPU to itself

HERE = Path(__file__).parent

GATEWAY_S = 2.5
WINDOW_S = GATEWAY_S * 4 / 5
STEPS = 16
RUN = {"steps": STEPS, "seconds": 4 * WINDOW_S / STEPS}

AT_ONCE = {"Prefer": "wait=0"}

Waits = Callable[[str, str, Any], Any]
"""Waits with one client: URL, thread, input; gives the result."""


@pytest.fixture(scope="module")
def gateway(stacks: Any) -> Iterator[Gateway]:
    """A gateway with three warm sandboxes."""
    with stacks.stack(members=3, timeout_s=GATEWAY_S) as stack:
        yield stack.gateway


@pytest.fixture(autouse=True)
def fresh(gateway: Gateway) -> None:
    """Nothing is seen yet, and no invocation goes on."""
    gateway.reset()


def body_of(state: Any) -> dict[str, Any]:
    """The body of a wait for the long example."""
    return {"assistant_id": "long", "input": state, "if_not_exists": "create"}


def python_sync(url: str, thread_id: str, state: Any) -> Any:
    """langgraph-sdk, synchronous."""
    with get_sync_client(url=url, api_key=None) as client:
        return client.runs.wait(thread_id, "long", input=state, if_not_exists="create")


def python_async(url: str, thread_id: str, state: Any) -> Any:
    """langgraph-sdk, asynchronous."""

    async def wait() -> Any:
        async with get_client(url=url, api_key=None) as client:
            return await client.runs.wait(thread_id, "long", input=state, if_not_exists="create")

    return asyncio.run(wait())


def curl(url: str, thread_id: str, state: Any) -> Any:
    """curl -L."""
    command = ["curl", "-sSL", "--noproxy", "*", "--max-time", "150", "-H", "content-type: application/json"]
    command += ["-d", json.dumps(body_of(state)), f"{url}/threads/{thread_id}/runs/wait"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=180).stdout)


def javascript(js_sdks: Path, version: str) -> Waits:
    """A version of the JS SDK, on node."""

    def wait(url: str, thread_id: str, state: Any) -> Any:
        body = json.dumps({"assistant_id": "long", "input": state, "ifNotExists": "create"})
        command = ["node", str(HERE / "wait.mjs"), str(js_sdks / version / "dist" / "index.js"), url, thread_id, body]
        finished = subprocess.run(command, check=False, capture_output=True, timeout=180, text=True)
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)

    return wait


@pytest.fixture(params=["python-sync", "python-async", "js-older", "js-newest", "curl"])
def waits(request: pytest.FixtureRequest) -> Waits:
    """Each client in turn."""
    if request.param.startswith("js-"):
        return javascript(request.getfixturevalue("js_sdks"), request.param.removeprefix("js-"))
    return {"python-sync": python_sync, "python-async": python_async, "curl": curl}[request.param]


def runs_of(gateway: Gateway, thread_id: str) -> list[dict[str, Any]]:
    """The runs of a thread."""
    found: list[dict[str, Any]] = httpx.get(f"{gateway.url}/threads/{thread_id}/runs", trust_env=False).json()
    return found


@pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect:UserWarning")
def test_each_client_gets_the_result_of_four_windows_with_one_post_and_one_run(gateway: Gateway, waits: Waits) -> None:
    thread_id = str(uuid.uuid4())
    result = waits(gateway.url, thread_id, RUN)
    assert result == {**RUN, "done": STEPS}
    seen = list(gateway.requests)
    assert [(one.method, one.path) for one in gateway.posts()] == [("POST", f"/threads/{thread_id}/runs/wait")]
    assert len(seen) >= 3, "the run took four windows; the Python SDK sleeps through one of them"
    assert not {one.status for one in seen} & {202, 429, 502, 504}
    gateway.idle()
    (run,) = runs_of(gateway, thread_id)
    assert run["status"] == "success"


def test_the_invocation_ends_only_when_its_run_has_and_serves_nothing_else_meanwhile(gateway: Gateway) -> None:
    thread_id = str(uuid.uuid4())
    ended: list[str] = []

    def look(invocation: Invocation) -> None:
        if invocation.method == "POST":
            ended.append(status(gateway, thread_id))

    gateway.at_end = look
    first = httpx.post(f"{gateway.url}/threads/{thread_id}/runs/wait", json=body_of(RUN), trust_env=False)
    assert first.status_code == 303
    assert status(gateway, thread_id) == "running"
    assert ended == []
    for _ in range(6):
        assert httpx.get(f"{gateway.url}/ok", trust_env=False).status_code == 200
    gateway.idle()
    assert ended == ["success"]
    (driving,) = [one for one in gateway.invocations if one.method == "POST"]
    assert driving.outlived
    assert driving.ended is not None
    meanwhile = [one for one in gateway.invocations if one is not driving and one.started < driving.ended]
    assert len(meanwhile) >= 7
    assert driving.member not in {one.member for one in meanwhile}


def status(gateway: Gateway, thread_id: str) -> str:
    """The status of a thread's only run."""
    (run,) = runs_of(gateway, thread_id)
    found: str = run["status"]
    return found


def test_nothing_is_left_for_the_next_invocation_of_a_sandbox(gateway: Gateway) -> None:
    thread_id = str(uuid.uuid4())
    first = httpx.post(f"{gateway.url}/threads/{thread_id}/runs/wait", json=body_of(RUN), trust_env=False)
    polled = httpx.get(first.headers["location"], trust_env=False)
    assert polled.status_code == 303
    gateway.idle()
    for _ in range(6):
        assert httpx.get(f"{gateway.url}/ok", trust_env=False).status_code == 200
    assert len(gateway.invocations) == 8
    assert [one.left_behind for one in gateway.invocations] == [0] * 8


def test_a_compressed_result_reaches_the_client(gateway: Gateway) -> None:
    body = body_of({"seconds": 0.0}) | {"assistant_id": "agent"}
    body["input"] = {"messages": [{"role": "user", "content": "again and " * 3000}]}
    url = f"{gateway.url}/threads/{uuid.uuid4()}/runs/wait"
    answer = httpx.post(url, json=body, headers={"Accept-Encoding": "gzip"}, trust_env=False)
    assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")
    assert answer.json()["messages"][0]["content"] == "again and " * 3000


def test_a_lost_response_costs_nothing_under_an_idempotency_key(gateway: Gateway) -> None:
    thread_id, headers = str(uuid.uuid4()), {"Idempotency-Key": uuid.uuid4().hex}
    url = f"{gateway.url}/threads/{thread_id}/runs/wait"
    gateway.lose = lambda request, _response: request.method == "POST"
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(url, json=body_of({"seconds": 0.1}), headers=headers, trust_env=False)
    gateway.lose = lambda _request, _response: False
    answer = httpx.post(url, json=body_of({"seconds": 0.1}), headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["done"]) == (200, 1)
    assert len(runs_of(gateway, thread_id)) == 1


def test_above_the_pool_the_gateway_refuses_and_no_run_begins(gateway: Gateway) -> None:
    threads = [str(uuid.uuid4()) for _ in range(4)]
    answers = [
        httpx.post(f"{gateway.url}/threads/{one}/runs/wait", json=body_of(RUN), headers=AT_ONCE, trust_env=False)
        for one in threads
    ]
    assert [one.status_code for one in answers] == [303, 303, 303, 429]
    gateway.idle()
    assert httpx.get(f"{gateway.url}/threads/{threads[3]}", trust_env=False).status_code == 404
    assert [status(gateway, one) for one in threads[:3]] == ["success"] * 3


def test_where_extensions_are_refused_the_run_drains_at_the_window_and_a_worker_ends_it(stacks: Any) -> None:
    refused = stacks.stack(members=1, timeout_s=GATEWAY_S, warm=True, REFUSE_EXTENSIONS="1")
    with refused as stack, sandbox(stacks.artefact, stack.environment, "handler.worker.handler", 60) as worker:
        thread_id = str(uuid.uuid4())
        url = f"{stack.gateway.url}/threads/{thread_id}/runs/wait"
        first = httpx.post(url, json=body_of(RUN), trust_env=False)
        assert first.status_code == 303
        stack.gateway.idle(1.0)  # the emulator answers with the handler's return: nothing is held
        assert status(stack.gateway, thread_id) == "running"
        with pumped(stacks.engine.sqs(), stack.queue_url, worker):
            answer = httpx.get(first.headers["location"], trust_env=False)
            while answer.status_code == 303:
                answer = httpx.get(answer.headers["location"], trust_env=False)
        assert answer.json() == {**RUN, "done": STEPS}
        assert [one.method for one in stack.gateway.posts()] == ["POST"]


@pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect:UserWarning")
@pytest.mark.ci
def test_in_real_time_a_minutes_run_behind_a_gateway_of_29_s(stacks: Any, js_sdks: Path) -> None:
    run = {"steps": 30, "seconds": 2.0}
    # Each client holds one sandbox and polls another. One that has answered is busy for a moment longer, and a 429 to a
    # poll is what the JS SDK begins anew for, with a second POST: so there are two more.
    with stacks.stack(members=6, timeout_s=29, warm=False) as stack:
        clients: dict[str, Waits] = {
            "python": python_sync,
            "js": javascript(js_sdks, "newest"),
        }
        threads = {name: str(uuid.uuid4()) for name in clients}
        with ThreadPoolExecutor() as waiting:
            results = {
                name: waiting.submit(wait, stack.gateway.url, threads[name], run) for name, wait in clients.items()
            }
        print(*stack.gateway.requests, sep="\n")
        for result in results.values():
            assert result.result() == {**run, "done": 30}
        assert len(stack.gateway.posts()) == len(clients)
        assert not {one.status for one in stack.gateway.requests} & {202, 429, 502, 504}
        stack.gateway.idle()
        assert [status(stack.gateway, thread_id) for thread_id in threads.values()] == ["success"] * len(clients)
