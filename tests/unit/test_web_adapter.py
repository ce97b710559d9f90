"""Behind the Lambda Web Adapter the application sees what API Gateway said of a request."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from handler.api.gateway import url_of
from handler.api.web_adapter import CONTEXT_HEADER, CutOff, FromWebAdapter
from handler.telemetry import correlation_id
from tests.conftest import serving

CONTEXT = {
    "requestId": "request-1",
    "stage": "prod",
    "path": "/prod/threads/T",
    "domainName": "api.example",
    "authorizer": {"tenant": "acme"},
}


@pytest.fixture
def client() -> TestClient:
    """A client of an application that says what it sees."""
    app = FastAPI()

    @app.get("/threads/T")
    async def seen(request: Request) -> dict[str, Any]:
        event = request.scope["aws.event"]
        said = event["requestContext"].get("authorizer")
        return {"authorizer": said, "url": url_of(request, "/ok"), "correlation": correlation_id()}

    return TestClient(FromWebAdapter(app))


def test_authoriser_stage_and_request_id_are_those_of_the_event(client: TestClient) -> None:
    seen = client.get("/threads/T", headers={CONTEXT_HEADER.decode(): json.dumps(CONTEXT)}).json()
    assert seen == {"authorizer": {"tenant": "acme"}, "url": "https://api.example/prod/ok", "correlation": "request-1"}


@pytest.mark.parametrize("header", [{}, {CONTEXT_HEADER.decode(): "[]"}])
def test_a_request_without_a_context_names_nobody(client: TestClient, header: dict[str, str]) -> None:
    seen = client.get("/threads/T", headers=header).json()
    assert seen == {"authorizer": None, "url": "http://testserver/ok", "correlation": ""}


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

    adapted = FromWebAdapter(stream, before_end=lambda: happened.append("flush"))
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
        serving(FromWebAdapter(stream, before_end=lambda: flushed.append("flush"))) as url,
        httpx.stream("GET", url, trust_env=False) as response,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        assert response.status_code == 200
        response.read()
    assert flushed == ["flush"]
    assert not [record for record in caplog.records if record.exc_info]
