"""LangGraph's RemoteGraph, sync and async: a graph of the server in a local one's place, by itself and as a node."""

import uuid
from collections.abc import AsyncIterator, Callable
from inspect import isawaitable
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.errors import BadRequestError, NotFoundError

from tests.conftest import TENANT_HEADER, Server

TENANT = {TENANT_HEADER.decode(): "remote"}
HALF: dict[str, Any] = {"topic": "t", "notes": ["outer"], "ask": True}
"""What `subgraph` knows where it asks; the question is its subgraph's."""
NESTED = {**HALF, "notes": ["outer", "inner_one"]}
"""What its subgraph knows there."""

Remote = Callable[[str], RemoteGraph]
"""The RemoteGraph of one of the server's graphs."""
Call = Callable[..., Any]
"""Calls a graph's method or its asynchronous twin; what it answers, in a list if it comes part by part."""


@pytest.fixture
async def remote(server: Server) -> AsyncIterator[Remote]:
    """Makes RemoteGraphs with clients of either kind."""
    async with get_client(url=server.url, api_key=None, headers=TENANT) as client:
        with get_sync_client(url=server.url, api_key=None, headers=TENANT) as sync_client:
            yield lambda name: RemoteGraph(name, client=client, sync_client=sync_client)


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """Calls of either kind, which look alike."""

    async def called(graph: Any, method: str, *args: Any, **more: Any) -> Any:
        if request.param == "sync":
            answer = getattr(graph, method)(*args, **more)
            return list(answer) if hasattr(answer, "__next__") else answer
        answer = getattr(graph, f"a{method}")(*args, **more)
        return await answer if isawaitable(answer) else [one async for one in answer]

    return called


@pytest.fixture
def config() -> Any:
    """Names a thread that nobody has used."""
    return {"configurable": {"thread_id": str(uuid.uuid4())}}


async def ended(graph: RemoteGraph, config: Any) -> None:
    """Wait for the end of the run that has told the graph of an interrupt, which it does before it ends."""
    client: Any = graph.client
    runs, thread_id = client.runs, config["configurable"]["thread_id"]
    await runs.join(thread_id, (await runs.list(thread_id))[0]["run_id"])


class State(TypedDict, total=False):
    """What the graph around knows: what `human` does, what `subgraph` does, and its own."""

    question: str
    answer: str
    done: bool
    topic: str
    ask: bool
    notes: list[str]
    before: int


def around(node: RemoteGraph) -> Any:
    """A graph that counts how often it begins, and then has a remote one as a node."""
    builder = StateGraph(State)
    builder.add_node("before", lambda state: {"before": state.get("before", 0) + 1})
    builder.add_node("remote", node)
    builder.add_edge(START, "before")
    builder.add_edge("before", "remote")
    builder.add_edge("remote", END)
    return builder.compile(checkpointer=InMemorySaver())


@pytest.mark.parametrize(
    ("name", "given", "asked", "told"),
    [
        ("human", {"question": "go?"}, {"question": "go?"}, {"question": "go?", "answer": "yes", "done": True}),
        ("subgraph", {"topic": "t", "ask": True}, "sub?", {**HALF, "notes": ["outer", *NESTED["notes"], "asked:yes"]}),
    ],
    ids=["in the remote graph", "in a subgraph of it"],
)
async def test_an_interrupt_of_a_remote_graph_stops_the_graph_around_it_and_is_answered_by_its_id(
    name: str, given: Any, asked: Any, told: Any, remote: Remote, call: Call, config: Any
) -> None:
    outer = around(remote(name))
    stopped = await call(outer, "invoke", given, config)
    (interrupt,) = stopped["__interrupt__"]
    assert interrupt.value == asked
    state = await call(outer, "get_state", config)
    assert (state.next, state.interrupts) == (("remote",), (interrupt,))
    await ended(remote(name), config)
    inside = await call(remote(name), "get_state", config)  # the thread on the server has the id of the one around
    assert inside.interrupts == (interrupt,)
    done = await call(outer, "invoke", Command(resume={interrupt.id: "yes"}), config)
    assert done == {**told, "before": 1}
    assert (await call(outer, "get_state", config)).next == ()
    inside = await call(remote(name), "get_state", config)
    assert (inside.values, inside.next, inside.interrupts) == (told, (), ())


async def test_an_answer_without_an_id_stays_in_the_graph_around_and_the_remote_one_asks_again(
    remote: Remote, call: Call, config: Any
) -> None:
    """LangGraph tells a remote graph of answers by id alone, whatever server it is on."""
    outer = around(remote("human"))
    first = await call(outer, "invoke", {"question": "go?"}, config)
    again = await call(outer, "invoke", Command(resume="yes"), config)
    assert again["__interrupt__"] == first["__interrupt__"]
    (interrupt,) = again["__interrupt__"]
    done = await call(outer, "invoke", Command(resume={interrupt.id: "no"}), config)
    assert (done["answer"], done["before"]) == ("no", 1)


async def test_where_a_remote_graph_stops_is_part_of_the_stream_around_it(
    remote: Remote, call: Call, config: Any
) -> None:
    parts = await call(
        around(remote("subgraph")), "stream", {"topic": "t", "ask": True}, config, stream_mode="updates", subgraphs=True
    )
    assert [[task.partition(":")[0] for task in namespace] for namespace, _ in parts] == [
        [],
        ["remote"],
        ["remote", "child"],
        ["remote", "child"],
        [],
    ]
    assert [next(iter(data)) for _, data in parts] == ["before", "outer", "inner_one", *["__interrupt__"] * 2]
    (inside,) = parts[-2][1]["__interrupt__"]
    (asked,) = parts[-1][1]["__interrupt__"]
    assert (asked.id, asked.value) == (inside["id"], "sub?")


async def test_a_remote_graph_asks_is_answered_and_says_so(remote: Remote, call: Call, config: Any) -> None:
    graph = remote("human")
    stopped = await call(graph, "invoke", {"question": "go?"}, config, version="v2")
    assert (stopped.value, [one.value for one in stopped.interrupts]) == ({"question": "go?"}, [{"question": "go?"}])
    answer: Any = Command(resume="yes", update={"question": "now?"})
    parts = await call(graph, "stream", answer, config, stream_mode=["updates"], version="v2")
    assert [part["data"] for part in parts] == [{"ask": {"answer": "yes"}}, {"finish": {"done": True}}]
    state = await call(graph, "get_state", config)
    assert state.values == {"question": "now?", "answer": "yes", "done": True}


async def test_subgraphs_are_streamed_under_their_namespace_where_they_are_asked_for(
    remote: Remote, call: Call, config: Any
) -> None:
    graph, given = remote("subgraph"), {"topic": "t"}
    parts = await call(graph, "stream", given, config, stream_mode=["updates"], subgraphs=True)
    assert [(bool(namespace), mode, *data) for namespace, mode, data in parts] == [
        (False, "updates", "outer"),
        (True, "updates", "inner_one"),
        (True, "updates", "inner_two"),
        (False, "updates", "child"),
    ]
    assert parts[1][0] == parts[2][0]
    assert [next(iter(data)) for data in await call(graph, "stream", given)] == ["outer", "child"]


async def test_the_state_of_a_remote_graph_holds_that_of_its_subgraph(remote: Remote, call: Call, config: Any) -> None:
    graph = remote("subgraph")
    with pytest.raises(NotFoundError):
        await call(graph, "get_state", config)
    await call(graph, "invoke", {"topic": "t", "ask": True}, config)
    state = await call(graph, "get_state", config)
    (task,) = state.tasks
    assert (state.values, state.next, state.metadata["step"]) == (HALF, ("child",), 1)
    assert ([one.value for one in state.interrupts], task.interrupts) == (["sub?"], state.interrupts)
    inside = await call(graph, "get_state", task.state)  # by the place that the task names
    assert (inside.values, inside.next) == (NESTED, ("inner_two",))
    whole = await call(graph, "get_state", config, subgraphs=True)
    assert whole.tasks[0].state == inside


async def test_the_history_of_a_remote_graph_is_read_from_anywhere_back(
    remote: Remote, call: Call, config: Any
) -> None:
    graph = remote("log")
    await call(graph, "invoke", {"n": 3}, config)
    states = await call(graph, "get_state_history", config)
    assert [len(state.values.get("entries", [])) for state in states] == [3, 2, 1, 0, 0, 0]
    assert [state.parent_config for state in states] == [*(state.config for state in states[1:]), None]
    assert await call(graph, "get_state_history", config, limit=1) == states[:1]
    assert await call(graph, "get_state_history", config, before=states[1].config) == states[2:]
    assert await call(graph, "get_state_history", config, filter={"step": 3}) == [states[1]]
    assert await call(graph, "get_state", states[2].config) == states[2]


async def test_an_update_of_a_remote_graph_branches_off_and_is_gone_on_from(
    remote: Remote, call: Call, config: Any
) -> None:
    graph = remote("log")
    await call(graph, "invoke", {"n": 3}, config)
    before = await call(graph, "get_state_history", config)
    branch = await call(graph, "update_state", before[1].config, {"entries": ["mine"], "n": 4}, as_node="append")
    state = await call(graph, "get_state", config)
    assert (state.config, state.parent_config, state.metadata["source"]) == (branch, before[1].config, "update")
    done = await call(graph, "invoke", None, config)
    assert done["entries"] == ["e-0", "e-1", "mine", "e-3"]
    after = await call(graph, "get_state_history", config)
    assert after[2:] == before  # what was there is there still
    with pytest.raises(BadRequestError, match="nope"):
        await call(graph, "update_state", config, {"entries": []}, as_node="nope")


async def test_a_remote_graph_is_drawn_with_its_subgraphs(remote: Remote, call: Call) -> None:
    drawn = await call(remote("subgraph"), "get_graph", xray=True)
    inner = {"child:inner_one", "child:inner_two"}
    assert set(drawn.nodes) == {"__start__", "outer", *inner, "__end__"}
    assert ("child:inner_one", "child:inner_two") in {(edge.source, edge.target) for edge in drawn.edges}


async def test_events_of_a_remote_graph_come_in_one_stream_of_its_thread(remote: Remote, config: Any) -> None:
    graph = remote("human")
    async with await graph.astream_events({"question": "go?"}, config, version="v3") as run:
        assert [values async for values in run.values]  # ends where the run stops
        assert await run.interrupted()
    async with await graph.astream_events(Command(resume="yes"), config, version="v3") as run:
        assert await run.output() == {"question": "go?", "answer": "yes", "done": True}
