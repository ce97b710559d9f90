"""Routes, middleware and a lifespan of the user's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

BEGUN: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Note that it has begun."""
    BEGUN.append("begun")
    app.state.greeting = "hello"
    yield {"yielded": "from the lifespan"}
    BEGUN.append("ended")


app = FastAPI(lifespan=lifespan)


@app.middleware("http")
async def mark(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Mark every answer, those of the API included."""
    response = await call_next(request)
    response.headers["x-served-by"] = "web"
    return response


@app.get("/hello")
async def hello(request: Request) -> dict[str, Any]:
    """What the lifespan has set up."""
    return {"greeting": request.app.state.greeting, "yielded": request.state.yielded, "path": request.url.path}


@app.get("/info")
async def info() -> dict[str, str]:
    """In the place of the API's own."""
    return {"whose": "mine"}


@app.get("/ok")
async def ok() -> dict[str, str]:
    """Never reached: the API's own says whether it is well."""
    return {"whose": "mine"}


@app.get("/store/items")
async def items() -> list[str]:
    """One method of a path that the API has others of."""
    return ["mine"]


@app.get("/threads/{thread_id}/summary")
async def summary(thread_id: str) -> dict[str, str]:
    """Below one of the API's paths."""
    return {"summary": thread_id}


@app.get("/boom")
async def boom() -> None:
    """Fail."""
    raise ValueError("boom")
