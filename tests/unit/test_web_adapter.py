"""Behind the Lambda Web Adapter the application sees what API Gateway said of a request."""

import json
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from handler.api.gateway import url_of
from handler.api.web_adapter import CONTEXT_HEADER, FromWebAdapter
from handler.telemetry import correlation_id

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
