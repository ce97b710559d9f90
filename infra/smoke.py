"""Tries a deployed URL with the LangGraph SDK: pass or fail for each capability, those no emulator can show first.

    LANGGRAPH_API_KEY=… python -m infra.smoke https://…/prod

It needs the example graphs (`agent`, `human`, `long`) and leaves no thread behind. 0: all passed.
"""

import argparse
import asyncio
import os
import sys
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

LONGER_THAN_THE_GATEWAY_S = 40
BACKGROUND_S = 120.0


@dataclass(frozen=True)
class Server:
    """The deployment under test."""

    url: str
    headers: dict[str, str]
    sdk: LangGraphClient
    http: httpx.AsyncClient
    made: list[str] = field(default_factory=list)
    """The threads to delete in the end."""

    async def thread(self) -> str:
        """A fresh thread."""
        thread_id: str = (await self.sdk.threads.create())["thread_id"]
        self.made.append(thread_id)
        return thread_id


class Failed(Exception):
    """The capability is not there; the message says what came instead."""


def expect(condition: object, seen: object) -> None:
    """Failed, with what was seen, unless the condition holds."""
    if not condition:
        raise Failed(f"saw {seen!r}"[:400])


def said(text: str) -> dict[str, Any]:
    """The input of the chat agent."""
    return {"messages": [{"role": "user", "content": text}]}


def sleeping(seconds: float, steps: int = 1) -> dict[str, Any]:
    """The input of the long example."""
    return {"seconds": seconds, "steps": steps}


async def undecodable_body(server: Server) -> None:
    """The body that makes the Python SDK ask again comes through the gateway as it was sent."""
    thread_id = await server.thread()
    path = f"/threads/{thread_id}/runs/wait"
    body = {"assistant_id": "long", "input": sleeping(10)}
    headers = {"user-agent": "langgraph-sdk-py/0.4.14", "prefer": "wait=1"}
    try:
        answer = await server.http.post(path, json=body, headers=headers)
    except httpx.DecodingError:
        return
    raise Failed(f"{answer.status_code} and a body that can be read: {answer.content[:80]!r}")


async def python_sdk_outlasts_the_gateway(server: Server) -> None:
    """A run longer than the gateway's 29 s, awaited by the Python SDK in one call."""
    thread_id = await server.thread()
    values = await server.sdk.runs.wait(thread_id, "long", input=sleeping(LONGER_THAN_THE_GATEWAY_S))
    expect(isinstance(values, dict) and "__error__" not in values, values)
    runs = await server.sdk.runs.list(thread_id)
    expect([run["status"] for run in runs] == ["success"], runs)


async def held_sandbox(server: Server) -> None:
    """A run goes on in its sandbox after the answer: no second driver was needed."""
    thread_id = await server.thread()
    body = {"assistant_id": "long", "input": sleeping(12), "on_disconnect": "continue"}
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
    body = {"assistant_id": "long", "input": sleeping(LONGER_THAN_THE_GATEWAY_S)}
    answer = await server.http.post(f"/threads/{thread_id}/runs/wait", json=body, follow_redirects=True)
    expect(answer.status_code == 200 and answer.history, (answer.status_code, len(answer.history)))
    first = httpx.URL(answer.history[0].headers["location"])
    expect(first.host == httpx.URL(server.url).host, str(first))


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
    run = await server.sdk.runs.create(thread_id, "long", input=sleeping(60))
    await asyncio.sleep(5)
    await server.sdk.runs.cancel(thread_id, run["run_id"], wait=True)
    status = (await server.sdk.runs.get(thread_id, run["run_id"]))["status"]
    expect(status == "interrupted", status)


async def no_key_no_answer(server: Server) -> None:
    """Without credentials nothing is served."""
    async with httpx.AsyncClient(timeout=30) as stranger:
        answer = await stranger.get(f"{server.url}/info")
    expect(answer.status_code in (401, 403), answer.status_code)


Capability = Callable[[Server], Awaitable[None]]

CAPABILITIES: tuple[Capability, ...] = (
    undecodable_body,
    python_sdk_outlasts_the_gateway,
    held_sandbox,
    redirect_is_followed,
    no_key_no_answer,
    background_run,
    cancel,
    waits_in_parallel,
    idempotency,
    turns,
)
"""The first five rest on what only API Gateway and Lambda do."""


async def tried(capability: Capability, server: Server) -> bool:
    """Try one capability and print its line."""
    started = time.monotonic()
    error = ""
    try:
        await capability(server)
    except Exception as failure:
        error = str(failure) or type(failure).__name__
        if not isinstance(failure, Failed):
            error = traceback.format_exception_only(failure)[-1].strip()
    verdict = "FAIL" if error else "pass"
    print(f"{verdict}  {capability.__name__:34} {time.monotonic() - started:6.1f} s  {error}", flush=True)
    return not error


async def clean_up(server: Server) -> None:
    """Delete the threads that were made here."""
    for thread_id in server.made:
        try:
            await server.sdk.threads.delete(thread_id)
        except httpx.HTTPError as error:
            print(f"thread {thread_id} is left behind: {type(error).__name__}")


async def smoke(url: str, api_key: str | None, only: list[str]) -> int:
    """Try all capabilities, one after another; the number that failed."""
    headers = {"x-api-key": api_key} if api_key else {}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120) as http:
        server = Server(url, headers, get_client(url=url, api_key=api_key), http)
        chosen = [each for each in CAPABILITIES if not only or each.__name__ in only]
        passed = [await tried(each, server) for each in chosen]
        await clean_up(server)
    return passed.count(False)


def main() -> int:
    """The command line; the number of capabilities that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="base URL, as the stack's output `Url` has it")
    parser.add_argument("only", nargs="*", help="capabilities to try; all if none is named")
    arguments = parser.parse_args()
    failed = asyncio.run(smoke(arguments.url.rstrip("/"), os.environ.get("LANGGRAPH_API_KEY"), arguments.only))
    print(f"{failed} failed" if failed else "all passed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
