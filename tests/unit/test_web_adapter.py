"""Behind the Lambda Web Adapter the application sees what API Gateway said of a request."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from handler.api.gateway import url_of
from handler.api.invocation import remaining_s
from handler.api.web_adapter import CONTEXT_HEADER, INVOCATION_HEADER, CutOff, FromWebAdapter
from handler.runs.hold import Hold
from handler.telemetry import correlation_id
from tests.conftest import serving

CONTEXT = {
    "requestId": "request-1",
    "stage": "prod",
    "path": "/prod/threads/T",
    "domainName": "api.example",
    "authorizer": {"tenant": "acme"},
}


class FakeHold(Hold):
    """A hold that keeps a sandbox or does not, and knows which invocations have returned."""

    def __init__(self, *, active: bool) -> None:
        super().__init__(lambda: False, lambda _seconds: None)
        self.active = active
        self.told: list[str] = []

    def returned(self, request_id: str) -> None:
        """Remember it."""
        self.told.append(request_id)


def nothing() -> None:
    """Flush nothing."""


@pytest.fixture
def client() -> TestClient:
    """A client of an application that says what it sees."""
    app = FastAPI()

    @app.get("/threads/T")
    async def seen(request: Request) -> dict[str, Any]:
        event = request.scope["aws.event"]
        said = event["requestContext"].get("authorizer")
        return {"authorizer": said, "url": url_of(request, "/ok"), "correlation": correlation_id()}

    @app.get("/time")
    async def left(request: Request) -> float | None:
        return remaining_s(request)

    return TestClient(FromWebAdapter(app, FakeHold(active=False), nothing))


def test_authoriser_stage_and_request_id_are_those_of_the_event(client: TestClient) -> None:
    seen = client.get("/threads/T", headers={CONTEXT_HEADER.decode(): json.dumps(CONTEXT)}).json()
    assert seen == {"authorizer": {"tenant": "acme"}, "url": "https://api.example/prod/ok", "correlation": "request-1"}


@pytest.mark.parametrize("header", [{}, {CONTEXT_HEADER.decode(): "[]"}])
def test_a_request_without_a_context_names_nobody(client: TestClient, header: dict[str, str]) -> None:
    seen = client.get("/threads/T", headers=header).json()
    assert seen == {"authorizer": None, "url": "http://testserver/ok", "correlation": ""}


def test_the_time_that_is_left_is_what_the_adapter_says_of_the_invocation(client: TestClient) -> None:
    assert client.get("/time").json() is None
    header = INVOCATION_HEADER.decode()
    deadline = int(time.time() * 1000) + 60_000
    assert 50 < client.get("/time", headers={header: json.dumps({"deadline": deadline})}).json() <= 60
    assert client.get("/time", headers={header: json.dumps({"deadline": deadline - 120_000})}).json() == 0


@pytest.mark.parametrize("ends", ["well", "cut off", "with an error"])
def test_the_hold_learns_of_each_invocations_end(ends: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if ends == "cut off":
            raise CutOff
        assert ends == "well", "the application fails"

    hold = FakeHold(active=True)
    invocation = json.dumps({"request_id": "invocation-1", "deadline": 1}).encode()
    scope = {"type": "http", "path": "/x", "headers": [(INVOCATION_HEADER, invocation)]}
    call = FromWebAdapter(app, hold, pytest.fail)(scope, asyncio.Future, print)  # type: ignore[arg-type]
    with suppress(AssertionError):
        asyncio.run(call)
    assert hold.told == ["invocation-1"]


async def test_exporters_are_flushed_once_a_stream_is_over_and_before_its_sandbox_may_freeze() -> None:
    happened: list[str] = []

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        async def parts() -> AsyncIterator[str]:
            yield "a"
            yield "b"

        await StreamingResponse(parts())(scope, receive, send)

    async def send(message: Message) -> None:
        happened.append(message.get("body", b"start").decode() or "end")

    async def receive() -> Message:
        return await asyncio.Future()

    adapted = FromWebAdapter(stream, FakeHold(active=False), lambda: happened.append("flush"))
    await adapted({"type": "http", "path": "/x", "headers": [], "asgi": {"spec_version": "2.4"}}, receive, send)
    assert happened == ["start", "a", "b", "flush", "end"]


def test_a_body_that_is_cut_off_is_seen_to_be_incomplete_and_flushed_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flushed: list[str] = []

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        async def parts() -> AsyncIterator[str]:
            yield "a"
            raise CutOff

        await StreamingResponse(parts())(scope, receive, send)

    with (
        serving(FromWebAdapter(stream, FakeHold(active=False), lambda: flushed.append("flush"))) as url,
        httpx.stream("GET", url, trust_env=False) as response,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        assert response.status_code == 200
        response.read()
    assert flushed == ["flush"]
    assert not [record for record in caplog.records if record.exc_info]
