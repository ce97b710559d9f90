"""What emulators show as well, tried once more where it is to be used."""

import asyncio
import uuid
from typing import Any

from infra.smoke.server import Server, expect, said, sleeping

METADATA_SERVICE = "http://169.254.169.254/latest/meta-data/"
"""Where clouds keep credentials: no webhook's URL, whatever langgraph.json allows."""


async def background_run(server: Server) -> None:
    """The queue wakes a worker, which drives the run."""
    thread_id = await server.thread()
    run = await server.sdk.runs.create(thread_id, "agent", input=said("What is the weather in Oslo?"))
    await server.status_within(server.pace.worker_s, thread_id, run["run_id"], "success")
    values: Any = await server.sdk.runs.join(thread_id, run["run_id"])
    expect("sunny" in values["messages"][-1]["content"], values)


async def cancel(server: Server) -> None:
    """A running run is cancelled."""
    thread_id = await server.thread()
    run_id = (await server.sdk.runs.create(thread_id, "long", input=sleeping(2 * server.pace.gone_s)))["run_id"]
    await server.status_within(server.pace.worker_s, thread_id, run_id, "running")
    await server.sdk.runs.cancel(thread_id, run_id, wait=True)
    status = (await server.sdk.runs.get(thread_id, run_id))["status"]
    expect(status == "interrupted", status)


async def waits_in_parallel(server: Server) -> None:
    """Parallel waits on one thread lose nothing."""
    thread_id = await server.thread()
    await asyncio.gather(*(server.sdk.runs.wait(thread_id, "agent", input=said(f"n{n}")) for n in range(4)))
    values: Any = (await server.sdk.threads.get_state(thread_id))["values"]
    expect(len(values["messages"]) == 8, len(values["messages"]))


async def turns(server: Server) -> None:
    """Two turns of one conversation."""
    thread_id = await server.thread()
    for count in (2, 4):
        values: Any = await server.sdk.runs.wait(thread_id, "agent", input=said("hello"))
        expect(len(values["messages"]) == count, values)


async def idempotency(server: Server) -> None:
    """A repeated request under one key is one run."""
    thread_id = await server.thread()
    body = {"assistant_id": "agent", "input": said("once")}
    headers = {"idempotency-key": str(uuid.uuid4())}
    for _ in range(2):
        answer = await server.http.post(f"/threads/{thread_id}/runs/wait", json=body, headers=headers)
        expect(answer.status_code == 200, answer.status_code)
    runs = await server.sdk.runs.list(thread_id)
    expect(len(runs) == 1, len(runs))


async def webhook_is_checked(server: Server) -> None:
    """A webhook within the network is refused, and nothing is run for it."""
    thread_id = await server.thread()
    body = {"assistant_id": "agent", "input": said("hello"), "webhook": METADATA_SERVICE}
    answer = await server.http.post(f"/threads/{thread_id}/runs", json=body)
    expect(answer.status_code == 422 and "ebhook" in answer.text, (answer.status_code, answer.text))
    runs = await server.sdk.runs.list(thread_id)
    expect(not runs, runs)


async def assistants(server: Server) -> None:
    """An assistant is made, found and deleted."""
    mark = {"smoke": str(uuid.uuid4())}
    assistant_id = (await server.sdk.assistants.create("agent", metadata=mark, name="smoke"))["assistant_id"]
    server.made[f"assistant {assistant_id}"] = lambda: server.sdk.assistants.delete(assistant_id)
    found: Any = await server.sdk.assistants.search(metadata=mark)
    expect([one["assistant_id"] for one in found] == [assistant_id], found)
    await server.sdk.assistants.delete(assistant_id)
    found = await server.sdk.assistants.search(metadata=mark)
    expect(not found, found)


async def store(server: Server) -> None:
    """An item is put, got, found and deleted."""
    namespace = ["smoke", str(uuid.uuid4())]
    server.made[f"item {namespace}"] = lambda: server.sdk.store.delete_item(namespace, "key")
    await server.sdk.store.put_item(namespace, "key", {"n": 1})
    item: Any = await server.sdk.store.get_item(namespace, "key")
    expect(item["value"] == {"n": 1}, item)
    found = await server.sdk.store.search_items(namespace, filter={"n": 1})
    expect([one["key"] for one in found["items"]] == ["key"], found)
    await server.sdk.store.delete_item(namespace, "key")
    found = await server.sdk.store.search_items(namespace)
    expect(not found["items"], found)
