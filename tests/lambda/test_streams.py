"""A streamed run that takes several windows of the gateway: every client sees one stream, by one POST of one run."""

import asyncio
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict

import httpx
import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_client, get_sync_client

from tests.gateway import Gateway, Invocation, pumped
from tests.rie import sandbox

pytestmark = pytest.mark.slow  # windows are real time: seconds, for a machine that has its CPU to itself

SCRIPT = Path(__file__).with_name("stream.mjs")
GATEWAY_S = 2.5
WINDOW_S = GATEWAY_S * 4 / 5
STEPS = 16
RUN = {"steps": STEPS, "seconds": 3 * WINDOW_S / STEPS}

Part = tuple[str, Any]
"""An event's name, and how many steps it says are done."""
Streams = Callable[[str, str, Any], list[Part]]
"""Streams with one client: URL, thread, input."""


def whole(steps: int) -> list[Part]:
    """The stream of a run of so many steps."""
    return [("metadata", None), ("values", None), *(("values", done) for done in range(1, steps + 1))]


WHOLE = whole(STEPS)


@pytest.fixture(scope="module")
def gateway(stacks: Any) -> Iterator[Gateway]:
    """A gateway with three warm sandboxes."""
    with stacks.stack(members=3, timeout_s=GATEWAY_S) as stack:
        yield stack.gateway


@pytest.fixture(autouse=True)
def fresh(gateway: Gateway) -> None:
    """Nothing is seen yet, and no invocation goes on."""
    gateway.reset()


def python_sync(url: str, thread_id: str, state: Any) -> list[Part]:
    """langgraph-sdk, synchronous."""
    with get_sync_client(url=url, api_key=None) as client:
        streaming = client.runs.stream(thread_id, "long", input=state, if_not_exists="create")
        return [(part.event, part.data.get("done")) for part in streaming]


def python_async(url: str, thread_id: str, state: Any) -> list[Part]:
    """langgraph-sdk, asynchronous."""

    async def stream() -> list[Part]:
        async with get_client(url=url, api_key=None) as client:
            streaming = client.runs.stream(thread_id, "long", input=state, if_not_exists="create")
            return [(part.event, part.data.get("done")) async for part in streaming]

    return asyncio.run(stream())


def javascript(js_sdks: Path, *more: str) -> Streams:
    """The JS SDK, on node; `more`: the run to join."""

    def stream(url: str, thread_id: str, state: Any) -> list[Part]:
        body = json.dumps({"assistant_id": "long", "input": state, "ifNotExists": "create", **(state if more else {})})
        command = ["node", str(SCRIPT), str(js_sdks / "newest" / "dist" / "index.js"), url, thread_id, body, *more]
        finished = subprocess.run(command, check=False, capture_output=True, timeout=180, text=True)
        assert finished.returncode == 0, finished.stderr
        parts = [json.loads(line) for line in finished.stdout.splitlines()]
        return [(part["event"], part["data"].get("done")) for part in parts]

    return stream


@pytest.fixture(params=["python-sync", "python-async", "js"])
def streams(request: pytest.FixtureRequest) -> Streams:
    """Each client in turn."""
    if request.param == "js":
        return javascript(request.getfixturevalue("js_sdks"))
    return {"python-sync": python_sync, "python-async": python_async}[request.param]


def test_each_client_sees_one_stream_of_three_windows(gateway: Gateway, streams: Streams) -> None:
    thread_id = str(uuid.uuid4())
    assert streams(gateway.url, thread_id, RUN) == WHOLE
    assert [(one.method, one.path) for one in gateway.posts()] == [("POST", f"/threads/{thread_id}/runs/stream")]
    slices = [one for one in gateway.requests if one.path.endswith("/stream")]
    assert len(slices) >= 3
    assert {one.status for one in gateway.requests} == {200}
    gateway.idle()
    (run,) = httpx.get(f"{gateway.url}/threads/{thread_id}/runs", trust_env=False).json()
    assert run["status"] == "success"
    assert [one.left_behind for one in after_another(gateway)] == [0] * len(after_another(gateway))


def after_another(gateway: Gateway) -> list[Invocation]:
    """The invocations of sandboxes that have served this test before."""
    seen = gateway.invocations
    return [one for place, one in enumerate(seen) if one.member in {before.member for before in seen[:place]}]


def test_the_js_sdk_joins_a_stream_from_its_beginning_while_it_goes_on(gateway: Gateway, js_sdks: Path) -> None:
    thread_id = str(uuid.uuid4())
    body = {"assistant_id": "long", "input": RUN, "if_not_exists": "create", "stream_resumable": True}
    first = httpx.post(f"{gateway.url}/threads/{thread_id}/runs/stream", json=body, trust_env=False)
    run_id = first.headers["content-location"].rpartition("/")[2]
    assert javascript(js_sdks, run_id)(gateway.url, thread_id, {"lastEventId": "-1"}) == WHOLE
    assert len(gateway.posts()) == 1
    gateway.idle()


class State(TypedDict, total=False):
    """What `long` knows."""

    steps: int
    seconds: float
    done: int


def test_a_remote_graph_within_another_graph_takes_three_windows(gateway: Gateway) -> None:
    with get_sync_client(url=gateway.url, api_key=None) as client:
        builder = StateGraph(State)
        builder.add_node("remote", RemoteGraph("long", sync_client=client))
        builder.add_edge(START, "remote")
        builder.add_edge("remote", END)
        state: Any = RUN
        result = builder.compile().invoke(state)
    assert result["done"] == STEPS
    assert len(gateway.posts()) == 1
    gateway.idle()


def test_where_extensions_are_refused_a_worker_streams_on(stacks: Any) -> None:
    """Steps are shorter than a tenth of the window, for which a driver waits for one to end before it cuts it off."""
    run = {"steps": 48, "seconds": 3 * WINDOW_S / 48}
    refused = stacks.stack(members=2, timeout_s=GATEWAY_S, REFUSE_EXTENSIONS="1")
    with refused as stack, sandbox(stacks.artefact, stack.environment, "handler.worker.handler", 60) as worker:
        thread_id = str(uuid.uuid4())
        with pumped(stacks.engine.sqs(), stack.queue_url, worker):
            assert python_sync(stack.gateway.url, thread_id, run) == whole(48)
        assert len(stack.gateway.posts()) == 1
