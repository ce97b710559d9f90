"""What the Lambda Web Adapter says of a request: the contexts of its event and of its invocation.

They come in headers that nobody but the adapter can set: it puts its own in the place of a client's.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handler.runs.hold import Hold
from handler.telemetry import correlated

CONTEXT_HEADER = b"x-amzn-request-context"
INVOCATION_HEADER = b"x-amzn-lambda-context"


class CutOff(Exception):
    """A body that breaks off, so that its client comes back: the server closes the connection without an end."""


class FromWebAdapter:
    """Gives the application what Mangum would: the event's context, with what the authoriser said of the caller.

    With the last of its response an invocation is over and its sandbox may freeze, unless it is held: `flush` comes
    before that.
    """

    def __init__(self, app: ASGIApp, hold: Hold, flush: Callable[[], object]) -> None:
        self.app = app
        self.hold = hold
        self.flush = flush

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its context in `aws.event`, and the end of its time in `aws.deadline_ms`."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        context = said(scope, CONTEXT_HEADER)
        event = {"requestContext": context, "path": scope["path"]}
        whole = str(context.get("path") or scope["path"])
        if whole.endswith(scope["path"]):
            event["gateway_prefix"] = whole.removesuffix(scope["path"])
        invocation = said(scope, INVOCATION_HEADER)
        request_id = str(invocation.get("request_id") or "")

        async def send_in_time(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                await self._before_end()
            await send(message)

        with correlated(correlation_id=str(context.get("requestId") or ""), request_id=request_id):
            try:
                scope = {**scope, "aws.event": event, "aws.deadline_ms": invocation.get("deadline")}
                await self.app(scope, receive, send_in_time)
            except CutOff:
                await self._before_end()
            finally:
                self.hold.returned(request_id)

    async def _before_end(self) -> None:
        if not self.hold.active:  # otherwise it flushes, when the work is done
            await asyncio.to_thread(self.flush)


def said(scope: Scope, header: bytes) -> dict[str, Any]:
    """What a header of the adapter's says; empty if the request did not come by it."""
    value = next((value for name, value in scope["headers"] if name == header), b"{}")
    content = json.loads(value)
    return content if isinstance(content, dict) else {}
