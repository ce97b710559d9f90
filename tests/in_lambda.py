"""The service as Lambda calls it, in this process: proxy events in, proxy results out, a sandbox that never freezes."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mangum import Mangum

from handler.api.app import create_app
from handler.api.gateway import rooted
from handler.api.services import Services
from tests.events import Request, Response, read_response, rest_event


@dataclass(frozen=True)
class Context:
    """What Lambda hands to a handler beside the event."""

    aws_request_id: str = "request"
    remaining_s: float = 60.0

    def get_remaining_time_in_millis(self) -> int:
        """How much is left of the function's time."""
        return int(self.remaining_s * 1000)


class InLambda:
    """The service behind a REST API; `held`: whether its sandbox outlives its responses."""

    def __init__(self, services: Services, *, held: bool = True) -> None:
        self.services = services
        services.hold.active = held
        asyncio.set_event_loop(loop := asyncio.new_event_loop())  # which Mangum would make, and leave open
        self._adapter = Mangum(create_app(services), lifespan="off")
        loop.close()
        asyncio.set_event_loop(None)
        self._sandboxes = ThreadPoolExecutor(40)

    def call(self, request: Request, *, spent_s: float = 0.0, context: Context | None = None) -> Response:
        """Answer a request that reached the gateway so many seconds ago."""
        event = rest_event(request)
        invocation: Any = context or Context()
        event["requestContext"]["requestTimeEpoch"] = int((time.time() - spent_s) * 1000)
        asyncio.set_event_loop(loop := asyncio.new_event_loop())
        try:
            return read_response(self._adapter(rooted(event), invocation))
        finally:
            loop.close()
            asyncio.set_event_loop(None)

    def begin(self, request: Request) -> "Future[Response]":
        """Answer a request on a thread of its own."""
        return self._sandboxes.submit(self.call, request)

    def wait(self, thread_id: str | None, body: Mapping[str, Any], **headers: str) -> Response:
        """POST runs/wait, on a thread or without one; header names are given with underscores."""
        return self.call(wait_request(thread_id, body, **headers))

    def get(self, path: str, **headers: str) -> Response:
        """GET a path, or the URL of one below the stage."""
        path, _, query = path.partition("/prod")[2].partition("?") if "/prod" in path else path.partition("?")
        return self.call(Request("GET", path, query, named(headers)))

    def begin_get(self, path: str) -> "Future[Response]":
        """GET on a thread of its own."""
        return self._sandboxes.submit(self.get, path)

    def runs(self, thread_id: str) -> list[dict[str, Any]]:
        """The runs of a thread."""
        found: list[dict[str, Any]] = self.get(f"/threads/{thread_id}/runs").json()
        return found

    def ended(self, thread_id: str, within_s: float = 20.0) -> list[str]:
        """The statuses of a thread's runs, once they have all ended."""
        deadline = time.monotonic() + within_s
        while {"pending", "running"} & {run["status"] for run in self.runs(thread_id)}:
            if time.monotonic() > deadline:
                raise TimeoutError("a run does not end")
            time.sleep(0.05)
        return [run["status"] for run in self.runs(thread_id)]

    def quiet(self, within_s: float = 20.0) -> None:
        """Return once nothing is followed any more: the invocation would end now."""
        deadline = time.monotonic() + within_s
        while self.services.waiter.busy:
            if time.monotonic() > deadline:
                raise TimeoutError("runs are still followed")
            time.sleep(0.01)


def wait_request(thread_id: str | None, body: Mapping[str, Any], **headers: str) -> Request:
    """POST runs/wait."""
    path = f"/threads/{thread_id}/runs/wait" if thread_id else "/runs/wait"
    return Request("POST", path, headers=named(headers), body=dict(body))


def named(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers by their names as they go over the wire; without a User-Agent, nobody's."""
    return {"User-Agent": "curl/8", **{name.title().replace("_", "-"): value for name, value in headers.items()}}
