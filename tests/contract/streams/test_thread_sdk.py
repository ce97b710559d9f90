"""The real SDKs over the streams of whole threads: what `threads.stream` and `threads.join_stream` make of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from subprocess import run
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client, get_sync_client

from tests.conftest import TENANT_HEADER, Server
from tests.contract.streams.recorded import HI
from tests.javascript import packages

TENANT = {TENANT_HEADER.decode(): "acme"}
SCRIPT = Path(__file__).with_name("threads.mjs")
NOTES = ["spoken", "spoken", "looked", "asked no", "closed"]
LIMIT_S = 30


@pytest.fixture
async def sdk(server: Server) -> AsyncIterator[Any]:
    """The asynchronous client."""
    async with get_client(url=server.url, api_key=None, headers=TENANT) as client:
        yield client


@pytest.fixture
def sync_sdk(server: Server) -> Iterator[Any]:
    """The synchronous client."""
    with get_sync_client(url=server.url, api_key=None, headers=TENANT) as client:
        yield client


async def notes_of(thread: Any) -> list[list[str]]:
    """The notes of each of a run's values, to its end."""
    return [values.get("notes", []) async for values in thread.values]


async def test_a_run_is_seen_by_its_values_its_messages_its_subgraphs_and_its_output(sdk: Any) -> None:
    async def messages() -> list[str]:
        found = [message async for message in thread.messages]
        return [await message.text for message in found]

    async def subgraphs() -> list[str]:
        return [child.graph_name async for child in thread.subgraphs]

    for _ in range(5):  # streams that are opened at once are answered in order, each time
        async with sdk.threads.stream(assistant_id="talk") as thread:
            await thread.run.start(input=HI)
            seen = await asyncio.wait_for(asyncio.gather(messages(), notes_of(thread), subgraphs()), LIMIT_S)
            assert (seen[0], seen[1][-1], seen[2]) == (["well said indeed"], NOTES, ["child"])
            assert (await asyncio.wait_for(thread.output, LIMIT_S))["notes"] == NOTES


async def test_an_interrupt_is_seen_and_answered_and_the_next_run_follows(sdk: Any) -> None:
    async with sdk.threads.stream(assistant_id="talk") as thread:
        await thread.run.start(input={**HI, "ask": True})
        await asyncio.wait_for(notes_of(thread), LIMIT_S)
        assert thread.interrupted
        (interrupt,) = thread.interrupts
        assert interrupt["value"] == "sure?"
        assert [part.partition(":")[0] for part in interrupt["namespace"]] == ["child"]
        await thread.run.respond("yes")
        notes = await asyncio.wait_for(notes_of(thread), LIMIT_S)
        assert notes[-1] == ["spoken", "spoken", "looked", "asked yes", "closed"]
        await asyncio.wait_for(thread.output, LIMIT_S)
        assert not thread.interrupted


async def test_a_failure_is_raised_with_its_message(sdk: Any) -> None:
    async with sdk.threads.stream(assistant_id="talk") as thread:
        await thread.run.start(input={**HI, "fail": True})
        with pytest.raises(RuntimeError, match="lost for words"):
            await asyncio.wait_for(thread.output, LIMIT_S)


async def test_who_comes_later_sees_the_run_that_is_over(sdk: Any, thread_id: str) -> None:
    async with sdk.threads.stream(thread_id, assistant_id="talk") as thread:
        await thread.run.start(input=HI)
        await asyncio.wait_for(thread.output, LIMIT_S)
    async with sdk.threads.stream(thread_id, assistant_id="talk") as thread:
        assert (await asyncio.wait_for(thread.output, LIMIT_S))["notes"] == NOTES
        assert (await asyncio.wait_for(notes_of(thread), LIMIT_S))[-1] == NOTES


def test_the_synchronous_sdk_sees_the_same(sync_sdk: Any) -> None:
    with sync_sdk.threads.stream(assistant_id="talk") as thread:
        thread.run.start(input={**HI, "ask": True})
        assert ["spoken"] in [values.get("notes") for values in thread.values]
        assert [one["value"] for one in thread.interrupts] == ["sure?"]
        thread.run.respond("no")
        assert [values["notes"][-1] for values in thread.values][-1] == "closed"
        assert thread.output["notes"] == NOTES


async def test_a_thread_is_joined_and_joined_again_without_loss(sdk: Any, api: httpx.Client, thread_id: str) -> None:
    async def told(runs: int, after: str | None = None) -> list[Any]:
        found: list[Any] = []
        stream = sdk.threads.join_stream(thread_id, last_event_id=after)
        async for part in await stream if asyncio.iscoroutine(stream) else stream:
            found.append(part)
            runs -= part.data.get("status") == "run_done"
            if not runs:
                break
        return found

    joined = asyncio.create_task(told(2))
    await asyncio.sleep(0.5)  # it has taken up its place then
    for _ in range(2):
        await sdk.runs.wait(thread_id, "talk", input=HI)
    parts = await asyncio.wait_for(joined, LIMIT_S)
    assert [part.event for part in parts] == ["metadata", *["values"] * 4, "metadata"] * 2
    assert len({part.id for part in parts}) == 12


def test_the_javascript_sdk_sees_the_same(server: Server) -> None:
    command = ["node", str(SCRIPT), str(packages()), server.url, json.dumps(TENANT)]
    finished = run(command, check=False, capture_output=True, timeout=120, text=True)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == {
        "output": NOTES,
        "messages": ["well said indeed", "found it"],
        "values": NOTES,
        "interrupts": ["sure?"],
        "answered": ["spoken", "spoken", "looked", "asked yes", "closed"],
        "told": ["metadata", *["values"] * 4, "metadata"],
    }
