"""The real Python SDK, sync and async, on streams of whole threads: what a user's program does with them."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from inspect import isawaitable
from itertools import groupby
from typing import Any

import pytest
from langgraph_sdk import get_client, get_sync_client

from tests.contract.streams.recorded import HI
from tests.e2e.thread_streams.conftest import TENANT
from tests.e2e.thread_streams.session import CLOSING, apart, opened

SPOKEN = ["spoken", "spoken", "looked", "asked no", "closed"]
"""What `talk` notes: its subgraph hands back what it was given as well."""

TICK = 0.05


def ours(reason: str) -> pytest.MarkDecorator:
    """Marks what the reference server does otherwise, and why."""
    return pytest.mark.skipif("CONTRACT_URL" in os.environ, reason=reason)


@pytest.fixture(scope="module")
def synchronous(url: str) -> Iterator[Any]:
    """The synchronous client; it closes once all of its streams have."""
    with get_sync_client(url=url, api_key=None, headers=TENANT) as client:
        yield client
        CLOSING.shutdown()


@pytest.fixture
async def asynchronous(url: str) -> AsyncIterator[Any]:
    """The asynchronous client."""
    async with get_client(url=url, api_key=None, headers=TENANT) as client:
        yield client


@pytest.fixture(params=["sync", "async"])
async def sdk(request: pytest.FixtureRequest, synchronous: Any, asynchronous: Any) -> Any:
    """A client of either kind."""
    return synchronous if request.param == "sync" else asynchronous


async def result(call: Any) -> Any:
    """What a call of either client answers."""
    return await call if isawaitable(call) else call


def says(text: str) -> dict[str, Any]:
    """The input of a graph that is spoken to."""
    return {"messages": [{"role": "user", "content": text}]}


def steps(values: list[Any]) -> list[Any]:
    """States as they came, each once; the first is the one that the SDK finds at its beginning, whichever that is."""
    return [state for state, _ in groupby(values[1:])]


async def test_a_run_is_started_and_its_output_awaited(sdk: Any) -> None:
    async with opened(sdk, "talk") as thread:
        run_id = await thread.start(input=HI, metadata={"mine": 1})
        output = await thread.output()
        assert output["notes"] == SPOKEN
        run = await result(sdk.runs.get(thread.stream.thread_id, run_id))
    assert (run["status"], run["metadata"]["mine"]) == ("success", 1)


async def test_values_come_after_each_step_of_the_graph_and_of_its_subgraph(sdk: Any) -> None:
    async with opened(sdk, "long") as thread:
        await thread.start(input={"steps": 4, "seconds": 0})
        values = await thread.all(thread.stream.values)
    assert [state.get("done") for state in steps(values)] == [None, 1, 2, 3, 4]


async def test_messages_come_as_models_speak_them(sdk: Any) -> None:
    async with opened(sdk, "talk") as thread:
        await thread.start(input=HI)
        assert await thread.texts(thread.stream.messages) == ["well said indeed"]


async def test_subgraphs_are_found_and_their_own_messages_followed(sdk: Any) -> None:
    async with opened(sdk, "talk") as thread:
        await thread.start(input=HI)
        (child,), (texts,) = await thread.children()
        assert (child.path[0].partition(":")[0], child.status) == ("child", "completed")
        assert texts == ["found it"]


@ours("the reference server sends none")
async def test_a_tool_call_has_its_input_what_it_tells_meanwhile_and_its_output(sdk: Any) -> None:
    async with opened(sdk, "tooled") as thread:
        await thread.start(input=says("search oslo"))
        ((name, given, deltas, output),) = await thread.tool_calls()
    assert (name, given, deltas) == ("search", {"query": "oslo"}, ["a fjord, ", "a ski jump"])
    assert (output["type"], output["status"], output["content"]) == ("tool", "success", "oslo has a fjord, a ski jump")


@ours("the reference server sends none")
async def test_a_tool_call_that_fails_says_why(sdk: Any) -> None:
    async with opened(sdk, "tooled") as thread:
        await thread.start(input=says("refuse oslo"))
        ((name, given, deltas, error),) = await thread.tool_calls()
    assert (name, given, deltas, str(error)) == ("refuse", {"query": "oslo"}, [], "oslo is secret")


@ours("the reference server sends none")
async def test_custom_data_of_nodes_comes_in_a_subscription_to_it(sdk: Any) -> None:
    async with opened(sdk, "talk") as thread:
        await thread.start(input=HI)
        told = await thread.all(thread.stream.subscribe(["custom"]))
    assert [one["params"]["data"]["payload"] for one in told] == [{"progress": "thinking"}, {"progress": "looking"}]


async def test_a_human_answers_and_the_run_goes_on(sdk: Any) -> None:
    async with opened(sdk, "human") as thread:
        await thread.start(input={"question": "go?"})
        before = await thread.all(thread.stream.values)  # ends where the run stops
        assert before[-1] in ({}, {"question": "go?"})
        (asked,) = await thread.interrupted()
        assert asked["namespace"] == []
        await thread.respond("yes")
        after = await thread.all(thread.stream.values)
        assert after[-1] == {"question": "go?", "answer": "yes", "done": True}
        assert await thread.output() == after[-1]
        assert not thread.stream.interrupted
        assert thread.stream.interrupts == []


@ours("the reference server leaves out what this SDK reads")
async def test_what_a_human_is_asked_comes_with_the_interrupt(sdk: Any) -> None:
    async with opened(sdk, "human") as thread:
        await thread.start(input={"question": "go?"})
        (asked,) = await thread.interrupted()
    assert asked["value"] == {"question": "go?"}


async def test_an_interrupt_within_a_subgraph_is_answered_by_its_id(sdk: Any) -> None:
    async with opened(sdk, "subgraph") as thread:
        await thread.start(input={"topic": "t", "ask": True})
        (asked,) = await thread.interrupted()
        await thread.respond("yes", interrupt_id=asked["interrupt_id"])
        assert "asked:yes" in (await thread.output())["notes"]


async def test_a_run_that_fails_is_an_error_that_says_why(sdk: Any) -> None:
    async with opened(sdk, "talk") as thread:
        await thread.start(input={**HI, "fail": True})
        with pytest.raises(RuntimeError, match="lost for words"):
            await thread.output()
        values = await thread.all(thread.stream.values)
        assert values[-1]["notes"] == SPOKEN[:-1]


async def test_an_unknown_assistant_is_an_error_that_names_it(sdk: Any) -> None:
    async with opened(sdk, "nope") as thread:
        with pytest.raises(RuntimeError, match="nope"):
            await thread.start(input={})


async def test_who_comes_to_a_thread_later_finds_its_output(sdk: Any) -> None:
    async with opened(sdk, "talk") as thread:
        await thread.start(input=HI)
        output = await thread.output()
    async with opened(sdk, "talk", thread.stream.thread_id) as later:
        assert await later.output() == output


async def test_who_comes_while_a_run_goes_on_has_all_of_it(asynchronous: Any) -> None:
    sdk = asynchronous  # the synchronous client's projections wait for a run that it has started itself
    async with opened(sdk, "long") as thread:
        await thread.start(input={"steps": 8, "seconds": TICK})
        async with opened(sdk, "long", thread.stream.thread_id) as later:
            values = await later.all(later.stream.values)
            assert (await later.output())["done"] == 8
    assert [state.get("done") for state in steps(values)] == [None, *range(1, 9)]


async def test_who_comes_to_a_thread_that_waits_for_a_human_can_answer(sdk: Any) -> None:
    async with opened(sdk, "human") as thread:
        await thread.start(input={"question": "go?"})
        await thread.interrupted()
    async with opened(sdk, "human", thread.stream.thread_id) as later:
        (asked,) = await later.interrupted()
        await later.respond("later", interrupt_id=asked["interrupt_id"])
        assert (await later.output())["answer"] == "later"


async def test_projections_are_interleaved_in_the_order_in_which_things_happen(sdk: Any) -> None:
    async with opened(sdk, "talk") as thread:
        await thread.start(input=HI)
        found = await thread.all(thread.stream.interleave_projections(["values", "messages", "subgraphs"]))
    kinds = [kind for kind, _ in groupby(found, key=lambda one: one[0])]
    assert kinds == ["values", "messages", "values", "subgraphs", "values"]
    assert found[-1][1]["notes"] == SPOKEN


async def test_three_projections_at_once_wait_for_nothing_but_the_run(asynchronous: Any) -> None:
    """The synchronous client's lose the end to one another, whatever server they ask."""
    for _ in range(10):
        async with opened(asynchronous, "talk") as thread:
            await thread.start(input=HI)
            stream = thread.stream
            values, texts, children, output = await asyncio.gather(
                thread.all(stream.values), thread.texts(stream.messages), thread.all(stream.subgraphs), thread.output()
            )
            assert values[-1]["notes"] == SPOKEN
            assert texts == ["well said indeed"]
            assert [child.status for child in children] == ["completed"]
            assert output["notes"] == SPOKEN


async def test_a_second_run_follows_on_the_same_thread(sdk: Any) -> None:
    async with opened(sdk, "long") as thread:
        await thread.start(input={"steps": 2, "seconds": 0})
        first = await thread.all(thread.stream.values)
        await thread.start(input={"steps": 5, "seconds": TICK})
        second = await thread.all(thread.stream.values)
        runs = await result(sdk.runs.list(thread.stream.thread_id))
    assert [run["status"] for run in runs] == ["success", "success"]
    assert [first[-1]["done"], second[-1]["done"]] == [2, 5]
    assert [state["done"] for state in steps(second)] == [2, 3, 4, 5]


async def followed(sdk: Any, thread_id: str, runs: int, **options: Any) -> list[Any]:
    """The parts of a thread's stream until so many runs have ended."""
    parts: list[Any] = []
    stream = sdk.threads.join_stream(thread_id, **options)

    def ends(part: Any) -> bool:
        parts.append(part)
        return sum(is_end(one) for one in parts) >= runs

    if isawaitable(stream):
        stream = await stream
    async with asyncio.timeout(20):
        if hasattr(stream, "__anext__"):
            async for part in stream:
                if ends(part):
                    break
            await stream.aclose()
        else:
            await apart(lambda: any(ends(part) for part in stream))
            stream.close()
    return parts


def is_end(part: Any) -> bool:
    """Whether a part tells that a run has ended."""
    return bool(part.event == "metadata" and part.data.get("status") == "run_done")


async def test_runs_of_others_are_followed_as_they_come(sdk: Any, asynchronous: Any) -> None:
    thread_id = (await asynchronous.threads.create())["thread_id"]
    following = asyncio.create_task(followed(sdk, thread_id, 2))
    while not following.done():
        await asynchronous.runs.wait(thread_id, "long", input={"steps": 3, "seconds": TICK, "done": 0})
    parts = await following
    begun = next(place for place, part in enumerate(parts) if is_end(part)) + 1
    whole = parts[begun:]
    assert [part.event for part in whole] == ["metadata", *["values"] * 4, "metadata"]
    assert [part.data["done"] for part in whole[1:-1]] == [0, 1, 2, 3]
    assert whole[0].data["run_id"] == whole[-1].data["run_id"]


async def test_a_stream_is_resumed_behind_any_event_with_nothing_lost_or_twice(sdk: Any) -> None:
    async with opened(sdk, "long") as thread:
        for _ in range(2):
            await thread.start(input={"steps": 2, "seconds": 0})
            await thread.all(thread.stream.values)
    thread_id = thread.stream.thread_id
    whole = await followed(sdk, thread_id, 2, last_event_id="-")
    ids = [part.id for part in whole]
    assert len(set(ids)) == len(ids)
    assert [part.event for part in whole].count("metadata") == 4
    for place in range(len(whole) - 1):
        left = whole[place + 1 :]
        rest = await followed(sdk, thread_id, sum(is_end(part) for part in left), last_event_id=ids[place])
        assert rest == left


@ours("the reference server reads a parameter of another name than its SDKs send")
async def test_only_beginnings_and_ends_are_told_where_no_more_is_asked_for(sdk: Any) -> None:
    async with opened(sdk, "talk") as thread:
        await thread.start(input=HI)
        await thread.output()
    parts = await followed(sdk, thread.stream.thread_id, 1, last_event_id="-", stream_mode="lifecycle")
    assert [part.event for part in parts] == ["metadata", "metadata"]


@ours("the reference server waits for it to come")
async def test_no_thread_is_an_error_of_its_own(sdk: Any) -> None:
    with pytest.raises(Exception, match="not found"):
        await followed(sdk, str(uuid.uuid4()), 1)
