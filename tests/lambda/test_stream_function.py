"""The stream function's artefact as its script starts it: answers as they come, and a sandbox that outlives them."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_sync_client

from infra.smoke.__main__ import main
from infra.smoke.server import Pace
from tests.gateway import pumped
from tests.rie import free_ports, sandbox
from tests.streaming_gateway import StreamingGateway

pytestmark = pytest.mark.slow  # invocations are real time: seconds, for a machine that has its CPU to itself

ADAPTER = Path(__file__).parents[1] / "entries" / "web_adapter.py"


@contextmanager
def streaming(stacks: Any, stack: Any, timeout_s: int = 60, **settings: str) -> Iterator[StreamingGateway]:
    """A gateway before a sandbox of the stream function, whose invocations last so long at most."""
    gateway = StreamingGateway()
    (port,) = free_ports(1)
    environment = {
        **stack.environment,
        "AWS_LWA_PORT": str(port),
        "AWS_LWA_READINESS_CHECK_PATH": "/ok",
        "TEST_GATEWAY": gateway.address,
        **settings,
    }
    try:
        with sandbox(stacks.artefact, environment, "run.sh", timeout_s, client=[str(ADAPTER)]) as started:
            gateway.serve(started)
            warm_up(gateway)
            yield gateway
    finally:
        gateway.stop()


def warm_up(gateway: StreamingGateway) -> None:
    """Have the sandbox drive a run, so that it is not cold."""
    body = {"assistant_id": "long", "input": {"seconds": 0.0}}
    assert httpx.post(f"{gateway.url}/runs/wait", json=body, timeout=60, trust_env=False).status_code == 200
    gateway.idle()
    gateway.requests.clear()
    gateway.invocations.clear()


@pytest.fixture(scope="module")
def stack(stacks: Any) -> Iterator[Any]:
    """A table and a queue."""
    with stacks.stack(members=0, timeout_s=29) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(stacks: Any, stack: Any) -> Iterator[StreamingGateway]:
    """A gateway before one sandbox."""
    with streaming(stacks, stack) as made:
        yield made


def the_run(gateway: StreamingGateway, thread_id: str) -> dict[str, Any]:
    """The only run of a thread."""
    (run,) = httpx.get(f"{gateway.url}/threads/{thread_id}/runs", trust_env=False).json()
    found: dict[str, Any] = run
    return found


def test_a_stream_comes_as_it_happens(gateway: StreamingGateway) -> None:
    thread_id = str(uuid.uuid4())
    with get_sync_client(url=gateway.url, api_key=None) as client:
        state = {"steps": 4, "seconds": 0.5}
        streaming = client.runs.stream(thread_id, "long", input=state, if_not_exists="create")
        came = [(part.data.get("done"), time.monotonic()) for part in streaming if part.event == "values"]
    assert [done for done, _ in came] == [None, 1, 2, 3, 4]
    first, last = came[1][1], came[-1][1]
    assert last - first > 1.0, "the first step was shown before the last one was done"
    assert gateway.requests[0] == ("POST", f"/threads/{thread_id}/runs/stream")


@pytest.mark.ci
def test_a_run_that_outlives_its_answer_is_brought_to_its_end_by_the_same_sandbox(gateway: StreamingGateway) -> None:
    thread_id = str(uuid.uuid4())
    body = {"assistant_id": "long", "input": {"steps": 1, "seconds": 3.0}, "if_not_exists": "create"}
    url = f"{gateway.url}/threads/{thread_id}/runs/wait"
    answer = httpx.post(url, json=body, headers={"Prefer": "wait=1"}, trust_env=False)
    assert answer.status_code == 303
    answered = time.monotonic()
    gateway.idle()
    run = the_run(gateway, thread_id)
    assert (run["status"], run["attempt"], run["handoffs"]) == ("success", 1, 0)
    assert gateway.invocations[-2].ended is not None
    assert gateway.invocations[-2].ended - answered > 1.0, "the sandbox was held while the run went on"


def test_where_extensions_are_refused_the_run_is_handed_on_with_its_answer(stacks: Any, stack: Any) -> None:
    thread_id = str(uuid.uuid4())
    body = {"assistant_id": "long", "input": {"steps": 8, "seconds": 0.5}, "if_not_exists": "create"}
    with streaming(stacks, stack, REFUSE_EXTENSIONS="1") as gateway:
        url = f"{gateway.url}/threads/{thread_id}/runs/wait"
        answer = httpx.post(url, json=body, headers={"Prefer": "wait=2"}, trust_env=False)
        assert answer.status_code == 303
        gateway.idle()
        run = the_run(gateway, thread_id)
        assert run["status"] == "running"
        worker = sandbox(stacks.artefact, stack.environment, "handler.worker.handler", 60)
        with worker as started, pumped(stacks.engine.sqs(), stack.queue_url, started):
            joined = httpx.get(f"{url.removesuffix('wait')}{run['run_id']}/join", timeout=60, trust_env=False)
        assert joined.json() == {"steps": 8, "seconds": 0.5, "done": 8}
        gateway.idle()
        run = the_run(gateway, thread_id)
        assert (run["attempt"], run["handoffs"]) == (2, 1), "no watchdog had to find it"


@pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect:UserWarning")
def test_a_wait_that_outlasts_the_functions_time_goes_on_elsewhere_by_one_post(stacks: Any, stack: Any) -> None:
    thread_id = str(uuid.uuid4())
    state = {"steps": 28, "seconds": 0.5}
    worker = sandbox(stacks.artefact, stack.environment, "handler.worker.handler", 60)
    with (
        streaming(stacks, stack, timeout_s=10) as gateway,
        worker as started,
        pumped(stacks.engine.sqs(), stack.queue_url, started),
    ):
        with get_sync_client(url=gateway.url, api_key=None) as client:
            result = client.runs.wait(thread_id, "long", input=state, if_not_exists="create")
        assert result == {**state, "done": 28}
        gateway.idle()
        run = the_run(gateway, thread_id)
        assert (run["status"], run["attempt"], run["handoffs"]) == ("success", 2, 1)
        posts = [path for method, path in gateway.requests if method == "POST"]
        assert posts == [f"/threads/{thread_id}/runs/wait"]
        lasted = [one.ended - one.started for one in gateway.invocations if one.ended is not None]
        assert max(lasted) < 10, "no invocation was ended by the platform"


@pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect:UserWarning")
def test_the_smoke_test_passes(stacks: Any, stack: Any) -> None:
    """But for what takes several sandboxes, or a hang-up: what becomes of it on AWS is not known here."""
    pace = Pace(outlasting_s=3, held_s=3, moment_s=1, worker_s=60, function_s=10)
    names = ["live_events", "undecodable_body", "python_sdk_outlasts_the_gateway", "held_sandbox"]
    names += ["redirect_is_followed", "stream_outlasts_the_gateway", "outlasts_the_function", "crons", "turns"]
    worker = sandbox(stacks.artefact, stack.environment, "handler.worker.handler", 60)
    with (
        streaming(stacks, stack, timeout_s=10) as gateway,
        worker as started,
        pumped(stacks.engine.sqs(), stack.queue_url, started),
    ):
        assert main([gateway.url, *names], pace) == 0
