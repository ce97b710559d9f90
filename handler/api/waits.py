"""Answers a wait or a join: headers at once and a newline now and then where that works, one whole body on Lambda."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from handler.api.answers import encode, error_answer, json_answer, status_of
from handler.api.services import Services
from handler.domain.models import Run
from handler.errors import ServiceError
from handler.runs.admission import Admitted
from handler.runs.driver import Ended

HEARTBEAT_S = 5.0
"""How often a waiting connection is shown to be alive, in seconds."""

WINDOW_MARGIN_S = 4.0
"""How long before the gateway gives up a wait is answered, in seconds."""


async def waited(request: Request, services: Services, run: Run, admitted: Admitted | None) -> Response:
    """The run's result, or the answer that tells where it will be."""
    headers = run_headers(run)
    context = request.scope.get("aws.context")
    if context is None:
        ended = services.loop.submit(services.waiter.follow(run, admitted))
        body = heartbeats(asyncio.wrap_future(ended))
        return StreamingResponse(body, media_type="application/json", headers=headers)
    window_s = max(services.settings.gateway_timeout_seconds - WINDOW_MARGIN_S, 1.0)
    limit_s = context.get_remaining_time_in_millis() / 1000
    result = await services.loop.run(
        services.waiter.follow(run, admitted, window_s=min(window_s, limit_s - WINDOW_MARGIN_S), limit_s=limit_s)
    )
    if result is None:
        detail = f"Run {run.run_id} goes on; its result will be at {headers['Location']}"
        return error_answer(408, detail, headers)
    return json_answer(result.body, headers=headers)


def run_headers(run: Run) -> dict[str, str]:
    """Where the run and its result are to be found."""
    path = f"/threads/{run.thread_id}/runs/{run.run_id}"
    return {"Location": f"{path}/join", "Content-Location": path}


async def heartbeats(ended: "asyncio.Future[Ended | None]") -> AsyncIterator[bytes]:
    """A newline every few seconds until the run has ended, then its result."""
    while True:
        done, _ = await asyncio.wait({ended}, timeout=HEARTBEAT_S)
        if done:
            break
        yield b"\n"
    try:
        result = ended.result()
    except ServiceError as error:
        yield encode({"__error__": {"error": type(error).__name__, "message": f"{status_of(error)}: {error}"}})
        return
    yield encode(result.body if result else None)
