"""The real Python SDK, sync and async, on threads: found, counted, copied, pruned, kept for a time, changed."""

import uuid
from typing import Any

import pytest

from tests.e2e.test_sdk import refused, result, sdk

__all__ = ["sdk"]


@pytest.fixture
async def three(sdk: Any) -> dict[str, str]:
    """Metadata of three threads, of which two have run."""
    mark = {"mark": uuid.uuid4().hex}
    for number in range(3):
        thread = await result(sdk.threads.create(metadata={**mark, "number": number}, graph_id="log"))
        if number:
            await result(sdk.runs.wait(thread["thread_id"], "log", input={"n": number}))
    return mark


async def test_threads_are_found_and_counted(sdk: Any, three: dict[str, str]) -> None:
    rows = await result(sdk.threads.search(metadata=three))
    assert [row["metadata"]["number"] for row in rows] == [2, 1, 0]
    [row] = await result(sdk.threads.search(metadata=three, values={"n": 1}, select=["thread_id", "values"]))
    assert (set(row), row["values"]["entries"]) == ({"thread_id", "values"}, ["e-0"])
    found = await result(
        sdk.threads.search(
            metadata=three, sort_by="created_at", sort_order="asc", limit=2, extract={"last": "values.entries[-1]"}
        )
    )
    assert [row["extracted"] for row in found] == [{"last": None}, {"last": "e-0"}]
    assert await result(sdk.threads.search(ids=[rows[0]["thread_id"]], status="idle")) == rows[:1]
    assert await result(sdk.threads.count(metadata=three)) == 3
    assert await result(sdk.threads.count(metadata=three, values={"n": 2}, status="idle")) == 1


async def test_a_state_is_updated_and_forked(sdk: Any) -> None:
    thread_id = (await result(sdk.threads.create()))["thread_id"]
    await result(sdk.runs.wait(thread_id, "log", input={"n": 2}))
    history = await result(sdk.threads.get_history(thread_id, limit=10))
    answer = await result(sdk.threads.update_state(thread_id, {"entries": ["mine"]}, as_node="append"))
    state = await result(sdk.threads.get_state(thread_id))
    assert state["values"]["entries"] == ["e-0", "e-1", "mine"]
    assert state["checkpoint"]["checkpoint_id"] == answer["checkpoint"]["checkpoint_id"]
    older = history[1]["checkpoint"]
    await result(sdk.threads.update_state(thread_id, {"entries": ["fork"]}, as_node="append", checkpoint=older))
    assert (await result(sdk.threads.get(thread_id)))["values"]["entries"] == ["e-0", "fork"]
    before = await result(sdk.threads.get_history(thread_id, limit=10, before=older))
    assert [one["checkpoint_id"] for one in before] == [one["checkpoint_id"] for one in history[2:]]
    assert (await result(sdk.threads.get_state(thread_id, checkpoint=older)))["values"] == history[1]["values"]


async def test_a_thread_is_created_with_super_steps_copied_and_pruned(sdk: Any) -> None:
    steps = [
        {"updates": [{"values": {"n": 1, "entries": ["a"]}, "as_node": "__input__"}]},
        {"updates": [{"values": {"entries": ["b"]}, "as_node": "append"}]},
    ]
    thread = await result(sdk.threads.create(graph_id="log", supersteps=steps, ttl=60))
    assert thread["values"]["entries"][-1] == "b"
    shown = await result(sdk.threads.get(thread["thread_id"], include=["ttl"]))
    assert (shown["ttl"]["strategy"], shown["ttl"]["ttl_minutes"]) == ("delete", 60)
    copy = (await result(sdk.threads.copy(thread["thread_id"])))["thread_id"]
    assert len(await result(sdk.threads.get_history(copy))) == 2
    pruned = await result(sdk.threads.prune([copy], strategy="keep_latest"))
    assert pruned == {"pruned_count": 1}
    assert len(await result(sdk.threads.get_history(copy))) == 1
    assert await result(sdk.threads.prune([copy, thread["thread_id"]])) == {"pruned_count": 2}
    with refused(404):
        await result(sdk.threads.get(copy))


async def test_super_steps_that_fail_make_no_thread(sdk: Any) -> None:
    thread_id = str(uuid.uuid4())
    steps = [{"updates": [{"values": {}, "as_node": "nope"}]}]
    with refused(400):
        await result(sdk.threads.create(thread_id=thread_id, graph_id="log", supersteps=steps))
    with refused(404):
        await result(sdk.threads.get(thread_id))
