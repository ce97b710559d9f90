"""The smoke test of deployments, tried on both kinds of front, and on fronts that have a fault."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handler.api.app import create_app
from handler.bootstrap import build_services, create_queue, create_table
from handler.domain.lease import LeaseTerms
from handler.local_worker import LocalWorker
from handler.runs.driver import Limits
from handler.storage.queue import SqsWakes
from infra.smoke.__main__ import NAMES, Verdict, main
from infra.smoke.server import Pace
from tests.conftest import new_settings, serving
from tests.engines import Engine
from tests.in_lambda import Context

pytestmark = pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect:UserWarning")

EXAMPLES = Path(__file__).parents[2] / "langgraph.json"
GATEWAY_S = 1.5
PACE = Pace(outlasting_s=2.5, held_s=1.5, moment_s=1, gone_s=20, worker_s=60)
KEY = "a key"


class Asking:
    """A gateway that asks for a key."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if dict(scope["headers"]).get(b"x-api-key") == KEY.encode():
            await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": b"Forbidden"})


class Answering:
    """A gateway that answers some requests itself, with 500."""

    def __init__(self, app: ASGIApp, *requests: tuple[str, str]) -> None:
        self.app = app
        self.requests = requests
        """Method, and how the path begins."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if any(scope["method"] == method and scope["path"].startswith(path) for method, path in self.requests):
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        await self.app(scope, receive, send)


def mending(app: ASGIApp) -> ASGIApp:
    """A gateway that sees to it that every body can be read."""

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        async def mended(message: Message) -> None:
            headers = [pair for pair in message.get("headers", ()) if pair[0] != b"content-encoding"]
            await send({**message, "headers": headers} if "headers" in message else message)

        await app(scope, receive, mended)

    return pass_on


def losing(app: ASGIApp) -> ASGIApp:
    """A gateway that loses what a stream brings of the second step."""

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        async def lost(message: Message) -> None:
            await send({**message, "body": b""} if b'"done":2}' in message.get("body", b"") else message)

        await app(scope, receive, lost)

    return pass_on


def deaf(app: ASGIApp) -> ASGIApp:
    """A gateway that streams, and tells nobody that the client has gone."""

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        async def never_over() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                await asyncio.Event().wait()
            return message

        await app(scope, never_over, send)

    return pass_on


def swallowing(app: ASGIApp) -> ASGIApp:
    """A streaming function behind a gateway that passes on whole answers only."""
    return Gathering(app, tells=False)


class Gathering:
    """A gateway that passes answers on once they are whole, and gives up on others; `tells`: that the service knows."""

    def __init__(self, app: ASGIApp, *, tells: bool = True) -> None:
        self.app = app
        self.said: dict[str, Any] = {"aws.context": Context(), "aws.event": {}} if tells else {}
        self.gives_up_s = 10 * GATEWAY_S if tells else GATEWAY_S  # a machine under load is late with its answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and then its answer."""
        messages: list[Message] = []

        async def gather(message: Message) -> None:
            messages.append(message)

        try:
            await asyncio.wait_for(self.app({**scope, **self.said}, receive, gather), self.gives_up_s)
        except TimeoutError:
            messages[:] = [
                {"type": "http.response.start", "status": 504, "headers": []},
                {"type": "http.response.body"},
            ]
        for message in messages:
            await send(message)


@contextmanager
def service(engine: Engine) -> Iterator[ASGIApp]:
    """The service with the example graphs and a worker, which does all in less time than is usual."""
    settings = new_settings(
        langgraph_config=EXAMPLES,
        tenant_claim="",
        queue_url=create_queue(engine.sqs(), f"q-{uuid.uuid4().hex[:12]}"),
        gateway_timeout_seconds=GATEWAY_S,
        presence_grace_seconds=2.0,
    )
    create_table(engine.dynamodb(), settings.table_name)
    wakes = SqsWakes(engine.sqs(), settings.queue_url)
    limits = Limits(terms=LeaseTerms(heartbeat_s=0.3))
    services = build_services(settings, dynamodb=engine.new_dynamodb(), wakes=wakes, limits=limits)
    services.hold.active = True  # as in a sandbox that outlives its answers
    worker = LocalWorker(wakes, services.attendant, services.loop)
    worker.start()
    yield create_app(services)
    worker.stop()


@pytest.fixture(scope="module")
def app(engine: Engine) -> Iterator[ASGIApp]:
    with service(engine) as made:
        yield made


@pytest.fixture(scope="module")
def streaming(app: ASGIApp) -> Iterator[str]:
    """A front that streams, and asks for a key."""
    with serving(Asking(app)) as url:
        yield url


@pytest.fixture(scope="module")
def buffering(app: ASGIApp) -> Iterator[str]:
    """A front that buffers, and asks for no key."""
    with serving(Gathering(app)) as url:
        yield url


@pytest.fixture(autouse=True)
def without_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANGGRAPH_API_KEY", raising=False)


def verdicts_of(output: str) -> dict[str, str]:
    """Each capability's verdict, as it was printed."""
    lines = [line.split() for line in output.splitlines()]
    return {line[1]: line[0] for line in lines if line[0] in set(Verdict)}


def left_behind(url: str, **headers: str) -> list[Any]:
    """All that is there."""
    with httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
        threads = client.post("/threads/search", json={}).json()
        crons = client.post("/runs/crons/search", json={}).json()
        assistants = client.post("/assistants/search", json={}).json()
        items = client.post("/store/items/search", json={"namespace_prefix": ["smoke"]}).json()["items"]
    return [*threads, *crons, *items, *(one for one in assistants if one["metadata"].get("created_by") != "system")]


@pytest.mark.slow
@pytest.mark.ci
def test_a_streaming_front_passes(
    streaming: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANGGRAPH_API_KEY", KEY)
    assert main([streaming], PACE) == 0
    found = verdicts_of(capsys.readouterr().out)
    assert found == dict.fromkeys([*NAMES, "clean_up"], "pass") | {"outlasts_the_function": "n.a."}
    assert left_behind(streaming, **{"x-api-key": KEY}) == []


@pytest.mark.slow
@pytest.mark.ci
def test_a_buffering_front_passes_and_what_it_cannot_do_is_no_failure(
    buffering: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([buffering], PACE) == 0
    inapplicable = ("live_events", "outlasts_the_function", "no_key_no_answer")
    found = verdicts_of(capsys.readouterr().out)
    assert found == dict.fromkeys([*NAMES, "clean_up"], "pass") | dict.fromkeys(inapplicable, "n.a.")
    assert left_behind(buffering) == []


@pytest.mark.parametrize(
    ("front", "capability", "seen"),
    [
        (swallowing, "live_events", "answers 504"),
        (mending, "undecodable_body", "a body that can be read"),
        (losing, "stream_outlasts_the_gateway", "[None, 1, 3,"),
        (losing, "stream_is_resumed", "before its second step"),
        (deaf, "streaming_abort", "not interrupted"),
    ],
)
def test_a_front_with_a_fault_fails(
    app: ASGIApp,
    front: Callable[[ASGIApp], ASGIApp],
    capability: str,
    seen: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(front(app)) as url:
        assert main([url, capability], replace(PACE, outlasting_s=1.0, gone_s=1.0)) == 1
    out = capsys.readouterr().out
    assert verdicts_of(out) == {capability: "FAIL", "clean_up": "pass"}
    assert seen in out
    with serving(app) as url:
        assert left_behind(url) == []


def test_what_a_failing_capability_has_made_is_deleted(app: ASGIApp, capsys: pytest.CaptureFixture[str]) -> None:
    half_way = [("PATCH", "/runs/crons/"), ("POST", "/assistants/search"), ("POST", "/store/items/search")]
    with serving(Answering(app, *half_way, ("POST", "/threads/"))) as url:
        assert main([url, "crons", "assistants", "store", "turns"], PACE) == 4
    found = verdicts_of(capsys.readouterr().out)
    assert found == dict.fromkeys(("crons", "turns", "assistants", "store"), "FAIL") | {"clean_up": "pass"}
    with serving(app) as url:
        assert left_behind(url) == []


def test_what_cannot_be_deleted_is_a_failure(app: ASGIApp, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Answering(app, ("DELETE", "/threads/"))) as url:
        assert main([url, "turns"], PACE) == 1
    assert "left behind: thread " in capsys.readouterr().out
    with serving(app) as url:
        (left,) = left_behind(url)
        httpx.delete(f"{url}/threads/{left['thread_id']}", trust_env=False).raise_for_status()


def test_a_key_that_nobody_asks_for_is_a_failure(
    app: ASGIApp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANGGRAPH_API_KEY", KEY)
    with serving(app) as url:
        assert main([url, "no_key_no_answer"], PACE) == 1
    assert verdicts_of(capsys.readouterr().out)["no_key_no_answer"] == "FAIL"


def test_a_capability_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["http://127.0.0.1:1", "turns", "turn"])
    assert "no such capabilities: turn" in capsys.readouterr().err
