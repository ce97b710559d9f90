"""Each request leaves one line: its route's pattern, its status, how long it took."""

import logging
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from handler.api.access import AccessLog


@pytest.fixture
def client(caplog: pytest.LogCaptureFixture) -> Iterator[TestClient]:
    """A client of an application with the middleware, and a clock that goes by a quarter of a second a look."""
    app = FastAPI()
    moments = iter(range(1000))
    app.add_middleware(AccessLog, monotonic=lambda: next(moments) / 4)

    @app.get("/threads/{thread_id}")
    async def thread(thread_id: str) -> str:
        if thread_id == "broken":
            raise RuntimeError(thread_id)
        return thread_id

    with caplog.at_level(logging.INFO, "handler"), TestClient(app, raise_server_exceptions=False) as client:
        yield client


def fields(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int, float, int | None]]:
    """What the lines say."""
    records = [vars(record) for record in caplog.records if record.message == "request served"]
    return [tuple(r[name] for name in ("route", "status", "duration_ms", "server_errors")) for r in records]


def test_a_request_is_told_by_its_routes_pattern(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    assert client.get("/threads/somebodys").status_code == 200
    assert fields(caplog) == [("GET /threads/{thread_id}", 200, 250.0, None)]
    assert "somebodys" not in fields(caplog)[0][0]


def test_what_has_no_route_is_counted_together(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    client.get("/nowhere/1")
    assert fields(caplog) == [("GET -", 404, 250.0, None)]


def test_an_exception_is_a_server_error(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    assert client.get("/threads/broken").status_code == 500
    assert fields(caplog) == [("GET /threads/{thread_id}", 500, 250.0, 1)]
