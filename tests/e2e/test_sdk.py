"""The real Python SDK, sync and async, against a server: what a user's program does."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from inspect import isawaitable
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client, get_sync_client

from handler.domain.models import system_assistant_id
from tests.conftest import TENANT_HEADER, Server

Call = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
async def sdk(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Any]:
    """A client of either kind; `result` makes the two alike."""
    headers = {TENANT_HEADER.decode(): "sdk"}
    if request.param == "sync":
        with get_sync_client(url=server.url, api_key=None, headers=headers) as client:
            yield client
    else:
        async with get_client(url=server.url, api_key=None, headers=headers) as client:
            yield client


async def result(call: Any) -> Any:
    """What a call of either client answers."""
    return await call if isawaitable(call) else call


@pytest.fixture
async def thread_id(sdk: Any) -> str:
    created = await result(sdk.threads.create())
    return str(created["thread_id"])


def refused(status: int) -> Any:
    """Expects the SDK to raise for this status: its own class of error on most calls, httpx's on waits and joins."""
    return pytest.raises(httpx.HTTPStatusError, check=lambda error: error.response.status_code == status)


def asked(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def test_two_turns_on_one_thread_are_one_conversation(sdk: Any, thread_id: str) -> None:
    first = await result(sdk.runs.wait(thread_id, "agent", input=asked("What is the weather in Lima?")))
    assert [message["type"] for message in first["messages"]] == ["human", "ai", "tool", "ai"]
    assert first["messages"][-1]["content"] == "The weather is cloudy, 19 °C."
    second = await result(sdk.runs.wait(thread_id, "agent", input=asked("thanks")))
    assert second["messages"][:4] == first["messages"]
    assert second["messages"][-1]["content"] == "You said: thanks (turn 2)"
    state = await result(sdk.threads.get_state(thread_id))
    assert state["values"] == second
    assert (state["next"], state["interrupts"]) == ([], [])
    assert state["checkpoint"]["thread_id"] == thread_id


async def test_a_thread_is_created_read_changed_and_deleted(sdk: Any) -> None:
    own = str(uuid.uuid4())
    created = await result(sdk.threads.create(thread_id=own, metadata={"a": 1, "b": 1}))
    assert (created["thread_id"], created["status"], created["metadata"]) == (own, "idle", {"a": 1, "b": 1})
    assert await result(sdk.threads.get(own)) == created
    with refused(409):
        await result(sdk.threads.create(thread_id=own))
    again = await result(sdk.threads.create(thread_id=own, if_exists="do_nothing"))
    assert again == created
    updated = await result(sdk.threads.update(own, metadata={"b": 2}))
    assert updated["metadata"] == {"a": 1, "b": 2}
    assert (await result(sdk.threads.get(own)))["metadata"] == {"a": 1, "b": 2}
    await result(sdk.threads.delete(own))
    with refused(404):
        await result(sdk.threads.get(own))
    with refused(404):
        await result(sdk.threads.delete(own))


async def test_a_deleted_thread_takes_its_runs_and_state_along(sdk: Any, thread_id: str) -> None:
    await result(sdk.runs.wait(thread_id, "log", input={"n": 2}))
    run = (await result(sdk.runs.list(thread_id)))[0]
    await result(sdk.threads.delete(thread_id))
    with refused(404):
        await result(sdk.runs.get(thread_id, run["run_id"]))
    with refused(404):
        await result(sdk.runs.list(thread_id))
    await result(sdk.threads.create(thread_id=thread_id))
    assert await result(sdk.runs.list(thread_id)) == []
    assert (await result(sdk.threads.get_state(thread_id)))["values"] == {}
    fresh = await result(sdk.runs.wait(thread_id, "log", input={"n": 1}))
    assert fresh["entries"] == ["e-0"]


async def test_runs_are_listed_read_and_joined(sdk: Any, thread_id: str) -> None:
    values = [
        await result(sdk.runs.wait(thread_id, "log", input={"name": name, "n": 1}, metadata={"m": name}))
        for name in ("one", "two", "three")
    ]
    runs = await result(sdk.runs.list(thread_id))
    assert [run["metadata"]["m"] for run in runs] == ["three", "two", "one"]
    assert {run["status"] for run in runs} == {"success"}
    page = await result(sdk.runs.list(thread_id, limit=1, offset=1))
    assert [run["run_id"] for run in page] == [runs[1]["run_id"]]
    assert await result(sdk.runs.list(thread_id, status="error")) == []
    one = await result(sdk.runs.get(thread_id, runs[2]["run_id"]))
    assert one == runs[2]
    assert one["assistant_id"] == system_assistant_id("log")
    # A finished run answers with its own result, not with what the thread has come to since.
    joined = await result(sdk.runs.join(thread_id, runs[2]["run_id"]))
    assert joined["entries"] == values[0]["entries"] == ["one-0"]
    with refused(404):
        await result(sdk.runs.join(thread_id, str(uuid.uuid4())))


async def test_a_human_answers_an_interrupt(sdk: Any, thread_id: str) -> None:
    stopped = await result(sdk.runs.wait(thread_id, "human", input={"question": "go?"}))
    assert stopped["question"] == "go?"
    assert [one["value"] for one in stopped["__interrupt__"]] == [{"question": "go?"}]
    thread = await result(sdk.threads.get(thread_id))
    assert thread["status"] == "interrupted"
    assert [one["value"] for ones in thread["interrupts"].values() for one in ones] == [{"question": "go?"}]
    state = await result(sdk.threads.get_state(thread_id))
    assert state["next"] == ["ask"]
    assert state["interrupts"][0]["id"] == stopped["__interrupt__"][0]["id"]
    runs = await result(sdk.runs.list(thread_id))
    assert runs[0]["status"] == "success"
    done = await result(sdk.runs.wait(thread_id, "human", command={"resume": "yes"}))
    assert done == {"question": "go?", "answer": "yes", "done": True}
    assert (await result(sdk.threads.get(thread_id)))["status"] == "idle"


async def test_an_interrupt_within_a_subgraph_is_answered_by_its_id(sdk: Any, thread_id: str) -> None:
    stopped = await result(sdk.runs.wait(thread_id, "subgraph", input={"topic": "t", "ask": True}))
    (asked_for,) = stopped["__interrupt__"]
    state = await result(sdk.threads.get_state(thread_id, subgraphs=True))
    assert state["tasks"][0]["name"] == "child"
    done = await result(sdk.runs.wait(thread_id, "subgraph", command={"resume": {asked_for["id"]: "well"}}))
    assert done["notes"][-1] == "asked:well"
    assert "inner_one" in done["notes"]


async def test_a_breakpoint_stops_and_a_run_without_input_goes_on(sdk: Any, thread_id: str) -> None:
    stopped = await result(sdk.runs.wait(thread_id, "log", input={"n": 1}, interrupt_before=["append"]))
    assert "__interrupt__" not in stopped
    assert stopped.get("entries", []) == []
    assert (await result(sdk.threads.get(thread_id)))["status"] == "interrupted"
    done = await result(sdk.runs.wait(thread_id, "log", input=None))
    assert done["entries"] == ["e-0"]


async def test_a_failure_is_raised_and_the_thread_goes_on_after_it(sdk: Any, thread_id: str) -> None:
    with pytest.raises(Exception, match="boom ValueError"):
        await result(sdk.runs.wait(thread_id, "fail", input={"kind": "ValueError"}))
    told = await result(sdk.runs.wait(thread_id, "fail", input={"kind": "OSError"}, raise_error=False))
    assert told == {"__error__": {"error": "OSError", "message": "An internal error occurred"}}
    assert (await result(sdk.threads.get(thread_id)))["status"] == "error"
    runs = await result(sdk.runs.list(thread_id))
    assert [run["status"] for run in runs] == ["error", "error"]
    await result(sdk.runs.wait(thread_id, "fail", input={"kind": ""}))
    assert (await result(sdk.threads.get(thread_id)))["status"] == "idle"


async def test_a_wait_may_create_its_thread(sdk: Any) -> None:
    own = str(uuid.uuid4())
    with refused(404):
        await result(sdk.runs.wait(own, "log", input={"n": 1}))
    values = await result(sdk.runs.wait(own, "log", input={"n": 1}, if_not_exists="create", metadata={"m": 1}))
    assert values["entries"] == ["e-0"]
    thread = await result(sdk.threads.get(own))
    assert thread["metadata"] == {"m": 1, "graph_id": "log", "assistant_id": system_assistant_id("log")}


async def test_config_and_context_reach_the_graph(sdk: Any, thread_id: str) -> None:
    config = {"tags": ["t"], "recursion_limit": 9, "metadata": {"m": 1}}
    context = {"user_name": "ada", "tone": "calm"}
    values = await result(sdk.runs.wait(thread_id, "custom", input={"text": "x"}, config=config, context=context))
    assert values["greeting"] == "calm:ada"
    assert (values["seen_tags"], values["seen_limit"], values["seen_metadata"]["m"]) == (["t"], 9, 1)
    assert values["seen_configurable"]["thread_id"] == thread_id


async def test_assistants_are_searched_and_read(sdk: Any) -> None:
    found = await result(sdk.assistants.search(limit=100))
    assert {one["graph_id"] for one in found} >= {"agent", "human", "log"}
    (agent,) = await result(sdk.assistants.search(graph_id="agent"))
    assert agent["assistant_id"] == system_assistant_id("agent")
    assert await result(sdk.assistants.get(agent["assistant_id"])) == agent
    with refused(404):
        await result(sdk.assistants.get(str(uuid.uuid4())))


async def test_an_assistant_runs_by_its_id(sdk: Any, thread_id: str) -> None:
    values = await result(sdk.runs.wait(thread_id, system_assistant_id("log"), input={"n": 1}))
    assert values["entries"] == ["e-0"]
    with refused(422):
        await result(sdk.runs.wait(thread_id, "no such graph", input={}))


async def test_a_busy_thread_rejects_as_the_sdk_names_it(
    sdk: Any, thread_id: str, server: Server, tmp_path: Path
) -> None:
    body = {"assistant_id": "log", "input": {"n": 1, "until": str(tmp_path / "end")}}
    headers = {TENANT_HEADER.decode(): "sdk"}
    async with (
        httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30, trust_env=False) as client,
        client.stream("POST", f"/threads/{thread_id}/runs/wait", json=body) as under_way,
    ):
        with refused(409):
            await result(sdk.runs.wait(thread_id, "log", input={"n": 1}, multitask_strategy="reject"))
        (tmp_path / "end").touch()
        run_id = under_way.headers["content-location"].rpartition("/")[2]
        joined = await result(sdk.runs.join(thread_id, run_id))
        assert joined["entries"] == ["e-0"]


@pytest.fixture
def stranger(server: Server) -> Iterator[Any]:
    """A client of another tenant."""
    headers = {TENANT_HEADER.decode(): "stranger"}
    with get_sync_client(url=server.url, api_key=None, headers=headers) as client:
        yield client


async def test_another_tenant_finds_nothing(sdk: Any, thread_id: str, stranger: Any) -> None:
    await result(sdk.runs.wait(thread_id, "log", input={"n": 1}))
    run_id = (await result(sdk.runs.list(thread_id)))[0]["run_id"]
    attempts: list[Call] = [
        lambda: stranger.threads.get(thread_id),
        lambda: stranger.threads.get_state(thread_id),
        lambda: stranger.threads.update(thread_id, metadata={"x": 1}),
        lambda: stranger.threads.delete(thread_id),
        lambda: stranger.runs.list(thread_id),
        lambda: stranger.runs.get(thread_id, run_id),
        lambda: stranger.runs.join(thread_id, run_id),
        lambda: stranger.runs.wait(thread_id, "log", input={"n": 1}),
    ]
    for attempt in attempts:
        with refused(404):
            attempt()
    assert (await result(sdk.threads.get_state(thread_id)))["values"]["entries"] == ["e-0"]
