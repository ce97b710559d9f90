"""The real SDK and RemoteGraph over streams, live and in slices: they see one stream."""

import operator
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, TypedDict

import httpx
import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_client, get_sync_client

from tests.conftest import TENANT_HEADER, Server
from tests.contract.calls import last_run
from tests.contract.streams.recorded import HI, Sent, stream

TENANT = {TENANT_HEADER.decode(): "acme"}
SLICES = {**TENANT, "Prefer": "wait=1"}
"""With it each answer is a slice of a second, as behind a gateway."""

LONG = {"steps": 6, "seconds": 0.4}


@pytest.fixture(params=[TENANT, SLICES], ids=["live", "slices"])
async def sdk(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Any]:
    """The asynchronous client."""
    async with get_client(url=server.url, api_key=None, headers=request.param) as client:
        yield client


@pytest.fixture
def sync_sdk(server: Server) -> Iterator[Any]:
    """The synchronous client."""
    with get_sync_client(url=server.url, api_key=None, headers=SLICES) as client:
        yield client


def sent(part: Any) -> Sent:
    """A part of a stream as an event."""
    return Sent(part.event, part.data)


async def test_the_sdk_streams_what_is_sent(sdk: Any, api: httpx.Client, thread_id: str) -> None:
    modes = ["updates", "custom", "messages-tuple"]
    parts = [sent(part) async for part in sdk.runs.stream(thread_id, "talk", input=HI, stream_mode=modes)]
    expected = stream(api, stream_mode=modes)
    assert [part.event for part in parts] == [one.event for one in expected]
    assert [part.data for part in parts if part.event == "updates"] == [
        one.data for one in expected if one.event == "updates"
    ]


async def test_a_longer_run_is_one_stream_of_one_run(sdk: Any, thread_id: str) -> None:
    parts = [sent(part) async for part in sdk.runs.stream(thread_id, "long", input=LONG)]
    assert [part.event for part in parts] == ["metadata"] + ["values"] * 7
    assert [part.data.get("done") for part in parts[1:]] == [None, 1, 2, 3, 4, 5, 6]
    assert [run["status"] for run in await sdk.runs.list(thread_id)] == ["success"]


def test_the_synchronous_sdk_sees_one_stream_of_slices(sync_sdk: Any, thread_id: str) -> None:
    parts = [sent(part) for part in sync_sdk.runs.stream(thread_id, "long", input=LONG, stream_mode="updates")]
    assert [part.data["tick"]["done"] for part in parts[1:]] == [1, 2, 3, 4, 5, 6]


async def test_a_stateless_run_is_streamed_to_its_end(sdk: Any) -> None:
    parts = [sent(part) async for part in sdk.runs.stream(None, "long", input=LONG)]
    assert [part.data.get("done") for part in parts[1:]] == [None, 1, 2, 3, 4, 5, 6]


async def test_a_failure_is_an_error_event(sdk: Any, thread_id: str) -> None:
    parts = [sent(part) async for part in sdk.runs.stream(thread_id, "talk", input={**HI, "fail": True})]
    assert parts[-1] == Sent("error", {"error": "ValueError", "message": "lost for words"})


async def test_a_stream_is_joined_and_resumed(sdk: Any, api: httpx.Client, thread_id: str) -> None:
    stream = sdk.runs.stream(thread_id, "long", input=LONG, stream_resumable=True, on_disconnect="continue")
    ids = []
    async for part in stream:
        ids.append(part.id)
        if len(ids) == 3:
            break
    await stream.aclose()
    run_id = last_run(api, thread_id)["run_id"]
    later = [part async for part in sdk.runs.join_stream(thread_id, run_id, last_event_id=ids[-1])]
    assert [part.data["done"] for part in later] == [2, 3, 4, 5, 6]


class State(TypedDict):
    """What the graph around the remote one knows."""

    messages: Annotated[list[Any], add_messages]
    notes: Annotated[list[str], operator.add]


def around(client: Any) -> Any:
    """A graph that has the server's `talk` as a node."""
    builder = StateGraph(State)
    builder.add_node("before", lambda _state: {"notes": ["before"]})
    builder.add_node("remote", RemoteGraph("talk", client=client))
    builder.add_edge(START, "before")
    builder.add_edge("before", "remote")
    builder.add_edge("remote", END)
    return builder.compile()


ASKED = {"messages": [HumanMessage("hi", id="h-1")], "notes": []}


async def test_a_remote_graph_is_a_node_of_another_graph(sdk: Any) -> None:
    result = await around(sdk).ainvoke(ASKED)
    assert [message["content"] if isinstance(message, dict) else message.content for message in result["messages"]] == [
        "hi",
        "well said indeed",
        "bye",
    ]
    assert result["notes"][-1] == "closed"


async def test_what_a_remote_graph_streams_is_part_of_the_stream_around_it(sdk: Any) -> None:
    streaming = around(sdk).astream(ASKED, stream_mode=["updates", "custom"], subgraphs=True)
    inside = [(mode, data) async for namespace, mode, data in streaming if namespace]
    assert [data for mode, data in inside if mode == "custom"] == [{"progress": "thinking"}, {"progress": "looking"}]
    assert [list(data) for mode, data in inside if mode == "updates"][-1] == ["close"]
