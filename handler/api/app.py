"""The ASGI application: routes, and the one table from errors to statuses."""

import logging
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from handler import __version__
from handler.api import (
    assistants,
    commands,
    crons,
    runs,
    searches,
    state,
    store,
    streams,
    system,
    thread_streams,
    threads,
)
from handler.api.access import AccessLog
from handler.api.answers import error_answer, status_of
from handler.api.endpoints import refusals
from handler.api.services import Services
from handler.errors import ServiceError

log = logging.getLogger(__name__)

ROUTERS = (
    system.router,
    system.meta_router,
    assistants.router,
    searches.router,
    threads.router,
    state.router,
    crons.router,
    runs.router,
    store.router,
    streams.router,
    thread_streams.router,
    commands.router,
)
"""One for each client module of the SDK."""

PART_OF = {"crons": "runs"}
"""The part of the API that `http.disable_…` of langgraph.json names, where it is not that of the router's tag."""

EXPOSED = (
    "Location",
    "Content-Location",
    "Preference-Applied",
    "Retry-After",
    "X-Pagination-Total",
    "X-Pagination-Next",
)
"""Headers that pages of other origins may read."""


def cors_options(services: Services) -> list[dict[str, Any]]:
    """How pages of other origins are answered, by the settings and langgraph.json; empty: not at all."""
    configured = services.graphs.config.http.cors or {}
    origins = [origin for origin in services.settings.cors_origins.split(",") if origin]
    if not origins and not configured:
        return []
    defaults: dict[str, Any] = {"allow_methods": ["*"], "allow_headers": ["*"], "max_age": 3600}
    allowed = {"allow_origins": [*origins, *configured.get("allow_origins", ())]}
    exposed = {"expose_headers": [*EXPOSED, *configured.get("expose_headers", ())]}
    return [{**defaults, **configured, **allowed, **exposed}]


def with_cors(app: ASGIApp, services: Services) -> ASGIApp:
    """An application that answers pages of other origins as well, where it is to."""
    for options in cors_options(services):
        app = CORSMiddleware(app, **options)
    return app


def create_app(services: Services, *, inner: bool = False) -> FastAPI:
    """The API over a service; `inner`: within an application that logs and answers other origins for both."""
    disabled = services.graphs.config.http.disabled
    openapi = None if "meta" in disabled else "/openapi.json"
    app = FastAPI(title="langgraph-lambda", version=__version__, redoc_url=None, openapi_url=openapi)
    app.state.services = services
    for router in ROUTERS:
        if not disabled.intersection(PART_OF.get(str(tag), str(tag)) for tag in router.tags):
            app.include_router(router)
    app.router.routes.extend(refusals(ROUTERS))
    app.openapi = partial(openapi_document, app)  # type: ignore[method-assign]
    if not inner:
        app.add_middleware(AccessLog)
        for options in cors_options(services):
            app.add_middleware(CORSMiddleware, **options)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _unexpected_error)
    return app


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, worked out when it is asked for: a cold start needs none of it."""
    from handler.api.openapi import document

    return document(app, ROUTERS)


async def _service_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101 - registered for nothing else
    status = status_of(error)
    if status == 500:  # a graph's own failure, whose text is for its owner
        log.error("unexpected error", extra={"error": type(error).__name__}, exc_info=error)
        return error_answer(500, "Internal Server Error")
    return error_answer(status, str(error), {"Retry-After": "1"} if status == 503 else None)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    return error_answer(error.status_code, str(error.detail), error.headers)


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return error_answer(422, f"{where}: {first['msg']}")


async def _unexpected_error(request: Request, error: Exception) -> Response:
    log.error("unexpected error", extra={"path": request.url.path, "error": type(error).__name__}, exc_info=error)
    return error_answer(500, "Internal Server Error")
