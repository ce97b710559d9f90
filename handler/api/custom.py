"""The user's own application (`http.app` of langgraph.json) around the API.

Its routes come before those of the API, but for /ok; its middleware and its lifespan are for both.
"""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handler.api.access import AccessLog
from handler.api.app import create_app, with_cors
from handler.api.services import Services
from handler.errors import GraphLoadError


def serve(services: Services) -> ASGIApp:
    """The whole application: the API, within the user's own where langgraph.json names one."""
    http = services.graphs.config.http
    if http.app is None:
        return create_app(services)
    source, _, attribute = http.app.rpartition(":")
    own = services.graphs.attribute("http.app", source, attribute)
    if not isinstance(own, Starlette):
        raise GraphLoadError(f"http.app: {http.app} is a {type(own).__name__}, not a Starlette or FastAPI application")
    surround(own, create_app(services, inner=True))
    return with_cors(AccessLog(Started(own)), services)


def surround(own: Starlette, api: FastAPI) -> None:
    """Put the API behind the routes of an application, and /ok before them; done again, it replaces the API."""
    routes = [route for route in own.router.routes if not isinstance(route, ApiRoutes)]
    own.router.routes[:] = [ApiRoutes(api, "/ok"), *routes, ApiRoutes(api)]


class ApiRoutes(BaseRoute):
    """All routes of the API as one, or the one of this path."""

    def __init__(self, api: ASGIApp, path: str | None = None) -> None:
        self.api = api
        self.path = path

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Take every request, or those for the path."""
        taken = scope["type"] == "http" and self.path in (None, scope["path"])
        return (Match.FULL if taken else Match.NONE), {}

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        """No name of the user's means a route of the API."""
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on to the API."""
        await self.api(scope, receive, send)


class Started:
    """Sees to it that an application's lifespan has begun before its first request, also where no server does.

    Mangum without lifespan is such a place (with it, it would begin and end with each request). There it begins with
    the first request, on the loop that serves all of them, and ends with the process, which Lambda does not announce.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.state: MutableMapping[str, Any] = {}
        self._ready = False
        self._lock = asyncio.Lock()
        self._lifespan: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, with what the lifespan yielded in the request's state."""
        if scope["type"] == "lifespan":
            self._ready = True
            await self.app(scope, receive, send)
            return
        async with self._lock:
            if not self._ready:
                await self._start()
                self._ready = True
        await self.app({**scope, "state": {**self.state, **scope.get("state", {})}}, receive, send)

    async def _start(self) -> None:
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        messages: list[Message] = [{"type": "lifespan.startup"}]

        async def receive() -> Message:
            if messages:
                return messages.pop()
            never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
            return await never

        async def send(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete" and not begun.done():
                begun.set_result(None)

        scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.state}

        async def lifespan() -> None:
            await self.app(scope, receive, send)

        self._lifespan = asyncio.create_task(lifespan())
        await asyncio.wait({self._lifespan, begun}, return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            self._lifespan.result()
            raise RuntimeError("http.app ended its lifespan before it had begun")
