"""Answers a wait or a join: headers at once and a newline now and then where that works, one whole body on Lambda."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from handler.api.answers import encode, error_answer, status_of
from handler.api.dialects import still_running
from handler.api.invocation import bounds_of, buffered
from handler.api.services import Services
from handler.api.threads import truthy
from handler.api.web_adapter import CutOff
from handler.domain.models import CancelAction, Run, to_ms
from handler.errors import ServiceError
from handler.runs.admission import Admitted
from handler.runs.driver import Ended

log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
"""How often a waiting connection is shown to be alive, in seconds."""

COMPRESS_FROM_BYTES = 16_384
"""Smaller results are not worth compressing."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the `Prefer` header asks for (RFC 7240)."""

    wait_s: float | None = None
    """For how long to wait at most."""
    respond_async: bool = False
    """Whether to answer at once and let the run go on."""

    @classmethod
    def of(cls, request: Request) -> "Preferences":
        """The preferences of a request; what cannot be read is ignored, as the RFC wants it."""
        wait_s, respond_async = None, False
        for part in request.headers.get("prefer", "").split(","):
            name, _, value = part.strip().partition("=")
            if name.lower() == "respond-async":
                respond_async = True
            elif name.lower() == "wait" and value.strip('"').isdecimal():
                wait_s = float(value.strip('"'))
        return cls(wait_s, respond_async)

    @property
    def applied(self) -> dict[str, str]:
        """The header that tells which preferences were heeded."""
        heeded = [f"wait={self.wait_s:.0f}"] if self.wait_s is not None else []
        heeded += ["respond-async"] if self.respond_async else []
        return {"Preference-Applied": ", ".join(heeded)} if heeded else {}


async def waited(request: Request, services: Services, run: Run, admitted: Admitted | None) -> Response:
    """The run's result, or the answer that tells where it will be."""
    preferences = Preferences.of(request)
    headers = {**run_headers(run), **preferences.applied}
    bounds = bounds_of(request, services, preferences.wait_s)
    follow = services.waiter.follow(run, admitted, window_s=bounds.window_s, limit_s=bounds.limit_s)
    if not buffered(request) and preferences.wait_s is None:
        following = services.loop.submit(follow)
        joins = admitted is None
        asked = truthy(request.query_params.get("cancel_on_disconnect"))
        cancels = asked if joins else run.kwargs.get("on_disconnect") == "cancel"
        body = heartbeats(services, run, asyncio.wrap_future(following), cancels=cancels, joins=joins)
        return StreamingResponse(body, media_type="application/json", headers=headers)
    result = await services.loop.run(follow)
    if result is None:
        log.info("window closed", extra={"thread_id": run.thread_id, "run_id": run.run_id})
        dialect = services.settings.python_sdk_dialect
        return still_running(request, run.run_id, f"{run_path(run)}/join", headers, python=dialect)
    answer = result_answer(request, services, result, headers)
    if answer.status_code == 200:
        await forget(services, run)
    return answer


async def forget(services: Services, run: Run) -> None:
    """Delete the thread of a run without a thread of the caller's, once its result was handed out.

    Under an idempotency key it may be asked for again, and a webhook is told of it by a worker, which collects it
    later then, as it does if this fails.
    """
    if not run.kwargs.get("temporary") or run.kwargs.get("keyed") or run.kwargs.get("webhook"):
        return
    try:
        await services.offload(services.threads.delete, run.tenant, run.thread_id)
    except ServiceError as error:
        log.warning("temporary thread not deleted", extra={"run_id": run.run_id, "error": type(error).__name__})


async def note_presence(request: Request, services: Services, run: Run) -> None:
    """A run that is cancelled with its waiter is waited for, by this request."""
    until_ms = present_until_ms(request, services)
    if run.present_until_ms is not None and until_ms is not None and not run.ended:
        await services.offload(services.runs.note_presence, run, until_ms)


def present_until_ms(request: Request, services: Services) -> int | None:
    """Until when a waiter counts as present that asks now; None where a hang-up is seen as such."""
    settings = services.settings
    if not buffered(request) and Preferences.of(request).wait_s is None:
        return None
    return to_ms(services.clock()) + int((settings.gateway_timeout_seconds + settings.presence_grace_seconds) * 1000)


def run_path(run: Run) -> str:
    """The path of a run."""
    return f"/threads/{run.thread_id}/runs/{run.run_id}"


def run_headers(run: Run) -> dict[str, str]:
    """Where the run and its result are to be found."""
    return {"Location": f"{run_path(run)}/join", "Content-Location": run_path(run)}


def result_answer(request: Request, services: Services, ended: Ended, headers: dict[str, str]) -> Response:
    """The result as one body: compressed where that helps, refused by name where it cannot be carried."""
    data = encode(ended.body)
    if len(data) >= COMPRESS_FROM_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        packed = gzip.compress(data, 5)
        if len(packed) * 4 / 3 < len(data):
            data, headers = packed, {**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    # Lambda carries the answer within JSON: base64 for what is binary, else text with its quotes escaped.
    escaped = len(data) + data.count(b'"') + data.count(b"\\")
    carried = len(data) * 4 / 3 if "Content-Encoding" in headers else escaped
    if carried > services.settings.max_result_bytes:
        where = f"/threads/{ended.run.thread_id}/state"
        detail = f"The run ended with {ended.run.status}, but its result is too large for one answer: GET {where}"
        return error_answer(413, detail, headers)
    return Response(data, headers=headers, media_type="application/json")


async def heartbeats(
    services: Services, run: Run, ended: "asyncio.Future[Ended | None]", *, cancels: bool, joins: bool
) -> AsyncIterator[bytes]:
    """A newline every few seconds until the run has ended, then its result; cut off where the window closes first.

    A hang-up may cancel the run; one who only joined it is no longer told of it.
    """
    try:
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
        if result is None:
            raise CutOff
        yield encode(result.body)
        await forget(services, run)
    finally:
        if not ended.done() and cancels:
            services.loop.submit(services.cancellation.cancel(run, CancelAction.INTERRUPT))
        if joins:
            ended.cancel()
