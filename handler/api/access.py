"""One log line for each request: route, status and duration."""

import logging
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)


class AccessLog:
    """ASGI middleware; the route is the pattern, so that lines can be counted by it and name nobody's things."""

    def __init__(self, app: ASGIApp, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self.monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, then log it; an exception that leaves the application is a 500."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500
        started = self.monotonic()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "-")
            fields = {
                "route": f"{scope['method']} {route}",
                "status": status,
                "duration_ms": round((self.monotonic() - started) * 1000, 1),
                "server_errors": 1 if status >= 500 else None,
            }
            log.info("request served", extra=fields)
