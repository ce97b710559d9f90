"""Answers a stream as server-sent events: live where the connection stays open, in slices behind a gateway.

A gateway that buffers gets each answer whole, so a slice closes before the gateway gives up, and its Location says
where the next one begins. The SDKs look at the run when a stream closes, find it running, and ask there, with the id
of the last event that they have seen. They do so five times in vain: in the fourth slice in a row in which nothing has
happened the run's metadata are sent again, which any client takes for a sign of life and nothing more.

A run may end after its slice closed and before the SDK looks; then the SDK would never ask for the last events. So the
Location names the place in the run's own segment, `/threads/T/runs/R~place/stream`, and the SDKs, which look at the run
by what is before `/stream`, see it running as long as there is something behind that place.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from handler.api.invocation import bounds_of, buffered
from handler.api.schemas import RunBody
from handler.api.services import Services
from handler.api.starts import admit
from handler.api.waits import HEARTBEAT_S, Preferences, forget, note_presence, run_path
from handler.domain.events import BEFORE_ALL, Event, EventId
from handler.domain.models import Caller, CancelAction, JsonObject, Run
from handler.runs.admission import Admitted
from handler.runs.encoding import encode
from handler.runs.follower import Follower

MEDIA_TYPE = "text/event-stream"
HEARTBEAT = b": heartbeat\r\n\r\n"

PLACE_MARK = "~"
"""Between a run's id and a place in its stream, in a path."""

SILENT_SLICES = 3
"""How many slices in a row may be empty."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants of a stream."""

    after: EventId | None = None
    """The event behind which to begin; None: with what is yet to come."""
    modes: frozenset[str] = frozenset()
    """The stream modes to show, of those that the run was asked for; empty: all."""
    cancels: bool = False
    """Whether the run is cancelled when the connection breaks."""
    silent: int = 0
    """How many slices in a row were empty."""
    goes_on: bool = False
    """Whether it is not the first request for the stream, so that its driver knows of it."""

    def shows(self, event: Event) -> bool:
        """Whether an event is among what was asked for."""
        if not self.modes or event.name == "error":
            return True
        mode, _, _ = event.name.partition("|")
        return bool({mode, mode.partition("/")[0], f"{mode}-tuple"} & self.modes)

    def location(self, run: Run) -> str:
        """Where the stream goes on: a path below the SDKs' base URL, since the JS SDK looks at the run of no other."""
        query = [("stream_mode", mode) for mode in sorted(self.modes)]
        if self.silent:
            query.append(("silent", str(self.silent)))
        if self.cancels:
            query.append(("cancel_on_disconnect", "true"))
        place = f"{PLACE_MARK}{self.after}" if self.goes_on else ""
        return f"{run_path(run)}{place}/stream" + (f"?{urlencode(query)}" if query else "")


async def start_and_stream(
    request: Request, services: Services, caller: Caller, thread_id: str, body: RunBody
) -> Response:
    """Admit a run and answer with its events; one that was accepted before under the same key is joined."""
    body = body.model_copy(update={"stream": True})
    admitted = await admit(request, services, caller, thread_id, body, inline=True)
    asked = Asked(after=BEFORE_ALL, cancels=admitted.run.kwargs.get("on_disconnect") == "cancel")
    if admitted.joined:
        await note_presence(request, services, admitted.run)
        return await streamed(request, services, admitted.run, Asked(after=BEFORE_ALL))
    return await streamed(request, services, admitted.run, asked, admitted)


async def streamed(
    request: Request, services: Services, run: Run, asked: Asked, admitted: Admitted | None = None
) -> Response:
    """The stream of a run; with `admitted` the run is driven here."""
    wait_s = Preferences.of(request).wait_s
    in_slices = buffered(request) or wait_s is not None
    longest_s = services.settings.stream_slice_seconds
    asked_s = min(longest_s, longest_s if wait_s is None else wait_s) if in_slices else None
    bounds = bounds_of(request, services, asked_s)
    following = services.streams.follow(
        run, asked.after, admitted, asks=not asked.goes_on, window_s=bounds.window_s, limit_s=bounds.limit_s
    )
    follower = await services.loop.run(following)
    if in_slices and bounds.window_s is not None:
        return await slice_of(services, follower, asked, bounds.window_s)
    body = live(services, follower, asked, bounds.window_s)
    headers = headers_of(run, replace(asked, goes_on=False))
    return StreamingResponse(body, media_type=MEDIA_TYPE, headers=headers)


def headers_of(run: Run, asked: Asked) -> dict[str, str]:
    """The headers of a stream; what lies between is not to buffer it."""
    return {
        "Location": asked.location(run),
        "Content-Location": run_path(run),
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
    }


def line_of(name: str, data: bytes, at: EventId | int | None) -> bytes:
    """An event as it is sent."""
    identified = f"id: {at}\r\n".encode() if at is not None else b""
    return b"event: " + name.encode() + b"\r\ndata: " + data + b"\r\n" + identified + b"\r\n"


def shown(events: Sequence[Event], asked: Asked) -> bytes:
    """Those of the events that were asked for, as they are sent."""
    return b"".join(line_of(event.name, event.data, event.id) for event in events if asked.shows(event))


def ending(follower: Follower) -> bytes:
    """What tells of the end: the error of a run that failed, else nothing."""
    run = follower.ended
    return failure(follower, run.error) if run is not None and run.error else b""


def failure(follower: Follower, error: JsonObject) -> bytes:
    """An error, in the place behind the last event."""
    return line_of("error", encode(error), EventId(follower.at.epoch, follower.at.number + 1))


async def live(services: Services, follower: Follower, asked: Asked, window_s: float | None) -> AsyncIterator[bytes]:
    """The events as they come, and a comment where none comes for a while.

    A hang-up may cancel the run, unless it has told of an interrupt. Where no hang-up does, or where the window closes,
    whoever followed may come back elsewhere.
    """
    loop = asyncio.get_running_loop()
    closes = None if window_s is None else loop.time() + window_s
    cancels = asked.cancels
    try:
        while follower.ended is None:
            left = HEARTBEAT_S if closes is None else min(HEARTBEAT_S, closes - loop.time())
            if left <= 0:
                cancels = False
                return
            events = await services.loop.run(follower.next(left))
            if events:
                yield shown(events, asked)
            elif follower.ended is None:
                yield HEARTBEAT
        yield ending(follower)
        await forget(services, follower.run)
    finally:
        ended = follower.ended is not None
        services.loop.submit(follower.leave(keep=not ended and not cancels))
        # One that has asked a human ends by itself, and would lose its question if it were stopped before that.
        if cancels and not ended and not follower.asked:
            services.loop.submit(services.cancellation.cancel(follower.run, CancelAction.INTERRUPT))


async def slice_of(services: Services, follower: Follower, asked: Asked, window_s: float) -> Response:
    """One answer with the events that come within the window, and where the next one begins."""
    loop = asyncio.get_running_loop()
    closes = loop.time() + window_s
    body = bytearray()
    most = services.settings.max_result_bytes
    taken = follower.at
    full = False
    try:
        while follower.ended is None and not full:
            left = closes - loop.time()
            if left <= 0:
                break
            for event in await services.loop.run(follower.next(left)):
                line = shown([event], asked)
                full = carried(body) + carried(line) > most
                if full and not body:
                    body += failure(follower, too_large(follower.run, event))
                    return Response(bytes(body), media_type=MEDIA_TYPE, headers=headers_of(follower.run, asked))
                if full:
                    break
                body += line
                taken = event.id
        over = follower.ended is not None and not full
        if over:
            body += ending(follower)
        silent = 0 if body else asked.silent + 1
        if silent > SILENT_SLICES and not over:
            body += line_of("metadata", encode({"run_id": follower.run.run_id, "attempt": follower.run.attempt}), taken)
            silent = 0
        following = replace(asked, after=taken, silent=silent, goes_on=not over)
        return Response(bytes(body), media_type=MEDIA_TYPE, headers=headers_of(follower.run, following))
    finally:
        await services.loop.run(follower.leave(keep=follower.ended is None or full))


def carried(data: bytes | bytearray) -> int:
    """How many bytes Lambda's answer has of a text: it is carried in JSON, with quotes and line ends escaped."""
    return len(data) + data.count(b'"') + data.count(b"\\") + data.count(b"\r") + data.count(b"\n")


def too_large(run: Run, event: Event) -> JsonObject:
    """The error that ends a stream of which one event cannot be carried."""
    where = f"/threads/{run.thread_id}/state"
    return {
        "error": "PayloadTooLarge",
        "message": f"A {event.name} event of {len(event.data)} bytes is too large for one answer: GET {where}",
    }
