"""The deployment under test, and the three ways in which a capability comes out."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Delete = Callable[[], Awaitable[Any]]


class Failed(Exception):
    """The capability is not there; the message says what came instead."""


class Inapplicable(Exception):
    """The capability has no meaning for this deployment; the message says why."""


def expect(condition: object, seen: object) -> None:
    """Failed, with what was seen, unless the condition holds."""
    if not condition:
        raise Failed(f"saw {seen!r}"[:400])


def said(text: str) -> dict[str, Any]:
    """The input of the chat agent."""
    return {"messages": [{"role": "user", "content": text}]}


def sleeping(seconds: float, steps: int = 1) -> dict[str, Any]:
    """The input of the long example: so many seconds, in so many super-steps."""
    return {"seconds": seconds / steps, "steps": steps}


@dataclass(frozen=True)
class Pace:
    """How long things take, in seconds; what is there fits the template's defaults."""

    outlasting_s: float = 40.0
    """A run that the gateway does not wait for: longer than 29 s."""
    held_s: float = 12.0
    """A run that goes on when its client has its answer, or has gone."""
    moment_s: float = 3.0
    """Until a client hangs up; and by how much a run may be late."""
    gone_s: float = 130.0
    """Until a run is cancelled whose client has gone: a window of 29 s, a grace of 60 s, a driver's look each 20 s."""
    worker_s: float = 180.0
    """Until a worker has brought a run to its end, its watchdog included."""
    function_s: float | None = None
    """One invocation of a function; None: not to be outlasted, since that is 15 minutes."""


@dataclass
class Server:
    """A client's view of the deployment, and what was made there."""

    url: str
    api_key: str | None
    sdk: LangGraphClient
    http: httpx.AsyncClient
    pace: Pace
    made: dict[str, Delete] = field(default_factory=dict)
    """What is to be deleted in the end, and how."""
    _streams: bool | None = None

    async def thread(self) -> str:
        """A fresh thread."""
        thread_id: str = (await self.sdk.threads.create())["thread_id"]
        self.made[f"thread {thread_id}"] = lambda: self.sdk.threads.delete(thread_id)
        return thread_id

    async def streams(self) -> bool:
        """Whether the front streams; one that gathers whole answers has no stream of a thread, and says so with 501."""
        if self._streams is None:
            thread_id = await self.thread()
            async with self.http.stream("GET", f"/threads/{thread_id}/stream") as answer:
                status = answer.status_code
            # With its thread the stream ends, even where nobody was told of the hang-up.
            await self.sdk.threads.delete(thread_id)
            if status not in (200, 501):
                raise Failed(f"whether the front streams cannot be told: GET /threads/…/stream answers {status}")
            self._streams = status == 200
        return self._streams

    async def status_within(self, seconds: float, thread_id: str, run_id: str, *wanted: str) -> str:
        """The status of a run once it is one of those that are wanted; Failed if that takes longer."""
        deadline = time.monotonic() + seconds
        while (status := (await self.sdk.runs.get(thread_id, run_id))["status"]) not in wanted:
            if time.monotonic() > deadline or status not in ("pending", "running"):
                raise Failed(f"saw {status!r} after {seconds:.0f} s at most, not {' or '.join(wanted)}")
            await asyncio.sleep(self.pace.moment_s / 3)
        return status


@asynccontextmanager
async def connected(url: str, api_key: str | None, pace: Pace) -> "AsyncIterator[Server]":
    """Clients of the deployment."""
    headers = {"x-api-key": api_key} if api_key else {}
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=120) as http,
        get_client(url=url, api_key=api_key) as sdk,
    ):
        yield Server(url, api_key, sdk, http, pace)


async def clean_up(server: Server) -> None:
    """What was made here is deleted."""
    left = []
    for name, delete in server.made.items():
        try:
            await delete()
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 404:
                left.append(f"{name} ({error.response.status_code})")
        except httpx.HTTPError as error:
            left.append(f"{name} ({type(error).__name__})")
    if left:
        raise Failed(f"left behind: {', '.join(left)}")
