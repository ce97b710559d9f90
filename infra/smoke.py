"""Tries a deployed URL with the LangGraph SDK: pass or fail for each capability, those no emulator can show first.

    LANGGRAPH_API_KEY=… python -m infra.smoke https://…/prod

| verdict | means                                                                 |
|---------|-----------------------------------------------------------------------|
| pass    | seen                                                                  |
| FAIL    | not seen; what came instead                                           |
| n.a.    | there is nothing to try, such as a redirect where a wait stays open   |

It needs the example graphs `agent` and `long`, takes about five minutes, and leaves nothing behind. 0: none failed.
"""

import argparse
import asyncio
import os
import sys
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

LONGER_THAN_THE_GATEWAY_S = 40.0
LONGER_THAN_A_WAIT_S = 12.0
"""How long a run lasts that outlives `Prefer: wait=1`."""

CANCEL_AFTER_S = 5.0
BACKGROUND_S = 120.0
GONE_S = 180.0
"""Until when a run is to be cancelled whose waiter is gone: the gateway's window, the grace of 60 s, and a watchdog."""

STEPS = 20
OUTSIDE = "http://169.254.169.254/"
"""Where no webhook may go."""


@dataclass(frozen=True)
class Server:
    """The deployment under test."""

    url: str
    headers: dict[str, str]
    sdk: LangGraphClient
    http: httpx.AsyncClient
    pace: float = 1.0
    """What the runs' durations are multiplied with; less than 1 shows nothing of a gateway."""
    made: list[str] = field(default_factory=list)
    """The threads to delete in the end."""

    async def thread(self) -> str:
        """A fresh thread."""
        thread_id: str = (await self.sdk.threads.create())["thread_id"]
        self.made.append(thread_id)
        return thread_id

    def sleeping(self, seconds: float, steps: int = 1) -> dict[str, Any]:
        """The input of the long example: so many seconds, in so many steps."""
        return {"seconds": seconds * self.pace / steps, "steps": steps}


class Failed(Exception):
    """The capability is not there; the message says what came instead."""


class NotApplicable(Exception):
    """There is nothing to try; the message says why."""


def expect(condition: object, seen: object) -> None:
    """Failed, with what was seen, unless the condition holds."""
    if not condition:
        raise Failed(f"saw {seen!r}"[:400])


def said(text: str) -> dict[str, Any]:
    """The input of the chat agent."""
    return {"messages": [{"role": "user", "content": text}]}


async def undecodable_body(server: Server) -> None:
    """The body that makes the Python SDK ask again comes through the gateway as it was sent."""
    thread_id = await server.thread()
    path = f"/threads/{thread_id}/runs/wait"
    body = {"assistant_id": "long", "input": server.sleeping(LONGER_THAN_A_WAIT_S)}
    headers = {"user-agent": "langgraph-sdk-py/0.4.14", "prefer": "wait=1"}
    try:
        answer = await server.http.post(path, json=body, headers=headers)
    except httpx.DecodingError:
        return
    raise Failed(f"{answer.status_code} and a body that can be read: {answer.content[:80]!r}")


async def python_sdk_outlasts_the_gateway(server: Server) -> None:
    """A run longer than the gateway's 29 s, awaited by the Python SDK in one call."""
    thread_id = await server.thread()
    values = await server.sdk.runs.wait(thread_id, "long", input=server.sleeping(LONGER_THAN_THE_GATEWAY_S))
    expect(isinstance(values, dict) and "__error__" not in values, values)
    runs = await server.sdk.runs.list(thread_id)
    expect([run["status"] for run in runs] == ["success"], runs)


async def held_sandbox(server: Server) -> None:
    """A run goes on in its sandbox after the answer: no second driver was needed."""
    thread_id = await server.thread()
    body = {"assistant_id": "long", "input": server.sleeping(LONGER_THAN_A_WAIT_S), "on_disconnect": "continue"}
    started = time.monotonic()
    answer = await server.http.post(f"/threads/{thread_id}/runs/wait", json=body, headers={"prefer": "wait=1"})
    expect(answer.status_code in (202, 303), answer.status_code)
    values = await server.sdk.runs.join(thread_id, answer.headers["content-location"].rsplit("/", 1)[1])
    expect("__error__" not in values, values)
    # A sandbox that froze would leave the run to its watchdog, which looks after more than a minute.
    expect(time.monotonic() - started < 60, f"{time.monotonic() - started:.0f} s")


async def redirect_is_followed(server: Server) -> None:
    """Clients that follow redirects (JS SDK, curl -L) are led to the result."""
    thread_id = await server.thread()
    body = {"assistant_id": "long", "input": server.sleeping(LONGER_THAN_THE_GATEWAY_S)}
    answer = await server.http.post(f"/threads/{thread_id}/runs/wait", json=body, follow_redirects=True)
    expect(answer.status_code == 200 and answer.json().get("done") == 1, (answer.status_code, answer.text))
    if not answer.history:
        raise NotApplicable("the wait stayed open until its result")
    first = httpx.URL(answer.history[0].headers["location"])
    expect(first.host == httpx.URL(server.url).host, str(first))


async def streaming_abort(server: Server) -> None:
    """A run whose stream its client has left is cancelled: at once, or when nobody has come back for it."""
    thread_id = await server.thread()
    body = {"assistant_id": "long", "input": server.sleeping(600, 120), "on_disconnect": "cancel"}
    async with server.http.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as stream:
        run_id = stream.headers["content-location"].rsplit("/", 1)[1]
        async for _ in stream.aiter_lines():
            break
    left = time.monotonic()
    status = "running"
    while status in ("pending", "running") and time.monotonic() - left < GONE_S:
        await asyncio.sleep(2 * server.pace)
        status = (await server.sdk.runs.get(thread_id, run_id))["status"]
    expect(status == "interrupted", f"{status} after {time.monotonic() - left:.0f} s")


async def python_sdk_streams_past_the_gateway(server: Server) -> None:
    """A run longer than the gateway's 29 s is one stream for the Python SDK: each step once, in order."""
    thread_id = await server.thread()
    given = server.sleeping(LONGER_THAN_THE_GATEWAY_S, STEPS)
    parts = [part async for part in server.sdk.runs.stream(thread_id, "long", input=given)]
    done = [part.data.get("done", 0) for part in parts if part.event == "values"]
    expect(done == list(range(STEPS + 1)), [(part.event, part.data) for part in parts])


async def stream_is_resumed(server: Server) -> None:
    """Whoever comes back with the last event's id gets what follows it, and nothing twice."""
    thread_id = await server.thread()
    run_id, last, done = "", "", 0
    given = server.sleeping(LONGER_THAN_A_WAIT_S, STEPS)
    keeps: Any = {"stream_resumable": True, "on_disconnect": "continue"}
    streaming: Any = server.sdk.runs.stream(thread_id, "long", input=given, **keeps)
    async with aclosing(streaming) as stream:
        async for part in stream:
            run_id = part.data.get("run_id", run_id)
            done, last = part.data.get("done", 0), part.id or last
            if done == 2:
                break
    rest = server.sdk.runs.join_stream(thread_id, run_id, last_event_id=last)
    seen = [part.data.get("done") async for part in rest if part.event == "values"]
    expect(done == 2 and seen == list(range(3, STEPS + 1)), (done, seen))


async def background_run(server: Server) -> None:
    """The queue wakes a worker, which drives the run."""
    thread_id = await server.thread()
    run = await server.sdk.runs.create(thread_id, "agent", input=said("What is the weather in Oslo?"))
    values: Any = await asyncio.wait_for(server.sdk.runs.join(thread_id, run["run_id"]), BACKGROUND_S)
    expect("sunny" in values["messages"][-1]["content"], values)


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


async def cancel(server: Server) -> None:
    """A running run is cancelled."""
    thread_id = await server.thread()
    run = await server.sdk.runs.create(thread_id, "long", input=server.sleeping(60))
    await asyncio.sleep(CANCEL_AFTER_S * server.pace)
    await server.sdk.runs.cancel(thread_id, run["run_id"], wait=True)
    status = (await server.sdk.runs.get(thread_id, run["run_id"]))["status"]
    expect(status == "interrupted", status)


async def no_key_no_answer(server: Server) -> None:
    """Without credentials nothing is served."""
    if not server.headers:
        raise NotApplicable("LANGGRAPH_API_KEY is not set")
    async with httpx.AsyncClient(timeout=30) as stranger:
        answer = await stranger.get(f"{server.url}/info")
    expect(answer.status_code in (401, 403), answer.status_code)


async def cron(server: Server) -> None:
    """A cron is made, with its schedule at EventBridge Scheduler, found, and deleted."""
    mark = {"smoke": str(uuid.uuid4())}
    made = await server.sdk.crons.create("agent", schedule="0 0 1 1 *", input=said("happy new year"), metadata=mark)
    cron_id = made["cron_id"]  # type: ignore[typeddict-item]
    try:
        found = await server.sdk.crons.search(metadata=mark)
        expect([each["cron_id"] for each in found] == [cron_id], found)
    finally:
        await server.sdk.crons.delete(cron_id)
    expect(await server.sdk.crons.search(metadata=mark) == [], "deleted, and still found")


async def assistant(server: Server) -> None:
    """An assistant is made, found, runs, and is deleted."""
    mark = {"smoke": str(uuid.uuid4())}
    assistant_id = (await server.sdk.assistants.create("agent", metadata=mark))["assistant_id"]
    try:
        found = await server.sdk.assistants.search(metadata=mark)
        expect([each["assistant_id"] for each in found] == [assistant_id], found)
        values: Any = await server.sdk.runs.wait(await server.thread(), assistant_id, input=said("hello"))
        expect(len(values["messages"]) == 2, values)
    finally:
        await server.sdk.assistants.delete(assistant_id)


async def store(server: Server) -> None:
    """An item is put, found, and deleted."""
    place = ["smoke", str(uuid.uuid4())]
    await server.sdk.store.put_item(place, "colour", {"is": "blue"})
    try:
        found = await server.sdk.store.search_items(place, filter={"is": "blue"})
        expect([each["key"] for each in found["items"]] == ["colour"], found)
    finally:
        await server.sdk.store.delete_item(place, "colour")


async def webhook_inside_is_refused(server: Server) -> None:
    """No run is started whose webhook would go to the cloud's metadata."""
    thread_id = await server.thread()
    body = {"assistant_id": "agent", "input": said("hello"), "webhook": OUTSIDE}
    answer = await server.http.post(f"/threads/{thread_id}/runs", json=body)
    expect(answer.status_code == 422, (answer.status_code, answer.text))
    expect(await server.sdk.runs.list(thread_id) == [], "a run was started")


Capability = Callable[[Server], Awaitable[None]]

CAPABILITIES: tuple[Capability, ...] = (
    undecodable_body,
    python_sdk_outlasts_the_gateway,
    held_sandbox,
    redirect_is_followed,
    streaming_abort,
    python_sdk_streams_past_the_gateway,
    stream_is_resumed,
    cron,
    no_key_no_answer,
    background_run,
    cancel,
    waits_in_parallel,
    idempotency,
    turns,
    assistant,
    store,
    webhook_inside_is_refused,
)
"""The first nine rest on what only API Gateway, Lambda and Scheduler do."""


async def tried(capability: Capability, server: Server) -> bool:
    """Try one capability and print its line; False if it failed."""
    started = time.monotonic()
    verdict, remark = "pass", ""
    try:
        await capability(server)
    except NotApplicable as reason:
        verdict, remark = "n.a.", str(reason)
    except Failed as failure:
        verdict, remark = "FAIL", str(failure)
    except Exception as failure:
        verdict, remark = "FAIL", traceback.format_exception_only(failure)[-1].strip()
    print(f"{verdict}  {capability.__name__:36} {time.monotonic() - started:6.1f} s  {remark}", flush=True)
    return verdict != "FAIL"


async def clean_up(server: Server) -> None:
    """Delete the threads that were made here."""
    for thread_id in server.made:
        try:
            await server.sdk.threads.delete(thread_id)
        except Exception as error:
            print(f"thread {thread_id} is left behind: {type(error).__name__}")


async def smoke(url: str, api_key: str | None, only: list[str], pace: float = 1.0) -> int:
    """Try all capabilities, one after another; the number that failed."""
    headers = {"x-api-key": api_key} if api_key else {}
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=120) as http,
        get_client(url=url, api_key=api_key) as sdk,
    ):
        server = Server(url, headers, sdk, http, pace)
        chosen = [each for each in CAPABILITIES if not only or each.__name__ in only]
        passed = [await tried(each, server) for each in chosen]
        await clean_up(server)
    return passed.count(False)


def main() -> int:
    """The command line; the number of capabilities that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="base URL, as the stack's output `Url` has it")
    parser.add_argument("only", nargs="*", metavar="capability", help="what to try; everything, if nothing is named")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - {each.__name__ for each in CAPABILITIES}:
        parser.error(f"no such capability: {', '.join(sorted(unknown))}")
    failed = asyncio.run(smoke(arguments.url.rstrip("/"), os.environ.get("LANGGRAPH_API_KEY"), arguments.only))
    print(f"{failed} failed" if failed else "none failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
