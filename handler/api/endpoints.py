"""Every endpoint that LangGraph's clients call; what no router serves of them is refused by name."""

from collections.abc import Awaitable, Callable, Iterable

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Route

from handler.errors import NotSupported

DOCS = "GET /docs"
"""The page that FastAPI itself serves."""

ENDPOINTS = (
    "POST /assistants",
    "POST /assistants/search",
    "POST /assistants/count",
    "GET /assistants/{assistant_id}",
    "PATCH /assistants/{assistant_id}",
    "DELETE /assistants/{assistant_id}",
    "GET /assistants/{assistant_id}/graph",
    "GET /assistants/{assistant_id}/schemas",
    "GET /assistants/{assistant_id}/subgraphs",
    "GET /assistants/{assistant_id}/subgraphs/{namespace}",
    "POST /assistants/{assistant_id}/versions",
    "POST /assistants/{assistant_id}/latest",
    "POST /threads",
    "POST /threads/search",
    "POST /threads/count",
    "POST /threads/prune",
    "GET /threads/{thread_id}",
    "PATCH /threads/{thread_id}",
    "DELETE /threads/{thread_id}",
    "POST /threads/{thread_id}/copy",
    "GET /threads/{thread_id}/state",
    "POST /threads/{thread_id}/state",
    "PATCH /threads/{thread_id}/state",
    "GET /threads/{thread_id}/state/{checkpoint_id}",
    "POST /threads/{thread_id}/state/checkpoint",
    "GET /threads/{thread_id}/history",
    "POST /threads/{thread_id}/history",
    "GET /threads/{thread_id}/storage",
    "GET /threads/{thread_id}/stream",
    "POST /threads/{thread_id}/stream/events",
    "POST /threads/{thread_id}/commands",
    "GET /threads/{thread_id}/runs",
    "POST /threads/{thread_id}/runs",
    "POST /threads/{thread_id}/runs/wait",
    "POST /threads/{thread_id}/runs/stream",
    "POST /threads/{thread_id}/runs/crons",
    "GET /threads/{thread_id}/runs/{run_id}",
    "DELETE /threads/{thread_id}/runs/{run_id}",
    "GET /threads/{thread_id}/runs/{run_id}/join",
    "GET /threads/{thread_id}/runs/{run_id}/stream",
    "POST /threads/{thread_id}/runs/{run_id}/cancel",
    "POST /runs",
    "POST /runs/wait",
    "POST /runs/stream",
    "POST /runs/batch",
    "POST /runs/cancel",
    "GET /runs/{run_id}/stream",
    "POST /runs/crons",
    "POST /runs/crons/search",
    "POST /runs/crons/count",
    "GET /runs/crons/{cron_id}",
    "PATCH /runs/crons/{cron_id}",
    "DELETE /runs/crons/{cron_id}",
    "GET /store/items",
    "PUT /store/items",
    "DELETE /store/items",
    "POST /store/items/search",
    "POST /store/namespaces",
    "POST /ui/{assistant_id}",
    "POST /a2a/{assistant_id}",
    "GET /mcp/",
    "POST /mcp/",
    "DELETE /mcp/",
    "GET /ok",
    "GET /info",
    "GET /metrics",
    DOCS,
)
"""`METHOD path`: what the SDKs call, and what the reference documents; tests/difference holds the list to both."""


def served(routers: Iterable[APIRouter]) -> frozenset[str]:
    """The endpoints that these routers serve."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    return frozenset(f"{method} {route.path}" for route in routes for method in route.methods or ())


def refusals(routers: Iterable[APIRouter]) -> list[Route]:
    """A route for each endpoint that these routers do not serve; unknown paths stay unknown."""
    missing = sorted(set(ENDPOINTS) - served(routers) - {DOCS})
    return [Route(path, refusal(method, path), methods=[method]) for method, path in map(str.split, missing)]


def refusal(method: str, path: str) -> Callable[[Request], Awaitable[Response]]:
    """Says by name what is not served."""

    async def refuse(_request: Request) -> Response:
        raise NotSupported(f"{method} {path} is not supported by this server")

    return refuse
