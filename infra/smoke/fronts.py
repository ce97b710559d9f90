"""What rests on API Gateway and Lambda, which no emulator can show.

| front      | when                       | what a client sees                                             |
|------------|----------------------------|----------------------------------------------------------------|
| buffering  | `WebAdapterLayerArn` empty | whole answers, the first when the window closes, then the next |
| streaming  | with it                    | one answer that comes bit by bit, for up to 15 minutes         |
"""

import asyncio
import time
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import httpx

from infra.smoke.server import Failed, Inapplicable, Server, expect, sleeping

STEPS = 20
"""Super-steps of a run that is streamed."""

SHORT = {"prefer": "wait=1"}
"""Asks for an answer within a second, whether the run has ended or not."""


async def live_events(server: Server) -> str:
    """A streaming front passes events on as they are made."""
    if not await server.streams():
        raise Inapplicable("the front buffers: answers come whole")
    thread_id = await server.thread()
    body = {"assistant_id": "long", "input": sleeping(2 * server.pace.moment_s, 4)}
    async with server.http.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as answer:
        came = [time.monotonic() async for line in answer.aiter_lines() if line.startswith("event: values")]
    expect(len(came) == 5, f"{len(came)} events")
    took = came[-1] - came[0]
    expect(took > server.pace.moment_s, f"all events within {took:.1f} s")
    return f"5 events over {took:.1f} s"


async def undecodable_body(server: Server) -> None:
    """The body that makes the Python SDK ask again comes through the gateway as it was sent."""
    thread_id = await server.thread()
    path = f"/threads/{thread_id}/runs/wait"
    body = {"assistant_id": "long", "input": sleeping(server.pace.held_s)}
    headers = {"user-agent": "langgraph-sdk-py/0.4.14", **SHORT}
    try:
        answer = await server.http.post(path, json=body, headers=headers)
    except httpx.DecodingError:
        return
    if answer.status_code == 409:
        raise Inapplicable("the Python SDK is answered 409: PythonSdkDialect=false")
    raise Failed(f"{answer.status_code} and a body that can be read: {answer.content[:80]!r}")


async def python_sdk_outlasts_the_gateway(server: Server) -> None:
    """A run longer than the gateway's 29 s, awaited by the Python SDK in one call."""
    thread_id = await server.thread()
    try:
        values = await server.sdk.runs.wait(thread_id, "long", input=sleeping(server.pace.outlasting_s))
    except httpx.HTTPStatusError as error:
        if error.response.status_code == 409:
            raise Inapplicable("the Python SDK is answered 409: PythonSdkDialect=false") from None
        raise
    expect(isinstance(values, dict) and values.get("done") == 1, values)
    runs = await server.sdk.runs.list(thread_id)
    expect([run["status"] for run in runs] == ["success"], runs)


async def held_sandbox(server: Server) -> None:
    """A run goes on in its sandbox after the answer: nobody else had to drive it, and no request thawed it."""
    thread_id = await server.thread()
    body = {"assistant_id": "long", "input": sleeping(server.pace.held_s), "on_disconnect": "continue"}
    answer = await server.http.post(f"/threads/{thread_id}/runs/wait", json=body, headers=SHORT)
    expect(answer.status_code == 303, answer.status_code)
    await asyncio.sleep(server.pace.held_s + server.pace.moment_s)
    run: Any = await server.sdk.runs.get(thread_id, run_named(answer))
    expect((run["status"], run["attempt"], run["handoffs"]) == ("success", 1, 0), run)


async def redirect_is_followed(server: Server) -> str:
    """Clients that follow redirects (JS SDK, curl -L) are led to the result; a streaming front has it in one answer."""
    thread_id = await server.thread()
    body = {"assistant_id": "long", "input": sleeping(server.pace.outlasting_s)}
    answer = await server.http.post(f"/threads/{thread_id}/runs/wait", json=body, follow_redirects=True)
    expect(answer.status_code == 200, answer.status_code)
    expect(answer.json().get("done") == 1, answer.text)
    redirects = [httpx.URL(one.headers["location"]) for one in answer.history]
    expect(redirects or await server.streams(), "no redirect")
    expect({one.host for one in redirects} <= {httpx.URL(server.url).host}, redirects)
    return f"{len(redirects)} redirects"


async def stream_outlasts_the_gateway(server: Server) -> None:
    """A run longer than the gateway's 29 s is one stream to the Python SDK, with each event once."""
    thread_id = await server.thread()
    stream = server.sdk.runs.stream(thread_id, "long", input=sleeping(server.pace.outlasting_s, STEPS))
    steps = [part.data.get("done") async for part in stream if part.event == "values"]
    expect(steps == [None, *range(1, STEPS + 1)], steps)
    runs = await server.sdk.runs.list(thread_id)
    expect([run["status"] for run in runs] == ["success"], runs)


async def stream_is_resumed(server: Server) -> None:
    """Who leaves a stream and comes back with Last-Event-ID gets the rest, with each event once."""
    thread_id = await server.thread()
    state = sleeping(server.pace.outlasting_s, STEPS)
    stream: Any = server.sdk.runs.stream(
        thread_id, "long", input=state, stream_resumable=True, on_disconnect="continue"
    )
    run_id = ""
    async with aclosing(stream):
        async for part in stream:
            run_id = part.data["run_id"] if part.event == "metadata" else run_id
            if part.event == "values" and part.data.get("done") == 2:
                break
        else:
            raise Failed("the stream ended before its second step")
    rest = server.sdk.runs.join_stream(thread_id, run_id, last_event_id=part.id)
    steps = [part.data.get("done") async for part in rest if part.event == "values"]
    expect(steps == [*range(3, STEPS + 1)], steps)


async def streaming_abort(server: Server) -> str:
    """A run with `on_disconnect: cancel` is cancelled when its client hangs up on its stream, or on its wait."""
    started = time.monotonic()

    async def aborted(kind: str) -> str:
        thread_id, run_id = await hung_up(server, kind, 2 * server.pace.gone_s, "cancel")
        try:
            await server.status_within(server.pace.gone_s, thread_id, run_id, "interrupted")
        except Failed as failure:
            raise Failed(f"{kind}: {failure}") from None
        return f"{kind} after {time.monotonic() - started:.0f} s"

    return "cancelled: " + ", ".join(await asyncio.gather(aborted("stream"), aborted("wait")))


async def abandoned_run_goes_on(server: Server) -> None:
    """A run with `on_disconnect: continue` ends as if its client had not hung up."""
    thread_id, run_id = await hung_up(server, "stream", server.pace.held_s, "continue")
    await server.status_within(server.pace.worker_s, thread_id, run_id, "success")


async def hung_up(server: Server, kind: str, seconds: float, on_disconnect: str) -> tuple[str, str]:
    """Thread and id of a run whose client has hung up in the midst of its stream or wait.

    A gateway that buffers sees no hang-up: there the client has an answer, and does not ask for the next one.
    """
    thread_id = await server.thread()
    headers = {} if await server.streams() else SHORT
    body = {"assistant_id": "long", "input": sleeping(seconds), "on_disconnect": on_disconnect}
    async with server.http.stream("POST", f"/threads/{thread_id}/runs/{kind}", json=body, headers=headers) as answer:
        expect(answer.status_code in (200, 303), answer.status_code)
        if kind == "stream":
            expect(b"event: " in await anext(answer.aiter_bytes()), "no event first")
        await asyncio.sleep(server.pace.moment_s)
    return thread_id, run_named(answer)


def run_named(answer: httpx.Response) -> str:
    """The id of the run that an answer is about."""
    return answer.headers["content-location"].rpartition("/")[2]


async def outlasts_the_function(server: Server) -> str:
    """A run longer than a function's time is handed on; where its body breaks off, the Python SDK comes back."""
    limit_s = server.pace.function_s
    if limit_s is None:
        raise Inapplicable("takes longer than one invocation: --function 900")
    thread_id = await server.thread()
    state = sleeping(limit_s + server.pace.held_s, STEPS)
    if await server.streams():
        values: Any = await server.sdk.runs.wait(thread_id, "long", input=state)
        expect(values.get("done") == STEPS, values)
    else:  # no client of a buffering front waits for 15 minutes
        run = await server.sdk.runs.create(thread_id, "long", input=state)
        await server.status_within(limit_s + server.pace.worker_s, thread_id, run["run_id"], "success")
    (ended,) = await server.sdk.runs.list(thread_id)
    handoffs = ended.get("handoffs")
    expect(ended["status"] == "success" and handoffs, ended)
    return f"{handoffs} hand-offs"


async def crons(server: Server) -> None:
    """A cron is made, changed and deleted: EventBridge Scheduler takes its timer, and its role."""
    month = (datetime.now(UTC).month + 5) % 12 + 1  # about half a year ahead
    cron: Any = await server.sdk.crons.create("long", schedule=f"0 0 1 {month} *", input=sleeping(1))
    cron_id = cron["cron_id"]
    server.made[f"cron {cron_id}"] = lambda: server.sdk.crons.delete(cron_id)
    await server.sdk.crons.update(cron_id, schedule=f"0 0 2 {month} *")
    found = await cron_ids(server)
    expect(cron_id in found, found)
    await server.sdk.crons.delete(cron_id)
    found = await cron_ids(server)
    expect(cron_id not in found, found)


async def cron_ids(server: Server) -> list[str]:
    """The newest crons of the long example."""
    found = await server.sdk.crons.search(limit=100, sort_by="created_at", sort_order="desc")
    return [cron["cron_id"] for cron in found]


async def no_key_no_answer(server: Server) -> None:
    """Without credentials nothing is served."""
    async with httpx.AsyncClient(timeout=30) as stranger:
        answer = await stranger.get(f"{server.url}/info")
    if answer.status_code == 200 and server.api_key is None:
        raise Inapplicable("no LANGGRAPH_API_KEY was given, and none is asked for: Auth=none, open to everyone")
    expect(answer.status_code in (401, 403), answer.status_code)
