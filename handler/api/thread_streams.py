"""The streams of whole threads: `client.threads.join_stream`, and the events of `client.threads.stream`.

Such a stream stays open for as long as the connection does. A gateway that buffers passes nothing on before an answer
is complete, so only who asks again by itself after a whole answer is served there:

| client                 | GET …/stream | POST …/stream/events                                      |
|------------------------|--------------|-----------------------------------------------------------|
| JS SDK, `useStream`    | 501          | answers as soon as no run is under way, at the window else |
| Python SDK             | 501          | 501: it gives up after 5 s without headers                |
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import StreamingResponse

from handler.api.answers import encode
from handler.api.auth import TheCaller
from handler.api.bodies import body_of, documented
from handler.api.dialects import sdk_version
from handler.api.invocation import bounds_of, buffered
from handler.api.schemas import EventStreamBody
from handler.api.services import Services, TheServices
from handler.api.sse import HEARTBEAT, MEDIA_TYPE, carried, line_of
from handler.api.threads import thread_of
from handler.api.waits import HEARTBEAT_S
from handler.api.web_adapter import CutOff
from handler.domain.events import BEFORE_ALL, EventId
from handler.domain.models import Thread, to_ms
from handler.errors import BadRequest, Invalid, NotSupported, PayloadTooLarge
from handler.runs.protocol import (
    CHANNELS,
    EPOCH_ZERO,
    SEQS_PER_MS,
    ProtocolEvent,
    Subscription,
    Telling,
    place_of,
)
from handler.runs.thread_follower import ThreadFollower, Told

router = APIRouter(tags=["threads"])

Render = Callable[[Told], bytes]
"""What is sent of something that has happened on a thread."""

MODES = frozenset({"run_modes", "lifecycle", "state_update"})

LATE = timedelta(minutes=1)
"""How much earlier than by the clocks a run may have ended whose events follow a place."""

LOOK_S = 0.5
"""How often an answer that is sent whole looks whether it is complete, in seconds."""

BUFFERED = "needs a front that streams: the streaming function (WebAdapterLayerArn), or runs.stream, which does without"


@router.get("/threads/{thread_id}/stream")
async def stream_thread(thread_id: str, request: Request, caller: TheCaller, services: TheServices) -> Response:
    """Follow the runs of a thread, whoever starts them, from the event in Last-Event-ID on, or from now on."""
    modes = modes_of(request)
    thread = await thread_of(services, caller, thread_id)
    if buffered(request):
        raise NotSupported(f"GET /threads/{{thread_id}}/stream {BUFFERED}")
    given = request.headers.get("last-event-id")
    after = EventId.parse("-1" if given == "-" else given or "")
    since = told_since(services, after.epoch if after else 0)
    return streamed_live(request, services, thread, after, since, of_runs(modes))


@router.post("/threads/{thread_id}/stream/events", openapi_extra=documented(EventStreamBody))
async def stream_events(
    thread_id: str,
    request: Request,
    body: Annotated[EventStreamBody, Depends(body_of(EventStreamBody))],
    caller: TheCaller,
    services: TheServices,
) -> Response:
    """The events of a thread's runs, those that are kept and those to come, of the channels that are asked for."""
    subscription = subscribed(body)
    async with in_order():
        thread = await thread_of(services, caller, thread_id)
    if buffered(request) and sdk_version(request.headers.get("user-agent", "")) is not None:
        raise NotSupported(f"POST /threads/{{thread_id}}/stream/events {BUFFERED}")
    since = told_since(services, (body.since or 0) // SEQS_PER_MS + EPOCH_ZERO)
    render = of_protocol(subscription)
    if buffered(request):
        window_s = bounds_of(request, services, services.settings.stream_slice_seconds).window_s or 0.0
        return await whole(services, thread, since, render, window_s)
    return streamed_live(request, services, thread, BEFORE_ALL, since, render)


_ordering: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


def in_order() -> asyncio.Lock:
    """Has this process answer such requests in the order in which they came.

    The Python SDK closes a stream for a wider one as soon as that is answered, and waits for ever for the answer of the
    first if it comes later.
    """
    return _ordering.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def modes_of(request: Request) -> frozenset[str]:
    """What of a thread's runs is to be told; the SDKs say `stream_mode`, the reference's document `stream_modes`."""
    query = request.query_params
    given = [*query.getlist("stream_mode"), *query.getlist("stream_modes")]
    modes = frozenset(mode for one in given for mode in one.split(",") if mode) or frozenset({"run_modes"})
    if modes - MODES:
        raise Invalid(f"Invalid stream mode: {min(modes - MODES)}")
    if "state_update" in modes:
        raise NotSupported("stream_mode state_update is not supported by this server")
    return modes


def subscribed(body: EventStreamBody) -> Subscription:
    """What a body asks for."""
    if not body.channels:
        raise BadRequest("channels is required and must be a non-empty array")
    unknown = [one for one in body.channels if one not in CHANNELS and not one.startswith("custom:")]
    if unknown:
        raise BadRequest(f"channels: {unknown[0]!r} is none of {sorted(CHANNELS)} or custom:<name>")
    namespaces = tuple(tuple(one) for one in body.namespaces or ())
    return Subscription(frozenset(body.channels), namespaces, body.depth, body.since)


def told_since(services: Services, since_ms: int) -> datetime:
    """Runs that ended before have nothing to tell: it is kept no more, or comes before the place that was named."""
    now = services.clock()
    asked_ms = min(max(since_ms, EPOCH_ZERO), to_ms(now))
    kept_since = now - timedelta(seconds=services.settings.stream_kept_seconds)
    return max(kept_since, datetime.fromtimestamp(asked_ms / 1000, UTC) - LATE)


def follower_of(services: Services, thread: Thread) -> ThreadFollower:
    """A follower of the thread's runs."""
    return ThreadFollower(services.streams, services.threads, thread.tenant, thread.thread_id)


def of_runs(modes: frozenset[str]) -> Render:
    """The events of the runs as their own streams have them; each run's beginning and end are told."""

    def render(told: Told) -> bytes:
        run, ended = told.run, told.ended
        shown = [event for event in told.events if "run_modes" in modes or event.name == "metadata"]
        sent = [line_of(event.name, event.data, event.id) for event in shown]
        if ended is not None:
            last = place_of(ended, told.events[-1].id if told.events else told.at)
            after = EventId(last.epoch, last.number + 1)
            if ended.error and "run_modes" in modes:
                sent.append(line_of("error", encode(ended.error), after))
            done = {"status": "run_done", "run_id": run.run_id}
            sent.append(line_of("metadata", encode(done), EventId(after.epoch, after.number + 1)))
        return b"".join(sent)

    return render


def of_protocol(subscription: Subscription) -> Render:
    """The events of the protocol that a subscription wants."""
    telling: Telling | None = None

    def line(event: ProtocolEvent) -> bytes:
        return line_of(event["method"], encode(event), event["seq"])

    def render(told: Told) -> bytes:
        nonlocal telling
        if telling is None or telling.run.run_id != told.run.run_id:
            telling = Telling(told.run)
        events = [one for event in told.events for one in telling.tell(event)]
        events += telling.end(told.ended) if told.ended is not None else []
        return b"".join(line(event) for event in events if subscription.wants(event))

    return render


def streamed_live(
    request: Request, services: Services, thread: Thread, after: EventId | None, since: datetime, render: Render
) -> Response:
    """A stream that stays open; where the platform bounds an invocation, it breaks off before that."""
    window_s = bounds_of(request, services, None).window_s
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    body = live(services, follower_of(services, thread), after, since, render, window_s)
    return StreamingResponse(body, media_type=MEDIA_TYPE, headers=headers)


async def live(
    services: Services,
    follower: ThreadFollower,
    after: EventId | None,
    since: datetime,
    render: Render,
    window_s: float | None,
) -> AsyncIterator[bytes]:
    """What happens on the thread as it happens, and a comment where nothing does for a while.

    The Python SDK takes a stream that is closed in good order for the end, and comes back to one that breaks off.
    """
    loop = asyncio.get_running_loop()
    closes = None if window_s is None else loop.time() + window_s
    quiet_since = loop.time()
    try:
        await services.loop.run(follower.begin(after, since))
        while not follower.gone:
            left = HEARTBEAT_S if closes is None else min(HEARTBEAT_S, closes - loop.time())
            if left <= 0:
                raise CutOff
            told = await services.loop.run(follower.next(left))
            sent = render(told) if told is not None else b""
            if sent or loop.time() - quiet_since >= HEARTBEAT_S:
                quiet_since = loop.time()
                yield sent or HEARTBEAT
    finally:
        services.loop.submit(follower.leave())


async def whole(services: Services, thread: Thread, since: datetime, render: Render, window_s: float) -> Response:
    """What there is to tell of the thread, once no run is under way or the window closes."""
    loop = asyncio.get_running_loop()
    closes = loop.time() + window_s
    follower = follower_of(services, thread)
    body = bytearray()
    try:
        await services.loop.run(follower.begin(BEFORE_ALL, since))
        while not (follower.gone or follower.idle) and (left := closes - loop.time()) > 0:
            told = await services.loop.run(follower.next(min(left, LOOK_S)))
            body += render(told) if told is not None else b""
            if carried(body) > services.settings.max_result_bytes:
                raise PayloadTooLarge(f"The events of this thread are too many for one answer: this {BUFFERED}")
    finally:
        services.loop.submit(follower.leave())
    return Response(bytes(body) or HEARTBEAT, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})
