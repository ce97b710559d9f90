"""What the Lambda Web Adapter says of a request: the context of its event, in a header that nobody but it can set."""

import json
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from handler.telemetry import correlated

CONTEXT_HEADER = b"x-amzn-request-context"


class CutOff(Exception):
    """A body that breaks off, so that its client comes back: the server closes the connection without an end."""


class FromWebAdapter:
    """Gives the application what Mangum would: the event's context, with what the authoriser said of the caller."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its context in `aws.event`."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        context = request_context(scope)
        event = {"requestContext": context, "path": scope["path"]}
        whole = str(context.get("path") or scope["path"])
        if whole.endswith(scope["path"]):
            event["gateway_prefix"] = whole.removesuffix(scope["path"])
        with correlated(correlation_id=str(context.get("requestId") or "")), suppress(CutOff):
            await self.app({**scope, "aws.event": event}, receive, send)


def request_context(scope: Scope) -> dict[str, object]:
    """The event's context; empty if the request did not come by the adapter."""
    value = next((value for name, value in scope["headers"] if name == CONTEXT_HEADER), b"{}")
    context = json.loads(value)
    return context if isinstance(context, dict) else {}
